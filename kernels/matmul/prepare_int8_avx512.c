/* Activations as bytes: a scale for each 32 columns, as zh_rounded says, in lines (packed.h). */
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

enum { STEP = 32 };

ALWAYS_INLINE void quantise(zh_token_line *line, const float *x) {
  __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
  float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
  __m512 inverse = _mm512_set1_ps(most > 0 ? 127 / most : 0);
  __m512i l = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)),
          h = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
  __m128i *to = (__m128i *)(void *)line->bytes;
  _mm_store_si128(to, _mm512_cvtsepi32_epi8(l));
  _mm_store_si128(to + 1, _mm512_cvtsepi32_epi8(h));
  int32_t first = _mm512_reduce_add_epi32(l), second = _mm512_reduce_add_epi32(h),
          sum = first + second;
  line->scale = most / 127;
  line->scaled_sum = line->scale * (float)sum;
  line->start_3 = -8 * sum;
  line->start_4 = -16 * sum;
  line->start_7 = -128 * sum;
  line->start_5[0] = -32 * first;
  line->start_5[1] = -32 * second;
  line->unused = 0;
}

void zh_prepare_int8_avx512(void *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens, size_t begin, size_t end) {
  size_t steps = columns / STEP;
  for (size_t t = begin; t < end; t++) {
    size_t tile = t - t % ZH_LINE_TOKENS, left = tokens - tile,
           in_tile = left < ZH_LINE_TOKENS ? left : ZH_LINE_TOKENS;
    zh_token_line *line = (zh_token_line *)out + tile * steps + t % ZH_LINE_TOKENS;
    for (size_t s = 0; s < steps; s++, line += in_tile) quantise(line, x + t * x_stride + STEP * s);
  }
}
