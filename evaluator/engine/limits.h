/* Limits on the sum of several awards: a cap that a sentence of its own sets for all of them, and
 * what they and other levels may give together. */
#ifndef ZH_EVALUATOR_ENGINE_LIMITS_H
#define ZH_EVALUATOR_ENGINE_LIMITS_H

#include "evaluator/engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t zh_item_set;

enum { ZH_LIMIT_SHARED_CAP, ZH_LIMIT_JOINT, ZH_LIMIT_KINDS };
enum { ZH_MAX_LIMITS = 24 };

typedef struct zh_limit {
  const void *key, *part; /* whose limit: the clause of a cap; the rule and its base */
  int64_t fen;            /* of the cap, to tell two caps of one clause apart */
  int64_t bound;          /* on the sum of what is in it */
  zh_item_set items;
} zh_limit;

/* Each item is in at most one limit of each kind (the loader sees to it), which makes the best
 * split a flow and so exact. */
typedef struct zh_limits {
  zh_limit of[ZH_LIMIT_KINDS][ZH_MAX_LIMITS];
  size_t count[ZH_LIMIT_KINDS];
} zh_limits;

void zh_limits_clear(zh_limits *limits);
/* Notes the limits that bound item i. strict: with everything that may bound it. False where there
 * are too many. */
bool zh_limits_add(zh_limits *limits, const zh_case *c, const zh_award *award,
                   const zh_clause *clause, size_t i, const zh_assignment *at, bool strict);
/* The most that the items of the set, each worth at most its value, can come to together. shares:
 * NULL, or one way to split it. */
int64_t zh_limits_worth(const zh_limits *limits, const int64_t *values, size_t count,
                        zh_item_set set, int64_t *shares);

#ifdef __cplusplus
}
#endif
#endif
