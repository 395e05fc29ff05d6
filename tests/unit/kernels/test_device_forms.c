#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/philox.h"
#include "kernels/device.h"

static const zh_dtype types[] = {ZH_F32,  ZH_F16,  ZH_BF16, ZH_Q8_0,   ZH_Q4_0,  ZH_Q4_1,  ZH_Q4_K,
                                 ZH_Q5_0, ZH_Q6_K, ZH_Q2_K, ZH_IQ4_XS, ZH_MXFP4, ZH_IQ4_NL};

/* Bits that may be of any numbers, but not of those that are none: they stay what they are, but not
 * bit for bit in sums. */
static void random_rows(uint8_t *rows, size_t bytes, uint64_t stream) {
  uint32_t *words = calloc(bytes / 4 + 2, 4);
  zh_random_fill(words, bytes / 4 + 1, 5, stream, 0);
  for (size_t i = 0; i < bytes / 4 + 1; i++) words[i] &= 0xBBFFBBFFu;
  memcpy(rows, words, bytes);
  free(words);
}

static void rows_come_back(zh_device_form form, zh_dtype type, size_t columns) {
  enum { ROWS = 3, APART = 7 };
  uint64_t bytes;
  assert_true(zh_dtype_bytes(&bytes, type, columns));
  zh_device_matrix m = {.form = form, .rows = ROWS, .columns = (uint32_t)columns};
  size_t stride = bytes + APART, number_bytes = zh_device_number_bytes(m.form, ROWS, columns);
  uint8_t *rows = malloc(ROWS * stride);
  random_rows(rows, ROWS * stride, columns);
  for (size_t b = 0; form == ZH_FORM_Q8 && type == ZH_MXFP4 && b < ROWS * stride; b++)
    rows[b] = (uint8_t)(104 + rows[b] % 40); /* scales that an f16 holds */
  m.numbers = malloc(number_bytes);
  m.scales = malloc(zh_device_scale_bytes(&m) + 1);
  memset(m.numbers, 0xFF, number_bytes);
  float *expected = malloc(columns * sizeof *expected), *y = malloc(columns * sizeof *y);
  zh_device_lay(m.form, m.numbers, m.scales, type, rows, ROWS, stride, columns);
  for (size_t r = 0; r < ROWS; r++) {
    zh_dequantize_row(expected, rows + r * stride, type, columns);
    zh_device_row_values(y, &m, m.numbers, m.scales, r);
    assert_memory_equal(y, expected, columns * sizeof *y);
  }
  free(rows), free(m.numbers), free(m.scales), free(expected), free(y);
}

static void laid_rows_are_what_they_were(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    size_t block = zh_dtype_find(types[i])->block_elements;
    static const size_t blocks[] = {1, 2, 3, 5, 19};
    for (size_t b = 0; b < 5; b++)
      rows_come_back(zh_device_form_of(types[i]), types[i], block * blocks[b]);
  }
}

/* Whole multiples of an f16 scale, in bytes; of MXFP4 where the scale is one. */
static void steps_in_bytes(void **state) {
  (void)state;
  static const zh_dtype held[] = {ZH_Q8_0, ZH_Q4_0, ZH_Q5_0, ZH_IQ4_NL, ZH_MXFP4};
  for (size_t i = 0; i < sizeof held / sizeof *held; i++)
    for (size_t blocks = 1; blocks < 6; blocks++) rows_come_back(ZH_FORM_Q8, held[i], 32 * blocks);
  uint8_t block[34] = {104};
  block[17] = 143;
  assert_true(zh_device_holds(ZH_FORM_Q8, ZH_MXFP4, block, 64));
  block[17] = 144;
  assert_false(zh_device_holds(ZH_FORM_Q8, ZH_MXFP4, block, 64));
  assert_true(zh_device_holds(ZH_FORM_Q8, ZH_MXFP4, block, 32));
  block[0] = 103;
  assert_false(zh_device_holds(ZH_FORM_Q8, ZH_MXFP4, block, 32));
}

/* What lies behind the columns is zero, and a row begins at a multiple of 64 bytes. */
static void rows_end_in_zeros(void **state) {
  (void)state;
  static const float row[5] = {1, 2, 3, 4, 5};
  float laid[32];
  assert_int_equal(zh_device_number_bytes(ZH_FORM_F32, 2, 5), 128);
  assert_int_equal(zh_device_number_bytes(ZH_FORM_Q4, 1, 160), 128);
  assert_int_equal(zh_device_number_bytes(ZH_FORM_E4M3, 3, 65), 384);
  memset(laid, 0xFF, sizeof laid);
  zh_device_lay(ZH_FORM_F32, laid, NULL, ZH_F32, row, 1, sizeof row, 5);
  for (size_t i = 0; i < 16; i++) assert_true(laid[i] == (i < 5 ? row[i] : 0));
  assert_true(isnan(laid[16]));
}

/* OCP's E4M3: sign, four bits of exponent with bias 7, three of mantissa; no infinities. */
static double by_definition(unsigned bits) {
  unsigned exponent = bits >> 3 & 15, mantissa = bits & 7;
  double size = exponent ? ldexp(1 + mantissa / 8.0, (int)exponent - 7) : ldexp(mantissa, -9);
  return bits & 0x80 ? -size : size;
}

