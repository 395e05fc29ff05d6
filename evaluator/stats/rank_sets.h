/* Simultaneous confidence sets of ranks (Mogstad, Romano, Shaikh, Wilhelm 2024): with confidence
 * 1 - alpha the true rank of every model lies in its [low, high], all at once.
 *
 * Pairs of models are compared by stepwise max-|t| (Romano and Wolf 2005). Each pair is two
 * one-sided hypotheses; one that is rejected leaves the family, its opposite stays. The null
 * distribution is that of sign flips by cluster with the standard error computed anew, because the
 * plug-in bootstrap errs in 13 to 36 % of worlds where clusters are few (docs/leading.md); the
 * critical value is never below that of Student's t for one pair. */
#ifndef ZH_EVALUATOR_STATS_RANK_SETS_H
#define ZH_EVALUATOR_STATS_RANK_SETS_H

#include "evaluator/stats/flips.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_rank_set {
  double mean;
  size_t low, high; /* 1 is the best */
} zh_rank_set;

enum { ZH_ALL_PAIRS = -1 };

typedef struct zh_rank_options {
  double alpha;
  int claimant;        /* whose pairs alone are the family (own sets), or ZH_ALL_PAIRS (joint) */
  const double *extra; /* [models]: variance of the mean beside that of the items (runs); or NULL */
  zh_draws draws;
} zh_rank_options;

/* sets[models]; with a claimant only its own is a confidence set, those of others count what the
 * claimant's pairs alone say. untested: pairs without variance, which are never told apart. */
ZH_MUST_CHECK zh_status zh_rank_sets(zh_rank_set *sets, size_t *untested, const zh_field *field,
                                     const zh_rank_options *options, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
