#include "kernels/lanes_avx2.h"
#include "kernels/variants.h"

#include <math.h>

/* Four vectors of partial sums, for the FMA's latency. */
static float sum_of_squares(const float *x, size_t columns) {
  __m256 sum[4];
  for (int k = 0; k < 4; k++) sum[k] = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 32 <= columns; i += 32)
    for (int k = 0; k < 4; k++) {
      __m256 v = _mm256_loadu_ps(x + i + 8 * k);
      sum[k] = _mm256_fmadd_ps(v, v, sum[k]);
    }
  for (; i < columns; i += 8) {
    __m256 v = _mm256_maskload_ps(x + i, lanes8(columns - i));
    sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
  }
  return sum1(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

void zh_rmsnorm_avx2(float *y, const float *x, const float *gain, size_t columns, float eps,
                     size_t begin, size_t end) {
  for (size_t t = begin; t < end; t++) {
    const float *in = x + t * columns;
    float scale = 1 / sqrtf(sum_of_squares(in, columns) / (float)columns + eps);
    for (size_t i = 0; i < columns; i += 8) {
      __m256i mask = lanes8(columns - i);
      __m256 v = _mm256_mul_ps(_mm256_maskload_ps(in + i, mask), _mm256_set1_ps(scale));
      v = _mm256_mul_ps(v, _mm256_maskload_ps(gain + i, mask));
      _mm256_maskstore_ps(y + t * columns + i, mask, v);
    }
  }
}
