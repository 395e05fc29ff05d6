#include "kernels/lanes_avx512.h"
#include "kernels/variants.h"

void zh_silu_multiply_avx512(float *y, const float *gate, const float *up, size_t begin,
                             size_t end) {
  for (size_t i = begin; i < end; i += 16) {
    __mmask16 mask = lanes16(end - i);
    __m512 g = _mm512_maskz_loadu_ps(mask, gate + i), u = _mm512_maskz_loadu_ps(mask, up + i);
    __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), g));
    __m512 silu = _mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1), e));
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(silu, u));
  }
}

void zh_add_avx512(float *y, const float *x, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 16) {
    __mmask16 mask = lanes16(end - i);
    __m512 sum =
        _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y + i), _mm512_maskz_loadu_ps(mask, x + i));
    _mm512_mask_storeu_ps(y + i, mask, sum);
  }
}
