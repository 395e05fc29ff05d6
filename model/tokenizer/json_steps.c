#include "model/tokenizer/json_steps.h"

#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "model/room.h"
#include "model/tokenizer/published.h"

/* --- what they share --- */

static zh_status refuse(const char *what, const char *name, zh_error *err) {
  size_t length = strlen(name);
  return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: the %s '%.*s' is not supported", what,
                 (int)(length < 64 && zh_name_is_clean(name, length) ? length : 0), name);
}

static const char *type_of(const json_t *step) {
  const char *type = json_string_value(json_object_get(step, "type"));
  return type != NULL ? type : "";
}

static bool flag(const json_t *step, const char *key, bool otherwise) {
  const json_t *value = json_object_get(step, key);
  return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static zh_status text_of(zh_slice *out, zh_tokenizer *t, const json_t *value, const char *what,
                         zh_error *err) {
  if (!json_is_string(value) || json_string_length(value) > ZH_TOKEN_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: %s must be a text of at most %d bytes", what,
                   ZH_TOKEN_BYTES);
  *out = zh_tokenizer_keep(t, json_string_value(value), json_string_length(value));
  return out->bytes != NULL ? ZH_OK : zh_tokenizer_no_memory(err);
}

typedef zh_status (*read_step)(zh_tokenizer *t, void *user, const json_t *step, zh_error *err);

static zh_status each(zh_tokenizer *t, void *user, const json_t *step, const char *key,
                      read_step read, zh_error *err) {
  const json_t *list = json_object_get(step, key), *item;
  size_t i;
  if (!json_is_array(list))
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: a Sequence must have a list of %s", key);
  json_array_foreach(list, i, item) ZH_TRY(read(t, user, item, err));
  return ZH_OK;
}

/* {"String": text} or {"Regex": pattern}: one of the two is filled in. */
static zh_status read_pattern(zh_slice *text, zh_pattern **pattern, zh_tokenizer *t,
                              const json_t *value, zh_error *err) {
  const json_t *regex = json_object_get(value, "Regex");
  if (json_is_string(regex))
    return zh_pattern_create(pattern, json_string_value(regex), json_string_length(regex), true,
                             err);
  return text_of(text, t, json_object_get(value, "String"), "a pattern", err);
}

/* --- normalizers --- */

static zh_status read_charsmap(zh_charsmap *out, zh_tokenizer *t, const json_t *step,
                               zh_error *err) {
  const json_t *value = json_object_get(step, "precompiled_charsmap");
  const char *text = json_string_value(value);
  size_t length = json_string_length(value), padding = 0;
  if (text == NULL || length % 4 != 0 || length == 0)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json: precompiled_charsmap must be base64");
  while (padding < 2 && text[length - 1 - padding] == '=') padding++;
  size_t bytes = length / 4 * 3 - padding;
  char *data = zh_arena_alloc(t->arena, bytes + 1, 1);
  if (data == NULL) return zh_tokenizer_no_memory(err);
  if (!zh_base64_decode(data, bytes, text) || !zh_charsmap_read(out, data, bytes))
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: precompiled_charsmap is no table of sentencepiece's");
  return ZH_OK;
}

static zh_status read_replace(zh_normal_step *out, zh_tokenizer *t, const json_t *step,
                              zh_error *err) {
  ZH_TRY(read_pattern(&out->wanted, &out->pattern, t, json_object_get(step, "pattern"), err));
  out->kind = out->pattern != NULL ? ZH_NORMAL_REPLACE_PATTERN : ZH_NORMAL_REPLACE;
  return text_of(&out->replacement, t, json_object_get(step, "content"), "Replace's content", err);
}

static zh_status read_normal_step(zh_normal_step *out, zh_tokenizer *t, const json_t *step,
                                  zh_error *err) {
  static const struct {
    const char *type;
    zh_normal_kind kind;
  } plain[] = {{"NFC", ZH_NORMAL_NFC},
               {"NFD", ZH_NORMAL_NFD},
               {"NFKC", ZH_NORMAL_NFKC},
               {"NFKD", ZH_NORMAL_NFKD},
               {"Lowercase", ZH_NORMAL_LOWERCASE}};
  const char *type = type_of(step);
  for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
    if (strcmp(type, plain[i].type) == 0) {
      out->kind = plain[i].kind;
      return ZH_OK;
    }
  if (strcmp(type, "Prepend") == 0) {
    out->kind = ZH_NORMAL_PREPEND;
    return text_of(&out->replacement, t, json_object_get(step, "prepend"), "prepend", err);
  }
  if (strcmp(type, "Replace") == 0) return read_replace(out, t, step, err);
  if (strcmp(type, "Strip") == 0) {
    out->kind = ZH_NORMAL_STRIP;
    out->left = flag(step, "strip_left", true);
    out->right = flag(step, "strip_right", true);
    return ZH_OK;
  }
  if (strcmp(type, "Precompiled") == 0) {
    out->kind = ZH_NORMAL_CHARSMAP;
    return read_charsmap(&out->charsmap, t, step, err);
  }
  return refuse("normalizer", type, err);
}

static zh_status read_normalizer(zh_tokenizer *t, void *user, const json_t *step, zh_error *err) {
  if (json_is_null(step) || step == NULL) return ZH_OK;
  if (strcmp(type_of(step), "Sequence") == 0)
    return each(t, user, step, "normalizers", read_normalizer, err);
  if (t->normalizer.count == ZH_NORMAL_STEPS)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json has more than %d normalizers",
                   ZH_NORMAL_STEPS);
  zh_normal_step *made = &t->normalizer.steps[t->normalizer.count++];
  *made = (zh_normal_step){0};
  return read_normal_step(made, t, step, err);
}

