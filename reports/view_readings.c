/* Questions that the text leaves open: each reading with its ground and what comes out under it. */
#include <stdio.h>
#include <string.h>

#include "reports/money.h"
#include "reports/view.h"

/* --- readings and choices by name --- */

static const json_t *all_readings(const zh_view *view) {
  return json_object_get(view->evaluation, "readings");
}

static const char *id_of(const json_t *readings, size_t i) {
  const char *id = zh_view_maybe_text(json_array_get(readings, i), "reading");
  return id ? id : "";
}

static const json_t *choice_of(const json_t *reading, const char *id) {
  const json_t *choices = json_object_get(reading, "choices");
  for (size_t i = 0; id && i < json_array_size(choices); i++) {
    const char *known = zh_view_maybe_text(json_array_get(choices, i), "choice");
    if (known && strcmp(known, id) == 0) return json_array_get(choices, i);
  }
  return NULL;
}

void zh_view_choices(zh_view *view, json_t *into, const json_t *choices, const bool *matters) {
  const json_t *readings = all_readings(view);
  json_t *list = zh_view_list(view, into, "choices");
  for (size_t i = 0; i < json_array_size(readings) && view->status == ZH_OK; i++) {
    const char *id = zh_view_maybe_text(choices, id_of(readings, i));
    if (!id || (matters && !matters[i])) continue;
    const json_t *choice = choice_of(json_array_get(readings, i), id);
    if (!choice) return zh_view_fail(view, "readings", "a choice is not among those named");
    json_t *item = zh_view_item(view, list);
    zh_view_number(view, item, "question_no", i + 1);
    zh_view_local(view, item, "choice_name", choice, "name", "readings");
  }
}

/* --- on which readings results depend --- */

static bool is_choice(const json_t *result, const char *reading, const char *choice) {
  const char *known = zh_view_maybe_text(json_object_get(result, "choices"), reading);
  return known && choice && strcmp(known, choice) == 0;
}

/* Whether b is a, but for the choice of one reading. */
static bool differ_in(const json_t *a, const json_t *b, const json_t *readings, size_t in) {
  for (size_t i = 0; i < json_array_size(readings); i++) {
    const char *id = id_of(readings, i);
    const char *choice = zh_view_maybe_text(json_object_get(a, "choices"), id);
    if (!choice) continue;
    if (is_choice(b, id, choice) == (i == in)) return false;
  }
  return true;
}

static bool matters_to(const json_t *results, const json_t *readings, size_t reading,
                       zh_view_same same) {
  const char *id = id_of(readings, reading);
  const char *first =
      zh_view_maybe_text(json_object_get(json_array_get(results, 0), "choices"), id);
  for (size_t i = 0; i < json_array_size(results); i++) {
    const json_t *a = json_array_get(results, i);
    if (!is_choice(a, id, first)) continue; /* each other choice is held against the first */
    for (size_t k = 0; k < json_array_size(results); k++) {
      const json_t *b = json_array_get(results, k);
      if (!same(a, b) && differ_in(a, b, readings, reading)) return true;
    }
  }
  return false;
}

void zh_view_matters(zh_view *view, bool matters[ZH_VIEW_READINGS], const json_t *results,
                     zh_view_same same, const char *where) {
  const json_t *readings = all_readings(view);
  memset(matters, 0, ZH_VIEW_READINGS * sizeof *matters);
  if (json_array_size(readings) > ZH_VIEW_READINGS)
    zh_view_fail(view, "readings", "more than 64 of them");
  if (json_array_size(results) > ZH_VIEW_ASSIGNMENTS)
    zh_view_fail(view, where, "more than 4096 combinations of readings");
  if (view->status != ZH_OK) return;
  for (size_t i = 0; i < json_array_size(readings); i++)
    matters[i] = matters_to(results, readings, i, same);
}

