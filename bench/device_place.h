/* Which GPU each rank of a step computes on. */
#ifndef ZH_BENCH_DEVICE_PLACE_H
#define ZH_BENCH_DEVICE_PLACE_H

#include "bench/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collective. asked, *out: as zh_engine_options.device. The ranks of a node take its GPUs one after the other from the
 * asked one on; where the launcher shows each rank one GPU alone, that one. ZH_ERR_LACKING in one sentence, on all
 * ranks, where there are too few or two ranks would share one. The CPU and a rank alone get what was asked for. */
ZH_MUST_CHECK zh_status zh_device_place(int *out, int asked, const zh_comm *comm, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
