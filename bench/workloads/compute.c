/* Arithmetic limits of the CPU: fp32 FMA, bf16 dot and int8 dot from registers, on random normal
 * operands, one core and all. Where this CPU lacks the instructions the loop is portable code, and
 * the facts say so.
 *
 * All threads draw from one seed, so all their checksums must be equal, to each other and from
 * repeat to repeat. Plain code says what the checksum must be; where it would take too long for all
 * rounds, the loop is run again for fewer (facts: checked_rounds). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/table.h"
#include "core/clock.h"

enum { LOOPS_MAX = 8, APART = 8 };
static const char *const METRIC_WORDS[] = {"fp32_fma", "bf16_dot", "int8_dot", NULL};
static const char *const SCOPES[] = {"one_core", "all_cores", NULL};
static const double REFERENCE_NS_MAX = 4e8; /* plain code may take 0.4 s */

typedef struct loop {
  const zh_peak_loop *peak;
  uint64_t rounds, checked_rounds;
  double operations; /* of `rounds` rounds, one thread */
  double expected;   /* checksum of checked_rounds by plain code */
  double first;      /* checksum of `rounds` rounds, as the first thread gave it; NAN before */
} loop;

typedef struct compute_state {
  zh_job *job;
  loop loops[LOOPS_MAX];
  size_t loop_count;
  double *checksums; /* [threads], APART apart */
  const loop *now;
  uint64_t now_rounds;
  bool alone;
} compute_state;

static double timed_ns(const zh_peak_loop *peak, uint64_t rounds, uint64_t seed) {
  double checksum;
  int64_t begin = zh_now_ns();
  (void)peak->run(rounds, seed, &checksum);
  return (double)(zh_now_ns() - begin);
}

static double reference_ns(const zh_peak_loop *peak, uint64_t rounds, uint64_t seed) {
  volatile double kept;
  int64_t begin = zh_now_ns();
  kept = peak->reference(rounds, seed);
  (void)kept;
  return (double)(zh_now_ns() - begin);
}

/* Rounds for one repeat of about `wanted_ns`, the same on every rank. */
static zh_status calibrate(loop *l, const zh_job *job, double wanted_ns, zh_error *err) {
  uint64_t rounds = 1024;
  double took = timed_ns(l->peak, rounds, job->seed);
  while (took < wanted_ns / 16 && rounds < (uint64_t)1 << 40) {
    rounds *= 2;
    took = timed_ns(l->peak, rounds, job->seed);
  }
  double shared = ceil((double)rounds * wanted_ns / took);
  ZH_TRY(job->comm->max_f64(job->comm, &shared, 1, err));
  l->rounds = (uint64_t)shared;
  return ZH_OK;
}

static void choose_checked_rounds(loop *l, const zh_job *job) {
  uint64_t rounds = 256;
  double took = reference_ns(l->peak, rounds, job->seed);
  while (took < REFERENCE_NS_MAX / 4 && rounds < l->rounds) {
    rounds *= 2;
    took = reference_ns(l->peak, rounds, job->seed);
  }
  double most = (double)rounds * REFERENCE_NS_MAX / took;
  l->checked_rounds = most < (double)l->rounds ? (uint64_t)most : l->rounds;
  l->expected = l->peak->reference(l->checked_rounds, job->seed);
}

static bool is_listed(const zh_job *job, const char *word) {
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(job->parameters, "metrics"), i, item) {
    if (strcmp(json_string_value(item), word) == 0) return true;
  }
  return false;
}

static bool has_loop(const compute_state *s, const char *metric) {
  for (size_t i = 0; i < s->loop_count; i++)
    if (strcmp(s->loops[i].peak->metric, metric) == 0) return true;
  return false;
}

static zh_status add_loop(compute_state *s, const zh_peak_loop *peak, zh_error *err) {
  double wanted_ns = (double)zh_job_int(s->job, "milliseconds") * 1e6, checksum;
  loop *l = &s->loops[s->loop_count];
  *l = (loop){.peak = peak, .first = NAN};
  ZH_TRY(calibrate(l, s->job, wanted_ns, err));
  choose_checked_rounds(l, s->job);
  l->operations = peak->run(1, s->job->seed, &checksum) * (double)l->rounds;
  s->loop_count++;
  json_object_set_new(s->job->facts, peak->metric,
                      json_pack("{s:s,s:I,s:I}", "variant", peak->variant, "rounds",
                                (json_int_t)l->rounds, "checked_rounds",
                                (json_int_t)l->checked_rounds));
  return ZH_OK;
}

