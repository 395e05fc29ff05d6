#include "evaluator/stats/exchange.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "core/statistics.h"
#include "evaluator/stats/special.h"

static zh_status out_of_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (test of exchangeability)");
}

/* ---- orders ---- */

static void students_test(zh_order_test *out, const double *values, size_t rows, size_t columns) {
  double sum = 0, squares = 0;
  for (size_t r = 0; r < rows; r++) {
    const double *row = values + r * columns;
    double others = 0;
    for (size_t c = 1; c < columns; c++) others += row[c];
    double difference = row[0] - others / (double)(columns - 1);
    sum += difference;
    squares += difference * difference;
  }
  out->difference = sum / (double)rows;
  double spread = rows > 1 ? (squares - sum * sum / (double)rows) / (double)(rows - 1) : 0;
  bool known = spread > 0 && isfinite(spread);
  out->t = known ? out->difference / sqrt(spread / (double)rows) : NAN;
  out->p_t = known ? zh_t_cdf(-out->t, (double)rows - 1) : NAN;
}

/* Differences from column 0, so that large likelihoods do not swallow small differences. */
static double drawn_sum(const double *values, size_t rows, size_t columns, const uint32_t *words) {
  double sum = 0;
  for (size_t r = 0; r < rows; r++) {
    size_t c = (size_t)(((uint64_t)words[r] * columns) >> 32);
    sum += values[r * columns + c] - values[r * columns];
  }
  return sum;
}

zh_status zh_test_order(zh_order_test *out, const double *values, size_t rows, size_t columns,
                        size_t replicates, uint64_t seed, zh_error *err) {
  if (rows == 0 || columns < 2)
    return zh_fail(err, ZH_ERR_ARG, "a test of order needs rows, and an order beside the first");
  *out = (zh_order_test){.rows = rows, .columns = columns};
  for (size_t i = 0; i < rows * columns; i++)
    if (!isfinite(values[i]))
      return zh_fail(err, ZH_ERR_INPUT, "row %zu, order %zu: the log-likelihood is not finite",
                     i / columns, i % columns);
  students_test(out, values, rows, columns);
  uint32_t *words = malloc(rows * sizeof *words);
  if (!words) return out_of_memory(err);
  size_t as_large = 1;
  for (size_t b = 0; b < replicates; b++) {
    zh_random_fill(words, rows, seed, b, 0);
    as_large += drawn_sum(values, rows, columns, words) >= 0;
  }
  free(words);
  out->p = (double)as_large / (double)(replicates + 1);
  return ZH_OK;
}

/* ---- sums of unequal chances ---- */

/* at[j]: chance of j events so far; those beyond k - 1 are of no interest. */
zh_status zh_poisson_binomial_tail(double *out, size_t k, const double *p, size_t count,
                                   zh_error *err) {
  *out = 1;
  if (k == 0) return ZH_OK;
  double *at = calloc(k, sizeof *at);
  if (!at) return out_of_memory(err);
  double tail = 0;
  at[0] = 1;
  for (size_t i = 0; i < count; i++) {
    size_t top = i + 1 < k ? i + 1 : k - 1;
    tail += at[k - 1] * p[i]; /* the k-th event, now */
    for (size_t j = top; j > 0; j--) at[j] = at[j] * (1 - p[i]) + at[j - 1] * p[i];
    at[0] *= 1 - p[i];
  }
  free(at);
  *out = tail < 1 ? tail : 1;
  return ZH_OK;
}

/* ---- two samples ---- */

static zh_status sorted_copy(double **out, const double *values, size_t count, const char *which,
                             zh_error *err) {
  *out = NULL;
  if (count == 0) return zh_fail(err, ZH_ERR_ARG, "the sample %s is empty", which);
  for (size_t i = 0; i < count; i++)
    if (!isfinite(values[i]))
      return zh_fail(err, ZH_ERR_INPUT, "number %zu of the sample %s is not finite", i + 1, which);
  double *copy = malloc(count * sizeof *copy);
  if (!copy) return out_of_memory(err);
  memcpy(copy, values, count * sizeof *copy);
  zh_sort_doubles(copy, count);
  *out = copy;
  return ZH_OK;
}

