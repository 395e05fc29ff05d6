/* counter_tool MODEL THREADS ROUNDS: decodes in turn with the engine's counters on and off, and
 * prints what a step took in both, how many marks a thread makes in one, and what a mark costs. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/inside.h"
#include "core/clock.h"
#include "core/statistics.h"

enum { PROMPT = 32, STEPS = 16, ROUNDS_MAX = 10000, LOOP = 100000 };

typedef struct bed {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
  float *logits;
  double *steps[2]; /* seconds, off and on: [rounds * STEPS] */
} bed;

static zh_status feed(bed *b, uint32_t first, size_t count, zh_error *err) {
  uint32_t token[PROMPT], position[PROMPT], sequence[PROMPT] = {0};
  for (uint32_t i = 0; i < count; ++i) token[i] = first + i, position[i] = first + i;
  return zh_engine_forward(b->engine, token, position, sequence, count, NULL, b->logits, err);
}

static zh_status decode(bed *b, double *seconds, zh_error *err) {
  zh_engine_truncate(b->engine, 0, PROMPT);
  for (uint32_t i = 0; i < STEPS; ++i) {
    int64_t begin = zh_now_ns();
    ZH_TRY(feed(b, PROMPT + i, 1, err));
    seconds[i] = (double)(zh_now_ns() - begin) * 1e-9;
  }
  return ZH_OK;
}

static double cost_of_a_mark(void) {
  zh_spent spent = {0};
  double best = 1;
  for (int attempt = 0; attempt < 20; ++attempt) {
    int64_t begin = zh_now_ns();
    for (int i = 0; i < LOOP; ++i) zh_spent_mark(&spent, ZH_STAGE_ROWS);
    double each = (double)(zh_now_ns() - begin) * 1e-9 / LOOP;
    if (each < best) best = each;
  }
  return best;
}

static zh_status measure(bed *b, size_t rounds, zh_error *err) {
  double marks = 0;
  ZH_TRY(feed(b, 0, PROMPT, err));
  ZH_TRY(decode(b, b->steps[0], err)); /* warm-up */
  for (size_t i = 0; i < rounds; ++i) {
    for (int on = 0; on < 2; ++on) {
      ZH_TRY(zh_engine_count(b->engine, on, err));
      ZH_TRY(decode(b, b->steps[on] + i * STEPS, err));
    }
    marks = (double)b->engine->spent[0].marks / STEPS;
  }
  for (int on = 0; on < 2; ++on) zh_sort_doubles(b->steps[on], rounds * STEPS);
  double each = cost_of_a_mark(), fastest = b->steps[1][0];
  printf("{\"off\":{\"fastest_s\":%.9g,\"median_s\":%.9g},"
         "\"on\":{\"fastest_s\":%.9g,\"median_s\":%.9g},\"marks\":%g,\"mark_s\":%.4g,"
         "\"share\":%.6f}\n",
         b->steps[0][0], zh_percentile(b->steps[0], rounds * STEPS, 0.5), fastest,
         zh_percentile(b->steps[1], rounds * STEPS, 0.5), marks, each, marks * each / fastest);
  return ZH_OK;
}

static zh_status open_bed(bed *b, char **argv, size_t rounds, zh_error *err) {
  zh_engine_options options = {
      .precision = ZH_PRECISION_FAST, .sequences = 1, .context = PROMPT + STEPS};
  ZH_TRY(zh_model_open(&b->model, argv[1], err));
  ZH_TRY(zh_threads_create(&b->threads, atoi(argv[2]), NULL, err));
  ZH_TRY(zh_engine_create(&b->engine, b->model, b->threads, &options, err));
  b->logits = malloc(zh_engine_architecture(b->engine)->vocab * sizeof *b->logits);
  for (int on = 0; on < 2; ++on) b->steps[on] = calloc(rounds * STEPS, sizeof *b->steps[on]);
  if (b->logits && b->steps[0] && b->steps[1]) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory");
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  bed b = {0};
  int rounds = argc == 4 ? atoi(argv[3]) : 0;
  if (rounds < 1 || rounds > ROUNDS_MAX) return 2;
  zh_status status = open_bed(&b, argv, (size_t)rounds, &err);
  if (status == ZH_OK) status = measure(&b, (size_t)rounds, &err);
  if (status != ZH_OK) fprintf(stderr, "counter_tool: %s\n", err.message);
  free(b.logits);
  free(b.steps[0]);
  free(b.steps[1]);
  zh_engine_free(b.engine);
  zh_threads_free(b.threads);
  zh_model_free(b.model);
  return zh_status_exit_code(status);
}
