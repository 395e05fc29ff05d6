/* The self-check: silent on a right computation, loud on each kind of wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/engine/check.h"
#include "bench/engine/inside.h"
#include "bench/measure.h"
#include "core/clock.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { TOKENS = 12, SEEDS = 8 };
static char path[600];
static zh_threads *threads;

static int start(void **state) {
  (void)state;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 1, 1);
  return zh_threads_create(&threads, 2, NULL, NULL) != ZH_OK;
}

static int stop(void **state) {
  (void)state;
  zh_threads_free(threads);
  return 0;
}

/* --- operators: a copy of the kernels in which one is slightly wrong --- */

static zh_kernels wrong;
static const zh_kernels *right;

static void wrong_matmul(float *y, size_t y_stride, const zh_matrix *w, const float *x,
                         size_t x_stride, size_t tokens, size_t begin, size_t end, void *scratch) {
  right->matmul(y, y_stride, w, x, x_stride, tokens, begin, end, scratch);
  for (size_t t = 0; t < tokens; ++t)
    for (size_t r = begin; r < end; ++r) y[t * y_stride + r] *= 1.0001f;
}

/* Activations rounded to bf16 before the product: what a faster but less exact path would do. */
static void bf16_matmul(float *y, size_t y_stride, const zh_matrix *w, const float *x,
                        size_t x_stride, size_t tokens, size_t begin, size_t end, void *scratch) {
  float *rounded = malloc(tokens * x_stride * sizeof *rounded);
  for (size_t i = 0; i < tokens * x_stride; ++i) rounded[i] = zh_bf16_to_f32(zh_f32_to_bf16(x[i]));
  right->matmul(y, y_stride, w, rounded, x_stride, tokens, begin, end, scratch);
  free(rounded);
}

static void wrong_rmsnorm(float *y, const float *x, const float *gain, size_t columns, float eps,
                          size_t begin, size_t end) {
  right->rmsnorm(y, x, gain, columns, eps + 1e-3f, begin, end);
}

static void wrong_rope(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,
                       bool interleaved, const float *angles, size_t begin, size_t end) {
  right->rope(x, x_stride, heads, head_dim, rope_dims, !interleaved, angles, begin, end);
}

static void wrong_attention(const zh_attention *work, size_t begin, size_t end, void *scratch) {
  zh_attention other = *work;
  other.scale *= 1.001f;
  right->attention(&other, begin, end, scratch);
}

static void wrong_silu(float *y, const float *gate, const float *up, size_t begin, size_t end) {
  right->silu_multiply(y, gate, up, begin, end);
  for (size_t i = begin; i < end; ++i) y[i] *= 1.00001f;
}

static void wrong_add(float *y, const float *x, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) y[i] += x[i] * 1.000001f;
}

static void nan_matmul(float *y, size_t y_stride, const zh_matrix *w, const float *x,
                       size_t x_stride, size_t tokens, size_t begin, size_t end, void *scratch) {
  right->matmul(y, y_stride, w, x, x_stride, tokens, begin, end, scratch);
  for (size_t t = 0; t < tokens; ++t)
    for (size_t r = begin; r < end; ++r) y[t * y_stride + r] = 0.0f / 0.0f * y[t * y_stride + r];
}

