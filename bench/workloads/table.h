#ifndef ZH_BENCH_WORKLOADS_TABLE_H
#define ZH_BENCH_WORKLOADS_TABLE_H

#include "bench/workload.h"

extern const zh_workload zh_workload_null, zh_workload_memory, zh_workload_compute, zh_workload_gemm, zh_workload_mpi,
    zh_workload_prefill, zh_workload_decode, zh_workload_perplexity, zh_workload_quality, zh_workload_liveness, zh_workload_gpu_memory,
    zh_workload_gpu_compute, zh_workload_gpu_gemm, zh_workload_gpu_copy, zh_workload_gpu_launch, zh_workload_gpu_collective;

#endif
