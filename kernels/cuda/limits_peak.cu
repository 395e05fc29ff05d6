/* Arithmetic peaks: fused multiply-adds, and matrix products of a warp (mma.sync), from registers. */
#include <string.h>

#include "limits.cuh"
#include "limits_mma.cuh"

enum { STEPS = 4, COPIES = 8, THREADS = 256 };

/* --- fused multiply-adds --- */

ZH_DEVICE float fused(float a, float b, float c) { return fmaf(a, b, c); }
ZH_DEVICE double fused(double a, double b, double c) { return fma(a, b, c); }
ZH_DEVICE uint32_t word_of(float x) { return zh_bits(x); }
ZH_DEVICE uint32_t word_of(double x) {
#ifdef __CUDACC__
  return (uint32_t)__double2hiint(x) + (uint32_t)__double2loint(x);
#else
  uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return (uint32_t)(bits >> 32) + (uint32_t)bits;
#endif
}

template <class T> ZH_KERNEL void fma_loop(zh_global<const T> operands, zh_global<uint32_t> sums, uint64_t rounds) {
  enum { ALL = ZH_PEAK_CHAINS * ZH_PEAK_LANES };
  T x[ZH_PEAK_CHAINS], y[ZH_PEAK_CHAINS];
  unsigned lane = threadIdx.x % ZH_PEAK_LANES;
  T h = operands[2 * ALL + lane];
#pragma unroll
  for (int c = 0; c < ZH_PEAK_CHAINS; ++c) {
    x[c] = operands[c * ZH_PEAK_LANES + lane];
    y[c] = operands[ALL + c * ZH_PEAK_LANES + lane];
  }
  for (uint64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int repeat = 0; repeat < ZH_PEAK_REPEATS; ++repeat) {
#pragma unroll
      for (int c = 0; c < ZH_PEAK_CHAINS; ++c) x[c] = fused(h, y[c], x[c]);
#pragma unroll
      for (int c = 0; c < ZH_PEAK_CHAINS; ++c) y[c] = fused(-h, x[c], y[c]);
    }
  }
  uint32_t sum = 0;
#pragma unroll
  for (int c = 0; c < ZH_PEAK_CHAINS; ++c)
    sum += (2u * (uint32_t)c + 1u) * word_of(x[c]) + (2u * (uint32_t)c + 2u) * word_of(y[c]);
  sums[zh_block_begin() + threadIdx.x] = sum;
}

/* --- matrix products of a warp --- */

template <class NUMBER>
ZH_KERNEL void mma_loop(zh_global<const uint32_t> operands, zh_global<uint32_t> sums, uint64_t rounds) {
  enum { WORDS = ZH_PEAK_ROW_BYTES / 4, ROWS = 16, COLUMNS = 8 };
  uint32_t a[STEPS][4], b[STEPS][2], sum = 0;
  unsigned lane = threadIdx.x % 32, at = lane / 4, word = lane % 4;
#pragma unroll
  for (int s = 0; s < STEPS; ++s) {
#pragma unroll
    for (int r = 0; r < 4; ++r) a[s][r] = operands[(s * ROWS + at + 8 * (r % 2)) * WORDS + word + 4 * (r / 2)];
#pragma unroll
    for (int r = 0; r < 2; ++r) b[s][r] = operands[(STEPS * ROWS + s * COLUMNS + at) * WORDS + word + 4 * r];
  }
  for (uint64_t round = 0; round < rounds; ++round) {
    typename NUMBER::sum d[COPIES][4] = {};
#pragma unroll 1
    for (int repeat = 0; repeat < ZH_PEAK_REPEATS; ++repeat) {
#pragma unroll
      for (int s = 0; s < STEPS; ++s) {
#pragma unroll
        for (int c = 0; c < COPIES; ++c) NUMBER::multiply(d[c], a[(s + c) % STEPS], b[(s + c) % STEPS]);
      }
    }
#pragma unroll
    for (int c = 0; c < COPIES; ++c) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum += (2u * (uint32_t)e + 1u) * zh_whole(d[c][e]);
    }
  }
  sums[zh_block_begin() + threadIdx.x] = sum;
}

