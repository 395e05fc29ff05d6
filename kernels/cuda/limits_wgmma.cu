/* Arithmetic peaks of Hopper's own matrix instructions (wgmma, sm_90a): four warps multiply 64 rows by 128 columns from
 * shared memory. The plain variant of each loop is mma.sync's in limits_peak.cu; both are checked by the same sums.
 *
 * Operands lie in shared memory without swizzling, depth first (PTX ISA, "Asynchronous warpgroup level matrix shared
 * memory layout"): core matrices of 8 rows of 16 bytes, 128 bytes each without gaps, the two of a row's 32 bytes behind
 * each other (leading offset 128), those of the next 8 rows behind these (stride offset 256). */
#include "hopper.cuh"
#include "limits.cuh"
#include "limits_mma.cuh"

enum { ROWS = 64, COLUMNS = 128, STEPS = 4, GROUP = 128, SUMS = 64 };
enum { CORE_BYTES = 128, LEADING = CORE_BYTES, STRIDE = 2 * CORE_BYTES };
enum { A_BYTES = ROWS * ZH_PEAK_ROW_BYTES, B_BYTES = COLUMNS * ZH_PEAK_ROW_BYTES };

#define ZH_WGMMA_PEAK(metric, variant, unit, number, depth)                                                            \
  { metric, variant, unit, number, ROWS, COLUMNS, depth, STEPS, 1, GROUP, GROUP, 4 }
const zh_device_peak zh_cuda_wgmma_peaks[] = {
    ZH_WGMMA_PEAK("tf32_tensor", "wgmma.m64n128k8", "FLOP/s", ZH_NUMBER_TF32, 8),
    ZH_WGMMA_PEAK("bf16_tensor", "wgmma.m64n128k16", "FLOP/s", ZH_NUMBER_BF16, 16),
    ZH_WGMMA_PEAK("fp16_tensor", "wgmma.m64n128k16", "FLOP/s", ZH_NUMBER_F16, 16),
    ZH_WGMMA_PEAK("fp8_tensor", "wgmma.m64n128k32", "FLOP/s", ZH_NUMBER_E4M3, 32),
    ZH_WGMMA_PEAK("int8_tensor", "wgmma.m64n128k32", "OP/s", ZH_NUMBER_INT8, 32)};
const size_t zh_cuda_wgmma_peak_count = sizeof zh_cuda_wgmma_peaks / sizeof *zh_cuda_wgmma_peaks;

bool zh_cuda_is_wgmma_peak(const zh_device_peak *peak) {
  return peak >= zh_cuda_wgmma_peaks && peak < zh_cuda_wgmma_peaks + zh_cuda_wgmma_peak_count;
}

#if ZH_HAS_HOPPER
#define ZH_WGMMA_TYPE(name, type, shape, c, rest)                                                                      \
  struct name {                                                                                                        \
    typedef type sum;                                                                                                  \
    static ZH_DEVICE void multiply(type (&d)[SUMS], uint64_t a, uint64_t b, int adds) { ZH_WGMMA(shape, c, rest); }    \
  };
#else
#define ZH_WGMMA_TYPE(name, type, shape, c, rest)                                                                      \
  struct name {                                                                                                        \
    typedef type sum;                                                                                                  \
    static ZH_DEVICE void multiply(type (&)[SUMS], uint64_t, uint64_t, int) {}                                         \
  };
#endif
ZH_WGMMA_TYPE(wgmma_of_tf32, float, "m64n128k8.f32.tf32.tf32", ZH_PLUS_F, ", 1, 1")
ZH_WGMMA_TYPE(wgmma_of_bf16, float, "m64n128k16.f32.bf16.bf16", ZH_PLUS_F, ", 1, 1, 0, 0")
ZH_WGMMA_TYPE(wgmma_of_f16, float, "m64n128k16.f32.f16.f16", ZH_PLUS_F, ", 1, 1, 0, 0")
ZH_WGMMA_TYPE(wgmma_of_e4m3, float, "m64n128k32.f32.e4m3.e4m3", ZH_PLUS_F, ", 1, 1")
ZH_WGMMA_TYPE(wgmma_of_int8, int32_t, "m64n128k32.s32.s8.s8", ZH_PLUS_R, "")

