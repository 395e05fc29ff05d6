/* Starts a step's ranks, waits for them within the deadline, and leaves nothing behind. */
#ifndef ZH_BENCH_SUPERVISE_H
#define ZH_BENCH_SUPERVISE_H

#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* SIGINT and SIGTERM become readable on *signal_fd, and orphans of ranks become ours to end; until _end. */
typedef struct zh_supervision {
  int signal_fd;
  int signal; /* that ended the run; 0: none */
  int subreaper_before;
  unsigned long mask_before[16]; /* sigset_t */
} zh_supervision;
ZH_MUST_CHECK zh_status zh_supervision_begin(zh_supervision *out, zh_error *err);
void zh_supervision_end(zh_supervision *supervision);

/* Runs one step of the plan; `folder` (absolute) exists and is its own. *outcome:
 * {"status","reason","error","wall_s","ranks":[{"rank","exit","signal"}],"result":{…} or null}
 * `error` is the name of the zh_status that a rank ended with, or null. ZH_ERR_INTERRUPTED when a signal came. */
ZH_MUST_CHECK zh_status zh_supervise(json_t **outcome, zh_supervision *supervision, const json_t *step,
                                     const char *folder, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
