#include "files.h"

#include <sys/stat.h>

static const char *put_safetensors(const char *name, const char *header, size_t data_bytes) {
  zh_text b = {0};
  put_u64(&b, strlen(header));
  zh_text_puts(&b, header);
  put_data(&b, data_bytes);
  const char *path = put_file(name, b.data, b.length);
  zh_text_free(&b);
  return path;
}

#define VALID                                                                                      \
  "{\"__metadata__\":{\"format\":\"pt\"},"                                                         \
  "\"b\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,3],\"data_offsets\":[16,22]},"                        \
  "\"a\":{\"dtype\":\"BF16\",\"shape\":[4,2],\"data_offsets\":[0,16]},"                            \
  "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[16,16]},"                         \
  "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[22,30]}}"

static void test_reads_tensors_in_file_order(void **state) {
  (void)state;
  zh_model *m = open_good(put_safetensors("valid.safetensors", VALID, 30));
  assert_string_equal(zh_model_format(m), "safetensors");
  assert_int_equal(zh_model_tensor_count(m), 4);
  const zh_tensor *a = zh_model_tensor(m, 0), *none = zh_model_tensor(m, 1),
                  *b = zh_model_tensor(m, 2), *scalar = zh_model_tensor(m, 3);
  assert_string_equal(a->name, "a");
  assert_int_equal(a->type, ZH_BF16);
  assert_int_equal(a->shape[0], 4);
  assert_int_equal(a->shape[1], 2);
  assert_int_equal(a->bytes, 16);
  assert_int_equal(((const unsigned char *)a->data)[1], 8);
  assert_string_equal(none->name, "none");
  assert_int_equal(none->elements, 0);
  assert_string_equal(b->name, "b");
  assert_int_equal(b->type, ZH_F8_E4M3);
  assert_int_equal(b->elements, 6);
  assert_int_equal(scalar->dims, 0);
  assert_int_equal(scalar->elements, 1);
  zh_error err = ZH_ERROR_INIT;
  zh_architecture architecture;
  assert_int_equal(zh_model_architecture(&architecture, m, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "config.json"));
  zh_model_free(m);
}

static void test_truncated_at_every_byte(void **state) {
  zh_text b = {0};
  (void)state;
  put_u64(&b, strlen(VALID));
  zh_text_puts(&b, VALID);
  put_data(&b, 30);
  for (size_t length = 0; length < b.length; length++)
    open_bad(put_file("cut.safetensors", b.data, length), "cut.safetensors");
  put_u8(&b, 0);
  open_bad(put_file("cut.safetensors", b.data, b.length), "1 bytes after the last tensor");
  zh_text_free(&b);
}

#define TWO(record)                                                                                \
  "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":" record "}"

static void test_refuses_lies(void **state) {
  static const char *const lies[][2] = {
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[4,12]}"), "overlaps"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[9,16]}"), "hole"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,17]}"), "past the end"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[8,16]}"), "do not span"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[16,8]}"), "0 <= begin <= end"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[-8,0]}"), "0 <= begin <= end"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8]}"), "0 <= begin <= end"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,9223372036854775807]}"),
       "past the end"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,9223372036854775808]}"),
       "lie.safetensors"},
      {TWO("{\"dtype\":\"F64\",\"shape\":[4611686018427387904,4],\"data_offsets\":[8,16]}"),
       "overflows"},
      {TWO("{\"dtype\":\"F64\",\"shape\":[4611686018427387904],\"data_offsets\":[8,16]}"),
       "overflows"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[-8],\"data_offsets\":[8,16]}"), "no integer from 0"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[8.0],\"data_offsets\":[8,16]}"), "no integer from 0"},
      {TWO("{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[8,16]}"), "must be a list"},
      {TWO("{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,8],\"data_offsets\":[8,16]}"),
       "at most 8"},
      {TWO("{\"dtype\":\"U8\",\"data_offsets\":[8,16]}"), "'shape'"},
      {TWO("{\"shape\":[8],\"data_offsets\":[8,16]}"), "'dtype'"},
      {TWO("{\"dtype\":\"F4\",\"shape\":[16],\"data_offsets\":[8,16]}"), "'F4'"},
      {TWO("{\"dtype\":\"Q4_0\",\"shape\":[16],\"data_offsets\":[8,16]}"), "'Q4_0'"},
      {TWO("[]"), "'dtype'"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,16]}}",
       "lie.safetensors"},
      {"{\"a\\u001b\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[0,16]}}",
       "control characters"},
      {"{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[0,16]}}", "lie.safetensors"},
      {"[]", "begins with '{'"},
      {"{}", "16 bytes after the last tensor"},
      {"{", "lie.safetensors"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
    open_bad(put_safetensors("lie.safetensors", lies[i][0], 16), lies[i][1]);
  zh_text deep = {0};
  for (int i = 0; i < 100000; i++) zh_text_puts(&deep, "{\"a\":");
  open_bad(put_safetensors("lie.safetensors", deep.data, 16), "lie.safetensors");
  zh_text_free(&deep);
}