static void e4m3_by_definition(void **state) {
  (void)state;
  for (unsigned bits = 0; bits < 256; bits++) {
    float value = zh_e4m3_to_f32((uint8_t)bits);
    if ((bits & 0x7F) == 0x7F) {
      assert_true(isnan(value));
      continue;
    }
    assert_true((double)value == by_definition(bits));
    assert_int_equal(zh_f32_to_e4m3(value), bits);
  }
}

static void e4m3_rounds_to_nearest_even(void **state) {
  (void)state;
  for (unsigned bits = 0; bits < 0x7E; bits++) {
    float low = zh_e4m3_to_f32((uint8_t)bits), high = zh_e4m3_to_f32((uint8_t)(bits + 1)),
          middle = (low + high) / 2;
    assert_int_equal(zh_f32_to_e4m3(middle), bits + (bits & 1));
    assert_int_equal(zh_f32_to_e4m3(nextafterf(middle, low)), bits);
    assert_int_equal(zh_f32_to_e4m3(nextafterf(middle, high)), bits + 1);
    assert_int_equal(zh_f32_to_e4m3(-middle), 0x80 | (bits + (bits & 1)));
  }
  assert_int_equal(zh_f32_to_e4m3(1e30f), 0x7E);
  assert_int_equal(zh_f32_to_e4m3(-INFINITY), 0xFE);
  assert_int_equal(zh_f32_to_e4m3(NAN), 0x7F);
}

/* Blocks of scales: columns and rows each meet their own, the last ones too. */
static void e4m3_scales_by_blocks(void **state) {
  (void)state;
  enum { ROWS = 5, COLUMNS = 150 };
  float scales[6] = {1, 2, 4, 8, 16, 32}, y[COLUMNS];
  uint8_t numbers[ROWS * 192];
  zh_device_matrix m = {.form = ZH_FORM_E4M3,
                        .rows = ROWS,
                        .columns = COLUMNS,
                        .scale_rows = 3,
                        .scale_columns = 64,
                        .numbers = numbers,
                        .scales = scales};
  assert_int_equal(zh_device_scale_bytes(&m), sizeof scales);
  memset(numbers, 0x38, sizeof numbers); /* 1 */
  for (size_t r = 0; r < ROWS; r++) {
    zh_device_row_values(y, &m, numbers, scales, r);
    for (size_t i = 0; i < COLUMNS; i++) assert_true(y[i] == scales[r / 3 * 3 + i / 64]);
  }
}

/* Rounded keys stay where they are, near what they were, and a NaN makes all of its head one. */
static void keys_in_e4m3(void **state) {
  (void)state;
  enum { DIM = 80 };
  float row[DIM], rounded[DIM], again[DIM];
  zh_normal_fill(row, DIM, 3, 1, 0, 5);
  memcpy(rounded, row, sizeof row);
  zh_device_kv_round(rounded, ZH_DEVICE_KV_E4M3, DIM);
  float most = 0;
  for (size_t i = 0; i < DIM; i++) most = fmaxf(most, fabsf(row[i]));
  for (size_t i = 0; i < DIM; i++)
    assert_true(fabsf(rounded[i] - row[i]) <= fabsf(row[i]) * 0x1p-4f + most / 448 * 0x1p-9f);
  memcpy(again, rounded, sizeof rounded);
  zh_kv_round(again, ZH_KV_E4M3, DIM); /* what is rounded stays */
  assert_memory_equal(again, rounded, sizeof rounded);
  again[0] = NAN;
  zh_device_kv_round(again, ZH_DEVICE_KV_E4M3, DIM);
  for (size_t i = 0; i < DIM; i++) assert_true(isnan(again[i]));
  memset(again, 0, sizeof again);
  zh_device_kv_round(again, ZH_DEVICE_KV_E4M3, DIM);
  for (size_t i = 0; i < DIM; i++) assert_true(again[i] == 0);
}

static void sizes_that_are_too_much(void **state) {
  (void)state;
  zh_device_kv kv = {.type = ZH_DEVICE_KV_BF16,
                     .sequences = UINT32_MAX,
                     .kv_heads = UINT32_MAX,
                     .capacity = UINT32_MAX,
                     .key_dim = 128,
                     .value_dim = 64};
  assert_true(zh_device_kv_bytes(&kv, false) == SIZE_MAX);
  kv.sequences = 2, kv.kv_heads = 3, kv.capacity = 5;
  assert_int_equal(zh_device_kv_bytes(&kv, false), 2 * 3 * 5 * 256);
  kv.type = ZH_DEVICE_KV_E4M3;
  assert_int_equal(zh_device_kv_bytes(&kv, true), 2 * 3 * 5 * 80);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(laid_rows_are_what_they_were),
      cmocka_unit_test(rows_end_in_zeros),
      cmocka_unit_test(steps_in_bytes),
      cmocka_unit_test(e4m3_by_definition),
      cmocka_unit_test(e4m3_rounds_to_nearest_even),
      cmocka_unit_test(e4m3_scales_by_blocks),
      cmocka_unit_test(keys_in_e4m3),
      cmocka_unit_test(sizes_that_are_too_much),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
