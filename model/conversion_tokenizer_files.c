/* The tokenizer of a GGUF file as files of a safetensors folder. */
#include <stdlib.h>

#include "model/conversion_room.h"
#include "model/tokenizer/tokenizer.h"

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
    int64_t type = ZH_TOKEN_NORMAL;
    zh_gguf_next_string(&bytes, &length, &at);
    (void)zh_gguf_item(&type, types, i);
    if (type == ZH_TOKEN_NEVER) continue;
    json_t *text = string_of(bytes, length);
    if (text == NULL || json_object_getn(vocabulary, bytes, length) != NULL) {
      json_decref(text);
      return false;
    }
    json_object_setn_new(vocabulary, bytes, length, json_integer((json_int_t)i));
    if (type == ZH_TOKEN_CONTROL || type == ZH_TOKEN_USER_DEFINED)
      json_array_append_new(added,
                            json_pack("{s:I, s:O, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i,
                                      "content", text, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                      "normalized", 0, "special", type == ZH_TOKEN_CONTROL));
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

/* A token that the file asks for at one end of each text; NULL: it does not. */
static json_t *around_text(const zh_model *model, const char *asks, bool otherwise,
                           const char *which) {
  bool add;
  if (!zh_gguf_bool(&add, zh_gguf_find(model, asks))) add = otherwise;
  return add ? special_text(model, which) : NULL;
}

static void put_around(json_t *template, const char *sequence, json_t *text, const char *which,
                       const zh_model *model) {
  uint64_t id = 0;
  if (text == NULL) return;
  (void)zh_gguf_uint(&id, zh_gguf_find(model, which));
  json_array_append_new(json_object_get(template, sequence),
                        json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", text, "type_id", 0));
  json_object_set_new(
      json_object_get(template, "special_tokens"), json_string_value(text),
      json_pack("{s:O, s:[I], s:[O]}", "id", text, "ids", (json_int_t)id, "tokens", text));
}

static void put_sequence(json_t *template, const char *sequence, const char *name, int type) {
  json_array_append_new(json_object_get(template, sequence),
                        json_pack("{s:{s:s, s:i}}", "Sequence", "id", name, "type_id", type));
}

/* BOS before each text, EOS behind it, as the file asks. */
static json_t *post_processor(const zh_model *model, bool add_bos) {
  static const char bos_id[] = "tokenizer.ggml.bos_token_id",
                    eos_id[] = "tokenizer.ggml.eos_token_id";
  json_t *bos = around_text(model, "tokenizer.ggml.add_bos_token", add_bos, bos_id),
         *eos = around_text(model, "tokenizer.ggml.add_eos_token", false, eos_id);
  if (bos == NULL && eos == NULL) return json_null();
  json_t *made = json_pack("{s:s, s:[], s:[], s:{}}", "type", "TemplateProcessing", "single",
                           "pair", "special_tokens");
  for (int both = 0; both < 2; both++) {
    const char *sequence = both ? "pair" : "single";
    put_around(made, sequence, bos, bos_id, model);
    put_sequence(made, sequence, "A", 0);
    put_around(made, sequence, eos, eos_id, model);
    if (!both) continue;
    put_around(made, sequence, bos, bos_id, model);
    put_sequence(made, sequence, "B", 1);
    put_around(made, sequence, eos, eos_id, model);
  }
  json_decref(bos);
  json_decref(eos);
  return made;
}

/* NULL where the tokenizer cannot be told so. */
static json_t *tokenizer_json(const zh_model *model, const char *pre,
                              const zh_pretokenizer_facts *facts) {
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
                   "pre_tokenizer", zh_pretokenizer_json(pre), "post_processor",
                   post_processor(model, facts->add_bos), "decoder", bytes, "model", "type", "BPE",
                   "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", (int)facts->whole_pieces,
                   "vocab", vocabulary, "merges", merges);
}

static bool is_model(const zh_model *model, const char *name) {
  const char *word = "";
  size_t length = 0;
  (void)zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.model"));
  return length == strlen(name) && memcmp(word, name, length) == 0;
}

/* tokenizer_config.json, with what transformers asks there. */
static json_t *about_json(const zh_model *model) {
  static const char *const specials[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                            {"eos_token", "tokenizer.ggml.eos_token_id"},
                                            {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                            {"pad_token", "tokenizer.ggml.padding_token_id"}};
  bool pieces = is_model(model, "llama"), unigram = is_model(model, "t5"), add;
  json_t *about = json_pack("{s:s, s:b}", "tokenizer_class",
                            pieces    ? "LlamaTokenizer"
                            : unigram ? "T5Tokenizer"
                                      : "PreTrainedTokenizerFast",
                            "clean_up_tokenization_spaces", 0);
  if (zh_gguf_bool(&add, zh_gguf_find(model, "tokenizer.ggml.add_bos_token")))
    json_object_set_new(about, "add_bos_token", json_boolean(add));
  if (zh_gguf_bool(&add, zh_gguf_find(model, "tokenizer.ggml.add_eos_token")))
    json_object_set_new(about, "add_eos_token", json_boolean(add));
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

/* False where the tokenizer is no byte-level BPE of a known pre-tokenizer. */
static bool find_pretokenizer(char pre[64], zh_pretokenizer_facts *facts, const zh_model *model) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens"),
                      *stated = zh_gguf_find(model, "tokenizer.ggml.pre");
  const char *word = "default";
  size_t length = strlen(word);
  if (!is_model(model, "gpt2") || tokens == NULL || tokens->type != ZH_GGUF_ARRAY ||
      tokens->item_type != ZH_GGUF_STRING ||
      (stated != NULL && !zh_gguf_string(&word, &length, stated)) || length > 63)
    return false;
  memcpy(pre, word, length);
  pre[length] = '\0';
  return zh_pretokenizer_known(facts, pre);
}

zh_status zh_tokenizer_to_files(zh_conversion *c, zh_error *err) {
  const zh_model *model = c->model;
  if (!zh_gguf_names_tokenizer(model)) return ZH_OK;
  if (zh_sentencepiece_from_gguf(c))
    return add_document(c, "tokenizer_config.json", about_json(model), err);
  char pre[64];
  zh_pretokenizer_facts facts;
  bool known = find_pretokenizer(pre, &facts, model);
  json_t *document = known ? tokenizer_json(model, pre, &facts) : NULL;
  if (document == NULL) {
    zh_conversion_add_note(c, "the tokenizer did not come along, because it is no byte-level BPE "
                              "with a known pre-tokenizer and no sentencepiece model: put its "
                              "tokenizer.json into the folder");
    return ZH_OK;
  }
  ZH_TRY(add_document(c, "tokenizer.json", document, err));
  return add_document(c, "tokenizer_config.json", about_json(model), err);
}
