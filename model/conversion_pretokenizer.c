/* Pre-tokenizers by their name in GGUF and by the patterns in tokenizer.json. */
#include "model/conversion_room.h"
#include "model/tokenizer/published.h"

static const struct {
  const char *name;
  bool digits;         /* each digit by itself, first */
  const char *pattern; /* NULL: GPT-2's, which ByteLevel has built in */
  bool ignore_merges;
} pretokenizers[] = {{"gpt-2", false, NULL, false},
                     {"smollm", true, NULL, false},
                     {"llama-bpe", false, ZH_GPT4_WORDS("\\p{N}{1,3}"), true},
                     {"qwen2", false, ZH_GPT4_WORDS("\\p{N}"), false}};
enum { PRETOKENIZERS = sizeof pretokenizers / sizeof pretokenizers[0] };

json_t *zh_pretokenizer_json(int kind) {
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

/* Steps of tokenizer.json's pre-tokenizer: digits, a pattern, bytes; false for any other. */
static bool take_step(const json_t *step, bool *digits, const char **pattern, bool *bytes) {
  if (zh_json_says(step, "type", "Digits"))
    return *digits = json_is_true(json_object_get(step, "individual_digits"));
  if (zh_json_says(step, "type", "Split")) {
    const json_t *what = json_object_get(json_object_get(step, "pattern"), "Regex");
    bool first = *pattern == NULL && zh_json_says(step, "behavior", "Isolated") &&
                 !json_is_true(json_object_get(step, "invert"));
    *pattern = json_string_value(what);
    return first && *pattern != NULL;
  }
  *bytes = zh_json_says(step, "type", "ByteLevel") &&
           !json_is_true(json_object_get(step, "add_prefix_space"));
  return *bytes;
}

int zh_pretokenizer_in_json(const json_t *root) {
  const json_t *pre = json_object_get(root, "pre_tokenizer");
  const json_t *steps = json_object_get(pre, "pretokenizers"), *step;
  bool digits = false, bytes = false, known = true;
  const char *pattern = NULL;
  size_t i;
  int kind = 0;
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
  return -1;
}

int zh_pretokenizer_named(const char *name, size_t length) {
  for (int kind = 0; kind < PRETOKENIZERS; kind++)
    if (strlen(pretokenizers[kind].name) == length &&
        memcmp(pretokenizers[kind].name, name, length) == 0)
      return kind;
  return -1;
}

const char *zh_pretokenizer_name(int kind) {
  return pretokenizers[kind].name;
}

bool zh_pretokenizer_ignores_merges(int kind) {
  return pretokenizers[kind].ignore_merges;
}
