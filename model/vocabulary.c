/* Which tokens a model's own tokenizer can give: ids it knows, and of those the ones that text can
 * become. A byte-level BPE makes a token of one character, of a merge, or because it is special. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"
#include "model/tokenizer/pretokenizer.h"

enum { TOKENIZER_BYTES_MAX = 256 * 1024 * 1024 };
enum { TYPE_NORMAL = 1, TYPE_UNUSED = 5 }; /* tokenizer.ggml.token_type */

void zh_vocabulary_free(zh_vocabulary *v) {
  free(v->state);
  *v = (zh_vocabulary){0};
}

static zh_status create(zh_vocabulary *v, uint64_t count, zh_error *err) {
  v->count = count;
  v->state = calloc((size_t)count + 1, 1);
  return v->state != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (vocabulary)");
}

static bool is_one_character(const char *text, size_t length) {
  uint32_t character;
  return length > 0 && zh_utf8_decode(&character, text, length) == (int)length;
}

/* "<0x0A>" */
static bool is_byte(const char *text, size_t length) {
  return length == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>';
}

/* --- a set of strings, sorted --- */

typedef struct word {
  const char *text;
  size_t length;
} word;

static int by_text(const void *x, const void *y) {
  const word *a = x, *b = y;
  size_t shorter = a->length < b->length ? a->length : b->length;
  int order = memcmp(a->text, b->text, shorter);
  return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* Merged words live in the arena. */
static bool add_merge(word *out, zh_arena *arena, const char *left, size_t left_length,
                      const char *right, size_t right_length) {
  char *text = zh_arena_alloc(arena, left_length + right_length + 1, 1);
  if (text == NULL) return false;
  memcpy(text, left, left_length);
  memcpy(text + left_length, right, right_length);
  *out = (word){text, left_length + right_length};
  return true;
}

/* "left right": neither part holds a space in a byte-level alphabet. */
static bool add_joined(word *out, zh_arena *arena, const char *text, size_t length) {
  const char *space = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
  if (space == NULL) return add_merge(out, arena, text, length, "", 0);
  size_t left = (size_t)(space - text);
  return add_merge(out, arena, text, left, space + 1, length - left - 1);
}

static void judge(zh_vocabulary *v, uint64_t id, const char *text, size_t length,
                  const word *merges, size_t count) {
  word wanted = {text, length};
  bool reached = is_one_character(text, length) || is_byte(text, length) ||
                 bsearch(&wanted, merges, count, sizeof wanted, by_text) != NULL;
  v->state[id] = reached ? ZH_TOKEN_USED : ZH_TOKEN_UNMERGED;
}

/* --- GGUF --- */

static bool is_array(const zh_gguf_value *value, uint32_t item_type) {
  return value != NULL && value->type == ZH_GGUF_ARRAY && value->item_type == item_type;
}

/* Only where every piece is made by merges: some pre-tokenizers take a whole word that is a token.
 */
static bool merges_decide(const zh_model *model) {
  const char *kind = NULL, *pre = NULL;
  size_t kind_length = 0, pre_length = 0;
  zh_pretokenizer_facts facts;
  char name[64] = {0};
  if (!zh_gguf_string(&kind, &kind_length, zh_gguf_find(model, "tokenizer.ggml.model")) ||
      kind_length != 4 || memcmp(kind, "gpt2", 4) != 0 ||
      !zh_gguf_string(&pre, &pre_length, zh_gguf_find(model, "tokenizer.ggml.pre")) ||
      pre_length >= sizeof name)
    return false;
  memcpy(name, pre, pre_length);
  return zh_pretokenizer_known(&facts, name) && !facts.whole_pieces;
}

static zh_status gguf_merges(word **out, size_t *count, zh_arena *arena, const zh_model *model,
                             zh_error *err) {
  const zh_gguf_value *merges = zh_gguf_find(model, "tokenizer.ggml.merges");
  if (!is_array(merges, ZH_GGUF_STRING)) return ZH_OK;
  const unsigned char *at = merges->data;
  *out = calloc((size_t)merges->count + 1, sizeof **out);
  bool enough = *out != NULL;
  for (uint64_t i = 0; enough && i < merges->count; i++) {
    const char *text;
    size_t length;
    zh_gguf_next_string(&text, &length, &at);
    enough = add_joined(&(*out)[(*count)++], arena, text, length);
  }
  if (!enough) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (merges)");
  qsort(*out, *count, sizeof **out, by_text);
  return ZH_OK;
}

static zh_status read_gguf(zh_vocabulary *v, const zh_model *model, zh_arena *arena,
                           zh_error *err) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  const zh_gguf_value *types = zh_gguf_find(model, "tokenizer.ggml.token_type");
  if (!is_array(tokens, ZH_GGUF_STRING)) return ZH_OK;
  ZH_TRY(create(v, tokens->count, err));
  word *merges = NULL;
  size_t merge_count = 0;
  bool decide = merges_decide(model);
  if (decide) ZH_TRY(gguf_merges(&merges, &merge_count, arena, model, err));
  const unsigned char *at = tokens->data;
  for (uint64_t i = 0; i < tokens->count; i++) {
    const char *text;
    size_t length;
    int64_t type = TYPE_NORMAL;
    zh_gguf_next_string(&text, &length, &at);
    if (types != NULL && !zh_gguf_item(&type, types, i)) type = TYPE_NORMAL;
    v->state[i] = type == TYPE_UNUSED ? ZH_TOKEN_UNUSED : ZH_TOKEN_USED;
    if (decide && merge_count > 0 && type == TYPE_NORMAL)
      judge(v, i, text, length, merges, merge_count);
  }
  free(merges);
  return ZH_OK;
}

