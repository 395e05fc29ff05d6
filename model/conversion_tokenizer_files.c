/* The tokenizer of a GGUF file as files of a safetensors folder. */
#include <stdlib.h>

#include "model/conversion_room.h"

/* GGUF's token types (ggml's docs/gguf.md). */
enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

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
static json_t *tokenizer_json(const zh_model *model, int kind) {
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
                   "pre_tokenizer", zh_pretokenizer_json(kind), "post_processor",
                   post_processor(model), "decoder", bytes, "model", "type", "BPE", "dropout",
                   "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                   "byte_fallback", 0, "ignore_merges", (int)zh_pretokenizer_ignores_merges(kind),
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

static int stated_pretokenizer(const zh_model *model) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  const char *word;
  size_t length;
  if (!zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.model")) || length != 4 ||
      memcmp(word, "gpt2", 4) != 0 || tokens == NULL || tokens->type != ZH_GGUF_ARRAY ||
      tokens->item_type != ZH_GGUF_STRING ||
      !zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.pre")))
    return -1;
  return zh_pretokenizer_named(word, length);
}

zh_status zh_tokenizer_to_files(zh_conversion *c, zh_error *err) {
  const zh_model *model = c->model;
  if (!zh_gguf_names_tokenizer(model)) return ZH_OK;
  if (zh_sentencepiece_from_gguf(c))
    return add_document(c, "tokenizer_config.json", about_json(model), err);
  int kind = stated_pretokenizer(model);
  json_t *document = kind >= 0 ? tokenizer_json(model, kind) : NULL;
  if (document == NULL) {
    zh_conversion_add_note(c, "the tokenizer did not come along, because it is no byte-level BPE "
                              "with a known pre-tokenizer: put its tokenizer.json into the folder");
    return ZH_OK;
  }
  ZH_TRY(add_document(c, "tokenizer.json", document, err));
  return add_document(c, "tokenizer_config.json", about_json(model), err);
}
