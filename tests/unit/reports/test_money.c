/* Money stays the decimal text that it was. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "reports/money.h"

static void test_what_money_looks_like(void **state) {
  (void)state;
  static const char *const good[] = {"0.00", "1.01", "999999999999999999999999.99", "007.00"};
  static const char *const bad[] = {"",      ".00",   "1",        "1.0",
                                    "1.000", "-1.00", "1,000.00", "1e3",
                                    " 1.00", "1.0a",  "1.00 ",    "9999999999999999999999999.00",
                                    "1.-1",  "0x1.00"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(zh_money_is_valid(good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(zh_money_is_valid(bad[i]));
}

static void test_units(void **state) {
  (void)state;
  static const char *const cases[][3] = {
      {"0.00", "0", "0"},
      {"0.01", "0.01", "0.000001"},
      {"1.00", "1", "0.0001"},
      {"9999.99", "9,999.99", "0.999999"},
      {"10000.00", "10,000", "1"},
      {"16400050.00", "16,400,050", "1,640.005"},
      {"35499999.60", "35,499,999.60", "3,549.99996"},
      {"20000000.00", "20,000,000", "2,000"},
      {"000123.40", "123.40", "0.01234"},
      {"999999999999999999999999.99", "999,999,999,999,999,999,999,999.99",
       "99,999,999,999,999,999,999.999999"},
  };
  char text[ZH_MONEY_CAPACITY];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_string_equal(zh_money_yuan(text, cases[i][0]), cases[i][1]);
    assert_string_equal(zh_money_wan(text, cases[i][0]), cases[i][2]);
  }
}

static void test_order(void **state) {
  (void)state;
  static const char *const rising[] = {"0.00",  "0.01",        "9.99",
                                       "10.00", "99999999.99", "100000000.00"};
  for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
    for (size_t k = 0; k < sizeof rising / sizeof *rising; k++) {
      int order = zh_money_compare(rising[i], rising[k]);
      assert_true(i < k ? order < 0 : i > k ? order > 0 : order == 0);
    }
  assert_int_equal(zh_money_compare("0007.00", "7.00"), 0);
  assert_true(zh_money_is_zero("0.00") && zh_money_is_zero("00.00"));
  assert_false(zh_money_is_zero("0.01"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_money_looks_like),
      cmocka_unit_test(test_units),
      cmocka_unit_test(test_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
