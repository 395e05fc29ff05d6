/* Distribution functions that the C library lacks. Relative error about 1e-13 in the tested ranges
 * (tests/golden/statistics.py holds them against scipy); sources in docs/metrics.md. */
#ifndef ZH_EVALUATOR_STATS_SPECIAL_H
#define ZH_EVALUATOR_STATS_SPECIAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

double zh_normal_cdf(double x);
double zh_normal_quantile(double p); /* 0 < p < 1; the infinities at 0 and 1 */

/* I_x(a, b), the regularised incomplete beta function; a, b > 0. y = 1 - x, given apart so that
 * neither is rounded where it is small. */
double zh_beta_cdf(double x, double y, double a, double b);

/* Student's t; df > 0, INFINITY for the normal distribution. The upper tail is zh_t_cdf(-t, df). */
double zh_t_cdf(double t, double df);
double zh_t_quantile(double p, double df);

/* X ~ B(n, p): P(X <= k), and P(X = k). */
double zh_binomial_cdf(int64_t k, int64_t n, double p);
double zh_binomial_pmf(int64_t k, int64_t n, double p);

#ifdef __cplusplus
}
#endif
#endif
