/* Vectors of AVX2 under the names that vector_portable.h and others have too, for kernels that are
 * written once. Included only by *_avx2.c and *_avx_vnni.c. */
#ifndef ZH_KERNELS_VECTOR_AVX2_H
#define ZH_KERNELS_VECTOR_AVX2_H

#include <stdbool.h>

#include "kernels/lanes_avx2.h"

enum { LANES = 8 };
typedef __m256 lanes;
typedef __m256i words;

ALWAYS_INLINE lanes lanes_set(float value) {
  return _mm256_set1_ps(value);
}
ALWAYS_INLINE lanes lanes_load(const float *p) {
  return _mm256_loadu_ps(p);
}
ALWAYS_INLINE void lanes_store(float *p, lanes v) {
  _mm256_storeu_ps(p, v);
}
ALWAYS_INLINE lanes lanes_load_some(const float *p, size_t count) {
  return _mm256_maskload_ps(p, lanes8(count));
}
ALWAYS_INLINE void lanes_store_some(float *p, lanes v, size_t count) {
  _mm256_maskstore_ps(p, lanes8(count), v);
}
ALWAYS_INLINE lanes lanes_add(lanes a, lanes b) {
  return _mm256_add_ps(a, b);
}
ALWAYS_INLINE lanes lanes_sub(lanes a, lanes b) {
  return _mm256_sub_ps(a, b);
}
ALWAYS_INLINE lanes lanes_mul(lanes a, lanes b) {
  return _mm256_mul_ps(a, b);
}
ALWAYS_INLINE lanes lanes_div(lanes a, lanes b) {
  return _mm256_div_ps(a, b);
}
ALWAYS_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
  return _mm256_fmadd_ps(a, b, c);
}
ALWAYS_INLINE lanes lanes_choose(words where, lanes yes, lanes no) {
  return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(where));
}
ALWAYS_INLINE lanes lanes_max(lanes a, lanes b) {
  return _mm256_max_ps(a, b);
}
ALWAYS_INLINE lanes lanes_abs(lanes a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
ALWAYS_INLINE float lanes_sum(lanes v) {
  return sum1(v);
}
ALWAYS_INLINE float lanes_largest(lanes v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
ALWAYS_INLINE bool lanes_any_nan(lanes v) {
  return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0;
}
ALWAYS_INLINE lanes lanes_exp(lanes x) {
  return exp8(x);
}

ALWAYS_INLINE words words_set(int32_t value) {
  return _mm256_set1_epi32(value);
}
ALWAYS_INLINE words words_load(const void *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}
ALWAYS_INLINE words words_add(words a, words b) {
  return _mm256_add_epi32(a, b);
}
ALWAYS_INLINE words words_sub(words a, words b) {
  return _mm256_sub_epi32(a, b);
}
ALWAYS_INLINE words words_and(words a, words b) {
  return _mm256_and_si256(a, b);
}
ALWAYS_INLINE words words_or(words a, words b) {
  return _mm256_or_si256(a, b);
}
ALWAYS_INLINE words words_xor(words a, words b) {
  return _mm256_xor_si256(a, b);
}
ALWAYS_INLINE words words_left(words a, int bits) {
  return _mm256_slli_epi32(a, bits);
}
ALWAYS_INLINE words words_right(words a, int bits) {
  return _mm256_srli_epi32(a, bits);
}
/* Byte i of each word, signed. */
/* Each byte, 0 … 15, becomes the table's of that number. */
ALWAYS_INLINE words words_look_up(const int8_t table[16], words v) {
  __m128i once = _mm_loadu_si128((const __m128i *)(const void *)table);
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(once), v);
}
ALWAYS_INLINE words words_signed_byte(words a, int i) {
  return _mm256_srai_epi32(_mm256_slli_epi32(a, 24 - 8 * i), 24);
}
ALWAYS_INLINE int32_t words_sum(words v) {
  __m128i m = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_add_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
ALWAYS_INLINE lanes lanes_of_words(words v) {
  return _mm256_cvtepi32_ps(v);
}
ALWAYS_INLINE lanes lanes_of_bits(words v) {
  return _mm256_castsi256_ps(v);
}
ALWAYS_INLINE words bits_of_lanes(lanes v) {
  return _mm256_castps_si256(v);
}
ALWAYS_INLINE words words_round(lanes v) {
  return _mm256_cvtps_epi32(v);
}
ALWAYS_INLINE words words_nan(lanes v) {
  return _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
ALWAYS_INLINE words words_of_u8(const uint8_t *p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
ALWAYS_INLINE words words_of_u16(const void *p) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE lanes lanes_of_f16(const void *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
/* 32 bits, each bit 4 of a byte. */
ALWAYS_INLINE words words_of_fifths(const uint8_t *mask) {
  int bits;
  __builtin_memcpy(&bits, mask, sizeof bits);
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                          0x0303030303030303),
                bit = _mm256_set1_epi64x((long long)0x8040201008040201);
  __m256i there = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(there, bit), _mm256_set1_epi8(16));
}

#endif
