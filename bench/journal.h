/* journal.jsonl: what happened when, one line an event, appended and fsynced, keyed by the plan's digest. */
#ifndef ZH_BENCH_JOURNAL_H
#define ZH_BENCH_JOURNAL_H

#include <stdbool.h>

#include "core/digest.h"
#include "core/json.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_journal {
  char path[4096];
  char plan_sm3[ZH_DIGEST_HEX];
} zh_journal;

/* Appends {"utc","event","plan_sm3", …members of details}. Takes `details` (may be NULL). */
ZH_MUST_CHECK zh_status zh_journal_add(const zh_journal *journal, const char *event, json_t *details, zh_error *err);

/* All whole lines. A last line without its newline was cut off by a crash: it is left out, and cut from the file so
 * that the next line begins afresh. Lines of another plan are ZH_ERR_INPUT. */
ZH_MUST_CHECK zh_status zh_journal_read(json_t **out, const zh_journal *journal, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
