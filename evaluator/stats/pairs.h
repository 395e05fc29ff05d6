/* Two models on the same items: how far apart they are, and how sure that is. */
#ifndef ZH_EVALUATOR_STATS_PAIRS_H
#define ZH_EVALUATOR_STATS_PAIRS_H

#include "evaluator/stats/flips.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_pair_way { ZH_BY_MCNEMAR, ZH_BY_FLIPS, ZH_BY_T, ZH_BY_NOTHING } zh_pair_way;
extern const char *const zh_pair_ways[]; /* as results show them */

/* The first less the second. */
typedef struct zh_pair {
  zh_estimate estimate;                  /* variance with that of runs; 0 or NAN: none is known */
  zh_pair_way way;                       /* how the p values were made */
  double p_greater, p_less, p_two_sided; /* NAN where there is no variance */
  double low, high;                      /* 95 %, two-sided (contrast.h) */
  double bound;                          /* lower, one-sided alpha: for non-inferiority */
  int64_t only_first, only_second;       /* items, of McNemar's test */
  bool ahead; /* the second is, by the first's own rank set; for who makes such sets */
} zh_pair;

typedef struct zh_pair_question {
  const zh_groups *groups;
  const double *first, *second; /* [items] */
  double size; /* of numbers that these were reckoned from and that are larger, if any */
  /* Variance of each mean beside that of items (of runs), with its degrees of freedom; 0: none. */
  double extra[2], extra_df[2];
  double alpha;
  zh_draws draws;
} zh_pair_question;

/* McNemar's mid-p where whatever differs is items alone of one task, scored 0 or 1; signs flipped
 * where fewer than 30 clusters differ (contrast.h counts them); else Student's t. */
ZH_MUST_CHECK zh_status zh_pair_test(zh_pair *out, const zh_pair_question *question, zh_error *err);

/* Whether a variance is known, so that anything can be said. */
bool zh_pair_known(const zh_pair *pair);
/* Whether the first is above, at one-sided alpha. */
bool zh_pair_leads(const zh_pair *pair, double alpha);

#ifdef __cplusplus
}
#endif
#endif
