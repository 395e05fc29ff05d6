/* Hugging Face's tokenizer.json: vocabulary, merges, added tokens; its steps are in json_steps.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"
#include "model/tokenizer/json_steps.h"

/* --- the vocabulary --- */

/* Ids may leave gaps, but no more than a file of this size can mean. */
static zh_status count_id(uint64_t *count, uint64_t entries, const json_t *id, zh_error *err) {
  uint64_t most = 4 * entries + 65536;
  if (!json_is_integer(id) || json_integer_value(id) < 0 ||
      (uint64_t)json_integer_value(id) >= most)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "tokenizer.json: a token's id must be a whole number below %llu (%llu tokens are "
        "listed)",
        (unsigned long long)most, (unsigned long long)entries);
  if ((uint64_t)json_integer_value(id) >= *count) *count = (uint64_t)json_integer_value(id) + 1;
  return ZH_OK;
}

static zh_status count_vocabulary(uint64_t *count, const json_t *vocab, const json_t *added,
                                  zh_error *err) {
  uint64_t entries = json_array_size(vocab) + json_object_size(vocab) + json_array_size(added);
  const char *text;
  const json_t *item;
  size_t i;
  *count = json_array_size(vocab);
  json_object_foreach((json_t *)(uintptr_t)vocab, text, item)
      ZH_TRY(count_id(count, entries, item, err));
  json_array_foreach(added, i, item)
      ZH_TRY(count_id(count, entries, json_object_get(item, "id"), err));
  if (*count == 0 || *count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the model has no vocabulary");
  return ZH_OK;
}

static zh_status put_token(zh_tokenizer *t, uint64_t id, const char *text, size_t length,
                           zh_error *err) {
  if (length > ZH_TOKEN_BYTES)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: token %llu is %zu bytes long; at most %d are allowed",
                   (unsigned long long)id, length, ZH_TOKEN_BYTES);
  t->texts[id] = zh_tokenizer_keep(t, text, length);
  t->kinds[id] = ZH_TOKEN_NORMAL;
  return t->texts[id].bytes != NULL ? ZH_OK : zh_tokenizer_no_memory(err);
}

static zh_status read_scored(zh_tokenizer *t, const json_t *vocab, zh_error *err) {
  const json_t *pair;
  size_t id;
  t->scores = zh_arena_alloc(t->arena, t->vocab + 1u, sizeof *t->scores);
  if (t->scores == NULL) return zh_tokenizer_no_memory(err);
  json_array_foreach(vocab, id, pair) {
    const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
    if (!json_is_string(text) || !json_is_number(score) || !isfinite(json_number_value(score)))
      return zh_fail(err, ZH_ERR_INPUT,
                     "tokenizer.json: entry %zu of the vocabulary is not a text and a score", id);
    t->scores[id] = json_number_value(score);
    ZH_TRY(put_token(t, id, json_string_value(text), json_string_length(text), err));
  }
  return ZH_OK;
}

static zh_status read_vocabulary(zh_tokenizer *t, const json_t *vocab, const json_t *added,
                                 zh_error *err) {
  uint64_t count;
  const char *text;
  const json_t *id;
  ZH_TRY(count_vocabulary(&count, vocab, added, err));
  ZH_TRY(zh_tokenizer_expect(t, (uint32_t)count, err));
  if (json_is_array(vocab)) return read_scored(t, vocab, err);
  json_object_foreach((json_t *)(uintptr_t)vocab, text, id)
      ZH_TRY(put_token(t, (uint64_t)json_integer_value(id), text, strlen(text), err));
  return ZH_OK;
}

/* --- added tokens --- */