/* kinds: of operators that were seen. */
static zh_status check_model_with(size_t *kinds, const char *model_path, const zh_kernels *kernels,
                                  zh_precision precision, zh_error *err) {
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  zh_check *check = NULL;
  zh_engine_options options = {.precision = precision, .sequences = 1, .context = TOKENS};
  uint32_t tokens[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  assert_int_equal(zh_model_open(&model, model_path, err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, err), ZH_OK);
  if (kernels) engine->kernels = kernels;
  assert_int_equal(zh_check_create(&check, engine, 17, err), ZH_OK);
  assert_int_equal(zh_check_attach(check, err), ZH_OK);
  uint32_t vocab = zh_engine_architecture(engine)->vocab;
  float *logits = malloc(vocab * sizeof *logits);
  for (uint32_t i = 0; i < TOKENS; ++i) tokens[i] = i * 7 % vocab, position[i] = i;
  assert_int_equal(zh_engine_forward(engine, tokens, position, sequence, TOKENS, NULL, logits, err),
                   ZH_OK);
  zh_check_detach(check);
  json_t *checks = json_array();
  zh_status status = zh_check_report(check, checks, err);
  *kinds = json_array_size(checks);
  free(logits);
  json_decref(checks);
  zh_check_free(check);
  zh_engine_free(engine);
  zh_model_free(model);
  return status;
}

static zh_status check_with(const zh_kernels *kernels, zh_precision precision, zh_error *err) {
  size_t kinds = 0;
  zh_status status = check_model_with(&kinds, path, kernels, precision, err);
  assert_int_equal(kinds, 19);
  return status;
}

static void right_computations_pass(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  for (const zh_kernels *const *k = zh_kernels_all(); *k; ++k)
    if (check_with(*k, ZH_PRECISION_EXACT, &err) != ZH_OK)
      fail_msg("%s: %s", (*k)->name, err.message);
}

static void caught(const char *operator_name) {
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(check_with(&wrong, ZH_PRECISION_EXACT, &err), ZH_ERR_CHECK);
  if (!strstr(err.message, operator_name))
    fail_msg("'%s' is not named in: %s", operator_name, err.message);
}

static void wrong_operators_are_named(void **state) {
  (void)state;
  for (const zh_kernels *const *k = zh_kernels_all(); *k; ++k) {
    right = *k;
    wrong = *right, wrong.matmul = wrong_matmul, caught("operator 'q'");
    wrong = *right, wrong.matmul = bf16_matmul, caught("operator '");
    wrong = *right, wrong.matmul = nan_matmul, caught("operator 'q'");
    wrong = *right, wrong.rmsnorm = wrong_rmsnorm, caught("operator 'attention norm'");
    wrong = *right, wrong.rope = wrong_rope, caught("operator 'rope q'");
    wrong = *right, wrong.attention = wrong_attention, caught("operator 'attention'");
    wrong = *right, wrong.silu_multiply = wrong_silu, caught("operator 'silu'");
    wrong = *right, wrong.add = wrong_add, caught("operator 'attention residual'");
  }
}

/* --- weights: any bit --- */

static void find_altered_weight(const char *model_path, uint64_t seed, bool packed) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_weights weights;
  char what[160], digest[ZH_DIGEST_HEX];
  assert_int_equal(zh_model_open(&model, model_path, &err), ZH_OK);
  assert_int_equal(zh_weights_open(&weights, model, (zh_part){.parts = 1}, threads, &err), ZH_OK);
  if (packed) assert_int_equal(zh_weights_pack(&weights, threads, NULL, &err), ZH_OK);
  assert_int_equal(zh_weights_digest(digest, &weights, threads, &err), ZH_OK);
  assert_int_equal(zh_weights_verify(&weights, threads, seed, &err), ZH_OK);
  assert_int_equal(zh_weights_flip(&weights, seed, what, sizeof what, &err), ZH_OK);
  if (zh_weights_verify(&weights, threads, seed, &err) != ZH_ERR_CHECK)
    fail_msg("%s, seed %d: %s was not found", model_path, (int)seed, what);
  assert_non_null(strstr(err.message, strrchr(what, ' ') + 1));
  zh_weights_close(&weights);
  zh_model_free(model);
}

static void every_altered_weight_is_found(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < SEEDS; ++seed) find_altered_weight(path, seed, false);
}

static const char *family_path(const char *name) {
  static char out[512];
  snprintf(out, sizeof out, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, name);
  return out;
}

static void wrong_slopes(const zh_attention *work, size_t begin, size_t end, void *scratch) {
  float slopes[16];
  zh_attention other = *work;
  for (size_t h = 0; h < work->heads; ++h) slopes[h] = work->slopes[h] * 1.001f;
  other.slopes = slopes;
  right->attention(&other, begin, end, scratch);
}

static void wrong_slopes_are_found(void **state) {
  (void)state;
  for (const zh_kernels *const *k = zh_kernels_all(); *k; ++k) {
    zh_error err = ZH_ERROR_INIT;
    size_t kinds = 0;
    const char *model = family_path("baichuan2-13b");
    right = *k, wrong = *right;
    if (check_model_with(&kinds, model, &wrong, ZH_PRECISION_EXACT, &err) != ZH_OK)
      fail_msg("%s: %s", right->name, err.message);
    wrong.attention = wrong_slopes;
    assert_int_equal(check_model_with(&kinds, model, &wrong, ZH_PRECISION_EXACT, &err),
                     ZH_ERR_CHECK);
    assert_non_null(strstr(err.message, "operator 'attention'"));
  }
}

/* Experts, biases, sinks, and rows that are put together or turned round when loaded. */
static void every_altered_weight_of_families_is_found(void **state) {
  static const char *const names[] = {"qwen2-moe", "gpt-oss", "gpt-oss-mxfp4", "deepseek-v3",
                                      "baichuan2"};
  (void)state;
  for (size_t n = 0; n < sizeof names / sizeof names[0]; ++n)
    for (uint64_t seed = 0; seed < 40; ++seed)
      find_altered_weight(family_path(names[n]), seed, seed % 2 == 0);
}

