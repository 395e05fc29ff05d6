/* The tokenizer of a converted model: byte-level BPE between tokenizer.json and GGUF's arrays,
 * sentencepiece's by conversion_sentencepiece.c, everything else as files where it stays in its
 * format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

enum { FILE_BYTES_MAX = 256 << 20 };

/* GGUF's token types (ggml's docs/gguf.md). */
enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

/* --- pre-tokenizers by their name in GGUF and by the patterns in tokenizer.json --- */

#define GPT4_PATTERN(digits)                                                                       \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+"    \
  "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
  const char *name;
  bool digits;         /* each digit by itself, first */
  const char *pattern; /* NULL: GPT-2's, which ByteLevel has built in */
  bool ignore_merges;
} pretokenizers[] = {{"gpt-2", false, NULL, false},
                     {"smollm", true, NULL, false},
                     {"llama-bpe", false, GPT4_PATTERN("\\p{N}{1,3}"), true},
                     {"qwen2", false, GPT4_PATTERN("\\p{N}"), false}};
enum { PRETOKENIZERS = sizeof pretokenizers / sizeof pretokenizers[0] };

static json_t *pretokenizer_json(size_t kind) {
  const char *pattern = pretokenizers[kind].pattern;
  json_t *bytes = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                            "trim_offsets", 1, "use_regex", pattern == NULL);
  if (pretokenizers[kind].digits)
    return json_pack("{s:s, s:[{s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type",
                     "Digits", "individual_digits", 1, bytes);
  if (pattern == NULL) return bytes;
  return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers",
                   "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated", "invert",
                   0, bytes);
}

static bool says(const json_t *object, const char *key, const char *word) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL && strcmp(text, word) == 0;
}

/* Steps of tokenizer.json's pre-tokenizer: digits, a pattern, bytes; false for any other. */
static bool take_step(const json_t *step, bool *digits, const char **pattern, bool *bytes) {
  if (says(step, "type", "Digits"))
    return *digits = json_is_true(json_object_get(step, "individual_digits"));
  if (says(step, "type", "Split")) {
    const json_t *what = json_object_get(json_object_get(step, "pattern"), "Regex");
    bool first = *pattern == NULL && says(step, "behavior", "Isolated") &&
                 !json_is_true(json_object_get(step, "invert"));
    *pattern = json_string_value(what);
    return first && *pattern != NULL;
  }
  *bytes =
      says(step, "type", "ByteLevel") && !json_is_true(json_object_get(step, "add_prefix_space"));
  return *bytes;
}

/* Index in the table, PRETOKENIZERS where it is none of these. */
static size_t pretokenizer_of(const json_t *root) {
  const json_t *pre = json_object_get(root, "pre_tokenizer");
  const json_t *steps = json_object_get(pre, "pretokenizers"), *step;
  bool digits = false, bytes = false, known = true;
  const char *pattern = NULL;
  size_t i, kind = 0;
  if (json_is_array(steps)) {
    json_array_foreach(steps, i, step) known = known && take_step(step, &digits, &pattern, &bytes);
  } else {
    known = take_step(pre, &digits, &pattern, &bytes);
  }
  for (; known && bytes && kind < PRETOKENIZERS; kind++) {
    const char *wanted = pretokenizers[kind].pattern;
    if (pretokenizers[kind].digits == digits && (wanted == NULL) == (pattern == NULL) &&
        (wanted == NULL || strcmp(wanted, pattern) == 0))
      return kind;
  }
  return PRETOKENIZERS;
}

/* --- files of a safetensors folder --- */

static const char *const companions[] = {"tokenizer.json",         "tokenizer.model",
                                         "tokenizer_config.json",  "special_tokens_map.json",
                                         "generation_config.json", "chat_template.jinja"};

static bool path_of(char *path, size_t capacity, const zh_model *model, const char *name) {
  snprintf(path, capacity, "%s/%s", model->path, name);
  return zh_is_dir(model->path) && zh_is_file(path);
}

static zh_status copy_companions(zh_conversion *c, zh_error *err) {
  char path[4096];
  for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++) {
    char *bytes = NULL;
    size_t length = 0;
    if (!path_of(path, sizeof path, c->model, companions[i])) continue;
    ZH_TRY(zh_read_file(&bytes, &length, path, FILE_BYTES_MAX, err));
    zh_text_append(zh_conversion_add_side(c, companions[i]), bytes, length);
    free(bytes);
  }
  return ZH_OK;
}

