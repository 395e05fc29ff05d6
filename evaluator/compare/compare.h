/* Submitted models side by side: speeds, scores with paired tests, what their conditions do not
 * share, who is dominated, and what quantisation cost (docs/compare.md). */
#ifndef ZH_EVALUATOR_COMPARE_COMPARE_H
#define ZH_EVALUATOR_COMPARE_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_compare_options {
  const char *const *inputs; /* bundles, folders of evaluations, tables; "LABEL=PATH,PATH" */
  size_t input_count;
  const char *against;       /* a label; NULL: every pair */
  const char *metric;        /* of each task that has it; NULL: the task's own */
  const char *const *damage; /* "REFERENCE=MODEL,MODEL" */
  size_t damage_count;
  bool exploratory; /* Benjamini and Hochberg instead of Holm */
  double alpha;     /* 0: 0.05 */
  int threads;      /* 0: one for each CPU; the same result with any number */
} zh_compare_options;

/* The document of docs/schemas/compare.schema.json. Input that cannot be compared is no failure: it
 * is named, and has no figure. */
ZH_MUST_CHECK zh_status zh_compare(json_t **out, const zh_compare_options *options, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
