/* How a score falls as items get harder: of tasks whose items have a column "level". */
#ifndef ZH_BENCH_QUALITY_CURVES_H
#define ZH_BENCH_QUALITY_CURVES_H

#include "bench/quality/quality.h"

/* values: {"metric,filter": [a score of each item asked, in order]}. *out: {"metric,filter":
 * {"levels": [{"level", "items", "score", "low", "high"}], "half": {"level": number or null,
 * "side": "within", "below" the first level or "above" the last}}}, of scores from 0 to 1 that are
 * averaged; NULL where items have no levels. New reference. Formulas: docs/metrics.md. */
ZH_MUST_CHECK zh_status zh_curves_make(json_t **out, const zh_exam_task *task, const json_t *values,
                                       zh_error *err);

#endif
