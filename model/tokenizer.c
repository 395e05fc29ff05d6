/* Byte-level BPE with a GGUF file's own vocabulary, merges and special tokens. Texts of tokens stay
 * in the mapping; normal ones are written in GPT-2's alphabet, which gives each byte a printable
 * character. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

#define NONE UINT32_MAX
enum { TOKEN_CONTROL = 3, TOKEN_USER_DEFINED = 4 };
/* Longer special tokens or merges are no tokenizer's, and would make looking for them slow. */
enum { SPECIAL_BYTES_MAX = 512, MERGE_BYTES_MAX = 4096 };

typedef struct token_text {
  const char *bytes;
  uint32_t length;
  bool literal; /* control and user-defined tokens: the text itself, not the byte alphabet */
} token_text;

/* Ids sorted by text, to look texts up. */
typedef struct text_index {
  uint32_t *ids;
  size_t count;
} text_index;

struct zh_tokenizer {
  uint32_t vocab;
  token_text *tokens;
  text_index all, special, user_defined; /* special: control and user-defined */
  uint32_t of_byte[256];                 /* NONE where the vocabulary lacks the byte */
  zh_merges merges;
  zh_pretokenizer *pretokenizer;
  bool whole_words;
  zh_special_tokens declared;
};

/* --- GPT-2's byte alphabet --- */

static bool is_printable_byte(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Printable bytes are their own code points; the other 68 follow from U+0100 in order. */
static uint32_t character_of_byte(uint32_t byte) {
  if (is_printable_byte(byte)) return byte;
  if (byte <= 0x20) return 0x100 + byte;
  return byte == 0xad ? 0x143 : 0x121 + byte - 0x7f;
}

static int byte_of_character(uint32_t character) {
  if (character < 0x100) return is_printable_byte(character) ? (int)character : -1;
  if (character < 0x121) return (int)(character - 0x100);        /* 0x00 … 0x20 */
  if (character < 0x143) return (int)(character - 0x121 + 0x7f); /* 0x7f … 0xa0 */
  return character == 0x143 ? 0xad : -1;
}

/* --- texts to ids --- */

static int compare_texts(const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int by_text(const void *a, const void *b, void *tokens) {
  const token_text *x = (const token_text *)tokens + *(const uint32_t *)a;
  const token_text *y = (const token_text *)tokens + *(const uint32_t *)b;
  int order = compare_texts(x->bytes, x->length, y->bytes, y->length);
  return order != 0 ? order
                    : (*(const uint32_t *)a > *(const uint32_t *)b) -
                          (*(const uint32_t *)a < *(const uint32_t *)b);
}

/* Of a text that stands twice, the lowest id. */
static uint32_t find_text(const zh_tokenizer *t, const char *bytes, size_t length) {
  size_t low = 0, high = t->all.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const token_text *text = &t->tokens[t->all.ids[middle]];
    if (compare_texts(text->bytes, text->length, bytes, length) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == t->all.count) return NONE;
  const token_text *text = &t->tokens[t->all.ids[low]];
  return compare_texts(text->bytes, text->length, bytes, length) == 0 ? t->all.ids[low] : NONE;
}

static void sort_index(zh_tokenizer *t, text_index *index) {
  if (index->count > 1) qsort_r(index->ids, index->count, sizeof *index->ids, by_text, t->tokens);
}

/* --- reading the file's tables --- */

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
}

static zh_status read_tokens(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  const zh_gguf_value *texts = zh_gguf_find(model, "tokenizer.ggml.tokens");
  const zh_gguf_value *types = zh_gguf_find(model, "tokenizer.ggml.token_type");
  if (texts == NULL || texts->type != ZH_GGUF_ARRAY || texts->item_type != ZH_GGUF_STRING ||
      texts->count == 0 || texts->count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.tokens must be a list of texts");
  if (types != NULL && types->count != texts->count)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.token_type has %llu entries for %llu tokens",
                   (unsigned long long)types->count, (unsigned long long)texts->count);
  t->vocab = (uint32_t)texts->count;
  t->tokens = calloc(t->vocab, sizeof *t->tokens);
  t->all.ids = calloc(t->vocab, sizeof(uint32_t));
  t->special.ids = calloc(t->vocab, sizeof(uint32_t));
  t->user_defined.ids = calloc(t->vocab, sizeof(uint32_t));
  if (t->tokens == NULL || t->all.ids == NULL || t->special.ids == NULL ||
      t->user_defined.ids == NULL)
    return no_memory(err);
  const unsigned char *at = texts->data;
  for (uint32_t id = 0; id < t->vocab; id++) {
    token_text *token = &t->tokens[id];
    size_t length;
    int64_t type = 1;
    zh_gguf_next_string(&token->bytes, &length, &at);
    if (length > INT32_MAX || zh_utf8_valid_prefix(token->bytes, length) != length)
      return zh_fail(err, ZH_ERR_INPUT, "token %u in tokenizer.ggml.tokens is not valid UTF-8", id);
    if (types != NULL && !zh_gguf_item(&type, types, id))
      return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.token_type must be a list of integers");
    token->length = (uint32_t)length;
    token->literal = type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED;
    if (token->literal && length > SPECIAL_BYTES_MAX)
      return zh_fail(err, ZH_ERR_INPUT,
                     "special token %u is %zu bytes long; at most %d are allowed", id, length,
                     SPECIAL_BYTES_MAX);
    t->all.ids[t->all.count++] = id;
    if (token->literal && length > 0) t->special.ids[t->special.count++] = id;
    if (type == TOKEN_USER_DEFINED && length > 0) t->user_defined.ids[t->user_defined.count++] = id;
  }
  sort_index(t, &t->all);
  sort_index(t, &t->special);
  sort_index(t, &t->user_defined);
  return ZH_OK;
}

typedef struct ranked_merge {
  uint32_t left;
  zh_merge merge;
} ranked_merge;

static int by_pair(const void *a, const void *b) {
  const ranked_merge *x = a, *y = b;
  if (x->left != y->left) return x->left < y->left ? -1 : 1;
  return (x->merge.right > y->merge.right) - (x->merge.right < y->merge.right);
}

/* "left right" as written in the file, to ids. */
static bool parse_merge(ranked_merge *out, const zh_tokenizer *t, const char *text, size_t length) {
  const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
  char joined[MERGE_BYTES_MAX];
  if (space == NULL || length > sizeof joined) return false;
  size_t left = (size_t)(space - text), right = length - left - 1;
  memcpy(joined, text, left);
  memcpy(joined + left, space + 1, right);
  out->left = find_text(t, text, left);
  out->merge.right = find_text(t, space + 1, right);
  out->merge.merged = find_text(t, joined, left + right);
  return out->left != NONE && out->merge.right != NONE && out->merge.merged != NONE;
}

static zh_status group_merges(zh_tokenizer *t, ranked_merge *all, uint32_t count, zh_error *err) {
  if (count > 1) qsort(all, count, sizeof *all, by_pair);
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0 && by_pair(&all[i - 1], &all[i]) == 0)
      return zh_fail(err, ZH_ERR_INPUT, "merges %u and %u in tokenizer.ggml.merges are the same",
                     all[i - 1].merge.rank, all[i].merge.rank);
    t->merges.pairs[i] = all[i].merge;
    t->merges.first[all[i].left + 1]++;
  }
  for (uint32_t id = 0; id < t->vocab; id++) t->merges.first[id + 1] += t->merges.first[id];
  return ZH_OK;
}

