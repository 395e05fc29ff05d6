/* 32 weights of a row to two vectors of fp32, bit for bit as dequantize_ref.c (which says why the
 * products are exact).
 *
 * A block of 4 or 5-bit quanta has only 16 or 32 different values: they are computed once and
 * picked by a permutation, which reads just the low bits of its index, so nibbles need no masking.
 */
#ifndef ZH_KERNELS_DEQUANTIZE_UNPACK_AVX512_H
#define ZH_KERNELS_DEQUANTIZE_UNPACK_AVX512_H

#include <string.h>

#include "kernels/dequantize/tables.h"
#include "kernels/lanes_avx512.h"
#include "kernels/variants.h"

typedef struct weights32 {
  __m512 low, high; /* elements 0 … 15, 16 … 31 */
} weights32;

ALWAYS_INLINE __m512 scale16(const uint8_t *p) {
  int16_t bits;
  memcpy(&bits, p, sizeof bits);
  return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
}

ALWAYS_INLINE __m512i bytes16(const uint8_t *p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

ALWAYS_INLINE __m512 count_from(float first) {
  const __m512 up = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_add_ps(up, _mm512_set1_ps(first));
}

/* Nibbles of 16 bytes: low ones first. */
ALWAYS_INLINE weights32 pick_nibbles(const uint8_t *p, __m512 values) {
  __m512i q = bytes16(p);
  return (weights32){_mm512_permutexvar_ps(q, values),
                     _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), values)};
}

/* The same with fifth bits from `high`, bit i for element i. */
ALWAYS_INLINE weights32 pick_fives(const uint8_t *p, uint32_t high, __m512 below, __m512 above) {
  const __m512i nibble = _mm512_set1_epi32(15), five = _mm512_set1_epi32(16);
  __m512i q = bytes16(p), a = _mm512_and_si512(q, nibble), b = _mm512_srli_epi32(q, 4);
  a = _mm512_mask_or_epi32(a, (__mmask16)high, a, five);
  b = _mm512_mask_or_epi32(b, (__mmask16)(high >> 16), b, five);
  return (weights32){_mm512_permutex2var_ps(below, a, above),
                     _mm512_permutex2var_ps(below, b, above)};
}

ALWAYS_INLINE weights32 unpack_q4_k(const uint8_t *p, int run) {
  uint8_t s, m;
  zh_k_scale_minimum(&s, &m, p + 4, run);
  __m512 scale = _mm512_mul_ps(scale16(p), _mm512_set1_ps(s));
  __m512 minimum = _mm512_mul_ps(scale16(p + 2), _mm512_set1_ps(m));
  __m512 values = _mm512_fmsub_ps(scale, count_from(0), minimum);
  const uint8_t *q = p + 16 + 32 * (run / 2);
  __m128i shift = _mm_cvtsi32_si128(4 * (run & 1));
  return (weights32){_mm512_permutexvar_ps(_mm512_srl_epi32(bytes16(q), shift), values),
                     _mm512_permutexvar_ps(_mm512_srl_epi32(bytes16(q + 16), shift), values)};
}

ALWAYS_INLINE weights32 unpack_q5_k(const uint8_t *p, int run) {
  uint8_t s, m;
  zh_k_scale_minimum(&s, &m, p + 4, run);
  __m512 scale = _mm512_mul_ps(scale16(p), _mm512_set1_ps(s));
  __m512 minimum = _mm512_mul_ps(scale16(p + 2), _mm512_set1_ps(m));
  __m512 below = _mm512_fmsub_ps(scale, count_from(0), minimum);
  __m512 above = _mm512_fmsub_ps(scale, count_from(16), minimum);
  const uint8_t *q = p + 48 + 32 * (run / 2);
  __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(p + 16));
  uint32_t fifth = _mm256_test_epi8_mask(bits, _mm256_set1_epi8((char)(1 << run)));
  const __m512i nibble = _mm512_set1_epi32(15), five = _mm512_set1_epi32(16);
  __m128i shift = _mm_cvtsi32_si128(4 * (run & 1));
  __m512i a = _mm512_and_si512(_mm512_srl_epi32(bytes16(q), shift), nibble);
  __m512i b = _mm512_and_si512(_mm512_srl_epi32(bytes16(q + 16), shift), nibble);
  a = _mm512_mask_or_epi32(a, (__mmask16)fifth, a, five);
  b = _mm512_mask_or_epi32(b, (__mmask16)(fifth >> 16), b, five);
  return (weights32){_mm512_permutex2var_ps(below, a, above),
                     _mm512_permutex2var_ps(below, b, above)};
}

