/* What the parts of a token's head gave, in order; attention.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_ATTENTION_MERGE_CUH
#define ZH_KERNELS_CUDA_ATTENTION_MERGE_CUH

#include "attention.cuh"

namespace zh_attention_merge {

enum { ROOM = 3 * ZH_MOST_PARTS }; /* floats of shared memory */

template <int THREADS>
ZH_DEVICE void merge_parts(const zh_attention_view &v, uint32_t head, uint32_t token, zh_shared<float> room) {
  zh_shared<float> largest_of = room, weight_of = room + ZH_MOST_PARTS, factor_of = room + 2 * ZH_MOST_PARTS;
  zh_seen seen = zh_seen_of(v, token);
  uint32_t positions = seen.end - seen.begin, length = zh_part_length(v, positions),
           parts = (positions + length - 1) / length;
  size_t first = zh_part_place(v, token, head, 0), apart = v.values.dim + 2;
  float largest = -INFINITY, total = 0.0f;
  for (uint32_t p = threadIdx.x; p < parts; p += THREADS) {
    largest_of[p] = v.scratch[first + p * apart];
    weight_of[p] = v.scratch[first + p * apart + 1];
  }
  __syncthreads();
  if (v.sinks) largest = v.sinks[head];
  for (uint32_t p = 0; p < parts; ++p) largest = fmaxf(largest, largest_of[p]);
  for (uint32_t p = threadIdx.x; p < parts; p += THREADS) factor_of[p] = zh_weight_of(largest_of[p], largest);
  __syncthreads();
  if (v.sinks) total = expf(v.sinks[head] - largest);
  for (uint32_t p = 0; p < parts; ++p) total = fmaf(weight_of[p], factor_of[p], total);
  for (uint32_t i = threadIdx.x; i < v.values.dim; i += THREADS) {
    float sum = 0.0f;
#pragma unroll 8
    for (uint32_t p = 0; p < parts; ++p) sum = fmaf(v.scratch[first + p * apart + 2 + i], factor_of[p], sum);
    v.out[((size_t)token * v.heads + head) * v.values.dim + i] = sum / total;
  }
}

} // namespace zh_attention_merge

#endif
