/* Freivalds' check: honest products pass, whatever their sizes; a tile, a row or a number that is
 * wrong by more than roundings is found, where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "bench/engine/check_whole.h"
#include "core/philox.h"

enum { ROWS = 200, COLUMNS = 96, TOKENS = 5 };

typedef struct fixture {
  float w[ROWS][COLUMNS], x[TOKENS][COLUMNS], y[TOKENS][ROWS], bias[ROWS];
  size_t judged, failed, where; /* where: the first row of the last block that failed */
} fixture;

static void fill(float *out, size_t count, uint64_t stream) {
  uint32_t bits;
  for (size_t i = 0; i < count; ++i) {
    zh_random_fill(&bits, 1, 7, stream, i);
    out[i] = (float)(int32_t)bits * 0x1p-31f;
  }
}

static void make(fixture *f, float factor) {
  memset(f, 0, sizeof *f);
  fill(f->w[0], (size_t)ROWS * COLUMNS, 1);
  fill(f->x[0], (size_t)TOKENS * COLUMNS, 2);
  fill(f->bias, ROWS, 3);
  for (size_t t = 0; t < TOKENS; ++t)
    for (size_t r = 0; r < ROWS; ++r) {
      float sum = 0;
      for (size_t i = 0; i < COLUMNS; ++i) sum += f->w[r][i] * f->x[t][i];
      f->y[t][r] = (sum + f->bias[r]) * factor;
    }
}

static void biases(void *user, double *out, size_t first, size_t count) {
  const fixture *f = user;
  for (size_t i = 0; i < count; ++i) out[i] = (double)f->bias[first + i];
}
static const float *row(void *user, size_t r) {
  return ((fixture *)user)->w[r];
}
static void input(void *user, float *out, size_t t) {
  memcpy(out, ((fixture *)user)->x[t], sizeof(float) * COLUMNS);
}
static const float *output(void *user, size_t t) {
  return ((fixture *)user)->y[t];
}
static void judge(void *user, size_t t, size_t first, double computed, double expected,
                  double bound) {
  fixture *f = user;
  (void)t;
  ++f->judged;
  if (fabs(computed - expected) <= bound) return;
  ++f->failed;
  f->where = first;
}

/* How many blocks of tokens did not pass; by several draws of the signs. */
static size_t failures(fixture *f, double factor) {
  zh_error err = ZH_ERROR_INIT;
  zh_whole *whole = NULL;
  zh_whole_product p = {.rows = ROWS,
                        .columns = COLUMNS,
                        .tokens = TOKENS,
                        .relative = 2 * 8 * sqrt(COLUMNS + 4) * 0x1p-24,
                        .rounding = 2 * 0x1p-24,
                        .factor = factor,
                        .user = f,
                        .biases = biases,
                        .row = row,
                        .input = input,
                        .output = output,
                        .judge = judge};
  f->failed = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    assert_int_equal(zh_whole_create(&whole, COLUMNS, ROWS * COLUMNS, seed, &err), ZH_OK);
    zh_whole_check(whole, &p);
    zh_whole_free(whole);
  }
  assert_int_equal(f->judged % (50 * TOKENS * 4), 0); /* all four blocks */
  return f->failed;
}

static void honest_products_pass(void **state) {
  static fixture f;
  (void)state;
  make(&f, 1);
  assert_int_equal(failures(&f, 1), 0);
  make(&f, 0.25f);
  assert_int_equal(failures(&f, 0.25), 0);
}

static void what_is_wrong_is_found(void **state) {
  static fixture f;
  (void)state;
  make(&f, 1);
  memset(&f.y[3][128], 0, 64 * sizeof(float)); /* a tile that was not written */
  assert_in_range(failures(&f, 1), 48, 50);
  assert_int_equal(f.where, 128);
  make(&f, 1);
  f.y[0][199] += 0.01f; /* one number, in the short last block: no sign hides it */
  assert_int_equal(failures(&f, 1), 50);
  assert_int_equal(f.where, 192);
  make(&f, 1);
  f.y[4][0] = NAN;
  assert_int_equal(failures(&f, 1), 50);
  make(&f, 1);
  f.bias[70] += 0.1f;
  assert_int_equal(failures(&f, 1), 50 * TOKENS);
}

static void reading_is_bounded(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_whole *whole = NULL;
  const uint64_t each = UINT64_C(1) << 23;
  size_t taken = 0;
  (void)state;
  assert_int_equal(zh_whole_create(&whole, 16, 4 * each, 1, &err), ZH_OK);
  for (int i = 0; i < 100; ++i) taken += zh_whole_takes(whole, "gate", 0, each);
  assert_int_equal(taken, 8);                          /* 2^26 weights */
  assert_true(zh_whole_takes(whole, "gate", 1, each)); /* another way */
  assert_true(zh_whole_takes(whole, "down", 0, each)); /* the first of its kind */
  assert_false(zh_whole_takes(whole, "down", 0, each));
  zh_whole_free(whole);
  assert_int_equal(zh_whole_create(&whole, 16, 100000 * each, 1, &err), ZH_OK);
  taken = 0;
  for (int i = 0; i < 100; ++i) taken += zh_whole_takes(whole, "gate", 0, each);
  assert_in_range(taken, 1, 3); /* of so large a model few */
  zh_whole_free(whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(honest_products_pass),
      cmocka_unit_test(what_is_wrong_is_found),
      cmocka_unit_test(reading_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
