#include "bench/engine/check_whole.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"

enum { BLOCK = ZH_WHOLE_BLOCK, TOKENS = ZH_WHOLE_TOKENS, WAYS = 4, KINDS = 48, LANES = 8 };
static const uint64_t BUDGET = UINT64_C(1) << 26, MOST = UINT64_C(1) << 24;
static const double LAMBDA = 8;

typedef struct seen {
  const char *kind;
  int way;
} seen;

struct zh_whole {
  uint64_t seed, drawn, left[WAYS];
  double share; /* of all products that are taken */
  seen seen[KINDS];
  size_t kinds;
  double *mix; /* [longest]: signed sum of a block's rows */
  float *x;    /* [TOKENS][longest] */
  size_t longest;
};

zh_status zh_whole_create(zh_whole **out, size_t longest, uint64_t elements, uint64_t seed,
                          zh_error *err) {
  zh_whole *whole = calloc(1, sizeof *whole);
  *out = whole;
  if (whole) {
    whole->seed = seed;
    whole->longest = longest;
    whole->share = elements > 0 ? fmin(1, (double)BUDGET / (double)elements) : 1;
    for (int i = 0; i < WAYS; ++i) whole->left[i] = BUDGET;
    whole->mix = malloc(longest * sizeof *whole->mix);
    whole->x = malloc(TOKENS * longest * sizeof *whole->x);
    if (whole->mix && whole->x) return ZH_OK;
  }
  zh_whole_free(whole);
  *out = NULL;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
}

void zh_whole_free(zh_whole *whole) {
  if (!whole) return;
  free(whole->mix);
  free(whole->x);
  free(whole);
}

static uint32_t draw(zh_whole *whole) {
  uint32_t bits;
  zh_random_fill(&bits, 1, whole->seed, UINT64_C(0x77686f6c65), whole->drawn++);
  return bits;
}

static bool is_new(zh_whole *whole, const char *kind, int way) {
  for (size_t i = 0; i < whole->kinds; ++i)
    if (whole->seen[i].way == way && strcmp(whole->seen[i].kind, kind) == 0) return false;
  if (whole->kinds == KINDS) return false;
  whole->seen[whole->kinds++] = (seen){kind, way};
  return true;
}

bool zh_whole_takes(zh_whole *whole, const char *kind, int way, uint64_t elements) {
  uint64_t *left = &whole->left[way >= 0 && way < WAYS ? way : 0];
  uint64_t read = elements < MOST ? elements : MOST;
  bool takes = is_new(whole, kind, way) || (read <= *left && draw(whole) < whole->share * 0x1p32);
  if (takes) *left -= read < *left ? read : *left;
  return takes;
}

/* --- one block of rows --- */

static double dot(const double *a, const float *b, size_t count) {
  double lanes[LANES] = {0}, sum = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int k = 0; k < LANES; ++k) lanes[k] += a[i + (size_t)k] * (double)b[i + (size_t)k];
  for (; i < count; ++i) sum += a[i] * (double)b[i];
  for (int k = 0; k < LANES; ++k) sum += lanes[k];
  return sum;
}

static double squares_of(const float *x, size_t count) {
  double lanes[LANES] = {0}, sum = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int k = 0; k < LANES; ++k) {
      double value = (double)x[i + (size_t)k];
      lanes[k] += value * value;
    }
  for (; i < count; ++i) sum += (double)x[i] * (double)x[i];
  for (int k = 0; k < LANES; ++k) sum += lanes[k];
  return sum;
}

static void add_row(double *mix, const float *row, double sign, size_t columns) {
  for (size_t i = 0; i < columns; ++i) mix[i] += sign * (double)row[i];
}

/* Squares of what a row loses of each token. */
static void add_losses(double *lost, const zh_whole *whole, const zh_whole_product *p,
                       const float *row) {
  for (size_t t = 0; p->loss && t < p->tokens; ++t) {
    double loss = p->loss(p->user, row, whole->x + t * whole->longest);
    lost[t] += loss * loss;
  }
}

static void check_block(zh_whole *whole, const zh_whole_product *p, size_t first) {
  size_t count = p->rows - first < BLOCK ? p->rows - first : BLOCK;
  double sign[BLOCK], bias[BLOCK], lost[TOKENS] = {0}, of_weights = 0, of_biases = 0, biases = 0;
  uint32_t bits[2] = {draw(whole), draw(whole)};
  p->biases(p->user, bias, first, count);
  memset(whole->mix, 0, p->columns * sizeof *whole->mix);
  for (size_t r = 0; r < count; ++r) {
    const float *row = p->row(p->user, first + r);
    sign[r] = bits[r / 32] >> r % 32 & 1 ? 1 : -1;
    add_row(whole->mix, row, sign[r], p->columns);
    add_losses(lost, whole, p, row);
    of_weights += squares_of(row, p->columns);
    of_biases += bias[r] * bias[r];
    biases += sign[r] * bias[r];
  }
  for (size_t t = 0; t < p->tokens; ++t) {
    const float *x = whole->x + t * whole->longest, *y = p->output(p->user, t) + first;
    double computed = 0, of_outputs = squares_of(y, count);
    for (size_t r = 0; r < count; ++r) computed += sign[r] * (double)y[r];
    double expected = p->factor * (dot(whole->mix, x, p->columns) + biases),
           rows = p->relative * sqrt(of_weights * squares_of(x, p->columns)),
           ends = p->rounding * (2 * sqrt(of_outputs) + fabs(p->factor) * sqrt(of_biases));
    double bound =
        LAMBDA * (fabs(p->factor) * (rows + sqrt(lost[t])) + ends + sqrt(BLOCK) * (double)FLT_MIN);
    p->judge(p->user, t, first, computed, expected, bound);
  }
}

void zh_whole_check(zh_whole *whole, const zh_whole_product *p) {
  size_t blocks = (p->rows + BLOCK - 1) / BLOCK, of_block = BLOCK * p->columns,
         most = (size_t)(MOST / of_block) + 1;
  for (size_t t = 0; t < p->tokens; ++t) p->input(p->user, whole->x + t * whole->longest, t);
  if (blocks <= most) {
    for (size_t b = 0; b < blocks; ++b) check_block(whole, p, b * BLOCK);
    return;
  }
  for (size_t b = 0; b + 1 < most; ++b) check_block(whole, p, draw(whole) % blocks * BLOCK);
  check_block(whole, p, (blocks - 1) * BLOCK);
}
