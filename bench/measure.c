#include "bench/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/statistics.h"

enum { CASES_MAX = 512, BRACKET_TRIES = 64 };
static const char *const KINDS[] = {"rate", "time", "value"};

/* --- clocks --- */

typedef struct moment {
  int64_t now_ns, reference_ns;
} moment;

/* Both clocks at one moment: the reference is read between two readings of ours, and the tightest
 * of a few tries counts, so that being descheduled in between does not look like a clock that lies.
 */
static moment read_clocks(void) {
  moment best = {0, 0};
  int64_t width = INT64_MAX;
  for (int i = 0; i < BRACKET_TRIES && width > 2000; i++) {
    int64_t before = zh_now_ns(), reference = zh_reference_now_ns(), after = zh_now_ns();
    if (after - before >= width) continue;
    width = after - before;
    best = (moment){before + width / 2, reference};
  }
  return best;
}

bool zh_clocks_agree(double elapsed_ns, double reference_ns) {
  return fabs(elapsed_ns - reference_ns) <= ZH_CLOCK_RELATIVE * reference_ns + ZH_CLOCK_SLACK_NS;
}

static zh_status check_clocks(moment begin, moment end, const char *what, zh_error *err) {
  double elapsed = (double)(end.now_ns - begin.now_ns);
  double reference = (double)(end.reference_ns - begin.reference_ns);
  if (zh_clocks_agree(elapsed, reference)) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "clock: %s took %.0f ns by the clock that times it but %.0f ns by the reference "
                 "clock (bound 1 %% + 50 us)",
                 what, elapsed, reference);
}

/* --- one case --- */

typedef struct measuring {
  const zh_measure_rules *rules;
  const zh_workload *workload;
  zh_job *job;
  void *state;
  moment begin;
} measuring;

typedef struct case_samples {
  zh_case what;
  double *samples, *values;
  size_t count;
  double *warmup;
  size_t warmup_count;
  double
      *joules; /* of one token, operation …; of those repeats that a reading of power fell into */
  size_t joules_count;
} case_samples;

static double value_of(const zh_case *what, double sample) {
  switch (what->kind) {
  case ZH_SAMPLE_RATE:
    return what->work / (sample * 1e-9);
  case ZH_SAMPLE_TIME:
    return sample * 1e-9 / what->work;
  case ZH_SAMPLE_VALUE:
    break;
  }
  return sample;
}

/* A time that is not one, or is longer than the repeat that it is part of, is no sample. */
static zh_status check_sample(const zh_case *what, double sample, double elapsed_ns,
                              zh_error *err) {
  bool is_time = what->kind != ZH_SAMPLE_VALUE;
  if (!isfinite(sample) || (is_time && sample < 0))
    return zh_fail(err, ZH_ERR_CHECK, "%s: a repeat gave no number (%g)", what->metric, sample);
  if (is_time && sample > elapsed_ns * (1 + ZH_CLOCK_RELATIVE) + ZH_CLOCK_SLACK_NS)
    return zh_fail(err, ZH_ERR_CHECK,
                   "clock: %s: the workload reports %.0f ns for a repeat that took %.0f ns",
                   what->metric, sample, elapsed_ns);
  return ZH_OK;
}

static zh_status repeat_here(measuring *m, size_t index, const zh_case *what, bool warmup,
                             double *sample, double *watts, zh_error *err) {
  ZH_TRY(m->job->comm->barrier(m->job->comm, err));
  zh_gpu_watch_begin(m->job->watch);
  moment begin = read_clocks();
  zh_status status = m->workload->run(m->state, index, warmup, sample, err);
  moment end = read_clocks();
  *watts = zh_gpu_watch_end(m->job->watch);
  ZH_TRY(status);
  ZH_TRY(check_clocks(begin, end, what->metric, err));
  ZH_TRY(check_sample(what, *sample, (double)(end.now_ns - begin.now_ns), err));
  return m->workload->verify ? m->workload->verify(m->state, index, err) : ZH_OK;
}

/* Of the GPUs of all ranks; NAN where those of one are not known. */
static zh_status sum_watts(const measuring *m, double *watts, zh_error *err) {
  float sums[2] = {isnan(*watts) ? 0 : (float)*watts, isnan(*watts) ? 0.0f : 1.0f};
  if (!zh_gpu_watch_is_on(m->job->watch)) return ZH_OK;
  ZH_TRY(m->job->comm->sum_f32(m->job->comm, sums, 2, err));
  *watts = (int)sums[1] == m->job->comm->size ? (double)sums[0] : NAN;
  return ZH_OK;
}

/* One repeat on all ranks; *sample is the slowest rank's. *elapsed_s since the step began, the same
 * everywhere. */
