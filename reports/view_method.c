/* How it was measured, what the self-checks found, what was left out, and every digest. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "reports/number.h"
#include "reports/view.h"

/* --- self-checks: one row a kind --- */

typedef struct check_sum {
  const char *kind;
  size_t count, failed;
  double worst; /* largest error ÷ bound, of checks that have a bound */
  bool bounded;
} check_sum;

enum { CHECK_KINDS = 32 };

/* Of its bound; operations that round once reach it, which a footnote tells. */
static const double NEAR_ITS_BOUND = 0.9;

static check_sum *sum_of(check_sum *sums, size_t *count, const char *kind) {
  for (size_t i = 0; i < *count; i++)
    if (strcmp(sums[i].kind, kind) == 0) return &sums[i];
  if (*count == CHECK_KINDS) return NULL;
  sums[*count] = (check_sum){.kind = kind};
  return &sums[(*count)++];
}

static void add_checks(zh_view *view, check_sum *sums, size_t *count, const json_t *step) {
  const json_t *checks = zh_view_list_of(view, step, "checks", "run.steps");
  for (size_t i = 0; i < json_array_size(checks) && view->status == ZH_OK; i++) {
    const json_t *check = json_array_get(checks, i);
    check_sum *sum = sum_of(sums, count, zh_view_text_of(view, check, "check", "run.steps.checks"));
    if (!sum) return zh_view_fail(view, "run.steps.checks", "more than 32 kinds of checks");
    double bound = json_number_value(json_object_get(check, "bound"));
    double error = json_number_value(json_object_get(check, "error"));
    const json_t *samples = json_object_get(check, "samples"); /* rows that one entry stands for */
    sum->count += json_is_integer(samples) ? (size_t)json_integer_value(samples) : 1;
    if (!zh_view_flag_of(view, check, "passed", "run.steps.checks")) sum->failed++;
    if (bound > 0) sum->worst = fmax(sum->worst, error / bound);
    sum->bounded = sum->bounded || bound > 0;
  }
}

/* Percent to two digits; one below its bound never reads 100. */
static void put_ratio(zh_view *view, json_t *row, const char *key, double ratio) {
  char text[ZH_NUMBER_CAPACITY];
  int decimals = ratio < 1 ? zh_number_decimals(ratio, 2, 2) : 0;
  while (strncmp(zh_number_fixed(text, ratio, 2, decimals), "100", 3) == 0 && ratio < 1 &&
         decimals < 12)
    decimals++;
  zh_view_text(view, row, key, text);
}

static void put_checks(zh_view *view, json_t *out, const json_t *steps) {
  check_sum sums[CHECK_KINDS];
  size_t count = 0;
  json_t *list = zh_view_list(view, out, "checks");
  zh_view_flag(view, out, "has_close_checks", false);
  for (size_t i = 0; i < json_array_size(steps); i++)
    add_checks(view, sums, &count, json_array_get(steps, i));
  for (size_t i = 0; i < count && view->status == ZH_OK; i++) {
    json_t *row = zh_view_item(view, list);
    zh_view_word(view, row, "check", "checks", sums[i].kind);
    zh_view_fixed(view, row, "check_count", (double)sums[i].count, 0, 0);
    zh_view_fixed(view, row, "check_failed", (double)sums[i].failed, 0, 0);
    zh_view_flag(view, row, "check_passed", sums[i].failed == 0);
    zh_view_flag(view, row, "check_bounded", sums[i].bounded);
    put_ratio(view, row, "check_worst", sums[i].worst);
    bool close = sums[i].failed == 0 && sums[i].worst >= NEAR_ITS_BOUND;
    zh_view_flag(view, row, "check_close", close);
    if (close) zh_view_flag(view, out, "has_close_checks", true);
  }
  zh_view_flag(view, out, "has_checks", count > 0);
}

/* --- steps and criteria of the suite --- */

/* "prompt 32, tokens 32": what a step was told. */
static void put_parameters(zh_view *view, json_t *row, const json_t *step) {
  const json_t *parameters = json_object_get(step, "parameters");
  zh_text text = {0};
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)parameters, name, value) {
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *plain = json_string_value(value);
    zh_text_printf(&text, "%s%s=%s", text.length > 0 ? ", " : "", name,
                   plain   ? plain
                   : shown ? shown
                           : "");
    free(shown);
  }
  zh_view_text(view, row, "step_parameters", text.length > 0 ? zh_text_string(&text) : NULL);
  zh_text_free(&text);
}

