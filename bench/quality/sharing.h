/* How ranks that each have a copy of the model share out the items of an examination. */
#ifndef ZH_BENCH_QUALITY_SHARING_H
#define ZH_BENCH_QUALITY_SHARING_H

#include "bench/comm.h"
#include "bench/quality/examinee.h"
#include "core/text.h"

/* What a request costs, in tokens of a prompt; of a group behind another. */
double zh_group_cost(const zh_asks *asks, size_t group, size_t before, const zh_exam_task *task);

/* rank_of[i]: who asks item i. The costliest item first, each to the rank that has least to do;
 * of equals the first. */
ZH_MUST_CHECK zh_status zh_share_items(int *rank_of, const double *cost, size_t items, int ranks,
                                       zh_error *err);

/* Collective. All ranks get rank 0's text; rank 0 gets those of all others, behind its own. */
ZH_MUST_CHECK zh_status zh_share_text(zh_text *text, const zh_comm *comm, zh_error *err);
ZH_MUST_CHECK zh_status zh_collect_texts(zh_text *text, const zh_comm *comm, zh_error *err);

#endif
