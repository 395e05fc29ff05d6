#include "files.h"

#include <math.h>

#include "core/philox.h"

#define PINNED_DESCRIPTION "89069a937fba1875c4225c7a220ff50422941d85b494020b9080f81723cb65a8"
#define PINNED_ROWS "ae8e6a7b4289cb39a9966c5fd66191a330732d9178e50528a50a5d0b8e74f2b9"

static uint64_t sparse_layers(const zh_architecture *a) {
  uint64_t count = 0;
  for (uint32_t l = 0; l < a->layers; l++) count += zh_layer_is(a, l, ZH_LAYER_EXPERTS);
  return count;
}

/* Down to the query's rank and to latents, norms, up again, and out. */
static uint64_t latent_parameters(const zh_architecture *a) {
  uint64_t h = a->hidden, heads = a->heads, q = a->latent.q_rank, kv = a->latent.kv_rank;
  return q * h + q + heads * a->head_dim * q + (kv + a->rope[0].dims) * h + kv +
         heads * (a->latent.nope_dims + a->value_dim) * kv + h * heads * a->value_dim;
}

static void test_sizes_are_the_formula(void **state) {
  const zh_standard_class *classes;
  size_t count;
  zh_error err = ZH_ERROR_INIT;
  (void)state;
  assert_int_equal(zh_standard_classes(&classes, &count, &err), ZH_OK);
  assert_true(count >= 2);
  for (size_t c = 0; c < count; c++) {
    zh_model *m = open_good(classes[c].name);
    zh_architecture a;
    uint64_t parameters = 0, bytes = 0;
    for (size_t i = 0; i < zh_model_tensor_count(m); i++) {
      parameters += zh_model_tensor(m, i)->elements;
      bytes += zh_model_tensor(m, i)->bytes;
    }
    assert_int_equal(zh_model_architecture(&a, m, &err), ZH_OK);
    uint64_t h = a.hidden, q = (uint64_t)a.heads * a.head_dim,
             kv = (uint64_t)a.kv_heads * a.head_dim;
    bool norms = a.head_norm != ZH_HEAD_NORM_NONE;
    uint64_t grouped = 2 * q * h + 2 * kv * h + (norms ? 2 * (uint64_t)a.head_dim : 0),
             attention = a.attention == ZH_ATTENTION_LATENT ? latent_parameters(&a) : grouped,
             expert = 3 * h * a.expert_ffn, sparse = sparse_layers(&a),
             bias = a.router.selection_bias ? a.experts : 0,
             every = sparse * (a.experts * h + bias + 3 * h * a.shared_ffn),
             rest = a.layers * (2 * h + attention) + every + (a.layers - sparse) * 3 * h * a.ffn +
                    h + (a.tied_head ? 1 : 2) * (uint64_t)a.vocab * h;
    assert_int_equal(parameters, rest + sparse * a.experts * expert);
    assert_int_equal(parameters, classes[c].parameters);
    assert_int_equal(classes[c].active, rest + sparse * a.experts_used * expert);
    assert_int_equal(bytes, classes[c].bytes);
    assert_string_equal(zh_model_format(m), "standard");
    assert_string_equal(zh_model_path(m), "");
    assert_string_equal(zh_model_name(m), classes[c].name);
    assert_int_equal(zh_model_file_bytes(m), 0);
    zh_model_free(m);
  }
  assert_string_equal(classes[0].name, "zh-0.1b");
  assert_int_equal(classes[0].parameters, 100682496);
  assert_string_equal(classes[1].name, "zh-1b");
  assert_int_equal(classes[1].parameters, 1126262784);
  assert_string_equal(classes[2].name, "zh-0.6b");
  assert_int_equal(classes[2].parameters, 596049920); /* as Qwen3-0.6B's file counts */
  assert_string_equal(classes[3].name, "zh-moe-3b");
  assert_string_equal(classes[4].name, "zh-mla-2b");
  assert_int_equal(classes[4].parameters / 10000000, 207);
  assert_int_equal(classes[4].active / 10000000, 48);
}

