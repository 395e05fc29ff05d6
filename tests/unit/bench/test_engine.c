/* The forward pass on a small model: the same bits however the work is divided, and arguments that
 * are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/engine/inside.h"
#include "bench/engine/perplexity.h"
#include "bench/engine/sampling.h"
#include "kernels/drawing_rule.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { TOKENS = 40 };
static char path[600];

static int write_model(void **state) {
  (void)state;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 0, 0);
  return 0;
}

typedef struct fixture {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
} fixture;

static fixture open_engine(int threads, zh_engine_options options) {
  fixture f = {0};
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_model_open(&f.model, path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&f.threads, threads, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&f.engine, f.model, f.threads, &options, &err), ZH_OK);
  return f;
}

static void close_engine(fixture *f) {
  zh_engine_free(f->engine);
  zh_threads_free(f->threads);
  zh_model_free(f->model);
}

static void tokens_of(uint32_t *out, uint64_t stream) {
  zh_random_fill(out, TOKENS, 3, stream, 0);
  for (int i = 0; i < TOKENS; ++i) out[i] %= TINY_VOCAB;
}

/* Logits of all positions of two sequences, fed in pieces of `step` tokens, sequences in turn. */
static void compute(float *logits, int threads, zh_precision precision, uint32_t micro_batch,
                    size_t step) {
  zh_engine_options options = {
      .precision = precision, .sequences = 2, .context = TOKENS, .micro_batch = micro_batch};
  fixture f = open_engine(threads, options);
  zh_error err = ZH_ERROR_INIT;
  uint32_t tokens[2][TOKENS], position[TOKENS], sequence[TOKENS];
  bool want[TOKENS];
  tokens_of(tokens[0], 0);
  tokens_of(tokens[1], 1);
  for (size_t i = 0; i < TOKENS; ++i) position[i] = (uint32_t)i, want[i] = true;
  for (size_t at = 0; at < TOKENS; at += step) {
    size_t count = TOKENS - at < step ? TOKENS - at : step;
    for (uint32_t s = 0; s < 2; ++s) {
      for (size_t i = 0; i < count; ++i) sequence[i] = s;
      float *out = logits + (s * TOKENS + at) * TINY_VOCAB;
      assert_int_equal(zh_engine_forward(f.engine, tokens[s] + at, position + at, sequence, count,
                                         want, out, &err),
                       ZH_OK);
    }
  }
  close_engine(&f);
}

static void same_bits_however_divided(void **state) {
  (void)state;
  static float whole[2 * TOKENS * TINY_VOCAB], parts[2 * TOKENS * TINY_VOCAB];
  const struct {
    int threads;
    uint32_t micro_batch;
    size_t step;
  } ways[] = {{2, 0, 40}, {3, 7, 40}, {1, 0, 1}, {4, 3, 11}};
  for (int precision = ZH_PRECISION_EXACT; precision <= ZH_PRECISION_FAST; ++precision) {
    compute(whole, 1, (zh_precision)precision, 0, TOKENS);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; ++i) {
      compute(parts, ways[i].threads, (zh_precision)precision, ways[i].micro_batch, ways[i].step);
      assert_memory_equal(whole, parts, sizeof whole);
    }
  }
}

/* One call that holds tokens of both sequences, mixed. */
static void sequences_do_not_touch(void **state) {
  (void)state;
  static float whole[2 * TOKENS * TINY_VOCAB], mixed[2 * TOKENS * TINY_VOCAB];
  compute(whole, 1, ZH_PRECISION_EXACT, 0, TOKENS);
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 2, .context = TOKENS};
  fixture f = open_engine(2, options);
  zh_error err = ZH_ERROR_INIT;
  uint32_t tokens[2][TOKENS], token[2 * TOKENS], position[2 * TOKENS], sequence[2 * TOKENS];
  bool want[2 * TOKENS];
  tokens_of(tokens[0], 0);
  tokens_of(tokens[1], 1);
  for (uint32_t i = 0; i < 2 * TOKENS; ++i) {
    sequence[i] = i % 2;
    position[i] = i / 2;
    token[i] = tokens[i % 2][i / 2];
    want[i] = true;
  }
  assert_int_equal(
      zh_engine_forward(f.engine, token, position, sequence, 2 * TOKENS, want, mixed, &err), ZH_OK);
  for (size_t i = 0; i < 2 * TOKENS; ++i)
    assert_memory_equal(mixed + i * TINY_VOCAB, whole + (i % 2 * TOKENS + i / 2) * TINY_VOCAB,
                        TINY_VOCAB * sizeof(float));
  close_engine(&f);
}

