/* What is wrong with a task's items, before a model is asked: found by looking, nothing is
 * computed. */
#ifndef ZH_BENCH_QUALITY_DATA_CHECK_H
#define ZH_BENCH_QUALITY_DATA_CHECK_H

#include "bench/quality/quality.h"

/* {"task","items","findings":[{"check","severity":"error"|"warning","count","items":[first ones],
 * and of "unreadable" the "cause" of the first}],"labels":[times],"files"}. Errors make scores
 * wrong; warnings make them doubtful. New reference. */
ZH_MUST_CHECK zh_status zh_data_check(json_t **out, const zh_exam_task *task, zh_error *err);

#endif
