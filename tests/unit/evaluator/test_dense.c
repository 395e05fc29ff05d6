/* Every instruction set gives the same bits in every loop of zh_dense, for any size and tail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/dense.h"

enum { ROUNDS = 200, LARGEST = 700, SIDE = 70, SETS = 3 };

static const zh_dense *sets[SETS];
static size_t set_count;

static int find_sets(void **state) {
  (void)state;
  sets[set_count++] = &zh_dense_portable;
#ifdef ZH_AUDIT_X86
  if (__builtin_cpu_supports("avx2")) sets[set_count++] = &zh_dense_avx2;
  if (zh_dense_choose() == &zh_dense_avx512) sets[set_count++] = &zh_dense_avx512;
#endif
  return 0;
}

static uint64_t state_of_draws = 1;

static uint64_t draw(void) { /* splitmix64 */
  uint64_t x = state_of_draws += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* Sizes that end with, before and behind the lanes, and any other. */
static size_t draw_size(size_t most) {
  size_t size = draw() % 2 ? draw() % most : draw() % (most / 16) * 16 + draw() % 3;
  return size == 0 ? 1 : size;
}

/* Of sizes far apart, so that the order of sums shows in their bits. */
static void draw_floats(float *out, size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = ldexpf((float)(int32_t)draw(), (int)(draw() % 40) - 50) * (draw() % 16 != 0);
}

static void test_hashes(void **state) {
  unsigned char bytes[4 * LARGEST];
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    size_t rows = 1 + draw() % 4, row_bytes = draw_size(LARGEST / 2) * 2;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)draw();
    uint64_t hashes[SETS][4] = {{0}}, sums[SETS];
    uint32_t moments[SETS][2];
    for (size_t s = 0; s < set_count; s++) {
      moments[s][0] = moments[s][1] = 7;
      sets[s]->hash_rows(hashes[s], moments[s], bytes, row_bytes, rows, round % 2);
      sums[s] = sets[s]->read(bytes, rows * row_bytes);
      assert_memory_equal(hashes[s], hashes[0], sizeof hashes[0]);
      assert_memory_equal(moments[s], moments[0], sizeof moments[0]);
      assert_true(sums[s] == sums[0]);
    }
    assert_int_equal(moments[0][0] == 7 && moments[0][1] == 7, round % 2 == 0);
  }
}

static void test_rows(void **state) {
  float row[LARGEST], signs[LARGEST], bins[SETS][ZH_PRINT_BINS], columns[SETS][LARGEST];
  unsigned char halves[2 * LARGEST];
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    size_t count = draw_size(LARGEST);
    double sums[SETS][2], squares[SETS];
    draw_floats(row, count);
    for (size_t i = 0; i < count; i++) signs[i] = draw() % 2 ? 1.0f : -1.0f;
    draw_floats(bins[0], ZH_PRINT_BINS);
    draw_floats(columns[0], count);
    for (size_t s = 1; s < set_count; s++) memcpy(bins[s], bins[0], sizeof bins[0]);
    for (size_t s = 1; s < set_count; s++) memcpy(columns[s], columns[0], sizeof columns[0]);
    for (size_t s = 0; s < set_count; s++) {
      sets[s]->look(bins[s], sums[s], row, signs, count);
      sets[s]->add_columns(columns[s], row, signs[0], count);
      squares[s] = sets[s]->squares(row, count);
      assert_memory_equal(bins[s], bins[0], sizeof bins[0]);
      assert_memory_equal(sums[s], sums[0], sizeof sums[0]);
      assert_memory_equal(columns[s], columns[0], count * sizeof(float));
      assert_memory_equal(&squares[s], &squares[0], sizeof squares[0]);
    }
    for (size_t i = 0; i < 2 * count; i++) halves[i] = (unsigned char)draw();
    for (size_t s = 0; s < set_count; s++) {
      sets[s]->bf16(columns[s], halves, count);
      assert_memory_equal(columns[s], columns[0], count * sizeof(float));
    }
  }
}

static void test_spectra(void **state) {
  static float values[SIDE * 2 * SIDE];
  static double wide[SIDE * 2 * SIDE], gram[SETS][SIDE * SIDE];
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    size_t rows = 2 + draw() % (SIDE - 2), columns = rows + draw() % SIDE;
    double d[SETS][SIDE] = {{0}}, e[SETS][SIDE] = {{0}}, p[SIDE], x[ZH_STURM_LANES];
    int64_t below[SETS][ZH_STURM_LANES];
    draw_floats(values, rows * columns);
    for (size_t i = 0; i < rows * columns; i++) wide[i] = (double)values[i];
    for (size_t s = 0; s < set_count; s++) {
      sets[s]->gram(gram[s], wide, rows, columns);
      assert_memory_equal(gram[s], gram[0], rows * rows * sizeof(double));
    }
    double largest = 0;
    for (size_t i = 0; i < rows; i++) largest = fmax(largest, gram[0][i * rows + i]);
    for (size_t s = 0; s < set_count; s++) {
      sets[s]->tridiagonal(d[s], e[s], gram[s], p, rows);
      assert_memory_equal(d[s], d[0], sizeof d[0]);
      assert_memory_equal(e[s], e[0], sizeof e[0]);
    }
    for (size_t i = 0; i < rows; i++) p[i] = e[0][i] * e[0][i];
    for (size_t l = 0; l < ZH_STURM_LANES; l++)
      x[l] = ldexp(largest * (double)(l + 1), -(int)(draw() % 30));
    for (size_t s = 0; s < set_count; s++) {
      sets[s]->sturm(below[s], x, d[0], p, rows, largest * 1e-300);
      assert_memory_equal(below[s], below[0], sizeof below[0]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_spectra)};
  return cmocka_run_group_tests(tests, find_sets, NULL);
}