/* NULL where there is no such file. */
static zh_status load(json_t **out, const zh_model *model, const char *name, zh_error *err) {
  char path[4096];
  *out = NULL;
  if (!path_of(path, sizeof path, model, name)) return ZH_OK;
  return zh_json_load_file(out, path, FILE_BYTES_MAX, err);
}

/* --- tokenizer.json to GGUF --- */

typedef struct token {
  const char *text;
  int32_t type; /* 0: no token has this id */
} token;

static zh_status place_token(token *tokens, uint64_t count, const json_t *id, const char *text,
                             int32_t type, const char *name, zh_error *err) {
  json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
  if (at < 0 || (uint64_t)at >= count)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s/tokenizer.json: the token '%.40s' has an id outside the %llu of the model's "
                   "vocabulary",
                   name, text, (unsigned long long)count);
  tokens[at] = (token){text, type};
  return ZH_OK;
}

static zh_status place_tokens(token *tokens, uint64_t count, const json_t *root, const char *name,
                              zh_error *err) {
  json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab"), *id;
  const json_t *added;
  const char *text;
  size_t i;
  json_object_foreach(vocabulary, text, id)
      ZH_TRY(place_token(tokens, count, id, text, TOKEN_NORMAL, name, err));
  json_array_foreach(json_object_get(root, "added_tokens"), i, added) {
    bool special = json_is_true(json_object_get(added, "special"));
    text = json_string_value(json_object_get(added, "content"));
    if (text == NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s/tokenizer.json: an added token has no content", name);
    ZH_TRY(place_token(tokens, count, json_object_get(added, "id"), text,
                       special ? TOKEN_CONTROL : TOKEN_USER, name, err));
  }
  return ZH_OK;
}

static void put_tokens(zh_conversion *c, const token *tokens, uint64_t count) {
  char unused[32];
  zh_put_array(c, "tokenizer.ggml.tokens", ZH_GGUF_STRING, count);
  for (uint64_t i = 0; i < count; i++) {
    snprintf(unused, sizeof unused, "[PAD%llu]", (unsigned long long)i);
    const char *text = tokens[i].type != 0 ? tokens[i].text : unused;
    zh_put_item(c, text, strlen(text));
  }
  zh_put_array(c, "tokenizer.ggml.token_type", ZH_GGUF_I32, count);
  for (uint64_t i = 0; i < count; i++) {
    int32_t type = tokens[i].type != 0 ? tokens[i].type : TOKEN_UNUSED;
    zh_text_append(&c->values, (const char *)&type, sizeof type);
  }
}

/* "a b", or in newer files ["a", "b"]. */
static zh_status put_merges(zh_conversion *c, const json_t *merges, zh_error *err) {
  const json_t *merge;
  size_t i;
  char pair[1024];
  zh_put_array(c, "tokenizer.ggml.merges", ZH_GGUF_STRING, json_array_size(merges));
  json_array_foreach(merges, i, merge) {
    const char *a = json_string_value(json_array_get(merge, 0)),
               *b = json_string_value(json_array_get(merge, 1)), *whole = json_string_value(merge);
    if (a != NULL && b != NULL && (size_t)snprintf(pair, sizeof pair, "%s %s", a, b) < sizeof pair)
      whole = pair;
    if (whole == NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s/tokenizer.json: merge %zu is no pair of tokens",
                     c->model->path, i);
    zh_put_item(c, whole, strlen(whole));
  }
  return ZH_OK;
}

/* The id in config.json (the first of several), or of the token that tokenizer_config.json names;
 * tokens: NULL where they are not known by text. */
static void put_special(zh_conversion *c, const token *tokens, uint64_t count, const json_t *about,
                        const char *word, const char *key) {
  char name[64];
  snprintf(name, sizeof name, "%s_token_id", word);
  const json_t *id = json_object_get(c->model->config, name);
  if (json_is_array(id)) id = json_array_get(id, 0);
  json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
  snprintf(name, sizeof name, "%s_token", word);
  const json_t *text = json_object_get(about, name);
  if (json_is_object(text)) text = json_object_get(text, "content");
  for (uint64_t i = 0; tokens != NULL && json_is_string(text) && i < count; i++)
    if (tokens[i].type != 0 && strcmp(tokens[i].text, json_string_value(text)) == 0)
      at = (json_int_t)i;
  if (at >= 0 && (uint64_t)at < count) zh_put_count(c, key, (uint32_t)at);
}

/* Whether encoding begins with a special token: the template of the post-processor says. */
static bool begins_with_special(const json_t *post) {
  const json_t *step;
  size_t i;
  json_array_foreach(json_object_get(post, "processors"), i,
                     step) if (begins_with_special(step)) return true;
  const json_t *first = json_array_get(json_object_get(post, "single"), 0);
  return says(post, "type", "TemplateProcessing") && json_object_get(first, "SpecialToken") != NULL;
}

static void put_specials(zh_conversion *c, const token *tokens, uint64_t count, const json_t *root,
                         const json_t *about) {
  put_special(c, tokens, count, about, "bos", "tokenizer.ggml.bos_token_id");
  put_special(c, tokens, count, about, "eos", "tokenizer.ggml.eos_token_id");
  put_special(c, tokens, count, about, "unk", "tokenizer.ggml.unknown_token_id");
  put_special(c, tokens, count, about, "pad", "tokenizer.ggml.padding_token_id");
  const json_t *add = json_object_get(about, "add_bos_token");
  zh_put_bool(c, "tokenizer.ggml.add_bos_token",
              json_is_boolean(add) ? json_is_true(add)
                                   : begins_with_special(json_object_get(root, "post_processor")));
  const json_t *chat = json_object_get(about, "chat_template");
  if (json_is_string(chat))
    zh_put_words(c, "tokenizer.chat_template", json_string_value(chat), json_string_length(chat));
}

static zh_status put_bpe(zh_conversion *c, const json_t *root, const json_t *about, size_t kind,
                         zh_error *err) {
  const zh_architecture *a = &c->described.a;
  token *tokens = calloc(a->vocab, sizeof *tokens);
  if (tokens == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_status status = place_tokens(tokens, a->vocab, root, c->model->path, err);
  if (status == ZH_OK) {
    const char *pre = pretokenizers[kind].name;
    zh_put_words(c, "tokenizer.ggml.model", "gpt2", 4);
    zh_put_words(c, "tokenizer.ggml.pre", pre, strlen(pre));
    put_tokens(c, tokens, a->vocab);
    status = put_merges(c, json_object_get(json_object_get(root, "model"), "merges"), err);
    put_specials(c, tokens, a->vocab, root, about);
  }
  free(tokens);
  return status;
}

static zh_status to_gguf(zh_conversion *c, zh_error *err) {
  json_t *root = NULL, *about = NULL;
  ZH_TRY(load(&root, c->model, "tokenizer.json", err));
  zh_status status = load(&about, c->model, "tokenizer_config.json", err);
  const json_t *bpe = json_object_get(root, "model");
  size_t kind = pretokenizer_of(root);
  bool known = says(bpe, "type", "BPE") && !json_is_true(json_object_get(bpe, "byte_fallback")) &&
               json_is_object(json_object_get(bpe, "vocab")) && kind < PRETOKENIZERS;
  char path[4096];
  if (status == ZH_OK && known) {
    status = put_bpe(c, root, about, kind, err);
  } else if (status == ZH_OK && path_of(path, sizeof path, c->model, "tokenizer.model")) {
    status = zh_sentencepiece_to_gguf(c, path, about, err);
    put_specials(c, NULL, c->described.a.vocab, root, about);
  } else if (status == ZH_OK) {
    zh_put_words(c, "tokenizer.ggml.model", "no_vocab", 8);
    zh_conversion_add_note(
        c,
        root == NULL
            ? "the folder has no tokenizer.json: tokens of the GGUF file are numbers"
            : "the tokenizer did not come along, because it is neither byte-level BPE with a "
              "known pre-tokenizer nor a sentencepiece model: tokens of the GGUF file are numbers");
  }
  json_decref(root);
  json_decref(about);
  return status;
}

/* --- GGUF to tokenizer.json --- */

static json_t *string_of(const char *bytes, size_t length) {
  return json_stringn(bytes, length); /* NULL where it is no UTF-8 */
}

/* The vocabulary, and what is added to it; false where tokens are no UTF-8 or stand twice. */
static bool read_tokens(json_t *vocabulary, json_t *added, const zh_model *model) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens"),
                      *types = zh_gguf_find(model, "tokenizer.ggml.token_type");
  const unsigned char *at = tokens->data;
  for (uint64_t i = 0; i < tokens->count; i++) {
    const char *bytes;
    size_t length;
    int64_t type = TOKEN_NORMAL;
    zh_gguf_next_string(&bytes, &length, &at);
    (void)zh_gguf_item(&type, types, i);
    if (type == TOKEN_UNUSED) continue;
    json_t *text = string_of(bytes, length);
    if (text == NULL || json_object_getn(vocabulary, bytes, length) != NULL) {
      json_decref(text);
      return false;
    }
    json_object_setn_new(vocabulary, bytes, length, json_integer((json_int_t)i));
    if (type == TOKEN_CONTROL || type == TOKEN_USER)
      json_array_append_new(added,
                            json_pack("{s:I, s:O, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i,
                                      "content", text, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                      "normalized", 0, "special", type == TOKEN_CONTROL));
    json_decref(text);
  }
  return true;
}

static bool read_merges(json_t *merges, const zh_model *model) {
  const zh_gguf_value *value = zh_gguf_find(model, "tokenizer.ggml.merges");
  if (value == NULL || value->type != ZH_GGUF_ARRAY || value->item_type != ZH_GGUF_STRING)
    return false;
  const unsigned char *at = value->data;
  for (uint64_t i = 0; i < value->count; i++) {
    const char *bytes;
    size_t length;
    zh_gguf_next_string(&bytes, &length, &at);
    if (json_array_append_new(merges, string_of(bytes, length)) != 0) return false;
  }
  return true;
}

/* The text of a special token; a new reference, NULL where none is stated. */
static json_t *special_text(const zh_model *model, const char *key) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  uint64_t id;
  if (!zh_gguf_uint(&id, zh_gguf_find(model, key)) || id >= tokens->count) return NULL;
  const unsigned char *at = tokens->data;
  const char *bytes = "";
  size_t length = 0;
  for (uint64_t i = 0; i <= id; i++) zh_gguf_next_string(&bytes, &length, &at);
  return string_of(bytes, length);
}

