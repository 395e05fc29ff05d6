/* The parameter audit of one model: the counts with their definitions, the limit, the groups, what
 * was found in the weights, and whether changed weights change the output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/number.h"
#include "reports/view.h"

enum { FINDINGS_SHOWN = 10 };

/* --- counts --- */

/* One row: its word, its definition, and a figure where there is one. */
static json_t *put_count(zh_view *view, json_t *list, const char *id, const json_t *count) {
  json_t *row = zh_view_item(view, list);
  zh_view_word(view, row, "count_word", "counts", id);
  zh_view_word(view, row, "count_definition", "count_definitions", id);
  zh_view_word(view, row, "count_absent", "counts_absent", id);
  zh_view_list(view, row, "interval");
  zh_view_text(view, row, "count_text", NULL);
  zh_view_flag(view, row, "count_known", json_is_integer(count));
  zh_view_count(view, row, "count", json_integer_value(count));
  return row;
}

static void put_declared(zh_view *view, json_t *list, const json_t *parameters) {
  json_t *row = put_count(view, list, "declared", json_object_get(parameters, "declared"));
  zh_view_text(view, row, "count_text", zh_view_maybe_text(parameters, "declared"));
}

static void put_effective(zh_view *view, json_t *list, const json_t *parameters) {
  const json_t *effective = json_object_get(parameters, "effective");
  json_t *row = put_count(view, list, "effective", json_object_get(effective, "value"));
  if (!json_is_object(effective)) return;
  json_t *interval = zh_view_item(view, json_object_get(row, "interval"));
  zh_view_count(view, interval, "low", zh_view_int_of(view, effective, "low", "models.effective"));
  zh_view_count(view, interval, "high",
                zh_view_int_of(view, effective, "high", "models.effective"));
}

/* With the embedding as the audit counts it, and without. */
static void put_active(zh_view *view, json_t *list, const json_t *parameters) {
  static const char *const without[] = {"shared", "routed", "head"};
  const json_t *parts = json_object_get(parameters, "active_parts");
  const json_t *active = json_object_get(parameters, "active");
  put_count(view, list, "active", active);
  if (!json_is_object(parts) || !json_is_integer(active)) return;
  int64_t sum = 0;
  for (size_t i = 0; i < sizeof without / sizeof *without; i++)
    sum += zh_view_int_of(view, parts, without[i], "models.active_parts");
  if (view->status != ZH_OK || sum == json_integer_value(active)) return;
  json_t *total = json_integer(sum);
  put_count(view, list, "active_without_embedding", total);
  json_decref(total);
}

static void put_counts(zh_view *view, json_t *out, const json_t *parameters) {
  const json_t *readings = zh_view_list_of(view, parameters, "readings", "models.parameters");
  json_t *list = zh_view_list(view, out, "parameter_counts");
  zh_view_count(view, out, "stored_only",
                zh_view_int_of(view, parameters, "stored", "models.parameters"));
  put_declared(view, list, parameters);
  put_count(view, list, "stored", json_object_get(parameters, "stored"));
  put_count(view, list, "unique", json_object_get(parameters, "unique"));
  put_effective(view, list, parameters);
  put_active(view, list, parameters);
  for (size_t i = 0; i < json_array_size(readings); i++) {
    const json_t *reading = json_array_get(readings, i);
    put_count(view, list, zh_view_text_of(view, reading, "reading", "models.readings"),
              json_object_get(reading, "parameters"));
  }
  zh_view_flag(view, out, "counts_differ", json_array_size(readings) > 0);
}

static void put_threshold(zh_view *view, json_t *out, const json_t *model) {
  static const char *const kinds[] = {"total", "active"};
  const json_t *threshold = zh_view_object_of(view, model, "threshold", "models");
  json_t *into = zh_view_object(view, out, "limit");
  zh_view_count(view, into, "limit_count", zh_view_int_of(view, threshold, "limit", "threshold"));
  json_t *list = zh_view_list(view, into, "limit_verdicts");
  for (size_t i = 0; i < 2; i++) {
    json_t *row = zh_view_item(view, list), *verdict = json_object();
    json_object_set(verdict, "verdict", json_object_get(threshold, kinds[i]));
    zh_view_word(view, row, "limit_kind", "limit_kinds", kinds[i]);
    zh_view_verdict(view, row, verdict, "threshold");
    json_decref(verdict);
  }
}

/* --- groups --- */

static void put_groups(zh_view *view, json_t *out, const json_t *model) {
  const json_t *list = zh_view_list_of(view, model, "groups", "models");
  const json_t *parameters = zh_view_object_of(view, model, "parameters", "models");
  double total = (double)zh_view_int_of(view, parameters, "stored", "models.parameters");
  json_t *groups = zh_view_list(view, out, "groups");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *group = json_array_get(list, i);
    json_t *row = zh_view_item(view, groups);
    int64_t count = zh_view_int_of(view, group, "parameters", "models.groups");
    double share = total > 0 ? (double)count / total : 0;
    zh_view_word(view, row, "role", "roles", zh_view_text_of(view, group, "role", "models.groups"));
    zh_view_fixed(view, row, "tensors", zh_view_real_of(view, group, "tensors", "models.groups"), 0,
                  0);
    zh_view_fixed(view, row, "group_parameters", (double)count, 0, 0);
    zh_view_bytes(view, row, "group_bytes", zh_view_real_of(view, group, "bytes", "models.groups"));
    zh_view_fixed(view, row, "group_percent", share, 2, share > 0 && share < 0.001 ? 2 : 1);
    zh_view_fixed(view, row, "group_width", share > 1 ? 100 : share * 100, 0, 2);
  }
}

