/* Times of the machine's own limits: peak loops, passes over memory, matrix products. */
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 21, SIDE = 512 };

static bool wanted(const char *only, const char *type) {
  return !only || strcmp(only, type) == 0;
}

void time_peaks(const char *only_type, int threads) {
  (void)threads;
  for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++) {
    double pass[REPEATS], one[REPEATS];
    if (!wanted(only_type, loop->metric)) continue;
    for (size_t i = 0; i < REPEATS; i++) pass[i] = 1e6 * (one[i] = timing_peak(loop, NULL));
    timing_report(&(timing){.operator= "peak",
                            .kernels = loop->variant,
                            .type = loop->metric,
                            .state = "warm",
                            .threads = 1,
                            .operations = 1e6,
                            .loop = loop,
                            .pass = pass,
                            .one = one,
                            .count = REPEATS});
  }
}

static void time_gemm(const zh_gemm *gemm) {
  size_t count = (size_t)SIDE * SIDE;
  void *a = zeroed(count * 4), *b = zeroed(count * 4), *c = zeroed(count * 4);
  zh_dtype type = strcmp(gemm->type, "fp32") == 0 ? ZH_F32 : ZH_BF16;
  random_weights(a, type, count); /* as int8 these bytes are as good as any */
  random_weights(b, type, count);
  const zh_peak_loop *loop = timing_loop(gemm->peak);
  double pass[REPEATS], one[REPEATS];
  size_t repeats = strcmp(gemm->variant, "reference") == 0 ? 3 : REPEATS;
  for (size_t i = 0; i < repeats; i++) {
    int64_t start = zh_now_ns();
    gemm->run(c, a, b, SIDE, SIDE, SIDE, 0, SIDE);
    pass[i] = (double)(zh_now_ns() - start);
    one[i] = timing_peak(loop, NULL);
  }
  timing_report(&(timing){.operator= "gemm",
                          .kernels = gemm->variant,
                          .type = gemm->type,
                          .state = "warm",
                          .threads = 1,
                          .operations = 2.0 * SIDE * SIDE * SIDE,
                          .loop = loop,
                          .pass = pass,
                          .one = one,
                          .count = repeats});
  free(a);
  free(b);
  free(c);
}

void time_gemms(const char *only_type, int threads) {
  (void)threads;
  for (const zh_gemm *gemm = zh_gemm_all(); gemm->type; gemm++)
    if (wanted(only_type, gemm->type)) time_gemm(gemm);
}

/* --- memory --- */

typedef struct passes {
  double *a, *b, *c, sum;
  size_t count;
} passes;

static void read_task(void *user, int thread, int threads) {
  passes *p = user;
  size_t begin, end;
  zh_share(&begin, &end, p->count, 512, thread, threads);
  double sum = zh_memory_read(p->a, begin, end);
  if (thread == 0) p->sum += sum;
}
static void copy_task(void *user, int thread, int threads) {
  const passes *p = user;
  size_t begin, end;
  zh_share(&begin, &end, p->count, 512, thread, threads);
  zh_memory_copy(p->b, p->a, begin, end);
}
static void triad_task(void *user, int thread, int threads) {
  const passes *p = user;
  size_t begin, end;
  zh_share(&begin, &end, p->count, 512, thread, threads);
  zh_memory_triad(p->a, p->b, p->c, 0.5, begin, end);
}

static double time_task(zh_threads *threads, zh_task task, passes *p) {
  int64_t start = zh_now_ns();
  zh_threads_run(threads, task, p);
  return (double)(zh_now_ns() - start);
}

static void time_memory_pass(zh_threads *threads, passes *p, const char *type, zh_task task,
                             double traffic) {
  double pass[REPEATS], read[REPEATS];
  for (size_t i = 0; i < REPEATS; i++) {
    pass[i] = time_task(threads, task, p);
    read[i] = time_task(threads, read_task, p) * traffic / 8;
  }
  timing_report(&(timing){.operator= "memory",
                          .kernels = zh_memory_variant(),
                          .type = type,
                          .state = "cold",
                          .threads = zh_threads_count(threads),
                          .bytes = traffic * (double)p->count,
                          .pass = pass,
                          .read = read,
                          .count = REPEATS});
}

void time_memory(const char *only_type, int thread_count) {
  zh_error err = ZH_ERROR_INIT;
  zh_threads *threads = NULL;
  size_t bytes = (size_t)600 << 20; /* twice large last-level caches */
  passes p = {zh_big_alloc(bytes), zh_big_alloc(bytes), zh_big_alloc(bytes), 0,
              bytes / sizeof(double)};
  if (zh_threads_create(&threads, thread_count, NULL, &err) != ZH_OK || !p.a || !p.b || !p.c)
    exit(3);
  for (size_t i = 0; i < p.count; i++) p.a[i] = p.b[i] = p.c[i] = 1;
  if (wanted(only_type, "read")) time_memory_pass(threads, &p, "read", read_task, 8);
  if (wanted(only_type, "copy")) time_memory_pass(threads, &p, "copy", copy_task, 16);
  if (wanted(only_type, "triad")) time_memory_pass(threads, &p, "triad", triad_task, 24);
  zh_threads_free(threads);
  zh_big_free(p.a, bytes);
  zh_big_free(p.b, bytes);
  zh_big_free(p.c, bytes);
}
