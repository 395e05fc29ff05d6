/* Weights rearranged sixteen rows at once with vectors of 64 bytes. */
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

typedef __m512i words;

ALWAYS_INLINE __m128i piece(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 16 bytes of rows i, i + 4, i + 8 and i + 12: a lane has every fourth row, so that four such
 * vectors need shuffles within lanes alone. */
ALWAYS_INLINE __m512i quarter_of(const uint8_t *p, size_t stride) {
  __m512i v = _mm512_castsi128_si512(piece(p));
  v = _mm512_inserti32x4(v, piece(p + 4 * stride), 1);
  v = _mm512_inserti32x4(v, piece(p + 8 * stride), 2);
  return _mm512_inserti32x4(v, piece(p + 12 * stride), 3);
}

ALWAYS_INLINE void load_words(words w[4], const uint8_t *p, size_t stride) {
  __m512i a = quarter_of(p, stride), b = quarter_of(p + stride, stride),
          c = quarter_of(p + 2 * stride, stride), d = quarter_of(p + 3 * stride, stride);
  __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
  w[0] = _mm512_unpacklo_epi64(ab, cd);
  w[1] = _mm512_unpackhi_epi64(ab, cd);
  ab = _mm512_unpackhi_epi32(a, b), cd = _mm512_unpackhi_epi32(c, d);
  w[2] = _mm512_unpacklo_epi64(ab, cd);
  w[3] = _mm512_unpackhi_epi64(ab, cd);
}

ALWAYS_INLINE words load_first(const uint8_t *p, size_t stride) {
  words w[4];
  load_words(w, p, stride); /* what is not used is not computed */
  return w[0];
}

ALWAYS_INLINE void store_words(uint8_t *out, words w) {
  _mm512_storeu_si512(out, w);
}

ALWAYS_INLINE words shuffled(words w, __m128i pattern) {
  return _mm512_shuffle_epi8(w, _mm512_broadcast_i32x4(pattern));
}

/* Halves side by side within lanes, then lanes' first eight bytes before their last. */
ALWAYS_INLINE void store_halves(uint8_t *out, words w) {
  w = shuffled(w, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  store_words(out, _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), w));
}

ALWAYS_INLINE void store_lower(uint8_t *out, words w) {
  _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtepi32_epi16(w));
}

ALWAYS_INLINE words by_bytes(words w) {
  const __m512i across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  w = shuffled(w, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_permutexvar_epi32(across, w);
}

ALWAYS_INLINE void store_bytes(uint8_t *out, words w) {
  store_words(out, by_bytes(w));
}

/* Bytes k of two rows beside each other are nibbles 2 k and 2 k + 1 of each: exchanging the two in
 * the middle puts nibble 2 k of both rows into one byte. */
ALWAYS_INLINE void store_fifths(uint8_t *out, words w) {
  const __m512i outer = _mm512_set1_epi16((short)0xf00f), second = _mm512_set1_epi16(0x00f0),
                third = _mm512_set1_epi16(0x0f00);
  __m512i x = by_bytes(w);
  x = _mm512_or_si512(_mm512_and_si512(x, outer),
                      _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(x, 4), second),
                                      _mm512_and_si512(_mm512_slli_epi16(x, 4), third)));
  store_words(out,
              shuffled(x, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15)));
}

#include "kernels/matmul/pack_groups.h"

bool zh_pack_groups_avx512(void *out, zh_dtype type, const void *rows, size_t groups,
                           size_t row_bytes, size_t columns) {
  bool packed = pack_groups(out, type, rows, groups, row_bytes, columns);
  _mm_sfence();
  return packed;
}
