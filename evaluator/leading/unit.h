/* What a verdict is about: a modality (the mean of its tasks) or one task, with the claimant held
 * against every peer that answered the same items. */
#ifndef ZH_EVALUATOR_LEADING_UNIT_H
#define ZH_EVALUATOR_LEADING_UNIT_H

#include "evaluator/leading/scores.h"
#include "evaluator/stats/pairs.h"
#include "evaluator/stats/rank_sets.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_unit {
  const char *name;
  bool is_task;
  bool shares;              /* all scores lie in 0 to 1: differences are shown in points of 100 */
  size_t first_task, tasks; /* of the table */
  size_t models;
  zh_groups *groups;
  double *scores;     /* [models][items] */
  double *means;      /* [models] */
  double *extra;      /* [models]: variance of the mean over runs; 0 where it is not known */
  zh_pair *pairs;     /* [models]; of 0, the claimant, nothing */
  zh_rank_set own;    /* of the claimant */
  zh_rank_set *joint; /* [models] */
  double run_spread;  /* the largest range over runs of any model; NAN where nothing ran twice */
  size_t run_spread_model;
} zh_unit;

/* Tasks first … first + count - 1 of the table. */
ZH_MUST_CHECK zh_status zh_unit_create(zh_unit *out, const zh_table *table, size_t first,
                                       size_t count, bool is_task, const zh_protocol *protocol,
                                       zh_threads *threads, zh_error *err);
void zh_unit_clear(zh_unit *unit);

/* Clusters in favour of a claimant that leads that peer which, had they come out the other way, the
 * largest first, would end its lead by the test that showed it. */
ZH_MUST_CHECK zh_status zh_unit_fragility(size_t *turned, const zh_unit *unit,
                                          const zh_table *table, size_t peer,
                                          const zh_protocol *protocol, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