/* --- tokenizer.json --- */

static bool valid_id(const json_t *value, uint64_t limit) {
  return json_is_integer(value) && json_integer_value(value) >= 0 &&
         (uint64_t)json_integer_value(value) < limit;
}

/* One more than the largest id. Ids beyond what a table can have mean nothing. */
static uint64_t count_ids(const json_t *vocabulary, const json_t *added) {
  const uint64_t limit = UINT64_C(1) << 28;
  uint64_t count = 0;
  const char *text;
  const json_t *value;
  size_t i;
  json_object_foreach((json_t *)vocabulary, text, value) {
    if (valid_id(value, limit) && (uint64_t)json_integer_value(value) >= count)
      count = (uint64_t)json_integer_value(value) + 1;
  }
  json_array_foreach(added, i, value) {
    const json_t *id = json_object_get(value, "id");
    if (valid_id(id, limit) && (uint64_t)json_integer_value(id) >= count)
      count = (uint64_t)json_integer_value(id) + 1;
  }
  return count;
}

static zh_status json_merges(word **out, size_t *count, zh_arena *arena, const json_t *list,
                             zh_error *err) {
  const json_t *merge;
  size_t i;
  bool enough = (*out = calloc(json_array_size(list) + 1, sizeof **out)) != NULL;
  json_array_foreach(list, i, merge) {
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (!enough) break;
    if (json_is_string(merge))
      enough = add_joined(&(*out)[(*count)++], arena, json_string_value(merge),
                          json_string_length(merge));
    else if (json_is_string(left) && json_is_string(right))
      enough =
          add_merge(&(*out)[(*count)++], arena, json_string_value(left), json_string_length(left),
                    json_string_value(right), json_string_length(right));
  }
  if (!enough) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (merges)");
  qsort(*out, *count, sizeof **out, by_text);
  return ZH_OK;
}

static zh_status fill_json(zh_vocabulary *v, const json_t *root, zh_arena *arena, zh_error *err) {
  const json_t *model = json_object_get(root, "model"),
               *added = json_object_get(root, "added_tokens");
  const json_t *vocabulary = json_object_get(model, "vocab"), *value;
  const char *text, *type = json_string_value(json_object_get(model, "type"));
  const json_t *list = json_object_get(model, "merges");
  bool bpe = type == NULL || strcmp(type, "BPE") == 0;
  bool decide =
      bpe && json_array_size(list) > 0 && !json_is_true(json_object_get(model, "ignore_merges"));
  word *merges = NULL;
  size_t merge_count = 0, i;
  if (json_is_array(vocabulary)) { /* Unigram: ids are places in the list */
    ZH_TRY(create(v, json_array_size(vocabulary), err));
    memset(v->state, ZH_TOKEN_USED, (size_t)v->count);
    return ZH_OK;
  }
  ZH_TRY(create(v, count_ids(vocabulary, added), err));
  memset(v->state, ZH_TOKEN_UNUSED, (size_t)v->count); /* ids that stand nowhere */
  if (decide) ZH_TRY(json_merges(&merges, &merge_count, arena, list, err));
  json_object_foreach((json_t *)vocabulary, text, value) {
    if (!valid_id(value, v->count)) continue;
    uint64_t id = (uint64_t)json_integer_value(value);
    v->state[id] = ZH_TOKEN_USED;
    if (decide) judge(v, id, text, strlen(text), merges, merge_count);
  }
  json_array_foreach(added, i, value) {
    const json_t *id = json_object_get(value, "id");
    if (valid_id(id, v->count)) v->state[json_integer_value(id)] = ZH_TOKEN_USED;
  }
  free(merges);
  return ZH_OK;
}

static zh_status read_folder(zh_vocabulary *v, const zh_model *model, zh_arena *arena,
                             zh_error *err) {
  char path[4096];
  json_t *root = NULL;
  if (snprintf(path, sizeof path, "%s/tokenizer.json", model->path) >= (int)sizeof path ||
      !zh_is_file(path))
    return ZH_OK;
  ZH_TRY(zh_json_load_file(&root, path, TOKENIZER_BYTES_MAX, err));
  zh_status status = fill_json(v, root, arena, err);
  json_decref(root);
  return status;
}

zh_status zh_model_vocabulary(zh_vocabulary *out, const zh_model *model, zh_error *err) {
  zh_arena *arena = NULL;
  *out = (zh_vocabulary){0};
  ZH_TRY(zh_arena_create(&arena, 0, err));
  zh_status status = strcmp(model->format, "gguf") == 0 ? read_gguf(out, model, arena, err)
                     : strcmp(model->format, "safetensors") == 0
                         ? read_folder(out, model, arena, err)
                         : ZH_OK;
  zh_arena_free(arena);
  if (status != ZH_OK) zh_vocabulary_free(out);
  return status;
}
