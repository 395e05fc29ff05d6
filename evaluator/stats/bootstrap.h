/* The multinomial bootstrap of models side by side: clusters of each task drawn with replacement,
 * as many as there are, the same for all models. For intervals of single means and for tables; rank
 * sets use sign flips (rank_sets.h says why). */
#ifndef ZH_EVALUATOR_STATS_BOOTSTRAP_H
#define ZH_EVALUATOR_STATS_BOOTSTRAP_H

#include "evaluator/stats/flips.h"

#ifdef __cplusplus
extern "C" {
#endif

/* means[m * draws->replicates + r]; a cluster counts with all its items, so that the mean of a
 * replicate is a ratio. */
ZH_MUST_CHECK zh_status zh_bootstrap_means(double *means, const zh_field *field,
                                           const zh_draws *draws, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