static json_t *post_processor(const zh_model *model) {
  bool add = false;
  uint64_t id = 0;
  json_t *bos = special_text(model, "tokenizer.ggml.bos_token_id");
  if (!zh_gguf_bool(&add, zh_gguf_find(model, "tokenizer.ggml.add_bos_token")) || !add ||
      bos == NULL) {
    json_decref(bos);
    return json_null();
  }
  (void)zh_gguf_uint(&id, zh_gguf_find(model, "tokenizer.ggml.bos_token_id"));
  json_t *begin = json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", bos, "type_id", 0);
  json_t *made =
      json_pack("{s:s, s:[O, {s:{s:s, s:i}}], s:[O, {s:{s:s, s:i}}, O, {s:{s:s, s:i}}], s:{}}",
                "type", "TemplateProcessing", "single", begin, "Sequence", "id", "A", "type_id", 0,
                "pair", begin, "Sequence", "id", "A", "type_id", 0, begin, "Sequence", "id", "B",
                "type_id", 1, "special_tokens");
  json_object_set_new(
      json_object_get(made, "special_tokens"), json_string_value(bos),
      json_pack("{s:O, s:[I], s:[O]}", "id", bos, "ids", (json_int_t)id, "tokens", bos));
  json_decref(begin);
  json_decref(bos);
  return made;
}

