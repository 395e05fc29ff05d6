/* Parts that several places of a page have: verdicts, values, clauses, evidence, money. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/money.h"
#include "reports/number.h"
#include "reports/view.h"

static bool one_of(const char *word, const char *const *words) {
  for (; *words; words++)
    if (strcmp(*words, word) == 0) return true;
  return false;
}

/* verdict: the word; verdict_class: the identifier, which the style sheet colours. */
void zh_view_verdict(zh_view *view, json_t *into, const json_t *source, const char *where) {
  static const char *const known[] = {"pass", "fail", "undetermined", "not_applicable", NULL};
  const char *verdict = zh_view_text_of(view, source, "verdict", where);
  if (view->status == ZH_OK && !one_of(verdict, known))
    zh_view_fail(view, where, "a verdict is pass, fail, undetermined or not_applicable");
  zh_view_word(view, into, "verdict", "verdicts", verdict);
  zh_view_text(view, into, "verdict_class", verdict);
}

/* A value as a page shows it: exactly one of count, quantity, plain, absent is true. */
void zh_view_value(zh_view *view, json_t *into, const char *key, const json_t *value,
                   const char *unit, const char *where) {
  json_t *out = zh_view_object(view, into, key);
  bool number = json_is_number(value), count = number && strcmp(unit, "parameters") == 0;
  zh_view_flag(view, out, "count", count);
  zh_view_flag(view, out, "quantity", number && !count);
  zh_view_flag(view, out, "plain", json_is_string(value) || json_is_boolean(value));
  zh_view_flag(view, out, "absent", json_is_null(value));
  if (json_is_string(value)) zh_view_text(view, out, "text", json_string_value(value));
  if (json_is_boolean(value))
    zh_view_word(view, out, "text", "values", json_is_true(value) ? "true" : "false");
  if (count) zh_view_count(view, out, "exact", (int64_t)llrint(json_number_value(value)));
  if (number && !count) {
    double v = json_number_value(value);
    zh_number_scale scale = zh_number_scale_for(v, unit);
    zh_view_fixed(view, out, "number", v, scale.shift, zh_number_decimals(v, scale.shift, 4));
    zh_view_word(view, out, "unit", "units", scale.unit);
  }
  if (!value || json_is_array(value) || json_is_object(value))
    zh_view_fail(view, where, "a value is a number, a string, true, false or null");
}

void zh_view_clause(zh_view *view, json_t *into, const json_t *source, const char *where) {
  const json_t *clause = zh_view_object_of(view, source, "clause", where);
  zh_view_text(view, into, "clause_id", zh_view_text_of(view, clause, "id", where));
  zh_view_text(view, into, "clause_quote", zh_view_text_of(view, clause, "quote", where));
  zh_view_local(view, into, "clause_heading", clause, "heading", where);
}

void zh_view_evidence(zh_view *view, json_t *into, const json_t *finding, const char *where) {
  const json_t *list = zh_view_list_of(view, finding, "evidence", where);
  json_t *out = zh_view_list(view, into, "evidence");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *evidence = json_array_get(list, i);
    json_t *item = zh_view_item(view, out);
    const json_t *line = json_object_get(evidence, "line");
    zh_view_text(view, item, "file", zh_view_text_of(view, evidence, "file", where));
    if (json_is_integer(line) && json_integer_value(line) > 0)
      zh_view_fixed(view, item, "line", json_number_value(line), 0, 0);
    else
      zh_view_text(view, item, "line", NULL);
    zh_view_digest(view, item, "evidence_sm3", zh_view_text_of(view, evidence, "sm3", where));
    zh_view_local(view, item, "what", evidence, "what", where);
  }
  zh_view_flag(view, into, "has_evidence", json_array_size(list) > 0);
}

/* --- money --- */

void zh_view_money_text(zh_view *view, json_t *into, const char *key, const char *yuan,
                        const char *where) {
  char text[ZH_MONEY_CAPACITY];
  json_t *list = zh_view_list(view, into, key);
  if (!yuan || view->status != ZH_OK) return;
  if (!zh_money_is_valid(yuan))
    return zh_view_fail(view, where, "an amount in yuan must read like 20000000.00");
  json_t *money = zh_view_item(view, list);
  zh_view_text(view, money, "yuan", zh_money_yuan(text, yuan));
  zh_view_text(view, money, "wan", zh_money_wan(text, yuan));
}

void zh_view_money(zh_view *view, json_t *into, const char *key, const json_t *object,
                   const char *source, const char *where) {
  zh_view_money_text(view, into, key, zh_view_maybe_text(object, source), where);
}

void zh_view_range(zh_view *view, json_t *into, const char *key, const json_t *range,
                   const char *where) {
  json_t *list = zh_view_list(view, into, key);
  if (!json_is_object(range)) return;
  json_t *out = zh_view_item(view, list);
  const char *low = zh_view_text_of(view, range, "low_yuan", where);
  const char *high = zh_view_text_of(view, range, "high_yuan", where);
  zh_view_money_text(view, out, "high", high, where);
  zh_view_money_text(view, out, "low", zh_money_is_zero(low) ? NULL : low, where);
  zh_view_flag(view, out, "single", strcmp(low, high) == 0);
}
