/* 32 weights of a row to four vectors of fp32, bit for bit as dequantize_ref.c (which says why the
 * products are exact). */
#ifndef ZH_KERNELS_DEQUANTIZE_UNPACK_AVX2_H
#define ZH_KERNELS_DEQUANTIZE_UNPACK_AVX2_H

#include <string.h>

#include "kernels/dequantize/tables.h"
#include "kernels/lanes_avx2.h"
#include "kernels/variants.h"

typedef struct weights32 {
  __m256 part[4]; /* elements 8 i … 8 i + 7 */
} weights32;

ALWAYS_INLINE __m256 scale8(const uint8_t *p) {
  uint16_t bits;
  memcpy(&bits, p, sizeof bits);
  return _mm256_set1_ps(_cvtsh_ss(bits));
}

ALWAYS_INLINE uint32_t word_at(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* `mask` bits of 8 bytes, from bit `shift` on. */
ALWAYS_INLINE __m256i bits8(const uint8_t *p, int shift, int mask) {
  __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
  return _mm256_and_si256(_mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift)),
                          _mm256_set1_epi32(mask));
}

/* Bits first … first + 7 of `high`, each as 16 or 0. */
ALWAYS_INLINE __m256i fifths(uint32_t high, int first) {
  const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i bits = _mm256_srlv_epi32(_mm256_set1_epi32((int)(high >> first)), place);
  return _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(1)), 4);
}

/* d (q - offset) */
ALWAYS_INLINE __m256 centred(__m256i q, int offset, __m256 d) {
  return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(offset))));
}

/* d q + minimum: the product is exact, so the FMA rounds as mul and add do */
ALWAYS_INLINE __m256 shifted(__m256i q, __m256 d, __m256 minimum) {
  return _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(q), minimum);
}

ALWAYS_INLINE weights32 unpack_four(const uint8_t *p, bool with_minimum) {
  const uint8_t *q = p + (with_minimum ? 4 : 2);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256i quanta = bits8(q + 8 * (i & 1), 4 * (i / 2), 15);
    w.part[i] =
        with_minimum ? shifted(quanta, scale8(p), scale8(p + 2)) : centred(quanta, 8, scale8(p));
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_five(const uint8_t *p, bool with_minimum) {
  const uint8_t *q = p + (with_minimum ? 8 : 6);
  uint32_t high = word_at(q - 4);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256i quanta = _mm256_or_si256(bits8(q + 8 * (i & 1), 4 * (i / 2), 15), fifths(high, 8 * i));
    w.part[i] =
        with_minimum ? shifted(quanta, scale8(p), scale8(p + 2)) : centred(quanta, 16, scale8(p));
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_q8_0(const uint8_t *p) {
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(p + 2 + 8 * i));
    w.part[i] = _mm256_mul_ps(scale8(p), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
  }
  return w;
}

/* Q4_K, and Q5_K where `five`. */
ALWAYS_INLINE weights32 unpack_k(const uint8_t *p, int run, bool five) {
  uint8_t s, m;
  zh_k_scale_minimum(&s, &m, p + 4, run);
  __m256 scale = _mm256_mul_ps(scale8(p), _mm256_set1_ps(s));
  __m256 minimum = _mm256_mul_ps(scale8(p + 2), _mm256_set1_ps(m));
  const uint8_t *q = p + (five ? 48 : 16) + 32 * (run / 2);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256i quanta = bits8(q + 8 * i, 4 * (run & 1), 15);
    if (five) quanta = _mm256_or_si256(quanta, _mm256_slli_epi32(bits8(p + 16 + 8 * i, run, 1), 4));
    w.part[i] = _mm256_fmsub_ps(scale, _mm256_cvtepi32_ps(quanta), minimum);
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_q6_k(const uint8_t *p, int run) {
  int half = run / 4, r = run & 3;
  const uint8_t *low = p + 64 * half + 32 * (r & 1), *high = p + 128 + 32 * half;
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256 scale = _mm256_mul_ps(scale8(p + 208), _mm256_set1_ps((int8_t)p[192 + 2 * run + i / 2]));
    __m256i upper = _mm256_slli_epi32(bits8(high + 8 * i, 2 * r, 3), 4);
    w.part[i] = centred(_mm256_or_si256(bits8(low + 8 * i, 4 * (r / 2), 15), upper), 32, scale);
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_q2_k(const uint8_t *p, int run) {
  const uint8_t *q = p + 16 + 32 * (run / 4);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    uint8_t s = p[2 * run + i / 2];
    __m256 scale = _mm256_mul_ps(scale8(p + 80), _mm256_set1_ps(s & 15));
    __m256 minimum = _mm256_mul_ps(scale8(p + 82), _mm256_set1_ps(s >> 4));
    __m256i quanta = bits8(q + 8 * i, 2 * (run & 3), 3);
    w.part[i] = _mm256_fmsub_ps(scale, _mm256_cvtepi32_ps(quanta), minimum);
  }
  return w;
}

/* 4 less where the run's bit is not set: with the bit as 4, 4 less everywhere. */
ALWAYS_INLINE weights32 unpack_q3_k(const uint8_t *p, int run) {
  const uint8_t *q = p + 32 + 32 * (run / 4);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256 scale =
        _mm256_mul_ps(scale8(p + 108), _mm256_set1_ps((float)zh_q3_scale(p + 96, 2 * run + i / 2)));
    __m256i high = _mm256_slli_epi32(bits8(p + 8 * i, run, 1), 2);
    w.part[i] = centred(_mm256_or_si256(bits8(q + 8 * i, 2 * (run & 3), 3), high), 4, scale);
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_looked_up(const uint8_t *nibbles, zh_dtype type, __m256 scale) {
  static const float iq4[16] = {ZH_IQ4_VALUES}, mxfp4[16] = {ZH_MXFP4_VALUES};
  const float *values = type == ZH_MXFP4 ? mxfp4 : iq4;
  __m256 below = _mm256_loadu_ps(values), above = _mm256_loadu_ps(values + 8);
  weights32 w;
  for (int i = 0; i < 4; i++) {
    __m256i q = bits8(nibbles + 8 * (i & 1), 4 * (i / 2), 15);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(q, 28)); /* its fourth bit as the sign */
    __m256 value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(below, q),
                                    _mm256_permutevar8x32_ps(above, q), upper);
    w.part[i] = _mm256_mul_ps(scale, value);
  }
  return w;
}

ALWAYS_INLINE weights32 unpack_iq4_xs(const uint8_t *p, int run) {
  __m256 scale = _mm256_mul_ps(scale8(p), _mm256_set1_ps((float)zh_iq4_xs_scale(p, run)));
  return unpack_looked_up(p + 8 + 16 * run, ZH_IQ4_XS, scale);
}

/* Eight unquantised weights. */
ALWAYS_INLINE __m256 load8(const uint8_t *p, zh_dtype type) {
  if (type == ZH_F32) return _mm256_loadu_ps((const float *)(const void *)p);
  __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)p);
  if (type == ZH_F16) return _mm256_cvtph_ps(halves);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* Fewer than eight; the other lanes are zero and not read. */