static void truncated_and_poisoned_caches_start_anew(void **state) {
  (void)state;
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 1, .context = TOKENS};
  fixture f = open_engine(2, options);
  zh_error err = ZH_ERROR_INIT;
  uint32_t tokens[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  float first[TINY_VOCAB], again[TINY_VOCAB];
  tokens_of(tokens, 0);
  for (uint32_t i = 0; i < TOKENS; ++i) position[i] = i;
  assert_int_equal(
      zh_engine_forward(f.engine, tokens, position, sequence, TOKENS, NULL, first, &err), ZH_OK);
  zh_engine_truncate(f.engine, 0, 25);
  assert_int_equal(
      zh_engine_forward(f.engine, tokens + 25, position + 25, sequence, 15, NULL, again, &err),
      ZH_OK);
  assert_memory_equal(first, again, sizeof first);
  zh_engine_poison(f.engine, 0, 0);
  assert_int_equal(
      zh_engine_forward(f.engine, tokens, position, sequence, TOKENS, NULL, again, &err), ZH_OK);
  assert_memory_equal(first, again, sizeof first);
  close_engine(&f);
}

static void refused(zh_engine *engine, uint32_t token, uint32_t position, uint32_t sequence,
                    const char *sentence) {
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_engine_forward(engine, &token, &position, &sequence, 1, NULL, NULL, &err),
                   ZH_ERR_ARG);
  assert_non_null(strstr(err.message, sentence));
}

static void bad_arguments_are_refused(void **state) {
  (void)state;
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 2, .context = 4};
  fixture f = open_engine(1, options);
  zh_error err = ZH_ERROR_INIT;
  refused(f.engine, TINY_VOCAB, 0, 0, "outside the vocabulary");
  refused(f.engine, 1, 0, 2, "does not exist");
  refused(f.engine, 1, 4, 0, "outside the context");
  refused(f.engine, 1, 1, 0, "cannot come next");
  uint32_t token[3] = {1, 2, TINY_VOCAB}, position[3] = {0, 1, 2}, sequence[3] = {0};
  assert_int_equal(zh_engine_forward(f.engine, token, position, sequence, 3, NULL, NULL, &err),
                   ZH_ERR_ARG);
  assert_int_equal(f.engine->length[0], 0); /* nothing of a refused call stays */
  assert_int_equal(zh_engine_forward(f.engine, token, position, sequence, 0, NULL, NULL, NULL),
                   ZH_ERR_ARG);
  close_engine(&f);
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  zh_engine *engine = NULL;
  assert_int_equal(zh_model_open(&model, path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&threads, 1, NULL, &err), ZH_OK);
  zh_engine_options too_long = {.precision = ZH_PRECISION_EXACT,
                                .sequences = 1,
                                .context = TINY_CONTEXT + 1},
                    none = {.precision = ZH_PRECISION_EXACT, .sequences = 0, .context = 4};
  assert_int_equal(zh_engine_create(&engine, model, threads, &too_long, NULL), ZH_ERR_ARG);
  assert_int_equal(zh_engine_create(&engine, model, threads, &none, NULL), ZH_ERR_ARG);
  zh_engine_options huge = {
      .precision = ZH_PRECISION_EXACT, .sequences = UINT32_MAX, .context = TINY_CONTEXT};
  assert_int_equal(zh_engine_create(&engine, model, threads, &huge, NULL), ZH_ERR_LACKING);
  zh_threads_free(threads);
  zh_model_free(model);
}

static void costs_follow_the_formulas(void **state) {
  (void)state;
  zh_engine_options options = {
      .precision = ZH_PRECISION_EXACT, .sequences = 3, .context = 20, .micro_batch = 8};
  fixture f = open_engine(2, options);
  zh_engine_cost cost = zh_engine_cost_of(f.engine);
  uint64_t matrices =
      TINY_LAYERS * (2 * TINY_HIDDEN * 96 + 2 * 32 * TINY_HIDDEN + 3 * TINY_FFN * TINY_HIDDEN);
  uint64_t norms = (2 * TINY_LAYERS + 1) * TINY_HIDDEN;
  assert_int_equal(cost.flops_per_token, 2 * matrices);
  assert_int_equal(cost.head_flops, 2 * TINY_VOCAB * TINY_HIDDEN);
  assert_int_equal(cost.weight_bytes, 4 * (matrices + norms + TINY_VOCAB * TINY_HIDDEN));
  assert_int_equal(cost.memory_weights, 4 * (matrices + norms + 2 * TINY_VOCAB * TINY_HIDDEN));
  assert_int_equal(cost.kv_bytes_per_position, TINY_LAYERS * 2 * 32 * 4);
  /* positions in groups of 64, and in each layer 256 bytes behind keys and behind values */
  assert_int_equal(cost.memory_kv, 3 * 64 * cost.kv_bytes_per_position + TINY_LAYERS * 2 * 256);
  assert_int_equal(cost.attention_flops_per_pair, 4 * TINY_LAYERS * 96);
  close_engine(&f);
  options.precision = ZH_PRECISION_FAST;
  static const uint64_t head_bytes[ZH_KV_CPU_TYPES] = {32 * 4, 32 * 2, 32 + 2 * (32 / TINY_DIM)};
  for (int type = 0; type < ZH_KV_CPU_TYPES; ++type) {
    options.kv = (zh_kv_type)type;
    f = open_engine(2, options);
    assert_int_equal(zh_engine_cost_of(f.engine).kv_bytes_per_position,
                     TINY_LAYERS * 2 * head_bytes[type]);
    close_engine(&f);
  }
}

