/* Shares of items: intervals, McNemar's tests, and how many items a difference needs. Formulas and
 * sources: docs/metrics.md, "Leading in China". */
#ifndef ZH_EVALUATOR_STATS_PROPORTIONS_H
#define ZH_EVALUATOR_STATS_PROPORTIONS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_interval {
  double low, high;
} zh_interval;

/* successes may be fractional: a published score times its number of items. 0 <= k <= n, n > 0. */
zh_interval zh_wilson(double successes, double n, double confidence);
/* k1/n1 - k2/n2 of independent samples (Newcombe's method 10). */
zh_interval zh_newcombe(double k1, double n1, double k2, double n2, double confidence);
/* (b - c) / n of pairs: both right a, only the first b, only the second c, neither d (Newcombe's
 * paired method 10). */
zh_interval zh_newcombe_paired(double a, double b, double c, double d, double confidence);
/* The same by Tango's score test: the differences that a test of n pairs, of which b speak for the
 * first and c for the second, does not reject. b and c may be fractional; b + c <= n, n > 0. */
zh_interval zh_tango(double b, double c, double n, double confidence);

/* b: only the first is right; c: only the second. Greater: that the first is better. */
typedef struct zh_mcnemar {
  double exact, mid_p;                 /* two-sided */
  double exact_greater, mid_p_greater; /* one-sided */
} zh_mcnemar;
zh_mcnemar zh_mcnemar_test(int64_t b, int64_t c);

/* Chance to find a difference, and items needed to find it with that chance. sides: 1 or 2. */
/* Of pairs, where a share `discordance` of the items is right in one of the two alone. */
double zh_paired_power(double difference, double discordance, double items, double alpha,
                       int sides);
double zh_paired_items(double difference, double discordance, double power, double alpha,
                       int sides);
/* Of two independent samples of `items` each. */
double zh_two_proportion_power(double p1, double p2, double items, double alpha, int sides);
double zh_two_proportion_items(double p1, double p2, double power, double alpha, int sides);

#ifdef __cplusplus
}
#endif
#endif