/* NULL where the tokenizer cannot be told so. */
static json_t *tokenizer_json(const zh_model *model, size_t kind) {
  json_t *vocabulary = json_object(), *added = json_array(), *merges = json_array();
  if (!read_tokens(vocabulary, added, model) || !read_merges(merges, model)) {
    json_decref(vocabulary);
    json_decref(added);
    json_decref(merges);
    return NULL;
  }
  json_t *bytes = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
                            "trim_offsets", 1, "use_regex", 1);
  return json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, "
                   "s:b, s:o, s:o}}",
                   "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                   "pre_tokenizer", pretokenizer_json(kind), "post_processor",
                   post_processor(model), "decoder", bytes, "model", "type", "BPE", "dropout",
                   "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                   "byte_fallback", 0, "ignore_merges", (int)pretokenizers[kind].ignore_merges,
                   "vocab", vocabulary, "merges", merges);
}

/* tokenizer_config.json, with what transformers asks there. */
static json_t *about_json(const zh_model *model) {
  static const char *const specials[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                            {"eos_token", "tokenizer.ggml.eos_token_id"},
                                            {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                            {"pad_token", "tokenizer.ggml.padding_token_id"}};
  const char *word = "";
  size_t letters = 0;
  (void)zh_gguf_string(&word, &letters, zh_gguf_find(model, "tokenizer.ggml.model"));
  bool pieces = letters == 5 && memcmp(word, "llama", 5) == 0, add;
  json_t *about = json_pack("{s:s, s:b}", "tokenizer_class",
                            pieces ? "LlamaTokenizer" : "PreTrainedTokenizerFast",
                            "clean_up_tokenization_spaces", 0);
  if (zh_gguf_bool(&add, zh_gguf_find(model, "tokenizer.ggml.add_bos_token")))
    json_object_set_new(about, "add_bos_token", json_boolean(add));
  const char *chat;
  size_t length;
  for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
    json_t *text = special_text(model, specials[i][1]);
    if (text != NULL) json_object_set_new(about, specials[i][0], text);
  }
  if (zh_gguf_string(&chat, &length, zh_gguf_find(model, "tokenizer.chat_template"))) {
    json_t *text = string_of(chat, length);
    if (text != NULL) json_object_set_new(about, "chat_template", text);
  }
  return about;
}

