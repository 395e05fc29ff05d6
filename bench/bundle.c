#include "bench/bundle.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bundle_gpu.h"
#include "bench/bundle_quality.h"
#include "core/files.h"
#include "core/text.h"

enum { CERTIFICATE_BYTES_MAX = 256 << 20 };

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static double real(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static json_t *step_at(const zh_bundle_run *run, size_t i) {
  return json_array_get(json_object_get(run->plan, "steps"), i);
}

static json_t *outcome_at(const zh_bundle_run *run, size_t i) {
  return json_array_get(run->outcomes, i);
}

json_t *zh_bundle_figures(const json_t *outcome) {
  if (strcmp(word(outcome, "status"), "failed") == 0 &&
      json_is_string(json_object_get(outcome, "error")))
    return NULL;
  return json_object_get(json_object_get(outcome, "result"), "measurements");
}

static json_t *find_metric(const json_t *outcome, const char *metric) {
  size_t i;
  json_t *figure;
  json_array_foreach(zh_bundle_figures(outcome), i, figure) {
    if (strcmp(word(figure, "metric"), metric) == 0) return figure;
  }
  return NULL;
}

/* --- samples and measurements --- */

void zh_bundle_clean_name(char *name) {
  for (char *at = name; *at; at++)
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@", *at))
      *at = '_';
}

/* "decode@a b.gguf" + "decode_rate" → "samples/decode@a_b.gguf.decode_rate.json" */
static void samples_name(char *out, size_t capacity, const json_t *step, const char *metric) {
  bool is_end = strcmp(word(step, "when"), "end") == 0;
  int prefix = snprintf(out, capacity, "samples/");
  snprintf(out + prefix, capacity - (size_t)prefix, "%s%s.%s.json", word(step, "step"),
           is_end ? ".end" : "", metric);
  zh_bundle_clean_name(out + prefix);
}

static zh_status write_samples(const zh_bundle_run *run, const json_t *step, const json_t *figure,
                               const char *name, zh_error *err) {
  char path[PATH_MAX];
  bool is_value = strcmp(word(figure, "kind"), "value") == 0;
  json_t *file =
      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:O,s:s,s:O,s:O}", "schema", "zhiheng.samples/1", "step",
                word(step, "step"), "metric", word(figure, "metric"), "when", word(step, "when"),
                "kind", word(figure, "kind"), "sample_unit", is_value ? word(figure, "unit") : "ns",
                "work", json_object_get(figure, "work"), "unit", word(figure, "unit"), "warmup",
                json_object_get(figure, "warmup"), "samples", json_object_get(figure, "samples"));
  if (!file) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the samples");
  snprintf(path, sizeof path, "%s/%s", run->folder, name);
  zh_status status = zh_json_write_file(file, path, err);
  json_decref(file);
  return status;
}

/* The best repeat of a rate, as STREAM takes it: whatever disturbs a machine only makes it slower.
 */
static double best_rate(const json_t *figure) {
  size_t i;
  json_t *sample;
  double best = real(figure, "value"), work = real(figure, "work");
  if (strcmp(word(figure, "kind"), "rate") != 0) return best;
  json_array_foreach(json_object_get(figure, "samples"), i, sample) {
    double ns = json_number_value(sample);
    if (ns > 0) best = fmax(best, work / ns * 1e9);
  }
  return best;
}

/* "memory/read_all_cores": that metric of that workload, at the beginning and at the end of the
 * run, whichever was better. 0 where it was not measured. */
static double find_peak(const zh_bundle_run *run, const char *name, const char **unit) {
  const char *slash = strchr(name, '/');
  double peak = 0;
  if (!slash) return 0;
  size_t length = (size_t)(slash - name);
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    const char *workload = word(step_at(run, i), "workload");
    if (strlen(workload) != length || strncmp(workload, name, length) != 0) continue;
    const json_t *figure = find_metric(outcome_at(run, i), slash + 1);
    if (!figure) continue;
    peak = fmax(peak, best_rate(figure));
    *unit = word(figure, "unit");
  }
  return peak;
}