static void release(void *state) {
  compute_state *s = state;
  free(s->checksums);
  free(s);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  compute_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  s->checksums = calloc((size_t)zh_threads_count(job->threads) * APART, sizeof(double));
  if (!s->checksums) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for checksums");
  for (const zh_peak_loop *p = zh_peak_loops(); p->metric; p++)
    if (is_listed(job, p->metric) && !has_loop(s, p->metric) && s->loop_count < LOOPS_MAX)
      ZH_TRY(add_loop(s, p, err)); /* the best of each metric comes first */
  if (s->loop_count == 0)
    return zh_fail(err, ZH_ERR_LACKING, "this CPU has none of the loops asked for");
  *cases = 2 * s->loop_count;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const compute_state *s = state;
  const loop *l = &s->loops[index / 2];
  bool all = index % 2 == 1;
  double workers = all ? (double)zh_threads_count(s->job->threads) * s->job->comm->size : 1;
  *out = (zh_case){.kind = ZH_SAMPLE_RATE,
                   .work = l->operations * workers,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  snprintf(out->unit, sizeof out->unit, "%s", l->peak->unit);
  snprintf(out->metric, sizeof out->metric, "%s_%s", l->peak->metric, SCOPES[all]);
}

static void turn(void *user, int thread, int threads) {
  compute_state *s = user;
  (void)threads;
  if (s->alone && thread != 0) return;
  (void)s->now->peak->run(s->now_rounds, s->job->seed, &s->checksums[thread * APART]);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  compute_state *s = state;
  (void)warmup, (void)err;
  s->now = &s->loops[index / 2];
  s->now_rounds = s->now->rounds;
  s->alone = index % 2 == 0;
  if (s->alone && s->job->comm->rank != 0) return ZH_OK;
  int64_t begin = zh_now_ns();
  zh_threads_run(s->job->threads, turn, s);
  *sample = (double)(zh_now_ns() - begin);
  return ZH_OK;
}

static zh_status compare(const compute_state *s, double wanted, double tolerance, const char *what,
                         zh_error *err) {
  int threads = s->alone ? 1 : zh_threads_count(s->job->threads);
  for (int t = 0; t < threads; t++) {
    double error = fabs(s->checksums[t * APART] - wanted), bound = tolerance * fabs(wanted);
    if (!(error <= bound))
      return zh_fail(err, ZH_ERR_CHECK,
                     "%s (%s), thread %d: checksum %.17g differs from %s %.17g by %g (bound %g)",
                     s->now->peak->metric, s->now->peak->variant, t, s->checksums[t * APART], what,
                     wanted, error, bound);
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  compute_state *s = state;
  loop *l = &s->loops[index / 2];
  if (s->alone && s->job->comm->rank != 0) return ZH_OK;
  if (isnan(l->first)) l->first = s->checksums[0];
  ZH_TRY(compare(s, l->first, 0, "the first repeat's", err));
  if (l->checked_rounds < l->rounds) {
    s->now_rounds = l->checked_rounds;
    zh_threads_run(s->job->threads, turn, s);
  }
  return compare(s, l->expected, l->peak->tolerance, "plain code's", err);
}

static const zh_parameter PARAMETERS[] = {{.name = "metrics",
                                           .kind = ZH_PARAMETER_WORDS,
                                           .fallback = "[fp32_fma, bf16_dot, int8_dot]",
                                           .words = METRIC_WORDS,
                                           .help = "which loops"},
                                          {.name = "milliseconds",
                                           .kind = ZH_PARAMETER_INT,
                                           .fallback = "200",
                                           .min = 1,
                                           .max = 60000,
                                           .help = "about how long one repeat takes, in ms"},
                                          {.name = NULL}};

static const zh_metric METRICS[] = {{"fp32_fma_one_core", "FLOP/s"},
                                    {"fp32_fma_all_cores", "FLOP/s"},
                                    {"bf16_dot_one_core", "FLOP/s"},
                                    {"bf16_dot_all_cores", "FLOP/s"},
                                    {"int8_dot_one_core", "OP/s"},
                                    {"int8_dot_all_cores", "OP/s"},
                                    {NULL, NULL}};

const zh_workload zh_workload_compute = {
    .name = "compute",
    .summary_zh = "算力峰值：fp32 FMA、bf16 点积、int8 点积，单核与全部核",
    .summary_en = "arithmetic peaks: fp32 FMA, bf16 dot, int8 dot, one core and all",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .release = release,
    .metrics = METRICS};
