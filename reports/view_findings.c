/* Conclusion and findings. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/number.h"
#include "reports/view.h"

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
  zh_view_value(view, out, "threshold", threshold ? threshold : json_null(), unit ? unit : "",
                where);
}

/* Where the value is only the name of the paper that the evidence names, it is not told twice. */
static bool is_told_by_evidence(const json_t *finding) {
  const char *value = zh_view_maybe_text(finding, "value");
  const json_t *evidence = json_object_get(finding, "evidence");
  for (size_t i = 0; value && i < json_array_size(evidence); i++) {
    const char *file = zh_view_maybe_text(json_array_get(evidence, i), "file");
    if (file && strcmp(file, value) == 0) return true;
  }
  return false;
}

/* The value as the page's language says it, where the finding has it in both. */
static const json_t *value_of(const zh_view *view, const json_t *finding) {
  const json_t *text = json_object_get(json_object_get(finding, "value_text"), view->language);
  return json_is_string(text) ? text : json_object_get(finding, "value");
}

static void put_finding(zh_view *view, json_t *out, const json_t *finding, size_t i) {
  char where[48], number[24];
  snprintf(where, sizeof where, "findings[%zu]", i);
  snprintf(number, sizeof number, "%zu", i + 1);
  zh_view_text(view, out, "number_of", number);
  zh_view_text(view, out, "id", zh_view_text_of(view, finding, "id", where));
  zh_view_clause(view, out, finding, where);
  zh_view_local(view, out, "statement", finding, "statement", where);
  const char *unit = zh_view_maybe_text(finding, "unit");
  zh_view_value(view, out, "measured", value_of(view, finding), unit ? unit : "", where);
  zh_view_flag(view, out, "measured_told", !is_told_by_evidence(finding));
  const json_t *uncertainty = json_object_get(finding, "uncertainty");
  json_t *spread = zh_view_list(view, out, "uncertainty");
  if (json_is_number(uncertainty))
    zh_view_value(view, zh_view_item(view, spread), "measured", uncertainty, unit ? unit : "",
                  where);
  put_criterion(view, out, finding, where);
  zh_view_verdict(view, out, finding, where);
  zh_view_local(view, out, "reason", finding, "reason", where);
  zh_view_text(view, out, "finding_model", zh_view_maybe_text(finding, "model"));
  zh_view_evidence(view, out, finding, where);
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
  const json_t *grants = json_object_get(view->evaluation, "grants");
  const char *verdict = zh_view_text_of(view, summary, "verdict", "summary");
  zh_view_verdict(view, conclusion, summary, "summary");
  /* Of several amounts one that can be given is enough for a pass. */
  zh_view_flag(view, conclusion, "for_one_at_least",
               json_array_size(grants) > 1 && strcmp(verdict, "fail") != 0);
  zh_view_text(view, conclusion, "conclusion_text",
               zh_view_text_of(view, summary, view->language, "summary"));
  put_counts(view);
  json_t *out = zh_view_list(view, view->root, "findings");
  zh_view_number(view, view->root, "finding_count", json_array_size(findings));
  for (size_t i = 0; i < json_array_size(findings); i++)
    put_finding(view, zh_view_item(view, out), json_array_get(findings, i), i);
}
