/* Sums of 32 columns of quanta by bytes with AVX2, and with AVX-VNNI where a file is compiled for
 * it: eight rows to a vector. */
#ifndef ZH_KERNELS_MATMUL_DOTS_AVX2_H
#define ZH_KERNELS_MATMUL_DOTS_AVX2_H

#include "kernels/vector_avx2.h"

#include "core/dtype.h"

ALWAYS_INLINE __m256i four_bytes(const uint8_t *x) {
  int word;
  __builtin_memcpy(&word, x, sizeof word);
  return _mm256_set1_epi32(word);
}

/* `count` words of each row. Signed quanta: |w|, and x with w's sign. Sums of two products stay
 * within 16 bits, 2 * 128 * 127 = 32512, and so do as many of fewer bits as are added before they
 * are widened: 16 * 15 * 127 = 30480, 8 * 31 * 127 = 31496, of Q6_K 8 * 32 * 127 = 32512. */
ALWAYS_INLINE words dot(const words *w, const uint8_t *x, zh_dtype type, const int count) {
  bool bytes = type == ZH_Q8_0 || type == ZH_IQ4_NL,
       sign = bytes || type == ZH_Q6_K || type == ZH_MXFP4;
  words sum = _mm256_setzero_si256();
#ifdef __AVXVNNI__
  for (int j = 0; j < count; j++) {
    words a = w[j], b = four_bytes(x + 4 * j);
    if (sign) b = _mm256_sign_epi8(b, a), a = _mm256_abs_epi8(a);
    sum = _mm256_dpbusd_avx_epi32(sum, a, b);
  }
#else
  bool four = type == ZH_Q4_0 || type == ZH_Q4_1 || type == ZH_Q4_K || type == ZH_MXFP4;
  const int together = bytes ? 1 : four ? 8 : 4;
  for (int j = 0; j < count; j += together) {
    words pairs = _mm256_setzero_si256();
    for (int k = j; k < j + together; k++) {
      words a = w[k], b = four_bytes(x + 4 * k);
      if (sign) b = _mm256_sign_epi8(b, a), a = _mm256_abs_epi8(a);
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(a, b));
    }
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
#endif
  return sum;
}

#endif