zh_status zh_json_read_normalizer(zh_tokenizer *t, const json_t *step, zh_error *err) {
  return read_normalizer(t, NULL, step, err);
}

/* --- pre-tokenizers --- */

static zh_status read_behaviour(zh_split_behaviour *out, const json_t *step, zh_error *err) {
  static const char *const names[] = {
      [ZH_ISOLATED] = "Isolated",
      [ZH_REMOVED] = "Removed",
      [ZH_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
      [ZH_MERGED_WITH_NEXT] = "MergedWithNext",
      [ZH_CONTIGUOUS] = "Contiguous",
  };
  const char *name = json_string_value(json_object_get(step, "behavior"));
  *out = ZH_ISOLATED;
  for (int i = ZH_ISOLATED; i <= ZH_CONTIGUOUS; i++)
    if (name != NULL && strcmp(name, names[i]) == 0) {
      *out = (zh_split_behaviour)i;
      return ZH_OK;
    }
  return name == NULL ? ZH_OK : refuse("behavior", name, err);
}

static zh_status read_byte_level(zh_split_step *out, const json_t *step, zh_error *err) {
  static const char words[] = ZH_GPT2_WORDS;
  if (flag(step, "add_prefix_space", true)) out->prefix = ZH_PREFIX_ALWAYS;
  if (!flag(step, "use_regex", true)) return ZH_OK;
  return zh_pattern_create(&out->pattern, words, strlen(words), true, err);
}

static zh_status read_metaspace(zh_split_step *out, zh_tokenizer *t, const json_t *step,
                                zh_error *err) {
  const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
  out->kind = ZH_SPLIT_METASPACE;
  out->behaviour = ZH_MERGED_WITH_NEXT;
  out->whole = !flag(step, "split", true);
  out->prefix = flag(step, "add_prefix_space", true) ? ZH_PREFIX_ALWAYS : ZH_PREFIX_NEVER;
  if (scheme != NULL && strcmp(scheme, "always") == 0)
    out->prefix = ZH_PREFIX_ALWAYS;
  else if (scheme != NULL && strcmp(scheme, "first") == 0)
    out->prefix = ZH_PREFIX_FIRST;
  else if (scheme != NULL && strcmp(scheme, "never") == 0)
    out->prefix = ZH_PREFIX_NEVER;
  else if (scheme != NULL)
    return refuse("prepend_scheme", scheme, err);
  return text_of(&out->text, t, json_object_get(step, "replacement"), "Metaspace's replacement",
                 err);
}

static zh_status read_split(zh_split_step *out, zh_tokenizer *t, const json_t *step,
                            zh_error *err) {
  ZH_TRY(read_behaviour(&out->behaviour, step, err));
  out->invert = flag(step, "invert", false);
  ZH_TRY(read_pattern(&out->text, &out->pattern, t, json_object_get(step, "pattern"), err));
  if (out->pattern == NULL) out->kind = ZH_SPLIT_TEXT;
  return ZH_OK;
}

static zh_status read_split_step(zh_split_step *out, zh_tokenizer *t, const json_t *step,
                                 zh_error *err) {
  const char *type = type_of(step);
  if (strcmp(type, "Split") == 0) return read_split(out, t, step, err);
  if (strcmp(type, "ByteLevel") == 0) return read_byte_level(out, step, err);
  if (strcmp(type, "Metaspace") == 0) return read_metaspace(out, t, step, err);
  if (strcmp(type, "Digits") == 0) {
    const char *digits = flag(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+";
    return zh_pattern_create(&out->pattern, digits, strlen(digits), true, err);
  }
  if (strcmp(type, "Punctuation") == 0) {
    out->kind = ZH_SPLIT_PUNCTUATION;
    return read_behaviour(&out->behaviour, step, err);
  }
  if (strcmp(type, "WhitespaceSplit") == 0) {
    out->kind = ZH_SPLIT_WHITE_SPACE;
    out->behaviour = ZH_REMOVED;
    return ZH_OK;
  }
  if (strcmp(type, "CharDelimiterSplit") == 0) {
    out->kind = ZH_SPLIT_TEXT;
    out->behaviour = ZH_REMOVED;
    return text_of(&out->text, t, json_object_get(step, "delimiter"), "the delimiter", err);
  }
  return refuse("pre_tokenizer", type, err);
}

static zh_status read_pretokenizer(zh_tokenizer *t, void *user, const json_t *step, zh_error *err) {
  bool *byte_level = user;
  if (json_is_null(step) || step == NULL) return ZH_OK;
  if (strcmp(type_of(step), "Sequence") == 0)
    return each(t, user, step, "pretokenizers", read_pretokenizer, err);
  if (*byte_level)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: a pre_tokenizer after ByteLevel is not supported");
  if (t->pretokenizer.count == ZH_SPLIT_STEPS)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json has more than %d pre_tokenizers",
                   ZH_SPLIT_STEPS);
  zh_split_step *made = &t->pretokenizer.steps[t->pretokenizer.count++];
  *made = (zh_split_step){0};
  *byte_level = strcmp(type_of(step), "ByteLevel") == 0;
  ZH_TRY(read_split_step(made, t, step, err));
  bool nothing = *byte_level && made->pattern == NULL && made->prefix == ZH_PREFIX_NEVER;
  if (nothing) t->pretokenizer.count--; /* it only turns characters into bytes */
  return ZH_OK;
}

zh_status zh_json_read_pretokenizer(zh_tokenizer *t, bool *byte_level, const json_t *step,
                                    zh_error *err) {
  *byte_level = false;
  return read_pretokenizer(t, byte_level, step, err);
}

/* --- decoders --- */

static zh_status read_strip(zh_decoding *d, zh_tokenizer *t, const json_t *step, bool fused,
                            zh_error *err) {
  json_int_t start = json_integer_value(json_object_get(step, "start"));
  json_int_t stop = json_integer_value(json_object_get(step, "stop"));
  if (!fused || stop != 0 || start < 0 || start > 1024)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: the decoder Strip is supported after Fuse and at a text's "
                   "beginning only");
  d->cut_most = (unsigned)start;
  return text_of(&d->cut, t, json_object_get(step, "content"), "Strip's content", err);
}

