/* A comparison among the applicant's papers: a locked protocol and tables of scores, from which the
 * verdict is made anew. */
#ifndef ZH_EVALUATOR_LEADING_COMPARISON_H
#define ZH_EVALUATOR_LEADING_COMPARISON_H

#include "evaluator/applicant_reader.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_comparison {
  const char *verdict;   /* "leading", "tied", "not_leading", "insufficient" */
  const char *claimant;  /* the protocol's name for it */
  const char *model_sm3; /* what protocol and table both say its files are; NULL: not both do */
  zh_phrase name;        /* the verdict's */
  zh_phrase decided_by;  /* the sentences that decided it */
} zh_comparison;

/* {protocol: {file, sm3}, scores: [{file, sm3}, …]}: the papers, the protocol first, and, where the
 * folder is open, claim->comparison. */
ZH_MUST_CHECK zh_status zh_read_comparison(zh_claim *claim, const zh_reader *r,
                                           const zh_yaml_node *map, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
