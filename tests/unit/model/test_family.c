/* The reader of model/families/: every mistake has its place and words; rows come from wherever a
 * family says they stand. */
#include "files.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/expression.h"

static void make_folder(const char *name) {
  char path[400];
  snprintf(path, sizeof path, "%s/%s", test_folder(), name);
  assert_int_equal(mkdir(path, 0700), 0);
}

/* --- arithmetic --- */

static double value_of(void *user, const char *name, int length) {
  (void)user;
  return length == 1 && name[0] == 'x' ? 16 : NAN;
}

static void test_arithmetic(void **state) {
  static const struct {
    const char *text;
    double value;
  } cases[] = {{"7", 7},
               {"1 / sqrt(x)", 0.25},
               {"x + 2 * 3 - 4 / 2", 20},
               {"(x + 2) * 0.5", 9},
               {"x = 16", 1},
               {"1 + (x = 3) * 100", 1},
               {"sqrt(x * (x = 16))", 4},
               {"y", NAN},
               {"1 +", NAN},
               {"(1", NAN},
               {"1 2", NAN},
               {"", NAN},
               {"((((((((((((((((((((1))))))))))))))))))))", NAN}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    double value = zh_expression(cases[i].text, value_of, NULL);
    if (isnan(cases[i].value) ? !isnan(value) : value != cases[i].value)
      fail_msg("%s is %g", cases[i].text, value);
  }
}

/* --- mistakes --- */

static const char SOUND[] = "family: toy\nsummary: for tests\nconfig: [toy]\n";

static void put_family(const char *name, const char *tail) {
  zh_text text = {0};
  char path[100];
  zh_text_printf(&text, "%s%s", SOUND, tail);
  snprintf(path, sizeof path, "model/families/%s.yaml", name);
  put_file(path, text.data, text.length);
  zh_text_free(&text);
}

