/* Tests of exchangeability: would the order in which a set stands, or an item among others, be the
 * same to a model that has never seen it? Formulas and sources: docs/metrics.md, "Contamination".
 */
#ifndef ZH_EVALUATOR_STATS_EXCHANGE_H
#define ZH_EVALUATOR_STATS_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* values[rows][columns]: row by row the log-likelihood of the same items in several orders, column
 * 0 as they were published. columns > 1. */
typedef struct zh_order_test {
  double difference; /* mean over rows: column 0 less the mean of the others */
  double t, p_t;     /* Student's test of that, one-sided; NaN below two rows or without spread */
  double p;          /* exact: one column of each row, drawn `replicates` times */
  size_t rows, columns;
} zh_order_test;
ZH_MUST_CHECK zh_status zh_test_order(zh_order_test *out, const double *values, size_t rows,
                                      size_t columns, size_t replicates, uint64_t seed,
                                      zh_error *err);

/* P(at least k of events happen), event i with chance p[i], independent of each other. */
ZH_MUST_CHECK zh_status zh_poisson_binomial_tail(double *out, size_t k, const double *p,
                                                 size_t count, zh_error *err);

typedef struct zh_mann_whitney {
  double auc; /* P(x > y) + P(x = y) / 2 */
  double p_greater, p_two_sided;
  bool exact; /* else the normal approximation with ties, without continuity correction */
} zh_mann_whitney;
/* Exact without ties where one sample has 8 values or fewer and all arrangements can be counted in
 * doubles without rounding. */
ZH_MUST_CHECK zh_status zh_test_mann_whitney(zh_mann_whitney *out, const double *x, size_t x_count,
                                             const double *y, size_t y_count, zh_error *err);

/* p[i] = (1 + #{y >= x[i]}) / (1 + y_count): how unlike the ys an x is. */
ZH_MUST_CHECK zh_status zh_conformal_p(double *p, const double *x, size_t x_count, const double *y,
                                       size_t y_count, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
