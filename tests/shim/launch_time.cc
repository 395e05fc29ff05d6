/* Prints what a launch takes under the shim: the least of many, in microseconds. Not a test. */
#include <chrono>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/dialect.cuh"

ZH_KERNEL void nothing() {}
ZH_KERNEL void barriers(unsigned count) {
  for (unsigned i = 0; i < count; i++) __syncthreads();
}
ZH_KERNEL void sum_of_block(zh_global<float> y, zh_global<const float> x) {
  ZH_SHARED(float, s, 8);
  float sum = zh_warp_sum(x[zh_block_begin() + threadIdx.x]);
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0)
    for (unsigned i = 1; i < 8; i++) sum += s[i];
  if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
ZH_KERNEL void read_all(zh_global<float> y, zh_global<const uint32_t> x, size_t vectors) {
  uint32_t sum = 0;
  for (size_t i = threadIdx.x; i < vectors; i += blockDim.x) sum ^= zh_load<uint4>(x, 4 * i).x;
  y[threadIdx.x] = zh_float(sum);
}

template <class Launch> static void time_of(const char *what, Launch launch) {
  double least = 1e30;
  for (int i = 0; i < 300; i++) {
    auto begin = std::chrono::steady_clock::now();
    launch();
    if (cudaStreamSynchronize(nullptr) != cudaSuccess) {
      fprintf(stderr, "%s\n", zh_shim_report());
      exit(1);
    }
    std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    if (took.count() < least) least = took.count();
  }
  printf("%-52s %8.1f us\n", what, least);
}

int main(void) {
  float *x = nullptr, *y = nullptr;
  size_t vectors = (size_t)4 << 20 >> 4;
  if (cudaMalloc(&x, 4 << 20) != cudaSuccess || cudaMalloc(&y, 4096) != cudaSuccess) return 1;
  if (cudaMemset(x, 0, 4 << 20) != cudaSuccess) return 1;
  time_of("1 block of 256 threads, nothing", [] { ZH_LAUNCH(nothing, 1, 256, 0, nullptr); });
  time_of("1 block of 256 threads, 1 barrier", [] { ZH_LAUNCH(barriers, 1, 256, 0, nullptr, 1u); });
  time_of("1 block of 256 threads, 5 barriers",
          [] { ZH_LAUNCH(barriers, 1, 256, 0, nullptr, 5u); });
  time_of("1 block of 256 threads, its sum (5 shuffles, barrier)", [&] {
    ZH_LAUNCH(sum_of_block, 1, 256, 0, nullptr, zh_at<float>(y), zh_at<const float>(x));
  });
  time_of("4 MiB read in vectors of 16 bytes, 256 threads", [&] {
    ZH_LAUNCH(read_all, 1, 256, 0, nullptr, zh_at<float>(y), zh_at<const uint32_t>(x), vectors);
  });
  return 0;
}
