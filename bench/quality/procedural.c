#include "bench/quality/procedural.h"

#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/philox.h"

enum { LEVELS_MAX = 12, ITEMS_MAX = 100000 };

uint32_t zh_draw_below(zh_draw *draw, uint32_t n) {
  uint32_t bits, most = UINT32_MAX - UINT32_MAX % n;
  do {
    zh_random_fill(&bits, 1, draw->seed, draw->stream, draw->at++);
  } while (bits >= most);
  return bits % n;
}

int64_t zh_draw_digits(zh_draw *draw, int digits) {
  int64_t value = 1 + zh_draw_below(draw, 9);
  for (int i = 1; i < digits; i++) value = value * 10 + zh_draw_below(draw, 10);
  return value;
}

/* Fisher and Yates. */
void zh_draw_order(uint32_t *places, uint32_t count, zh_draw *draw) {
  for (uint32_t i = 0; i < count; i++) places[i] = i;
  for (uint32_t i = count; i > 1; i--) {
    uint32_t other = zh_draw_below(draw, i), held = places[i - 1];
    places[i - 1] = places[other];
    places[other] = held;
  }
}

void zh_draw_different(int64_t *out, size_t count, uint32_t below, zh_draw *draw) {
  for (size_t i = 0; i < count; i++) {
    bool again = true;
    while (again) {
      out[i] = zh_draw_below(draw, below);
      again = false;
      for (size_t k = 0; k < i; k++) again |= out[k] == out[i];
    }
  }
}

json_t *zh_made_entry(const zh_made_words *words, const char *list, size_t i) {
  return json_array_get(json_object_get(words->lists, list), i);
}

size_t zh_made_count(const zh_made_words *words, const char *list) {
  return json_array_size(json_object_get(words->lists, list));
}

json_t *zh_draw_entry(zh_draw *draw, const zh_made_words *words, const char *list) {
  size_t count = zh_made_count(words, list);
  return count > 0 ? zh_made_entry(words, list, zh_draw_below(draw, (uint32_t)count)) : NULL;
}

const char *zh_draw_word(zh_draw *draw, const zh_made_words *words, const char *list) {
  const char *word = json_string_value(zh_draw_entry(draw, words, list));
  return word ? word : "";
}

zh_status zh_made_no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (made items)");
}

zh_status zh_made_short_list(const char *list, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "bench/quality/made.yaml: '%s' lacks words that a family needs",
                 list);
}

zh_status zh_made_set(json_t *variables, const char *key, json_t *value, zh_error *err) {
  return json_object_set_new(variables, key, value) == 0 ? ZH_OK : zh_made_no_memory(err);
}

/* What is being made. */
typedef struct making {
  const char *family, *language;
  zh_made_family *make;
  zh_template *question;
  zh_made_words words;
  uint64_t seed;
  zh_error *err;
} making;

/* A stream of its own for each family, split and level: the first 8 bytes of a digest. */
static zh_status stream_of(uint64_t *out, const char *family, const char *split, int level,
                           zh_error *err) {
  char name[160], digest[ZH_DIGEST_HEX];
  int length = snprintf(name, sizeof name, "zhiheng.made/1 %.60s %.60s %d", family, split, level);
  ZH_TRY(zh_digest_bytes(digest, ZH_SHA256, name, (size_t)length, err));
  digest[16] = 0;
  *out = strtoull(digest, NULL, 16);
  return ZH_OK;
}

/* Languages share their numbers, so that the same item can be asked in both where their words
 * answer to each other. */
static zh_status make_item(json_t *rows, const making *m, uint64_t stream, int level,
                           uint64_t number) {
  zh_draw draw = {.seed = m->seed, .stream = stream, .at = number << 32};
  zh_text answer = {0};
  json_t *variables = json_object(), *checks;
  char *question = NULL;
  size_t length;
  zh_status status = variables ? m->make(variables, &answer, &draw, level, &m->words, m->err)
                               : zh_made_no_memory(m->err);
  if (status == ZH_OK)
    status = zh_template_render(&question, &length, m->question, variables, NULL, m->err);
  if (status == ZH_OK) {
    json_t *row =
        json_pack("{s:I, s:s, s:s, s:i, s:s%, s:s%}", "number", (json_int_t)number, "family",
                  m->family, "language", m->language, "level", level, "question", question, length,
                  "answer", zh_text_string(&answer), answer.length);
    if (row && (checks = json_object_get(variables, "checks")))
      json_object_set(row, "checks", checks);
    if (answer.failed || !row || json_array_append_new(rows, row) != 0)
      status = zh_made_no_memory(m->err);
  }
  free(question);
  zh_text_free(&answer);
  json_decref(variables);
  return status;
}