static zh_status read_merges(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  const zh_gguf_value *texts = zh_gguf_find(model, "tokenizer.ggml.merges");
  if (texts == NULL || texts->type != ZH_GGUF_ARRAY || texts->item_type != ZH_GGUF_STRING ||
      texts->count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.merges must be a list of texts");
  uint32_t count = (uint32_t)texts->count;
  ranked_merge *all = calloc(count + 1u, sizeof *all);
  t->merges.pairs = calloc(count + 1u, sizeof *t->merges.pairs);
  t->merges.first = calloc(t->vocab + 1u, sizeof *t->merges.first);
  zh_status status = ZH_OK;
  if (all == NULL || t->merges.pairs == NULL || t->merges.first == NULL) status = no_memory(err);
  const unsigned char *at = texts->data;
  for (uint32_t i = 0; status == ZH_OK && i < count; i++) {
    const char *text;
    size_t length;
    zh_gguf_next_string(&text, &length, &at);
    all[i].merge.rank = i;
    if (!parse_merge(&all[i], t, text, length))
      status =
          zh_fail(err, ZH_ERR_INPUT,
                  "merge %u in tokenizer.ggml.merges is not two tokens of the vocabulary, with "
                  "a space between, that make a third",
                  i);
  }
  if (status == ZH_OK) status = group_merges(t, all, count, err);
  free(all);
  return status;
}

static int64_t declared_id(const zh_tokenizer *t, const zh_model *model, const char *key) {
  uint64_t id;
  return zh_gguf_uint(&id, zh_gguf_find(model, key)) && id < t->vocab ? (int64_t)id : -1;
}

static zh_status read_special(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  t->declared = (zh_special_tokens){
      .bos = declared_id(t, model, "tokenizer.ggml.bos_token_id"),
      .eos = declared_id(t, model, "tokenizer.ggml.eos_token_id"),
      .unknown = declared_id(t, model, "tokenizer.ggml.unknown_token_id"),
      .padding = declared_id(t, model, "tokenizer.ggml.padding_token_id"),
  };
  (void)zh_gguf_bool(&t->declared.add_bos, zh_gguf_find(model, "tokenizer.ggml.add_bos_token"));
  if (t->declared.add_bos && t->declared.bos < 0)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "tokenizer.ggml.add_bos_token is set, but tokenizer.ggml.bos_token_id names no token");
  for (uint32_t byte = 0; byte < 256; byte++) {
    char character[4];
    int length = zh_utf8_encode(character, character_of_byte(byte));
    t->of_byte[byte] = find_text(t, character, (size_t)length);
  }
  return ZH_OK;
}