static zh_status add_document(zh_conversion *c, const char *name, json_t *document, zh_error *err) {
  char *text = NULL;
  zh_status status = document == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", name)
                                      : zh_json_dump(&text, document, err);
  json_decref(document);
  if (status == ZH_OK) zh_text_puts(zh_conversion_add_side(c, name), text);
  free(text);
  return status;
}

static size_t stated_pretokenizer(const zh_model *model) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  const char *word;
  size_t length, kind = PRETOKENIZERS;
  if (!zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.model")) || length != 4 ||
      memcmp(word, "gpt2", 4) != 0 || tokens == NULL || tokens->type != ZH_GGUF_ARRAY ||
      tokens->item_type != ZH_GGUF_STRING ||
      !zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.pre")))
    return PRETOKENIZERS;
  for (kind = 0; kind < PRETOKENIZERS; kind++)
    if (strlen(pretokenizers[kind].name) == length &&
        memcmp(pretokenizers[kind].name, word, length) == 0)
      break;
  return kind;
}

static zh_status to_files(zh_conversion *c, zh_error *err) {
  const zh_model *model = c->model;
  if (!zh_gguf_names_tokenizer(model)) return ZH_OK;
  if (zh_sentencepiece_from_gguf(c))
    return add_document(c, "tokenizer_config.json", about_json(model), err);
  size_t kind = stated_pretokenizer(model);
  json_t *document = kind < PRETOKENIZERS ? tokenizer_json(model, kind) : NULL;
  if (document == NULL) {
    zh_conversion_add_note(c, "the tokenizer did not come along, because it is no byte-level BPE "
                              "with a known pre-tokenizer: put its tokenizer.json into the folder");
    return ZH_OK;
  }
  ZH_TRY(add_document(c, "tokenizer.json", document, err));
  return add_document(c, "tokenizer_config.json", about_json(model), err);
}

zh_status zh_conversion_carry_tokenizer(zh_conversion *c, zh_error *err) {
  if (strcmp(c->model->format, "standard") == 0) {
    if (c->container == ZH_CONTAINER_GGUF) zh_put_words(c, "tokenizer.ggml.model", "no_vocab", 8);
    return ZH_OK;
  }
  if (!c->anew) /* the same format: GGUF's values have been copied */
    return c->container == ZH_CONTAINER_GGUF ? ZH_OK : copy_companions(c, err);
  return c->container == ZH_CONTAINER_GGUF ? to_gguf(c, err) : to_files(c, err);
}
