/* What it costs that threads wait for each other: a barrier inside a region, and an empty region.
 * The best and the middle of many rounds of many; with more threads than CPUs, where nobody may
 * spin, too. */
#include "tests/kernelcheck/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/statistics.h"

enum { ROUNDS = 101, BARRIERS = 1000, REGIONS = 100 };

typedef struct waiting {
  zh_threads *threads;
  double ns[ROUNDS];
} waiting;

static void pass_barriers(void *user, int thread, int threads) {
  const waiting *w = user;
  (void)thread, (void)threads;
  for (int i = 0; i < BARRIERS; i++) zh_threads_barrier(w->threads);
}

static void nothing(void *user, int thread, int threads) {
  (void)user, (void)thread, (void)threads;
}

static void report(const char *what, int count, waiting *w) {
  zh_sort_doubles(w->ns, ROUNDS);
  printf("%-10s %3d threads%s  best %8.3f us  median %8.3f us\n", what, count,
         zh_threads_spins(w->threads) > 0 ? ", spinning" : ", sleeping", w->ns[0] / 1e3,
         w->ns[ROUNDS / 2] / 1e3);
}

static void bench_count(int count) {
  waiting w;
  zh_error err = ZH_ERROR_INIT;
  if (zh_threads_create(&w.threads, count, NULL, &err) != ZH_OK) {
    printf("%s\n", err.message);
    return;
  }
  for (int round = 0; round < ROUNDS; round++) {
    int64_t begin = zh_now_ns();
    zh_threads_run(w.threads, pass_barriers, &w);
    w.ns[round] = (double)(zh_now_ns() - begin) / BARRIERS;
  }
  report("barrier", count, &w);
  for (int round = 0; round < ROUNDS; round++) {
    int64_t begin = zh_now_ns();
    for (int i = 0; i < REGIONS; i++) zh_threads_run(w.threads, nothing, NULL);
    w.ns[round] = (double)(zh_now_ns() - begin) / REGIONS;
  }
  report("region", count, &w);
  zh_threads_free(w.threads);
}

void bench_waiting(int most) {
  int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (most < 1) most = cpus;
  for (int count = 2; count <= most; count *= 2) bench_count(count);
  if (most == cpus) bench_count(2 * cpus);
}
