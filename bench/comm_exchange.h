/* What groups of GPUs (kernels/device_group.h) ask of the ranks on the host, by a communicator. */
#ifndef ZH_BENCH_COMM_EXCHANGE_H
#define ZH_BENCH_COMM_EXCHANGE_H

#include "bench/comm.h"
#include "kernels/device_group.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of all ranks of `comm`, which outlives it. */
zh_exchange zh_comm_exchange(const zh_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
