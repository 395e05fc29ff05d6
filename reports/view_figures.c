/* Speeds with their intervals, and bars against the peaks of the same run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "reports/number.h"
#include "reports/view.h"

enum {
  BAR_WIDTH = 100, /* the peak, in the drawing's units */
  FEW_SAMPLES = 6, /* below, the interval spans the extremes and covers less than 95 % */
  HEADLINES = 3,   /* figures on the cover beside the parameter count */
  WHERE_CAPACITY = 48
};

/* The workload or its metric under a name like "memory/read_all_cores". */
static bool is_figure(const json_t *measurement, const char *peak) {
  const char *step = json_string_value(json_object_get(measurement, "step"));
  const char *metric = json_string_value(json_object_get(measurement, "metric"));
  size_t length = step ? strlen(step) : 0;
  return step && metric && strncmp(peak, step, length) == 0 && peak[length] == '/' &&
         strcmp(peak + length + 1, metric) == 0;
}

static bool is_peak_of_another(const zh_view *view, const json_t *measurement) {
  const json_t *all = json_object_get(view->evaluation, "measurements");
  for (size_t i = 0; i < json_array_size(all); i++) {
    const json_t *peak = json_object_get(json_array_get(all, i), "peak");
    const char *name = json_string_value(json_object_get(peak, "name"));
    if (name && is_figure(measurement, name)) return true;
  }
  return false;
}

/* The part of "step/metric" that the glossary knows. */
static void put_peak_word(zh_view *view, json_t *into, const char *key, const char *name) {
  const char *metric = strrchr(name, '/');
  zh_view_word(view, into, key, "metrics", metric ? metric + 1 : name);
}

static double clamp(double value, double low, double high) {
  return value < low ? low : value > high ? high : value;
}

static void put_bar_x(zh_view *view, json_t *into, const char *key, double fraction) {
  zh_view_fixed(view, into, key, clamp(fraction, 0, 1) * BAR_WIDTH, 0, 2);
}

/* share: fraction of the peak and the geometry of its bar. */
static void put_share(zh_view *view, json_t *row, const json_t *measurement, const char *where) {
  json_t *list = zh_view_list(view, row, "share");
  const json_t *peak = json_object_get(measurement, "peak");
  if (!json_is_object(peak)) return;
  json_t *out = zh_view_item(view, list);
  double value = zh_view_real_of(view, measurement, "value", where);
  double fraction = zh_view_real_of(view, peak, "fraction", where);
  double peak_value = zh_view_real_of(view, peak, "value", where);
  const json_t *ci = json_object_get(measurement, "ci95");
  double low = json_number_value(json_array_get(ci, 0)),
         high = json_number_value(json_array_get(ci, 1));
  double per = value > 0 ? fraction / value : 0;
  zh_number_scale scale =
      zh_number_scale_for(peak_value, zh_view_text_of(view, peak, "unit", where));
  put_peak_word(view, out, "peak_word", zh_view_text_of(view, peak, "name", where));
  zh_view_fixed(view, out, "peak_value", peak_value, scale.shift,
                zh_number_decimals(peak_value, scale.shift, 3));
  zh_view_word(view, out, "peak_unit", "units", scale.unit);
  zh_view_fixed(view, out, "percent", fraction, 2, 1);
  put_bar_x(view, out, "bar_width", fraction);
  put_bar_x(view, out, "bar_low", low * per);
  put_bar_x(view, out, "bar_span", clamp(high * per, 0, 1) - clamp(low * per, 0, 1));
  zh_view_flag(view, out, "over_peak", fraction > 1);
}

/* Digits follow the spread: four where the interval is narrower than a hundredth, else three. */
static int significant_digits(double value, double low, double high, int64_t n) {
  return n > 1 && fabs(high - low) >= 0.01 * fabs(value) ? 3 : 4;
}