/* --- whole workloads under faults --- */

static zh_status measure_of(const char *model, const char *workload, const char *parameters,
                            zh_fault fault, uint64_t seed, zh_error *err) {
  const zh_workload *w = zh_workload_find(workload);
  zh_comm *comm = NULL;
  json_t *out = NULL;
  assert_int_equal(zh_comm_solo(&comm, err), ZH_OK);
  zh_job job = {.parameters = json_loads(parameters, 0, NULL),
                .model = model,
                .seed = seed,
                .threads = threads,
                .comm = comm,
                .fault = fault,
                .facts = json_object(),
                .checks = json_array(),
                .series = json_array()};
  zh_measure_rules rules = {.warmup = 1, .repeats = {2, 2, 0}};
  zh_status status = zh_measure(&out, &rules, w, &job, err);
  zh_clock_inject_rate(1.0);
  json_decref(out);
  json_decref(job.parameters);
  json_decref(job.facts);
  json_decref(job.checks);
  json_decref(job.series);
  zh_comm_finish(comm);
  return status;
}

static const struct {
  const char *workload, *parameters;
} runs[] = {
    {"prefill",
     "{\"prompt\": 20, \"depth\": 5, \"batch\": 2, \"precision\": \"fast\", \"kv\": \"q8\"}"},
    {"decode", "{\"prompt\": 6, \"depth\": 3, \"batch\": 2, \"tokens\": 12, \"precision\": "
               "\"fast\", \"kv\": \"q8\"}"},
    {"perplexity", "{\"text\": \"\", \"tokens\": 40, \"window\": 16, \"precision\": \"exact\", "
                   "\"kv\": \"bf16\"}"},
};

static void workloads_run_and_faults_are_caught(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof runs / sizeof runs[0]; ++i) {
    for (uint64_t seed = 1; seed <= SEEDS; ++seed) {
      for (int fault = ZH_FAULT_NONE; fault < ZH_FAULTS; ++fault) {
        if (fault == ZH_FAULT_CLOCK || fault == ZH_FAULT_EXPERT || fault == ZH_FAULT_EXPERTS)
          continue; /* a step must be longer for it; experts: below */
        zh_error err = ZH_ERROR_INIT;
        zh_status status =
            measure_of(path, runs[i].workload, runs[i].parameters, (zh_fault)fault, seed, &err);
        if (status != (fault == ZH_FAULT_NONE ? ZH_OK : ZH_ERR_CHECK))
          fail_msg("%s, fault %s, seed %d: %s", runs[i].workload, zh_fault_names[fault], (int)seed,
                   err.message);
      }
    }
  }
}

/* Of families with experts, latent attention, sinks, windows, biases: honest runs pass, faults do
 * not. */
static void families_run_and_faults_are_caught(void **state) {
  static const char *const names[] = {"qwen3-moe", "gpt-oss-mxfp4", "deepseek-v3", "gemma3"};
  (void)state;
  for (size_t n = 0; n < sizeof names / sizeof names[0]; ++n) {
    const char *model = family_path(names[n]);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; ++i) {
      for (int fault = ZH_FAULT_NONE; fault < ZH_FAULTS; ++fault) {
        bool lost = fault == ZH_FAULT_EXPERT || fault == ZH_FAULT_EXPERTS;
        if (fault == ZH_FAULT_CLOCK) continue;
        zh_error err = ZH_ERROR_INIT;
        zh_status status = measure_of(model, runs[i].workload, runs[i].parameters, (zh_fault)fault,
                                      1 + n, &err),
                  wanted = fault == ZH_FAULT_NONE                    ? ZH_OK
                           : lost && strcmp(names[n], "gemma3") == 0 ? ZH_ERR_INPUT
                                                                     : ZH_ERR_CHECK;
        if (status != wanted)
          fail_msg("%s, %s, fault %s: %s", names[n], runs[i].workload, zh_fault_names[fault],
                   err.message);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(right_computations_pass),
                                     cmocka_unit_test(wrong_operators_are_named),
                                     cmocka_unit_test(wrong_slopes_are_found),
                                     cmocka_unit_test(every_altered_weight_is_found),
                                     cmocka_unit_test(every_altered_weight_of_families_is_found),
                                     cmocka_unit_test(workloads_run_and_faults_are_caught),
                                     cmocka_unit_test(families_run_and_faults_are_caught)};
  return cmocka_run_group_tests_name("engine_check", tests, start, stop);
}