static float widen(uint16_t bf16) {
  uint32_t bits = (uint32_t)bf16 << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void test_rows_do_not_depend_on_the_split(void **state) {
  (void)state;
  zh_model *m = open_good("zh-0.1b");
  const zh_tensor *t = zh_model_find(m, "blk.7.ffn_down.weight");
  uint64_t rows = 61, columns = t->shape[1], splits[] = {1, 2, 7, 60};
  uint16_t *whole = malloc(rows * columns * 2), *parts = malloc(rows * columns * 2);
  zh_standard_rows(whole, t, 300, rows);
  for (size_t s = 0; s < 4; s++) {
    memset(parts, 0xff, rows * columns * 2);
    for (uint64_t r = 0; r < rows; r += splits[s]) {
      uint64_t take = rows - r < splits[s] ? rows - r : splits[s];
      zh_standard_rows(parts + r * columns, t, 300 + r, take);
    }
    assert_memory_equal(whole, parts, rows * columns * 2);
  }
  free(whole);
  free(parts);
  zh_model_free(m);
}

/* Mean 0 and the tensor's own standard deviation, within five standard errors. */
static void test_distribution(void **state) {
  static const struct {
    const char *name;
    double stdev;
  } expected[] = {
      {"token_embd.weight", 3.0}, {"blk.0.attn_q.weight", 1.0}, {"blk.11.ffn_up.weight", 1.0}};
  (void)state;
  zh_model *m = open_good("zh-0.1b");
  for (size_t i = 0; i < 3; i++) {
    const zh_tensor *t = zh_model_find(m, expected[i].name);
    uint64_t rows = 256, count = rows * t->shape[1];
    uint16_t *bits = malloc(count * 2);
    double sum = 0, squares = 0, stdev = expected[i].stdev / sqrt((double)t->shape[1]);
    zh_standard_rows(bits, t, 0, rows);
    for (uint64_t j = 0; j < count; j++) {
      double x = (double)widen(bits[j]);
      sum += x;
      squares += x * x;
    }
    assert_true(fabs(sum / (double)count) < 5 * stdev / sqrt((double)count));
    assert_true(fabs(squares / (double)count / (stdev * stdev) - 1) <
                5 * sqrt(2.0 / (double)count) + 1e-3);
    free(bits);
  }
  float gains[768];
  const zh_tensor *norm = zh_model_find(m, "blk.3.attn_norm.weight");
  assert_int_equal(norm->type, ZH_F32);
  zh_standard_rows(gains, norm, 0, 1);
  for (int i = 0; i < 768; i++) assert_true(gains[i] == 1.0f);
  zh_model_free(m);
}

/* No two tensors of any two classes share a stream. */
static void test_streams_are_apart(void **state) {
  (void)state;
  zh_model *a = open_good("zh-0.1b"), *b = open_good("zh-1b");
  for (size_t i = 0; i < zh_model_tensor_count(a); i++) {
    for (size_t j = 0; j < zh_model_tensor_count(b); j++)
      assert_true(zh_model_tensor(a, i)->stream != zh_model_tensor(b, j)->stream);
    for (size_t j = 0; j < i; j++)
      assert_true(zh_model_tensor(a, i)->stream != zh_model_tensor(a, j)->stream);
  }
  zh_model_free(a);
  zh_model_free(b);
}

/* The rule is for ever: these change only with its number. */
static void test_weights_are_pinned(void **state) {
  char digest[ZH_DIGEST_HEX];
  zh_error err = ZH_ERROR_INIT;
  static uint16_t rows[768 * 4];
  (void)state;
  zh_model *m = open_good("zh-0.1b");
  assert_int_equal(zh_model_digest(digest, m, ZH_SM3, &err), ZH_OK);
  assert_string_equal(digest, PINNED_DESCRIPTION);
  zh_standard_rows(rows, zh_model_find(m, "token_embd.weight"), 1000, 4);
  assert_int_equal(zh_digest_bytes(digest, ZH_SM3, rows, sizeof rows, &err), ZH_OK);
  assert_string_equal(digest, PINNED_ROWS);
  zh_model_free(m);
}

/* What each expert's own matrix is made of stands in the layer's tensor behind those before it; and
 * routers are not rounded. */
static void test_experts_lie_behind_each_other(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  zh_source source;
  static uint16_t whole[3 * 1024], own[3 * 1024];
  static float router[1024];
  (void)state;
  zh_model *m = open_good("zh-moe-3b");
  assert_int_equal(zh_model_architecture(&a, m, &err), ZH_OK);
  const zh_tensor *t = zh_model_find(m, "blk.19.ffn_up_exps.weight");
  assert_non_null(t);
  assert_int_equal(t->dims, 3);
  zh_weight_place place = {19, 63, ZH_EXPERT_UP};
  assert_int_equal(zh_model_source(&source, m, &a, place, &err), ZH_OK);
  assert_int_equal(source.tensor.shape[0], 768);
  zh_source_rows(own, &source, 700, 3);
  zh_standard_rows(whole, t, 63 * 768 + 700, 3);
  assert_memory_equal(own, whole, sizeof own);
  const zh_tensor *gate = zh_model_find(m, "blk.0.ffn_gate_inp.weight");
  assert_int_equal(gate->type, ZH_F32);
  zh_standard_rows(router, gate, 63, 1);
  uint32_t low = 0, bits;
  for (int i = 0; i < 1024; i++) {
    memcpy(&bits, &router[i], sizeof bits);
    low |= bits & 0xffff;
  }
  assert_int_not_equal(low, 0);
  zh_model_free(m);
}

/* Published models' own counts where ours have their sizes. */
static void test_large_classes_have_published_sizes(void **state) {
  static const struct {
    const char *name;
    uint64_t parameters, active_billions;
  } expected[] = {{"zh-8b", 8030261248, 8},
                  {"zh-70b", 70553706496, 70},
                  {"zh-104b", 0, 103},
                  {"zh-671b-a37b", 0, 37},
                  {"zh-1t-a32b", 0, 32}};
  const zh_standard_class *classes;
  size_t count;
  zh_error err = ZH_ERROR_INIT;
  (void)state;
  assert_int_equal(zh_standard_classes(&classes, &count, &err), ZH_OK);
  for (size_t i = 0; i < 5; i++) {
    const zh_standard_class *c = &classes[5 + i];
    assert_string_equal(c->name, expected[i].name);
    if (expected[i].parameters) assert_int_equal(c->parameters, expected[i].parameters);
    assert_int_equal(c->active / 1000000000, expected[i].active_billions);
  }
  assert_true(classes[7].parameters > UINT64_C(100000000000)); /* more than a hundred billion */
  assert_int_equal(classes[8].parameters / 1000000000, 671);
  assert_int_equal(classes[9].parameters / 1000000000000, 1);
}

/* Every number of fp8 is one of E4M3's times its block's scale: as near to the rule's normal number
 * as those lie together, and the same whoever asks. */
static void test_fp8_is_numbers_times_scales(void **state) {
  enum { ROWS = 3, COLUMNS = 8192 };
  static uint16_t rows[ROWS * COLUMNS], again[COLUMNS];
  static float scales[COLUMNS / ZH_STANDARD_BLOCK];
  bool other = false;
  (void)state;
  zh_model *m = open_good("zh-70b");
  const zh_tensor *t = zh_model_find(m, "blk.79.attn_q.weight");
  assert_non_null(t);
  assert_int_equal(t->type, ZH_F8_E4M3);
  assert_int_equal(t->bytes, t->elements);
  uint64_t first = 40 * ZH_STANDARD_BLOCK;
  zh_standard_rows(rows, t, first, ROWS);
  zh_standard_rows(again, t, first + 2, 1);
  assert_memory_equal(again, rows + 2 * COLUMNS, sizeof again);
  zh_standard_scales(scales, t, first, ZH_STANDARD_BLOCK);
  enum { PART = 3 }; /* of the columns, as a rank has them */
  float part[PART];
  zh_standard_scales_of(part, t, first, ZH_STANDARD_BLOCK, 7 * ZH_STANDARD_BLOCK,
                        PART * ZH_STANDARD_BLOCK);
  assert_memory_equal(part, scales + 7, sizeof part);
  for (size_t i = 0; i < ROWS * COLUMNS; i++) {
    float scale = scales[i % COLUMNS / ZH_STANDARD_BLOCK], number = widen(rows[i]) / scale, normal;
    zh_normal_fill(&normal, 1, zh_standard_seed(), t->stream, first * COLUMNS + i, t->scale);
    float step = fabsf(number) < 0x1p-6f ? 0x1p-9f : exp2f(floorf(log2f(fabsf(number)))) / 8;
    assert_true(fabsf(number) <= 448 && number / step == rintf(number / step));
    assert_true(fabsf(normal / scale - number) <= step / 2);
    other |= scale != scales[0];
  }
  assert_true(other);
  zh_model_free(m);
}

static void test_names(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *m = NULL;
  const zh_tokenizer *tokenizer;
  (void)state;
  open_bad("zh-0.1", "did you mean 'zh-0.1b'");
  open_bad("zh-1B", "did you mean 'zh-1b'");
  open_bad("elephant", "zh-0.1b, zh-1b, zh-0.6b, zh-moe-3b, zh-mla-2b, zh-8b, zh-70b, zh-104b, "
                       "zh-671b-a37b, zh-1t-a32b");
  m = open_good("zh-1b");
  assert_int_equal(zh_model_tokenizer(&tokenizer, m, &err), ZH_OK);
  assert_null(tokenizer);
  assert_null(zh_model_declared_size(m));
  zh_model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes_are_the_formula),
      cmocka_unit_test(test_rows_do_not_depend_on_the_split),
      cmocka_unit_test(test_distribution),
      cmocka_unit_test(test_streams_are_apart),
      cmocka_unit_test(test_weights_are_pinned),
      cmocka_unit_test(test_experts_lie_behind_each_other),
      cmocka_unit_test(test_large_classes_have_published_sizes),
      cmocka_unit_test(test_fp8_is_numbers_times_scales),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
