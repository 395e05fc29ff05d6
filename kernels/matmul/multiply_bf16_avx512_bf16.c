/* Products of weights of bf16 by activations rounded to it: vdpbf16ps adds a pair of columns, one
 * after the other, to each sum. */
#include "kernels/matmul/sums_avx512.h"

#include <string.h>

enum { STEP = 32, MOST_STEPS = 64 };

void zh_prepare_bf16_avx512_bf16(void *out, const float *x, size_t x_stride, size_t columns,
                                 size_t tokens, size_t begin, size_t end) {
  size_t steps = (columns + STEP - 1) / STEP, apart;
  for (size_t t = begin; t < end; t++) {
    uint8_t *to = line_of(out, steps, tokens, t, &apart);
    const float *from = x + t * x_stride;
    for (size_t c = 0; c < columns; c += STEP, to += apart) {
      __m512 low = _mm512_maskz_loadu_ps(lanes16(columns - c), from + c),
             high = _mm512_setzero_ps();
      if (columns - c > 16) high = _mm512_maskz_loadu_ps(lanes16(columns - c - 16), from + c + 16);
      _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
  }
}

ALWAYS_INLINE __m512bh pair_of_token(const uint8_t *line, int pair) {
  int word;
  memcpy(&word, line + 4 * pair, sizeof word);
  return (__m512bh)_mm512_set1_epi32(word);
}

ALWAYS_INLINE void multiply_step(sums *s, zh_dtype type, const uint8_t *w, size_t stride,
                                 const uint8_t *x, const int groups, const int tokens) {
  (void)type;
  for (int pair = 0; pair < STEP / 2; pair++) {
    __m512bh weights[GROUPS];
    for (int g = 0; g < groups; g++)
      weights[g] = (__m512bh)_mm512_loadu_si512(w + (size_t)g * stride + 64 * pair);
    for (int t = 0; t < tokens; t++) {
      __m512bh values = pair_of_token(x + 64 * t, pair);
      for (int g = 0; g < groups; g++)
        s->of[t][g] = _mm512_dpbf16_ps(s->of[t][g], weights[g], values);
    }
  }
}

void zh_multiply_bf16_avx512_bf16(float *y, size_t y_stride, const zh_packed *w,
                                  const void *prepared, size_t tokens, size_t begin, size_t end) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .steps = (w->columns + STEP - 1) / STEP,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .step_bytes = 1024,
               .weights = w->data,
               .x = prepared};
  multiply_rows(&p, ZH_BF16, begin / GROUP, (end + GROUP - 1) / GROUP, MOST_STEPS);
}
