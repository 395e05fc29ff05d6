/* vpdpbusd multiplies unsigned by signed bytes. B is packed with 128 added, as unsigned; a row's
 * sums begin with -128 times the sum of A's row, which takes it out again. 32-bit sums wrap, so
 * what leaves and re-enters their range on the way does no harm: results are exact wherever they
 * fit. */
#include <immintrin.h>

typedef __m512i sums;

#include "kernels/gemm/panels_avx512.h"

ALWAYS_INLINE sums multiply_add(sums sum, __m512i b, __m512i a) {
  return _mm512_dpbusd_epi32(sum, b, a);
}

static sums first_sum(const char *a_row, size_t bytes) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 64) {
    __mmask64 mask = bytes - i < 64 ? (1ull << (bytes - i)) - 1 : ~0ull;
    sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(mask, a_row + i));
  }
  return _mm512_set1_epi32((int)(0u - 128 * (uint32_t)_mm512_reduce_add_epi32(sum)));
}

/* Bytes beyond the row stay zero: they must add nothing. */
ALWAYS_INLINE uint32_t packed_word(uint32_t word, size_t valid_bytes) {
  return word ^ (valid_bytes == 4 ? 0x80808080u : 0x80808080u >> 8 * (4 - valid_bytes));
}

void zh_gemm_int8_avx512_vnni(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                              size_t begin, size_t end) {
  (void)m;
  zh_gemm_panels(c, a, b, 1, n, k, begin, end);
}
