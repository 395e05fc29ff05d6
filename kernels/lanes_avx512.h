/* Sixteen fp32 lanes: what several AVX-512 kernels need. Included only by *_avx512.c. */
#ifndef ZH_KERNELS_LANES_AVX512_H
#define ZH_KERNELS_LANES_AVX512_H

#include <immintrin.h>
#include <stddef.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Lanes [0, count), at most all. */
ALWAYS_INLINE __mmask16 lanes16(size_t count) {
  unsigned mask = count >= 16 ? 0xffffu : (1u << count) - 1;
  return (__mmask16)mask;
}

/* The sums of four vectors, each in the same order: lane i + lane i + 8, then pairs, then quarters.
 */
ALWAYS_INLINE __m128 sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
#define HALVES(v) _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))
  __m256 ab = _mm256_hadd_ps(HALVES(a), HALVES(b)), cd = _mm256_hadd_ps(HALVES(c), HALVES(d));
#undef HALVES
  __m256 all = _mm256_hadd_ps(ab, cd);
  return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

ALWAYS_INLINE float sum1(__m512 a) {
  __m512 zero = _mm512_setzero_ps();
  return _mm_cvtss_f32(sum4(a, zero, zero, zero));
}

/* exp(x). With n = round(x / ln 2) and r = x - n ln 2, |r| < 0.347, exp(x) = 2^n exp(r). Relative
 * error below 4u, u = 2^-24: the two steps of r round by 0.38u and 0.35u (n times the 9-bit high
 * part of ln 2 is exact, what the low part lacks is 0.02u); the Taylor polynomial of degree 7 stops
 * 2^-27 = 0.13u short (Lagrange: 0.347^8 / 8! / exp(-0.347)); its last steps round by u, 0.6u and
 * 0.1u, the others and the coefficients by less than 0.1u together. Below 2^-126 the result rounds
 * once more, by 2^-150. */
ALWAYS_INLINE __m512 exp16(__m512 x) {
  x = _mm512_min_ps(_mm512_set1_ps(89.0f), _mm512_max_ps(_mm512_set1_ps(-105.0f), x));
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)), 0);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 5040);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

#endif