bool zh_view_is_shown(const zh_view *view, const bool matters[ZH_VIEW_READINGS],
                      const json_t *results, const json_t *result) {
  const json_t *readings = all_readings(view);
  const json_t *first = json_object_get(json_array_get(results, 0), "choices");
  for (size_t i = 0; i < json_array_size(readings) && i < ZH_VIEW_READINGS; i++) {
    const char *id = id_of(readings, i), *choice = zh_view_maybe_text(first, id);
    if (!matters[i] && choice && !is_choice(result, id, choice)) return false;
  }
  return true;
}

/* --- the table --- */

/* What the best combination comes to under one choice, whatever the others are: lowest, highest. */
static void put_sum(zh_view *view, json_t *out, const char *key, const json_t *reading,
                    const char *choice, const char *solution) {
  const json_t *combination = json_object_get(view->evaluation, "combination");
  const json_t *results = json_object_get(combination, "by_reading");
  const char *id = zh_view_maybe_text(reading, "reading"), *low = NULL, *high = NULL;
  for (size_t i = 0; i < json_array_size(results) && id; i++) {
    const json_t *result = json_array_get(results, i);
    if (!is_choice(result, id, choice)) continue;
    const char *sum = zh_view_maybe_text(json_object_get(result, solution), "up_to_yuan");
    if (!sum || !zh_money_is_valid(sum))
      return zh_view_fail(view, "combination.by_reading", "every result must have its sum");
    if (!low || zh_money_compare(sum, low) < 0) low = sum;
    if (!high || zh_money_compare(sum, high) > 0) high = sum;
  }
  json_t *list = zh_view_list(view, out, key);
  if (!low) return;
  json_t *sum = zh_view_item(view, list);
  zh_view_money_text(view, sum, "low", low, "combination");
  zh_view_money_text(view, sum, "high", high, "combination");
  zh_view_flag(view, sum, "single", strcmp(low, high) == 0);
}

static void put_choice(zh_view *view, json_t *list, const json_t *reading, const json_t *choice) {
  json_t *out = zh_view_item(view, list);
  const char *id = zh_view_text_of(view, choice, "choice", "readings.choices");
  zh_view_local(view, out, "choice_name", choice, "name", "readings.choices");
  zh_view_local(view, out, "choice_ground", choice, "ground", "readings.choices");
  put_sum(view, out, "choice_certain", reading, id, "certain");
  put_sum(view, out, "choice_all_hold", reading, id, "if_all_hold");
}

static void put_reading(zh_view *view, json_t *list, const json_t *reading, size_t number) {
  json_t *out = zh_view_item(view, list);
  const json_t *choices = zh_view_list_of(view, reading, "choices", "readings");
  zh_view_number(view, out, "question_no", number);
  zh_view_local(view, out, "question", reading, "question", "readings");
  zh_view_grant_list(view, out, "decides", zh_view_list_of(view, reading, "decides", "readings"));
  json_t *into = zh_view_list(view, out, "reading_choices");
  for (size_t i = 0; i < json_array_size(choices) && view->status == ZH_OK; i++)
    put_choice(view, into, reading, json_array_get(choices, i));
}

/* open_questions: those that change an amount; settled_questions: those that change nothing here.
 */
void zh_view_readings(zh_view *view) {
  const json_t *readings = zh_view_list_of(view, view->evaluation, "readings", "evaluation.json");
  json_t *open = zh_view_list(view, view->root, "open_questions");
  json_t *idle = zh_view_list(view, view->root, "settled_questions");
  for (size_t i = 0; i < json_array_size(readings) && view->status == ZH_OK; i++) {
    const json_t *reading = json_array_get(readings, i);
    bool decides = json_array_size(json_object_get(reading, "decides")) > 0;
    put_reading(view, decides ? open : idle, reading, i + 1);
  }
  zh_view_flag(view, view->root, "has_open_questions", json_array_size(open) > 0);
  zh_view_flag(view, view->root, "has_settled_questions", json_array_size(idle) > 0);
  zh_view_number(view, view->root, "open_question_count", json_array_size(open));
  zh_view_number(view, view->root, "settled_question_count", json_array_size(idle));
}
