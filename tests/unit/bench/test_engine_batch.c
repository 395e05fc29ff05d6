/* Sequences of different lengths in one call, and prompts in pieces, against each sequence alone:
 * the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/engine/inside.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { SEQUENCES = 11, LONGEST = 45, STEPS = 6 };
static const size_t lengths[SEQUENCES] = {3, 45, 17, 1, 30, 8, 16, 2, 33, 9, 24};
static char paths[2][600]; /* fp32, Q8_0 */

static int write_models(void **state) {
  (void)state;
  for (int quantised = 0; quantised < 2; ++quantised) {
    snprintf(paths[quantised], sizeof paths[0], "%s/%d.gguf", test_folder(), quantised);
    write_tiny_model(paths[quantised], quantised, 0);
  }
  return 0;
}

typedef struct setting {
  const char *path;
  zh_precision precision;
  int threads;
  uint32_t micro_batch;
  zh_way way; /* of packed weights: one way gives the same bits for any number of tokens */
} setting;

typedef struct bed {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
} bed;

static bed make(const setting *s) {
  bed b = {0};
  zh_error err = ZH_ERROR_INIT;
  zh_engine_options options = {.precision = s->precision,
                               .sequences = SEQUENCES,
                               .context = TINY_CONTEXT,
                               .micro_batch = s->micro_batch};
  assert_int_equal(zh_model_open(&b.model, s->path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&b.threads, s->threads, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&b.engine, b.model, b.threads, &options, &err), ZH_OK);
  b.engine->way_is_set = true;
  b.engine->way = s->way;
  return b;
}

static void unmake(bed *b) {
  zh_engine_free(b->engine);
  zh_threads_free(b->threads);
  zh_model_free(b->model);
}

static uint32_t token_at(size_t sequence, size_t position) {
  uint32_t bits;
  zh_random_fill(&bits, 1, 5, sequence, position);
  return bits % TINY_VOCAB;
}

/* Positions [first, last) of one sequence in pieces of `piece`; the last one's logits. */
static void feed_alone(zh_engine *engine, uint32_t s, size_t first, size_t last, size_t piece,
                       float *logits) {
  uint32_t token[TINY_CONTEXT], position[TINY_CONTEXT], sequence[TINY_CONTEXT];
  zh_error err = ZH_ERROR_INIT;
  for (size_t at = first; at < last; at += piece) {
    size_t count = last - at < piece ? last - at : piece;
    for (size_t i = 0; i < count; ++i) {
      token[i] = token_at(s, at + i);
      position[i] = (uint32_t)(at + i);
      sequence[i] = s;
    }
    assert_int_equal(
        zh_engine_forward(engine, token, position, sequence, count, NULL, logits, &err), ZH_OK);
  }
}

/* [STEPS][SEQUENCES][vocab]: each sequence read and continued by itself. */
static void alone(const setting *s, float *logits) {
  bed b = make(s);
  for (uint32_t q = 0; q < SEQUENCES; ++q) {
    static float prompt[TINY_VOCAB];
    feed_alone(b.engine, q, 0, lengths[q], LONGEST, prompt);
    for (size_t i = 0; i < STEPS; ++i)
      feed_alone(b.engine, q, lengths[q] + i, lengths[q] + i + 1, 1,
                 logits + (i * SEQUENCES + q) * TINY_VOCAB);
  }
  unmake(&b);
}

/* The same with one call for all prompts, and one for each step of all sequences. */
static void together(const setting *s, float *logits) {
  static float prompts[SEQUENCES * TINY_VOCAB];
  uint32_t token[SEQUENCES * LONGEST], position[SEQUENCES * LONGEST], sequence[SEQUENCES * LONGEST];
  bool want[SEQUENCES * LONGEST];
  zh_error err = ZH_ERROR_INIT;
  bed b = make(s);
  size_t count = 0;
  for (size_t p = 0; p < LONGEST; ++p) {
    for (uint32_t q = 0; q < SEQUENCES; ++q) {
      if (p >= lengths[q]) continue;
      token[count] = token_at(q, p);
      position[count] = (uint32_t)p;
      sequence[count] = q;
      want[count++] = p + 1 == lengths[q];
    }
  }
  assert_int_equal(
      zh_engine_forward(b.engine, token, position, sequence, count, want, prompts, &err), ZH_OK);
  for (size_t i = 0; i < STEPS; ++i) {
    for (uint32_t q = 0; q < SEQUENCES; ++q) {
      uint32_t s_at = SEQUENCES - 1 - q; /* any order will do */
      token[q] = token_at(s_at, lengths[s_at] + i);
      position[q] = (uint32_t)(lengths[s_at] + i);
      sequence[q] = s_at;
      want[q] = true;
    }
    assert_int_equal(
        zh_engine_forward(b.engine, token, position, sequence, SEQUENCES, want, prompts, &err),
        ZH_OK);
    for (uint32_t q = 0; q < SEQUENCES; ++q)
      memcpy(logits + (i * SEQUENCES + SEQUENCES - 1 - q) * TINY_VOCAB, prompts + q * TINY_VOCAB,
             TINY_VOCAB * sizeof(float));
  }
  unmake(&b);
}

static void ragged_batches_equal_each_sequence_alone(void **state) {
  (void)state;
  static float one[STEPS * SEQUENCES * TINY_VOCAB], all[STEPS * SEQUENCES * TINY_VOCAB];
  const setting settings[] = {{paths[0], ZH_PRECISION_EXACT, 1, 0, ZH_FEW},
                              {paths[0], ZH_PRECISION_FAST, 2, 0, ZH_FEW},
                              {paths[1], ZH_PRECISION_FAST, 2, 0, ZH_FEW},
                              {paths[1], ZH_PRECISION_FAST, 3, 0, ZH_MANY},
                              {paths[1], ZH_PRECISION_FAST, 2, 19, ZH_MANY}};
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; ++i) {
    alone(&settings[i], one);
    together(&settings[i], all);
    assert_memory_equal(one, all, sizeof one);
  }
}

/* A prompt in pieces, of which some are computed by each thread for itself and some by all, is the
 * prompt in one. */
static void prompts_in_pieces_equal_the_whole(void **state) {
  (void)state;
  const size_t pieces[] = {1, 5, 16, 17, 32};
  for (int way = ZH_FEW; way <= ZH_MANY; ++way) {
    float whole[TINY_VOCAB], cut[TINY_VOCAB];
    setting s = {paths[1], ZH_PRECISION_FAST, 2, 0, (zh_way)way};
    bed b = make(&s);
    feed_alone(b.engine, 0, 0, LONGEST, LONGEST, whole);
    for (uint32_t i = 0; i < sizeof pieces / sizeof pieces[0]; ++i) {
      zh_engine_poison(b.engine, 0, 0);
      feed_alone(b.engine, 0, 0, LONGEST, pieces[i], cut);
      assert_memory_equal(whole, cut, sizeof whole);
    }
    unmake(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(ragged_batches_equal_each_sequence_alone),
                                     cmocka_unit_test(prompts_in_pieces_equal_the_whole)};
  return cmocka_run_group_tests(tests, write_models, NULL);
}