static void test_refuses_header_lengths(void **state) {
  static const uint64_t lengths[] = {0, 100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
  (void)state;
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    zh_text b = {0};
    put_u64(&b, lengths[i]);
    zh_text_puts(&b, "{}");
    open_bad(put_file("length.safetensors", b.data, b.length),
             lengths[i] == 0 ? "begins with" : "claims a header");
    zh_text_free(&b);
  }
}

/* --- folders --- */

#define SHARD(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}"
#define INDEX "model.safetensors.index.json"

static const char *make_folder(const char *folder, const char *index, int shards) {
  static char path[300];
  char name[300];
  snprintf(path, sizeof path, "%s/%s", test_folder(), folder);
  assert_int_equal(mkdir(path, 0700), 0);
  snprintf(name, sizeof name, "%s/model-1.safetensors", folder);
  put_safetensors(name, SHARD("one"), 8);
  snprintf(name, sizeof name, "%s/model-2.safetensors", folder);
  if (shards > 1) put_safetensors(name, SHARD("two"), 8);
  snprintf(name, sizeof name, "%s/" INDEX, folder);
  if (index != NULL) put_file(name, index, strlen(index));
  return path;
}

#define MAP(pairs) "{\"metadata\":{},\"weight_map\":{" pairs "}}"
#define ONE "\"one\":\"model-1.safetensors\""
#define BOTH ONE ",\"two\":\"model-2.safetensors\""

static void test_folders(void **state) {
  char digest[ZH_DIGEST_HEX];
  zh_error err = ZH_ERROR_INIT;
  (void)state;
  zh_model *m = open_good(make_folder("good", MAP(BOTH), 2));
  assert_int_equal(zh_model_tensor_count(m), 2);
  assert_string_equal(zh_model_name(m), "good");
  assert_int_equal(zh_model_digest(digest, m, ZH_SHA256, &err), ZH_OK);
  zh_model_free(m);
  zh_model_free(open_good(make_folder("single", NULL, 1)));
  open_bad(make_folder("unindexed", NULL, 2), "2 .safetensors files but no " INDEX);
  open_bad(make_folder("missing", MAP(BOTH), 1),
           "names the shard model-2.safetensors, which is not there");
  open_bad(make_folder("extra", MAP(ONE), 2), "model-2.safetensors holds the tensor 'two'");
  open_bad(make_folder("astray", MAP(ONE ",\"two\":\"model-1.safetensors\""), 2),
           "'two' is in model-1");
  open_bad(make_folder("absent", MAP(BOTH ",\"three\":\"model-2.safetensors\""), 2),
           "'three' is in model-2");
  open_bad(make_folder("outside", MAP(BOTH ",\"x\":\"../x.safetensors\""), 2),
           "../x.safetensors, which is not there");
  open_bad(make_folder("number", MAP(BOTH ",\"x\":7"), 2), "mapped to no .safetensors file");
  open_bad(make_folder("mapless", "{}", 2), "weight_map");
  open_bad(make_folder("broken", "{", 2), INDEX);
}

/* --- llama by config.json --- */

#define CONFIG                                                                                     \
  "{\"model_type\":\"llama\",\"hidden_size\":4,\"num_hidden_layers\":1,"                           \
  "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":6,"                   \
  "\"vocab_size\":5,\"max_position_embeddings\":16,\"rms_norm_eps\":1e-05,"                        \
  "\"tie_word_embeddings\":true,\"num_parameters\":\"tiny\""

