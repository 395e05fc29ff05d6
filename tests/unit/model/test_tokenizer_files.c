#include "files.h"

/* The least weights there are. */
static void put_weights(void) {
  static const char header[] =
      "{\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
  zh_text b = {0};
  put_u64(&b, strlen(header));
  zh_text_puts(&b, header);
  put_data(&b, 8);
  put_file("model.safetensors", b.data, b.length);
  zh_text_free(&b);
}

static void put_text(const char *name, const char *text) {
  put_file(name, text, strlen(text));
}

static void forget(const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", test_folder(), name);
  (void)remove(path);
}

static zh_model *open_folder(void) {
  return open_good(test_folder());
}

static void refuse(const char *file, const char *text, size_t length, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *none = (const zh_tokenizer *)&err;
  put_file(file, text, length);
  zh_model *model = open_folder();
  zh_status status = zh_model_tokenizer(&none, model, &err);
  if (status != ZH_ERR_INPUT) fail_msg("'%s' was not refused", words);
  assert_null(none);
  if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
  zh_model_free(model);
  forget(file);
}
#define REFUSE(file, text, words) refuse(file, text, strlen(text), words)

#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define MODEL "\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[[\"a\",\"b\"]]}"

static int begin(void **state) {
  (void)state;
  put_weights();
  return 0;
}

static void test_none_is_none(void **state) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *none;
  (void)state;
  zh_model *model = open_folder();
  assert_int_equal(zh_model_tokenizer(&none, model, &err), ZH_OK);
  assert_null(none);
  zh_model_free(model);
}

static void test_tokens_by_text(void **state) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *t;
  const char *text;
  size_t length;
  (void)state;
  put_text("tokenizer.json",
           "{" MODEL ",\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true}],"
           "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
           "{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":"
           "{\"ids\":[5]}}}}");
  put_text("tokenizer_config.json", "{\"eos_token\":{\"content\":\"ab\"},\"pad_token\":\"none\"}");
  zh_model *model = open_folder();
  if (zh_model_tokenizer(&t, model, &err) != ZH_OK) fail_msg("%s", err.message);
  zh_special_tokens special = zh_tokenizer_special(t);
  assert_int_equal(zh_tokenizer_vocab(t), 6);
  assert_int_equal(special.bos, 5);
  assert_int_equal(special.eos, 2);
  assert_int_equal(special.padding, -1);
  assert_true(special.add_bos);
  assert_false(special.add_eos);
  assert_true(zh_tokenizer_token_text(&text, &length, t, special.bos));
  assert_int_equal(length, 3);
  assert_memory_equal(text, "<s>", 3);
  assert_false(zh_tokenizer_token_text(&text, &length, t, special.padding));
  assert_false(zh_tokenizer_token_text(&text, &length, t, 4)); /* an id without a token */
  assert_int_equal(zh_tokenizer_find(t, "ab", 2), 2);
  assert_int_equal(zh_tokenizer_find(t, "abc", 3), -1);
  zh_model_free(model);
  forget("tokenizer.json");
  forget("tokenizer_config.json");
}

static void test_refuses_what_it_cannot_do(void **state) {
  const char *json = "tokenizer.json";
  (void)state;
  REFUSE(json, "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}",
         "the model 'WordPiece' is not supported");
  REFUSE(json, "{" MODEL ",\"normalizer\":{\"type\":\"BertNormalizer\"}}",
         "the normalizer 'BertNormalizer' is not supported");
  REFUSE(json, "{" MODEL ",\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}}",
         "the pre_tokenizer 'UnicodeScripts' is not supported");
  REFUSE(json, "{" MODEL ",\"decoder\":{\"type\":\"CTC\"}}", "the decoder 'CTC' is not supported");
  REFUSE(json,
         "{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"}}}",
         "pattern '\\w+' has '\\w'");
  REFUSE(json, "{\"model\":{\"type\":\"BPE\",\"dropout\":0.1," VOCAB ",\"merges\":[]}}",
         "option 'dropout' is not supported");
}

static void test_refuses_lies(void **state) {
  const char *json = "tokenizer.json";
  (void)state;
  REFUSE(json, "{}", "no vocabulary");
  REFUSE(json, "[]", "no vocabulary");
  REFUSE(json, "{\"model\":{\"vocab\":{\"a\":99999999},\"merges\":[]}}",
         "must be a whole number below");
  REFUSE(json, "{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "must be a whole number below");
  REFUSE(json, "{\"model\":{" VOCAB ",\"merges\":[\"b a\"]}}", "merge 0 is not two tokens");
  REFUSE(json, "{\"model\":{" VOCAB ",\"merges\":[\"ab\"]}}", "merge 0 is not two tokens");
  REFUSE(json, "{\"model\":{" VOCAB ",\"merges\":[],\"unk_token\":\"x\"}}",
         "unk_token is no token");
}

static void test_refuses_broken_models_and_ranks(void **state) {
  (void)state;
  REFUSE("tokenizer.model", "\x0a\x7f", "is no sentencepiece model");
  REFUSE("tokenizer.model", "\x0a\x03\x0a\x01", "is no sentencepiece model");
  refuse("tokenizer.model", "\x0a\x05\x0a\x01\x61\x18\x63", 7, "piece 0 is not a text");
  REFUSE("hy.tiktoken", "YQ== 0\nYg== x\n", "line 2 is not a token's bytes");
  REFUSE("hy.tiktoken", "YQ== 0\nYg== 0\n", "rank 0 stands twice");
  REFUSE("hy.tiktoken", "YQ== 0\nYg== 999999999\n", "though the file has 2 lines");
  REFUSE("mine.tiktoken", "YQ== 0\n", "can state it as \"pat_str\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_none_is_none),
      cmocka_unit_test(test_tokens_by_text),
      cmocka_unit_test(test_refuses_what_it_cannot_do),
      cmocka_unit_test(test_refuses_lies),
      cmocka_unit_test(test_refuses_broken_models_and_ranks),
  };
  return cmocka_run_group_tests(tests, begin, NULL);
}