ALWAYS_INLINE __m512 six_bits(const uint8_t *low, const uint8_t *high, int r, __m512 scale) {
  __m128i low_shift = _mm_cvtsi32_si128(4 * (r / 2)), high_shift = _mm_cvtsi32_si128(2 * r);
  __m512i q = _mm512_and_si512(_mm512_srl_epi32(bytes16(low), low_shift), _mm512_set1_epi32(15));
  __m512i h = _mm512_and_si512(_mm512_srl_epi32(bytes16(high), high_shift), _mm512_set1_epi32(3));
  q = _mm512_sub_epi32(_mm512_or_si512(q, _mm512_slli_epi32(h, 4)), _mm512_set1_epi32(32));
  return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(q));
}

ALWAYS_INLINE weights32 unpack_q6_k(const uint8_t *p, int run) {
  int half = run / 4, r = run & 3;
  const uint8_t *low = p + 64 * half + 32 * (r & 1), *high = p + 128 + 32 * half;
  __m512 d = scale16(p + 208);
  __m512 first = _mm512_mul_ps(d, _mm512_set1_ps((int8_t)p[192 + 2 * run]));
  __m512 second = _mm512_mul_ps(d, _mm512_set1_ps((int8_t)p[193 + 2 * run]));
  return (weights32){six_bits(low, high, r, first), six_bits(low + 16, high + 16, r, second)};
}

/* Bit pairs of 16 columns. */
ALWAYS_INLINE __m512i pairs16(const uint8_t *p, int shift) {
  __m512i q = _mm512_srl_epi32(bytes16(p), _mm_cvtsi32_si128(shift));
  return _mm512_and_si512(q, _mm512_set1_epi32(3));
}

ALWAYS_INLINE __m512 two_bits(const uint8_t *block, const uint8_t *p, int shift, uint8_t s) {
  __m512 scale = _mm512_mul_ps(scale16(block + 80), _mm512_set1_ps(s & 15));
  __m512 minimum = _mm512_mul_ps(scale16(block + 82), _mm512_set1_ps(s >> 4));
  return _mm512_fmsub_ps(scale, _mm512_cvtepi32_ps(pairs16(p, shift)), minimum);
}

ALWAYS_INLINE weights32 unpack_q2_k(const uint8_t *p, int run) {
  const uint8_t *q = p + 16 + 32 * (run / 4);
  int shift = 2 * (run & 3);
  return (weights32){two_bits(p, q, shift, p[2 * run]), two_bits(p, q + 16, shift, p[2 * run + 1])};
}

/* Sixteen columns, the first or the second of a run: 4 less where the run's bit is not set. */
ALWAYS_INLINE __m512 three_bits(const uint8_t *block, int run, int half) {
  const uint8_t *q = block + 32 + 32 * (run / 4) + 16 * half;
  __mmask16 none = _mm512_testn_epi32_mask(bytes16(block + 16 * half), _mm512_set1_epi32(1 << run));
  __m512i v = pairs16(q, 2 * (run & 3));
  v = _mm512_mask_sub_epi32(v, none, v, _mm512_set1_epi32(4));
  float scale = (float)zh_q3_scale(block + 96, 2 * run + half);
  return _mm512_mul_ps(_mm512_mul_ps(scale16(block + 108), _mm512_set1_ps(scale)),
                       _mm512_cvtepi32_ps(v));
}

