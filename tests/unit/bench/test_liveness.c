/* Probes: a changed row for one sequence gives the bits of a model that holds the change, and one
 * scalar of any format is changed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "bench/engine/inside.h"
#include "bench/liveness/bound.h"
#include "bench/liveness/change.h"
#include "bench/liveness/liveness.h"
#include "tests/unit/bench/tiny_model.h"
#include "tests/unit/folder.h"

enum { LENGTH = 12, SEQUENCES = 3 };
static char path[600];

static int write_model(void **state) {
  (void)state;
  snprintf(path, sizeof path, "%s/model.gguf", test_folder());
  write_tiny_model(path, 0, 0);
  return 0;
}

static void feed(zh_engine *e, size_t sequences, float *logits) {
  uint32_t token[SEQUENCES * LENGTH], position[SEQUENCES * LENGTH], sequence[SEQUENCES * LENGTH];
  bool want[SEQUENCES * LENGTH];
  zh_error err = ZH_ERROR_INIT;
  for (size_t i = 0; i < sequences * LENGTH; ++i) {
    token[i] = (uint32_t)(7 * (i % LENGTH) % TINY_VOCAB);
    position[i] = (uint32_t)(i % LENGTH);
    sequence[i] = (uint32_t)(i / LENGTH);
    want[i] = true;
  }
  for (uint32_t s = 0; s < sequences; ++s) zh_engine_truncate(e, s, 0);
  assert_int_equal(
      zh_engine_forward(e, token, position, sequence, sequences * LENGTH, want, logits, &err),
      ZH_OK);
}

/* Changes byte `at` of the model's file, as somebody would who makes another model of it. */
static void alter_file(const zh_tensor *t, size_t at, const void *bytes, size_t count) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  assert_int_equal(fseek(f, (long)(t->file_offset + at), SEEK_SET), 0);
  put(f, bytes, count);
  assert_int_equal(fclose(f), 0);
}

static const zh_tensor *weight_named(const zh_engine *engine, const char *name) {
  const zh_weights *weights = &engine->weights;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (strcmp(zh_weights_at(weights, i)->tensor->name, name) == 0)
      return zh_weights_at(weights, i)->tensor;
  fail_msg("no weight is called %s", name);
  return NULL;
}

/* Sequence 1 of three computes with one scalar changed; the others must not notice, and it must
 * give the bits of a model file that holds the change. */
static void check_patch(const char *name, size_t row, size_t column) {
  static float together[SEQUENCES * LENGTH * TINY_VOCAB], plain[LENGTH * TINY_VOCAB],
      altered[LENGTH * TINY_VOCAB];
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  zh_engine *engine = NULL;
  zh_error err = ZH_ERROR_INIT;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = SEQUENCES,
                               .context = LENGTH,
                               .micro_batch = SEQUENCES * LENGTH,
                               .unpacked = true};
  assert_int_equal(zh_model_open(&model, path, &err), ZH_OK);
  assert_int_equal(zh_threads_create(&threads, 2, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_OK);
  const zh_tensor *t = weight_named(engine, name);
  size_t columns = (size_t)(t->dims == 2 ? t->shape[1] : t->shape[0]);
  float *changed = calloc(columns + 16, sizeof *changed), was, is;
  memcpy(changed, (const float *)t->data + row * columns, columns * sizeof *changed);
  assert_int_equal(zh_change_scalar((unsigned char *)changed, ZH_F32, columns, column, &was, &is),
                   ZH_CHANGED);
  zh_patch patch = {.tensor = t,
                    .sequence = 1,
                    .row = row,
                    .bytes = changed,
                    .gain = t->dims == 1 ? changed : NULL};
  feed(engine, 1, plain);
  engine->patches = &patch;
  engine->patch_count = 1;
  feed(engine, SEQUENCES, together);
  engine->patch_count = 0;
  zh_engine_free(engine);
  t = zh_model_find(model, name);
  alter_file(t, (row * columns + column) * sizeof(float), &is, sizeof is);
  zh_model *other = NULL;
  assert_int_equal(zh_model_open(&other, path, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, other, threads, &options, &err), ZH_OK);
  feed(engine, 1, altered);
  alter_file(t, (row * columns + column) * sizeof(float), &was, sizeof was);
  assert_memory_equal(together, plain, sizeof plain);
  assert_memory_equal(together + LENGTH * TINY_VOCAB, altered, sizeof altered);
  assert_memory_equal(together + 2 * LENGTH * TINY_VOCAB, plain, sizeof plain);
  assert_memory_not_equal(plain, altered, sizeof plain);
  zh_engine_free(engine);
  zh_threads_free(threads);
  zh_model_free(model);
  zh_model_free(other);
  free(changed);
}

static void test_a_changed_row_is_a_changed_model(void **state) {
  (void)state;
  static const char *const matrices[] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                         "ffn_gate", "ffn_up", "ffn_down"};
  for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; ++i) {
    char name[64];
    snprintf(name, sizeof name, "blk.%zu.%s.weight", i % TINY_LAYERS, matrices[i]);
    check_patch(name, 5 * i % 32, 11 * i % TINY_HIDDEN);
  }
  check_patch("blk.1.attn_norm.weight", 0, 17);
  check_patch("blk.2.ffn_norm.weight", 0, 3);
  check_patch("output_norm.weight", 0, 80);
  check_patch("token_embd.weight", 14, 9); /* fed at position 2 */
}

/* --- one scalar of a row --- */

