/* Where chat templates are found, and what they are told. What templates compute: oracle.template.
 */
#include "files.h"

#include <sys/stat.h>

#include "model/chat.h"

static void put_weights(void) {
  static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  zh_text b = {0};
  put_u64(&b, strlen(header));
  zh_text_puts(&b, header);
  put_u32(&b, 0);
  put_file("model.safetensors", b.data, b.length);
  zh_text_free(&b);
}

static void put_text(const char *name, const char *text) {
  put_file(name, text, strlen(text));
}

/* path: of the model; expected NULL: the failure's words. */
static void check(const char *path, const char *variables, const char *expected,
                  const char *failure) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = open_good(path);
  json_t *values = json_loads(variables, 0, NULL);
  assert_non_null(values);
  zh_chat *chat;
  char *text = NULL;
  size_t length;
  bool tools = json_object_get(values, "tools") != NULL;
  zh_status status = zh_chat_open(&chat, model, tools, &err);
  if (status == ZH_OK) status = zh_chat_render(&text, &length, chat, values, &err);
  if (expected && status != ZH_OK) fail_msg("%s", err.message);
  if (expected) assert_string_equal(text, expected);
  if (failure) assert_int_equal(status, ZH_ERR_INPUT);
  if (failure && !strstr(err.message, failure))
    fail_msg("'%s' does not say '%s'", err.message, failure);
  free(text);
  zh_chat_free(chat);
  json_decref(values);
  zh_model_free(model);
}

#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"你好\"}]}"
#define TOOLS "{\"messages\":[],\"tools\":[1]}"

static void test_files_beside_safetensors(void **state) {
  const char *folder = test_folder();
  (void)state;
  put_weights();
  check(folder, HELLO, NULL, "neither chat_template.jinja nor chat_template");
  put_text("tokenizer_config.json",
           "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"unk_token\":null,"
           "\"chat_template\":\"{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
           "{{ unk_token is defined }}{{ tools }}{{ add_generation_prompt }}\"}");
  check(folder, HELLO, "<s>你好</s>FalseNoneTrue", NULL);
  put_text("tokenizer_config.json",
           "{\"chat_template\":[{\"name\":\"default\",\"template\":\"plain\"},"
           "{\"name\":\"tool_use\",\"template\":\"with {{ tools|length }}\"}]}");
  check(folder, HELLO, "plain", NULL);
  check(folder, TOOLS, "with 1", NULL);
  put_text("chat_template.jinja", "file\n{% for m in messages %}\n{{ m.role }}\n{% endfor %}\n");
  check(folder, HELLO, "file\nuser\n", NULL);
  char path[512];
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  check(path, HELLO, "file\nuser\n", NULL);
  put_text("chat_template.jinja", "one\n{{ messages | sparkle }}");
  check(folder, HELLO, NULL, "line 2, column 15: the filter 'sparkle' is not known");
  put_text("chat_template.jinja", "{{ raise_exception('no ' ~ messages[0].role) }}");
  check(folder, HELLO, NULL, "refuses its input: no user");
}

static void test_metadata_of_gguf(void **state) {
  zh_text b = {0};
  (void)state;
  put_header(&b, 3, 0, 5);
  static const char *const tokens[] = {"a", "<|开始|>"};
  put_key_string(&b, "tokenizer.chat_template",
                 "{{ bos_token }}|{{ eos_token is defined }}|{{ messages[0]['content'] }}");
  put_key_string(&b, "tokenizer.chat_template.tool_use", "tools");
  put_key_strings(&b, "tokenizer.ggml.tokens", tokens, 2);
  put_key_u32(&b, "tokenizer.ggml.bos_token_id", 1);
  put_key_u32(&b, "tokenizer.ggml.eos_token_id", 2);
  const char *path = put_file("chat.gguf", b.data, b.length);
  check(path, HELLO, "<|开始|>|False|你好", NULL);
  check(path, TOOLS, "tools", NULL);
  zh_text_free(&b);
}

static void test_models_without_a_template(void **state) {
  (void)state;
  check("zh-0.1b", HELLO, NULL, "its tokens are numbers");
  zh_text b = {0};
  put_header(&b, 3, 0, 1);
  put_key_u32(&b, "tokenizer.chat_template", 1);
  check(put_file("wrong.gguf", b.data, b.length), HELLO, NULL, "must be text");
  zh_text_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files_beside_safetensors),
      cmocka_unit_test(test_metadata_of_gguf),
      cmocka_unit_test(test_models_without_a_template),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
