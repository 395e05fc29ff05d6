/* Sums of bits: what tells that two runs computed the same. */
#include "device.cuh"

namespace {

enum { THREADS = 256, BLOCKS = 264 };

/* Integers: any order of the additions gives the same. */
ZH_KERNEL void sum_words(zh_global<unsigned long long> out, zh_global<const uint32_t> words, size_t count) {
  ZH_SHARED(unsigned long long, parts, THREADS);
  unsigned long long sum = 0;
  for (size_t i = zh_block_begin() + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x)
    sum += (unsigned long long)words[i] * (2 * (unsigned long long)i + 1);
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (uint32_t i = 1; i < THREADS; ++i) sum += parts[i];
  atomicAdd(&out[0], sum);
}

} // namespace

zh_status zh_cuda_sum_of_bits(zh_device *device, uint64_t *out, const void *words, size_t count, zh_error *err) {
  ZH_CUDA(device, cudaMemsetAsync(out, 0, sizeof *out, device->stream), "clearing a sum");
  if (count == 0) return ZH_OK;
  unsigned blocks = zh_blocks(count, THREADS);
  ZH_LAUNCH(sum_words, blocks < BLOCKS ? blocks : BLOCKS, THREADS, 0, device->stream, zh_at<unsigned long long>(out),
            zh_at<const uint32_t>(words), count);
  return zh_cuda_launched(device, "summing bits", err);
}
