/* Strengths of models that were compared two at a time: P(a beats b) = 1 / (1 + exp(s_b - s_a))
 * (Bradley and Terry 1952), by maximum likelihood, a tie being half a win for each. Intervals are
 * percentiles of a bootstrap that draws whole clusters (all comparisons of one prompt). */
#ifndef ZH_EVALUATOR_STATS_BRADLEY_TERRY_H
#define ZH_EVALUATOR_STATS_BRADLEY_TERRY_H

#include "evaluator/stats/flips.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_match {
  uint32_t a, b, cluster;
  double won; /* by a: 1, 0, or 0.5 for a tie */
} zh_match;

typedef struct zh_strength {
  double strength;  /* mean over models 0; x 400 / ln 10 is Elo's scale */
  double low, high; /* 95 %; NAN where too many replicates have no finite estimate */
} zh_strength;

/* matches need not be sorted; clusters are numbered from 0. undefined: replicates in which some
 * models always win against the others. ZH_ERR_INPUT where that is so of the matches themselves. */
ZH_MUST_CHECK zh_status zh_bradley_terry(zh_strength *out, size_t *undefined, size_t models,
                                         const zh_match *matches, size_t count, size_t clusters,
                                         double confidence, const zh_draws *draws, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
