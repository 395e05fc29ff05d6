/* Packed quanta (packed.h) as the integer kernels want them: four columns of sixteen rows to a
 * vector, and the factors of their rows. Included only by *_amx.c of this folder. */
#ifndef ZH_KERNELS_MATMUL_QUANTA_AMX_H
#define ZH_KERNELS_MATMUL_QUANTA_AMX_H

#include <string.h>

#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

/* Sixteen rows of one block of 32 columns: where its parts lie. */
typedef struct quanta_block {
  const uint8_t *quanta; /* bytes, or nibbles */
  const uint8_t *fifths; /* NULL where there are none */
  int shift;             /* K-quants: which nibbles are this run's */
} quanta_block;

typedef struct row_factors {
  __m512 scale, minimum; /* a weight is scale * quantum + minimum */
} row_factors;

ALWAYS_INLINE bool has_minimum(zh_dtype type) {
  return type == ZH_Q4_1 || type == ZH_Q5_1 || type == ZH_Q4_K || type == ZH_Q5_K;
}
ALWAYS_INLINE bool is_k(zh_dtype type) {
  return type == ZH_Q4_K || type == ZH_Q5_K;
}
ALWAYS_INLINE bool has_fifths(zh_dtype type) {
  return type == ZH_Q5_0 || type == ZH_Q5_1 || type == ZH_Q5_K;
}
/* What is subtracted from a quantum that is stored unsigned, as a power of two; 0: nothing. */
ALWAYS_INLINE int bias_bits(zh_dtype type) {
  return type == ZH_Q8_0 ? 7 : type == ZH_Q5_0 ? 4 : type == ZH_Q4_0 ? 3 : 0;
}
/* Bytes of sixteen rows of 32 columns. */
ALWAYS_INLINE size_t block_bytes(zh_dtype type) {
  switch (type) {
  case ZH_Q8_0:
    return 544;
  case ZH_Q4_1:
    return 320;
  case ZH_Q5_0:
  case ZH_Q5_K:
    return 352;
  case ZH_Q5_1:
    return 384;
  default: /* Q4_0, Q4_K */
    return 288;
  }
}

ALWAYS_INLINE __m512 halves16(const uint8_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

ALWAYS_INLINE __m512 small_integers(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

/* 6-bit scales and minima of run `run`: zh_k_scale_minimum for sixteen rows at once. */
ALWAYS_INLINE row_factors k_factors(const uint8_t *block, int run) {
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
  __m512 m = _mm512_mul_ps(halves16(block + 32), small_integers(minimum));
  return (row_factors){_mm512_mul_ps(halves16(block), small_integers(scale)),
                       _mm512_sub_ps(_mm512_setzero_ps(), m)};
}

ALWAYS_INLINE row_factors factors_of(const uint8_t *group, zh_dtype type, size_t b) {
  if (type == ZH_Q4_K) return k_factors(group + 2304 * (b / 8), (int)(b % 8));
  if (type == ZH_Q5_K) return k_factors(group + 2816 * (b / 8), (int)(b % 8));
  const uint8_t *p = group + block_bytes(type) * b;
  return (row_factors){halves16(p), has_minimum(type) ? halves16(p + 32) : _mm512_setzero_ps()};
}

ALWAYS_INLINE quanta_block block_at(const uint8_t *group, zh_dtype type, size_t b) {
  if (is_k(type)) {
    size_t run = b % 8;
    const uint8_t *p = group + 8 * block_bytes(type) * (b / 8),
                  *fifths = has_fifths(type) ? p + 256 + 64 * run : NULL;
    p += has_fifths(type) ? 768 : 256;
    return (quanta_block){p + 512 * (run / 2), fifths, (int)(run & 1)};
  }
  const uint8_t *p = group + block_bytes(type) * b + (has_minimum(type) ? 64 : 32);
  if (has_fifths(type)) return (quanta_block){p + 64, p, 0};
  return (quanta_block){p, NULL, 0};
}

/* Columns 4 j … 4 j + 3 of a block, unsigned: with the bias in them. */
ALWAYS_INLINE __m512i quanta_of(const quanta_block *q, zh_dtype type, int j) {
  const __m512i nibble = _mm512_set1_epi8(15);
  if (type == ZH_Q8_0)
    return _mm512_xor_si512(_mm512_loadu_si512(q->quanta + 64 * j), _mm512_set1_epi8(-128));
  __m512i v;
  if (is_k(type)) {
    v = _mm512_loadu_si512(q->quanta + 64 * j);
    v = q->shift ? _mm512_srli_epi16(v, 4) : v;
  } else {
    v = _mm512_loadu_si512(q->quanta + 64 * (j & 3));
    v = j >= 4 ? _mm512_srli_epi16(v, 4) : v;
  }
  v = _mm512_and_si512(v, nibble);
  if (!has_fifths(type)) return v;
  uint64_t fifth;
  memcpy(&fifth, q->fifths + 8 * j, sizeof fifth);
  return _mm512_mask_add_epi8(v, fifth, v, _mm512_set1_epi8(16));
}

#endif
