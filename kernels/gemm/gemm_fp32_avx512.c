#include "kernels/gemm/panels_avx512.h"

ALWAYS_INLINE __m512i multiply_add(__m512i sum, __m512i b, __m512i a) {
  return _mm512_castps_si512(
      _mm512_fmadd_ps(_mm512_castsi512_ps(b), _mm512_castsi512_ps(a), _mm512_castsi512_ps(sum)));
}

static __m512i first_sum(const char *a_row, size_t bytes) {
  (void)a_row;
  (void)bytes;
  return _mm512_setzero_si512();
}

ALWAYS_INLINE uint32_t packed_word(uint32_t word, size_t valid_bytes) {
  (void)valid_bytes;
  return word;
}

void zh_gemm_fp32_avx512(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                         size_t begin, size_t end) {
  (void)m;
  zh_gemm_panels(c, a, b, 4, n, k, begin, end);
}
