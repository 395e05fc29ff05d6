/* The words that our kernels are written in. By nvcc they are CUDA's; for tests the same sources are compiled by g++
 * with tests/shim/shim.h, whose threads are fibres and whose memory is watched (bounds, alignment, races between
 * barriers, barriers that not all threads reach).
 *
 *   ZH_KERNEL void add(zh_global<float> y, zh_global<const float> x, size_t count) {
 *     size_t i = zh_block_begin() + threadIdx.x;        // plain CUDA otherwise: threadIdx, blockIdx, __syncthreads,
 *     if (i < count) y[i] += x[i];                      // __syncwarp, __shfl_xor_sync, __ballot_sync, atomicAdd …
 *   }
 *   ZH_LAUNCH(add, blocks, 256, 0, stream, zh_at<float>(y), zh_at<const float>(x), count);
 *
 * Rules. Memory of the device is reached through zh_global<T> alone, which a kernel takes by value (also in a struct)
 * and which knows its bounds under the shim; the host makes one from an address by zh_at<T>. Shared memory is declared
 * by ZH_SHARED (a number of elements known when compiled) or ZH_SHARED_DYNAMIC (once a kernel, cut up by zh_part).
 * Wide loads and stores go by zh_load / zh_store of uint2, uint4, float2, float4, which check alignment. Bits of bf16,
 * f16 and e4m3 travel as uint16_t and uint8_t. Warps are 32 threads. No recursion, no printf, no malloc.
 * docs/adding-a-gpu-kernel.md has more, and what is reported of a kernel that breaks them. */
#ifndef ZH_KERNELS_CUDA_DIALECT_CUH
#define ZH_KERNELS_CUDA_DIALECT_CUH

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define ZH_KERNEL __global__
#define ZH_DEVICE __device__ __forceinline__
#define ZH_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                      \
  kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
/* Of a grid whose blocks wait for those of the same number on other GPUs: no more than run at once. */
#define ZH_LAUNCH_AMONG ZH_LAUNCH

/* Blocks that all live at once and may wait for each other; refused where they do not fit. */
#define ZH_LAUNCH_TOGETHER(kernel, grid, block, shared_bytes, stream, ...)                                             \
  zh_launch_together((kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)
template <class... Parameters, class... Arguments>
static inline void zh_launch_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                                      cudaStream_t stream, Arguments... arguments) {
  cudaLaunchConfig_t how = {};
  cudaLaunchAttribute together = {};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  how.gridDim = grid;
  how.blockDim = block;
  how.dynamicSmemBytes = shared_bytes;
  how.stream = stream;
  how.attrs = &together;
  how.numAttrs = 1;
  cudaLaunchKernelEx(&how, kernel, arguments...);
}

template <class T> using zh_global = T *;
template <class T> using zh_shared = T *;
template <class T> static inline zh_global<T> zh_at(const void *address) {
  return (T *)const_cast<void *>(address);
}

#define ZH_SHARED(T, name, count)                                                                                      \
  __shared__ __align__(16) T name##_store[count];                                                                      \
  zh_shared<T> name = name##_store
#define ZH_SHARED_DYNAMIC(name)                                                                                        \
  extern __shared__ __align__(16) unsigned char zh_dynamic_shared[];                                                   \
  zh_shared<unsigned char> name = zh_dynamic_shared
/* Elements of T from byte `offset` on; offset a multiple of T's alignment. */
template <class T> ZH_DEVICE zh_shared<T> zh_part(zh_shared<unsigned char> bytes, size_t offset, size_t count) {
  (void)count; /* the shim's bound */
  return reinterpret_cast<T *>(bytes + offset);
}

/* The same bytes as elements of another type. */
template <class U, class T> ZH_DEVICE U *zh_as(T *p) { return reinterpret_cast<U *>(p); }

/* One V (uint2, uint4, float2, float4) whose first element is p[i]. */
template <class V, class T> ZH_DEVICE V zh_load(const T *p, size_t i) {
  return *reinterpret_cast<const V *>(p + i);
}
template <class V, class T> ZH_DEVICE void zh_store(T *p, size_t i, V value) {
  *reinterpret_cast<V *>(p + i) = value;
}
/* The same of memory that is read once: kept out of the first level, asked for from the second 256 bytes at once. */
template <class T> ZH_DEVICE uint4 zh_load_once(const T *p, size_t i) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p + i));
  return v;
}

