/* Sign flips: the distribution of a mean of differences when each cluster's difference may as well
 * have the other sign. Replicate r has the same signs whoever computes it (Philox), so results do
 * not depend on the number of threads. */
#ifndef ZH_EVALUATOR_STATS_FLIPS_H
#define ZH_EVALUATOR_STATS_FLIPS_H

#include "evaluator/stats/groups.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a distribution is drawn. */
typedef struct zh_draws {
  size_t replicates;
  uint64_t seed;
  zh_threads *threads; /* NULL: the caller's alone */
} zh_draws;

/* Runs task over all threads, or once. */
void zh_draws_run(const zh_draws *draws, zh_task task, void *user);

/* Bit c of the signs of replicate r: 1 is +. Bits past `count` are 0. bits: (count + 63) / 64
 * words; count / 64 rounded up + ZH_SIGN_PAD words of room. */
void zh_sign_bits(uint64_t *bits, size_t count, uint64_t seed, uint64_t replicate);
/* All signs of `count` clusters, where there are no more than `replicates` of them: then replicate
 * r is r itself, and nothing is left to chance. */
bool zh_signs_all(size_t *flips, size_t count, size_t replicates);

/* Permutation test of one mean of differences: contributions (not centred) keep or change their
 * sign, the t statistic is computed anew each time. p: share of flips at least as large (as small,
 * as far from 0), drawn ones with the observed one counted in (Phipson and Smyth 2010). Clusters
 * that do not differ change nothing. size: as for zh_estimate_mean. */
typedef struct zh_flip_test {
  double p_greater, p_less, p_two_sided;
  size_t flips;
  bool exact; /* all flips of the clusters that differ, not drawn ones */
} zh_flip_test;
ZH_MUST_CHECK zh_status zh_sign_flip_test(zh_flip_test *out, const zh_groups *groups,
                                          const double *differences, double size,
                                          const zh_draws *draws, zh_error *err);

/* Models side by side: scores[m * items + i]. */
typedef struct zh_field {
  const zh_groups *groups;
  size_t models;
  const double *scores;
} zh_field;

/* What the flips of rank sets need: for task t, model m, replicate r the sum of flipped centred
 * contributions, sums[(t * models + m) * replicates + r]; for pairs j < k the sum of squares of
 * their differences, squares[t * pairs + p], p running over k within j; NAN where the two differ in
 * the task, and by as much in every cluster, so that their variance is not known. Scores that are 0
 * or 1, of items alone, are packed into bits. */
typedef struct zh_flipped {
  size_t replicates; /* that were made: all flips where they are fewer than asked for */
  bool all, packed;
  double *means; /* [models] */
  double *sums, *squares;
} zh_flipped;
ZH_MUST_CHECK zh_status zh_flip_field(zh_flipped *out, const zh_field *field, const zh_draws *draws,
                                      zh_error *err);
void zh_flipped_clear(zh_flipped *flipped);

#ifdef __cplusplus
}
#endif
#endif