enum { LIMITS = 2 };

/* What the machine allows at most: value x per_unit cannot be more than the peak. */
typedef struct limit {
  const char *name, *unit;
  double peak, per_unit, fraction;
} limit;

/* Those of a figure that this run measured; the one that the figure comes nearest to is first. */
static size_t limits_of(limit out[LIMITS], const zh_bundle_run *run, const json_t *figure) {
  static const char *const keys[LIMITS][2] = {{"peak", "per_unit"},
                                              {"other_peak", "other_per_unit"}};
  size_t count = 0;
  for (int i = 0; i < LIMITS; i++) {
    limit l = {.name = word(figure, keys[i][0]), .unit = ""};
    l.peak = l.name[0] ? find_peak(run, l.name, &l.unit) : 0;
    if (!(l.peak > 0)) continue;
    l.per_unit = real(figure, keys[i][1]);
    l.fraction = real(figure, "value") * l.per_unit / l.peak;
    out[count++] = l;
  }
  if (count == LIMITS && out[1].fraction > out[0].fraction) {
    limit first = out[0];
    out[0] = out[1];
    out[1] = first;
  }
  return count;
}

static json_t *limit_json(const limit *l) {
  return json_pack("{s:s,s:f,s:s,s:o,s:o}", "name", l->name, "value", l->peak, "unit", l->unit,
                   "per_unit", zh_json_number(l->per_unit), "fraction",
                   zh_json_number(l->fraction));
}

static json_t *measurement_json(const zh_bundle_run *run, const json_t *step, const json_t *figure,
                                const char *samples) {
  limit limits[LIMITS];
  size_t count = limits_of(limits, run, figure);
  json_t *measurement =
      json_pack("{s:s,s:s,s:O,s:s,s:O,s:s,s:O,s:O,s:O,s:s,s:o,s:s,s:b}", "step", word(step, "step"),
                "workload", word(step, "workload"), "model", json_object_get(step, "model"),
                "metric", word(figure, "metric"), "value", json_object_get(figure, "value"), "unit",
                word(figure, "unit"), "n", json_object_get(figure, "n"), "ci95",
                json_object_get(figure, "ci95"), "more_is_better",
                json_object_get(figure, "more_is_better"), "when", word(step, "when"), "peak",
                count > 0 ? limit_json(&limits[0]) : json_null(), "samples", samples, "valid", 1);
  if (!measurement || !word(figure, "other_peak")[0]) return measurement;
  json_t *all = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(all, limit_json(&limits[i]));
  json_object_set_new(measurement, "limits", all);
  return measurement;
}

static zh_status add_measurement(zh_text *lines, const zh_bundle_run *run, const json_t *step,
                                 const json_t *figure, zh_error *err) {
  char name[1024];
  char *line = NULL;
  samples_name(name, sizeof name, step, word(figure, "metric"));
  ZH_TRY(write_samples(run, step, figure, name, err));
  json_t *measurement = measurement_json(run, step, figure, name);
  if (!measurement) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a measurement");
  zh_status status = zh_json_dump_line(&line, measurement, err);
  if (status == ZH_OK) zh_text_printf(lines, "%s\n", line);
  free(line);
  json_decref(measurement);
  return status;
}

