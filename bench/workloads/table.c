/* The table of workloads: a new one is a file beside this one and a line here. */
#include <string.h>

#include "bench/workload.h"
#include "bench/workloads/table.h"

const char *const zh_fault_names[ZH_FAULTS + 1] = {
    "none",   "weight", "token",     "activation", "clock",   "cache", "stale", "layer",
    "layers", "swap",   "precision", "expert",     "experts", "tile",  NULL};

static const zh_workload *const TABLE[] = {&zh_workload_null,
                                           &zh_workload_memory,
                                           &zh_workload_compute,
                                           &zh_workload_gemm,
                                           &zh_workload_mpi,
                                           &zh_workload_gpu_memory,
                                           &zh_workload_gpu_compute,
                                           &zh_workload_gpu_gemm,
                                           &zh_workload_gpu_copy,
                                           &zh_workload_gpu_launch,
                                           &zh_workload_gpu_collective,
#ifdef ZH_MODEL_WORKLOADS
                                           &zh_workload_prefill,
                                           &zh_workload_decode,
                                           &zh_workload_perplexity,
                                           &zh_workload_quality,
                                           &zh_workload_liveness,
#endif
                                           NULL};

const zh_workload *const *zh_workloads(void) {
  return TABLE;
}

const zh_workload *zh_workload_find(const char *name) {
  for (const zh_workload *const *w = TABLE; *w; w++)
    if (strcmp((*w)->name, name) == 0) return *w;
  return NULL;
}
