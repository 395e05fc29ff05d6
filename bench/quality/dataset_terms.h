/* Under which terms a task's items may be used: what stands beside them (SOURCE.json), else what is
 * known of data sets by their names (datasets.yaml). */
#ifndef ZH_BENCH_QUALITY_DATASET_TERMS_H
#define ZH_BENCH_QUALITY_DATASET_TERMS_H

#include "bench/quality/quality.h"

/* {"dataset","title","licence","source","use","warning","file"}: licence, source and file may be
 * null; warning {"zh","en"} or null; use: open, non_commercial, conformance, unstated, unknown. New
 * reference. */
ZH_MUST_CHECK zh_status zh_dataset_terms(json_t **out, const zh_exam_task *task, zh_error *err);
/* {task: terms} of all tasks. New reference. */
ZH_MUST_CHECK zh_status zh_exam_terms(json_t **out, const zh_exam *exam, zh_error *err);
/* What people are told of them, each set once: [{"zh","en"}]. terms: of zh_exam_terms. New
 * reference. */
ZH_MUST_CHECK zh_status zh_terms_said(json_t **out, const json_t *terms, zh_error *err);

#endif
