#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/json.h"
#include "tests/unit/folder.h"

static void refused(const char *text, const char *expected) {
  zh_error err = ZH_ERROR_INIT;
  json_t *value;
  assert_int_equal(zh_json_load_text(&value, text, strlen(text), "x.json", &err), ZH_ERR_INPUT);
  assert_null(value);
  if (strstr(err.message, expected) == NULL) fail_msg("'%s' lacks '%s'", err.message, expected);
}

static void mistakes_are_named_with_their_place(void **state) {
  (void)state;
  refused("", "x.json:1:1: not valid JSON");
  refused("{\"a\": 1,\n \"a\": 2}", "x.json:2:");
  refused("{\"a\": 1,\n \"a\": 2}", "duplicate");
  refused("[1] x", "end of file expected");
  refused("{\"a\":\n  \"\xFF\"}", "x.json:2:4: byte 0xFF is not valid UTF-8");
  refused("[\"智\", \"\xFF\"]", "x.json:1:8: byte 0xFF is not valid UTF-8");
  refused("[1e999]", "overflow");
  refused("[99999999999999999999]", "too big integer");
  refused("[\"\\ud800\"]", "x.json:1:");
  refused("[NaN]", "x.json:1:");
  refused("{\"a\": 1", "x.json:1:");
}

static void nesting_stops_at_64(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  json_t *value;
  char text[200];
  for (int i = 0; i < 65; i++) text[i] = '[', text[129 - i] = ']';
  assert_int_equal(zh_json_load_text(&value, text + 1, 128, "x", NULL), ZH_OK);
  json_decref(value);
  assert_int_equal(zh_json_load_text(&value, text, 130, "x", &err), ZH_ERR_INPUT);
  assert_string_equal(err.message, "x:1:65: nested deeper than 64 levels");
  const char *in_string =
      "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]";
  assert_int_equal(zh_json_load_text(&value, in_string, strlen(in_string), "x", NULL), ZH_OK);
  json_decref(value);
}

static void numbers_are_short_and_exact(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } cases[] = {{7.6, "7.6"},
               {0.1, "0.1"},
               {61.2, "61.2"},
               {2.1e10, "21000000000.0"},
               {1e300, "1e300"},
               {1.0 / 3, "0.3333333333333333"},
               {0.1 + 0.2, "0.30000000000000004"},
               {-0.024, "-0.024"},
               {5e-324, "4.94065645841247e-324"},
               {3, "3.0"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text;
    json_t *array = json_pack("[f]", cases[i].value), *again;
    assert_int_equal(zh_json_dump_line(&text, array, NULL), ZH_OK);
    char expected[64];
    snprintf(expected, sizeof expected, "[%s]", cases[i].text);
    assert_string_equal(text, expected);
    assert_int_equal(zh_json_load_text(&again, text, strlen(text), "x", NULL), ZH_OK);
    assert_true(json_real_value(json_array_get(again, 0)) == cases[i].value);
    json_decref(again);
    json_decref(array);
    free(text);
  }
  json_t *nan_value = zh_json_number(NAN), *inf_value = zh_json_number(INFINITY);
  assert_true(json_is_null(nan_value) && json_is_null(inf_value));
}

static void random_doubles_round_trip(void **state) {
  (void)state;
  uint64_t bits = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) continue;
    char *text;
    json_t *array = json_pack("[f]", value), *again;
    assert_int_equal(zh_json_dump_line(&text, array, NULL), ZH_OK);
    assert_int_equal(zh_json_load_text(&again, text, strlen(text), "x", NULL), ZH_OK);
    double read = json_real_value(json_array_get(again, 0));
    assert_memory_equal(&read, &value, sizeof value);
    json_decref(again);
    json_decref(array);
    free(text);
  }
}

static void files_keep_order_and_are_indented(void **state) {
  (void)state;
  char *text;
  json_t *value = json_pack("{s:i, s:[s, n, b], s:{}, s:[]}", "z", 1, "a", "智\"\n", 1, "o", "e");
  assert_int_equal(zh_json_dump(&text, value, NULL), ZH_OK);
  assert_string_equal(
      text,
      "{\n  \"z\": 1,\n  \"a\": [\n    \"智\\\"\\n\",\n    null,\n    true\n  ],\n  \"o\": {},\n"
      "  \"e\": []\n}\n");
  free(text);
  assert_int_equal(zh_json_dump_line(&text, value, NULL), ZH_OK);
  assert_string_equal(text, "{\"z\":1,\"a\":[\"智\\\"\\n\",null,true],\"o\":{},\"e\":[]}");
  free(text);
  json_decref(value);
}

static void members_are_required_by_type(void **state) {
  (void)state;
  json_t *value = json_pack("{s:i, s:s, s:f, s:[], s:{}}", "i", 7, "s", "x", "f", 1.5, "a", "o"),
         *got;
  zh_error err = ZH_ERROR_INIT, missing = ZH_ERROR_INIT, no_object = ZH_ERROR_INIT;
  const char *text;
  int64_t whole;
  double real;
  assert_int_equal(zh_json_int(&whole, value, "i", "run.json", NULL), ZH_OK);
  assert_int_equal(whole, 7);
  assert_int_equal(zh_json_real(&real, value, "i", "run.json", NULL), ZH_OK);
  assert_int_equal(zh_json_string(&text, value, "s", "run.json", NULL), ZH_OK);
  assert_int_equal(zh_json_array(&got, value, "a", "run.json", NULL), ZH_OK);
  assert_int_equal(zh_json_object(&got, value, "o", "run.json", NULL), ZH_OK);
  assert_int_equal(zh_json_int(&whole, value, "f", "run.json", &err), ZH_ERR_INPUT);
  assert_string_equal(err.message, "run.json: 'f' must be a whole number");
  assert_int_equal(zh_json_string(&text, value, "t", "run.json", &missing), ZH_ERR_INPUT);
  assert_string_equal(missing.message, "run.json: the key 't' is missing");
  assert_int_equal(zh_json_string(&text, NULL, "t", "run.json", &no_object), ZH_ERR_INPUT);
  json_decref(value);
}

static zh_status sum_lines(void *user, size_t line, json_t *value, zh_error *err) {
  int64_t n;
  ZH_TRY(zh_json_int(&n, value, "n", "line", err));
  *(int64_t *)user += n * (int64_t)line;
  return ZH_OK;
}

static void lines_are_visited_with_their_numbers(void **state) {
  (void)state;
  char path[600];
  int64_t sum = 0;
  zh_error err = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/lines", test_folder());
  assert_int_equal(zh_write_file(path, "{\"n\":2}\n\n \r\n{\"n\":10}", 20, NULL), ZH_OK);
  assert_int_equal(zh_jsonl_read(path, sum_lines, &sum, NULL), ZH_OK);
  assert_int_equal(sum, 42);
  assert_int_equal(zh_write_file(path, "{\"n\":2}\n{\"n\":\n", 14, NULL), ZH_OK);
  assert_int_equal(zh_jsonl_read(path, sum_lines, &sum, &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, ":2:"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mistakes_are_named_with_their_place),
      cmocka_unit_test(nesting_stops_at_64),
      cmocka_unit_test(numbers_are_short_and_exact),
      cmocka_unit_test(random_doubles_round_trip),
      cmocka_unit_test(files_keep_order_and_are_indented),
      cmocka_unit_test(members_are_required_by_type),
      cmocka_unit_test(lines_are_visited_with_their_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
