/* What scores.c and scores_opencompass.c share. */
#ifndef ZH_BENCH_QUALITY_SCORES_H
#define ZH_BENCH_QUALITY_SCORES_H

#include "bench/quality/quality.h"

/* Which option is right: a number, or a list of numbers; -100 where it is none. New reference. */
ZH_MUST_CHECK zh_status zh_gold_options(json_t **out, const zh_exam_task *task, const json_t *doc,
                                        const json_t *choices, zh_error *err);
bool zh_is_gold(const json_t *gold, size_t chosen);
/* The right answers as a list of texts; *several: the item has a list of them. New reference. */
ZH_MUST_CHECK zh_status zh_right_answers(json_t **out, bool *several, const zh_exam_task *task,
                                         const json_t *doc, zh_error *err);
/* {"accuracy": 0 or 1} */
ZH_MUST_CHECK zh_status zh_score_opencompass(json_t *scores, const zh_exam_task *task,
                                             const json_t *doc, const zh_request *requests,
                                             size_t count, const json_t *filtered, zh_error *err);

#endif
