/* The memory that the process really holds for a model, by the system's books, against the
 * formula; and that weights which stand twice are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/footprint.h"
#include "bench/engine/inside.h"
#include "core/files.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* a sanitizer's own memory is more than the model's */
#endif

/* Libraries, the tokenizer, the ends of big pages: half of what a run allows. */
static const uint64_t NEAR = UINT64_C(32) << 20;

typedef struct bed {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
  zh_footprint before;
} bed;

static void compute(zh_engine *engine) {
  enum { TOKENS = 64 };
  uint32_t token[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  zh_error err = ZH_ERROR_INIT;
  for (uint32_t i = 0; i < TOKENS; ++i) token[i] = i, position[i] = i;
  assert_int_equal(zh_engine_forward(engine, token, position, sequence, TOKENS, NULL, NULL, &err),
                   ZH_OK);
}

static bed make(const char *model) {
  bed b = {.before = zh_footprint_now()};
  zh_error err = ZH_ERROR_INIT;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST, .sequences = 1, .context = 64};
  assert_int_equal(zh_model_open(&b.model, model, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&b.threads, 2, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&b.engine, b.model, b.threads, &options, &err), ZH_OK);
  compute(b.engine);
  return b;
}

static void unmake(bed *b) {
  zh_engine_free(b->engine);
  zh_threads_free(b->threads);
  zh_model_free(b->model);
}

static zh_footprint_judgement judge(const bed *b) {
  zh_footprint now = zh_footprint_now();
  return zh_footprint_judge(zh_footprint_formula(b->engine, 0), &b->before, &now);
}

static void assert_near_the_formula(const bed *b) {
  zh_footprint_judgement found = judge(b);
  assert_true(found.passed);
  if (found.held > found.formula + NEAR || found.held + NEAR < found.formula)
    fail_msg("%.1f MB are held, and %.1f MB expected", (double)found.held / 1e6,
             (double)found.formula / 1e6);
}

static void computed_weights_stand_once(void **state) {
  (void)state;
  if (SANITIZED || !zh_footprint_now().known) skip();
  bed b = make("zh-0.1b");
  assert_near_the_formula(&b);
  size_t bytes = zh_engine_cost_of(b.engine).memory_weights;
  void *twice = malloc(bytes);
  assert_non_null(twice);
  memset(twice, 1, bytes);
  assert_false(judge(&b).passed);
  free(twice);
  assert_true(judge(&b).passed);
  unmake(&b);
}

/* Sum of all bytes of the file's tensors: reading brings the pages in. */
static uint64_t read_source(const zh_weights *weights) {
  uint64_t sum = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_tensor *t = zh_weights_at(weights, i)->tensor;
    for (uint64_t at = 0; at < t->bytes; at += 64) sum += ((const unsigned char *)t->data)[at];
  }
  return sum;
}

static void rearranged_weights_stand_instead_of_the_mapping(void **state) {
  (void)state;
  const char *model = ZH_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (SANITIZED || !zh_footprint_now().known || !zh_is_file(model)) skip();
  bed b = make(model);
  assert_near_the_formula(&b);
  assert_true(read_source(&b.engine->weights) > 0);
  bool stands_twice = b.engine->weights.packed != NULL;
  assert_int_equal(judge(&b).passed, !stands_twice);
  zh_weights_leave_source(&b.engine->weights);
  assert_near_the_formula(&b);
  unmake(&b);
}

static void the_bound_is_a_twentieth_and_64_mib(void **state) {
  (void)state;
  zh_footprint before = {true, 1000, 500, 7, 0}, now = {true, 0, 0, UINT64_MAX, 0};
  now.anonymous = 1000 + UINT64_C(1000000000);
  now.file = 500 + 50000000 + (UINT64_C(64) << 20);
  zh_footprint_judgement found = zh_footprint_judge(1000000000, &before, &now);
  assert_int_equal(found.held, 1050000000 + (UINT64_C(64) << 20));
  assert_true(found.passed);
  now.file += 1;
  assert_false(zh_footprint_judge(1000000000, &before, &now).passed);
  assert_int_equal(zh_footprint_judge(5, &now, &before).held, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(computed_weights_stand_once),
      cmocka_unit_test(rearranged_weights_stand_instead_of_the_mapping),
      cmocka_unit_test(the_bound_is_a_twentieth_and_64_mib)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
