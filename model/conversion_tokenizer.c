/* The tokenizer of a converted model: byte-level BPE between tokenizer.json and GGUF's arrays,
 * others by conversion_vocabulary.c; as files where it stays in its format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"
#include "model/tokenizer/tokenizer.h"

enum { FILE_BYTES_MAX = 256 << 20 };

/* --- files of a safetensors folder --- */

static const char *const companions[] = {"tokenizer.json",
                                         "tokenizer.model",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "generation_config.json",
                                         "chat_template.jinja",
                                         "vocab.json",
                                         "merges.txt",
                                         "qwen.tiktoken",
                                         "hy.tiktoken",
                                         "cl100k_base.tiktoken",
                                         "o200k_base.tiktoken"};

static bool path_of(char *path, size_t capacity, const zh_model *model, const char *name) {
  snprintf(path, capacity, "%s/%s", model->path, name);
  return zh_is_dir(model->path) && zh_is_file(path);
}

static zh_status copy_companion(zh_conversion *c, const char *name, zh_error *err) {
  char path[4096], *bytes = NULL;
  size_t length = 0;
  if (!path_of(path, sizeof path, c->model, name)) return ZH_OK;
  ZH_TRY(zh_read_file(&bytes, &length, path, FILE_BYTES_MAX, err));
  zh_text_append(zh_conversion_add_side(c, name), bytes, length);
  free(bytes);
  return ZH_OK;
}

static zh_status copy_companions(zh_conversion *c, zh_error *err) {
  for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++)
    ZH_TRY(copy_companion(c, companions[i], err));
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

static zh_status place_token(zh_converted_token *tokens, uint64_t count, const json_t *id,
                             const char *text, int32_t type, const char *name, zh_error *err) {
  json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
  if (at < 0 || (uint64_t)at >= count)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s/tokenizer.json: the token '%.40s' has an id outside the %llu of the model's "
                   "vocabulary",
                   name, text, (unsigned long long)count);
  tokens[at] = (zh_converted_token){.text = text, .length = strlen(text), .type = type};
  return ZH_OK;
}

