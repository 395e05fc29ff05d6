/* Blocks of one launch that wait for each other (ZH_LAUNCH_TOGETHER). */
#ifndef ZH_KERNELS_CUDA_MEETING_CUH
#define ZH_KERNELS_CUDA_MEETING_CUH

#include "dialect.cuh"

/* First zh_arrive, then zh_meet with what it gave, both by all threads; in between a block may do what needs nothing of
 * the others. What any block wrote before it arrived is seen by all after they met. `word` is 0 before its first use,
 * and good for further launches of as many blocks: each meeting adds 2^31 to it in all, so that its highest bit turns
 * when the last block arrives. */
ZH_DEVICE uint32_t zh_arrive(zh_global<uint32_t> word) {
  uint32_t before = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    before = atomicAdd(&word[0], blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1u) : 1u);
  }
  return before;
}
enum { ZH_MEETING_LOOKS = 1 << 26 }; /* a look at the second level takes a hundred nanoseconds at least */

/* A block that never comes is an error of the launch, after some ten seconds or more, and no silence for ever. */
ZH_DEVICE void zh_meet(zh_global<uint32_t> word, uint32_t before, uint32_t looks = ZH_MEETING_LOOKS) {
  if (threadIdx.x == 0)
    while (((zh_load_acquire(word) ^ before) & 0x80000000u) == 0u)
      if (looks-- == 0u) zh_give_up();
  __syncthreads();
}

#endif
