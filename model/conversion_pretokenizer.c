/* Pre-tokenizers between the names that GGUF has for them and the patterns in tokenizer.json. */
#include "model/conversion_room.h"
#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/published.h"

static json_t *split_json(const char *pattern) {
  return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", pattern,
                   "behavior", "Isolated", "invert", 0);
}

/* The last pattern may be GPT-2's, which ByteLevel has built in. */
json_t *zh_pretokenizer_json(const char *name) {
  const char *const *patterns = zh_pretokenizer_patterns(name);
  json_t *steps = json_array();
  int count = 0, splits = 0;
  while (count < ZH_PRETOKENIZER_PATTERNS && patterns[count] != NULL) count++;
  bool built_in = count > 0 && strcmp(patterns[count - 1], ZH_GPT2_WORDS) == 0;
  for (splits = 0; splits < count - built_in; splits++)
    json_array_append_new(steps, split_json(patterns[splits]));
  json_t *bytes = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                            "trim_offsets", 1, "use_regex", (int)built_in);
  if (splits == 0) {
    json_decref(steps);
    return bytes;
  }
  json_array_append_new(steps, bytes);
  return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* --- the other way --- */

typedef struct chain {
  zh_text texts[ZH_PRETOKENIZER_PATTERNS];
  int count;
  bool bytes; /* ends in ByteLevel */
} chain;

/* Some files write CR and LF as themselves, some escape them. */
static bool add_pattern(chain *c, const char *pattern) {
  if (pattern == NULL || c->count == ZH_PRETOKENIZER_PATTERNS) return false;
  zh_text *text = &c->texts[c->count++];
  for (; *pattern != '\0'; pattern++) {
    bool line = *pattern == '\r' || *pattern == '\n';
    zh_text_append(text, line ? (*pattern == '\r' ? "\\r" : "\\n") : pattern, line ? 2 : 1);
  }
  return !text->failed;
}

static bool is_not_false(const json_t *step, const char *key) {
  return !json_is_false(json_object_get(step, key));
}

/* Digits, a pattern, bytes; false for any other step, and for any after bytes. */
static bool take_step(chain *c, const json_t *step) {
  if (c->bytes) return false;
  if (zh_json_says(step, "type", "Digits"))
    return add_pattern(c, json_is_true(json_object_get(step, "individual_digits")) ? "\\p{N}"
                                                                                   : "\\p{N}+");
  if (zh_json_says(step, "type", "Split")) {
    const json_t *what = json_object_get(json_object_get(step, "pattern"), "Regex");
    return zh_json_says(step, "behavior", "Isolated") &&
           !json_is_true(json_object_get(step, "invert")) &&
           add_pattern(c, json_string_value(what));
  }
  c->bytes = zh_json_says(step, "type", "ByteLevel") && !is_not_false(step, "add_prefix_space");
  return c->bytes && (!is_not_false(step, "use_regex") || add_pattern(c, ZH_GPT2_WORDS));
}

static bool take_steps(chain *c, const json_t *pre) {
  const json_t *steps = json_object_get(pre, "pretokenizers"), *step;
  size_t i;
  if (!json_is_array(steps)) return take_step(c, pre) && c->bytes;
  json_array_foreach(steps, i, step) if (!take_step(c, step)) return false;
  return c->bytes;
}

const char *zh_pretokenizer_in_json(size_t *length, const json_t *root) {
  const char *patterns[ZH_PRETOKENIZER_PATTERNS], *name = NULL;
  bool whole = json_is_true(json_object_get(json_object_get(root, "model"), "ignore_merges"));
  chain c = {0};
  bool known = take_steps(&c, json_object_get(root, "pre_tokenizer"));
  for (int i = 0; i < c.count; i++) patterns[i] = zh_text_string(&c.texts[i]);
  if (known) name = zh_pretokenizer_called(length, patterns, c.count, whole);
  for (int i = 0; i < c.count; i++) zh_text_free(&c.texts[i]);
  return name;
}
