/* The amounts that were looked at: how much at most, by which calculation, under which reading. */
#include <stdio.h>
#include <string.h>

#include "reports/money.h"
#include "reports/number.h"
#include "reports/view.h"

enum { WHERE_CAPACITY = 48 };

size_t zh_view_grant_number(const zh_view *view, const char *id) {
  const json_t *grants = json_object_get(view->evaluation, "grants");
  for (size_t i = 0; i < json_array_size(grants); i++) {
    const char *known = zh_view_maybe_text(json_array_get(grants, i), "id");
    if (known && strcmp(known, id) == 0) return i + 1;
  }
  return 0;
}

void zh_view_grant_list(zh_view *view, json_t *into, const char *key, const json_t *ids) {
  const json_t *grants = json_object_get(view->evaluation, "grants");
  json_t *list = zh_view_list(view, into, key);
  for (size_t i = 0; i < json_array_size(ids) && view->status == ZH_OK; i++) {
    const char *id = json_string_value(json_array_get(ids, i));
    size_t number = id ? zh_view_grant_number(view, id) : 0;
    if (number == 0) return zh_view_fail(view, key, "an amount is not among 'grants'");
    json_t *item = zh_view_item(view, list);
    zh_view_number(view, item, "grant_no", number);
    zh_view_local(view, item, "grant_title", json_array_get(grants, number - 1), "title", "grants");
  }
}

static void put_base(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *base = zh_view_object_of(view, grant, "base", where);
  const char *id = zh_view_maybe_text(base, "id");
  zh_view_flag(view, out, "has_base", id != NULL);
  zh_view_local(view, out, "base_name", base, "name", where);
  zh_view_money(view, out, "base", base, "yuan", where);
}

/* "30" of 30 %, with as many decimals as the rate has; false where the text has no rate. */
static void put_rate(zh_view *view, json_t *out, const json_t *grant) {
  enum { FINEST = 4 }; /* rates are whole millionths */
  const json_t *rate = json_object_get(grant, "rate");
  char text[ZH_NUMBER_CAPACITY];
  if (!json_is_number(rate)) return zh_view_text(view, out, "rate", NULL);
  zh_number_fixed(text, json_number_value(rate), 2, FINEST);
  size_t length = strlen(text);
  while (length > 0 && text[length - 1] == '0') length--;
  if (length > 0 && text[length - 1] == '.') length--;
  text[length] = '\0';
  zh_view_text(view, out, "rate", text);
}

static void put_terms(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *terms = zh_view_object_of(view, grant, "terms", where);
  const json_t *caps = zh_view_list_of(view, terms, "caps", where);
  json_t *list = zh_view_list(view, out, "caps");
  for (size_t i = 0; i < json_array_size(caps); i++) {
    const json_t *cap = json_array_get(caps, i);
    json_t *item = zh_view_item(view, list);
    zh_view_money(view, item, "cap", cap, "yuan", where);
    zh_view_word(view, item, "cap_per", "cap_per", zh_view_text_of(view, cap, "per", where));
    zh_view_text(view, item, "cap_word", zh_view_maybe_text(cap, "word"));
  }
  zh_view_flag(view, out, "has_caps", json_array_size(caps) > 0);
  zh_view_flag(view, out, "one_off", zh_view_flag_of(view, terms, "one_off", where));
  zh_view_flag(view, out, "yearly", zh_view_flag_of(view, terms, "yearly", where));
  zh_view_text(view, out, "period_from", zh_view_maybe_text(terms, "period_from"));
  zh_view_text(view, out, "period_to", zh_view_maybe_text(terms, "period_to"));
}

static void put_calculation(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *steps = zh_view_list_of(view, grant, "calculation", where);
  json_t *list = zh_view_list(view, out, "calculation");
  for (size_t i = 0; i < json_array_size(steps); i++) {
    const json_t *step = json_array_get(steps, i);
    json_t *item = zh_view_item(view, list);
    zh_view_number(view, item, "calculation_no", i + 1);
    zh_view_local(view, item, "calculation_text", step, "text", where);
    zh_view_money(view, item, "left", step, "left_yuan", where);
  }
  zh_view_flag(view, out, "has_calculation", json_array_size(steps) > 0);
}

static bool same_result(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"verdict", "up_to_yuan", "range"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i]))) return false;
  return true;
}

/* One row for each choice of the readings that change this amount. */
static void put_by_reading(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *results = zh_view_list_of(view, grant, "readings", where);
  bool matters[ZH_VIEW_READINGS];
  json_t *list = zh_view_list(view, out, "by_reading");
  zh_view_matters(view, matters, results, same_result, where);
  for (size_t i = 0; i < json_array_size(results) && view->status == ZH_OK; i++) {
    const json_t *result = json_array_get(results, i);
    if (!zh_view_is_shown(view, matters, results, result)) continue;
    json_t *item = zh_view_item(view, list);
    zh_view_choices(view, item, json_object_get(result, "choices"), matters);
    zh_view_verdict(view, item, result, where);
    const char *up_to = zh_view_maybe_text(result, "up_to_yuan");
    bool none = up_to && zh_money_is_valid(up_to) && zh_money_is_zero(up_to);
    zh_view_flag(view, item, "reading_none", none);
    zh_view_money_text(view, item, "reading_up_to", up_to, where);
    zh_view_range(view, item, "reading_range", json_object_get(result, "range"), where);
  }
  zh_view_flag(view, out, "has_by_reading", json_array_size(list) > 1);
}

