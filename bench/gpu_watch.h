/* Clocks, power, heat, ECC and Xid errors of the GPUs that a step computes on, read through NVML 20
 * times a second by a thread of its own, and written down in the step's folder as
 * gpu-<index>.jsonl. Where NVML is missing or does not say, the summary tells so, and the step goes
 * on. */
#ifndef ZH_BENCH_GPU_WATCH_H
#define ZH_BENCH_GPU_WATCH_H

#include <stdbool.h>

#include "bench/comm.h"
#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_gpu_watch zh_gpu_watch;

/* Watches nothing yet. folder and step are borrowed; ranks may share the folder. */
ZH_MUST_CHECK zh_status zh_gpu_watch_new(zh_gpu_watch **out, const char *folder, const char *step,
                                         int rank, zh_error *err);
/* Ends the thread; NULL is safe. */
void zh_gpu_watch_free(zh_gpu_watch *watch);

/* This rank computes on the GPU at this PCI address ("0000:17:00.0"). Every rank of a step calls
 * it, or none. */
ZH_MUST_CHECK zh_status zh_gpu_watch_add(zh_gpu_watch *watch, const char *bus, zh_error *err);
bool zh_gpu_watch_is_on(const zh_gpu_watch *watch); /* something was added; NULL is safe */

/* Around what is timed; NULL is safe. _end: mean power of this rank's GPUs together over the
 * readings made since _begin, in W; NAN where there was none. */
void zh_gpu_watch_begin(zh_gpu_watch *watch);
double zh_gpu_watch_end(zh_gpu_watch *watch);

/* Collective. Ends the readings; on rank 0 *out is an array of what was seen of
 * each rank's GPU (docs/metrics.md, "GPUs under watch"), elsewhere and without a watch NULL. */
ZH_MUST_CHECK zh_status zh_gpu_watch_finish(json_t **out, zh_gpu_watch *watch, const zh_comm *comm,
                                            zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
