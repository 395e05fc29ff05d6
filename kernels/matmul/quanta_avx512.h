/* Packed quanta (packed.h) as the integer kernels want them: four columns of sixteen rows to a
 * vector, and the factors of their rows. Included only by files of this folder that need AVX-512.
 */
#ifndef ZH_KERNELS_MATMUL_QUANTA_AVX512_H
#define ZH_KERNELS_MATMUL_QUANTA_AVX512_H

#include <string.h>

#include "kernels/lanes_avx512.h"
#include "kernels/matmul/quanta_types.h"

typedef struct row_factors {
  __m512 scale, minimum; /* a weight is scale * quantum + minimum */
} row_factors;

/* What is subtracted from a quantum that is stored unsigned, as a power of two; 0: nothing. */
ALWAYS_INLINE int bias_bits(zh_dtype type) {
  switch (type) {
  case ZH_Q8_0:
  case ZH_IQ4_NL:
    return 7;
  case ZH_Q6_K:
    return 5;
  case ZH_Q5_0:
  case ZH_MXFP4:
    return 4;
  case ZH_Q4_0:
    return 3;
  default:
    return 0;
  }
}

ALWAYS_INLINE __m512 halves16(const uint8_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

ALWAYS_INLINE __m512 small_integers(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

/* zh_e8m0_half of sixteen exponents. */
ALWAYS_INLINE __m512 halved_powers(const uint8_t *p) {
  __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
  __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
  return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(bits, small, _mm512_set1_epi32(0x00200000), e));
}

/* What the scales and minima of a block of 256 are multiples of. */
ALWAYS_INLINE row_factors k_units(const uint8_t *block, zh_dtype type) {
  return (row_factors){halves16(block),
                       type == ZH_Q6_K ? _mm512_setzero_ps() : halves16(block + 32)};
}

/* 6-bit scales and minima of run `run`: zh_k_scale_minimum for sixteen rows at once. */
ALWAYS_INLINE row_factors nibble_factors(row_factors unit, const uint8_t *block, int run) {
  const __m128i *s = (const __m128i *)(const void *)(block + 64);
  const __m128i six = _mm_set1_epi8(63), four = _mm_set1_epi8(15), two = _mm_set1_epi8(48);
  __m128i scale, minimum, last = _mm_loadu_si128(s + run + 4);
  if (run < 4) {
    scale = _mm_and_si128(_mm_loadu_si128(s + run), six);
    minimum = _mm_and_si128(last, six);
  } else {
    __m128i a = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128(s + run - 4), 2), two);
    __m128i b = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128(s + run), 2), two);
    scale = _mm_or_si128(_mm_and_si128(last, four), a);
    minimum = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(last, 4), four), b);
  }
  __m512 m = _mm512_mul_ps(unit.minimum, small_integers(minimum));
  return (row_factors){
      _mm512_mul_ps(unit.scale, small_integers(scale)),
      _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(m), _mm512_set1_epi32(INT32_MIN)))};
}

/* Scales of half a run (0, 1): sixteen columns. */
ALWAYS_INLINE row_factors sixes_factors(row_factors unit, const uint8_t *block, int run, int half) {
  __m128i s = _mm_loadu_si128((const __m128i *)(const void *)(block + 32) + 2 * run + half);
  __m512 scale = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(s));
  return (row_factors){_mm512_mul_ps(unit.scale, scale), _mm512_setzero_ps()};
}

ALWAYS_INLINE row_factors k_factors(row_factors unit, const uint8_t *block, zh_dtype type, int run,
                                    int half) {
  if (type == ZH_Q6_K) return sixes_factors(unit, block, run, half);
  return nibble_factors(unit, block, run);
}

