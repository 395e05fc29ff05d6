#include "kernels/lanes_avx2.h"
#include "kernels/variants.h"

#include <math.h>

/* The largest value, then the first place that holds it: ties go to the lowest, and -0 equals 0, as
 * in the reference. */
size_t zh_argmax_avx2(const float *x, size_t count) {
  __m256 best = _mm256_set1_ps(-INFINITY), nan = _mm256_setzero_ps();
  size_t whole = count & ~(size_t)7;
  for (size_t i = 0; i < whole; i += 8) {
    __m256 v = _mm256_loadu_ps(x + i);
    nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    best = _mm256_max_ps(best, v);
  }
  float lanes[8], largest = -INFINITY;
  _mm256_storeu_ps(lanes, best);
  for (size_t i = 0; i < 8; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  if (_mm256_movemask_ps(nan)) return SIZE_MAX;
  for (size_t i = whole; i < count; i++) {
    if (isnan(x[i])) return SIZE_MAX;
    largest = x[i] > largest ? x[i] : largest;
  }
  for (size_t i = 0; i < count; i++)
    if (x[i] == largest) return i;
  return SIZE_MAX;
}
