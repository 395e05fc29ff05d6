/* What a comparison of models reads of an examination (docs/leading.md): one score for each item,
 * by the metric that decides its task. */
#ifndef ZH_BENCH_QUALITY_DECISION_H
#define ZH_BENCH_QUALITY_DECISION_H

#include "bench/quality/quality.h"
#include "core/digest.h"
#include "core/text.h"

extern const char zh_decision_header[]; /* "item,cluster,…\n" */

/* Chooses each task's: the metric that the protocol names for it, else its first; none where that
 * is no mean over items. protocol: a file, NULL or "" where there is none. sm3: its digest, or "".
 */
ZH_MUST_CHECK zh_status zh_decision_choose(char sm3[ZH_DIGEST_HEX], zh_exam *exam,
                                           const char *protocol, zh_error *err);
const char *zh_decision_modality(const zh_exam_task *task);

/* An item's name: its number and the beginning of its data's SHA-256, "12-9f86d081884c7d65". */
enum { ZH_ITEM_NAME = 48 };
void zh_decision_item(char out[ZH_ITEM_NAME], size_t doc, const char *doc_hash);

/* What a metric is called among scores. */
const char *zh_decision_figure(const zh_item_metric *metric);
/* The item's row; nothing where the task has no deciding metric. scores: {metric: value}. */
ZH_MUST_CHECK zh_status zh_decision_row(zh_text *out, const zh_exam_task *task, const json_t *doc,
                                        const zh_request *requests, size_t count,
                                        const json_t *scores, const char *doc_hash, zh_error *err);

#endif
