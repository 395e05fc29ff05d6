/* Equal conditions: every fact that two models state differently is named, and whether scores or
 * speeds can be compared in spite of it. */
#include <stdio.h>
#include <string.h>

#include "core/digest.h"
#include "core/text.h"
#include "evaluator/compare/parts.h"

/* What a fact is about, and whether figures cannot be compared where it differs. "prefix *" stands
 * for all that begin so. */
static const struct {
  const char *key, *of;
  bool breaks;
} fields[] = {
    {"machine", "speeds", true},       {"device", "speeds", true},
    {"threads", "speeds", true},       {"ranks", "speeds", true},
    {"kernels", "speeds", true},       {"step kernels", "speeds", true},
    {"parameters *", "speeds", true},  {"fault", "speeds", true},
    {"host", "speeds", false},         {"suite", "speeds", false},
    {"seed", "speeds", false},         {"compiler", "speeds", false},
    {"program", "both", false},        {"commit", "both", false},
    {"type", "models", false},         {"protocol", "scores", true},
    {"items *", "scores", true},       {"prompts *", "scores", true},
    {"metric *", "scores", true},      {"modality *", "scores", true},
    {"shots *", "scores", true},       {"version *", "scores", true},
    {"item seed", "scores", false},    {"limit", "scores", false},
    {"precision", "scores", false},    {"kv", "scores", false},
    {"evaluated by", "scores", false}, {"git", "scores", false},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static int field_of(const char *key) {
  for (int f = 0; f < FIELDS; f++) {
    const char *star = strstr(fields[f].key, "*");
    if (star == NULL ? strcmp(key, fields[f].key) == 0
                     : strncmp(key, fields[f].key, (size_t)(star - fields[f].key)) == 0)
      return f;
  }
  return -1;
}

static const char *fact(const zh_entrant *entrant, const char *key) {
  return json_string_value(json_object_get(entrant->facts, key));
}

static bool answered(const zh_entrant *entrant, const char *task) {
  const zh_sheet *sheet = zh_sheet_named(entrant, task);
  return sheet != NULL && sheet->count > 0;
}

/* Who says nothing of a fact does not differ in it; but no protocol is another one than some, and
 * who does not say what was asked is not taken to have asked the same. */
static bool silence_differs(const zh_entrant *a, const zh_entrant *b, const char *key) {
  static const char prompts[] = "prompts ";
  if (strcmp(key, "protocol") == 0) return a->sheet_count > 0 && b->sheet_count > 0;
  const char *task = key + sizeof prompts - 1;
  return strncmp(key, prompts, sizeof prompts - 1) == 0 && answered(a, task) && answered(b, task);
}

static bool differs(const zh_entrant *a, const zh_entrant *b, const char *key) {
  const char *x = fact(a, key), *y = fact(b, key);
  if (x != NULL && y != NULL) return strcmp(x, y) != 0;
  return x != y && silence_differs(a, b, key);
}

bool zh_speeds_match(const zh_entrant *a, const zh_entrant *b, const char *step, bool *parameters) {
  const char *key;
  json_t *value;
  bool match = true;
  *parameters = true;
  json_object_foreach(a->facts, key, value) {
    int field = field_of(key);
    bool of_step = strncmp(key, "parameters ", 11) == 0;
    if (of_step && strcmp(key + 11, step) != 0) continue;
    if (of_step) *parameters = !differs(a, b, key);
    if (field < 0 || strcmp(fields[field].of, "speeds") != 0) continue;
    match &= !(fields[field].breaks && differs(a, b, key));
  }
  return match;
}

/* --- digests of what was asked --- */

static zh_status digest_of(char sm3[ZH_DIGEST_HEX], const zh_sheet *sheet, bool prompts,
                           zh_error *err) {
  zh_digest *digest;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < sheet->count; i++) {
    const char *text = prompts ? sheet->answers[i].prompt : sheet->answers[i].item;
    status = zh_digest_update(digest, text, strlen(text), err);
    if (status == ZH_OK) status = zh_digest_update(digest, "\n", 1, err);
  }
  if (status == ZH_OK) status = zh_digest_final(sm3, digest, err);
  zh_digest_free(digest);
  return status;
}

static bool says_what_was_asked(const zh_sheet *sheet) {
  for (size_t i = 0; i < sheet->count; i++)
    if (sheet->answers[i].prompt[0] == '\0') return false;
  return sheet->count > 0;
}

