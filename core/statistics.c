#include "core/statistics.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void zh_sort_doubles(double *values, size_t count) {
  if (count > 1) qsort(values, count, sizeof *values, by_value);
}

double zh_percentile(const double *sorted, size_t count, double p) {
  double at = (double)(count - 1) * p;
  size_t below = (size_t)at;
  if (below + 1 >= count) return sorted[count - 1];
  double low = sorted[below], high = sorted[below + 1], share = at - (double)below;
  /* From the nearer end, as numpy does: then the result never passes either sample. */
  return share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
}

double zh_mean(const double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  return count > 0 ? sum / (double)count : 0;
}

double zh_stdev(const double *values, size_t count) {
  if (count < 2) return 0;
  double mean = zh_mean(values, count), squares = 0;
  for (size_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
  return sqrt(squares / (double)(count - 1));
}

void zh_median_ci95(double *low, double *high, const double *sorted, size_t count) {
  /* The k-th smallest lies above the median with probability P(B(count, 1/2) < k): the largest k
   * that keeps it within 2.5 % a side. In logarithms, since 2^-count underflows for long series. */
  double log_pmf = -(double)count * log(2), below = exp(log_pmf);
  size_t k = 0;
  while (k + 1 < count && below <= 0.025) {
    log_pmf += log((double)(count - k)) - log((double)(k + 1));
    below += exp(log_pmf);
    k++;
  }
  if (k < 1) k = 1;
  *low = sorted[k - 1];
  *high = sorted[count - k];
}

void zh_wilson_bounds(double *low, double *high, double successes, double n, double z) {
  double square = z * z, p = successes / n;
  double centre = (successes + 0.5 * square) / (n + square);
  double half = z / (n + square) * sqrt(n * p * (1 - p) + 0.25 * square);
  /* At the ends the bounds are 0 and 1 exactly, which the roots miss by a rounding. */
  *low = successes <= 0 ? 0 : centre - half;
  *high = successes >= n ? 1 : centre + half;
}
