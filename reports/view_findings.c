/* Conclusion, findings and grant. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/number.h"
#include "reports/view.h"

static bool one_of(const char *word, const char *const *words) {
  for (; *words; words++)
    if (strcmp(*words, word) == 0) return true;
  return false;
}

/* verdict: the word; verdict_class: the identifier, which the style sheet colours. */
static void put_verdict(zh_view *view, json_t *into, const json_t *source, const char *where) {
  static const char *const known[] = {"pass", "fail", "undetermined", "not_applicable", NULL};
  const char *verdict = zh_view_text_of(view, source, "verdict", where);
  if (view->status == ZH_OK && !one_of(verdict, known))
    zh_view_fail(view, where, "a verdict is pass, fail, undetermined or not_applicable");
  zh_view_word(view, into, "verdict", "verdicts", verdict);
  zh_view_text(view, into, "verdict_class", verdict);
}

/* A value as a page shows it: exactly one of count, quantity, plain, absent is true. */
static void put_value(zh_view *view, json_t *into, const char *key, const json_t *value,
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

static void put_clause(zh_view *view, json_t *into, const json_t *source, const char *where) {
  const json_t *clause = zh_view_object_of(view, source, "clause", where);
  zh_view_text(view, into, "clause_id", zh_view_text_of(view, clause, "id", where));
  zh_view_text(view, into, "clause_quote", zh_view_text_of(view, clause, "quote", where));
  zh_view_local(view, into, "clause_heading", clause, "heading", where);
}

static void put_criterion(zh_view *view, json_t *into, const json_t *finding, const char *where) {
  static const char *const signs[][2] = {
      {">=", "\xE2\x89\xA5"}, {"<=", "\xE2\x89\xA4"}, {"==", "="}};
  const json_t *criterion = zh_view_object_of(view, finding, "criterion", where);
  const json_t *threshold = json_object_get(criterion, "threshold");
  json_t *out = zh_view_object(view, into, "criterion");
  const char *op = zh_view_maybe_text(criterion, "op");
  for (size_t i = 0; op && i < sizeof signs / sizeof *signs; i++)
    if (strcmp(op, signs[i][0]) == 0) op = signs[i][1];
  zh_view_text(view, out, "criterion_text",
               zh_view_text_of(view, criterion, view->language, where));
  zh_view_text(view, out, "boundary_word", zh_view_maybe_text(criterion, "boundary_word"));
  zh_view_flag(view, out, "bounded", op && json_is_number(threshold));
  zh_view_text(view, out, "op", op);
  const char *unit = zh_view_maybe_text(criterion, "unit");
  put_value(view, out, "threshold", threshold ? threshold : json_null(), unit ? unit : "", where);
}

static void put_evidence(zh_view *view, json_t *into, const json_t *finding, const char *where) {
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

static void put_finding(zh_view *view, json_t *out, const json_t *finding, size_t i) {
  char where[48], number[24];
  snprintf(where, sizeof where, "findings[%zu]", i);
  snprintf(number, sizeof number, "%zu", i + 1);
  zh_view_text(view, out, "number_of", number);
  zh_view_text(view, out, "id", zh_view_text_of(view, finding, "id", where));
  put_clause(view, out, finding, where);
  zh_view_local(view, out, "statement", finding, "statement", where);
  const char *unit = zh_view_maybe_text(finding, "unit");
  put_value(view, out, "measured", json_object_get(finding, "value"), unit ? unit : "", where);
  const json_t *uncertainty = json_object_get(finding, "uncertainty");
  json_t *spread = zh_view_list(view, out, "uncertainty");
  if (json_is_number(uncertainty))
    put_value(view, zh_view_item(view, spread), "measured", uncertainty, unit ? unit : "", where);
  put_criterion(view, out, finding, where);
  put_verdict(view, out, finding, where);
  zh_view_local(view, out, "reason", finding, "reason", where);
  put_evidence(view, out, finding, where);
}

/* Ten-thousand yuan, with as many decimals as the amount has. */
static void put_wan(zh_view *view, json_t *into, const char *key, const json_t *amount) {
  double value = json_number_value(amount), scaled = value;
  int decimals = 0;
  for (; decimals < 6 && fabs(scaled - round(scaled)) > 1e-6; decimals++) scaled *= 10;
  if (json_is_number(amount))
    zh_view_fixed(view, into, key, value, 0, decimals);
  else
    zh_view_text(view, into, key, NULL);
}

/* "20000000.00" → "20,000,000"; kept as text, so that money is never rounded. */
static void put_yuan(zh_view *view, json_t *into, const char *key, const json_t *object,
                     const char *source) {
  const char *text = zh_view_maybe_text(object, source);
  char grouped[64];
  size_t whole = text ? strspn(text, "0123456789") : 0, length = 0;
  if (!text) return zh_view_text(view, into, key, NULL);
  if (whole == 0 || whole > 24 || text[whole] != '.' ||
      strspn(text + whole + 1, "0123456789") != 2 || text[whole + 3] != '\0')
    return zh_view_fail(view, "grant", "an amount in yuan must read like 20000000.00");
  for (size_t i = 0; i < whole; i++) {
    grouped[length++] = text[i];
    if ((whole - 1 - i) % 3 == 0 && i + 1 < whole) grouped[length++] = ',';
  }
  grouped[length] = '\0';
  if (strcmp(text + whole, ".00") != 0)
    snprintf(grouped + length, sizeof grouped - length, "%s", text + whole);
  zh_view_text(view, into, key, grouped);
}

/* A policy without a grant clause has null here. */
static void put_grant(zh_view *view) {
  json_t *list = zh_view_list(view, view->root, "grants");
  if (json_is_null(json_object_get(view->evaluation, "grant"))) return;
  const json_t *grant = zh_view_object_of(view, view->evaluation, "grant", "evaluation.json");
  json_t *out = zh_view_item(view, list);
  const json_t *up_to = json_object_get(grant, "up_to_wan_yuan");
  const json_t *base = zh_view_object_of(view, grant, "base", "grant");
  const char *verdict = zh_view_text_of(view, grant, "verdict", "grant");
  bool amount = json_number_value(up_to) > 0;
  put_clause(view, out, grant, "grant");
  put_verdict(view, out, grant, "grant");
  zh_view_local(view, out, "grant_title", grant, "title", "grant");
  zh_view_local(view, out, "grant_criterion", grant, "criterion", "grant");
  zh_view_local(view, out, "grant_statement", grant, "statement", "grant");
  zh_view_flag(view, out, "grant_amount", amount);
  zh_view_flag(view, out, "grant_conditional", amount && strcmp(verdict, "pass") != 0);
  zh_view_flag(view, out, "grant_unknown", !json_is_number(up_to));
  put_wan(view, out, "up_to", up_to);
  put_yuan(view, out, "up_to_yuan", grant, "up_to_yuan");
  zh_view_local(view, out, "base_name", base, "name", "grant.base");
  put_wan(view, out, "base", json_object_get(base, "wan_yuan"));
  put_yuan(view, out, "base_yuan", base, "yuan");
  put_evidence(view, out, grant, "grant");
}

static void put_counts(zh_view *view) {
  static const char *const keys[] = {"pass", "fail", "undetermined", "not_applicable"};
  const json_t *counts = zh_view_object_of(view, view->evaluation, "counts", "evaluation.json");
  json_t *out = zh_view_list(view, view->root, "counts");
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    double count = (double)zh_view_int_of(view, counts, keys[i], "counts");
    json_t *item = zh_view_item(view, out);
    zh_view_word(view, item, "count_word", "verdicts", keys[i]);
    zh_view_text(view, item, "count_class", keys[i]);
    zh_view_fixed(view, item, "count_number", count, 0, 0);
  }
}

void zh_view_findings(zh_view *view) {
  const json_t *summary = zh_view_object_of(view, view->evaluation, "summary", "evaluation.json");
  const json_t *findings = zh_view_list_of(view, view->evaluation, "findings", "evaluation.json");
  json_t *conclusion = zh_view_object(view, view->root, "conclusion");
  put_verdict(view, conclusion, summary, "summary");
  zh_view_text(view, conclusion, "conclusion_text",
               zh_view_text_of(view, summary, view->language, "summary"));
  put_counts(view);
  json_t *out = zh_view_list(view, view->root, "findings");
  for (size_t i = 0; i < json_array_size(findings); i++)
    put_finding(view, zh_view_item(view, out), json_array_get(findings, i), i);
  put_grant(view);
}