static zh_status write_measurements(const zh_bundle_run *run, zh_error *err) {
  char path[PATH_MAX];
  zh_text lines = {0};
  zh_status status = ZH_OK;
  snprintf(path, sizeof path, "%s/samples", run->folder);
  ZH_TRY(zh_make_dirs(path, err));
  for (size_t i = 0; status == ZH_OK && i < json_array_size(run->outcomes); i++) {
    size_t k;
    json_t *figure;
    json_array_foreach(zh_bundle_figures(outcome_at(run, i)), k, figure) {
      if (status == ZH_OK) status = add_measurement(&lines, run, step_at(run, i), figure, err);
    }
  }
  if (status == ZH_OK && lines.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the measurements");
  snprintf(path, sizeof path, "%s/measurements.jsonl", run->folder);
  if (status == ZH_OK) status = zh_write_file(path, zh_text_string(&lines), lines.length, err);
  zh_text_free(&lines);
  return status;
}

/* --- criteria --- */

static bool holds(const json_t *criterion, double value) {
  double threshold = real(criterion, "threshold");
  return strcmp(word(criterion, "op"), "at_least") == 0 ? value >= threshold : value <= threshold;
}

/* Marks the step, too: a result that is right but misses its criterion is a failed step with its
 * figures kept. */
static void fail_criterion(json_t *outcome, const json_t *criterion, const json_t *figure) {
  char reason[512];
  if (strcmp(word(outcome, "status"), "done") != 0) return;
  bool least = strcmp(word(criterion, "op"), "at_least") == 0;
  if (!figure)
    snprintf(reason, sizeof reason, "criterion: metric '%s' was not measured",
             word(criterion, "metric"));
  else if (strcmp(word(figure, "unit"), word(criterion, "unit")) != 0)
    snprintf(reason, sizeof reason, "criterion: '%s' is measured in %s, not in %s",
             word(criterion, "metric"), word(figure, "unit"), word(criterion, "unit"));
  else
    snprintf(reason, sizeof reason, "criterion: %s is %.6g %s, but must be at %s %.6g %s",
             word(criterion, "metric"), real(figure, "value"), word(figure, "unit"),
             least ? "least" : "most", real(criterion, "threshold"), word(criterion, "unit"));
  json_object_set_new(outcome, "status", json_string("failed"));
  json_object_set_new(outcome, "reason", json_string(reason));
}

static json_t *judge_criteria(zh_bundle_run *run, bool *all) {
  json_t *list = json_array();
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    size_t k;
    json_t *criterion;
    json_array_foreach(json_object_get(step_at(run, i), "criteria"), k, criterion) {
      const json_t *figure = find_metric(outcome_at(run, i), word(criterion, "metric"));
      bool passed = figure && strcmp(word(figure, "unit"), word(criterion, "unit")) == 0 &&
                    holds(criterion, real(figure, "value"));
      if (!passed) fail_criterion(outcome_at(run, i), criterion, figure);
      *all = *all && passed;
      json_array_append_new(
          list, json_pack("{s:s,s:O,s:O,s:O,s:O,s:o,s:b}", "step", word(step_at(run, i), "step"),
                          "metric", json_object_get(criterion, "metric"), "op",
                          json_object_get(criterion, "op"), "threshold",
                          json_object_get(criterion, "threshold"), "unit",
                          json_object_get(criterion, "unit"), "value",
                          figure ? zh_json_number(real(figure, "value")) : json_null(), "passed",
                          passed));
    }
  }
  return list;
}

/* --- stability --- */

double zh_drift(double first, double last) {
  return first != 0 ? (last - first) / first : 0;
}

static const json_t *opening_outcome(const zh_bundle_run *run, const char *step_name) {
  for (size_t i = 0; i < json_array_size(run->outcomes); i++)
    if (strcmp(word(step_at(run, i), "when"), "main") == 0 &&
        strcmp(word(step_at(run, i), "step"), step_name) == 0)
      return outcome_at(run, i);
  return NULL;
}

/* Weights that lie in the last-level caches are read faster than memory gives them. */
static bool reads_from_cache(const zh_bundle_run *run, const json_t *outcome, const char *peak) {
  const json_t *facts = json_object_get(json_object_get(outcome, "result"), "facts");
  json_int_t weights = json_integer_value(json_object_get(facts, "memory_weights_bytes"));
  return strncmp(peak, "memory/", 7) == 0 && weights > 0 && (uint64_t)weights <= run->cache_bytes;
}

/* Figures over their peak: either a cache held the data, or the peak was disturbed while it was
 * measured. */