static uint64_t activations_of(uint32_t sequences, uint32_t micro_batch) {
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT,
                               .sequences = sequences,
                               .context = 20,
                               .micro_batch = micro_batch};
  fixture f = open_engine(1, options);
  uint64_t bytes = zh_engine_cost_of(f.engine).memory_activations;
  close_engine(&f);
  return bytes;
}

/* docs/metrics.md, "Memory": hidden and queries are 96 wide here, keys 32, the FFN 160. */
static void activations_are_bounded_by_the_micro_batch(void **state) {
  (void)state;
  uint64_t token = 4 * (4 * TINY_HIDDEN + 2 * 96 + 2 * 32 + 3 * TINY_FFN);
  assert_int_equal(activations_of(3, 8), activations_of(9, 8));
  assert_true(activations_of(3, 8) >= 8 * token);
  uint64_t more = activations_of(3, 24) - activations_of(3, 8);
  assert_true(more >= 16 * token && more < 20 * token); /* scratch grows too */
  assert_int_equal(activations_of(2, 0), activations_of(2, 40));
}

static void windows_are_cut_as_defined(void **state) {
  (void)state;
  zh_engine_options options = {
      .precision = ZH_PRECISION_EXACT, .sequences = 1, .context = 16, .micro_batch = 8};
  fixture f = open_engine(2, options);
  uint32_t tokens[TOKENS];
  zh_prediction said[TOKENS];
  zh_perplexity_result result;
  tokens_of(tokens, 0);
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, TOKENS, -1, 16, ZH_MANY, said, NULL),
                   ZH_OK);
  assert_int_equal(result.predicted, 15 + 15 + 7);
  assert_int_equal(said[15].token,
                   tokens[17]); /* token 16 begins the second window: not predicted */
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, TOKENS, 1, 16, ZH_MANY, said, NULL),
                   ZH_OK);
  assert_int_equal(result.predicted,
                   TOKENS); /* windows begin with BOS: all of the text is predicted */
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, 33, -1, 16, ZH_MANY, said, NULL),
                   ZH_OK);
  assert_int_equal(result.predicted, 30); /* a window of one token predicts nothing */
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, 1, -1, 16, ZH_MANY, said, NULL),
                   ZH_ERR_INPUT);
  tokens[15] = TINY_VOCAB; /* predicted by the first window, fed by none */
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, 16, -1, 16, ZH_MANY, said, NULL),
                   ZH_ERR_INPUT);
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, TOKENS, -1, 17, ZH_MANY, said, NULL),
                   ZH_ERR_ARG);
  assert_int_equal(zh_perplexity(&result, f.engine, tokens, TOKENS, -1, 1, ZH_MANY, said, NULL),
                   ZH_ERR_ARG);
  close_engine(&f);
}

/* Frequencies of 20000 draws against the distribution: within five standard deviations each. */
static void draws_follow_the_distribution(void **state) {
  (void)state;
  const float logits[4] = {0.0f, 1.0f, 1.0f, -1.0f};
  const double p[4] = {0.14697, 0.39951, 0.39951, 0.05407}, n = 20000;
  const zh_kernels *k = zh_kernels_reference();
  double seen[4] = {0};
  zh_sampling greedy = {.seed = 1, .top_p = 1}, warm = {.temperature = 1, .seed = 9, .top_p = 1},
              cold = {.temperature = 0.001, .seed = 9, .top_p = 1};
  assert_int_equal(zh_sample_token(k, logits, 4, &greedy, 1), 1); /* the tie goes to the lower id */
  for (uint64_t i = 0; i < 20000; ++i) seen[zh_sample_token(k, logits, 4, &warm, i)] += 1;
  for (int i = 0; i < 4; ++i) {
    double off = seen[i] - n * p[i];
    assert_true(off * off <= 25 * n * p[i] * (1 - p[i]));
  }
  for (uint64_t i = 0; i < 100; ++i) assert_in_range(zh_sample_token(k, logits, 4, &cold, i), 1, 2);
}

