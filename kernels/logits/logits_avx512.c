#include "kernels/lanes_avx512.h"
#include "kernels/variants.h"

#include <math.h>

/* The largest value, then the first place that holds it: ties go to the lowest, and -0 equals 0, as
 * in the reference. */
size_t zh_argmax_avx512(const float *x, size_t count) {
  __m512 largest = _mm512_set1_ps(-INFINITY);
  __mmask16 nan = 0;
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 mask = lanes16(count - i);
    __m512 v = _mm512_mask_loadu_ps(largest, mask, x + i);
    nan |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    largest = _mm512_max_ps(largest, v);
  }
  if (nan || count == 0) return SIZE_MAX;
  __m512 wanted = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 mask = lanes16(count - i);
    __mmask16 equal =
        _mm512_mask_cmp_ps_mask(mask, _mm512_maskz_loadu_ps(mask, x + i), wanted, _CMP_EQ_OQ);
    if (equal) return i + (size_t)__builtin_ctz(equal);
  }
  return SIZE_MAX;
}
