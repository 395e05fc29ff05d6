/* LANES fp32 numbers at a time in the compiler's own vectors: written once, compiled for AVX-512,
 * AVX2 and whatever the machine at hand has (four lanes: SSE2, NEON). The file that includes this
 * defines LANES and is compiled with -ffp-contract=fast, so that products and sums become one
 * instruction where there is one. */
#ifndef ZH_KERNELS_LANES_H
#define ZH_KERNELS_LANES_H

#if defined __AVX2__
#include <immintrin.h>
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if LANES == 16 && defined __AVX512F__
#include "kernels/lanes_avx512.h"
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef int8_t vi8 __attribute__((vector_size(LANES)));
typedef int16_t vi16 __attribute__((vector_size(LANES * 2)));
typedef uint16_t vu16 __attribute__((vector_size(LANES * 2)));

ALWAYS_INLINE vf all_lanes(float x) {
  return x - (vf){0};
}

ALWAYS_INLINE vf load_f32(const void *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
ALWAYS_INLINE vu load_u32(const void *p) {
  vu v;
  memcpy(&v, p, sizeof v);
  return v;
}
ALWAYS_INLINE vf load_bf16(const void *p) {
  vu16 v;
  memcpy(&v, p, sizeof v);
  return (vf)(__builtin_convertvector(v, vu) << 16);
}
/* Compilers widen bytes number by number, and halves of words at once. */
ALWAYS_INLINE vf load_i8(const void *p) {
#if LANES == 16 && defined __AVX512F__
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
#elif LANES == 8 && defined __AVX2__
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
#else
  vi8 v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(v, vi16), vi), vf);
#endif
}
ALWAYS_INLINE void store_f32(void *p, vf v) {
  memcpy(p, &v, sizeof v);
}

/* a where mask has all bits of a lane, b where none. */
ALWAYS_INLINE vf select_f32(vi mask, vf a, vf b) {
  return (vf)((mask & (vi)a) | (~mask & (vi)b));
}
ALWAYS_INLINE vf larger_f32(vf a, vf b) {
  return select_f32(a > b, a, b);
}

ALWAYS_INLINE vi lane_numbers(void) {
  vi v;
  for (int i = 0; i < LANES; i++) v[i] = i;
  return v;
}

/* Halves upon each other: the same order always. */
ALWAYS_INLINE float sum_of_lanes(vf v) {
  float a[LANES];
  store_f32(a, v);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) a[i] += a[i + width];
  return a[0];
}
ALWAYS_INLINE float largest_lane(vf v) {
  float a[LANES];
  store_f32(a, v);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) a[i] = a[i + width] > a[i] ? a[i + width] : a[i];
  return a[0];
}

/* Lane i of the result is the sum of the lanes of v[i]; v does not stay. Two vectors become one, in
 * which each has half as many lanes, until each has one. FIRST_n: of each 2 n lanes the first n. */
#if LANES == 16
#define FIRST_8(o)                                                                                 \
  0 + (o), 1 + (o), 2 + (o), 3 + (o), 4 + (o), 5 + (o), 6 + (o), 7 + (o), 16 + (o), 17 + (o),      \
      18 + (o), 19 + (o), 20 + (o), 21 + (o), 22 + (o), 23 + (o)
#define FIRST_4(o)                                                                                 \
  0 + (o), 1 + (o), 2 + (o), 3 + (o), 8 + (o), 9 + (o), 10 + (o), 11 + (o), 16 + (o), 17 + (o),    \
      18 + (o), 19 + (o), 24 + (o), 25 + (o), 26 + (o), 27 + (o)
#define FIRST_2(o)                                                                                 \
  0 + (o), 1 + (o), 4 + (o), 5 + (o), 8 + (o), 9 + (o), 12 + (o), 13 + (o), 16 + (o), 17 + (o),    \
      20 + (o), 21 + (o), 24 + (o), 25 + (o), 28 + (o), 29 + (o)
#define FIRST_1(o)                                                                                 \
  0 + (o), 2 + (o), 4 + (o), 6 + (o), 8 + (o), 10 + (o), 12 + (o), 14 + (o), 16 + (o), 18 + (o),   \
      20 + (o), 22 + (o), 24 + (o), 26 + (o), 28 + (o), 30 + (o)
#elif LANES == 8
#define FIRST_4(o) 0 + (o), 1 + (o), 2 + (o), 3 + (o), 8 + (o), 9 + (o), 10 + (o), 11 + (o)
#define FIRST_2(o) 0 + (o), 1 + (o), 4 + (o), 5 + (o), 8 + (o), 9 + (o), 12 + (o), 13 + (o)
#define FIRST_1(o) 0 + (o), 2 + (o), 4 + (o), 6 + (o), 8 + (o), 10 + (o), 12 + (o), 14 + (o)
#else
#define FIRST_2(o) 0 + (o), 1 + (o), 4 + (o), 5 + (o)
#define FIRST_1(o) 0 + (o), 2 + (o), 4 + (o), 6 + (o)
#endif
#define FOLD(v, n)                                                                                 \
  for (int i = 0; i < (n); i++)                                                                    \
  (v)[i] = __builtin_shufflevector((v)[2 * i], (v)[2 * i + 1], FIRST_##n(0)) +                     \
           __builtin_shufflevector((v)[2 * i], (v)[2 * i + 1], FIRST_##n(n))

ALWAYS_INLINE vf fold_lanes(vf v[LANES]) {
#if LANES == 16
  FOLD(v, 8);
#endif
#if LANES >= 8
  FOLD(v, 4);
#endif
  FOLD(v, 2);
  FOLD(v, 1);
  return v[0];
}

/* exp(x) as exp16 of lanes_avx512.h, with its bound; rounding by a number so large that sums with
 * it are whole, and 2^n in two halves, because n may leave the range of one fp32 exponent. NaN
 * stays NaN; below -104 the result is 0. */
#if LANES == 16 && defined __AVX512F__
ALWAYS_INLINE vf exp_lanes(vf x) {
  return (vf)exp16((__m512)x);
}
#else
ALWAYS_INLINE vf exp_lanes(vf x) {
  const float whole = 12582912.0f;
  x = select_f32(x < -105.0f, all_lanes(-105.0f), x);
  x = select_f32(x > 89.0f, all_lanes(89.0f), x);
  vf n = (x * 0x1.715476p0f + whole) - whole;
  vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  vi power = __builtin_convertvector(n, vi), half = power >> 1;
  vf first = (vf)((half + 127) << 23), second = (vf)((power - half + 127) << 23);
  return p * first * second;
}
#endif

#endif