static zh_status add_sheet_facts(zh_entrants *e, zh_entrant *entrant, const zh_sheet *sheet,
                                 zh_error *err) {
  char sm3[ZH_DIGEST_HEX], text[64];
  ZH_TRY(digest_of(sm3, sheet, false, err));
  snprintf(text, sizeof text, "%zu, SM3 %.12s", sheet->count, sm3);
  zh_entrant_fact_of(e, entrant, "items", sheet->task, text);
  ZH_TRY(digest_of(sm3, sheet, true, err));
  snprintf(text, sizeof text, "SM3 %.12s", sm3);
  if (says_what_was_asked(sheet)) zh_entrant_fact_of(e, entrant, "prompts", sheet->task, text);
  zh_entrant_fact_of(e, entrant, "metric", sheet->task, sheet->metric);
  zh_entrant_fact_of(e, entrant, "modality", sheet->task, sheet->modality);
  return ZH_OK;
}

/* --- the list --- */

static bool any_differs(const zh_entrants *e, const char *key) {
  for (size_t i = 0; i < e->count; i++)
    for (size_t k = i + 1; k < e->count; k++)
      if (differs(&e->at[i], &e->at[k], key)) return true;
  return false;
}

static void add_difference(json_t *list, const zh_entrants *e, const char *key, int field) {
  json_t *values = json_array();
  for (size_t i = 0; i < e->count; i++) {
    const char *text = fact(&e->at[i], key);
    json_array_append_new(values, text != NULL ? json_string(text) : json_null());
  }
  json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "field", key, "of",
                                        field >= 0 ? fields[field].of : "both", "breaks",
                                        field >= 0 && fields[field].breaks, "values", values));
}

/* Keys in the order of the fields, each once. */
static json_t *differences(const zh_entrants *e) {
  json_t *list = json_array(), *seen = json_object(), *value;
  const char *key;
  for (int f = 0; f < FIELDS; f++) {
    for (size_t i = 0; i < e->count; i++) {
      json_object_foreach(e->at[i].facts, key, value) {
        if (field_of(key) != f || json_object_get(seen, key) != NULL) continue;
        json_object_set_new(seen, key, json_true());
        if (any_differs(e, key)) add_difference(list, e, key, f);
      }
    }
  }
  json_decref(seen);
  return list;
}

static bool broken(const json_t *list, const char *of) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) {
    if (json_is_true(json_object_get(entry, "breaks")) &&
        strcmp(json_string_value(json_object_get(entry, "of")), of) == 0)
      return true;
  }
  return false;
}

/* --- the sentences --- */

/* What scores depend on, and an input may leave unsaid. */
static const struct {
  const char *name;
  bool of_task;
  zh_word word;
} conditions[] = {{"items", true, ZH_WORD_compare_of_items},
                  {"prompts", true, ZH_WORD_compare_of_prompts},
                  {"metric", true, ZH_WORD_compare_of_metric},
                  {"protocol", false, ZH_WORD_compare_of_protocol}};
enum { CONDITIONS = sizeof conditions / sizeof *conditions };

static bool states(const zh_entrants *e, const zh_entrant *entrant, int condition) {
  if (!conditions[condition].of_task) return fact(entrant, conditions[condition].name) != NULL;
  for (size_t k = 0; k < entrant->sheet_count; k++) {
    if (entrant->sheets[k].count == 0) continue;
    const char *task = entrant->sheets[k].task,
               *key = zh_arena_printf(e->arena, "%s %s", conditions[condition].name, task);
    if (key == NULL || fact(entrant, key) == NULL) return false;
  }
  return true;
}

static bool all_state(const zh_entrants *e, int condition) {
  for (size_t i = 0; i < e->count; i++)
    if (e->at[i].sheet_count > 0 && !states(e, &e->at[i], condition)) return false;
  return true;
}

/* "a, b and c" of the conditions that all inputs state, or of the others. */
static void list_conditions(zh_text out[2], const zh_entrants *e, bool stated) {
  size_t count = 0, written = 0;
  for (int c = 0; c < CONDITIONS; c++) count += all_state(e, c) == stated;
  for (int c = 0; c < CONDITIONS; c++) {
    const zh_phrase *phrase = zh_word_of(e->words, conditions[c].word);
    if (all_state(e, c) != stated) continue;
    zh_text_printf(&out[0], "%s%s", written == 0 ? "" : "、", phrase->zh);
    const char *between = written == 0 ? "" : written + 1 == count ? " and " : ", ";
    zh_text_printf(&out[1], "%s%s", between, phrase->en);
    written++;
  }
}