static const char *make_llama(const char *folder, const char *config_tail) {
  static const struct {
    const char *name;
    int rows, columns;
  } parts[] = {{"model.embed_tokens", 5, 4},
               {"model.norm", 0, 4},
               {"model.layers.0.input_layernorm", 0, 4},
               {"model.layers.0.post_attention_layernorm", 0, 4},
               {"model.layers.0.self_attn.q_proj", 4, 4},
               {"model.layers.0.self_attn.k_proj", 2, 4},
               {"model.layers.0.self_attn.v_proj", 2, 4},
               {"model.layers.0.self_attn.o_proj", 4, 4},
               {"model.layers.0.mlp.gate_proj", 6, 4},
               {"model.layers.0.mlp.up_proj", 6, 4},
               {"model.layers.0.mlp.down_proj", 4, 6}};
  static char path[300];
  char name[300];
  zh_text header = {0}, config = {0};
  int at = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    int bytes = 2 * parts[i].columns * (parts[i].rows == 0 ? 1 : parts[i].rows);
    zh_text_printf(&header, "%s\"%s.weight\":{\"dtype\":\"BF16\",\"shape\":[", i == 0 ? "{" : ",",
                   parts[i].name);
    if (parts[i].rows > 0) zh_text_printf(&header, "%d,", parts[i].rows);
    zh_text_printf(&header, "%d],\"data_offsets\":[%d,%d]}", parts[i].columns, at, at + bytes);
    at += bytes;
  }
  zh_text_puts(&header, "}");
  while (header.length % 8 != 0) zh_text_puts(&header, " ");
  snprintf(path, sizeof path, "%s/%s", test_folder(), folder);
  assert_int_equal(mkdir(path, 0700), 0);
  snprintf(name, sizeof name, "%s/model.safetensors", folder);
  put_safetensors(name, header.data, (size_t)at);
  zh_text_printf(&config, "%s%s}", CONFIG, config_tail);
  snprintf(name, sizeof name, "%s/config.json", folder);
  put_file(name, config.data, config.length);
  zh_text_free(&header);
  zh_text_free(&config);
  return path;
}

static void test_llama_folder(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  (void)state;
  zh_model *m = open_good(make_llama("llama", ""));
  if (zh_model_architecture(&a, m, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_string_equal(a.family, "llama");
  assert_int_equal(a.head_dim, 2);
  assert_int_equal(a.vocab, 5);
  assert_true(a.tied_head);
  assert_int_equal(a.rope[0].kind, ZH_ROPE_HALVES);
  assert_string_equal(zh_model_declared_size(m), "tiny");
  zh_source source;
  zh_weight_place down = {0, -1, ZH_FFN_DOWN};
  assert_int_equal(zh_model_source(&source, m, &a, down, &err), ZH_OK);
  assert_string_equal(source.tensor.name, "model.layers.0.mlp.down_proj.weight");
  assert_ptr_equal(source.tensor.data, source.stored->data);
  zh_model_free(m);
}

/* What cannot be run is still described. */
static void refuse_config(const char *folder, const char *tail, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  zh_model *m = open_good(make_llama(folder, tail));
  assert_int_equal(zh_model_architecture(&a, m, &err), ZH_ERR_INPUT);
  if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
  assert_int_equal(a.layers, 1);
  zh_model_free(m);
}

static void test_refused_configs(void **state) {
  (void)state;
  refuse_config("scaled", ",\"rope_scaling\":{\"rope_type\":\"spiral\"}",
                "scales its positions by 'spiral'");
  refuse_config("unscaled", ",\"rope_scaling\":{\"rope_type\":\"llama3\"}", "gives no 'factor'");
  refuse_config("relu", ",\"hidden_act\":\"relu\"", "the activation 'relu' is not among those");
  refuse_config("experts", ",\"num_local_experts\":8", "0 of 8 experts");
  refuse_config("worded", ",\"rope_scaling\":\"linear\"", "should be an object");
  refuse_config("kinded", ",\"rope_scaling\":{\"rope_type\":1}", "should be an object");
  refuse_config("theta", ",\"rope_theta\":\"10000\"",
                "'rope_theta' should be one number, not 10000");
  refuse_config("tied", ",\"attention_bias\":\"yes\"",
                "'attention_bias' should be true or false, not yes");
  refuse_config("half", ",\"num_local_experts\":2.5", "'num_local_experts' is 2.5; a whole number");
  refuse_config("each", ",\"head_dim\":[1,2]", "'head_dim' should be one number");
  refuse_config("headed", ",\"head_dim\":64", "should have the shape [128, 4]");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads_tensors_in_file_order),
      cmocka_unit_test(test_truncated_at_every_byte),
      cmocka_unit_test(test_refuses_lies),
      cmocka_unit_test(test_refuses_header_lengths),
      cmocka_unit_test(test_folders),
      cmocka_unit_test(test_llama_folder),
      cmocka_unit_test(test_refused_configs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
