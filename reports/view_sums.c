/* What the amounts come to together: the best lawful combination, the next best, what excludes
 * what. */
#include <stdio.h>
#include <string.h>

#include "reports/money.h"
#include "reports/view.h"

enum { ROWS_SHOWN = 24 };

static const char *const SOLUTIONS[] = {"certain", "if_all_hold"};

static bool same_solution(const json_t *a, const json_t *b) {
  return json_equal(json_object_get(a, "up_to_yuan"), json_object_get(b, "up_to_yuan")) &&
         json_equal(json_object_get(a, "chosen"), json_object_get(b, "chosen"));
}

static bool same_sums(const json_t *a, const json_t *b) {
  for (size_t i = 0; i < 2; i++)
    if (!same_solution(json_object_get(a, SOLUTIONS[i]), json_object_get(b, SOLUTIONS[i])))
      return false;
  return true;
}

/* The lowest and highest sum of all readings, for the page of the conclusion. */
static void put_total(zh_view *view, const json_t *results, const char *solution, const char *key) {
  const char *low = NULL, *high = NULL;
  for (size_t i = 0; i < json_array_size(results) && view->status == ZH_OK; i++) {
    const json_t *found =
        zh_view_object_of(view, json_array_get(results, i), solution, "combination.by_reading");
    const char *sum = zh_view_text_of(view, found, "up_to_yuan", "combination.by_reading");
    if (view->status == ZH_OK && !zh_money_is_valid(sum))
      zh_view_fail(view, "combination", "an amount in yuan must read like 20000000.00");
    if (view->status != ZH_OK) return;
    if (!low || zh_money_compare(sum, low) < 0) low = sum;
    if (!high || zh_money_compare(sum, high) > 0) high = sum;
  }
  json_t *out = zh_view_object(view, view->root, key);
  zh_view_money_text(view, out, "high", high, "combination");
  zh_view_money_text(view, out, "low", low, "combination");
  zh_view_flag(view, out, "single", low && high && strcmp(low, high) == 0);
  zh_view_flag(view, out, "nothing", !high || zh_money_is_zero(high));
}

static void put_solution(zh_view *view, json_t *row, const char *key, const json_t *solution) {
  const char *where = "combination.by_reading";
  json_t *out = zh_view_object(view, row, key);
  const json_t *alternative = json_object_get(solution, "alternative");
  zh_view_money(view, out, "sum", solution, "up_to_yuan", where);
  zh_view_grant_list(view, out, "chosen", zh_view_list_of(view, solution, "chosen", where));
  zh_view_flag(view, out, "has_chosen", json_array_size(json_object_get(solution, "chosen")) > 0);
  zh_view_grant_list(view, out, "not_counted",
                     zh_view_list_of(view, solution, "not_counted", where));
  zh_view_flag(view, out, "has_not_counted",
               json_array_size(json_object_get(solution, "not_counted")) > 0);
  json_t *next = zh_view_list(view, out, "alternative");
  if (!json_is_object(alternative)) return;
  json_t *item = zh_view_item(view, next);
  zh_view_money(view, item, "alternative_sum", alternative, "up_to_yuan", where);
  zh_view_grant_list(view, item, "alternative_chosen",
                     zh_view_list_of(view, alternative, "chosen", where));
}

static void put_row(zh_view *view, json_t *list, const json_t *result, const bool *matters) {
  const json_t *certain = zh_view_object_of(view, result, SOLUTIONS[0], "combination.by_reading");
  const json_t *all = zh_view_object_of(view, result, SOLUTIONS[1], "combination.by_reading");
  json_t *row = zh_view_item(view, list);
  zh_view_choices(view, row, json_object_get(result, "choices"), matters);
  put_solution(view, row, "certain", certain);
  put_solution(view, row, "all_hold", all);
  zh_view_flag(view, row, "all_hold_differs", !same_solution(certain, all));
}

/* --- what excludes what, each pair once under its ground --- */

static json_t *row_of_ground(zh_view *view, json_t *list, const char *ground) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *known = zh_view_maybe_text(json_array_get(list, i), "ground");
    if (known && strcmp(known, ground) == 0) return json_array_get(list, i);
  }
  json_t *row = zh_view_item(view, list);
  zh_view_text(view, row, "ground", ground);
  zh_view_list(view, row, "pairs");
  return row;
}

static void put_conflict(zh_view *view, json_t *list, const json_t *conflict) {
  const char *where = "combination.conflicts";
  size_t a = zh_view_grant_number(view, zh_view_text_of(view, conflict, "a", where));
  size_t b = zh_view_grant_number(view, zh_view_text_of(view, conflict, "b", where));
  const char *ground = zh_view_local_of(view, conflict, "ground", where);
  if (view->status == ZH_OK && (a == 0 || b == 0))
    zh_view_fail(view, where, "an amount is not among 'grants'");
  if (view->status != ZH_OK) return;
  char pair[64];
  snprintf(pair, sizeof pair, "%zu\xE2\x80\x93%zu", a < b ? a : b, a < b ? b : a);
  json_t *pairs = json_object_get(row_of_ground(view, list, ground), "pairs");
  for (size_t i = 0; i < json_array_size(pairs); i++) {
    const char *known = zh_view_maybe_text(json_array_get(pairs, i), "pair");
    if (known && strcmp(known, pair) == 0) return;
  }
  zh_view_text(view, zh_view_item(view, pairs), "pair", pair);
}

static void put_conflicts(zh_view *view, const json_t *results) {
  json_t *list = zh_view_list(view, view->root, "conflicts");
  for (size_t i = 0; i < json_array_size(results) && view->status == ZH_OK; i++) {
    for (size_t s = 0; s < 2; s++) {
      const json_t *solution = json_object_get(json_array_get(results, i), SOLUTIONS[s]);
      const json_t *conflicts =
          zh_view_list_of(view, solution, "conflicts", "combination.by_reading");
      for (size_t k = 0; k < json_array_size(conflicts) && view->status == ZH_OK; k++)
        put_conflict(view, list, json_array_get(conflicts, k));
    }
  }
  zh_view_flag(view, view->root, "has_conflicts", json_array_size(list) > 0);
}

void zh_view_sums(zh_view *view) {
  const json_t *combination =
      zh_view_object_of(view, view->evaluation, "combination", "evaluation.json");
  const json_t *results = zh_view_list_of(view, combination, "by_reading", "combination");
  bool matters[ZH_VIEW_READINGS];
  json_t *list = zh_view_list(view, view->root, "sums");
  size_t left_out = 0;
  zh_view_matters(view, matters, results, same_sums, "combination.by_reading");
  for (size_t i = 0; i < json_array_size(results) && view->status == ZH_OK; i++) {
    const json_t *result = json_array_get(results, i);
    if (!zh_view_is_shown(view, matters, results, result)) continue;
    if (json_array_size(list) < ROWS_SHOWN)
      put_row(view, list, result, matters);
    else
      left_out++;
  }
  zh_view_flag(view, view->root, "sums_differ", json_array_size(list) > 1);
  zh_view_flag(view, view->root, "has_sums_left_out", left_out > 0);
  zh_view_number(view, view->root, "sums_left_out", left_out);
  put_total(view, results, SOLUTIONS[0], "total_certain");
  put_total(view, results, SOLUTIONS[1], "total_all_hold");
  put_conflicts(view, results);
}