ZH_DEVICE uint64_t matrix_at(const unsigned char *shared) {
  uint64_t at = (uint64_t)__cvta_generic_to_shared(shared);
  return (at & 0x3FFFF) >> 4 | (uint64_t)(LEADING >> 4) << 16 | (uint64_t)(STRIDE >> 4) << 32;
}

/* `rows` rows of 32 bytes, as they stand in memory, into core matrices. */
ZH_DEVICE void lay(unsigned char *shared, const unsigned char *rows, int count) {
  for (int i = (int)threadIdx.x; i < count * 2; i += GROUP) {
    int row = i / 2, half = i % 2;
    *reinterpret_cast<uint4 *>(shared + row / 8 * STRIDE + half * LEADING + row % 8 * 16) =
        *reinterpret_cast<const uint4 *>(rows + row * ZH_PEAK_ROW_BYTES + half * 16);
  }
}

template <class NUMBER>
__global__ void __launch_bounds__(GROUP) wgmma_loop(const unsigned char *operands, uint32_t *sums, uint64_t rounds) {
#if ZH_HAS_HOPPER
  __shared__ __align__(128) unsigned char shared[STEPS * (A_BYTES + B_BYTES)];
  unsigned char *shared_b = shared + STEPS * A_BYTES;
  lay(shared, operands, STEPS * ROWS);
  lay(shared_b, operands + STEPS * A_BYTES, STEPS * COLUMNS);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); /* what threads wrote, for the matrix units to see */
  __syncthreads();
  uint64_t a = matrix_at(shared), b = matrix_at(shared_b);
  typename NUMBER::sum d[SUMS] = {};
  uint32_t sum = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
#pragma unroll 4
    for (int repeat = 0; repeat < ZH_PEAK_REPEATS; ++repeat) {
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
      for (int s = 0; s < STEPS; ++s)
        NUMBER::multiply(d, a + (uint64_t)(s * (A_BYTES >> 4)), b + (uint64_t)(s * (B_BYTES >> 4)), repeat + s > 0);
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    zh_wgmma_settle(d);
#pragma unroll
    for (int e = 0; e < SUMS; ++e) sum += (2u * (uint32_t)e + 1u) * zh_whole(d[e]);
  }
  sums[blockIdx.x * GROUP + threadIdx.x] = sum;
#else
  (void)operands, (void)sums, (void)rounds;
#endif
}

zh_status zh_cuda_wgmma_peak(zh_device *device, const zh_device_peak *peak, const zh_device_peak_run *run,
                             zh_error *err) {
  const unsigned char *operands = static_cast<const unsigned char *>(run->operands);
#define ZH_PEAK(kernel) ZH_LAUNCH(kernel, run->blocks, GROUP, 0, device->stream, operands, run->sums, run->rounds)
  switch (peak->number) {
  case ZH_NUMBER_TF32: ZH_PEAK(wgmma_loop<wgmma_of_tf32>); break;
  case ZH_NUMBER_BF16: ZH_PEAK(wgmma_loop<wgmma_of_bf16>); break;
  case ZH_NUMBER_F16: ZH_PEAK(wgmma_loop<wgmma_of_f16>); break;
  case ZH_NUMBER_E4M3: ZH_PEAK(wgmma_loop<wgmma_of_e4m3>); break;
  case ZH_NUMBER_INT8: ZH_PEAK(wgmma_loop<wgmma_of_int8>); break;
  default: return zh_fail(err, ZH_ERR_ARG, "there is no wgmma loop %s", peak->metric);
  }
#undef ZH_PEAK
  return zh_cuda_launched(device, peak->metric, err);
}
