/* Counts of hand-made safetensors files, whose numbers can be added up in the head. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/evaluator.h"
#include "tests/unit/folder.h"

/* A file under way: its header and its bytes. */
typedef struct sheet {
  zh_text header, data;
} sheet;

static void add(sheet *s, const char *name, const char *type, const char *shape, const void *bytes,
                size_t length) {
  zh_text_printf(&s->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                 s->header.length > 0 ? "," : "", name, type, shape, s->data.length,
                 s->data.length + length);
  zh_text_append(&s->data, bytes, length);
}

/* length bytes of noise that depend on seed. */
static void add_noise(sheet *s, const char *name, const char *type, const char *shape,
                      size_t length, unsigned seed) {
  unsigned char *bytes = malloc(length);
  assert_non_null(bytes);
  uint32_t state = seed * 2654435761u + 1;
  for (size_t i = 0; i < length; i++) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = (unsigned char)(state >> 24);
  }
  add(s, name, type, shape, bytes, length);
  free(bytes);
}

static void write_text(const char *name, const char *text) {
  char path[600];
  zh_error err = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/%s", test_folder(), name);
  if (zh_write_file(path, text, strlen(text), &err) != ZH_OK) fail_msg("%s", err.message);
}

/* Writes the file, audits the folder, and gives the audit. */
static json_t *audit(sheet *s, const char *config) {
  char path[600];
  zh_error err = ZH_ERROR_INIT;
  zh_text file = {0};
  uint64_t length = s->header.length + 2;
  zh_text_append(&file, (const char *)&length, sizeof length);
  zh_text_printf(&file, "{%s}", zh_text_string(&s->header));
  zh_text_append(&file, s->data.data, s->data.length);
  snprintf(path, sizeof path, "%s/model.safetensors", test_folder());
  if (zh_write_file(path, file.data, file.length, &err) != ZH_OK) fail_msg("%s", err.message);
  zh_text_free(&file);
  zh_text_free(&s->header);
  zh_text_free(&s->data);
  snprintf(path, sizeof path, "%s/config.json", test_folder());
  unlink(path);
  if (config != NULL) write_text("config.json", config);
  zh_model *model = NULL;
  json_t *result = NULL;
  if (zh_model_open(&model, test_folder(), &err) != ZH_OK ||
      zh_audit(&result, model, &err) != ZH_OK) {
    fail_msg("%s", err.message);
  }
  zh_model_free(model);
  return result;
}

static int64_t count(const json_t *result, const char *key) {
  const json_t *value = json_object_get(json_object_get(result, "parameters"), key);
  return json_is_integer(value) ? json_integer_value(value) : -1;
}

static bool has_note(const json_t *result, const char *part) {
  const json_t *note;
  size_t i;
  bool found = false;
  json_array_foreach(json_object_get(result, "notes"), i, note) {
    found |= strstr(json_string_value(json_object_get(note, "en")), part) != NULL;
  }
  return found;
}

static void a_dense_model_is_added_up(void **state) {
  (void)state;
  sheet s = {0};
  add_noise(&s, "model.embed_tokens.weight", "F32", "[8,4]", 128, 1);
  add_noise(&s, "model.layers.0.self_attn.q_proj.weight", "BF16", "[4,4]", 32, 2);
  add_noise(&s, "model.layers.0.input_layernorm.weight", "F32", "[4]", 16, 3);
  add_noise(&s, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", "[2]", 8, 4);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "stored"), 32 + 16 + 4);
  assert_int_equal(count(result, "unique"), 52);
  assert_int_equal(count(result, "active"), 52);
  assert_int_equal(json_integer_value(json_object_get(result, "buffers")), 1);
  assert_int_equal(json_integer_value(json_object_get(result, "tensors")), 4);
  assert_true(has_note(result, "in this model: 1)"));
  json_decref(result);
}

static void a_repeated_matrix_counts_once(void **state) {
  (void)state;
  sheet s = {0};
  add_noise(&s, "model.embed_tokens.weight", "F32", "[8,4]", 128, 1);
  add_noise(&s, "lm_head.weight", "F32", "[8,4]", 128, 1);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "stored"), 64);
  assert_int_equal(count(result, "unique"), 32);
  assert_int_equal(count(result, "active"), 32);
  assert_true(has_note(result, "byte for byte: 1, with 32 parameters"));
  json_decref(result);
}