static zh_status check_kind(char pre[64], const zh_model *model, zh_error *err) {
  const char *kind = "", *name = "default";
  size_t length = 0, name_length = strlen(name);
  if (!zh_gguf_string(&kind, &length, zh_gguf_find(model, "tokenizer.ggml.model")) || length != 4 ||
      memcmp(kind, "gpt2", 4) != 0)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "the tokenizer '%.*s' is not supported yet; this version has byte-level BPE (gpt2)",
        (int)(length < 32 && zh_name_is_clean(kind, length) ? length : 0), kind);
  const zh_gguf_value *value = zh_gguf_find(model, "tokenizer.ggml.pre");
  if (value != NULL && (!zh_gguf_string(&name, &name_length, value) || name_length > 63 ||
                        !zh_name_is_clean(name, name_length)))
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.pre must be a short text");
  memcpy(pre, name, name_length);
  pre[name_length] = '\0';
  return ZH_OK;
}

static zh_status fill(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  char pre[64];
  ZH_TRY(check_kind(pre, model, err));
  ZH_TRY(zh_pretokenizer_create(&t->pretokenizer, &t->whole_words, pre, err));
  ZH_TRY(read_tokens(t, model, err));
  ZH_TRY(read_special(t, model, err));
  return read_merges(t, model, err);
}

zh_status zh_tokenizer_create(zh_tokenizer **out, const zh_model *model, zh_error *err) {
  zh_tokenizer *t = calloc(1, sizeof *t);
  if (t == NULL) return no_memory(err);
  zh_status status = fill(t, model, err);
  if (status == ZH_OK) {
    *out = t;
    return ZH_OK;
  }
  if (err != NULL) zh_error_prefix(err, "%s", model->path);
  zh_tokenizer_free(t);
  return status;
}

void zh_tokenizer_free(zh_tokenizer *t) {
  if (t == NULL) return;
  zh_pretokenizer_free(t->pretokenizer);
  free(t->tokens);
  free(t->all.ids);
  free(t->special.ids);
  free(t->user_defined.ids);
  free(t->merges.first);
  free(t->merges.pairs);
  free(t);
}

/* --- text to tokens --- */

typedef struct output {
  const zh_tokenizer *t;
  zh_bpe_room *room;
  uint32_t *tokens;
  size_t count, capacity;
} output;

static bool reserve(output *o, size_t more) {
  if (more <= o->capacity - o->count) return true;
  size_t capacity = (o->count + more) * 3 / 2 + 64;
  uint32_t *grown = realloc(o->tokens, capacity * sizeof *grown);
  if (grown == NULL) return false;
  o->tokens = grown;
  o->capacity = capacity;
  return true;
}

static uint32_t whole_word(const zh_tokenizer *t, const char *piece, size_t length) {
  char text[512];
  size_t written = 0;
  if (length > sizeof text / 2) return NONE;
  for (size_t i = 0; i < length; i++)
    written += (size_t)zh_utf8_encode(text + written, character_of_byte((unsigned char)piece[i]));
  return find_text(t, text, written);
}

/* Bytes that the vocabulary lacks have no token and are left out, as published tokenizers do. */
static zh_status add_piece(void *user, const char *piece, size_t length, zh_error *err) {
  output *o = user;
  if (!reserve(o, length)) return no_memory(err);
  uint32_t whole = o->t->whole_words ? whole_word(o->t, piece, length) : NONE;
  if (whole != NONE) {
    o->tokens[o->count++] = whole;
    return ZH_OK;
  }
  uint32_t *tokens = o->tokens + o->count;
  size_t count = 0;
  for (size_t i = 0; i < length; i++) {
    uint32_t token = o->t->of_byte[(unsigned char)piece[i]];
    if (token != NONE) tokens[count++] = token;
  }
  size_t merged = zh_bpe_merge(tokens, count, &o->t->merges, o->room);
  if (merged == SIZE_MAX) return no_memory(err);
  o->count += merged;
  return ZH_OK;
}

/* The longest of the index's texts that begins at text[0], by narrowing the sorted ids letter after
 * letter. */