/* The bytes from p[i] on as a struct: where they lie, not a copy. */
template <class S, class T> ZH_DEVICE const S &zh_struct_at(const T *p, size_t i) {
  return *reinterpret_cast<const S *>(p + i);
}
/* Sees all that was told by whoever put there what it finds. */
ZH_DEVICE uint32_t zh_load_acquire(const uint32_t *p) {
  uint32_t v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
/* One thread asks for `bytes` from p[i] on (both multiples of 16) to come to the second level. */
template <class T> ZH_DEVICE void zh_prefetch(const T *p, size_t i, uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p + i), "r"(bytes) : "memory");
#else
  for (uint32_t at = 0; at < bytes; at += 128)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(reinterpret_cast<const char *>(p + i) + at) : "memory");
#endif
}

/* 16 bytes from global to shared memory, meanwhile; done after zh_copies_wait and a barrier. `valid` false writes
 * zeros. */
template <class S, class G> ZH_DEVICE void zh_copy_async(S *to, size_t i, const G *from, size_t j, bool valid) {
  unsigned at = (unsigned)__cvta_generic_to_shared(to + i);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from + j), "r"(valid ? 16 : 0));
}
ZH_DEVICE void zh_copies_commit() { asm volatile("cp.async.commit_group;"); }
template <int PENDING> ZH_DEVICE void zh_copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING)); }

/* d[16][8] += a[16][16] b[16][8] of bf16, fragments as mma.m16n8k16 has them (PTX ISA, "Matrix Fragments for
 * mma.m16n8k16"). All 32 threads of a warp. */
ZH_DEVICE void zh_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
               "{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* The same of f16. */
ZH_DEVICE void zh_mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
               "{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* d[16][8] += a[16][32] b[32][8] of signed bytes, fragments as mma.m16n8k32. */
ZH_DEVICE void zh_mma_int8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
               "{%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* d[16][8] += a[16][32] b[32][8] of E4M3, fragments as mma.m16n8k32; from sm_89 on. Ada's units keep 13 bits below the
 * largest term of a sum; sm_90 and sm_100 have none for mma.sync, and make it of f16's, added in fp32. */
ZH_DEVICE void zh_mma_e4m3(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
               "{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  (void)d, (void)a, (void)b;
#endif
}
/* Four 8x8 matrices of 16-bit elements; lane i names the row i % 8 of matrix i / 8. */
template <class T> ZH_DEVICE void zh_load_matrices(uint32_t (&r)[4], const T *row, size_t i) {
  unsigned at = (unsigned)__cvta_generic_to_shared(row + i);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at));
}
/* The same matrices, each transposed: what lies k by k becomes b's columns. */
template <class T> ZH_DEVICE void zh_load_matrices_transposed(uint32_t (&r)[4], const T *row, size_t i) {
  unsigned at = (unsigned)__cvta_generic_to_shared(row + i);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at));
}

ZH_DEVICE uint32_t zh_bits(float x) { return __float_as_uint(x); }
ZH_DEVICE float zh_float(uint32_t bits) { return __uint_as_float(bits); }

/* A word that other GPUs of the node reach, too. What was written before the store is seen after a load of what was
 * stored, by the threads that a barrier orders with it. */
ZH_DEVICE uint32_t zh_load_acquire_system(const uint32_t *p) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}
ZH_DEVICE void zh_store_release_system(uint32_t *p, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}
ZH_DEVICE uint64_t zh_clock_ns() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}
/* What is waited for does not come: the launch fails. */
ZH_DEVICE void zh_give_up() { __trap(); }

#else
#include "shim.h"
#endif

/* --- both --- */

/* First element of a block whose threads take one element each. */
ZH_DEVICE size_t zh_block_begin() { return (size_t)blockIdx.x * blockDim.x; }

