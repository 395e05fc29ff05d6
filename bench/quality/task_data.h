/* Where a task's items come from: files that the task names, a folder of data sets, or made by the
 * product itself (procedural.h). */
#ifndef ZH_BENCH_QUALITY_TASK_DATA_H
#define ZH_BENCH_QUALITY_TASK_DATA_H

#include "bench/quality/quality.h"

/* Rows of a split of the task's data set, all with the same keys. *files gets what was read. New
 * reference. */
ZH_MUST_CHECK zh_status zh_task_split(json_t **rows, json_t *files, const zh_task_file *file,
                                      const json_t *config, const char *split,
                                      const zh_task_options *options, zh_error *err);

#endif
