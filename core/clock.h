/* Time. Its own file, so that tests can replace it. */
#ifndef ZH_CORE_CLOCK_H
#define ZH_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

int64_t zh_now_ns(void); /* CLOCK_MONOTONIC; what every sample is timed with */
/* An independent reading (CLOCK_BOOTTIME, read apart): a run compares elapsed times of both. */
int64_t zh_reference_now_ns(void);
/* --inject fault=clock: from now on zh_now_ns runs at `rate` times true speed. 1.0 restores it. */
void zh_clock_inject_rate(double rate);
/* "2026-11-21T10:08:12Z" */
void zh_utc_now(char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