/* A model of which nothing is read but its family's name. */
static zh_model *open_empty(void) {
  static const char HEADER[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  static const char CONFIG[] = "{\"model_type\":\"toy\"}";
  char path[400];
  zh_text b = {0};
  put_u64(&b, strlen(HEADER));
  zh_text_puts(&b, HEADER);
  put_data(&b, 4);
  put_file("empty/model.safetensors", b.data, b.length);
  put_file("empty/config.json", CONFIG, strlen(CONFIG));
  zh_text_free(&b);
  snprintf(path, sizeof path, "%s/empty", test_folder());
  return open_good(path);
}

static void refuse(const zh_model *model, const char *tail, const char *place, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  put_family("toy", tail);
  assert_int_equal(zh_model_architecture(&a, model, &err), ZH_ERR_INPUT);
  if (strstr(err.message, place) == NULL || strstr(err.message, words) == NULL)
    fail_msg("'%s' does not say '%s' at '%s'", err.message, words, place);
}

static void test_mistakes_have_their_place(void **state) {
  (void)state;
  make_folder("empty");
  zh_model *m = open_empty();
  refuse(m, "field: {}\n", "toy.yaml:4:1", "unknown key 'field'");
  refuse(m, "fields: {layer: 3}\n", "toy.yaml:4:17", "'layer' is no field");
  refuse(m, "fields: {norm: rsm}\n", "toy.yaml:4:16", "'rsm' is no value that 'norm' can have");
  refuse(m, "fields: {qkv_bias: maybe}\n", "toy.yaml:4:20", "'maybe' is no value");
  refuse(m, "fields: {layers: {cofig: n}}\n", "toy.yaml:4:19", "unknown key 'cofig'");
  refuse(m, "fields: {layers: {config_as: y}}\n", "toy.yaml:4:30", "no arithmetic on fields");
  refuse(m, "fields: {layers: {words: {a: b}}}\n", "toy.yaml:4:26", "'layers' is no word");
  refuse(m, "config_tensors: {w: attn_g}\n", "toy.yaml:4:21", "'attn_g' is no weight");
  refuse(m, "config_tensors: {w: []}\n", "toy.yaml:4:21", "one to 4 weights");
  refuse(m, "config_tensors: {w: {holds: head, rows: mixed}}\n", "toy.yaml:4:41", "stacked");
  refuse(m, "like: nobody\n", "toy.yaml:4:7", "no family is called 'nobody'");
  refuse(m, "like: toy\n", "toy.yaml:1:1", "leads through more than");
  refuse(m, "ignored: x\n", "toy.yaml:4:10", "a list of names");
  refuse(m, "ignored: [{begin: x}]\n", "toy.yaml:4:11", "'with'");
  refuse(m, "only: {config: {a: b}}\n", "toy.yaml:4:20", "a list of names");
  refuse(m, "fields: {activation: {config: a}}\n", "toy.yaml:4:22", "needs 'words'");
  put_family("other", "");
  refuse(m, "", "toy.yaml:1:1", "another file describes 'toy' too");
  char path[400];
  snprintf(path, sizeof path, "%s/model/families/other.yaml", test_folder());
  assert_int_equal(unlink(path), 0);
  zh_model_free(m);
}

/* --- rows, wherever they stand --- */

#define TOY                                                                                        \
  "fields: {layers: 1, hidden: 4, heads: 4, kv_heads: 2, head_dim: 2, value_dim: 2, ffn: 3,\n"     \
  "  vocab: 5, context: 8, norm: rms, norm_eps: 0.001, norm_before_attention: true,\n"             \
  "  norm_before_ffn: true, rope: halves, rope_dims: 2, rope_base: 100, tied_head: true, "         \
  "attention_scale: 1,\n"                                                                          \
  "  experts: 2, experts_used: 1, expert_ffn: 3}\n"                                                \
  "config_prefixes: [text.]\n"                                                                     \
  "ignored: ['mtp{layers}.']\n"                                                                    \
  "config_tensors:\n"                                                                              \
  "  model.emb: embedding\n"                                                                       \
  "  norm: output_norm\n"                                                                          \
  "  l{layer}.n: attn_norm\n"                                                                      \
  "  l{layer}.m: ffn_norm\n"                                                                       \
  "  l{layer}.qkv: {holds: [attn_q, attn_k, attn_v], groups: kv_heads}\n"                          \
  "  l{layer}.o: {holds: attn_output, turned: attn_output}\n"                                      \
  "  l{layer}.r: router\n"                                                                         \
  "  l{layer}.gu: {holds: [expert_gate, expert_up], rows: alternating, every: expert}\n"           \
  "  l{layer}.d{expert}: {holds: expert_down, turned: expert_down}\n"

/* Name and shape; element i of tensor t is 1000 t + i. */
static const struct {
  const char *name, *shape;
  size_t elements;
} tensors[] = {{"text.emb", "5,4", 20}, {"norm", "4", 4},       {"l0.n", "4", 4},
               {"l0.m", "4", 4},        {"l0.qkv", "16,4", 64}, {"l0.o", "8,4", 32},
               {"l0.r", "2,4", 8},      {"l0.gu", "2,6,4", 48}, {"l0.d0", "3,4", 12},
               {"l0.d1", "3,4", 12},    {"mtp1.x", "7", 7}};
enum { TENSORS = sizeof tensors / sizeof tensors[0], QKV = 4, O, R, GU, D0, D1 };

static zh_model *open_toy(void) {
  zh_text header = {0}, b = {0};
  size_t at = 0;
  char path[400];
  for (size_t t = 0; t < TENSORS; t++) {
    zh_text_printf(
        &header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
        t == 0 ? "{" : ",", tensors[t].name, tensors[t].shape, at, at + 4 * tensors[t].elements);
    at += 4 * tensors[t].elements;
  }
  zh_text_puts(&header, "}");
  while (header.length % 8 != 0) zh_text_puts(&header, " ");
  put_u64(&b, header.length);
  zh_text_append(&b, header.data, header.length);
  for (size_t t = 0; t < TENSORS; t++)
    for (size_t i = 0; i < tensors[t].elements; i++) {
      float value = (float)(1000 * t + i);
      zh_text_append(&b, (const char *)&value, sizeof value);
    }
  make_folder("toy");
  put_file("toy/model.safetensors", b.data, b.length);
  put_file("toy/config.json", "{\"model_type\":\"toy\"}", 20);
  zh_text_free(&header);
  zh_text_free(&b);
  snprintf(path, sizeof path, "%s/toy", test_folder());
  return open_good(path);
}

/* Row `row` of a weight: `first`, then steps of `step`, in tensor t. */
static void expect(const zh_model *m, const zh_architecture *a, zh_weight_place place, uint64_t row,
                   size_t t, size_t first, size_t step) {
  zh_source s;
  zh_error err = ZH_ERROR_INIT;
  float values[8];
  if (zh_model_source(&s, m, a, place, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_string_equal(s.stored->name, tensors[t].name);
  assert_true(s.tensor.shape[1] <= 8);
  zh_source_rows(values, &s, row, 1);
  for (uint64_t c = 0; c < s.tensor.shape[1]; c++)
    assert_true(values[c] == (float)(1000 * t + first + c * step));
  assert_true(s.tensor.data == NULL ||
              memcmp((const char *)s.tensor.data + row * s.tensor.shape[1] * 4, values,
                     s.tensor.shape[1] * 4) == 0);
}

static void test_rows(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  put_family("toy", TOY);
  zh_model *m = open_toy();
  if (zh_model_architecture(&a, m, &err) != ZH_OK) fail_msg("%s", err.message);
  zh_weight_place q = {0, -1, ZH_ATTN_Q}, k = {0, -1, ZH_ATTN_K}, v = {0, -1, ZH_ATTN_V};
  for (size_t group = 0; group < 2;
       group++) { /* rows of 4 numbers: four of q, two of k, two of v */
    for (size_t r = 0; r < 4; r++) expect(m, &a, q, 4 * group + r, QKV, 32 * group + 4 * r, 1);
    for (size_t r = 0; r < 2; r++) {
      expect(m, &a, k, 2 * group + r, QKV, 32 * group + 16 + 4 * r, 1);
      expect(m, &a, v, 2 * group + r, QKV, 32 * group + 24 + 4 * r, 1);
    }
  }
  for (size_t r = 0; r < 4; r++)
    expect(m, &a, (zh_weight_place){0, -1, ZH_ATTN_OUTPUT}, r, O, r, 4);
  expect(m, &a, (zh_weight_place){0, -1, ZH_ROUTER}, 1, R, 4, 1);
  for (int e = 0; e < 2; e++) {
    size_t from = 24 * (size_t)e, down = e == 0 ? D0 : D1;
    for (size_t r = 0; r < 3; r++) {
      expect(m, &a, (zh_weight_place){0, e, ZH_EXPERT_GATE}, r, GU, from + 8 * r, 1);
      expect(m, &a, (zh_weight_place){0, e, ZH_EXPERT_UP}, r, GU, from + 8 * r + 4, 1);
    }
    for (size_t r = 0; r < 4; r++)
      expect(m, &a, (zh_weight_place){0, e, ZH_EXPERT_DOWN}, r, down, r, 4);
  }
  expect(m, &a, (zh_weight_place){-1, -1, ZH_EMBEDDING}, 3, 0, 12, 1);
  zh_model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arithmetic),
      cmocka_unit_test(test_mistakes_have_their_place),
      cmocka_unit_test(test_rows),
  };
  setenv("ZHIHENG_DATA", test_folder(), 1);
  make_folder("model");
  make_folder("model/families");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