static json_t *list_over_peak(const zh_bundle_run *run, bool in_cache) {
  json_t *list = json_array();
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    size_t k;
    json_t *figure;
    json_array_foreach(zh_bundle_figures(outcome_at(run, i)), k, figure) {
      limit limits[LIMITS];
      if (limits_of(limits, run, figure) == 0 || limits[0].fraction <= ZH_BEYOND_PEAK) continue;
      if (reads_from_cache(run, outcome_at(run, i), limits[0].name) != in_cache) continue;
      json_array_append_new(
          list, json_sprintf("%s/%s", word(step_at(run, i), "step"), word(figure, "metric")));
    }
  }
  return list;
}

static json_t *judge_stability(const zh_bundle_run *run, bool *stable) {
  json_t *list = json_array(), *beyond = list_over_peak(run, false);
  *stable = json_array_size(beyond) == 0;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    size_t k;
    json_t *figure;
    const json_t *step = step_at(run, i);
    if (strcmp(word(step, "when"), "end") != 0) continue;
    json_array_foreach(zh_bundle_figures(outcome_at(run, i)), k, figure) {
      char name[256];
      const json_t *before =
          find_metric(opening_outcome(run, word(step, "step")), word(figure, "metric"));
      if (!before) continue;
      double drift = zh_drift(real(before, "value"), real(figure, "value"));
      if (!(fabs(drift) <= ZH_DRIFT_LIMIT)) *stable = false;
      snprintf(name, sizeof name, "%s/%s", word(step, "step"), word(figure, "metric"));
      json_array_append_new(list, json_pack("{s:s,s:O,s:O,s:o}", "metric", name, "first",
                                            json_object_get(before, "value"), "last",
                                            json_object_get(figure, "value"), "relative",
                                            zh_json_number(drift)));
    }
  }
  return json_pack("{s:b,s:f,s:o,s:o,s:o}", "stable", *stable, "limit", ZH_DRIFT_LIMIT, "drift",
                   list, "beyond_peak", beyond, "in_cache", list_over_peak(run, true));
}

/* --- run.json --- */

static json_t *or_empty(json_t *value, bool array) {
  return value ? json_incref(value) : array ? json_array() : json_object();
}

static json_t *steps_json(const zh_bundle_run *run, bool *valid) {
  json_t *list = json_array();
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    const json_t *step = step_at(run, i), *outcome = outcome_at(run, i);
    json_t *result = json_object_get(outcome, "result");
    const char *status = word(outcome, "status");
    if (strcmp(status, "failed") == 0 || strcmp(status, "lost") == 0) *valid = false;
    json_array_append_new(list,
                          json_pack("{s:s,s:s,s:O,s:s,s:s,s:s,s:O,s:O,s:O,s:o,s:O,s:o,s:o}", "step",
                                    word(step, "step"), "workload", word(step, "workload"), "model",
                                    json_object_get(step, "model"), "when", word(step, "when"),
                                    "status", status, "reason", word(outcome, "reason"), "wall_s",
                                    json_object_get(outcome, "wall_s"), "ranks",
                                    json_object_get(outcome, "ranks"), "parameters",
                                    json_object_get(step, "parameters"), "placement",
                                    or_empty(json_object_get(result, "ranks"), true), "launcher",
                                    json_object_get(step, "launcher"), "facts",
                                    or_empty(json_object_get(result, "facts"), false), "checks",
                                    or_empty(json_object_get(result, "checks"), true)));
  }
  return list;
}

/* What every repeat pays for being measured, by the null workload of this run. */
static json_t *harness_json(const zh_bundle_run *run) {
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    if (strcmp(word(step_at(run, i), "workload"), "null") != 0) continue;
    const json_t *cost = find_metric(outcome_at(run, i), "harness_per_repeat");
    const json_t *clock = find_metric(outcome_at(run, i), "clock_read");
    if (cost && clock)
      return json_pack("{s:O,s:O}", "per_repeat_s", json_object_get(cost, "value"), "clock_read_s",
                       json_object_get(clock, "value"));
  }
  return json_null();
}

