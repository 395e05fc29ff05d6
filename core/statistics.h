/* Order statistics and intervals of small samples. Formulas and sources: docs/metrics.md,
 * "Statistics". */
#ifndef ZH_CORE_STATISTICS_H
#define ZH_CORE_STATISTICS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void zh_sort_doubles(double *values, size_t count);
/* Hyndman & Fan type 7 (numpy's default "linear"); values sorted ascending, count > 0, 0 <= p <= 1.
 */
double zh_percentile(const double *sorted, size_t count, double p);
double zh_mean(const double *values, size_t count);
double zh_stdev(const double *values, size_t count); /* n - 1; 0 when count < 2 */
/* Distribution-free 95 % interval of the median from order statistics (binomial); the extremes when
 * count < 6, where the coverage is below 95 % (docs/metrics.md gives it). */
void zh_median_ci95(double *low, double *high, const double *sorted, size_t count);
/* Wilson's interval of a share (1927): successes of n, z the normal quantile; 0 <= successes <= n,
 * n > 0.
 */
void zh_wilson_bounds(double *low, double *high, double successes, double n, double z);

#ifdef __cplusplus
}
#endif
#endif