static zh_status repeat(measuring *m, size_t index, const zh_case *what, bool warmup,
                        double *sample, double *watts, double *elapsed_s, zh_error *err) {
  *sample = 0;
  *watts = NAN;
  zh_status status = repeat_here(m, index, what, warmup, sample, watts, err);
  ZH_TRY(zh_comm_agree(m->job->comm, status, err));
  double shared[2] = {*sample, (double)(zh_now_ns() - m->begin.now_ns) * 1e-9};
  ZH_TRY(m->job->comm->max_f64(m->job->comm, shared, 2, err));
  *sample = shared[0];
  *elapsed_s = shared[1];
  ZH_TRY(sum_watts(m, watts, err));
  if (what->kind != ZH_SAMPLE_VALUE && !(*sample > 0))
    return zh_fail(err, ZH_ERR_CHECK, "%s: a repeat took no time at all", what->metric);
  return ZH_OK;
}

bool zh_measure_enough(const zh_repeats *rule, const double *values, size_t count) {
  if (count >= (size_t)rule->max) return true;
  if (count < (size_t)rule->min || count < 2) return false;
  double mean = zh_mean(values, count);
  return zh_stdev(values, count) <= rule->relative_stdev * fabs(mean);
}

static zh_status measure_case(measuring *m, size_t index, case_samples *c, zh_error *err) {
  zh_repeats rule = m->rules->repeats;
  int warmup = m->rules->warmup;
  double elapsed_s = 0, watts = NAN;
  m->workload->describe(m->state, index, &c->what);
  if (c->what.repeats > 0) {
    rule = (zh_repeats){c->what.repeats, c->what.repeats, 0};
    warmup = 0;
  }
  c->samples = calloc((size_t)rule.max, sizeof(double));
  c->values = calloc((size_t)rule.max, sizeof(double));
  c->warmup = calloc((size_t)warmup + 1, sizeof(double));
  c->joules = calloc((size_t)rule.max, sizeof(double));
  if (!c->samples || !c->values || !c->warmup || !c->joules)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the samples of %s", c->what.metric);
  for (int i = 0; i < warmup; i++)
    ZH_TRY(
        repeat(m, index, &c->what, true, &c->warmup[c->warmup_count++], &watts, &elapsed_s, err));
  while (!zh_measure_enough(&rule, c->values, c->count)) {
    bool late = m->rules->deadline_s > 0 && elapsed_s > 0.8 * m->rules->deadline_s;
    if (late && c->count >= (size_t)rule.min) break;
    double *sample = &c->samples[c->count];
    ZH_TRY(repeat(m, index, &c->what, false, sample, &watts, &elapsed_s, err));
    c->values[c->count] = value_of(&c->what, *sample);
    if (!isnan(watts)) c->joules[c->joules_count++] = watts / c->values[c->count];
    c->count++;
  }
  return ZH_OK;
}

/* --- results --- */

static json_t *numbers(const double *values, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_json_number(values[i]));
  return list;
}

/* Of the median, or of a value that has its own; null where it was measured once. */
static json_t *interval_json(const zh_case *what, const double *sorted, size_t count) {
  if (count < 2 && what->margin <= 0) return json_null();
  double low = sorted[0] - what->margin, high = sorted[count - 1] + what->margin;
  if (what->margin <= 0) zh_median_ci95(&low, &high, sorted, count);
  return json_pack("[o,o]", zh_json_number(low), zh_json_number(high));
}

static json_t *case_json(const zh_case *what, const double *samples, const double *warmup,
                         size_t warmup_count, double *sorted, size_t count) {
  zh_sort_doubles(sorted, count);
  return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o,s:s,s:o,s:b,s:o,s:o,s:I,s:o,s:o}", "metric",
                   what->metric, "unit", what->unit, "kind", KINDS[what->kind], "work",
                   zh_json_number(what->work), "peak", what->peak, "per_unit",
                   zh_json_number(what->peak_per_unit), "other_peak", what->other_peak,
                   "other_per_unit", zh_json_number(what->other_per_unit), "more_is_better",
                   what->more_is_better, "value", zh_json_number(zh_percentile(sorted, count, 0.5)),
                   "ci95", interval_json(what, sorted, count), "n", (json_int_t)count, "samples",
                   numbers(samples, count), "warmup", numbers(warmup, warmup_count));
}

