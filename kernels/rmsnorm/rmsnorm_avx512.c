#include "kernels/lanes_avx512.h"
#include "kernels/variants.h"

#include <math.h>

/* Four vectors of partial sums, for the FMA's latency. */
static float sum_of_squares(const float *x, size_t columns) {
  __m512 sum[4];
  for (int k = 0; k < 4; k++) sum[k] = _mm512_setzero_ps();
  size_t i = 0;
  for (; i + 64 <= columns; i += 64)
    for (int k = 0; k < 4; k++) {
      __m512 v = _mm512_loadu_ps(x + i + 16 * k);
      sum[k] = _mm512_fmadd_ps(v, v, sum[k]);
    }
  for (; i < columns; i += 16) {
    __m512 v = _mm512_maskz_loadu_ps(lanes16(columns - i), x + i);
    sum[0] = _mm512_fmadd_ps(v, v, sum[0]);
  }
  return sum1(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

void zh_rmsnorm_avx512(float *y, const float *x, const float *gain, size_t columns, float eps,
                       size_t begin, size_t end) {
  for (size_t t = begin; t < end; t++) {
    const float *in = x + t * columns;
    float scale = 1 / sqrtf(sum_of_squares(in, columns) / (float)columns + eps);
    for (size_t i = 0; i < columns; i += 16) {
      __mmask16 mask = lanes16(columns - i);
      __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, in + i), _mm512_set1_ps(scale));
      v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, gain + i));
      _mm512_mask_storeu_ps(y + t * columns + i, mask, v);
    }
  }
}
