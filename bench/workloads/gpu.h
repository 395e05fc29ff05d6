/* What the workloads of GPUs share: the module and a rank's device, numbers as it holds them, and
 * time by its own events. */
#ifndef ZH_BENCH_WORKLOADS_GPU_H
#define ZH_BENCH_WORKLOADS_GPU_H

#include "bench/workload.h"
#include "kernels/device_limits.h"

typedef struct zh_gpu {
  const zh_device_api *api;
  const zh_device_limits *limits;
  zh_device *device;
  zh_device_facts facts;
  zh_device_event *begin, *end;
  int index;
} zh_gpu;

/* The parameter of all of them. */
#define ZH_GPU_PARAMETER                                                                           \
  {                                                                                                \
    .name = "device", .kind = ZH_PARAMETER_INT, .fallback = "0", .min = 0, .max = 1023,            \
    .help = "the first rank's GPU on its node; further ranks take the next ones"                   \
  }

/* Collective. Opens this rank's device (bench/device_place.h), has it watched, and notes it among
 * the facts. ZH_ERR_LACKING, by which the step is skipped, says in one sentence what this node has
 * not. */
ZH_MUST_CHECK zh_status zh_gpu_open(zh_gpu *out, zh_job *job, zh_error *err);
void zh_gpu_close(zh_gpu *gpu); /* zeros are safe */

/* Around what is enqueued; _end waits and gives nanoseconds. */
ZH_MUST_CHECK zh_status zh_gpu_begin(zh_gpu *gpu, zh_error *err);
ZH_MUST_CHECK zh_status zh_gpu_end(zh_gpu *gpu, double *ns, zh_error *err);

/* Moved and there when they return. */
ZH_MUST_CHECK zh_status zh_gpu_put(zh_gpu *gpu, void *to, const void *from, size_t bytes,
                                   zh_error *err);
ZH_MUST_CHECK zh_status zh_gpu_get(zh_gpu *gpu, void *to, const void *from, size_t bytes,
                                   zh_error *err);

/* sum of zh_flow_word(key, i), i < words, modulo 2^32. */
uint32_t zh_flow_sum(uint32_t key, uint64_t words);

bool zh_job_lists(const zh_job *job, const char *parameter, const char *word);

/* --- numbers (gpu_numbers.c) --- */

size_t zh_number_bytes(zh_device_number number);
/* out[i] = the number nearest to the value, ties to even; E4M3 and INT8 at most their largest. */
void zh_number_put(void *out, size_t i, zh_device_number number, double value);
double zh_number_at(const void *in, size_t i, zh_device_number number);

#endif