static json_t *version_json(const zh_bundle_run *run) {
  const char *kernels = NULL, *mpi = NULL;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    const json_t *version =
        json_object_get(json_object_get(outcome_at(run, i), "result"), "version");
    if (!kernels) kernels = json_string_value(json_object_get(version, "kernels"));
    if (!mpi) mpi = json_string_value(json_object_get(version, "mpi"));
  }
#ifdef __clang__
  const char *compiler = "clang " __clang_version__;
#else
  const char *compiler = "gcc " __VERSION__;
#endif
  return json_pack("{s:s,s:s,s:s?,s:s?}", "zhiheng", ZH_VERSION, "compiler", compiler, "kernels",
                   kernels, "mpi", mpi);
}

/* The most that any step used. */
static int most(const zh_bundle_run *run, const char *key) {
  json_int_t value = 1;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    json_int_t here = json_integer_value(json_object_get(step_at(run, i), key));
    if (here > value) value = here;
  }
  return (int)value;
}

static json_t *run_json(bool *valid, bool *stable, zh_bundle_run *run) {
  *valid = true;
  json_t *criteria = judge_criteria(run, valid);
  json_t *steps = steps_json(run, valid);
  json_t *stability = judge_stability(run, stable);
  return json_pack("{s:s,s:s,s:O,s:s,s:O,s:O,s:O?,s:O,s:o,s:s,s:s,s:i,s:i,s:O,s:o,s:o,s:o,s:o,s:b}",
                   "schema", "zhiheng.run/1", "id", run->id, "suite",
                   json_object_get(run->plan, "suite"), "plan_sm3", run->plan_sm3, "seed",
                   json_object_get(run->plan, "seed"), "fault", json_object_get(run->plan, "fault"),
                   "nonce_commitment", json_object_get(run->plan, "nonce_commitment"), "command",
                   run->command, "version", version_json(run), "started_utc", run->started_utc,
                   "finished_utc", run->finished_utc, "ranks", most(run, "ranks"), "threads",
                   most(run, "threads"), "models", json_object_get(run->plan, "models"), "harness",
                   harness_json(run), "steps", steps, "criteria", criteria, "stability", stability,
                   "valid", *valid);
}

/* "decode@a b.gguf" → "certificates/decode@a_b.gguf.jsonl" */
static zh_status copy_certificate(const zh_bundle_run *run, const json_t *step, zh_error *err) {
  char from[PATH_MAX], name[1024], to[PATH_MAX];
  char *text = NULL;
  size_t length = 0;
  snprintf(from, sizeof from, "%s/work/%s/certificate.jsonl", run->folder, word(step, "key"));
  if (!zh_is_file(from)) return ZH_OK;
  snprintf(name, sizeof name, "%s.jsonl", word(step, "step"));
  zh_bundle_clean_name(name);
  snprintf(to, sizeof to, "%s/certificates", run->folder);
  ZH_TRY(zh_make_dirs(to, err));
  snprintf(to, sizeof to, "%s/certificates/%s", run->folder, name);
  ZH_TRY(zh_read_file(&text, &length, from, CERTIFICATE_BYTES_MAX, err));
  zh_status status = zh_write_file(to, text, length, err);
  free(text);
  return status;
}

zh_status zh_bundle_write(bool *valid, bool *stable, zh_bundle_run *run, zh_error *err) {
  char path[PATH_MAX];
  ZH_TRY(zh_bundle_quality(run, err));
  json_t *file = run_json(valid, stable, run);
  if (!file) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for run.json");
  json_t *gpu_marks = zh_bundle_gpu_marks(run);
  if (gpu_marks) json_object_set_new(file, "gpu_marks", gpu_marks);
  zh_status status = write_measurements(run, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(run->outcomes); i++)
    if (zh_bundle_figures(outcome_at(run, i))) status = copy_certificate(run, step_at(run, i), err);
  if (status == ZH_OK) status = zh_bundle_gpu_readings(run, err);
  snprintf(path, sizeof path, "%s/run.json", run->folder);
  if (status == ZH_OK) status = zh_json_write_file(file, path, err);
  json_decref(file);
  return status;
}
