/* Whether the scores that two models got on the same items can be on one scale. */
#ifndef ZH_EVALUATOR_LEADING_SCALES_H
#define ZH_EVALUATOR_LEADING_SCALES_H

#include "evaluator/leading/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_reach {
  double most;
  bool within_one;     /* all of them in 0 to 1, and not all 0 */
  bool right_or_wrong; /* 0 and one other number, nothing else */
} zh_reach;

/* scale: what the scores were divided by; `most` is as they were before. */
zh_reach zh_reach_of(const double *scores, size_t count, double scale);
/* Shares beside percents or points: all of one in 0 to 1 while the other's pass 1, and both right
 * or wrong, or the other's much higher. A weak model's 0 and 1 of 5 points are no such sign. */
bool zh_on_two_scales(const zh_reach *shares, const zh_reach *other);
/* Refuses each task of which two models' scores are so, or all scores are beside the scale that the
 * protocol states. */
ZH_MUST_CHECK zh_status zh_scales_check(const zh_table *table, zh_refusals *refusals,
                                        zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