static zh_status read_metaspace_decoder(zh_decoding *d, zh_tokenizer *t, const json_t *step,
                                        zh_error *err) {
  zh_split_step as = {0};
  ZH_TRY(read_metaspace(&as, t, step, err));
  d->wanted = as.text;
  d->replacement = (zh_slice){" ", 1};
  d->first_token_only = as.prefix != ZH_PREFIX_NEVER;
  return ZH_OK;
}

static zh_status read_decoder(zh_tokenizer *t, void *user, const json_t *step, zh_error *err) {
  bool *fused = user;
  zh_decoding *d = &t->decoding;
  const char *type = type_of(step);
  if (strcmp(type, "Sequence") == 0) return each(t, user, step, "decoders", read_decoder, err);
  if (strcmp(type, "Fuse") == 0) {
    *fused = true;
    return ZH_OK;
  }
  if (strcmp(type, "Strip") == 0) return read_strip(d, t, step, *fused, err);
  if (strcmp(type, "ByteLevel") == 0) {
    d->alphabet = true;
    return ZH_OK;
  }
  if (strcmp(type, "ByteFallback") == 0) {
    d->byte_fallback = true;
    return ZH_OK;
  }
  if (d->wanted.length > 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: more than one decoder that replaces text is not supported");
  if (strcmp(type, "Metaspace") == 0) return read_metaspace_decoder(d, t, step, err);
  if (strcmp(type, "Replace") != 0) return refuse("decoder", type, err);
  ZH_TRY(text_of(&d->wanted, t, json_object_get(json_object_get(step, "pattern"), "String"),
                 "a decoder's pattern", err));
  return text_of(&d->replacement, t, json_object_get(step, "content"), "Replace's content", err);
}

zh_status zh_json_read_decoder(zh_tokenizer *t, const json_t *step, zh_error *err) {
  bool fused = false;
  t->decoding = (zh_decoding){.spaced = step == NULL || json_is_null(step)};
  return t->decoding.spaced ? ZH_OK : read_decoder(t, &fused, step, err);
}

/* --- post-processors --- */

static zh_status put_around(zh_tokenizer *t, bool after, const json_t *id, zh_error *err) {
  size_t *count = after ? &t->after_count : &t->before_count;
  if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= t->vocab)
    return zh_fail(err, ZH_ERR_INPUT,
                   "tokenizer.json: the post_processor names a token outside the vocabulary");
  if (*count == ZH_AROUND_TOKENS)
    return zh_fail(err, ZH_ERR_INPUT, "tokenizer.json puts more than %d tokens around a text",
                   ZH_AROUND_TOKENS);
  (after ? t->after : t->before)[(*count)++] = (uint32_t)json_integer_value(id);
  return ZH_OK;
}

