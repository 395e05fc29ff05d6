/* Numbers as devices hold them, and sums of words by formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "bench/workloads/gpu.h"

/* The nearest of all 256, by trying them; of two as near the one whose last bit is 0. */
static uint8_t nearest_e4m3(double value) {
  uint8_t best = 0;
  for (int bits = 0; bits < 256; bits++) {
    uint8_t b = (uint8_t)bits;
    if ((bits & 127) == 127 || !signbit(value) != !(bits & 128)) continue; /* NaN; the other sign */
    double error = fabs(zh_number_at(&b, 0, ZH_NUMBER_E4M3) - value);
    double least = fabs(zh_number_at(&best, 0, ZH_NUMBER_E4M3) - value);
    if (!signbit(value) != !(best & 128) || error < least || (error == least && !(bits & 1)))
      best = b;
  }
  return best;
}

static void test_e4m3_is_the_nearest(void **state) {
  (void)state;
  for (double value = 0x1p-12; value < 500; value *= 1.0071) {
    uint8_t up, down;
    zh_number_put(&up, 0, ZH_NUMBER_E4M3, value);
    zh_number_put(&down, 0, ZH_NUMBER_E4M3, -value);
    if (up != nearest_e4m3(value) || down != nearest_e4m3(-value))
      fail_msg("%g became 0x%02x and 0x%02x", value, up, down);
  }
}

static void test_e4m3_keeps_its_own(void **state) {
  (void)state;
  for (int bits = 0; bits < 256; bits++) {
    uint8_t b = (uint8_t)bits, again;
    if ((bits & 127) == 127) continue;
    zh_number_put(&again, 0, ZH_NUMBER_E4M3, zh_number_at(&b, 0, ZH_NUMBER_E4M3));
    assert_int_equal(again, b);
  }
}

/* OCP 8-bit floating point specification, table 2. */
static void test_e4m3_has_the_specified_ends(void **state) {
  (void)state;
  uint8_t largest = 0x7E, least_normal = 0x08, least = 0x01;
  assert_float_equal(zh_number_at(&largest, 0, ZH_NUMBER_E4M3), 448, 0);
  assert_float_equal(zh_number_at(&least_normal, 0, ZH_NUMBER_E4M3), 0x1p-6, 0);
  assert_float_equal(zh_number_at(&least, 0, ZH_NUMBER_E4M3), 0x1p-9, 0);
}

static void test_sums_of_words_equal_the_words(void **state) {
  (void)state;
  static const uint64_t counts[] = {1, 4, ZH_FLOW_BLOCK - 1, ZH_FLOW_BLOCK, 3 * ZH_FLOW_BLOCK + 5};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    uint32_t sum = 0;
    for (uint64_t k = 0; k < counts[i]; k++) sum += zh_flow_word(77, k);
    assert_int_equal(zh_flow_sum(77, counts[i]), sum);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_e4m3_is_the_nearest),
      cmocka_unit_test(test_e4m3_keeps_its_own),
      cmocka_unit_test(test_e4m3_has_the_specified_ends),
      cmocka_unit_test(test_sums_of_words_equal_the_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