static void put_done(zh_view *view, json_t *list, const json_t *step) {
  json_t *row = zh_view_item(view, list);
  double wall = zh_view_real_of(view, step, "wall_s", "run.steps");
  zh_view_text(view, row, "done_step", zh_view_text_of(view, step, "step", "run.steps"));
  put_parameters(view, row, step);
  zh_view_fixed(view, row, "wall", wall, 0, 1);
}

static void put_steps(zh_view *view, json_t *out, const json_t *steps) {
  json_t *left = zh_view_list(view, out, "steps_without_figure");
  json_t *told = zh_view_list(view, out, "steps_done_list");
  size_t done = 0;
  for (size_t i = 0; i < json_array_size(steps); i++) {
    const json_t *step = json_array_get(steps, i);
    const char *status = zh_view_text_of(view, step, "status", "run.steps");
    if (strcmp(status, "done") == 0) {
      done++;
      if (strcmp(zh_view_text_of(view, step, "when", "run.steps"), "main") == 0)
        put_done(view, told, step);
      continue;
    }
    json_t *row = zh_view_item(view, left);
    zh_view_text(view, row, "step_name", zh_view_text_of(view, step, "step", "run.steps"));
    zh_view_word(view, row, "step_status", "step_status", status);
    zh_view_text(view, row, "step_reason", zh_view_maybe_text(step, "reason"));
  }
  zh_view_fixed(view, out, "steps_done", (double)done, 0, 0);
  zh_view_fixed(view, out, "steps_all", (double)json_array_size(steps), 0, 0);
  zh_view_flag(view, out, "has_steps_without_figure", json_array_size(left) > 0);
}

static void put_amount(zh_view *view, json_t *row, const char *key, double value,
                       zh_number_scale scale) {
  zh_view_fixed(view, row, key, value, scale.shift, zh_number_decimals(value, scale.shift, 4));
}

static void put_criteria(zh_view *view, json_t *out, const json_t *run) {
  const json_t *criteria = zh_view_list_of(view, run, "criteria", "run");
  json_t *list = zh_view_list(view, out, "criteria");
  for (size_t i = 0; i < json_array_size(criteria); i++) {
    const json_t *criterion = json_array_get(criteria, i);
    json_t *row = zh_view_item(view, list);
    double threshold = zh_view_real_of(view, criterion, "threshold", "run.criteria");
    zh_number_scale scale =
        zh_number_scale_for(threshold, zh_view_text_of(view, criterion, "unit", "run.criteria"));
    const json_t *value = json_object_get(criterion, "value");
    const char *op = zh_view_text_of(view, criterion, "op", "run.criteria");
    zh_view_word(view, row, "criterion_metric", "metrics",
                 zh_view_text_of(view, criterion, "metric", "run.criteria"));
    zh_view_text(view, row, "criterion_step",
                 zh_view_text_of(view, criterion, "step", "run.criteria"));
    zh_view_text(view, row, "criterion_op",
                 strcmp(op, "at_most") == 0 ? "\xE2\x89\xA4" : "\xE2\x89\xA5");
    put_amount(view, row, "criterion_threshold", threshold, scale);
    zh_view_word(view, row, "criterion_unit", "units", scale.unit);
    if (json_is_number(value))
      put_amount(view, row, "criterion_value", json_number_value(value), scale);
    else
      zh_view_text(view, row, "criterion_value", NULL);
    zh_view_flag(view, row, "criterion_passed",
                 zh_view_flag_of(view, criterion, "passed", "run.criteria"));
  }
  zh_view_flag(view, out, "has_criteria", json_array_size(list) > 0);
}

/* --- the run --- */

static void put_command(zh_view *view, json_t *out, const json_t *run) {
  const json_t *command = zh_view_list_of(view, run, "command", "run");
  json_t *list = zh_view_list(view, out, "command");
  for (size_t i = 0; i < json_array_size(command); i++) {
    const char *word = json_string_value(json_array_get(command, i));
    if (!word) return zh_view_fail(view, "run.command", "must be a list of strings");
    zh_view_text(view, zh_view_item(view, list), "argument", word);
  }
}