/* Weights are the exponential's, in 2^-40ths of the largest. */
static void weights_of_draws_are_exponentials(void **state) {
  (void)state;
  for (int i = 0; i <= 4000; ++i) {
    float z = 3 - (float)i * 0.0078125f;
    double exact = ldexp(exp2(((double)z - 3) * 1.3), ZH_DRAW_BITS),
           weight = (double)zh_draw_weight(z, 3, 1.3);
    assert_true(fabs(weight - exact) <= 0.5 + exact * 0x1p-46);
  }
  assert_true(zh_draw_weight(NAN, 3, 1) == 0 && zh_draw_weight(-INFINITY, 3, 1) == 0);
  assert_true(zh_draw_weight(INFINITY, INFINITY, 1) == UINT64_C(1) << ZH_DRAW_BITS);
  assert_true(zh_draw_key(0.0f) == zh_draw_key(-0.0f) && zh_draw_key(-1) < zh_draw_key(-0.5f));
}

enum { WORDS = 90 };

/* Which tokens a rule leaves, by sorting: the cuts one after the other, as drawing.h says them. */
static void stay_by_sorting(bool stays[WORDS], const float *z, const zh_sampling *how) {
  size_t order[WORDS], count = WORDS;
  zh_draw_rule rule = zh_sampling_rule(how, 0);
  for (size_t i = 0; i < WORDS; ++i) {
    size_t at = i;
    for (; at > 0 && z[order[at - 1]] < z[i]; --at) order[at] = order[at - 1];
    order[at] = i;
  }
  uint64_t weight[WORDS], sum = 0, some = 0;
  for (size_t i = 0; i < WORDS; ++i)
    weight[i] = zh_draw_weight(z[order[i]], z[order[0]], rule.rate);
  if (how->top_k > 0 && how->top_k < count) count = how->top_k;
  for (size_t i = 0; i < count; ++i) sum += weight[i];
  for (size_t i = 0; i < count && how->top_p < 1; ++i) {
    some += weight[i];
    if ((double)some >= (double)sum * how->top_p * (1 - 0x1p-30)) count = i + 1;
  }
  memset(stays, 0, WORDS * sizeof *stays);
  for (size_t i = 0; i < count; ++i)
    stays[order[i]] = (double)weight[i] >= how->min_p * (double)weight[0];
}

/* What is drawn stays, and what stays is drawn sooner or later. */
static void draws_are_cut_as_defined(void **state) {
  (void)state;
  static const zh_sampling rules[] = {{.top_k = 5, .top_p = 1},
                                      {.top_k = 12, .top_p = 1},
                                      {.top_p = 0.6},
                                      {.top_p = 1e-12},
                                      {.top_p = 1, .min_p = 0.3},
                                      {.top_k = 20, .top_p = 0.8, .min_p = 0.2}};
  float z[WORDS];
  for (size_t i = 0; i < WORDS; ++i) z[i] = (float)(i * 37 % 23) * 0.25f; /* with ties */
  for (size_t r = 0; r < sizeof rules / sizeof *rules; ++r) {
    bool stays[WORDS], seen[WORDS] = {false};
    zh_sampling how = rules[r];
    how.temperature = 2;
    how.seed = 11 + r;
    stay_by_sorting(stays, z, &how);
    for (uint64_t i = 0; i < 3000; ++i)
      seen[zh_sample_token(zh_kernels_reference(), z, WORDS, &how, i)] = true;
    for (size_t i = 0; i < WORDS; ++i)
      if (seen[i] != stays[i])
        fail_msg("rule %zu: token %zu %s", r, i, stays[i] ? "stays" : "does not");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_however_divided),
                                     cmocka_unit_test(sequences_do_not_touch),
                                     cmocka_unit_test(truncated_and_poisoned_caches_start_anew),
                                     cmocka_unit_test(bad_arguments_are_refused),
                                     cmocka_unit_test(costs_follow_the_formulas),
                                     cmocka_unit_test(activations_are_bounded_by_the_micro_batch),
                                     cmocka_unit_test(activations_are_bounded_by_the_micro_batch),
                                     cmocka_unit_test(windows_are_cut_as_defined),
                                     cmocka_unit_test(draws_follow_the_distribution),
                                     cmocka_unit_test(weights_of_draws_are_exponentials),
                                     cmocka_unit_test(draws_are_cut_as_defined)};
  return cmocka_run_group_tests_name("engine", tests, write_model, NULL);
}
