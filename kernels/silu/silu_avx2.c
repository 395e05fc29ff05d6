#include "kernels/lanes_avx2.h"
#include "kernels/variants.h"

void zh_silu_multiply_avx2(float *y, const float *gate, const float *up, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 8) {
    __m256i mask = lanes8(end - i);
    __m256 g = _mm256_maskload_ps(gate + i, mask), u = _mm256_maskload_ps(up + i, mask);
    __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), g));
    __m256 silu = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1), e));
    _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(silu, u));
  }
}

void zh_add_avx2(float *y, const float *x, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 8) {
    __m256i mask = lanes8(end - i);
    __m256 sum = _mm256_add_ps(_mm256_maskload_ps(y + i, mask), _mm256_maskload_ps(x + i, mask));
    _mm256_maskstore_ps(y + i, mask, sum);
  }
}
