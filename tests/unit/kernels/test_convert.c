#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Every half, by the definition of the format: sign, significand, power of two. */
static void f16_by_definition(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x10000; h++) {
    int exponent = (int)(h >> 10 & 31);
    double significand = (double)(h & 1023) / 1024 + (exponent ? 1 : 0);
    double value = ldexp(significand, (exponent ? exponent : 1) - 15) * (h >> 15 ? -1 : 1);
    float mine = zh_f16_to_f32((uint16_t)h);
    if (exponent == 31 && (h & 1023)) {
      assert_true(isnan(mine));
      assert_true(isnan(zh_f16_to_f32(zh_f32_to_f16(mine))));
      continue;
    }
    if (exponent == 31) value = h >> 15 ? -INFINITY : INFINITY;
    assert_true((double)mine == value);
    assert_int_equal(signbit(mine) != 0, h >> 15);
    assert_int_equal(zh_f32_to_f16(mine), h);
  }
}

/* Between neighbouring halves: the middle goes to the even one, anything beyond it to the nearer.
 */
static void f16_rounds_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x7bff; h++) {
    float low = zh_f16_to_f32((uint16_t)h), high = zh_f16_to_f32((uint16_t)(h + 1));
    float middle = (float)(((double)low + (double)high) / 2);
    assert_int_equal(zh_f32_to_f16(middle), h + (h & 1));
    assert_int_equal(zh_f32_to_f16(nextafterf(middle, low)), h);
    assert_int_equal(zh_f32_to_f16(nextafterf(middle, high)), h + 1);
    assert_int_equal(zh_f32_to_f16(-middle), 0x8000 | (h + (h & 1)));
  }
  assert_int_equal(zh_f32_to_f16(65519.996f), 0x7bff);
  assert_int_equal(zh_f32_to_f16(65520.0f), 0x7c00);
  assert_int_equal(zh_f32_to_f16(INFINITY), 0x7c00);
  assert_int_equal(zh_f32_to_f16(1e-30f), 0);
}

static void bf16_is_the_upper_half(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x10000; h++) {
    float value = zh_bf16_to_f32((uint16_t)h);
    assert_int_equal(bits_of(value), h << 16);
    if (isnan(value)) assert_true(isnan(zh_bf16_to_f32(zh_f32_to_bf16(value))));
    if (isnan(value) || isinf(value)) continue;
    assert_int_equal(zh_f32_to_bf16(value), h);
    assert_int_equal(zh_f32_to_bf16(float_of(h << 16 | 0x8000)),
                     h + (h & 1)); /* the middle: to even */
    assert_int_equal(zh_f32_to_bf16(float_of(h << 16 | 0x7fff)), h);
    assert_int_equal(zh_f32_to_bf16(float_of(h << 16 | 0x8001)), h + 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(f16_by_definition),
      cmocka_unit_test(f16_rounds_to_nearest_even),
      cmocka_unit_test(bf16_is_the_upper_half),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
