/* A rank ends when the supervisor that started it is gone, however it went. */
#ifndef ZH_BENCH_LIFELINE_H
#define ZH_BENCH_LIFELINE_H

#include <sys/types.h>

#include "core/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* {"pid","start","host"} of this process; `start` (clock ticks since boot) tells a reused pid apart. */
json_t *zh_lifeline_describe(void);
/* Starts a thread that ends this process with SIGKILL once the described process (where it is on this host) or
 * process `parent` (0: none) is gone. Ends it at once when that has already happened. */
ZH_MUST_CHECK zh_status zh_lifeline_hold(const json_t *supervisor, pid_t parent, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
