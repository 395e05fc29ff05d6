/* What the files of the machine's limits share. */
#ifndef ZH_KERNELS_CUDA_LIMITS_CUH
#define ZH_KERNELS_CUDA_LIMITS_CUH

#include "device.cuh"
#include "kernels/device_limits.h"

/* zh_flow_word of device_limits.h, for kernels; limits_memory.cu holds them together. */
ZH_DEVICE uint32_t zh_flow_word_of(uint32_t key, size_t i) {
  uint32_t x = ((uint32_t)i & (ZH_FLOW_BLOCK - 1)) * 0x9E3779B1u + key;
  x ^= x >> 15;
  x *= 0x85EBCA77u;
  x ^= x >> 13;
  return x + (uint32_t)(i / ZH_FLOW_BLOCK) * 0xC2B2AE3Du;
}

/* limits_memory.cu */
zh_status zh_cuda_spread(zh_device *device, void *out, const void *pool, size_t pool_count, size_t element_bytes,
                         size_t count, uint32_t key, zh_error *err);
zh_status zh_cuda_traffic(zh_device *device, const zh_device_traffic *work, zh_error *err);

/* limits_peak.cu: FMA and mma.sync; limits_wgmma.cu: sm_90a's own. */
const zh_device_peak *const *zh_cuda_peaks(const zh_device *device);
zh_status zh_cuda_peak(zh_device *device, const zh_device_peak *peak, const zh_device_peak_run *run, zh_error *err);
#ifdef ZH_CUDA_HOPPER
extern const zh_device_peak zh_cuda_wgmma_peaks[];
extern const size_t zh_cuda_wgmma_peak_count;
bool zh_cuda_is_wgmma_peak(const zh_device_peak *peak);
zh_status zh_cuda_wgmma_peak(zh_device *device, const zh_device_peak *peak, const zh_device_peak_run *run,
                             zh_error *err);
#endif

/* limits_gemm.cu */
zh_status zh_cuda_gemm_choose(zh_device *device, zh_device_gemm **out, const zh_device_gemm_work *work, int proposals,
                              zh_device_gemm_facts *facts, zh_error *err);
zh_status zh_cuda_gemm(zh_device *device, zh_device_gemm *gemm, zh_error *err);
void zh_cuda_release_gemm(zh_device_gemm *gemm);
zh_status zh_cuda_gemm_library(char *out, size_t capacity, zh_error *err);

/* limits_copy.cu */
zh_status zh_cuda_copies(zh_device *device, zh_device *other, const zh_device_copies *work, double *seconds,
                         zh_error *err);
bool zh_cuda_peers(zh_device *device, zh_device *other);
zh_status zh_cuda_empty(zh_device *device, zh_error *err);

/* limits_meet.cu */
zh_status zh_cuda_meetings(zh_device *device, void *word, uint32_t count, zh_error *err);

/* limits_table.cu */
extern const zh_device_limits zh_cuda_limits;

#endif
