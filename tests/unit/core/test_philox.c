/* Known answers: Random123 1.14.0, tests/kat_vectors, "philox4x32 10". */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"

static void random123_known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], answer[4];
  } vectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    uint32_t out[4];
    zh_philox4x32_10(out, vectors[i].counter, vectors[i].key);
    assert_memory_equal(out, vectors[i].answer, sizeof out);
  }
}

/* The layout that the header promises, computed one element at a time. */
static uint32_t element(uint64_t seed, uint64_t stream, uint64_t index) {
  uint64_t block = index / 4;
  uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                         (uint32_t)(stream >> 32)};
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
  zh_philox4x32_10(out, counter, key);
  return out[index % 4];
}

static void any_stretch_equals_its_elements(void **state) {
  (void)state;
  static const uint64_t starts[] = {0,   1,   2,       3,          5,
                                    127, 128, 1000003, 0x3fffffff0 /* counter's carry */};
  const uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210;
  for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
    for (size_t count = 0; count < 400; count += count < 10 ? 1 : 67) {
      uint32_t bits[400];
      float normals[400];
      zh_random_fill(bits, count, seed, stream, starts[s]);
      zh_normal_fill(normals, count, seed, stream, starts[s], 0.02f);
      for (size_t i = 0; i < count; i++) {
        uint32_t expected = element(seed, stream, starts[s] + i);
        assert_int_equal(bits[i], expected);
        float normal = (float)zh_normal_q16(expected) * (0.02f * 0x1p-16f);
        assert_memory_equal(&normals[i], &normal, sizeof normal);
      }
    }
  }
}

static void normals_are_odd_and_monotone(void **state) {
  (void)state;
  int32_t last = INT32_MAX;
  for (uint64_t bits = 0; bits < 0x80000000u; bits += 99991) {
    int32_t z = zh_normal_q16((uint32_t)bits);
    assert_true(z <= last && z >= 0);
    assert_int_equal(zh_normal_q16((uint32_t)bits | 0x80000000u), -z);
    last = z;
  }
  assert_true(zh_normal_q16(0) < 6.34 * 65536 && zh_normal_q16(0) > 6.33 * 65536);
  assert_int_equal(zh_normal_q16(0x7fffffff), 0);
}

/* Q(z) of the result must be the tail probability of the bits: z is within 2.5e-4 of the exact one.
 */
static void normals_invert_the_distribution_function(void **state) {
  (void)state;
  double worst = 0;
  for (uint64_t bits = 0; bits < 0x80000000u; bits += bits < 4096 ? 1 : 30011) {
    double p = ((double)bits + 0.5) / 4294967296.0, z = zh_normal_q16((uint32_t)bits) / 65536.0;
    double density = exp(-z * z / 2) / sqrt(2 * acos(-1)), tail = erfc(z / sqrt(2)) / 2;
    worst = fmax(worst, fabs(tail - p) / density);
  }
  print_message("largest error of z: %.2g\n", worst);
  assert_true(worst < 2.5e-4);
}

static void moments_are_those_of_a_normal(void **state) {
  (void)state;
  enum { COUNT = 1 << 22 };
  float *x = malloc(COUNT * sizeof *x);
  double sums[5] = {0};
  assert_non_null(x);
  zh_normal_fill(x, COUNT, 42, 7, 3, 1);
  for (size_t i = 0; i < COUNT; i++)
    for (int power = 1; power <= 4; power++) sums[power] += pow(x[i], power) / COUNT;
  free(x);
  /* Five standard errors: sqrt(1, 2, 15, 96 / n). */
  double sigma = 1 / sqrt(COUNT);
  assert_true(fabs(sums[1]) < 5 * sigma);
  assert_true(fabs(sums[2] - 1) < 5 * sqrt(2) * sigma);
  assert_true(fabs(sums[3]) < 5 * sqrt(15) * sigma);
  assert_true(fabs(sums[4] - 3) < 5 * sqrt(96) * sigma);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random123_known_answers),
      cmocka_unit_test(any_stretch_equals_its_elements),
      cmocka_unit_test(normals_are_odd_and_monotone),
      cmocka_unit_test(normals_invert_the_distribution_function),
      cmocka_unit_test(moments_are_those_of_a_normal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
