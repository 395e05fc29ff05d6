/* A tokenizer from a GGUF file's metadata. Texts of tokens stay in the mapping. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/room.h"
#include "model/tokenizer/tokenizer.h"

static bool is_list(const zh_gguf_value *value, uint32_t item_type) {
  return value != NULL && value->type == ZH_GGUF_ARRAY && value->item_type == item_type;
}

static zh_status read_token(zh_tokenizer *t, uint32_t id, const char *text, size_t length,
                            int64_t kind, zh_error *err) {
  if (length > INT32_MAX || zh_utf8_valid_prefix(text, length) != length)
    return zh_fail(err, ZH_ERR_INPUT, "token %u in tokenizer.ggml.tokens is not valid UTF-8", id);
  bool literal = kind == ZH_TOKEN_CONTROL || kind == ZH_TOKEN_USER_DEFINED;
  if (literal && length > ZH_SPECIAL_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "special token %u is %zu bytes long; at most %d are allowed",
                   id, length, ZH_SPECIAL_BYTES);
  t->texts[id] = (zh_slice){text, (uint32_t)length};
  t->kinds[id] =
      (uint8_t)(kind >= ZH_TOKEN_NORMAL && kind <= ZH_TOKEN_BYTE ? kind : ZH_TOKEN_NORMAL);
  return ZH_OK;
}

static zh_status read_tokens(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  const zh_gguf_value *texts = zh_gguf_find(model, "tokenizer.ggml.tokens");
  const zh_gguf_value *types = zh_gguf_find(model, "tokenizer.ggml.token_type");
  if (!is_list(texts, ZH_GGUF_STRING) || texts->count == 0 || texts->count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.tokens must be a list of texts");
  if (types != NULL && types->count != texts->count)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.token_type has %llu entries for %llu tokens",
                   (unsigned long long)types->count, (unsigned long long)texts->count);
  ZH_TRY(zh_tokenizer_expect(t, (uint32_t)texts->count, err));
  const unsigned char *at = texts->data;
  for (uint32_t id = 0; id < t->vocab; id++) {
    const char *text;
    size_t length;
    int64_t kind = ZH_TOKEN_NORMAL;
    zh_gguf_next_string(&text, &length, &at);
    if (types != NULL && !zh_gguf_item(&kind, types, id))
      return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.token_type must be a list of integers");
    ZH_TRY(read_token(t, id, text, length, kind, err));
  }
  return zh_tokenizer_index(t, err);
}

static int64_t declared_id(const zh_tokenizer *t, const zh_model *model, const char *key) {
  uint64_t id;
  return zh_gguf_uint(&id, zh_gguf_find(model, key)) && id < t->vocab ? (int64_t)id : -1;
}

static zh_status read_declared(zh_tokenizer *t, const zh_model *model, bool bos, zh_error *err) {
  bool eos = false;
  const zh_gguf_value *asks = zh_gguf_find(model, "tokenizer.ggml.add_bos_token");
  bool says = zh_gguf_bool(&bos, asks);
  t->declared.bos = declared_id(t, model, "tokenizer.ggml.bos_token_id");
  t->declared.eos = declared_id(t, model, "tokenizer.ggml.eos_token_id");
  t->declared.unknown = declared_id(t, model, "tokenizer.ggml.unknown_token_id");
  t->declared.padding = declared_id(t, model, "tokenizer.ggml.padding_token_id");
  (void)zh_gguf_bool(&eos, zh_gguf_find(model, "tokenizer.ggml.add_eos_token"));
  if (says && bos && t->declared.bos < 0)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "tokenizer.ggml.add_bos_token is set, but tokenizer.ggml.bos_token_id names no token");
  zh_tokenizer_put_around(t, bos, eos);
  return ZH_OK;
}

/* --- byte-level BPE --- */

