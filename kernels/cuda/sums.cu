/* Sums of bits: what tells that two runs computed the same. */
#include "device.cuh"

namespace {

enum { THREADS = 256, BLOCKS = 1056, FOURS = 4 };

ZH_DEVICE unsigned long long weighed(uint32_t word, size_t i) {
  return (unsigned long long)word * (2 * (unsigned long long)i + 1);
}

/* Integers: any order of the additions gives the same. `fours` of sixteen bytes, four at a time, as a plain read would;
 * the rest word by word. */
ZH_KERNEL void sum_words(zh_global<unsigned long long> out, zh_global<const uint32_t> words, size_t count,
                         size_t fours) {
  ZH_SHARED(unsigned long long, parts, THREADS);
  unsigned long long sum = 0;
  size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t first = zh_block_begin() + threadIdx.x; first < fours; first += FOURS * stride) {
    uint4 four[FOURS];
#pragma unroll
    for (uint32_t k = 0; k < FOURS; ++k) {
      four[k] = make_uint4(0, 0, 0, 0);
      if (first + k * stride < fours) four[k] = zh_load<uint4>(words, 4 * (first + k * stride));
    }
#pragma unroll
    for (uint32_t k = 0; k < FOURS; ++k) {
      size_t i = 4 * (first + k * stride);
      sum += weighed(four[k].x, i) + weighed(four[k].y, i + 1) + weighed(four[k].z, i + 2) + weighed(four[k].w, i + 3);
    }
  }
  for (size_t i = 4 * fours + zh_block_begin() + threadIdx.x; i < count; i += stride) sum += weighed(words[i], i);
  parts[threadIdx.x] = sum;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) atomicAdd(&out[0], (unsigned long long)parts[0]);
}

} // namespace

zh_status zh_cuda_sum_of_bits(zh_device *device, uint64_t *out, const void *words, size_t count, zh_error *err) {
  ZH_CUDA(device, cudaMemsetAsync(out, 0, sizeof *out, device->stream), "clearing a sum");
  if (count == 0) return ZH_OK;
  unsigned blocks = zh_blocks(count, 4 * THREADS);
  ZH_LAUNCH(sum_words, blocks < BLOCKS ? blocks : (unsigned)BLOCKS, THREADS, 0, device->stream, zh_at<unsigned long long>(out),
            zh_at<const uint32_t>(words), count, (uintptr_t)words % 16 == 0 ? count / 4 : 0);
  return zh_cuda_launched(device, "summing bits", err);
}
