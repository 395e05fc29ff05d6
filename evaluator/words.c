#include "evaluator/words.h"

#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"

struct zh_words {
  zh_arena *arena;
  zh_phrase phrases[ZH_WORD_COUNT];
};

static const struct {
  const char *section, *key;
} word_names[ZH_WORD_COUNT] = {
#define ZH_WORD_ENTRY(section, key) {#section, #key},
    ZH_WORD_LIST(ZH_WORD_ENTRY)
#undef ZH_WORD_ENTRY
};

/* Every slot that any sentence may use; which of them a sentence gets is the caller's matter. */
static const char *const slot_names[] = {
    "value",     "threshold",  "boundary", "op",       "alone",      "readings", "ambiguity",
    "statement", "model",      "sm3",      "file",     "base",       "papers",   "amount",
    "rate",      "cap",        "up_to",    "pass",     "fail",       "failed",   "undetermined",
    "bundle",    "steps",      "buffers",  "tensors",  "parameters", "experts",  "used",
    "where",     "of",         "rows",     "columns",  "count",      "total",    "percent",
    "factor",    "similarity", "rank",     "layers",   "edge",       "largest",  "stated",
    "counted",   "needed",     "noise",    "other",    "spread",     "name",     "criterion",
    "missing",   "question",   "policy",   "words",    "from",       "to",       "day",
    "yuan",      "received",   "limit",    "item",     "issued",     "pages",    "step",
    "date",      "amounts",    "stored",   "elements", "no_bias",    "no_ahead", "all",
    "share",     "matrices",   "block",    "tokens",   "line",       "task",     "peer",
    "endpoint",  "difference", "low",      "high",     "p",          "margin",   "items",
    "unit",      "own",        "score",    "source",
    NULL};

static zh_status check_slots(const zh_yaml_node *node, const char *text, zh_error *err) {
  for (const char *open = strchr(text, '{'); open != NULL; open = strchr(open + 1, '{')) {
    const char *close = strchr(open, '}');
    size_t length = close == NULL ? 0 : (size_t)(close - open - 1);
    char name[32] = {0};
    if (close == NULL || length == 0 || length >= sizeof name) {
      return zh_yaml_fail(err, node, "a '{' must open a slot such as {value} and be closed by '}'");
    }
    memcpy(name, open + 1, length);
    bool known = false;
    for (size_t i = 0; slot_names[i] != NULL; i++) known |= strcmp(slot_names[i], name) == 0;
    if (known) continue;
    const char *near = zh_nearest_word(name, slot_names);
    return zh_yaml_fail(err, node, "unknown slot {%s}%s%s%s", name, near ? "; did you mean {" : "",
                        near ? near : "", near ? "}?" : "");
  }
  return ZH_OK;
}

static zh_status read_language(const char **out, const zh_yaml_node *map, const char *key,
                               zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  const char *text;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_string(&text, node, err));
  ZH_TRY(check_slots(node, text, err));
  *out = zh_arena_strdup(arena, text);
  return *out != NULL ? ZH_OK
                      : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a policy's sentences");
}

zh_status zh_phrase_read(zh_phrase *out, const zh_yaml_node *node, zh_arena *arena, zh_error *err) {
  static const char *const keys[] = {"zh", "en", NULL};
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a sentence in both languages, {zh: …, en: …}", err));
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(read_language(&out->zh, node, "zh", arena, err));
  return read_language(&out->en, node, "en", arena, err);
}

zh_status zh_phrase_require(zh_phrase *out, const zh_yaml_node *map, const char *key,
                            zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  return zh_phrase_read(out, node, arena, err);
}