static void put_numbers(zh_view *view, json_t *row, const json_t *measurement, const char *where) {
  double value = zh_view_real_of(view, measurement, "value", where);
  int64_t n = zh_view_int_of(view, measurement, "n", where);
  const json_t *ci = json_object_get(measurement, "ci95");
  const json_t *low = json_array_get(ci, 0), *high = json_array_get(ci, 1);
  bool interval = n > 1 && json_is_number(low) && json_is_number(high);
  zh_number_scale scale =
      zh_number_scale_for(value, zh_view_text_of(view, measurement, "unit", where));
  int digits = significant_digits(value, json_number_value(low), json_number_value(high), n);
  int decimals = zh_number_decimals(value, scale.shift, digits);
  zh_view_fixed(view, row, "value", value, scale.shift, decimals);
  zh_view_word(view, row, "unit", "units", scale.unit);
  zh_view_flag(view, row, "interval", interval);
  zh_view_fixed(view, row, "low", json_number_value(low), scale.shift, decimals);
  zh_view_fixed(view, row, "high", json_number_value(high), scale.shift, decimals);
  zh_view_fixed(view, row, "n", (double)n, 0, 0);
  zh_view_flag(view, row, "few", interval && n < FEW_SAMPLES);
  if (interval && n < FEW_SAMPLES) zh_view_flag(view, view->root, "any_few", true);
}

/* drift: how the figure had changed when it was measured again at the end of its run. */
static void put_drift(zh_view *view, json_t *row, const json_t *measurement) {
  json_t *list = zh_view_list(view, row, "drift");
  const json_t *bundles = json_object_get(view->evaluation, "bundle");
  size_t owner = (size_t)json_integer_value(json_object_get(measurement, "bundle"));
  const json_t *run = json_object_get(json_array_get(bundles, owner), "run");
  const json_t *stability = json_object_get(run, "stability");
  const json_t *drift = json_object_get(stability, "drift");
  double limit = json_number_value(json_object_get(stability, "limit"));
  for (size_t i = 0; i < json_array_size(drift); i++) {
    const json_t *entry = json_array_get(drift, i);
    if (!is_figure(measurement, zh_view_text_of(view, entry, "metric", "run.stability"))) continue;
    double relative = zh_view_real_of(view, entry, "relative", "run.stability");
    json_t *out = zh_view_item(view, list);
    zh_view_fixed(view, out, "drift_percent", relative, 2, 1);
    zh_view_flag(view, out, "drift_up", relative > 0);
    zh_view_flag(view, out, "drift_over", fabs(relative) > limit);
  }
}

static void put_row(zh_view *view, json_t *list, const json_t *measurement, const char *where) {
  json_t *row = zh_view_item(view, list);
  const char *name = zh_view_text_of(view, measurement, "step", where);
  char step[128]; /* "decode@zh-0.1b" without the model */
  snprintf(step, sizeof step, "%.*s", (int)strcspn(name, "@"), name);
  step[zh_utf8_valid_prefix(step, strlen(step))] = '\0';
  zh_view_word(view, row, "metric", "metrics", zh_view_text_of(view, measurement, "metric", where));
  zh_view_text(view, row, "step", step);
  zh_view_text(view, row, "metric_id", zh_view_text_of(view, measurement, "metric", where));
  put_numbers(view, row, measurement, where);
  put_share(view, row, measurement, where);
  put_drift(view, row, measurement);
  zh_view_flag(view, row, "is_peak", is_peak_of_another(view, measurement));
  zh_view_flag(view, row, "row_invalid", !zh_view_flag_of(view, measurement, "valid", where));
}

/* The group's rows; a group is a model, the machine, or the harness itself. */
typedef bool (*row_filter)(const json_t *measurement, const char *model);

/* Of an examination: those have a chapter of their own. */
static bool is_score(const json_t *measurement) {
  const char *workload = zh_view_maybe_text(measurement, "workload"),
             *unit = zh_view_maybe_text(measurement, "unit");
  return workload && strcmp(workload, "quality") == 0 && unit && strcmp(unit, "1") == 0;
}

