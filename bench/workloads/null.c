/* What the harness itself costs: a repeat in which nothing happens. Every bundle reports it, so
 * that a reader can tell a figure from its frame. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/table.h"
#include "core/clock.h"

enum { READINGS = 1000 };

typedef struct null_state {
  int64_t last_ns; /* when the repeat before this one began; 0: there was none */
  int64_t before_last_ns;
} null_state;

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  (void)job;
  *state = calloc(1, sizeof(null_state));
  if (!*state) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *cases = 2;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  (void)state;
  *out = index == 0
             ? (zh_case){.metric = "harness_per_repeat",
                         .unit = "s",
                         .kind = ZH_SAMPLE_VALUE,
                         .work = 1}
             : (zh_case){
                   .metric = "clock_read", .unit = "s", .kind = ZH_SAMPLE_TIME, .work = READINGS};
}

/* From the beginning of one empty repeat to the beginning of the next: barrier, both clocks,
 * agreement of the ranks, checks and statistics. */
static double whole_repeat(null_state *s) {
  int64_t now = zh_now_ns(), before = s->last_ns ? s->last_ns : now;
  s->last_ns = now;
  return (double)(now - before) * 1e-9;
}

static double many_readings(void) {
  int64_t begin = zh_now_ns();
  for (int i = 1; i < READINGS; i++) (void)zh_now_ns();
  return (double)(zh_now_ns() - begin);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  (void)warmup, (void)err;
  *sample = index == 0 ? whole_repeat(state) : many_readings();
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  null_state *s = state;
  if (index == 0 && s->last_ns < s->before_last_ns)
    return zh_fail(err, ZH_ERR_CHECK, "clock: it went backwards by %lld ns",
                   (long long)(s->before_last_ns - s->last_ns));
  s->before_last_ns = s->last_ns;
  return ZH_OK;
}

static const zh_metric METRICS[] = {{"harness_per_repeat", "s"}, {"clock_read", "s"}, {NULL, NULL}};

const zh_workload zh_workload_null = {.name = "null",
                                      .summary_zh = "空负载：测量框架自身的开销",
                                      .summary_en = "nothing: what the harness itself costs",
                                      .parameters = (const zh_parameter[]){{.name = NULL}},
                                      .ranks_min = 1,
                                      .prepare = prepare,
                                      .describe = describe,
                                      .run = run,
                                      .verify = verify,
                                      .release = free,
                                      .metrics = METRICS};