/* "left right" as written in the file, to ids. */
static bool parse_merge(zh_merge *out, const zh_tokenizer *t, const char *text, size_t length) {
  const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
  char joined[ZH_TOKEN_BYTES];
  if (space == NULL || length > sizeof joined) return false;
  size_t left = (size_t)(space - text), right = length - left - 1;
  memcpy(joined, text, left);
  memcpy(joined + left, space + 1, right);
  out->left = zh_text_find(&t->by_text, text, left);
  out->right = zh_text_find(&t->by_text, space + 1, right);
  out->merged = zh_text_find(&t->by_text, joined, left + right);
  return out->left != ZH_NO_TOKEN && out->right != ZH_NO_TOKEN && out->merged != ZH_NO_TOKEN;
}

static int by_pair(const void *a, const void *b) {
  const zh_merge *x = a, *y = b;
  if (x->left != y->left) return x->left < y->left ? -1 : 1;
  if (x->right != y->right) return x->right < y->right ? -1 : 1;
  return (x->rank > y->rank) - (x->rank < y->rank);
}

static zh_status refuse_repeated(zh_merges *merges, zh_error *err) {
  if (merges->count > 1) qsort(merges->items, merges->count, sizeof *merges->items, by_pair);
  for (size_t i = 1; i < merges->count; i++) {
    const zh_merge *a = &merges->items[i - 1], *b = a + 1;
    if (a->left == b->left && a->right == b->right)
      return zh_fail(err, ZH_ERR_INPUT, "merges %u and %u in tokenizer.ggml.merges are the same",
                     a->rank, b->rank);
  }
  return ZH_OK;
}

static zh_status read_merges(zh_merges *merges, const zh_tokenizer *t, const zh_model *model,
                             zh_error *err) {
  const zh_gguf_value *texts = zh_gguf_find(model, "tokenizer.ggml.merges");
  if (!is_list(texts, ZH_GGUF_STRING) || texts->count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.merges must be a list of texts");
  const unsigned char *at = texts->data;
  for (uint32_t i = 0; i < texts->count; i++) {
    zh_merge merge = {.rank = i};
    const char *text;
    size_t length;
    zh_gguf_next_string(&text, &length, &at);
    if (!parse_merge(&merge, t, text, length))
      return zh_fail(err, ZH_ERR_INPUT,
                     "merge %u in tokenizer.ggml.merges is not two tokens of the vocabulary, with "
                     "a space between, that make a third",
                     i);
    if (!zh_merges_add(merges, merge)) return zh_tokenizer_no_memory(err);
  }
  return refuse_repeated(merges, err);
}

static zh_status name_of(char pre[64], const zh_model *model, zh_error *err) {
  const zh_gguf_value *value = zh_gguf_find(model, "tokenizer.ggml.pre");
  const char *name = "default";
  size_t length = strlen(name);
  if (value != NULL &&
      (!zh_gguf_string(&name, &length, value) || length > 63 || !zh_name_is_clean(name, length)))
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.ggml.pre must be a short text");
  memcpy(pre, name, length);
  pre[length] = '\0';
  return ZH_OK;
}

static zh_status read_byte_level(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  char pre[64];
  zh_pretokenizer_facts facts;
  zh_merges merges = {0};
  zh_bpe_symbols symbols;
  ZH_TRY(name_of(pre, model, err));
  ZH_TRY(zh_pretokenizer_by_name(&t->pretokenizer, &facts, pre, err));
  ZH_TRY(read_tokens(t, model, err));
  ZH_TRY(read_declared(t, model, facts.add_bos, err));
  ZH_TRY(zh_tokenizer_read_alphabet(t, err));
  zh_status status = read_merges(&merges, t, model, err);
  zh_tokenizer_symbols(&symbols, t);
  symbols.whole_pieces = facts.whole_pieces;
  if (status == ZH_OK) status = zh_bpe_create(&t->bpe, &symbols, &merges, err);
  free(merges.items);
  return status != ZH_OK ? status : zh_tokenizer_add_special(t, true, err);
}

/* --- sentencepiece's kinds --- */

static zh_status read_scores(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  const zh_gguf_value *scores = zh_gguf_find(model, "tokenizer.ggml.scores");
  if (!is_list(scores, ZH_GGUF_F32) || scores->count != t->vocab)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.ggml.scores must be a list of %u numbers (F32), one for each token",
                   t->vocab);
  t->scores = zh_arena_alloc(t->arena, t->vocab + 1u, sizeof *t->scores);
  if (t->scores == NULL) return zh_tokenizer_no_memory(err);
  for (uint32_t id = 0; id < t->vocab; id++) {
    float score;
    memcpy(&score, scores->data + 4 * (size_t)id, sizeof score);
    if (!isfinite(score))
      return zh_fail(err, ZH_ERR_INPUT,
                     "the score of token %u in tokenizer.ggml.scores is no number", id);
    t->scores[id] = (double)score;
  }
  return ZH_OK;
}