/* --- findings: the largest first --- */

typedef struct ranked {
  const json_t *finding;
  int64_t parameters;
  size_t order;
} ranked;

static int by_size(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->parameters != y->parameters) return x->parameters > y->parameters ? -1 : 1;
  return x->order < y->order ? -1 : 1;
}

static void put_finding(zh_view *view, json_t *list, const json_t *finding) {
  const char *where = "models.findings";
  json_t *row = zh_view_item(view, list);
  double confidence = zh_view_real_of(view, finding, "confidence", where);
  zh_view_word(view, row, "found_kind", "finding_kinds",
               zh_view_text_of(view, finding, "kind", where));
  zh_view_text(view, row, "found_where", zh_view_text_of(view, finding, "where", where));
  zh_view_text(view, row, "found_of", zh_view_maybe_text(finding, "of"));
  zh_view_count(view, row, "found_parameters", zh_view_int_of(view, finding, "parameters", where));
  zh_view_flag(view, row, "found_proved", confidence >= 1);
  zh_view_fixed(view, row, "found_confidence", confidence, 2, confidence >= 0.999 ? 3 : 1);
  zh_view_local(view, row, "found_text", finding, "text", where);
}

static void put_kinds(zh_view *view, json_t *out, const ranked *found, size_t count) {
  json_t *list = zh_view_list(view, out, "found_kinds");
  for (size_t i = 0; i < count && view->status == ZH_OK; i++) {
    const char *kind = zh_view_text_of(view, found[i].finding, "kind", "models.findings");
    int64_t sum = 0;
    size_t of_kind = 0, first = count;
    for (size_t k = 0; k < count; k++) {
      const char *other = zh_view_maybe_text(found[k].finding, "kind");
      if (!other || strcmp(other, kind) != 0) continue;
      if (first == count) first = k;
      if (__builtin_add_overflow(sum, found[k].parameters, &sum))
        return zh_view_fail(view, "models.findings", "more parameters than can be counted");
      of_kind++;
    }
    if (first != i) continue;
    json_t *row = zh_view_item(view, list);
    zh_view_word(view, row, "found_kind", "finding_kinds", kind);
    zh_view_number(view, row, "kind_count", of_kind);
    zh_view_count(view, row, "kind_parameters", sum);
  }
}

static void put_found(zh_view *view, json_t *out, const json_t *model, size_t index) {
  const json_t *findings = zh_view_list_of(view, model, "findings", "models");
  size_t count = json_array_size(findings);
  ranked *found = calloc(count + 1, sizeof *found);
  json_t *list = zh_view_list(view, out, "found");
  if (!found) return zh_view_fail(view, "models.findings", "out of memory");
  for (size_t i = 0; i < count; i++) {
    const json_t *finding = json_array_get(findings, i);
    found[i] = (ranked){finding, json_integer_value(json_object_get(finding, "parameters")), i};
  }
  qsort(found, count, sizeof *found, by_size);
  put_kinds(view, out, found, count);
  for (size_t i = 0; i < count && i < FINDINGS_SHOWN; i++)
    put_finding(view, list, found[i].finding);
  free(found);
  size_t left = count > FINDINGS_SHOWN ? count - FINDINGS_SHOWN : 0;
  zh_view_flag(view, out, "has_found", count > 0);
  zh_view_number(view, out, "found_count", count);
  zh_view_flag(view, out, "has_found_left", left > 0);
  zh_view_number(view, out, "found_left", left);
  zh_view_number(view, out, "model_index", index); /* evaluation.json: models[index] */
}

/* --- changed weights, changed output --- */

static void put_live(zh_view *view, json_t *out, const json_t *model) {
  const json_t *live = json_object_get(model, "live");
  if (!json_is_object(live)) live = json_object_get(json_object_get(model, "parameters"), "live");
  json_t *list = zh_view_list(view, out, "live");
  if (!json_is_object(live) || !json_is_true(json_object_get(live, "measured"))) return;
  json_t *row = zh_view_item(view, list);
  zh_view_fixed(view, row, "probes", zh_view_real_of(view, live, "probes", "models.live"), 0, 0);
  zh_view_fixed(view, row, "changed", zh_view_real_of(view, live, "changed", "models.live"), 0, 0);
  json_int_t unreached =
      json_integer_value(json_object_get(live, "not_reached")); /* older audits have none */
  zh_view_flag(view, row, "has_not_reached", unreached > 0);
  zh_view_fixed(view, row, "not_reached", (double)unreached, 0, 0);
  double bound = zh_view_real_of(view, live, "lower_bound_95", "models.live");
  char text[ZH_NUMBER_CAPACITY]; /* a lower bound is never rounded up */
  zh_number_fixed(text, bound, 2, 1);
  double shown = strtod(text, NULL) / 100;
  zh_view_fixed(view, row, "live_bound", shown > bound ? bound - 0.0005 : bound, 2, 1);
}

void zh_view_parameters(zh_view *view, json_t *out, const json_t *model, size_t index) {
  const json_t *parameters = zh_view_object_of(view, model, "parameters", "models");
  put_counts(view, out, parameters);
  put_threshold(view, out, model);
  put_groups(view, out, model);
  put_found(view, out, model, index);
  put_live(view, out, model);
}
