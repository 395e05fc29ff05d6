#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *results; /* NULL: lines for people */

bool timing_is_json(void) {
  return results != NULL;
}

void timing_begin(bool json) {
  if (json && !(results = json_array())) exit(3);
}

void timing_end(void) {
  if (!results) return;
  json_t *all = json_pack("{s:s, s:s, s:o}", "schema", "zhiheng.kernelcheck-times/1", "kernels",
                          zh_kernels_best()->name, "times", results);
  if (!all || json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) exit(3);
  puts("");
  json_decref(all);
  results = NULL;
}

typedef struct peak_pass {
  const zh_peak_loop *loop;
  uint64_t rounds;
  double operations; /* of all threads */
} peak_pass;

static void run_loop(void *user, int thread, int threads) {
  peak_pass *p = user;
  double checksum, operations = p->loop->run(p->rounds, 1, &checksum);
  if (thread == 0) p->operations = operations * threads;
}

static double run_ns(peak_pass *p, zh_threads *threads) {
  int64_t start = zh_now_ns();
  if (threads)
    zh_threads_run(threads, run_loop, p);
  else
    run_loop(p, 0, 1);
  return (double)(zh_now_ns() - start);
}

/* Found once for a loop, and again when another one's turn has come between. */
static uint64_t rounds_of(const zh_peak_loop *loop) {
  static peak_pass last;
  if (last.loop == loop) return last.rounds;
  last = (peak_pass){.loop = loop, .rounds = 1000};
  while (run_ns(&last, NULL) < 2e6) last.rounds *= 2;
  return last.rounds;
}

const zh_peak_loop *timing_loop(const char *metric) {
  const zh_peak_loop *loop = zh_peak_loops();
  while (strcmp(loop->metric, metric) != 0) loop++;
  return loop;
}

double timing_peak(const zh_peak_loop *loop, zh_threads *threads) {
  peak_pass p = {.loop = loop, .rounds = rounds_of(loop)};
  double ns = run_ns(&p, threads);
  return ns / p.operations;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Of the fastest passes (0) or of the middle ones. */
static double limit_ns(const timing *t, size_t at) {
  double compute = t->loop ? t->operations * t->one[at] : 0;
  return t->read && t->read[at] > compute ? t->read[at] : compute;
}

static double read_speed(const timing *t) { /* GB/s */
  return t->read && t->read[0] > 0 ? t->bytes / t->read[0] : 0;
}

static void keep(const timing *t, size_t middle) {
  json_t *line = json_pack(
      "{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "operator",
      t->operator, "kernels", t->kernels, "type", t->type, "state", t->state, "tokens",
      (json_int_t)t->tokens, "depth", (json_int_t)t->depth, "threads", t->threads, "bytes",
      t->bytes, "operations", t->operations, "seconds_least", t->pass[0] * 1e-9, "seconds_median",
      t->pass[middle] * 1e-9, "read_bytes_per_second", 1e9 * read_speed(t), "share_of_limit_least",
      limit_ns(t, 0) / t->pass[0], "share_of_limit_median", limit_ns(t, middle) / t->pass[middle]);
  json_t *peak = t->loop ? json_pack("{s:s, s:s, s:f}", "metric", t->loop->metric, "variant",
                                     t->loop->variant, "operations_per_second", 1e9 / t->one[0])
                         : json_null();
  if (!line || !peak || json_object_set_new(line, "peak", peak) != 0 ||
      json_array_append_new(results, line) != 0)
    exit(3);
}

void timing_report(timing *t) {
  size_t middle = t->count / 2;
  qsort(t->pass, t->count, sizeof(double), ascending);
  if (t->read) qsort(t->read, t->count, sizeof(double), ascending);
  if (t->loop) qsort(t->one, t->count, sizeof(double), ascending);
  if (results) {
    keep(t, middle);
    return;
  }
  char tokens[32] = "", peak[64] = "";
  if (t->depth)
    snprintf(tokens, sizeof tokens, "%zu of %zu", t->tokens, t->depth);
  else if (t->tokens)
    snprintf(tokens, sizeof tokens, "%zu tokens", t->tokens);
  if (t->loop)
    snprintf(peak, sizeof peak, " (%s %s %.1f)", t->loop->variant, t->loop->metric, 1 / t->one[0]);
  printf("%-14s %-8s %-5s %-5s %10s %9.1f us %7.2f GB/s (read %6.2f) %8.1f GFLOP/s%s %5.1f %% of "
         "limit, medians %5.1f %%\n",
         t->operator, t->kernels, t->type, t->state, tokens, t->pass[0] / 1e3,
         t->bytes / t->pass[0], read_speed(t), t->operations / t->pass[0], peak,
         100 * limit_ns(t, 0) / t->pass[0], 100 * limit_ns(t, middle) / t->pass[middle]);
  fflush(stdout);
}
