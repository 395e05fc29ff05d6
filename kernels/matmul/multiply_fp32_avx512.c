/* Products of unquantised weights by activations as they are, in fp32: an output is a chain of
 * fused steps over the columns. */
#include "kernels/matmul/sums_avx512.h"

#include <string.h>

enum { STEP = 16, MOST_STEPS = 128 };

void zh_prepare_fp32_avx512(void *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens, size_t begin, size_t end) {
  size_t steps = (columns + 31) / 32 * 2, apart;
  for (size_t t = begin; t < end; t++) {
    uint8_t *to = line_of(out, steps, tokens, t, &apart);
    for (size_t c = 0; c < steps * STEP; c += STEP, to += apart) {
      __mmask16 there = c < columns ? lanes16(columns - c) : 0;
      _mm512_store_ps(to, _mm512_maskz_loadu_ps(there, x + t * x_stride + c));
    }
  }
}

/* Column c of a step. */
ALWAYS_INLINE __m512 column_of(zh_dtype type, const uint8_t *w, size_t c) {
  if (type == ZH_F32) return _mm512_loadu_ps(w + 64 * c);
  if (type == ZH_F16)
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(w + 32 * c)));
  __m512i pair = _mm512_loadu_si512(w + 64 * (c / 2));
  pair = c % 2 ? _mm512_and_si512(pair, _mm512_set1_epi32(-65536)) : _mm512_slli_epi32(pair, 16);
  return _mm512_castsi512_ps(pair);
}

ALWAYS_INLINE void multiply_step(sums *s, zh_dtype type, const uint8_t *w, size_t stride,
                                 const uint8_t *x, const int groups, const int tokens) {
  const float *line = (const float *)(const void *)x;
  for (size_t c = 0; c < STEP; c++) {
    __m512 column[GROUPS];
    for (int g = 0; g < groups; g++) column[g] = column_of(type, w + (size_t)g * stride, c);
    for (int t = 0; t < tokens; t++) {
      __m512 value = _mm512_set1_ps(line[16 * t + (int)c]);
      for (int g = 0; g < groups; g++) s->of[t][g] = _mm512_fmadd_ps(column[g], value, s->of[t][g]);
    }
  }
}

static void multiply_F32(const product *p, size_t begin, size_t end) {
  multiply_rows(p, ZH_F32, begin, end, MOST_STEPS);
}
static void multiply_F16(const product *p, size_t begin, size_t end) {
  multiply_rows(p, ZH_F16, begin, end, MOST_STEPS);
}
static void multiply_BF16(const product *p, size_t begin, size_t end) {
  multiply_rows(p, ZH_BF16, begin, end, MOST_STEPS);
}

void zh_multiply_fp32_avx512(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                             size_t tokens, size_t begin, size_t end) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .steps = (w->columns + 31) / 32 * 2,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .step_bytes = w->type == ZH_F32 ? 1024 : 512,
               .weights = w->data,
               .x = prepared};
  size_t first = begin / GROUP, last = (end + GROUP - 1) / GROUP;
  (w->type == ZH_F32   ? multiply_F32
   : w->type == ZH_F16 ? multiply_F16
                       : multiply_BF16)(&p, first, last);
}