ZH_KERNEL void mma_f64_loop(zh_global<const double> operands, zh_global<uint32_t> sums, uint64_t rounds) {
  double a[STEPS], b[STEPS];
  uint32_t sum = 0;
  unsigned lane = threadIdx.x % 32;
#pragma unroll
  for (int s = 0; s < STEPS; ++s) {
    a[s] = operands[s * 32 + lane];
    b[s] = operands[(STEPS + s) * 32 + lane];
  }
  for (uint64_t round = 0; round < rounds; ++round) {
    double d[COPIES][2] = {};
#pragma unroll 1
    for (int repeat = 0; repeat < ZH_PEAK_REPEATS; ++repeat) {
#pragma unroll
      for (int s = 0; s < STEPS; ++s) {
#pragma unroll
        for (int c = 0; c < COPIES; ++c) zh_mma_f64(d[c], a[(s + c) % STEPS], b[(s + c) % STEPS]);
      }
    }
#pragma unroll
    for (int c = 0; c < COPIES; ++c) sum += (uint32_t)(int32_t)d[c][0] + 3u * (uint32_t)(int32_t)d[c][1];
  }
  sums[zh_block_begin() + threadIdx.x] = sum;
}

ZH_KERNEL void mma_f64_large_loop(zh_global<const double> operands, zh_global<uint32_t> sums, uint64_t rounds) {
  enum { ROWS = 16, COLUMNS = 8, DEPTH = 16, LARGE_STEPS = 2, LARGE_COPIES = 4 };
  double a[LARGE_STEPS][8], b[LARGE_STEPS][4];
  uint32_t sum = 0;
  unsigned lane = threadIdx.x % 32, at = lane / 4, word = lane % 4;
#pragma unroll
  for (int s = 0; s < LARGE_STEPS; ++s) {
#pragma unroll
    for (int i = 0; i < 8; ++i) a[s][i] = operands[(s * ROWS + at + 8 * (i % 2)) * DEPTH + word + 4 * (i / 2)];
#pragma unroll
    for (int i = 0; i < 4; ++i) b[s][i] = operands[(LARGE_STEPS * ROWS + s * COLUMNS + at) * DEPTH + word + 4 * i];
  }
  for (uint64_t round = 0; round < rounds; ++round) {
    double d[LARGE_COPIES][4] = {};
#pragma unroll 1
    for (int repeat = 0; repeat < ZH_PEAK_REPEATS; ++repeat) {
#pragma unroll
      for (int s = 0; s < LARGE_STEPS; ++s) {
#pragma unroll
        for (int c = 0; c < LARGE_COPIES; ++c)
          zh_mma_f64_large(d[c], a[(s + c) % LARGE_STEPS], b[(s + c) % LARGE_STEPS]);
      }
    }
#pragma unroll
    for (int c = 0; c < LARGE_COPIES; ++c) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum += (2u * (uint32_t)e + 1u) * (uint32_t)(int32_t)d[c][e];
    }
  }
  sums[zh_block_begin() + threadIdx.x] = sum;
}

/* --- the table --- */

static const zh_device_peak WARP_PEAKS[] = {
    {"fp64_fma", "fma", "FLOP/s", ZH_NUMBER_F64, 0, 0, 0, 0, 0, 1, THREADS, 4},
    {"fp32_fma", "fma", "FLOP/s", ZH_NUMBER_F32, 0, 0, 0, 0, 0, 1, THREADS, 8},
    {"fp64_tensor", "mma.m16n8k16", "FLOP/s", ZH_NUMBER_F64, 16, 8, 16, 2, 4, 32, THREADS, 2},
    {"fp64_tensor", "mma.m8n8k4", "FLOP/s", ZH_NUMBER_F64, 8, 8, 4, STEPS, COPIES, 32, THREADS, 2},
    {"tf32_tensor", "mma.m16n8k8", "FLOP/s", ZH_NUMBER_TF32, 16, 8, 8, STEPS, COPIES, 32, THREADS, 2},
    {"bf16_tensor", "mma.m16n8k16", "FLOP/s", ZH_NUMBER_BF16, 16, 8, 16, STEPS, COPIES, 32, THREADS, 2},
    {"fp16_tensor", "mma.m16n8k16", "FLOP/s", ZH_NUMBER_F16, 16, 8, 16, STEPS, COPIES, 32, THREADS, 2},
    {"int8_tensor", "mma.m16n8k32", "OP/s", ZH_NUMBER_INT8, 16, 8, 32, STEPS, COPIES, 32, THREADS, 2},
    {"fp8_tensor", "mma.m16n8k32", "FLOP/s", ZH_NUMBER_E4M3, 16, 8, 32, STEPS, COPIES, 32, THREADS, 2}};