static zh_status read_template(zh_tokenizer *t, const json_t *step, zh_error *err) {
  const json_t *single = json_object_get(step, "single"), *part, *id;
  bool after = false;
  size_t i, j;
  json_array_foreach(single, i, part) {
    const json_t *special = json_object_get(part, "SpecialToken");
    if (special == NULL) {
      after = true;
      continue;
    }
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *token =
        name != NULL ? json_object_get(json_object_get(step, "special_tokens"), name) : NULL;
    if (token == NULL)
      return zh_fail(err, ZH_ERR_INPUT,
                     "tokenizer.json: the post_processor's template names a special token that it "
                     "does not list");
    json_array_foreach(json_object_get(token, "ids"), j, id) ZH_TRY(put_around(t, after, id, err));
  }
  return ZH_OK;
}

static zh_status read_processor(zh_tokenizer *t, void *user, const json_t *step, zh_error *err) {
  const char *type = type_of(step);
  if (json_is_null(step) || step == NULL || strcmp(type, "ByteLevel") == 0) return ZH_OK;
  if (strcmp(type, "Sequence") == 0) return each(t, user, step, "processors", read_processor, err);
  if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, step, err);
  if (strcmp(type, "RobertaProcessing") != 0 && strcmp(type, "BertProcessing") != 0)
    return refuse("post_processor", type, err);
  ZH_TRY(put_around(t, false, json_array_get(json_object_get(step, "cls"), 1), err));
  return put_around(t, true, json_array_get(json_object_get(step, "sep"), 1), err);
}

zh_status zh_json_read_processor(zh_tokenizer *t, const json_t *step, zh_error *err) {
  return read_processor(t, NULL, step, err);
}
