/* Singular values of a small matrix, from the eigenvalues of its Gram matrix: Householder's
 * reduction to a tridiagonal matrix, then bisection by Sturm's count (Golub and Van Loan, 8.3
 * and 8.4). Bisection cannot fail to converge. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"
#include "evaluator/audit/dense.h"

/* The largest `wanted` eigenvalues, descending, each to 2^-30 of the largest. */
static void bisect(const zh_dense *dense, double *out, size_t wanted, const double *d,
                   const double *squares, size_t n, double bound) {
  double low[ZH_STURM_LANES], high[ZH_STURM_LANES], middle[ZH_STURM_LANES];
  int64_t below[ZH_STURM_LANES];
  for (size_t first = 0; first < wanted; first += ZH_STURM_LANES) {
    for (size_t l = 0; l < ZH_STURM_LANES; l++) low[l] = -bound * 1e-12;
    for (size_t l = 0; l < ZH_STURM_LANES; l++) high[l] = bound * (1 + 1e-12);
    for (int halvings = 0; halvings < 32; halvings++) {
      for (size_t l = 0; l < ZH_STURM_LANES; l++) middle[l] = 0.5 * (low[l] + high[l]);
      if (high[0] - low[0] < bound * 0x1p-30) break;
      dense->sturm(below, middle, d, squares, n, bound * 1e-300);
      for (size_t l = 0; l < ZH_STURM_LANES; l++) {
        bool under = (int64_t)(n - 1 - first - l) < below[l]; /* the one wanted lies below */
        low[l] = under ? low[l] : middle[l];
        high[l] = under ? middle[l] : high[l];
      }
    }
    for (size_t l = 0; l < ZH_STURM_LANES && first + l < wanted; l++) out[first + l] = middle[l];
  }
}

bool zh_singular_values(double *out, size_t wanted, const float *a, size_t rows, size_t columns) {
  const zh_dense *dense = zh_dense_choose();
  double *g = calloc(rows * rows + 3 * rows + rows * columns, sizeof *g);
  if (g == NULL) return false;
  double *d = g + rows * rows, *e = d + rows, *p = e + rows, *wide = p + rows, bound = 0;
  for (size_t i = 0; i < rows * columns; i++) wide[i] = (double)a[i];
  dense->gram(g, wide, rows, columns);
  dense->tridiagonal(d, e, g, p, rows);
  for (size_t i = 0; i < rows; i++) { /* Gershgorin */
    double radius = fabs(d[i]) + (i > 0 ? fabs(e[i - 1]) : 0) + (i + 1 < rows ? fabs(e[i]) : 0);
    if (radius > bound) bound = radius;
  }
  for (size_t i = 0; i + 1 < rows; i++) e[i] *= e[i];
  memset(out, 0, wanted * sizeof *out);
  if (bound > 0 && isfinite(bound)) bisect(dense, out, wanted, d, e, rows, bound);
  for (size_t i = 0; i < wanted; i++) out[i] = out[i] > 0 ? sqrt(out[i]) : 0;
  free(g);
  return true;
}
