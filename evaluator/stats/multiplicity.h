/* Several tests at once. p and adjusted may be the same array. */
#ifndef ZH_EVALUATOR_STATS_MULTIPLICITY_H
#define ZH_EVALUATOR_STATS_MULTIPLICITY_H

#include <stddef.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adjusted p values: a test is significant at alpha where its own is at most alpha. */
ZH_MUST_CHECK zh_status zh_holm(double *adjusted, const double *p, size_t count, zh_error *err);
ZH_MUST_CHECK zh_status zh_benjamini_hochberg(double *adjusted, const double *p, size_t count,
                                              zh_error *err);
/* The p of "all of them hold": the largest (intersection-union). 1 where there are none. */
double zh_intersection_union(const double *p, size_t count);

/* Degrees of freedom of sum(w^2 v); terms without variance add none, INFINITY where none has. */
double zh_welch_satterthwaite(const double *variances, const double *df, const double *weights,
                              size_t count);

#ifdef __cplusplus
}
#endif
#endif