static zh_status place_tokens(zh_converted_token *tokens, uint64_t count, const json_t *root,
                              const char *name, zh_error *err) {
  json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab"), *id;
  const json_t *added;
  const char *text;
  size_t i;
  json_object_foreach(vocabulary, text, id)
      ZH_TRY(place_token(tokens, count, id, text, ZH_TOKEN_NORMAL, name, err));
  json_array_foreach(json_object_get(root, "added_tokens"), i, added) {
    bool special = json_is_true(json_object_get(added, "special"));
    text = json_string_value(json_object_get(added, "content"));
    if (text == NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s/tokenizer.json: an added token has no content", name);
    ZH_TRY(place_token(tokens, count, json_object_get(added, "id"), text,
                       special ? ZH_TOKEN_CONTROL : ZH_TOKEN_USER_DEFINED, name, err));
  }
  return ZH_OK;
}

void zh_conversion_put_tokens(zh_conversion *c, const zh_converted_token *tokens, bool scored) {
  uint64_t count = c->described.a.vocab;
  char unused[32];
  zh_put_array(c, "tokenizer.ggml.tokens", ZH_GGUF_STRING, count);
  for (uint64_t i = 0; i < count; i++) {
    int length = snprintf(unused, sizeof unused, "[PAD%llu]", (unsigned long long)i);
    if (tokens[i].type != 0)
      zh_put_item(c, tokens[i].text, tokens[i].length);
    else
      zh_put_item(c, unused, (size_t)length);
  }
  if (scored) zh_put_array(c, "tokenizer.ggml.scores", ZH_GGUF_F32, count);
  for (uint64_t i = 0; scored && i < count; i++) {
    float score = tokens[i].type != 0 ? tokens[i].score : SCORE_NONE;
    zh_text_append(&c->values, (const char *)&score, sizeof score);
  }
  zh_put_array(c, "tokenizer.ggml.token_type", ZH_GGUF_I32, count);
  for (uint64_t i = 0; i < count; i++) {
    int32_t type = tokens[i].type != 0 ? tokens[i].type : ZH_TOKEN_NEVER;
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

/* Whether all that a normalizer does is to bring text to NFC; *does: whether it does anything. */
static bool is_composing(const json_t *normalizer, bool *does) {
  const json_t *step;
  size_t i;
  *does = normalizer != NULL && !json_is_null(normalizer);
  if (!*does || zh_json_says(normalizer, "type", "NFC")) return true;
  bool all = zh_json_says(normalizer, "type", "Sequence"), one;
  json_array_foreach(json_object_get(normalizer, "normalizers"), i, step) all =
      all && is_composing(step, &one);
  return all;
}

/* Added tokens that take the spaces beside them, or stand between words only. */
static zh_status note_choosy_tokens(zh_conversion *c, const json_t *root, zh_error *err) {
  static const char *const keys[] = {"lstrip", "rstrip", "single_word"};
  const json_t *added;
  size_t i, count = 0;
  json_array_foreach(json_object_get(root, "added_tokens"), i, added) {
    bool any = false;
    for (size_t k = 0; k < 3; k++) any |= json_is_true(json_object_get(added, keys[k]));
    count += any;
  }
  if (count == 0) return ZH_OK;
  const char *sentence = zh_arena_printf(
      c->arena,
      "%zu added tokens take the spaces beside them, or are found between words only (lstrip, "
      "rstrip, single_word): GGUF cannot say that",
      count);
  if (sentence == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_conversion_add_note(c, sentence);
  return ZH_OK;
}

static zh_status put_bpe(zh_conversion *c, const json_t *root, const char *pre, size_t length,
                         zh_error *err) {
  uint64_t count = c->described.a.vocab;
  bool composes;
  zh_converted_token *tokens = calloc(count, sizeof *tokens);
  if (tokens == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_status status = place_tokens(tokens, count, root, c->model->path, err);
  if (status == ZH_OK) {
    zh_put_words(c, "tokenizer.ggml.model", "gpt2", 4);
    zh_put_words(c, "tokenizer.ggml.pre", pre, length);
    zh_conversion_put_tokens(c, tokens, false);
    status = put_merges(c, json_object_get(json_object_get(root, "model"), "merges"), err);
  }
  free(tokens);
  (void)is_composing(json_object_get(root, "normalizer"), &composes);
  if (status == ZH_OK && composes) zh_conversion_add_note(c, ZH_NOTE_NFC);
  return status == ZH_OK ? note_choosy_tokens(c, root, err) : status;
}

/* --- what stands around texts --- */

/* As the tokenizer declares it, else as config.json does, of several the first. */
static void put_special(zh_conversion *c, int64_t declared, const char *stated, const char *key) {
  const json_t *id = json_object_get(c->model->config, stated);
  if (json_is_array(id)) id = json_array_get(id, 0);
  if (declared < 0 && json_is_integer(id)) declared = json_integer_value(id);
  if (declared >= 0 && declared < c->described.a.vocab) zh_put_count(c, key, (uint32_t)declared);
}

/* GGUF has one token before a text, BOS, and one behind it, EOS. */
static bool is_said_in_full(const zh_tokenizer *t) {
  return t->before_count <= 1 && t->after_count <= 1 &&
         (t->before_count == 0 || t->before[0] == t->declared.bos) &&
         (t->after_count == 0 || t->after[0] == t->declared.eos);
}

/* A text, a list of named ones of which "default" counts, or a file beside them. */
static zh_status put_chat(zh_conversion *c, const json_t *about, zh_error *err) {
  const json_t *chat = json_object_get(about, "chat_template"), *one;
  char path[4096], *bytes = NULL;
  size_t i, length = 0;
  json_array_foreach(chat, i, one) if (zh_json_says(one, "name", "default")) chat =
      json_object_get(one, "template");
  if (json_is_string(chat)) {
    zh_put_words(c, "tokenizer.chat_template", json_string_value(chat), json_string_length(chat));
    return ZH_OK;
  }
  if (!path_of(path, sizeof path, c->model, "chat_template.jinja")) return ZH_OK;
  ZH_TRY(zh_read_file(&bytes, &length, path, FILE_BYTES_MAX, err));
  zh_put_words(c, "tokenizer.chat_template", bytes, length);
  free(bytes);
  return ZH_OK;
}

static zh_status put_specials(zh_conversion *c, const zh_tokenizer *t, const json_t *about,
                              zh_error *err) {
  const zh_special_tokens none = {.bos = -1, .eos = -1, .unknown = -1, .padding = -1},
                          *d = t != NULL ? &t->declared : &none;
  put_special(c, d->bos, "bos_token_id", "tokenizer.ggml.bos_token_id");
  put_special(c, d->eos, "eos_token_id", "tokenizer.ggml.eos_token_id");
  put_special(c, d->unknown, "unk_token_id", "tokenizer.ggml.unknown_token_id");
  put_special(c, d->padding, "pad_token_id", "tokenizer.ggml.padding_token_id");
  zh_put_bool(c, "tokenizer.ggml.add_bos_token", d->add_bos && d->bos >= 0);
  zh_put_bool(c, "tokenizer.ggml.add_eos_token", d->add_eos && d->eos >= 0);
  if (t != NULL && !is_said_in_full(t))
    zh_conversion_add_note(c, "the tokenizer puts more tokens around a text than BOS and EOS: GGUF "
                              "can say no more than these");
  return put_chat(c, about, err);
}

/* --- which of them --- */

void zh_conversion_without_tokenizer(zh_conversion *c, const char *why) {
  const char *sentence = zh_arena_printf(
      c->arena, "the tokenizer did not come along, because %s: tokens of the GGUF file are numbers",
      why);
  zh_put_words(c, "tokenizer.ggml.model", "no_vocab", 8);
  zh_conversion_add_note(c, sentence != NULL ? sentence : why);
  c->without_tokenizer = true;
}

static const char *pretokenizer_of(size_t *length, const json_t *root) {
  const json_t *bpe = json_object_get(root, "model");
  bool does;
  if (!zh_json_says(bpe, "type", "BPE") || json_is_true(json_object_get(bpe, "byte_fallback")) ||
      !json_is_object(json_object_get(bpe, "vocab")) ||
      !is_composing(json_object_get(root, "normalizer"), &does))
    return NULL;
  return zh_pretokenizer_in_json(length, root);
}

/* Spaces become "▁", and one stands before the text (*prefix) or not. */
static bool marks_spaces(bool *prefix, const json_t *normalizer) {
  const json_t *list = json_object_get(normalizer, "normalizers");
  size_t count = json_is_array(list) ? json_array_size(list) : 1;
  bool replaces = false;
  for (size_t i = 0; i < count; i++) {
    const json_t *step = json_is_array(list) ? json_array_get(list, i) : normalizer;
    bool marks = zh_json_says(step, "type", "Replace") && zh_json_says(step, "content", "▁") &&
                 zh_json_says(json_object_get(step, "pattern"), "String", " "),
         begins = zh_json_says(step, "type", "Prepend") && zh_json_says(step, "prepend", "▁");
    if (!marks && !begins) return false;
    replaces |= marks;
    *prefix |= begins;
  }
  return replaces;
}

/* Steps of a tokenizer.json that was made of a sentencepiece model. */
static bool is_like_sentencepiece(bool *prefix, const json_t *root) {
  const json_t *bpe = json_object_get(root, "model"), *pre = json_object_get(root, "pre_tokenizer"),
               *normalizer = json_object_get(root, "normalizer");
  *prefix = false;
  if (!zh_json_says(bpe, "type", "BPE") || !json_is_true(json_object_get(bpe, "byte_fallback")))
    return false;
  if (zh_json_says(pre, "type", "Metaspace")) {
    *prefix = !zh_json_says(pre, "prepend_scheme", "never");
    return (normalizer == NULL || json_is_null(normalizer)) &&
           json_is_false(json_object_get(pre, "split")) && zh_json_says(pre, "replacement", "▁");
  }
  /* What would be split at spaces has none any more. */
  bool whole = pre == NULL || json_is_null(pre) ||
               zh_json_says(json_object_get(pre, "pattern"), "String", " ");
  return whole && marks_spaces(prefix, normalizer);
}

static zh_status choose(zh_conversion *c, const zh_tokenizer *t, const json_t *root,
                        const json_t *about, zh_error *err) {
  char path[4096];
  size_t length = 0;
  bool prefix = false, done = false;
  const char *pre = pretokenizer_of(&length, root);
  if (pre != NULL) return put_bpe(c, root, pre, length, err);
  if (root == NULL && t != NULL && t->regex.length > 0) return zh_ranks_to_gguf(c, t, err);
  if (path_of(path, sizeof path, c->model, "tokenizer.model"))
    return zh_sentencepiece_to_gguf(c, path, about, err);
  if (t != NULL && t->bpe != NULL && is_like_sentencepiece(&prefix, root))
    ZH_TRY(zh_merges_to_gguf(&done, c, t, prefix, err));
  if (!done)
    zh_conversion_without_tokenizer(
        c, root == NULL ? "the folder has none that is known"
                        : "it is neither byte-level BPE whose steps GGUF has a name for nor "
                          "like a sentencepiece model");
  return ZH_OK;
}

static zh_status to_gguf(zh_conversion *c, zh_error *err) {
  json_t *root = NULL, *about = NULL;
  const zh_tokenizer *t = NULL;
  ZH_TRY(load(&root, c->model, "tokenizer.json", err));
  zh_status status = load(&about, c->model, "tokenizer_config.json", err);
  if (zh_model_tokenizer(&t, c->model, NULL) != ZH_OK) t = NULL; /* weights come along without */
  if (status == ZH_OK) status = choose(c, t, root, about, err);
  if (status == ZH_OK && !c->without_tokenizer) status = put_specials(c, t, about, err);
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
