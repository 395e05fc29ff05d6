/* The matrix instructions of a warp, one type of numbers each, as the peak loops use them. Fragments are the PTX ISA's
 * of mma.m16n8: a 32-byte row of `a` is eight words, of which lane l has words l % 4 and l % 4 + 4 of rows l / 4 and
 * l / 4 + 8; b's columns likewise. Compiled for the host, the same sums are made of the other lanes' words. */
#ifndef ZH_KERNELS_CUDA_LIMITS_MMA_CUH
#define ZH_KERNELS_CUDA_LIMITS_MMA_CUH

#include "limits.cuh"

/* A whole number of magnitude below 2^22 that a float holds, by its bits and without a conversion. */
ZH_DEVICE uint32_t zh_whole(float x) { return zh_bits(x + 12582912.0f) - 0x4B400000u; }
ZH_DEVICE uint32_t zh_whole(int32_t x) { return (uint32_t)x; }

#ifndef __CUDACC__
/* d += a b, where dot multiplies two words: every lane asks those that hold its rows and columns. */
template <class T, class DOT> static inline void zh_mma_by_words(T (&d)[4], const uint32_t (&a)[4],
                                                                 const uint32_t (&b)[2], DOT dot) {
  int lane = (int)threadIdx.x % 32;
  for (int j = 0; j < 4; ++j) {
    int row = lane / 4 * 4 + j, even = lane % 4 * 8 + j, odd = even + 4;
    for (int half = 0; half < 2; ++half) {
      uint32_t low = __shfl_sync(0xFFFFFFFFu, a[2 * half], row), high = __shfl_sync(0xFFFFFFFFu, a[2 * half + 1], row);
      uint32_t left = __shfl_sync(0xFFFFFFFFu, b[half], even), right = __shfl_sync(0xFFFFFFFFu, b[half], odd);
      d[0] += dot(low, left);
      d[1] += dot(low, right);
      d[2] += dot(high, left);
      d[3] += dot(high, right);
    }
  }
}
#endif

struct zh_mma_of_bf16 {
  typedef float sum;
  static ZH_DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    zh_mma_bf16(d, a, b);
  }
};

struct zh_mma_of_int8 {
  typedef int32_t sum;
  static ZH_DEVICE void multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    zh_mma_int8(d, a, b);
  }
};

#ifdef __CUDACC__
#define ZH_MMA_FLOAT(shape)                                                                                            \
  asm volatile("mma.sync.aligned." shape " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                      \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                        \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#endif

struct zh_mma_of_f16 {
  typedef float sum;
  static ZH_DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
    ZH_MMA_FLOAT("m16n8k16.row.col.f32.f16.f16.f32");
#else
    zh_mma_by_words(d, a, b, [](uint32_t x, uint32_t y) {
      return zh_f16_value(x & 0xFFFFu) * zh_f16_value(y & 0xFFFFu) + zh_f16_value(x >> 16) * zh_f16_value(y >> 16);
    });
#endif
  }
};

struct zh_mma_of_tf32 {
  typedef float sum;
  static ZH_DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
    ZH_MMA_FLOAT("m16n8k8.row.col.f32.tf32.tf32.f32");
#else
    zh_mma_by_words(d, a, b, [](uint32_t x, uint32_t y) { return zh_float(x) * zh_float(y); });
#endif
  }
};

/* Where it is an instruction (zh_cuda_has_e4m3_units); elsewhere the loop is not offered. */
struct zh_mma_of_e4m3 {
  typedef float sum;
  static ZH_DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    zh_mma_e4m3(d, a, b);
  }
};

/* m8n8k4 of fp64: lane l has number l % 4 of row l / 4 and of column l / 4, and two sums. */
ZH_DEVICE void zh_mma_f64(double (&d)[2], double a, double b) {
#ifdef __CUDACC__
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(d[0]), "+d"(d[1])
               : "d"(a), "d"(b));
#else
  int lane = (int)threadIdx.x % 32;
  for (int k = 0; k < 4; ++k) {
    double x = __shfl_sync(0xFFFFFFFFu, a, lane / 4 * 4 + k);
    d[0] += x * __shfl_sync(0xFFFFFFFFu, b, lane % 4 * 8 + k);
    d[1] += x * __shfl_sync(0xFFFFFFFFu, b, lane % 4 * 8 + 4 + k);
  }
#endif
}

/* m16n8k16 of fp64, from sm_90 on: number i of lane l is of row l / 4 + 8 (i % 2), depth l % 4 + 4 (i / 2); of b of
 * depth l % 4 + 4 i, column l / 4; sums as those of the other types. */
ZH_DEVICE void zh_mma_f64_large(double (&d)[4], const double (&a)[8], const double (&b)[4]) {
#ifndef __CUDACC__
  int lane = (int)threadIdx.x % 32;
  for (int i = 0; i < 4; ++i) {
    for (int k = 0; k < 4; ++k) {
      double low = __shfl_sync(0xFFFFFFFFu, a[2 * i], lane / 4 * 4 + k);
      double high = __shfl_sync(0xFFFFFFFFu, a[2 * i + 1], lane / 4 * 4 + k);
      double even = __shfl_sync(0xFFFFFFFFu, b[i], lane % 4 * 8 + k);
      double odd = __shfl_sync(0xFFFFFFFFu, b[i], lane % 4 * 8 + 4 + k);
      d[0] += low * even;
      d[1] += low * odd;
      d[2] += high * even;
      d[3] += high * odd;
    }
  }
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5,%6,%7,%8,%9,%10,%11}, "
               "{%12,%13,%14,%15}, {%0,%1,%2,%3};"
               : "+d"(d[0]), "+d"(d[1]), "+d"(d[2]), "+d"(d[3])
               : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(a[4]), "d"(a[5]), "d"(a[6]), "d"(a[7]), "d"(b[0]),
                 "d"(b[1]), "d"(b[2]), "d"(b[3]));
#else
  (void)d, (void)a, (void)b;
#endif
}

#endif