static void put_alternatives(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *all = zh_view_list_of(view, grant, "alternatives", where);
  json_t *list = zh_view_list(view, out, "alternatives");
  for (size_t i = 0; i < json_array_size(all); i++) {
    const json_t *alternative = json_array_get(all, i);
    json_t *item = zh_view_item(view, list);
    zh_view_local(view, item, "alternative_text", alternative, "text", where);
    zh_view_money(view, item, "extra", alternative, "extra_yuan", where);
    zh_view_money(view, item, "total", alternative, "total_yuan", where);
  }
  zh_view_flag(view, out, "has_alternatives", json_array_size(all) > 0);
}

static void put_people(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *people = zh_view_list_of(view, grant, "people", where);
  json_t *list = zh_view_list(view, out, "people");
  for (size_t i = 0; i < json_array_size(people); i++)
    zh_view_text(view, zh_view_item(view, list), "person",
                 zh_view_text_of(view, json_array_get(people, i), view->language, where));
  zh_view_flag(view, out, "has_people", json_array_size(people) > 0);
}

/* How much: exactly one of amount (all conditions met), conditional, ranged, unknown, none. */
static void put_amount(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const char *up_to = zh_view_maybe_text(grant, "up_to_yuan");
  const char *all = zh_view_maybe_text(grant, "if_all_hold_yuan");
  bool fails = strcmp(zh_view_text_of(view, grant, "verdict", where), "fail") == 0;
  bool none = fails || (up_to && zh_money_is_valid(up_to) && zh_money_is_zero(up_to));
  bool ranged = json_is_object(json_object_get(grant, "range"));
  zh_view_money_text(view, out, "up_to", up_to, where);
  zh_view_money_text(view, out, "if_all_hold", all, where);
  zh_view_range(view, out, "range", json_object_get(grant, "range"), where);
  zh_view_flag(view, out, "is_none", none);
  zh_view_flag(view, out, "is_amount", !none && up_to);
  zh_view_flag(view, out, "is_conditional", !none && !up_to && all);
  zh_view_flag(view, out, "is_ranged", !none && !up_to && !all && ranged);
  zh_view_flag(view, out, "is_unknown", !none && !up_to && !all && !ranged);
}

/* What fails, for amounts that get a line and no page of their own. */
static void put_failing(zh_view *view, json_t *out, const json_t *grant, const char *where) {
  const json_t *all = zh_view_list_of(view, grant, "would_take", where);
  json_t *list = zh_view_list(view, out, "failing");
  for (size_t i = 0; i < json_array_size(all); i++) {
    const json_t *entry = json_array_get(all, i);
    if (strcmp(zh_view_text_of(view, entry, "verdict", where), "fail") != 0) continue;
    zh_view_local(view, zh_view_item(view, list), "failing_text", entry, "text", where);
  }
}

static void put_grant(zh_view *view, json_t *out, const json_t *grant, size_t i) {
  char where[WHERE_CAPACITY];
  snprintf(where, sizeof where, "grants[%zu]", i);
  zh_view_number(view, out, "grant_no", i + 1);
  zh_view_clause(view, out, grant, where);
  zh_view_verdict(view, out, grant, where);
  zh_view_local(view, out, "grant_title", grant, "title", where);
  zh_view_local(view, out, "grant_criterion", grant, "criterion", where);
  zh_view_local(view, out, "grant_statement", grant, "statement", where);
  put_amount(view, out, grant, where);
  put_base(view, out, grant, where);
  put_rate(view, out, grant);
  put_terms(view, out, grant, where);
  put_calculation(view, out, grant, where);
  put_by_reading(view, out, grant, where);
  put_alternatives(view, out, grant, where);
  put_people(view, out, grant, where);
  put_failing(view, out, grant, where);
  zh_view_evidence(view, out, grant, where);
}

void zh_view_grants(zh_view *view) {
  const json_t *grants = zh_view_list_of(view, view->evaluation, "grants", "evaluation.json");
  json_t *list = zh_view_list(view, view->root, "grants");
  size_t open = 0;
  for (size_t i = 0; i < json_array_size(grants) && view->status == ZH_OK; i++) {
    const json_t *grant = json_array_get(grants, i);
    put_grant(view, zh_view_item(view, list), grant, i);
    const char *verdict = zh_view_maybe_text(grant, "verdict");
    open += verdict && strcmp(verdict, "fail") != 0;
  }
  zh_view_number(view, view->root, "grant_count", json_array_size(grants));
  zh_view_flag(view, view->root, "several_grants", json_array_size(grants) > 1);
  zh_view_flag(view, view->root, "has_refused_grants", open < json_array_size(grants));
  zh_view_flag(view, view->root, "has_open_grants", open > 0);
}