static zh_status keep(json_t *list, json_t *entry, zh_error *err) {
  if (entry && json_array_append_new(list, entry) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory while keeping a result");
}

static zh_status keep_figure(json_t *list, const case_samples *c, zh_error *err) {
  return keep(
      list, case_json(&c->what, c->samples, c->warmup, c->warmup_count, c->values, c->count), err);
}

/* Power over rate: what one token or operation costs, where the GPUs were watched. */
static zh_status keep_energy(json_t *list, const case_samples *c, zh_error *err) {
  static const char *const units[][2] = {
      {"token/s", "J/token"}, {"FLOP/s", "J/FLOP"}, {"OP/s", "J/OP"}};
  const char *unit = NULL;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(c->what.unit, units[i][0]) == 0) unit = units[i][1];
  if (!unit || c->joules_count == 0 || c->what.kind == ZH_SAMPLE_VALUE) return ZH_OK;
  zh_case what = {.kind = ZH_SAMPLE_VALUE, .work = 1};
  snprintf(what.unit, sizeof what.unit, "%s", unit);
  snprintf(what.metric, sizeof what.metric, "%.72s_energy", c->what.metric);
  double *sorted = malloc(c->joules_count * sizeof *sorted);
  if (!sorted) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for energies");
  memcpy(sorted, c->joules, c->joules_count * sizeof *sorted);
  zh_status status = keep(list, case_json(&what, c->joules, NULL, 0, sorted, c->joules_count), err);
  free(sorted);
  return status;
}

static zh_status keep_case(json_t *list, const case_samples *c, zh_error *err) {
  ZH_TRY(keep_figure(list, c, err));
  return keep_energy(list, c, err);
}

zh_status zh_keep_time(zh_kept_times *times, double ns, zh_error *err) {
  if (times->count == times->capacity) {
    size_t capacity = times->capacity ? 2 * times->capacity : 64;
    double *grown = realloc(times->ns, capacity * sizeof *grown);
    if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu times", capacity);
    times->ns = grown;
    times->capacity = capacity;
  }
  times->ns[times->count++] = ns;
  return ZH_OK;
}

zh_status zh_job_series(zh_job *job, const zh_case *what, const double *samples, size_t count,
                        zh_error *err) {
  if (count == 0) return zh_fail(err, ZH_ERR_ARG, "series %s has no samples", what->metric);
  double *values = malloc(count * sizeof *values);
  if (!values) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for series %s", what->metric);
  for (size_t i = 0; i < count; i++) values[i] = value_of(what, samples[i]);
  zh_status status = keep(job->series, case_json(what, samples, NULL, 0, values, count), err);
  free(values);
  return status;
}

/* --- the step --- */

static zh_status measure_cases(measuring *m, case_samples *cases, size_t count, zh_error *err) {
  for (size_t i = 0; i < count; i++) ZH_TRY(measure_case(m, i, &cases[i], err));
  zh_status status = m->workload->finish ? m->workload->finish(m->state, err) : ZH_OK;
  if (status == ZH_OK) status = check_clocks(m->begin, read_clocks(), "the step", err);
  return zh_comm_agree(m->job->comm, status, err);
}

/* Prepares on every rank; a rank that cannot must not leave the others waiting. */
static zh_status prepare(measuring *m, size_t *count, zh_error *err) {
  zh_status status = m->workload->prepare(&m->state, count, m->job, err);
  if (status == ZH_OK && *count > CASES_MAX)
    status = zh_fail(err, ZH_ERR_INPUT, "workload '%s' would measure %zu figures, at most %d",
                     m->workload->name, *count, CASES_MAX);
  status = zh_comm_agree(m->job->comm, status, err);
  if (status != ZH_OK && m->state) m->workload->release(m->state);
  return status;
}

zh_status zh_measure(json_t **out, const zh_measure_rules *rules, const zh_workload *workload,
                     zh_job *job, zh_error *err) {
  measuring m = {rules, workload, job, NULL, {0, 0}};
  size_t count = 0;
  *out = NULL;
  if (job->fault == ZH_FAULT_CLOCK) zh_clock_inject_rate(1.5);
  m.begin = read_clocks();
  ZH_TRY(prepare(&m, &count, err));
  case_samples *cases = calloc(count + 1, sizeof *cases);
  json_t *list = json_array();
  zh_status status =
      cases && list ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu figures", count);
  if (status == ZH_OK) status = measure_cases(&m, cases, count, err);
  workload->release(m.state);
  for (size_t i = 0; status == ZH_OK && i < count; i++) status = keep_case(list, &cases[i], err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(job->series); i++)
    if (json_array_append(list, json_array_get(job->series, i)) != 0)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory while keeping a result");
  for (size_t i = 0; cases && i < count; i++) {
    free(cases[i].samples);
    free(cases[i].values);
    free(cases[i].warmup);
    free(cases[i].joules);
  }
  free(cases);
  if (status != ZH_OK) {
    json_decref(list);
    return status;
  }
  *out = list;
  return ZH_OK;
}