static void put_run(zh_view *view, json_t *out, const json_t *bundle) {
  const json_t *run = zh_view_object_of(view, bundle, "run", "bundle");
  const json_t *suite = zh_view_object_of(view, run, "suite", "run");
  const json_t *version = zh_view_object_of(view, run, "version", "run");
  const json_t *steps = zh_view_list_of(view, run, "steps", "run");
  const json_t *seed = json_object_get(run, "seed");
  zh_view_text(view, out, "run_id", zh_view_text_of(view, run, "id", "run"));
  zh_view_text(view, out, "bundle_path", zh_view_text_of(view, bundle, "path", "bundle"));
  zh_view_digest(view, out, "manifest_sm3",
                 zh_view_text_of(view, bundle, "manifest_sm3", "bundle"));
  zh_view_text(view, out, "suite_name", zh_view_text_of(view, suite, "name", "run.suite"));
  zh_view_digest(view, out, "suite_sm3", zh_view_text_of(view, suite, "sm3", "run.suite"));
  zh_view_digest(view, out, "plan_sm3", zh_view_text_of(view, run, "plan_sm3", "run"));
  const char *fault = zh_view_maybe_text(run, "fault");
  zh_view_text(view, out, "fault", fault && strcmp(fault, "none") != 0 ? fault : NULL);
  if (json_is_integer(seed))
    zh_view_fixed(view, out, "seed", json_number_value(seed), 0, 0);
  else
    zh_view_text(view, out, "seed", zh_view_text_of(view, run, "seed", "run"));
  zh_view_text(view, out, "started", zh_view_text_of(view, run, "started_utc", "run"));
  zh_view_text(view, out, "finished", zh_view_text_of(view, run, "finished_utc", "run"));
  zh_view_fixed(view, out, "ranks", zh_view_real_of(view, run, "ranks", "run"), 0, 0);
  zh_view_fixed(view, out, "run_threads", zh_view_real_of(view, run, "threads", "run"), 0, 0);
  zh_view_text(view, out, "zhiheng_version",
               zh_view_text_of(view, version, "zhiheng", "run.version"));
  zh_view_text(view, out, "compiler", zh_view_maybe_text(version, "compiler"));
  zh_view_text(view, out, "kernels", zh_view_maybe_text(version, "kernels"));
  zh_view_text(view, out, "mpi", zh_view_maybe_text(version, "mpi"));
  put_command(view, out, run);
  put_checks(view, out, steps);
  put_steps(view, out, steps);
  put_criteria(view, out, run);
}

static void put_not_tested(zh_view *view) {
  const json_t *list = zh_view_list_of(view, view->evaluation, "not_tested", "evaluation.json");
  json_t *out = zh_view_list(view, view->root, "not_tested");
  for (size_t i = 0; i < json_array_size(list); i++)
    zh_view_text(view, zh_view_item(view, out), "limit",
                 zh_view_text_of(view, json_array_get(list, i), view->language, "not_tested"));
}

static bool is_listed(const json_t *files, const char *file, const char *sm3) {
  for (size_t i = 0; i < json_array_size(files); i++) {
    const json_t *row = json_array_get(files, i);
    const char *name = zh_view_maybe_text(row, "file_name");
    const char *digest = zh_view_maybe_text(row, "file_sm3");
    if (name && digest && strcmp(name, file) == 0 && strcmp(digest, sm3) == 0) return true;
  }
  return false;
}

static void put_files_of(zh_view *view, json_t *out, const char *part) {
  const json_t *list = zh_view_list_of(view, view->evaluation, part, "evaluation.json");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *evidence = json_object_get(json_array_get(list, i), "evidence");
    for (size_t j = 0; j < json_array_size(evidence) && view->status == ZH_OK; j++) {
      const char *file = zh_view_text_of(view, json_array_get(evidence, j), "file", "evidence");
      const char *sm3 = zh_view_text_of(view, json_array_get(evidence, j), "sm3", "evidence");
      if (is_listed(out, file, sm3)) continue;
      json_t *row = zh_view_item(view, out);
      zh_view_text(view, row, "file_name", file);
      zh_view_digest(view, row, "file_sm3", sm3);
    }
  }
}

/* Files that findings and amounts rest on, each once. */
static void put_evidence_files(zh_view *view) {
  json_t *out = zh_view_list(view, view->root, "evidence_files");
  put_files_of(view, out, "findings");
  put_files_of(view, out, "grants");
}

void zh_view_method(zh_view *view) {
  const json_t *bundles = zh_view_list_of(view, view->evaluation, "bundle", "evaluation.json");
  json_t *runs = zh_view_list(view, view->root, "runs");
  for (size_t i = 0; i < json_array_size(bundles); i++)
    put_run(view, zh_view_item(view, runs), json_array_get(bundles, i));
  put_not_tested(view);
  put_evidence_files(view);
}