/* Same bytes under another shape, or one bit elsewhere: not the same weights. */
static void a_near_copy_counts_twice(void **state) {
  (void)state;
  sheet s = {0};
  add_noise(&s, "model.embed_tokens.weight", "F32", "[8,4]", 128, 1);
  add_noise(&s, "lm_head.weight", "F32", "[4,8]", 128, 1);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "unique"), 64);
  json_decref(result);
}

/* Equal wherever samples are taken, one bit different between them. */
static void samples_alone_do_not_decide(void **state) {
  (void)state;
  enum { BYTES = 64 * 128 * 4 };
  static unsigned char bytes[BYTES];
  memset(bytes, 7, sizeof bytes);
  sheet s = {0};
  add(&s, "a.mlp.up_proj.weight", "F32", "[64,128]", bytes, BYTES);
  bytes[8000] ^= 1;
  add(&s, "b.mlp.up_proj.weight", "F32", "[64,128]", bytes, BYTES);
  add(&s, "c.mlp.up_proj.weight", "F32", "[64,128]", bytes, BYTES);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "stored"), 3 * 64 * 128);
  assert_int_equal(count(result, "unique"), 2 * 64 * 128);
  json_decref(result);
}

static void equal_norm_gains_are_not_sharing(void **state) {
  (void)state;
  static const float ones[4] = {1, 1, 1, 1};
  sheet s = {0};
  add(&s, "model.layers.0.input_layernorm.weight", "F32", "[4]", ones, sizeof ones);
  add(&s, "model.layers.1.input_layernorm.weight", "F32", "[4]", ones, sizeof ones);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "unique"), 8);
  json_decref(result);
}

/* 4 experts of 16, one shared expert of 16, a router of 8, an embedding of 32; 2 of 4 experts work.
 */
static void add_experts(sheet *s) {
  char name[96];
  add_noise(s, "model.embed_tokens.weight", "F32", "[8,4]", 128, 1);
  add_noise(s, "model.layers.0.mlp.gate.weight", "F32", "[4,2]", 32, 2);
  add_noise(s, "model.layers.0.mlp.shared_expert.up_proj.weight", "F32", "[4,4]", 64, 3);
  for (unsigned i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "model.layers.0.mlp.experts.%u.up_proj.weight", i);
    add_noise(s, name, "F32", "[4,4]", 64, 10 + i);
  }
}

static void experts_count_by_their_share(void **state) {
  (void)state;
  sheet s = {0};
  add_experts(&s);
  json_t *result =
      audit(&s, "{\"model_type\":\"qwen2_moe\",\"num_experts\":4,\"num_experts_per_tok\":2}");
  assert_int_equal(count(result, "stored"), 32 + 8 + 16 + 64);
  assert_int_equal(count(result, "unique"), 120);
  assert_int_equal(count(result, "active"), 32 + 8 + 16 + 32);
  assert_true(has_note(result, "uses 2 of 4"));
  json_decref(result);
}

static void experts_without_a_number_leave_active_unknown(void **state) {
  static const char *const configs[] = {
      NULL, "{\"model_type\":\"x\",\"num_experts\":4}",
      "{\"model_type\":\"x\",\"num_experts\":4,\"num_experts_per_tok\":5}"};
  (void)state;
  for (size_t i = 0; i < 3; i++) {
    sheet s = {0};
    add_experts(&s);
    json_t *result = audit(&s, configs[i]);
    assert_int_equal(count(result, "stored"), 120);
    assert_true(json_is_null(json_object_get(json_object_get(result, "parameters"), "active")));
    assert_true(has_note(result, "active count is unknown"));
    json_decref(result);
  }
}