static zh_status read_charsmap(zh_charsmap *out, const zh_model *model, zh_error *err) {
  const zh_gguf_value *map = zh_gguf_find(model, "tokenizer.ggml.precompiled_charsmap");
  if (map == NULL || (map->type == ZH_GGUF_ARRAY && map->count == 0)) return ZH_OK;
  if ((!is_list(map, ZH_GGUF_U8) && !is_list(map, ZH_GGUF_I8)) ||
      !zh_charsmap_read(out, (const char *)map->data, (size_t)map->count))
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.ggml.precompiled_charsmap is no table of sentencepiece's");
  return ZH_OK;
}

static zh_status read_sentencepiece(zh_tokenizer *t, const zh_model *model, bool unigram,
                                    zh_error *err) {
  zh_sentencepiece_rules rules = {.dummy_prefix = true, .escape_whitespaces = true};
  rules.remove_extra_whitespaces = unigram;
  ZH_TRY(read_tokens(t, model, err));
  ZH_TRY(read_declared(t, model, !unigram, err));
  ZH_TRY(read_scores(t, model, err));
  ZH_TRY(read_charsmap(&rules.charsmap, model, err));
  (void)zh_gguf_bool(&rules.dummy_prefix, zh_gguf_find(model, "tokenizer.ggml.add_space_prefix"));
  (void)zh_gguf_bool(&rules.remove_extra_whitespaces,
                     zh_gguf_find(model, "tokenizer.ggml.remove_extra_whitespaces"));
  bool bytes = false;
  for (uint32_t id = t->vocab; id-- > 0;) {
    bytes = bytes || t->kinds[id] == ZH_TOKEN_BYTE;
    if (t->kinds[id] == ZH_TOKEN_UNKNOWN) t->declared.unknown = id;
  }
  ZH_TRY(zh_tokenizer_be_sentencepiece(t, rules, unigram, bytes, err));
  return zh_tokenizer_add_special(t, false, err);
}

zh_status zh_tokenizer_from_gguf(zh_tokenizer *t, const zh_model *model, zh_error *err) {
  const char *kind = "";
  size_t length = 0;
  char word[16] = "";
  if (zh_gguf_string(&kind, &length, zh_gguf_find(model, "tokenizer.ggml.model")) &&
      length < sizeof word)
    memcpy(word, kind, length);
  if (strcmp(word, "gpt2") == 0) return read_byte_level(t, model, err);
  if (strcmp(word, "llama") == 0) return read_sentencepiece(t, model, false, err);
  if (strcmp(word, "t5") == 0) return read_sentencepiece(t, model, true, err);
  return zh_fail(
      err, ZH_ERR_INPUT,
      "the tokenizer '%.*s' is not supported yet; this version has byte-level BPE (gpt2) "
      "and sentencepiece's BPE (llama) and unigram (t5)",
      (int)(length < 32 && zh_name_is_clean(kind, length) ? length : 0), kind);
}