static uint32_t longest_at(size_t *length, const zh_tokenizer *t, const text_index *index,
                           const char *text, size_t left) {
  size_t low = 0, high = index->count;
  uint32_t best = NONE;
  for (size_t depth = 0; depth < left && low < high; depth++) {
    unsigned char wanted = (unsigned char)text[depth];
    size_t a = low, b = high;
    while (a < b) { /* first text whose letter at depth is >= wanted; all are longer than depth */
      size_t middle = a + (b - a) / 2;
      const token_text *token = &t->tokens[index->ids[middle]];
      if ((unsigned char)token->bytes[depth] < wanted)
        a = middle + 1;
      else
        b = middle;
    }
    low = a;
    b = high;
    while (a < b) {
      size_t middle = a + (b - a) / 2;
      const token_text *token = &t->tokens[index->ids[middle]];
      if ((unsigned char)token->bytes[depth] <= wanted)
        a = middle + 1;
      else
        b = middle;
    }
    high = a;
    for (; low < high && t->tokens[index->ids[low]].length == depth + 1; low++)
      if (*length != depth + 1) {
        *length = depth + 1; /* of equal texts the lowest id stands first */
        best = index->ids[low];
      }
  }
  return best;
}

static zh_status tokenize_all(output *o, const char *text, size_t length, const text_index *special,
                              zh_error *err) {
  size_t plain = 0;
  for (size_t at = 0; at < length && special->count > 0;) {
    size_t matched = 0;
    uint32_t token = longest_at(&matched, o->t, special, text + at, length - at);
    if (token == NONE) {
      at++;
      continue;
    }
    ZH_TRY(zh_pretokenize(o->t->pretokenizer, text + plain, at - plain, add_piece, o, err));
    if (!reserve(o, 1)) return no_memory(err);
    o->tokens[o->count++] = token;
    plain = at += matched;
  }
  return zh_pretokenize(o->t->pretokenizer, text + plain, length - plain, add_piece, o, err);
}

zh_status zh_tokenize(uint32_t **tokens, size_t *count, const zh_tokenizer *t, const char *text,
                      size_t length, bool add_bos, bool parse_special, zh_error *err) {
  size_t valid = zh_utf8_valid_prefix(text, length);
  if (valid != length)
    return zh_fail(err, ZH_ERR_INPUT, "the text is not valid UTF-8 at byte %zu", valid);
  if (length >= UINT32_MAX / 4)
    return zh_fail(err, ZH_ERR_INPUT,
                   "a text of %zu bytes is too long; at most 1 GiB is tokenized at once", length);
  output o = {.t = t, .room = zh_bpe_room_create()};
  zh_status status = o.room != NULL && reserve(&o, 1) ? ZH_OK : no_memory(err);
  if (status == ZH_OK && add_bos && t->declared.add_bos)
    o.tokens[o.count++] = (uint32_t)t->declared.bos;
  if (status == ZH_OK)
    status = tokenize_all(&o, text, length, parse_special ? &t->special : &t->user_defined, err);
  zh_bpe_room_free(o.room);
  if (status != ZH_OK) {
    free(o.tokens);
    return status;
  }
  *tokens = o.tokens;
  *count = o.count;
  return ZH_OK;
}

/* --- tokens to text --- */

/* A normal token in bytes; one with a character outside the alphabet is taken as it is written. */
static void append_token(zh_text *out, const token_text *token) {
  size_t start = out->length;
  for (size_t i = 0; !token->literal && i < token->length;) {
    uint32_t character = 0;
    int step = zh_utf8_decode(&character, token->bytes + i, token->length - i);
    int byte = byte_of_character(character);
    if (byte < 0) {
      if (!out->failed && out->data != NULL) out->length = start;
      zh_text_append(out, token->bytes, token->length);
      return;
    }
    zh_text_append(out, &(char){(char)byte}, 1);
    i += (size_t)step;
  }
  if (token->literal) zh_text_append(out, token->bytes, token->length);
}

zh_status zh_detokenize(char **text, size_t *length, const zh_tokenizer *t, const uint32_t *tokens,
                        size_t count, zh_error *err) {
  zh_text out = {0};
  for (size_t i = 0; i < count; i++) {
    if (tokens[i] >= t->vocab) {
      zh_text_free(&out);
      return zh_fail(err, ZH_ERR_INPUT, "token %u is outside the vocabulary of %u", tokens[i],
                     t->vocab);
    }
    append_token(&out, &t->tokens[tokens[i]]);
  }
  char *copy = out.failed ? NULL : malloc(out.length + 1);
  if (copy != NULL) memcpy(copy, zh_text_string(&out), out.length + 1);
  *length = out.length;
  *text = copy;
  zh_text_free(&out);
  return copy != NULL ? ZH_OK : no_memory(err);
}

uint32_t zh_tokenizer_vocab(const zh_tokenizer *t) {
  return t->vocab;
}
zh_special_tokens zh_tokenizer_special(const zh_tokenizer *t) {
  return t->declared;
}