static void packed_integers_are_pointed_out(void **state) {
  (void)state;
  sheet s = {0};
  add_noise(&s, "model.layers.0.mlp.up_proj.qweight", "I32", "[4,4]", 64, 1);
  json_t *result = audit(&s, NULL);
  assert_int_equal(count(result, "stored"), 16);
  assert_true(has_note(result, "several low-bit values: 1;"));
  json_decref(result);
}

/* Some published tokenizers name a token more than the embedding has rows. */
static void a_tokenizer_larger_than_the_embedding_is_noted(void **state) {
  (void)state;
  static const char *const tokens[] = {"{\"a\":0,\"b\":1}", "{\"a\":0,\"b\":7}",
                                       "{\"a\":0,\"b\":8}"};
  for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
    char tokenizer[200];
    sheet s = {0};
    snprintf(tokenizer, sizeof tokenizer,
             "{\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":[]},\"added_tokens\":[]}",
             tokens[i]);
    write_text("tokenizer.json", tokenizer);
    add_noise(&s, "model.embed_tokens.weight", "F32", "[8,4]", 128, 1);
    json_t *result = audit(&s, "{\"model_type\":\"llama\",\"vocab_size\":8}");
    assert_int_equal(has_note(result, "The tokenizer has 9 tokens, the embedding 8 rows"), i == 2);
    json_decref(result);
  }
}

static void standard_models_count_what_their_class_says(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  const zh_standard_class *classes = NULL;
  size_t classes_count = 0;
  if (zh_standard_classes(&classes, &classes_count, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_true(classes_count >= 2);
  for (size_t i = 0; i < classes_count; i++) {
    zh_model *model = NULL;
    json_t *result = NULL;
    if (zh_model_open(&model, classes[i].name, &err) != ZH_OK ||
        zh_audit(&result, model, &err) != ZH_OK) {
      fail_msg("%s", err.message);
    }
    assert_int_equal(count(result, "stored"), classes[i].parameters);
    assert_int_equal(count(result, "unique"), classes[i].parameters);
    assert_true(json_is_null(json_object_get(result, "sha256")));
    json_decref(result);
    zh_model_free(model);
  }
}

/* The published count of SmolLM2-135M, whose head is tied. */
static void a_published_model_has_its_published_count(void **state) {
  (void)state;
  static const char path[] = ZH_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  json_t *result = NULL;
  if (!zh_is_file(path)) {
    print_message("%s is not here (scripts/quickstart fetches it): left out\n", path);
    skip();
  }
  if (zh_model_open(&model, path, &err) != ZH_OK || zh_audit(&result, model, &err) != ZH_OK)
    fail_msg("%s", err.message);
  assert_int_equal(count(result, "stored"), 134515008);
  assert_int_equal(count(result, "unique"), 134515008);
  assert_int_equal(count(result, "active"), 134515008);
  assert_string_equal(json_string_value(json_object_get(result, "sha256")),
                      "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  json_decref(result);
  zh_model_free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_dense_model_is_added_up),
      cmocka_unit_test(a_repeated_matrix_counts_once),
      cmocka_unit_test(a_near_copy_counts_twice),
      cmocka_unit_test(samples_alone_do_not_decide),
      cmocka_unit_test(equal_norm_gains_are_not_sharing),
      cmocka_unit_test(experts_count_by_their_share),
      cmocka_unit_test(experts_without_a_number_leave_active_unknown),
      cmocka_unit_test(packed_integers_are_pointed_out),
      cmocka_unit_test(a_tokenizer_larger_than_the_embedding_is_noted),
      cmocka_unit_test(standard_models_count_what_their_class_says),
      cmocka_unit_test(a_published_model_has_its_published_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
