/* Weights rearranged sixteen rows at once, with two vectors of 32 bytes for the sixteen. */
#include <immintrin.h>

#include "kernels/matmul/packed.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct words {
  __m256i low, high; /* rows 0 to 7, and 8 to 15 */
} words;

ALWAYS_INLINE __m128i piece(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 16 bytes of rows i and i + 4. */
ALWAYS_INLINE __m256i half_of(const uint8_t *p, size_t stride) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(piece(p)), piece(p + 4 * stride), 1);
}

ALWAYS_INLINE void load_eight(__m256i w[4], const uint8_t *p, size_t stride) {
  __m256i a = half_of(p, stride), b = half_of(p + stride, stride),
          c = half_of(p + 2 * stride, stride), d = half_of(p + 3 * stride, stride);
  __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
  w[0] = _mm256_unpacklo_epi64(ab, cd);
  w[1] = _mm256_unpackhi_epi64(ab, cd);
  ab = _mm256_unpackhi_epi32(a, b), cd = _mm256_unpackhi_epi32(c, d);
  w[2] = _mm256_unpacklo_epi64(ab, cd);
  w[3] = _mm256_unpackhi_epi64(ab, cd);
}

ALWAYS_INLINE void load_words(words w[4], const uint8_t *p, size_t stride) {
  __m256i low[4], high[4];
  load_eight(low, p, stride);
  load_eight(high, p + 8 * stride, stride);
  for (int k = 0; k < 4; k++) w[k] = (words){low[k], high[k]};
}

ALWAYS_INLINE words load_first(const uint8_t *p, size_t stride) {
  words w[4];
  load_words(w, p, stride); /* what is not used is not computed */
  return w[0];
}

ALWAYS_INLINE void store(uint8_t *out, __m256i v) {
  _mm256_storeu_si256((__m256i *)(void *)out, v);
}

ALWAYS_INLINE void store_words(uint8_t *out, words w) {
  store(out, w.low);
  store(out + 32, w.high);
}

ALWAYS_INLINE __m256i shuffled(__m256i v, __m128i pattern) {
  return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(pattern));
}

/* Lower halves of eight rows in the first 16 bytes, upper ones in the last. */
ALWAYS_INLINE __m256i halves_of(__m256i v) {
  v = shuffled(v, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  return _mm256_permute4x64_epi64(v, 0xd8);
}

ALWAYS_INLINE void store_lower(uint8_t *out, words w) {
  store(out, _mm256_permute2x128_si256(halves_of(w.low), halves_of(w.high), 0x20));
}

ALWAYS_INLINE void store_halves(uint8_t *out, words w) {
  store_lower(out, w);
  store(out + 32, _mm256_permute2x128_si256(halves_of(w.low), halves_of(w.high), 0x31));
}

/* Bytes k of eight rows, k = 0 to 3. */
ALWAYS_INLINE __m256i bytes_of(__m256i v) {
  v = shuffled(v, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* [byte][row]: bytes 0 and 2 in the lanes of low, 1 and 3 in those of high. */
ALWAYS_INLINE words by_bytes(words w) {
  __m256i a = bytes_of(w.low), b = bytes_of(w.high);
  return (words){_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)};
}

ALWAYS_INLINE void store_in_order(uint8_t *out, words w) {
  store(out, _mm256_permute2x128_si256(w.low, w.high, 0x20));
  store(out + 32, _mm256_permute2x128_si256(w.low, w.high, 0x31));
}

ALWAYS_INLINE void store_bytes(uint8_t *out, words w) {
  store_in_order(out, by_bytes(w));
}

/* Bytes k of two rows beside each other are nibbles 2 k and 2 k + 1 of each: exchanging the two in
 * the middle puts nibble 2 k of both rows into one byte. */
ALWAYS_INLINE __m256i fifths_of(__m256i x) {
  const __m256i outer = _mm256_set1_epi16((short)0xf00f), second = _mm256_set1_epi16(0x00f0),
                third = _mm256_set1_epi16(0x0f00);
  x = _mm256_or_si256(_mm256_and_si256(x, outer),
                      _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(x, 4), second),
                                      _mm256_and_si256(_mm256_slli_epi16(x, 4), third)));
  return shuffled(x, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
}

ALWAYS_INLINE void store_fifths(uint8_t *out, words w) {
  w = by_bytes(w);
  store_in_order(out, (words){fifths_of(w.low), fifths_of(w.high)});
}

#include "kernels/matmul/pack_groups.h"

bool zh_pack_groups_avx2(void *out, zh_dtype type, const void *rows, size_t groups,
                         size_t row_bytes, size_t columns) {
  bool packed = pack_groups(out, type, rows, groups, row_bytes, columns);
  _mm_sfence();
  return packed;
}