ZH_DEVICE float zh_bf16_value(uint32_t bits) { return zh_float(bits << 16); }
/* To nearest even; NaN stays one. */
ZH_DEVICE uint16_t zh_bf16_of(float x) {
  uint32_t bits = zh_bits(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((bits >> 16) | 0x40u);
  return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
/* Two values in a word, the first in the low half. */
ZH_DEVICE uint32_t zh_bf16_pair(float low, float high) {
#ifdef __CUDACC__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return (uint32_t)zh_bf16_of(low) | (uint32_t)zh_bf16_of(high) << 16;
#endif
}
/* a b + c of both halves, rounded once. */
ZH_DEVICE uint32_t zh_bf16_pair_fma(uint32_t a, uint32_t b, uint32_t c) {
#ifdef __CUDACC__
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
#else
  return zh_bf16_pair(fmaf(zh_bf16_value(a & 0xFFFFu), zh_bf16_value(b & 0xFFFFu), zh_bf16_value(c & 0xFFFFu)),
                      fmaf(zh_bf16_value(a >> 16), zh_bf16_value(b >> 16), zh_bf16_value(c >> 16)));
#endif
}
ZH_DEVICE float zh_rounded_bf16(float x) { return zh_bf16_value(zh_bf16_of(x)); }

/* Normal, subnormal, infinite. */
ZH_DEVICE float zh_f16_value(uint32_t bits) {
#ifdef __CUDACC__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((uint16_t)bits));
  return x;
#else
  uint32_t sign = (bits & 0x8000u) << 16, rest = bits & 0x7FFFu;
  if (rest >= 0x7C00u) return zh_float(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
  /* 2^112 brings the exponent of f16 to that of fp32, subnormal numbers too, exactly. */
  return zh_float(sign | zh_bits(zh_float(rest << 13) * 5.192296858534828e33f));
#endif
}

/* To nearest even; NaN stays one. */
ZH_DEVICE uint16_t zh_f16_of(float x) {
  uint32_t bits = zh_bits(x), sign = bits >> 16 & 0x8000u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
  if (bits >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);
  if (bits < 0x38800000u) /* below 2^-14: steps of 2^-24 */
    return (uint16_t)(sign | (uint32_t)rintf(zh_float(bits) * 16777216.0f));
  bits += 0xFFFu + (bits >> 13 & 1u);
  return (uint16_t)(sign | ((bits >> 13) - (112u << 10)));
}

/* E4M3; the two bytes that are no numbers count as 480 and -480. */
ZH_DEVICE float zh_e4m3_value(uint32_t bits) {
  /* 2^120 brings the exponent of four bits to that of fp32, subnormal numbers too, exactly. */
  return zh_float((bits & 0x80u) << 24 | zh_bits(zh_float((bits & 0x7Fu) << 20) * 1.329227995784916e36f));
}
/* zh_f32_to_e4m3. */
ZH_DEVICE uint8_t zh_e4m3_of(float x) {
  uint32_t bits = zh_bits(x), sign = bits >> 24 & 0x80u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return 0x7F;
  if (bits >= 0x43E00000u) return (uint8_t)(sign | 0x7Eu);
  if (bits < 0x3C800000u) return (uint8_t)(sign | (uint32_t)rintf(zh_float(bits) * 512.0f));
  bits += 0x7FFFFu + (bits >> 20 & 1u);
  return (uint8_t)(sign | ((bits >> 20) - (120u << 3)));
}

/* Two in a half word, the first in the low byte. */
ZH_DEVICE uint32_t zh_e4m3_pair_of(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return (uint32_t)zh_e4m3_of(low) | (uint32_t)zh_e4m3_of(high) << 8;
#endif
}
/* What numbers are divided by whose largest magnitude has these bits: it / 448, up to the next bf16, so that number
 * times scale is exact. */
ZH_DEVICE float zh_e4m3_scale(uint32_t largest) {
  uint32_t bits = zh_bits(zh_float(largest) / 448.0f);
  return zh_float(bits < 0x7F800000u ? (bits + 0xFFFFu) & 0xFFFF0000u : bits);
}

/* Sum over a warp, in every thread, always in the same order. */
ZH_DEVICE float zh_warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  return x;
}
ZH_DEVICE float zh_warp_max(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, step));
  return x;
}

#endif