static bool flag(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

/* Their texts join the vocabulary; what text becomes them is settled later. */
static zh_status read_added(zh_added_token **out, zh_tokenizer *t, const json_t *list,
                            zh_error *err) {
  const json_t *item;
  size_t i;
  *out = zh_arena_alloc(t->arena, json_array_size(list) + 1, sizeof **out);
  if (*out == NULL) return zh_tokenizer_no_memory(err);
  json_array_foreach(list, i, item) {
    const json_t *content = json_object_get(item, "content");
    uint32_t id = (uint32_t)json_integer_value(json_object_get(item, "id"));
    if (!json_is_string(content) || json_string_length(content) > ZH_SPECIAL_BYTES)
      return zh_fail(err, ZH_ERR_INPUT,
                     "tokenizer.json: the content of added token %u must be a text of at most %d "
                     "bytes",
                     id, ZH_SPECIAL_BYTES);
    ZH_TRY(put_token(t, id, json_string_value(content), json_string_length(content), err));
    (*out)[i] = (zh_added_token){.id = id,
                                 .text = t->texts[id],
                                 .special = flag(item, "special"),
                                 .left = flag(item, "lstrip"),
                                 .right = flag(item, "rstrip"),
                                 .single_word = flag(item, "single_word"),
                                 .normalized = flag(item, "normalized")};
    t->kinds[id] = (*out)[i].special ? ZH_TOKEN_CONTROL : ZH_TOKEN_USER_DEFINED;
  }
  return ZH_OK;
}

/* --- the model --- */

static zh_status refuse_option(const json_t *model, const char *key, zh_error *err) {
  const json_t *value = json_object_get(model, key);
  bool empty = value == NULL || json_is_null(value) ||
               (json_is_string(value) && json_string_length(value) == 0) ||
               (json_is_number(value) && json_number_value(value) == 0.0);
  return empty ? ZH_OK
               : zh_fail(err, ZH_ERR_INPUT,
                         "tokenizer.json: the model's option '%s' is not supported", key);
}

/* "left right", or ["left", "right"]. */
static bool parse_merge(zh_merge *out, const zh_tokenizer *t, const json_t *merge) {
  const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
  char joined[2 * ZH_TOKEN_BYTES];
  const char *left = json_string_value(a), *right = json_string_value(b);
  size_t left_length = json_string_length(a), right_length = json_string_length(b);
  if (json_is_string(merge)) {
    left = json_string_value(merge);
    const char *space = json_string_length(merge) > 1 ? strchr(left + 1, ' ') : NULL;
    if (space == NULL) return false;
    left_length = (size_t)(space - left);
    right = space + 1;
    right_length = json_string_length(merge) - left_length - 1;
  }
  if (left == NULL || right == NULL || left_length + right_length > sizeof joined) return false;
  memcpy(joined, left, left_length);
  memcpy(joined + left_length, right, right_length);
  out->left = zh_text_find(&t->by_text, left, left_length);
  out->right = zh_text_find(&t->by_text, right, right_length);
  out->merged = zh_text_find(&t->by_text, joined, left_length + right_length);
  return out->left != ZH_NO_TOKEN && out->right != ZH_NO_TOKEN && out->merged != ZH_NO_TOKEN;
}

static zh_status read_merges(zh_merges *merges, const zh_tokenizer *t, const json_t *list,
                             zh_error *err) {
  const json_t *item;
  size_t i;
  if (!json_is_array(list) || json_array_size(list) > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the model's merges must be a list");
  json_array_foreach(list, i, item) {
    zh_merge merge = {.rank = (uint32_t)i};
    if (!parse_merge(&merge, t, item))
      return zh_fail(err, ZH_ERR_INPUT,
                     "tokenizer.json: merge %zu is not two tokens of the vocabulary that make a "
                     "third",
                     i);
    if (!zh_merges_add(merges, merge)) return zh_tokenizer_no_memory(err);
  }
  return ZH_OK;
}

static zh_status read_unknown(zh_tokenizer *t, const json_t *model, zh_error *err) {
  const json_t *name = json_object_get(model, "unk_token"), *id = json_object_get(model, "unk_id");
  if (json_is_string(name)) {
    t->declared.unknown = zh_tokenizer_find(t, json_string_value(name), json_string_length(name));
    if (t->declared.unknown < 0)
      return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the model's unk_token is no token");
  } else if (json_is_integer(id)) {
    t->declared.unknown = json_integer_value(id);
    if (t->declared.unknown < 0 || t->declared.unknown >= t->vocab)
      return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the model's unk_id is no token");
  }
  return ZH_OK;
}

static zh_status read_bpe(zh_tokenizer *t, const json_t *model, zh_error *err) {
  static const char *const unsupported[] = {"dropout", "continuing_subword_prefix",
                                            "end_of_word_suffix"};
  zh_merges merges = {0};
  zh_bpe_symbols symbols;
  bool fallback = flag(model, "byte_fallback");
  for (int i = 0; i < 3; i++) ZH_TRY(refuse_option(model, unsupported[i], err));
  zh_status status = read_merges(&merges, t, json_object_get(model, "merges"), err);
  zh_tokenizer_symbols(&symbols, t);
  symbols.fuse_unknown = flag(model, "fuse_unk");
  symbols.whole_pieces = flag(model, "ignore_merges");
  if (t->declared.unknown >= 0) symbols.unknown = (uint32_t)t->declared.unknown;
  if (fallback && !t->byte_level)
    symbols.byte_fallback = zh_tokenizer_byte_tokens(symbols.of_byte, t, true);
  if (status == ZH_OK) status = zh_bpe_create(&t->bpe, &symbols, &merges, err);
  free(merges.items);
  return status;
}

static zh_status read_unigram(zh_tokenizer *t, const json_t *model, size_t scored, zh_error *err) {
  zh_unigram_symbols symbols = {.vocab = t->vocab,
                                .texts = t->pieces,
                                .scores = t->scores,
                                .lowest = HUGE_VAL,
                                .unknown = ZH_NO_TOKEN};
  if (t->byte_level)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: Unigram after ByteLevel is not supported");
  if (t->declared.unknown >= 0) symbols.unknown = (uint32_t)t->declared.unknown;
  symbols.byte_fallback =
      flag(model, "byte_fallback") && zh_tokenizer_byte_tokens(symbols.of_byte, t, true);
  for (size_t id = 0; id < scored; id++) symbols.lowest = fmin(symbols.lowest, t->scores[id]);
  return zh_unigram_create(&t->unigram, &symbols, err);
}

/* Text can become what stands in the model's own vocabulary. */
static zh_status settle_pieces(zh_tokenizer *t, const json_t *vocab, zh_error *err) {
  const char *text;
  const json_t *id;
  size_t i;
  if (t->byte_level) return zh_tokenizer_read_alphabet(t, err);
  json_array_foreach(vocab, i, id) t->pieces[i] = t->texts[i];
  json_object_foreach((json_t *)(uintptr_t)vocab, text, id) t->pieces[json_integer_value(id)] =
      t->texts[json_integer_value(id)];
  return ZH_OK;
}

/* `tokenizers` gives normalized tokens back as they were normalized. */
static zh_status show_normalized(zh_tokenizer *t, const zh_added_token *added, size_t count,
                                 zh_error *err) {
  bool any = false;
  for (size_t i = 0; i < count; i++) any = any || added[i].normalized;
  if (!any || t->normalizer.count == 0) return ZH_OK;
  t->shown = zh_arena_alloc(t->arena, t->vocab + 1u, sizeof *t->shown);
  if (t->shown == NULL) return zh_tokenizer_no_memory(err);
  memcpy(t->shown, t->texts, t->vocab * sizeof *t->shown);
  return ZH_OK;
}

static const char *kind_of(const json_t *model) {
  const char *type = json_string_value(json_object_get(model, "type"));
  if (type != NULL) return type;
  return json_is_array(json_object_get(model, "vocab")) ? "Unigram" : "BPE";
}

zh_status zh_tokenizer_from_json(zh_tokenizer *t, const json_t *root, zh_error *err) {
  const json_t *model = json_object_get(root, "model");
  const json_t *vocab = json_object_get(model, "vocab");
  const json_t *list = json_object_get(root, "added_tokens");
  const char *kind = kind_of(model);
  bool unigram = strcmp(kind, "Unigram") == 0, byte_level = false;
  zh_added_token *added;
  if (!unigram && strcmp(kind, "BPE") != 0)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "tokenizer.json: the model '%.*s' is not supported; this version has BPE and "
        "Unigram",
        (int)(strlen(kind) < 32 && zh_name_is_clean(kind, strlen(kind)) ? strlen(kind) : 0), kind);
  if (unigram ? !json_is_array(vocab) : !json_is_object(vocab))
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the model has no vocabulary");
  ZH_TRY(zh_json_read_normalizer(t, json_object_get(root, "normalizer"), err));
  ZH_TRY(zh_json_read_pretokenizer(t, &byte_level, json_object_get(root, "pre_tokenizer"), err));
  ZH_TRY(read_vocabulary(t, vocab, list, err));
  t->byte_level = byte_level;
  ZH_TRY(settle_pieces(t, vocab, err));
  ZH_TRY(read_added(&added, t, list, err));
  ZH_TRY(zh_tokenizer_index(t, err));
  ZH_TRY(read_unknown(t, model, err));
  ZH_TRY(unigram ? read_unigram(t, model, json_array_size(vocab), err) : read_bpe(t, model, err));
  ZH_TRY(zh_json_read_decoder(t, json_object_get(root, "decoder"), err));
  ZH_TRY(zh_json_read_processor(t, json_object_get(root, "post_processor"), err));
  ZH_TRY(show_normalized(t, added, json_array_size(list), err));
  return zh_tokenizer_add_tokens(t, added, json_array_size(list), err);
}
