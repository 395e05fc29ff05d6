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
  return zh_json_says(post, "type", "TemplateProcessing") &&
         json_object_get(first, "SpecialToken") != NULL;
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

static zh_status put_bpe(zh_conversion *c, const json_t *root, const json_t *about, int kind,
                         zh_error *err) {
  const zh_architecture *a = &c->described.a;
  token *tokens = calloc(a->vocab, sizeof *tokens);
  if (tokens == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_status status = place_tokens(tokens, a->vocab, root, c->model->path, err);
  if (status == ZH_OK) {
    const char *pre = zh_pretokenizer_name(kind);
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
  int kind = zh_pretokenizer_in_json(root);
  bool known = zh_json_says(bpe, "type", "BPE") &&
               !json_is_true(json_object_get(bpe, "byte_fallback")) &&
               json_is_object(json_object_get(bpe, "vocab")) && kind >= 0;
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

zh_status zh_conversion_carry_tokenizer(zh_conversion *c, zh_error *err) {
  if (strcmp(c->model->format, "standard") == 0) {
    if (c->container == ZH_CONTAINER_GGUF) zh_put_words(c, "tokenizer.ggml.model", "no_vocab", 8);
    return ZH_OK;
  }
  if (!c->anew) /* the same format: GGUF's values have been copied */
    return c->container == ZH_CONTAINER_GGUF ? ZH_OK : copy_companions(c, err);
  return c->container == ZH_CONTAINER_GGUF ? to_gguf(c, err) : zh_tokenizer_to_files(c, err);
}