/* Of the block's first or second sixteen columns; only Q6_K has two of each. */
ALWAYS_INLINE row_factors factors_of(const uint8_t *group, zh_dtype type, size_t b, int half) {
  if (is_k(type)) {
    const uint8_t *block = group + 8 * block_bytes(type) * (b / 8);
    return k_factors(k_units(block, type), block, type, (int)(b % 8), half);
  }
  const uint8_t *p = group + block_bytes(type) * b;
  if (type == ZH_MXFP4) return (row_factors){halved_powers(p), _mm512_setzero_ps()};
  return (row_factors){halves16(p), has_minimum(type) ? halves16(p + 32) : _mm512_setzero_ps()};
}

ALWAYS_INLINE quanta_block block_at(const uint8_t *group, zh_dtype type, size_t b) {
  if (is_k(type)) {
    size_t run = b % 8;
    const uint8_t *p = group + 8 * block_bytes(type) * (b / 8),
                  *fifths = has_fifths(type) ? p + 256 + 64 * run : NULL;
    if (type == ZH_Q6_K)
      return (quanta_block){p + 288 + 1024 * (run / 4) + 512 * (run & 1),
                            p + 2336 + 512 * (run / 4), (int)run};
    p += has_fifths(type) ? 768 : 256;
    return (quanta_block){p + 512 * (run / 2), fifths, (int)run};
  }
  const uint8_t *p = group + block_bytes(type) * b + scale_bytes(type);
  if (has_fifths(type)) return (quanta_block){p + 64, p, 0};
  return (quanta_block){p, NULL, 0};
}

/* Q6_K: nibbles are low ones in a half block's first two runs, pairs of bits go up by two a run. */
ALWAYS_INLINE __m512i sixes_of(const quanta_block *q, int j) {
  int r = q->run & 3;
  __m512i low = _mm512_loadu_si512(q->quanta + 64 * j),
          high = _mm512_loadu_si512(q->fifths + 64 * j);
  low = _mm512_and_si512(r >= 2 ? _mm512_srli_epi16(low, 4) : low, _mm512_set1_epi8(15));
  high = r == 0   ? _mm512_slli_epi16(high, 4)
         : r == 1 ? _mm512_slli_epi16(high, 2)
         : r == 2 ? high
                  : _mm512_srli_epi16(high, 2);
  return _mm512_ternarylogic_epi32(low, high, _mm512_set1_epi8(0x30), 0xf8); /* low | (high & 48) */
}

/* What nibbles stand for, with the bias: one byte each. */
ALWAYS_INLINE __m512i table_of(zh_dtype type) {
  static const int8_t iq4[16] = {ZH_IQ4_VALUES}, mxfp4[16] = {ZH_MXFP4_VALUES};
  const int8_t *values = type == ZH_MXFP4 ? mxfp4 : iq4;
  __m128i table = _mm_loadu_si128((const __m128i *)(const void *)values);
  table = _mm_add_epi8(table, _mm_set1_epi8((char)(1 << bias_bits(type))));
  return _mm512_broadcast_i32x4(table);
}

/* Columns 4 j … 4 j + 3 of a block, unsigned: with the bias in them. */
ALWAYS_INLINE __m512i quanta_of(const quanta_block *q, zh_dtype type, int j) {
  const __m512i nibble = _mm512_set1_epi8(15);
  if (type == ZH_Q8_0)
    return _mm512_xor_si512(_mm512_loadu_si512(q->quanta + 64 * j), _mm512_set1_epi8(-128));
  if (type == ZH_Q6_K) return sixes_of(q, j);
  __m512i v;
  if (is_k(type)) {
    v = _mm512_loadu_si512(q->quanta + 64 * j);
    v = q->run & 1 ? _mm512_srli_epi16(v, 4) : v;
  } else {
    v = _mm512_loadu_si512(q->quanta + 64 * (j & 3));
    v = j >= 4 ? _mm512_srli_epi16(v, 4) : v;
  }
  v = _mm512_and_si512(v, nibble);
  if (is_looked_up(type)) return _mm512_shuffle_epi8(table_of(type), v);
  if (!has_fifths(type)) return v;
  uint64_t fifth;
  memcpy(&fifth, q->fifths + 8 * j, sizeof fifth);
  return _mm512_mask_add_epi8(v, fifth, v, _mm512_set1_epi8(16));
}

#endif
