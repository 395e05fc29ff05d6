#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/text.h"

static void text_grows_and_stays_terminated(void **state) {
  (void)state;
  zh_text text = {0};
  assert_string_equal(zh_text_string(&text), "");
  for (int i = 0; i < 1000; i++) zh_text_printf(&text, "%d,", i % 10);
  zh_text_append(&text, "\0x", 2);
  assert_int_equal(text.length, 2002);
  assert_int_equal(text.data[2002], 0);
  assert_memory_equal(text.data, "0,1,2,", 6);
  zh_text_free(&text);
  zh_text_free(&text);
  zh_text_free(NULL);
}

static void text_remembers_a_failed_allocation(void **state) {
  (void)state;
  zh_text text = {0};
  zh_text_puts(&text, "kept");
  zh_text_append(&text, "", SIZE_MAX - 2);
  assert_true(text.failed);
  zh_text_puts(&text, "ignored");
  assert_string_equal(zh_text_string(&text), "kept");
  zh_text_free(&text);
}

static void utf8_refuses_what_the_standard_forbids(void **state) {
  (void)state;
  static const char *const bad[] = {"\x80",
                                    "\xC0\x80",
                                    "\xC1\xBF",
                                    "\xE0\x9F\xBF",
                                    "\xED\xA0\x80",
                                    "\xED\xBF\xBF",
                                    "\xF0\x8F\xBF\xBF",
                                    "\xF4\x90\x80\x80",
                                    "\xF5\x80\x80\x80",
                                    "\xE6\x99",
                                    "\xFF",
                                    "\xC3("};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint32_t point;
    assert_int_equal(zh_utf8_decode(&point, bad[i], strlen(bad[i])), 0);
    assert_int_equal(zh_utf8_valid_prefix(bad[i], strlen(bad[i])), 0);
  }
  assert_int_equal(zh_utf8_valid_prefix("智\xE6\x99", 5), 3);
}

static void utf8_round_trips_every_scalar_value(void **state) {
  (void)state;
  for (uint32_t point = 0; point <= 0x110000; point++) {
    char bytes[4];
    uint32_t again = 1;
    int size = zh_utf8_encode(bytes, point);
    if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
      assert_int_equal(size, 0);
      continue;
    }
    assert_int_equal(zh_utf8_decode(&again, bytes, (size_t)size), size);
    assert_int_equal(again, point);
  }
}

static void columns_count_wide_characters_twice(void **state) {
  (void)state;
  assert_int_equal(zh_utf8_columns("abc", 3), 3);
  assert_int_equal(zh_utf8_columns("智衡", 6), 4);
  assert_int_equal(zh_utf8_columns("，", 3), 2);
  assert_int_equal(zh_utf8_columns("e\xCC\x81", 3), 1);
  assert_int_equal(zh_utf8_columns("🚀", 4), 2);
  assert_int_equal(zh_utf8_columns("…", 3), 1);
}

static void nearest_word_suggests_only_near_ones(void **state) {
  (void)state;
  static const char *const words[] = {"warmup", "repeats", "deadline", "step", "智算", NULL};
  assert_string_equal(zh_nearest_word("warmpu", words), "warmup");
  assert_string_equal(zh_nearest_word("dedline", words), "deadline");
  assert_string_equal(zh_nearest_word("stp", words), "step");
  assert_string_equal(zh_nearest_word("repaets", words), "repeats");
  assert_null(zh_nearest_word("banana", words));
  assert_null(zh_nearest_word("", words));
  char huge[5000];
  memset(huge, 'a', sizeof huge - 1);
  huge[sizeof huge - 1] = 0;
  assert_null(zh_nearest_word(huge, words));
}

static void numbers_are_grouped_and_scaled(void **state) {
  (void)state;
  char out[40];
  assert_string_equal(zh_group_digits(out, sizeof out, 0), "0");
  assert_string_equal(zh_group_digits(out, sizeof out, 999), "999");
  assert_string_equal(zh_group_digits(out, sizeof out, 134515008), "134,515,008");
  assert_string_equal(zh_group_digits(out, sizeof out, UINT64_MAX), "18,446,744,073,709,551,615");
  assert_string_equal(zh_human_bytes(out, sizeof out, 0), "0 B");
  assert_string_equal(zh_human_bytes(out, sizeof out, 999), "999 B");
  assert_string_equal(zh_human_bytes(out, sizeof out, 98362432), "98.4 MB");
  assert_string_equal(zh_human_bytes(out, sizeof out, 1.05e9), "1.05 GB");
  assert_string_equal(zh_human_bytes(out, sizeof out, 999.9e6), "1.00 GB");
  assert_string_equal(zh_human_bytes(out, sizeof out, 123.4e12), "123 TB");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_grows_and_stays_terminated),
      cmocka_unit_test(text_remembers_a_failed_allocation),
      cmocka_unit_test(utf8_refuses_what_the_standard_forbids),
      cmocka_unit_test(utf8_round_trips_every_scalar_value),
      cmocka_unit_test(columns_count_wide_characters_twice),
      cmocka_unit_test(nearest_word_suggests_only_near_ones),
      cmocka_unit_test(numbers_are_grouped_and_scaled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
