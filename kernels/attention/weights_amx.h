/* Weights of values, in bf16: powers of two of scores. Included only by attention_amx.c. */
#ifndef ZH_KERNELS_ATTENTION_WEIGHTS_AMX_H
#define ZH_KERNELS_ATTENTION_WEIGHTS_AMX_H

#include "kernels/attention/operands_amx.h"

/* --- weights of small rows, in words --- */

/* Steps f of 2^-7 of a fraction, less 128 (2^(f / 128) - 1) in whole numbers. */
static const _Alignas(64) uint8_t excess[128] = {
    0,  0,  1,  1,  1,  1,  2,  2,  2,  3,  3,  3,  3,  4,  4,  4,  4,  5,  5,  5,  5,  6,
    6,  6,  6,  6,  7,  7,  7,  7,  7,  8,  8,  8,  8,  8,  8,  9,  9,  9,  9,  9,  9,  9,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 9,  9,  9,  9,  9,  9,  9,  8,  8,  8,  8,  8,  7,  7,  7,  7,  7,  6,  6,
    6,  6,  5,  5,  5,  4,  4,  4,  3,  3,  3,  3,  2,  2,  1,  1,  1,  0};
static const _Alignas(64) uint16_t even[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                               22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                               44, 46, 48, 50, 52, 54, 56, 58, 60, 62};

typedef struct words {
  __m512 factor, zero;
  __m512i even, low, high;
} words;

ALWAYS_INLINE words words_of(__m512 factor) {
  words w = {.factor = factor};
  w.zero = _mm512_set1_ps(0x1.8p23f + 127 * 128); /* 2^0, where its ulp is 1 */
  w.even = _mm512_load_si512(even);
  w.low = _mm512_load_si512(excess);
  w.high = _mm512_load_si512(excess + 64);
  return w;
}

/* 32 weights: words of bf16, within 2^-7.28 of 2^(score factor): half a step of the exponent,
 * 2^-8 ln 2, and half a step of bf16. */
ALWAYS_INLINE __m512i weights32(const words *w, const float *score) {
  __m512 first = _mm512_fmadd_ps(_mm512_loadu_ps(score), w->factor, w->zero),
         second = _mm512_fmadd_ps(_mm512_loadu_ps(score + 16), w->factor, w->zero);
  __m512i p =
      _mm512_permutex2var_epi16(_mm512_castps_si512(first), w->even, _mm512_castps_si512(second));
  return _mm512_sub_epi16(
      p, _mm512_maskz_permutex2var_epi8(UINT64_C(0x5555555555555555), w->low, p, w->high));
}

ALWAYS_INLINE __m512 added_up(__m512 sum, __m512i weights) {
  return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi16(0x3f80));
}

/* Rows that attend to all of a chunk. */
static void weigh_whole_rows(uint16_t *weight, const float *score, __m512 *sum, size_t rows,
                             __m512 factor) {
  words w = words_of(factor);
  for (size_t i = 0; i < rows; i++, weight += CHUNK, score += CHUNK) {
    __m512i first = weights32(&w, score), second = weights32(&w, score + KEYS);
    _mm512_storeu_si512(weight, first);
    _mm512_storeu_si512(weight + KEYS, second);
    sum[i] = added_up(added_up(sum[i], first), second);
  }
}

/* Of 32 keys from j on those in [begin, end). */
ALWAYS_INLINE __mmask32 attended32(size_t j, size_t begin, size_t end) {
  uint32_t below = end >= j + KEYS ? ~UINT32_C(0)
                   : end > j       ? (UINT32_C(1) << (end - j)) - 1
                                   : 0,
           before = begin <= j          ? 0
                    : begin >= j + KEYS ? ~UINT32_C(0)
                                        : (UINT32_C(1) << (begin - j)) - 1;
  return (__mmask32)(below & ~before);
}

/* A row of `count` keys, of which it attends to [begin, end). */
ALWAYS_INLINE __m512 weigh_row(uint16_t *weight, const float *score, size_t count, size_t begin,
                               size_t end, const words *w, __m512 sum) {
  for (size_t j = 0; j < count; j += KEYS) {
    __m512i p = _mm512_maskz_mov_epi16(attended32(j, begin, end), weights32(w, score + j));
    _mm512_storeu_si512(weight + j, p);
    sum = added_up(sum, p);
  }
  return sum;
}

/* --- weights of other rows --- */

ALWAYS_INLINE __mmask16 inside(size_t j, size_t begin, size_t end) {
  __mmask16 below = j < end ? lanes16(end - j) : 0, before = j < begin ? lanes16(begin - j) : 0;
  return (__mmask16)(below & ~before);
}

/* 2^x, x <= 0: relative error below 2^-13 (the polynomial stops 8.6e-5 short at most, and is
 * exactly 1 at 0). */
ALWAYS_INLINE __m512 power_of_two(__m512 x) {
  __m512 fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
  __m512 p = _mm512_set1_ps(0.07706707f);
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.22764496f));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.69511679f));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, x);
}

/* Scores of keys [from, to), scaled where keys have scales, -infinity where a row does not attend;
 * the largest. The first is score[0]. */
ALWAYS_INLINE __m512 largest_score(float *score, const block_at *b, size_t from, size_t to,
                                   size_t begin, size_t end) {
  __m512 top = _mm512_set1_ps(-INFINITY);
  if (begin <= from && end >= to && !b->key_scale) { /* nearly always; two chains */
    __m512 other = top;
    for (size_t j = from; j < to; j += KEYS) {
      top = _mm512_max_ps(_mm512_loadu_ps(score + j - from), top);
      other = _mm512_max_ps(_mm512_loadu_ps(score + j - from + 16), other);
    }
    return _mm512_max_ps(top, other);
  }
  for (size_t j = from; j < to; j += 16) {
    __m512 s = _mm512_loadu_ps(score + j - from);
    bool whole = j >= begin && j + 16 <= end;
    if (b->key_scale) s = _mm512_mul_ps(s, _mm512_loadu_ps(b->key_scale + j));
    if (!whole) s = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), inside(j, begin, end), s);
    if (b->key_scale || !whole) _mm512_storeu_ps(score + j - from, s);
    top = _mm512_max_ps(s, top);
  }
  return top;
}

/* Of keys [from, to), the first at weight[0] and score[0]. */
static void weigh(uint16_t *weight, float *score, const block_at *b, size_t from, size_t to,
                  size_t begin, size_t end, float scale, float *largest, float *total) {
  float top = _mm512_reduce_max_ps(largest_score(score, b, from, to, begin, end));
  if (top == -INFINITY) top = NO_SCORE;
  float in_powers = scale * 0x1.715476p0f;
  __m512 factor = _mm512_set1_ps(in_powers), most = _mm512_set1_ps(top * in_powers),
         sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t j = from; j < to; j += KEYS) {
    __m512 p[2];
    for (size_t n = 0; n < 2; n++) {
      p[n] =
          power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(score + j - from + 16 * n), factor, most));
      sum[n] = _mm512_add_ps(sum[n], p[n]);
      if (b->value_scale) p[n] = _mm512_mul_ps(p[n], _mm512_loadu_ps(b->value_scale + j + 16 * n));
    }
    _mm512_storeu_si512(weight + (j - from), (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]));
  }
  *largest = top * scale;
  *total = sum1(_mm512_add_ps(sum[0], sum[1]));
}

#endif
