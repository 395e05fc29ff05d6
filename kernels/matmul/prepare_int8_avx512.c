/* Activations as bytes, one or two: a scale for each 32 columns, as zh_rounded says, in lines
 * (packed.h). */
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

enum { STEP = 32 };

ALWAYS_INLINE void store_bytes(zh_token_line *line, __m512i low, __m512i high) {
  __m128i *to = (__m128i *)(void *)line->bytes;
  _mm_store_si128(to, _mm512_cvtsepi32_epi8(low));
  _mm_store_si128(to + 1, _mm512_cvtsepi32_epi8(high));
}

/* The first bytes into a line of their own; what they leave. */
ALWAYS_INLINE __m512i second_of(__m512i n, __m512i *first) {
  *first = _mm512_srai_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(1 << (ZH_SECOND_BITS - 1))),
                             ZH_SECOND_BITS);
  return _mm512_sub_epi32(n, _mm512_slli_epi32(*first, ZH_SECOND_BITS));
}

/* Into a line, or two. */
ALWAYS_INLINE void quantise(zh_token_line *line, const float *x, const bool two) {
  __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
  float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
  const float largest = two ? ZH_TWO_BYTES_MOST : 127;
  __m512 inverse = _mm512_set1_ps(most > 0 ? largest / most : 0);
  __m512i l = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)),
          h = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
  int32_t first = _mm512_reduce_add_epi32(l), second = _mm512_reduce_add_epi32(h),
          sum = first + second;
  if (two) {
    __m512i first_l, first_h;
    l = second_of(l, &first_l);
    h = second_of(h, &first_h);
    store_bytes(line++, first_l, first_h);
  }
  store_bytes(line, l, h);
  line->scale = most / largest;
  line->scaled_sum = line->scale * (float)sum;
  line->start_3 = -8 * sum;
  line->start_4 = -16 * sum;
  line->start_7 = -128 * sum;
  line->start_5[0] = -32 * first;
  line->start_5[1] = -32 * second;
  line->unused = 0;
}

ALWAYS_INLINE void prepare(void *out, const float *x, size_t x_stride, size_t columns,
                           size_t tokens, size_t begin, size_t end, const bool two) {
  size_t steps = columns / STEP, lines = two ? 2 : 1;
  for (size_t t = begin; t < end; t++) {
    size_t tile = t - t % ZH_LINE_TOKENS, left = tokens - tile,
           in_tile = left < ZH_LINE_TOKENS ? left : ZH_LINE_TOKENS;
    zh_token_line *line = (zh_token_line *)out + lines * (tile * steps + t % ZH_LINE_TOKENS);
    for (size_t s = 0; s < steps; s++, line += lines * in_tile)
      quantise(line, x + t * x_stride + STEP * s, two);
  }
}

void zh_prepare_int8_avx512(void *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens, size_t begin, size_t end, bool two) {
  if (two)
    prepare(out, x, x_stride, columns, tokens, begin, end, true);
  else
    prepare(out, x, x_stride, columns, tokens, begin, end, false);
}