/* Keys of one section, or of the file when section is NULL, NULL-terminated. */
static void collect_keys(const char **out, const char *section) {
  size_t count = 0;
  for (size_t i = 0; i < ZH_WORD_COUNT; i++) {
    if (section != NULL && strcmp(section, word_names[i].section) == 0)
      out[count++] = word_names[i].key;
    bool first = i == 0 || strcmp(word_names[i].section, word_names[i - 1].section) != 0;
    if (section == NULL && first) out[count++] = word_names[i].section;
  }
  out[count] = NULL;
}

static zh_status read_words(zh_words *words, const zh_yaml_node *root, zh_error *err) {
  const char *keys[ZH_WORD_COUNT + 1];
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "sections of sentences", err));
  collect_keys(keys, NULL);
  ZH_TRY(zh_yaml_expect_keys(root, keys, err));
  for (size_t i = 0; i < ZH_WORD_COUNT; i++) {
    const zh_yaml_node *section;
    ZH_TRY(zh_yaml_require(&section, root, word_names[i].section, err));
    ZH_TRY(zh_yaml_expect(section, ZH_YAML_MAP, "sentences by name", err));
    collect_keys(keys, word_names[i].section);
    ZH_TRY(zh_yaml_expect_keys(section, keys, err));
    ZH_TRY(zh_phrase_require(&words->phrases[i], section, word_names[i].key, words->arena, err));
  }
  return ZH_OK;
}

zh_status zh_words_load(zh_words **out, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc = NULL;
  *out = NULL;
  zh_words *words = calloc(1, sizeof *words);
  if (words == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the evaluator's sentences");
  zh_status status = zh_arena_create(&words->arena, 0, err);
  if (status == ZH_OK) {
    status = zh_data_path(path, sizeof path, "evaluator/policies/common/words.yaml", err);
  }
  if (status == ZH_OK) status = zh_yaml_load_file(&doc, path, err);
  if (status == ZH_OK) status = read_words(words, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = words;
  else
    zh_words_free(words);
  return status;
}

void zh_words_free(zh_words *words) {
  if (words == NULL) return;
  zh_arena_free(words->arena);
  free(words);
}

const zh_phrase *zh_word_of(const zh_words *words, zh_word word) {
  return &words->phrases[word];
}

static const zh_slot *find_slot(const zh_slot *slots, size_t count, const char *name,
                                size_t length) {
  for (size_t i = 0; i < count; i++) {
    if (strlen(slots[i].name) == length && memcmp(slots[i].name, name, length) == 0)
      return &slots[i];
  }
  return NULL;
}

static json_t *fill(const char *text, const zh_slot *slots, size_t count, bool chinese) {
  zh_text filled = {0};
  while (*text != '\0') {
    const char *open = strchr(text, '{');
    const char *close = open == NULL ? NULL : strchr(open, '}');
    if (close == NULL) break;
    const zh_slot *slot = find_slot(slots, count, open + 1, (size_t)(close - open - 1));
    zh_text_append(&filled, text, (size_t)(open - text));
    if (slot != NULL)
      zh_text_puts(&filled, chinese ? slot->zh : slot->en);
    else
      zh_text_append(&filled, open, (size_t)(close - open + 1));
    text = close + 1;
  }
  zh_text_puts(&filled, text);
  json_t *string = filled.failed ? NULL : json_string(zh_text_string(&filled));
  zh_text_free(&filled);
  return string;
}

json_t *zh_phrase_json(const zh_phrase *phrase, const zh_slot *slots, size_t count) {
  return json_pack("{s:o, s:o}", "zh", fill(phrase->zh, slots, count, true), "en",
                   fill(phrase->en, slots, count, false));
}

json_t *zh_phrase_of(const zh_phrase *phrase, va_list pairs) {
  zh_slot slots[ZH_SLOTS_MAX];
  size_t count = 0;
  for (const char *name; count < ZH_SLOTS_MAX && (name = va_arg(pairs, const char *)) != NULL;) {
    const char *value = va_arg(pairs, const char *);
    slots[count++] = (zh_slot){name, value, value};
  }
  return zh_phrase_json(phrase, slots, count);
}