ALWAYS_INLINE __m256 load_some(const uint8_t *p, zh_dtype type, size_t count) {
  uint8_t copy[32] = {0};
  memcpy(copy, p, count * (type == ZH_F32 ? 4 : 2));
  return load8(copy, type);
}

/* Elements [32 b, 32 b + 32) of a row. `type` is a constant wherever this is inlined. */
ALWAYS_INLINE weights32 unpack32(const uint8_t *row, zh_dtype type, size_t b) {
  switch (type) {
  case ZH_Q4_0:
    return unpack_four(row + 18 * b, false);
  case ZH_Q4_1:
    return unpack_four(row + 20 * b, true);
  case ZH_Q5_0:
    return unpack_five(row + 22 * b, false);
  case ZH_Q5_1:
    return unpack_five(row + 24 * b, true);
  case ZH_Q8_0:
    return unpack_q8_0(row + 34 * b);
  case ZH_IQ4_NL:
    return unpack_looked_up(row + 18 * b + 2, type, scale8(row + 18 * b));
  case ZH_MXFP4:
    return unpack_looked_up(row + 17 * b + 1, type, _mm256_set1_ps(zh_e8m0_half(row[17 * b])));
  case ZH_IQ4_XS:
    return unpack_iq4_xs(row + 136 * (b / 8), (int)(b % 8));
  case ZH_Q2_K:
    return unpack_q2_k(row + 84 * (b / 8), (int)(b % 8));
  case ZH_Q3_K:
    return unpack_q3_k(row + 110 * (b / 8), (int)(b % 8));
  case ZH_Q4_K:
    return unpack_k(row + 144 * (b / 8), (int)(b % 8), false);
  case ZH_Q5_K:
    return unpack_k(row + 176 * (b / 8), (int)(b % 8), true);
  case ZH_Q6_K:
    return unpack_q6_k(row + 210 * (b / 8), (int)(b % 8));
  default: {
    size_t bytes = type == ZH_F32 ? 4 : 2;
    weights32 w;
    for (size_t i = 0; i < 4; i++) w.part[i] = load8(row + (32 * b + 8 * i) * bytes, type);
    return w;
  }
  }
}

#endif
