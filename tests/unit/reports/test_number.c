/* Rounding as GB/T 8170 has it, grouping, and units for people. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "reports/number.h"

static void expect(double value, int shift, int decimals, const char *text) {
  char out[ZH_NUMBER_CAPACITY];
  assert_string_equal(zh_number_fixed(out, value, shift, decimals), text);
}

/* The standard's own examples, and ties that binary floating point would lose. */
static void test_rounds_half_to_even_once(void **state) {
  (void)state;
  expect(12.1498, 0, 1, "12.1");
  expect(10.5002, 0, 0, "11");
  expect(1.050, 0, 1, "1.0");
  expect(0.35, 0, 1, "0.4");
  expect(2500, -3, 0, "2");
  expect(3500, -3, 0, "4");
  expect(-0.0365, 0, 3,
         "\xE2\x88\x92"
         "0.036");
  expect(8.53459, 0, 2, "8.53");
  expect(0.5, 0, 0, "0");
  expect(1.5, 0, 0, "2");
  expect(0.500000001, 0, 0, "1");
}

static void test_carries_into_a_new_place(void **state) {
  (void)state;
  expect(999.96, 0, 1, "1,000.0");
  expect(0.9999, 0, 3, "1.000");
  expect(0.06, 0, 1, "0.1");
  expect(9.5, 0, 0, "10");
}

static void test_groups_thousands(void **state) {
  (void)state;
  expect(134515008, 0, 0, "134,515,008");
  expect(1e11, 0, 0, "100,000,000,000");
  expect(999, 0, 0, "999");
  expect(-1234.5, 0, 1,
         "\xE2\x88\x92"
         "1,234.5");
}

static void test_nought_and_edges(void **state) {
  (void)state;
  char out[ZH_NUMBER_CAPACITY];
  expect(0, 2, 0, "0");
  expect(0, -9, 2, "0.00");
  expect(-0.0001, 0, 2, "0.00");
  expect(NAN, 0, 1, "0.0");
  expect(INFINITY, 0, 0, "0");
  assert_true(strlen(zh_number_fixed(out, DBL_MAX, 0, 17)) < ZH_NUMBER_CAPACITY);
  assert_true(strlen(zh_number_fixed(out, -DBL_MAX, 9, 99)) < ZH_NUMBER_CAPACITY);
  assert_true(strlen(zh_number_fixed(out, DBL_TRUE_MIN, -9, 17)) < ZH_NUMBER_CAPACITY);
}

static void test_significant_digits(void **state) {
  (void)state;
  assert_int_equal(zh_number_decimals(61.184, 0, 3), 1);
  assert_int_equal(zh_number_decimals(21.034e9, -9, 4), 2);
  assert_int_equal(zh_number_decimals(9.996, 0, 3), 1); /* becomes 10.0 */
  assert_int_equal(zh_number_decimals(134515008, 0, 3), 0);
  assert_int_equal(zh_number_decimals(0, 0, 3), 0);
}

static void test_units(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *unit, *shown;
    int shift;
  } cases[] = {
      {2.1e10, "B/s", "GB/s", -9},
      {281.6e9, "FLOP/s", "GFLOP/s", -9},
      {1.071e12, "OP/s", "TOP/s", -12},
      {999, "B/s", "B/s", 0},
      {0.0184, "s", "ms", 3},
      {1.8e-7, "s", "ns", 9},
      {2.5, "s", "s", 0},
      {412.37, "token/s", "token/s", 0},
      {18.27, "1", "", 0},
      {7.1e-13, "J/FLOP", "pJ/FLOP", 12},
      {0.25, "J/token", "mJ/token", 3},
      {0, "s", "s", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    zh_number_scale scale = zh_number_scale_for(cases[i].value, cases[i].unit);
    assert_string_equal(scale.unit, cases[i].shown);
    assert_int_equal(scale.shift, cases[i].shift);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounds_half_to_even_once),
      cmocka_unit_test(test_carries_into_a_new_place),
      cmocka_unit_test(test_groups_thousands),
      cmocka_unit_test(test_nought_and_edges),
      cmocka_unit_test(test_significant_digits),
      cmocka_unit_test(test_units),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
