/* How long sign flips and the multinomial bootstrap of 50 models on 14,000 items take, 10,000
 * replicates; numpy beside it: tests/leading/speed.py.
 *
 *   leading_speed [THREADS [REPEATS]] */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/philox.h"
#include "evaluator/stats/bootstrap.h"

enum { MODELS = 50, ITEMS = 14000, REPLICATES = 10000 };

static double flips(const zh_field *field, const zh_draws *draws) {
  zh_error err = ZH_ERROR_INIT;
  zh_flipped flipped;
  int64_t begin = zh_now_ns();
  if (zh_flip_field(&flipped, field, draws, &err) != ZH_OK) abort();
  double seconds = (double)(zh_now_ns() - begin) * 1e-9;
  zh_flipped_clear(&flipped);
  return seconds;
}

static double bootstrap(const zh_field *field, const zh_draws *draws, double *means) {
  zh_error err = ZH_ERROR_INIT;
  int64_t begin = zh_now_ns();
  if (zh_bootstrap_means(means, field, draws, &err) != ZH_OK) abort();
  return (double)(zh_now_ns() - begin) * 1e-9;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2, repeats = argc > 2 ? atoi(argv[2]) : 5;
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups;
  zh_threads *pool;
  double *scores = calloc((size_t)MODELS * ITEMS, sizeof *scores);
  double *means = calloc((size_t)MODELS * REPLICATES, sizeof *means);
  uint32_t *random = calloc(ITEMS, sizeof *random);
  if (!scores || !means || !random || zh_groups_plain(&groups, NULL, ITEMS, 0, &err) != ZH_OK ||
      zh_threads_create(&pool, threads, NULL, &err) != ZH_OK)
    return 2;
  for (size_t m = 0; m < MODELS; m++) {
    zh_random_fill(random, ITEMS, 7, m, 0);
    for (size_t i = 0; i < ITEMS; i++) scores[m * ITEMS + i] = random[i] < 0xC0000000u;
  }
  const zh_field field = {.groups = groups, .models = MODELS, .scores = scores};
  const zh_draws draws = {.replicates = REPLICATES, .seed = 1, .threads = pool};
  double best[2] = {1e9, 1e9};
  for (int i = 0; i < repeats; i++) {
    double f = flips(&field, &draws), b = bootstrap(&field, &draws, means);
    if (f < best[0]) best[0] = f;
    if (b < best[1]) best[1] = b;
  }
  printf("{\"models\": %d, \"items\": %d, \"replicates\": %d, \"threads\": %d, \"sign_flips_s\": "
         "%.4f, "
         "\"bootstrap_s\": %.4f}\n",
         MODELS, ITEMS, REPLICATES, threads, best[0], best[1]);
  zh_threads_free(pool);
  zh_groups_free(groups);
  free(scores);
  free(means);
  free(random);
  return 0;
}