/* The levels in turn, so that the first items are of all of them. */
static zh_status make_all(json_t *rows, const making *m, const char *split, int levels,
                          json_int_t items) {
  uint64_t streams[LEVELS_MAX];
  for (int i = 0; i < levels; i++) ZH_TRY(stream_of(&streams[i], m->family, split, i + 1, m->err));
  for (json_int_t number = 0; number < items; number++)
    for (int i = 0; i < levels; i++)
      ZH_TRY(make_item(rows, m, streams[i], i + 1, (uint64_t)number));
  return ZH_OK;
}

/* Easy questions are few: an example must not be one that is asked. */
static zh_status leave_out_asked(json_t *rows, const making *m, int levels, json_int_t items) {
  json_t *asked = json_array(), *known = json_object();
  zh_status status =
      asked && known ? make_all(asked, m, "test", levels, items) : zh_made_no_memory(m->err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(asked); i++)
    json_object_set_new(known,
                        json_string_value(json_object_get(json_array_get(asked, i), "question")),
                        json_true());
  for (size_t i = json_array_size(rows); status == ZH_OK && i > 0; i--) {
    const json_t *question = json_object_get(json_array_get(rows, i - 1), "question");
    if (json_object_get(known, json_string_value(question))) json_array_remove(rows, i - 1);
  }
  json_decref(asked);
  json_decref(known);
  return status;
}

/* The words of a language: {"words": {zh: {...}}, "questions": {family: {zh: "…"}}}. */
static zh_status read_words(making *m, const json_t *made, const char *path) {
  const json_t *question =
      json_object_get(json_object_get(json_object_get(made, "questions"), m->family), m->language);
  m->words.lists = json_object_get(json_object_get(made, "words"), m->language);
  if (!json_is_string(question) || !m->words.lists)
    return zh_fail(m->err, ZH_ERR_INPUT, "%s: there is no question of '%s' in '%s'", path,
                   m->family, m->language);
  zh_status status = zh_template_parse(&m->question, json_string_value(question),
                                       json_string_length(question), &zh_template_tasks, m->err);
  if (status != ZH_OK) zh_error_prefix(m->err, "%s: %s", path, m->family);
  return status;
}

zh_status zh_procedural_rows(json_t *rows, json_t *files, const zh_task_file *file,
                             const json_t *config, const char *split,
                             const zh_task_options *options, zh_error *err) {
  const json_t *kwargs = json_object_get(config, "dataset_kwargs"),
               *levels = json_object_get(kwargs, "levels"),
               *items = json_object_get(kwargs, "items");
  const char *family = json_string_value(json_object_get(config, "dataset_name")),
             *language = json_string_value(json_object_get(kwargs, "language"));
  making m = {.family = family ? family : "",
              .language = language ? language : "zh",
              .seed = options->seed,
              .err = err};
  char path[4096];
  zh_yaml_doc *doc;
  json_t *made = NULL;
  m.make = zh_made_family_named(m.family);
  if (!m.make)
    return zh_fail(err, ZH_ERR_INPUT, "%s: dataset_name '%.60s' is no family of made items",
                   file->path, m.family);
  json_int_t most = json_is_integer(levels) ? json_integer_value(levels) : 5,
             count = json_is_integer(items) ? json_integer_value(items) : 20;
  if (most < 1 || most > LEVELS_MAX || count < 1 || count > ITEMS_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "%s: 1 to %d levels and 1 to %d items of each are made",
                   file->path, LEVELS_MAX, ITEMS_MAX);
  ZH_TRY(zh_data_path(path, sizeof path, "bench/quality/made.yaml", err));
  ZH_TRY(zh_yaml_load_file(&doc, path, err));
  zh_status status = zh_yaml_to_json(&made, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  if (status == ZH_OK) status = read_words(&m, made, path);
  if (status == ZH_OK) status = make_all(rows, &m, split, (int)most, count);
  if (status == ZH_OK && strcmp(split, "test") != 0)
    status = leave_out_asked(rows, &m, (int)most, count);
  if (status == ZH_OK)
    json_array_append_new(files, json_pack("{s:s, s:s, s:I, s:s}", "made", m.family, "split", split,
                                           "seed", (json_int_t)m.seed, "language", m.language));
  zh_template_free(m.question);
  json_decref(made);
  return status;
}
