/* Several processes share the pass over the bytes and the looks at the values; rank 0 gets what
 * each saw. Numbers travel one by one at fixed widths, little-endian. */
#ifndef ZH_EVALUATOR_AUDIT_RANKS_H
#define ZH_EVALUATOR_AUDIT_RANKS_H

#include "evaluator/audit/audit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether this process looks at unit i: whole matrices, in runs of about equal bytes. */
bool zh_rank_owns(const zh_auditor *a, size_t i);
/* True on every rank but 0. */
bool zh_rank_only_helps(const zh_auditor *a);
ZH_MUST_CHECK zh_status zh_ranks_plan(zh_auditor *a, zh_error *err);

/* print NULL: the limit that a rank kept its prints to; else one of them. */
typedef zh_status (*zh_print_taker)(void *user, const zh_row_print *print, uint64_t limit);
ZH_MUST_CHECK zh_status zh_ranks_share_scan(zh_auditor *a, const zh_row_print *prints,
                                            size_t print_count, uint64_t limit,
                                            zh_print_taker taker, void *user, zh_error *err);
ZH_MUST_CHECK zh_status zh_ranks_share_flags(zh_auditor *a, unsigned char *flags, size_t count,
                                             zh_error *err);
/* columns_max: room for a row of values. */
ZH_MUST_CHECK zh_status zh_ranks_share_portraits(zh_auditor *a, const unsigned char *looked_at,
                                                 size_t columns_max, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