ALWAYS_INLINE __m512 looked_up(zh_dtype type) {
  static const float iq4[16] = {ZH_IQ4_VALUES}, mxfp4[16] = {ZH_MXFP4_VALUES};
  return _mm512_loadu_ps(type == ZH_MXFP4 ? mxfp4 : iq4);
}

ALWAYS_INLINE weights32 unpack_iq4_xs(const uint8_t *p, int run) {
  __m512 scale = _mm512_mul_ps(scale16(p), _mm512_set1_ps((float)zh_iq4_xs_scale(p, run)));
  return pick_nibbles(p + 8 + 16 * run, _mm512_mul_ps(scale, looked_up(ZH_IQ4_XS)));
}

ALWAYS_INLINE __m512 signed_bytes(const uint8_t *p, __m512 d) {
  __m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
  return _mm512_mul_ps(d, _mm512_cvtepi32_ps(q));
}

ALWAYS_INLINE uint32_t word_at(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Up to 16 unquantised weights; lanes outside the mask are zero and not read. */
ALWAYS_INLINE __m512 load16(const uint8_t *p, zh_dtype type, __mmask16 mask) {
  if (type == ZH_F32) return _mm512_maskz_loadu_ps(mask, p);
  __m256i halves = _mm256_maskz_loadu_epi16(mask, p);
  if (type == ZH_F16) return _mm512_cvtph_ps(halves);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Elements [32 b, 32 b + 32) of a row. `type` is a constant wherever this is inlined. */
ALWAYS_INLINE weights32 unpack32(const uint8_t *row, zh_dtype type, size_t b) {
  const uint8_t *p;
  switch (type) {
  case ZH_Q4_0:
    p = row + 18 * b;
    return pick_nibbles(p + 2, _mm512_mul_ps(scale16(p), count_from(-8)));
  case ZH_Q4_1:
    p = row + 20 * b;
    return pick_nibbles(p + 4, _mm512_fmadd_ps(scale16(p), count_from(0), scale16(p + 2)));
  case ZH_Q5_0:
    p = row + 22 * b;
    return pick_fives(p + 6, word_at(p + 2), _mm512_mul_ps(scale16(p), count_from(-16)),
                      _mm512_mul_ps(scale16(p), count_from(0)));
  case ZH_Q5_1:
    p = row + 24 * b;
    return pick_fives(p + 8, word_at(p + 4),
                      _mm512_fmadd_ps(scale16(p), count_from(0), scale16(p + 2)),
                      _mm512_fmadd_ps(scale16(p), count_from(16), scale16(p + 2)));
  case ZH_Q8_0:
    p = row + 34 * b;
    return (weights32){signed_bytes(p + 2, scale16(p)), signed_bytes(p + 18, scale16(p))};
  case ZH_IQ4_NL:
    p = row + 18 * b;
    return pick_nibbles(p + 2, _mm512_mul_ps(scale16(p), looked_up(type)));
  case ZH_MXFP4:
    p = row + 17 * b;
    return pick_nibbles(p + 1, _mm512_mul_ps(_mm512_set1_ps(zh_e8m0_half(*p)), looked_up(type)));
  case ZH_IQ4_XS:
    return unpack_iq4_xs(row + 136 * (b / 8), (int)(b % 8));
  case ZH_Q2_K:
    return unpack_q2_k(row + 84 * (b / 8), (int)(b % 8));
  case ZH_Q3_K:
    p = row + 110 * (b / 8);
    return (weights32){three_bits(p, (int)(b % 8), 0), three_bits(p, (int)(b % 8), 1)};
  case ZH_Q4_K:
    return unpack_q4_k(row + 144 * (b / 8), (int)(b % 8));
  case ZH_Q5_K:
    return unpack_q5_k(row + 176 * (b / 8), (int)(b % 8));
  case ZH_Q6_K:
    return unpack_q6_k(row + 210 * (b / 8), (int)(b % 8));
  default: {
    size_t bytes = type == ZH_F32 ? 4 : 2;
    p = row + 32 * bytes * b;
    return (weights32){load16(p, type, 0xffff), load16(p + 16 * bytes, type, 0xffff)};
  }
  }
}

#endif