enum { PEAKS_MAX = 32 };

/* Whether the device has the instruction of a warp's loop, each of which counts as what it multiplies. What a compiler
 * makes of others may be less: the product does not change from round to round. tests/system/cuda_code.py counts. */
static bool has_loop(const zh_device *device, const zh_device_peak *peak) {
  if (peak->number == ZH_NUMBER_E4M3) return zh_cuda_has_mma_e4m3(device) && zh_cuda_has_e4m3_units(device);
#ifdef __CUDACC__ /* the shim plays this one */
  if (peak->number == ZH_NUMBER_F64 && peak->rows == 16) return device->facts.major >= 9;
#endif
  return true;
}

const zh_device_peak *const *zh_cuda_peaks(const zh_device *device) {
  static thread_local const zh_device_peak *list[PEAKS_MAX + 1];
  size_t count = 0;
#ifdef ZH_CUDA_HOPPER
  bool built = strstr(ZH_CUDA_ARCHITECTURES, "90a") || strcmp(ZH_CUDA_ARCHITECTURES, "release") == 0;
  for (size_t i = 0; built && device->facts.major == 9 && i < zh_cuda_wgmma_peak_count; ++i)
    list[count++] = &zh_cuda_wgmma_peaks[i];
#endif
  for (const zh_device_peak &peak : WARP_PEAKS)
    if (has_loop(device, &peak)) list[count++] = &peak;
  list[count] = nullptr;
  return list;
}

zh_status zh_cuda_peak(zh_device *device, const zh_device_peak *peak, const zh_device_peak_run *run, zh_error *err) {
#ifdef ZH_CUDA_HOPPER
  if (zh_cuda_is_wgmma_peak(peak)) return zh_cuda_wgmma_peak(device, peak, run, err);
#endif
  zh_global<const uint32_t> words = zh_at<const uint32_t>(run->operands);
  zh_global<const float> floats = zh_at<const float>(run->operands);
  zh_global<const double> doubles = zh_at<const double>(run->operands);
  zh_global<uint32_t> sums = zh_at<uint32_t>(run->sums);
#define ZH_PEAK(kernel, operands)                                                                                      \
  ZH_LAUNCH(kernel, run->blocks, THREADS, 0, device->stream, operands, sums, run->rounds)
  switch (peak->number) {
  case ZH_NUMBER_F64:
    if (peak->rows == 0)
      ZH_PEAK(fma_loop<double>, doubles);
    else if (peak->rows == 16)
      ZH_PEAK(mma_f64_large_loop, doubles);
    else
      ZH_PEAK(mma_f64_loop, doubles);
    break;
  case ZH_NUMBER_F32: ZH_PEAK(fma_loop<float>, floats); break;
  case ZH_NUMBER_TF32: ZH_PEAK(mma_loop<zh_mma_of_tf32>, words); break;
  case ZH_NUMBER_BF16: ZH_PEAK(mma_loop<zh_mma_of_bf16>, words); break;
  case ZH_NUMBER_F16: ZH_PEAK(mma_loop<zh_mma_of_f16>, words); break;
  case ZH_NUMBER_E4M3: ZH_PEAK(mma_loop<zh_mma_of_e4m3>, words); break;
  case ZH_NUMBER_INT8: ZH_PEAK(mma_loop<zh_mma_of_int8>, words); break;
  }
#undef ZH_PEAK
  return zh_cuda_launched(device, peak->metric, err);
}
