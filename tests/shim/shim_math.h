/* CUDA's own functions of numbers that kernels use, beside those of <math.h>. Approximate ones
 * (__expf, rsqrtf …) are here rounded well: bounds must allow for what a GPU loses. */
#ifndef ZH_TESTS_SHIM_MATH_H
#define ZH_TESTS_SHIM_MATH_H

#include <math.h>

#define ZH_SHIM_LEAST(T)                                                                           \
  static inline T min(T a, T b) {                                                                  \
    return b < a ? b : a;                                                                          \
  }                                                                                                \
  static inline T max(T a, T b) {                                                                  \
    return a < b ? b : a;                                                                          \
  }
ZH_SHIM_LEAST(int)
ZH_SHIM_LEAST(unsigned)
ZH_SHIM_LEAST(long)
ZH_SHIM_LEAST(unsigned long)
ZH_SHIM_LEAST(long long)
ZH_SHIM_LEAST(unsigned long long)
#undef ZH_SHIM_LEAST
static inline float min(float a, float b) {
  return fminf(a, b);
}
static inline float max(float a, float b) {
  return fmaxf(a, b);
}
static inline double min(double a, double b) {
  return fmin(a, b);
}
static inline double max(double a, double b) {
  return fmax(a, b);
}

template <class To, class From> static inline To zh_shim_same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
static inline uint32_t zh_bits(float x) {
  return zh_shim_same_bits<uint32_t>(x);
}
static inline float zh_float(uint32_t bits) {
  return zh_shim_same_bits<float>(bits);
}
static inline unsigned __float_as_uint(float x) {
  return zh_bits(x);
}
static inline float __uint_as_float(unsigned x) {
  return zh_float(x);
}
static inline int __float_as_int(float x) {
  return zh_shim_same_bits<int>(x);
}
static inline float __int_as_float(int x) {
  return zh_shim_same_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
  return zh_shim_same_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
  return zh_shim_same_bits<double>(x);
}

/* The C library declares functions of these names. */
#define __expf(x) expf(x)
#define __exp2f(x) exp2f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float x, float y) {
  return x / y;
}
static inline float __frcp_rn(float x) {
  return 1.0f / x;
}
static inline float rsqrtf(float x) {
  return (float)(1.0 / sqrt((double)x));
}
static inline double rsqrt(double x) {
  return 1.0 / sqrt(x);
}
static inline float __frsqrt_rn(float x) {
  return rsqrtf(x);
}
static inline float __fsqrt_rn(float x) {
  return sqrtf(x);
}
static inline float __fadd_rn(float x, float y) {
  return x + y;
}
static inline float __fsub_rn(float x, float y) {
  return x - y;
}
static inline float __fmul_rn(float x, float y) {
  return x * y;
}
static inline float __fdiv_rn(float x, float y) {
  return x / y;
}
static inline float __fmaf_rn(float x, float y, float z) {
  return fmaf(x, y, z);
}
static inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; /* NaN gives 0 */
}
static inline double __dadd_rn(double x, double y) {
  return x + y;
}
static inline double __dmul_rn(double x, double y) {
  return x * y;
}

/* To integers; what does not fit gives the nearest that does, NaN gives 0. */
static inline int __double2int_rn(double x) {
  x = rint(x);
  if (!(x == x)) return 0;
  return x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? -2147483647 - 1 : (int)x;
}
static inline int __float2int_rn(float x) {
  return __double2int_rn((double)x);
}
static inline int __float2int_rz(float x) {
  return __double2int_rn(trunc((double)x));
}
static inline int __float2int_rd(float x) {
  return __double2int_rn(floor((double)x));
}
static inline float __int2float_rn(int x) {
  return (float)x;
}
static inline float __uint2float_rn(unsigned x) {
  return (float)x;
}

static inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
static inline int __clz(int x) {
  return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x) {
  return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __ffs(int x) {
  return __builtin_ffs(x);
}
static inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; i++) y |= (x >> i & 1u) << (31 - i);
  return y;
}
static inline unsigned __umulhi(unsigned x, unsigned y) {
  return (unsigned)((unsigned long long)x * y >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}
/* Byte i of the result is byte (selector >> 4 i & 7) of x (0…3) and y (4…7); bit 3 of a selector
 * spreads the byte's sign. PTX ISA, prmt.b32. */
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  unsigned long long both = (unsigned long long)y << 32 | x;
  unsigned out = 0;
  for (int i = 0; i < 4; i++) {
    unsigned choice = selector >> (4 * i) & 15u,
             byte = (unsigned)(both >> (8 * (choice & 7u))) & 255u;
    if (choice & 8u) byte = byte & 128u ? 255u : 0u;
    out |= byte << (8 * i);
  }
  return out;
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31u));
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return (unsigned)(((unsigned long long)high << 32 | low) << (by & 31u) >> 32);
}
/* c + four products of signed bytes. */
static inline int __dp4a(int a, int b, int c) {
  unsigned sum = (unsigned)c;
  for (int i = 0; i < 32; i += 8)
    sum += (unsigned)((int)(signed char)(a >> i & 255) * (int)(signed char)(b >> i & 255));
  return (int)sum;
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255u) * (b >> i & 255u);
  return c;
}

/* Clocks of a device that has none: they go on. */
long long clock64();
uint64_t zh_clock_ns(); /* the same on all devices, as far as it goes */
#endif