static bool is_of_model(const json_t *measurement, const char *model) {
  const char *name = zh_view_maybe_text(measurement, "model");
  return name && strcmp(name, model) == 0 && !is_score(measurement);
}
static bool is_harness(const json_t *measurement) {
  const char *workload = zh_view_maybe_text(measurement, "workload");
  return workload && strcmp(workload, "null") == 0;
}
static bool is_of_machine(const json_t *measurement, const char *model) {
  (void)model;
  return !zh_view_maybe_text(measurement, "model") && !is_harness(measurement);
}
static bool is_of_harness(const json_t *measurement, const char *model) {
  (void)model;
  return is_harness(measurement);
}

static void put_group(zh_view *view, json_t *into, row_filter belongs, const char *model) {
  const json_t *all = zh_view_list_of(view, view->evaluation, "measurements", "evaluation.json");
  json_t *rows = zh_view_list(view, into, "rows");
  for (size_t i = 0; i < json_array_size(all) && view->status == ZH_OK; i++) {
    const json_t *measurement = json_array_get(all, i);
    char where[WHERE_CAPACITY];
    snprintf(where, sizeof where, "measurements[%zu]", i);
    const char *when = zh_view_text_of(view, measurement, "when", where);
    if (strcmp(when, "main") == 0 && belongs(measurement, model))
      put_row(view, rows, measurement, where);
  }
  zh_view_flag(view, into, "has_rows", json_array_size(rows) > 0);
}

static void put_models(zh_view *view) {
  const json_t *models = zh_view_list_of(view, view->evaluation, "models", "evaluation.json");
  const json_t *subject = json_object_get(view->evaluation, "subject");
  const char *subject_name = zh_view_maybe_text(subject, "model");
  json_t *figures = zh_view_list(view, view->root, "subject_figures");
  json_t *others = zh_view_list(view, view->root, "other_figures");
  for (size_t i = 0; i < json_array_size(models); i++) {
    const char *name = zh_view_text_of(view, json_array_get(models, i), "name", "models");
    bool is_subject = subject_name && strcmp(name, subject_name) == 0;
    json_t *group = zh_view_item(view, is_subject ? figures : others);
    zh_view_text(view, group, "figures_name", name);
    put_group(view, group, is_of_model, name);
  }
}

/* The first figures of the subject that stand against a peak, for the cover. */
static void put_headlines(zh_view *view) {
  json_t *list = zh_view_list(view, view->root, "headlines");
  json_t *rows =
      json_object_get(json_array_get(json_object_get(view->root, "subject_figures"), 0), "rows");
  for (size_t i = 0; i < json_array_size(rows) && json_array_size(list) < HEADLINES; i++) {
    json_t *row = json_array_get(rows, i);
    if (json_array_size(json_object_get(row, "share")) > 0 && view->status == ZH_OK)
      json_array_append(list, row);
  }
}

/* Whether any run closed with its peaks again, and the limit that it held them to. */
static void put_stability(zh_view *view) {
  const json_t *bundles = zh_view_list_of(view, view->evaluation, "bundle", "evaluation.json");
  double limit = 0;
  size_t count = 0;
  for (size_t i = 0; i < json_array_size(bundles); i++) {
    const json_t *run = json_object_get(json_array_get(bundles, i), "run");
    const json_t *stability = zh_view_object_of(view, run, "stability", "run");
    count += json_array_size(zh_view_list_of(view, stability, "drift", "run.stability"));
    limit = zh_view_real_of(view, stability, "limit", "run.stability");
  }
  zh_view_fixed(view, view->root, "drift_limit", limit, 2, 0);
  zh_view_flag(view, view->root, "has_drift", count > 0);
}

void zh_view_figures(zh_view *view) {
  zh_view_flag(view, view->root, "any_few", false);
  put_models(view);
  put_group(view, zh_view_object(view, view->root, "machine_figures"), is_of_machine, NULL);
  put_group(view, zh_view_object(view, view->root, "harness_figures"), is_of_harness, NULL);
  put_headlines(view);
  put_stability(view);
}
