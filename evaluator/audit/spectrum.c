/* Singular values of a small matrix, from the eigenvalues of its Gram matrix: Householder's
 * reduction to a tridiagonal matrix, then bisection by Sturm's count (Golub and Van Loan, 8.3
 * and 8.4). Bisection cannot fail to converge. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

/* g = a a^T of a[rows][columns], lower and upper half. */
static void gram(double *g, const float *a, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j <= i; j++) {
      const float *x = a + i * columns, *y = a + j * columns;
      double lanes[8] = {0}, sum = 0;
      size_t k = 0;
      for (; k + 8 <= columns; k += 8)
        for (size_t l = 0; l < 8; l++) lanes[l] += (double)x[k + l] * (double)y[k + l];
      for (; k < columns; k++) sum += (double)x[k] * (double)y[k];
      for (size_t l = 0; l < 8; l++) sum += lanes[l];
      g[i * rows + j] = g[j * rows + i] = sum;
    }
}

/* Reduces symmetric g[n][n] to diagonal d[n] and subdiagonal e[n - 1]; g is spent. p: n numbers. */
static void tridiagonal(double *d, double *e, double *g, double *p, size_t n) {
  for (size_t k = 0; k + 2 < n; k++) {
    double *v = g + k * n; /* row k right of the diagonal is the column below it */
    double norm = 0, dot = 0;
    for (size_t i = k + 1; i < n; i++) norm += v[i] * v[i];
    norm = sqrt(norm);
    d[k] = v[k];
    e[k] = v[k + 1] > 0 ? -norm : norm;
    if (norm == 0) continue;
    v[k + 1] -= e[k];
    double scale = 0;
    for (size_t i = k + 1; i < n; i++) scale += v[i] * v[i];
    if (scale == 0) continue;
    for (size_t i = k + 1; i < n; i++) {
      double sum = 0;
      const double *row = g + i * n;
      for (size_t j = k + 1; j < n; j++) sum += row[j] * v[j];
      p[i] = 2 * sum / scale;
      dot += p[i] * v[i];
    }
    for (size_t i = k + 1; i < n; i++) p[i] -= dot / scale * v[i];
    for (size_t i = k + 1; i < n; i++) {
      double *row = g + i * n, vi = v[i], pi = p[i];
      for (size_t j = k + 1; j < n; j++) row[j] -= vi * p[j] + pi * v[j];
    }
  }
  if (n >= 2) {
    d[n - 2] = g[(n - 2) * n + n - 2];
    e[n - 2] = g[(n - 2) * n + n - 1];
  }
  d[n - 1] = g[n * n - 1];
}

/* How many eigenvalues lie below x. */
static size_t count_below(const double *d, const double *e, size_t n, double x, double tiny) {
  size_t below = 0;
  double q = d[0] - x;
  for (size_t i = 0;; i++) {
    below += q < 0;
    if (i + 1 == n) return below;
    if (fabs(q) < tiny) q = q < 0 ? -tiny : tiny;
    q = d[i + 1] - x - e[i] * e[i] / q;
  }
}

/* All eigenvalues, ascending, each to 2^-30 of the largest. */
static void bisect(double *out, const double *d, const double *e, size_t n, double low, double high,
                   size_t below, size_t upto, double tolerance, double tiny) {
  if (below == upto) return;
  double middle = 0.5 * (low + high);
  if (high - low < tolerance) {
    for (size_t i = below; i < upto; i++) out[i] = middle;
    return;
  }
  size_t count = count_below(d, e, n, middle, tiny);
  count = count < below ? below : count > upto ? upto : count;
  bisect(out, d, e, n, low, middle, below, count, tolerance, tiny);
  bisect(out, d, e, n, middle, high, count, upto, tolerance, tiny);
}

bool zh_singular_values(double *out, const float *a, size_t rows, size_t columns) {
  double *g = calloc(rows * rows + 3 * rows, sizeof *g);
  if (g == NULL) return false;
  double *d = g + rows * rows, *e = d + rows, *p = e + rows, bound = 0;
  gram(g, a, rows, columns);
  tridiagonal(d, e, g, p, rows);
  for (size_t i = 0; i < rows; i++) { /* Gershgorin */
    double radius = fabs(d[i]) + (i > 0 ? fabs(e[i - 1]) : 0) + (i + 1 < rows ? fabs(e[i]) : 0);
    if (radius > bound) bound = radius;
  }
  memset(out, 0, rows * sizeof *out);
  if (bound > 0 && isfinite(bound))
    bisect(out, d, e, rows, -bound * 1e-12, bound * (1 + 1e-12), 0, rows, bound * 0x1p-30,
           bound * 1e-300);
  for (size_t i = 0; i < rows / 2; i++) {
    double swap = out[i];
    out[i] = out[rows - 1 - i];
    out[rows - 1 - i] = swap;
  }
  for (size_t i = 0; i < rows; i++) out[i] = out[i] > 0 ? sqrt(out[i]) : 0;
  free(g);
  return true;
}