static json_t *sentence(const zh_entrants *e, zh_word word, const char *slot, bool stated) {
  zh_text lists[2] = {{0}, {0}};
  list_conditions(lists, e, stated);
  const zh_slot filled = {slot, zh_text_string(&lists[0]), zh_text_string(&lists[1])};
  json_t *said = zh_phrase_json(zh_word_of(e->words, word), &filled, 1);
  zh_text_free(&lists[0]);
  zh_text_free(&lists[1]);
  return said;
}

static void add_sentence(json_t *said, const json_t *more) {
  static const char *const languages[][2] = {{"zh", ""}, {"en", " "}};
  for (size_t i = 0; i < 2; i++) {
    const char *language = languages[i][0];
    zh_text both = {0};
    zh_text_printf(&both, "%s%s%s", json_string_value(json_object_get(said, language)),
                   languages[i][1], json_string_value(json_object_get(more, language)));
    json_object_set_new(said, language, json_string(zh_text_string(&both)));
    zh_text_free(&both);
  }
}

static json_t *judge(const zh_entrants *e, size_t having, bool equal, const zh_word words[3]) {
  zh_word word = having < 2 ? words[2] : equal ? words[0] : words[1];
  json_t *said = sentence(e, word, "words", true);
  json_object_set_new(said, "comparable", having < 2 ? json_null() : json_boolean(equal));
  return said;
}

static json_t *judge_scores(const zh_entrants *e, size_t having, bool equal) {
  static const zh_word words[] = {ZH_WORD_compare_scores_equal, ZH_WORD_compare_scores_differ,
                                  ZH_WORD_compare_scores_none};
  json_t *said = judge(e, having, equal, words), *unstated = json_array();
  for (int c = 0; having > 1 && c < CONDITIONS; c++)
    if (!all_state(e, c)) json_array_append_new(unstated, json_string(conditions[c].name));
  if (json_array_size(unstated) > 0) {
    json_t *more = sentence(e, ZH_WORD_compare_scores_unstated, "missing", false);
    add_sentence(said, more);
    json_decref(more);
  }
  json_object_set_new(said, "not_stated", unstated);
  return said;
}

/* Whether all who answered a task stand on one side of it. */
static bool one_side(const zh_contest *c, const zh_event *event) {
  int side = ZH_NO_SIDE;
  for (size_t i = 0; !event->overall && i < c->entrants->count; i++) {
    const zh_standing_of *of = &event->of[i];
    if (of->sheet == NULL) continue;
    if (of->side == ZH_NO_SIDE || (side != ZH_NO_SIDE && of->side != side)) return false;
    side = of->side;
  }
  return true;
}

static bool one_side_each(const zh_contest *c) {
  for (size_t e = 0; e < c->event_count; e++)
    if (!one_side(c, &c->events[e])) return false;
  return true;
}

zh_status zh_compare_protocol(json_t **out, zh_entrants *e, const zh_contest *contest,
                              zh_error *err) {
  static const zh_word of_speeds[] = {ZH_WORD_compare_speeds_equal, ZH_WORD_compare_speeds_differ,
                                      ZH_WORD_compare_speeds_none};
  size_t scored = 0, timed = 0;
  bool doubtful = false;
  for (size_t i = 0; i < e->count; i++) {
    zh_entrant *entrant = &e->at[i];
    scored += entrant->sheet_count > 0;
    timed += entrant->speed_count > 0;
    doubtful |= entrant->doubtful;
    for (size_t k = 0; k < entrant->sheet_count; k++)
      ZH_TRY(add_sheet_facts(e, entrant, &entrant->sheets[k], err));
  }
  json_t *list = differences(e);
  bool scores = one_side_each(contest) && !broken(list, "scores"),
       speeds = !doubtful && !broken(list, "speeds");
  *out = json_pack("{s:o, s:o, s:o}", "differences", list, "scores",
                   judge_scores(e, scored, scores), "speeds", judge(e, timed, speeds, of_speeds));
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a comparison");
}
