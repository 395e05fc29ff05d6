/* The engine's counters: each stage gets what it took, and all of them are the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "bench/engine/inside.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { TOKENS = 20, NAP_MS = 4 };
static char path[600];
static zh_kernels sleepy; /* the reference, with one operator that sleeps first */

static int write_model(void **state) {
  (void)state;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 0, 0);
  return 0;
}

static void nap(void) {
  const struct timespec a_while = {0, NAP_MS * 1000000};
  nanosleep(&a_while, NULL);
}

static void sleepy_attention(const zh_attention *work, size_t begin, size_t end, void *scratch) {
  nap(); /* for each key head of a token: every thread has one at least */
  zh_kernels_reference()->attention(work, begin, end, scratch);
}
static void sleepy_norm(float *y, const float *x, const float *gain, size_t columns, float eps,
                        size_t begin, size_t end) {
  nap();
  zh_kernels_reference()->rmsnorm(y, x, gain, columns, eps, begin, end);
}
static void sleepy_product(float *y, size_t y_stride, const zh_matrix *w, const float *x,
                           size_t x_stride, size_t tokens, size_t begin, size_t end,
                           void *scratch) {
  if (begin == 0) nap(); /* thread 0 alone: the others wait for it */
  zh_kernels_reference()->matmul(y, y_stride, w, x, x_stride, tokens, begin, end, scratch);
}

typedef struct bed {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
} bed;

static bed make(int threads) {
  bed b;
  zh_error err = ZH_ERROR_INIT;
  zh_engine_options options = {
      .precision = ZH_PRECISION_EXACT, .sequences = 1, .context = TINY_CONTEXT};
  assert_int_equal(zh_model_open(&b.model, path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&b.threads, threads, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&b.engine, b.model, b.threads, &options, &err), ZH_OK);
  sleepy = *zh_kernels_reference();
  b.engine->kernels = &sleepy;
  return b;
}

static void unmake(bed *b) {
  zh_engine_free(b->engine);
  zh_threads_free(b->threads);
  zh_model_free(b->model);
}

static void compute(zh_engine *engine, size_t count, float *logits) {
  uint32_t token[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  zh_error err = ZH_ERROR_INIT;
  zh_engine_truncate(engine, 0, 0);
  for (uint32_t i = 0; i < count; ++i) token[i] = i * 5 % TINY_VOCAB, position[i] = i;
  assert_int_equal(zh_engine_forward(engine, token, position, sequence, count, NULL, logits, &err),
                   ZH_OK);
}

static double sum_of(const zh_times *times) {
  double sum = 0;
  for (int stage = 0; stage < ZH_STAGES; ++stage) sum += times->seconds[stage];
  return sum;
}

static zh_times times_of(bed *b, size_t count) {
  float logits[TINY_VOCAB];
  zh_engine_restart_count(b->engine);
  compute(b->engine, count, logits);
  zh_engine_mark(b->engine, ZH_STAGE_CHOICE); /* nothing was left uncounted */
  zh_times times = zh_engine_times(b->engine);
  assert_true(sum_of(&times) <= times.total * 1.0001);
  assert_true(sum_of(&times) >= times.total * 0.5); /* the rest: this thread was not running */
  assert_true(times.seconds[ZH_STAGE_SUMS] == 0);
  return times;
}

/* At least so many naps. */
static void assert_naps(double seconds, double naps) {
  double least = naps * NAP_MS * 1e-3;
  if (seconds < least)
    fail_msg("%.1f ms, and at least %.1f ms expected", seconds * 1e3, least * 1e3);
}

static void each_stage_gets_what_it_took(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; ++threads) {
    for (size_t count = 1; count <= TOKENS; count += TOKENS - 1) { /* own inputs, and shared ones */
      bed b = make(threads);
      sleepy.attention = sleepy_attention;
      zh_times times = times_of(&b, count);
      assert_naps(times.seconds[ZH_STAGE_ATTENTION], TINY_LAYERS);
      sleepy = *zh_kernels_reference();
      sleepy.rmsnorm = sleepy_norm;
      times = times_of(&b, count);
      assert_naps(times.seconds[ZH_STAGE_ROWS], 2 * TINY_LAYERS + 1);
      unmake(&b);
    }
  }
}

static void who_waits_is_counted_as_waiting(void **state) {
  (void)state;
  bed b = make(2);
  sleepy.matmul = sleepy_product;
  zh_times times = times_of(&b, TOKENS);
  double naps = 7 * TINY_LAYERS + 1; /* one thread naps, the other waits for it: half each */
  assert_naps(times.seconds[ZH_STAGE_PRODUCTS], naps / 2);
  assert_naps(times.seconds[ZH_STAGE_WAITING], 0.3 * naps / 2); /* if it was running at all */
  unmake(&b);
}

/* Of eight short passes two are counted, and stand for all. */
static void counted_passes_stand_for_the_others(void **state) {
  (void)state;
  bed b = make(2);
  float logits[TINY_VOCAB];
  sleepy.attention = sleepy_attention;
  zh_engine_restart_count(b.engine);
  for (int i = 0; i < 8; ++i) compute(b.engine, 1, logits);
  zh_times times = zh_engine_times(b.engine);
  assert_naps(times.seconds[ZH_STAGE_ATTENTION], 2 * TINY_LAYERS);
  assert_true(sum_of(&times) <= times.total * 1.0001 && sum_of(&times) >= times.total * 0.5);
  uint64_t marks = b.engine->spent[0].marks;
  for (int i = 0; i < 3; ++i) compute(b.engine, 1, logits); /* the ninth is counted */
  assert_int_equal(2 * b.engine->spent[0].marks, 3 * marks);
  compute(b.engine, TOKENS, logits); /* a long one always is */
  assert_true(b.engine->spent[0].marks > 3 * marks / 2);
  unmake(&b);
}

static void marks_between_passes_count(void **state) {
  (void)state;
  bed b = make(2);
  float logits[TINY_VOCAB];
  zh_engine_restart_count(b.engine);
  compute(b.engine, 1, logits);
  nap();
  zh_engine_mark(b.engine, ZH_STAGE_CHOICE);
  nap();
  nap();
  zh_engine_mark(b.engine, ZH_STAGE_CHECK);
  zh_times times = zh_engine_times(b.engine);
  assert_naps(times.seconds[ZH_STAGE_CHOICE], 1);
  assert_naps(times.seconds[ZH_STAGE_CHECK], 2);
  unmake(&b);
}

static void counting_changes_no_bit_and_can_be_off(void **state) {
  (void)state;
  bed b = make(2);
  zh_error err = ZH_ERROR_INIT;
  float counted[TINY_VOCAB], uncounted[TINY_VOCAB];
  compute(b.engine, TOKENS, counted);
  assert_int_equal(zh_engine_count(b.engine, false, &err), ZH_OK);
  compute(b.engine, TOKENS, uncounted);
  assert_memory_equal(counted, uncounted, sizeof counted);
  zh_engine_mark(b.engine, ZH_STAGE_CHOICE);
  zh_times times = zh_engine_times(b.engine);
  assert_true(sum_of(&times) == 0 && times.total == 0);
  unmake(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_stage_gets_what_it_took),
                                     cmocka_unit_test(who_waits_is_counted_as_waiting),
                                     cmocka_unit_test(counted_passes_stand_for_the_others),
                                     cmocka_unit_test(marks_between_passes_count),
                                     cmocka_unit_test(counting_changes_no_bit_and_can_be_off)};
  return cmocka_run_group_tests(tests, write_model, NULL);
}
