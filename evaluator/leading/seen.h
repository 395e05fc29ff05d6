/* Items that may have been seen: a table task,item beside the protocol. */
#ifndef ZH_EVALUATOR_LEADING_SEEN_H
#define ZH_EVALUATOR_LEADING_SEEN_H

#include "evaluator/leading/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_seen {
  bool *gone;       /* [items of the table]: listed */
  size_t listed;    /* rows of the list */
  size_t left_out;  /* items of the table */
  size_t not_found; /* rows of a task that was scored, of items that it has not */
  size_t elsewhere; /* rows of tasks that were not scored */
  char *example;    /* an item of not_found; NULL: none */
} zh_seen;

/* A task whose listed items are all unknown, or a list of which nothing fits, goes into refusals:
 * it cannot be a list of these items. One without rows says that none was seen. */
ZH_MUST_CHECK zh_status zh_seen_read(zh_seen *out, const zh_table *table, const char *path,
                                     zh_refusals *refusals, zh_error *err);
void zh_seen_clear(zh_seen *seen);

#ifdef __cplusplus
}
#endif
#endif