/* Numbers of sorted[] below x, or not above it. */
static size_t count_below(const double *sorted, size_t count, double x, bool or_equal) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    bool below = or_equal ? sorted[middle] <= x : sorted[middle] < x;
    if (below)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Sum over ties of both samples of t^3 - t. */
static double tie_sum(const double *x, size_t x_count, const double *y, size_t y_count) {
  double sum = 0;
  size_t i = 0, j = 0;
  while (i < x_count || j < y_count) {
    double next = j == y_count || (i < x_count && x[i] < y[j]) ? x[i] : y[j], t = 0;
    for (; i < x_count && x[i] == next; i++) t++;
    for (; j < y_count && y[j] == next; j++) t++;
    sum += t * t * t - t;
  }
  return sum;
}

/* ways[u] for u = 0 … few * many: arrangements of both samples in which values of one pass values
 * of the other u times, coefficients of the Gaussian binomial; total: of them all. False where they
 * are too many to count. */
static bool count_ways(double *ways, size_t few, size_t many, double *total) {
  static const double COUNTED = 0x1p53;
  ways[0] = *total = 1;
  for (size_t i = 1; i <= few; i++) {
    size_t top = i * many;
    *total *= (double)(many + i) / (double)i;
    if (*total >= COUNTED) return false;
    /* times (1 - q^(many + i)) / (1 - q^i) */
    for (size_t u = top + 1; u-- > many + i;) ways[u] -= ways[u - many - i];
    for (size_t u = i; u <= top; u++) ways[u] += ways[u - i];
  }
  return true;
}

/* P(U >= u) and twice the smaller tail, of x passing y; false where they cannot be counted. */
static zh_status count_exactly(zh_mann_whitney *out, size_t few, size_t many, double u,
                               zh_error *err) {
  size_t top = few * many;
  double total = 1, above = 0, below = 0, *ways = calloc(top + 1, sizeof *ways);
  if (!ways) return out_of_memory(err);
  out->exact = count_ways(ways, few, many, &total);
  for (size_t i = 0; out->exact && i <= top; i++) {
    if ((double)i >= u) above += ways[i];
    if ((double)i <= u) below += ways[i];
  }
  free(ways);
  if (!out->exact) return ZH_OK;
  out->p_greater = above / total;
  out->p_two_sided = fmin(1, 2 * fmin(above, below) / total);
  return ZH_OK;
}

zh_status zh_test_mann_whitney(zh_mann_whitney *out, const double *x, size_t x_count,
                               const double *y, size_t y_count, zh_error *err) {
  double *xs = NULL, *ys = NULL, u = 0;
  zh_status status = sorted_copy(&xs, x, x_count, "x", err);
  if (status == ZH_OK) status = sorted_copy(&ys, y, y_count, "y", err);
  for (size_t i = 0; status == ZH_OK && i < x_count; i++)
    u += 0.5 *
         (double)(count_below(ys, y_count, xs[i], false) + count_below(ys, y_count, xs[i], true));
  if (status == ZH_OK) {
    enum { EXACT_UP_TO = 8 };
    double nx = (double)x_count, ny = (double)y_count, n = nx + ny,
           ties = tie_sum(xs, x_count, ys, y_count),
           spread = nx * ny / 12 * (n + 1 - ties / (n * (n - 1)));
    double z = spread > 0 ? (u - nx * ny / 2) / sqrt(spread) : 0;
    *out = (zh_mann_whitney){.auc = u / (nx * ny),
                             .p_greater = zh_normal_cdf(-z),
                             .p_two_sided = 2 * zh_normal_cdf(-fabs(z))};
    size_t few = x_count < y_count ? x_count : y_count, many = x_count + y_count - few;
    /* u is that of x; the distribution is symmetric and does not ask which sample is which. */
    if (ties == 0 && few <= EXACT_UP_TO) status = count_exactly(out, few, many, u, err);
  }
  free(xs);
  free(ys);
  return status;
}

zh_status zh_conformal_p(double *p, const double *x, size_t x_count, const double *y,
                         size_t y_count, zh_error *err) {
  double *ys;
  ZH_TRY(sorted_copy(&ys, y, y_count, "y", err));
  for (size_t i = 0; i < x_count; i++) {
    size_t not_below = y_count - count_below(ys, y_count, x[i], false);
    p[i] = (double)(1 + not_below) / (double)(1 + y_count);
  }
  free(ys);
  return ZH_OK;
}
