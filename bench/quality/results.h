/* Results as lm-evaluation-harness writes them: one document, and a line for each item and filter.
 */
#ifndef ZH_BENCH_QUALITY_RESULTS_H
#define ZH_BENCH_QUALITY_RESULTS_H

#include "bench/quality/quality.h"
#include "core/text.h"

/* A task's part. */
typedef struct zh_marks {
  json_t *result;  /* {"alias", "sample_len", "acc,none", "acc_stderr,none" …} */
  zh_text samples; /* lines */
  zh_text rows;    /* of the decision (decision.h), without a header */
  char hash[65];   /* SHA-256 over the hashes of all items */
  json_t *curves;  /* scores by level (curves.h); NULL: items have none */
} zh_marks;

/* requests: answered; those of an item beside each other, items in order. */
ZH_MUST_CHECK zh_status zh_marks_make(zh_marks *out, const zh_exam_task *task,
                                      const zh_requests *requests, zh_error *err);
void zh_marks_free(zh_marks *marks);

/* {"results","groups","group_subtasks","configs","versions","n-shot","higher_is_better",
 * "n-samples","task_hashes","curves"}; marks: of exam->tasks. New reference. */
ZH_MUST_CHECK zh_status zh_exam_results(json_t **out, const zh_exam *exam, const zh_marks *marks,
                                        zh_error *err);

#endif