static void test_one_scalar_alone(void **state) {
  (void)state;
  static const zh_dtype types[] = {ZH_F32,  ZH_F16,    ZH_BF16,   ZH_Q8_0, ZH_Q4_0, ZH_Q4_1,
                                   ZH_Q5_0, ZH_Q5_1,   ZH_Q4_K,   ZH_Q5_K, ZH_Q6_K, ZH_Q2_K,
                                   ZH_Q3_K, ZH_IQ4_NL, ZH_IQ4_XS, ZH_MXFP4};
  enum { COLUMNS = 512 };
  for (size_t k = 0; k < sizeof types / sizeof types[0]; ++k) {
    unsigned char row[COLUMNS * 4], kept[COLUMNS * 4];
    float before[COLUMNS], after[COLUMNS];
    uint64_t bytes;
    assert_true(zh_dtype_bytes(&bytes, types[k], COLUMNS));
    /* Odd bytes from 0x31 to 0x3f are small scales that are not 0, in every format. */
    uint32_t random[COLUMNS];
    zh_random_fill(random, COLUMNS, 9, k, 0);
    for (size_t i = 0; i < bytes; ++i)
      row[i] = (unsigned char)(0x31 | ((random[i / 4] >> (8 * (i % 4))) & 0x0f));
    memcpy(kept, row, bytes);
    zh_dequantize_row(before, row, types[k], COLUMNS);
    for (size_t column = 0; column < COLUMNS; column += 37) {
      float was, is;
      memcpy(row, kept, bytes);
      assert_int_equal(zh_change_scalar(row, types[k], COLUMNS, column, &was, &is), ZH_CHANGED);
      zh_dequantize_row(after, row, types[k], COLUMNS);
      for (size_t i = 0; i < COLUMNS; ++i) {
        if (i == column)
          assert_true(after[i] == is && before[i] == was && is != was);
        else
          assert_memory_equal(&after[i], &before[i], sizeof after[i]);
      }
    }
  }
}

static void test_what_cannot_be_changed(void **state) {
  (void)state;
  float zeros[64] = {0}, was, is;
  zeros[40] = 1; /* the second run of 32 has a size, the first has none */
  assert_int_equal(zh_change_scalar((unsigned char *)zeros, ZH_F32, 64, 3, &was, &is),
                   ZH_CHANGE_ALL_ZERO);
  assert_int_equal(zh_change_scalar((unsigned char *)zeros, ZH_F32, 64, 33, &was, &is), ZH_CHANGED);
  unsigned char block[20] = {0};
  assert_int_equal(zh_change_scalar(block, ZH_Q4_1, 32, 5, &was, &is), ZH_CHANGE_ALL_ZERO);
  block[3] = 0x3c; /* all values are the minimum, 1: no code changes one */
  assert_int_equal(zh_change_scalar(block, ZH_Q4_1, 32, 5, &was, &is), ZH_CHANGE_STUCK);
}

/* --- the bound: values of the beta distribution, known in closed form --- */

static void test_bound(void **state) {
  (void)state;
  assert_true(zh_lower_bound(0, 10, 0.95) == 0);
  /* All of n: p^n = 0.05. */
  assert_true(fabs(zh_lower_bound(59, 59, 0.95) - pow(0.05, 1.0 / 59)) < 1e-12);
  assert_true(fabs(zh_lower_bound(100000, 100000, 0.95) - pow(0.05, 1e-5)) < 1e-12);
  /* One of n: 1 - (1 - p)^n = 0.05. */
  assert_true(fabs(zh_lower_bound(1, 20, 0.95) - (1 - pow(0.95, 1.0 / 20))) < 1e-12);
}

/* Experts, latent attention, sinks and a normalised head are probed like anything else. */
static void test_every_kind_of_model_is_probed(void **state) {
  static const char *const models[] = {"qwen3-moe",   "qwen2-moe",   "gpt-oss",  "gpt-oss-mxfp4",
                                       "deepseek-v2", "deepseek-v3", "baichuan2"};
  (void)state;
  for (size_t i = 0; i < sizeof models / sizeof models[0]; ++i) {
    char folder[512];
    zh_model *model = NULL;
    json_t *found = NULL;
    zh_error err = ZH_ERROR_INIT;
    zh_liveness_options wanted = {.seed = 1, .probes = 200};
    snprintf(folder, sizeof folder, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, models[i]);
    assert_int_equal(zh_model_open(&model, folder, &err), ZH_OK);
    assert_int_equal(zh_liveness_of_model(&found, model, 2, &wanted, &err), ZH_OK);
    assert_true(json_is_true(json_object_get(found, "measured")));
    assert_true(json_integer_value(json_object_get(found, "changed")) > 100);
    const json_t *experts = json_object_get(found, "experts");
    assert_int_equal(json_is_null(experts), i == 6);
    if (i < 6)
      assert_true(json_integer_value(json_object_get(experts, "reached")) > 0 &&
                  json_integer_value(json_object_get(experts, "reached")) <=
                      json_integer_value(json_object_get(experts, "all")));
    json_decref(found);
    zh_model_free(model);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_changed_row_is_a_changed_model),
      cmocka_unit_test(test_one_scalar_alone),
      cmocka_unit_test(test_what_cannot_be_changed),
      cmocka_unit_test(test_every_kind_of_model_is_probed),
      cmocka_unit_test(test_bound),
  };
  return cmocka_run_group_tests(tests, write_model, NULL);
}
