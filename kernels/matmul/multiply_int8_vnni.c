/* Products of packed quanta by activations rounded to bytes, for few tokens.
 *
 * A token's activations come in blocks of 32 columns: a scale a, the largest magnitude by 127, and
 * bytes. A block's product with a row is an integer I, exact however it is summed; then
 *
 *   y = y + I * (d * a),  and where rows have minima  y = y + m * (a * S),
 *
 * each one fused step, block after block; d and m are the row's scale and minimum, S the sum of the
 * bytes. Q6_K has a scale for 16 columns, so its blocks add twice. vpdpbusd takes quanta as they
 * come from memory, one group of rows after the other, for up to FEW tokens at once. */
#include "kernels/matmul/quanta_avx512.h"
#include "kernels/variants.h"

enum { FEW = ZH_LINE_TOKENS, GROUP = ZH_PACKED_ROWS, AHEAD = 8192 };

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, blocks, group_bytes;
  const uint8_t *weights;
  const zh_token_line *x;
} product;

/* Where the sum of a line, or of its half h, starts. */
ALWAYS_INLINE __m512i start_of(const zh_token_line *line, zh_dtype type, int h) {
  switch (bias_bits(type)) {
  case 3:
    return _mm512_set1_epi32(line->start_3);
  case 4:
    return _mm512_set1_epi32(line->start_4);
  case 5:
    return _mm512_set1_epi32(line->start_5[h]);
  case 7:
    return _mm512_set1_epi32(line->start_7);
  default:
    return _mm512_setzero_si512();
  }
}

ALWAYS_INLINE int word_at(const int8_t *p) {
  int word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Columns [16 h, 16 h + 16 n) of a block. */
ALWAYS_INLINE void columns_of(__m512 *y, const quanta_block *q, zh_dtype type, row_factors f,
                              const zh_token_line *x, const int tokens, const int h, const int n) {
  __m512i sum[FEW];
  for (int t = 0; t < tokens; t++) sum[t] = start_of(x + t, type, h);
  for (int j = 4 * h; j < 4 * h + 4 * n; j++) {
    __m512i w = quanta_of(q, type, j);
    for (int t = 0; t < tokens; t++)
      sum[t] = _mm512_dpbusd_epi32(sum[t], w, _mm512_set1_epi32(word_at(x[t].bytes + 4 * j)));
  }
  for (int t = 0; t < tokens; t++) {
    __m512 factor = _mm512_mul_ps(f.scale, _mm512_set1_ps(x[t].scale));
    y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), factor, y[t]);
    if (has_minimum(type)) y[t] = _mm512_fmadd_ps(f.minimum, _mm512_set1_ps(x[t].scaled_sum), y[t]);
  }
}

/* Sixteen rows by `tokens` tokens of a tile. */
ALWAYS_INLINE void tokens_of(const product *p, zh_dtype type, size_t g, size_t first,
                             const int tokens) {
  const uint8_t *group = p->weights + g * p->group_bytes;
  const zh_token_line *x = p->x + first * p->blocks;
  float *out = p->y + first * p->y_stride + g * GROUP;
  __m512 y[FEW];
  for (int t = 0; t < tokens; t++) y[t] = _mm512_setzero_ps();
  for (size_t b = 0; b < p->blocks; b++, x += tokens) {
    for (size_t i = 0; i < block_bytes(type); i += 64)
      _mm_prefetch((const char *)group + block_bytes(type) * b + AHEAD + i, _MM_HINT_T1);
    quanta_block q = block_at(group, type, b);
    if (type == ZH_Q6_K) {
      columns_of(y, &q, type, factors_of(group, type, b, 0), x, tokens, 0, 1);
      columns_of(y, &q, type, factors_of(group, type, b, 1), x, tokens, 1, 1);
    } else {
      columns_of(y, &q, type, factors_of(group, type, b, 0), x, tokens, 0, 2);
    }
  }
  for (int t = 0; t < tokens; t++)
    _mm512_mask_storeu_ps(out + (size_t)t * p->y_stride, lanes16(p->rows - g * GROUP), y[t]);
}

#define TOKENS(type, count)                                                                        \
  case count:                                                                                      \
    tokens_of(p, type, g, first, count);                                                           \
    break;

ALWAYS_INLINE void multiply_group(const product *p, zh_dtype type, size_t g) {
  for (size_t first = 0; first < p->tokens; first += FEW) {
    switch (p->tokens - first) {
      TOKENS(type, 1)
      TOKENS(type, 2)
      TOKENS(type, 3)
      TOKENS(type, 4)
      TOKENS(type, 5)
      TOKENS(type, 6)
      TOKENS(type, 7)
    default:
      tokens_of(p, type, g, first, FEW);
    }
  }
}

/* A function of its own for each type. */
#define BY_TYPE(type)                                                                              \
  static void multiply_##type(const product *p, size_t begin, size_t end) {                        \
    for (size_t g = begin; g < end; g++) multiply_group(p, ZH_##type, g);                          \
  }
BY_TYPE(Q8_0)
BY_TYPE(Q4_0)
BY_TYPE(Q4_1)
BY_TYPE(Q5_0)
BY_TYPE(Q5_1)
BY_TYPE(Q4_K)
BY_TYPE(Q5_K)
BY_TYPE(Q6_K)

static void (*multiply_of(zh_dtype type))(const product *, size_t, size_t) {
  switch (type) {
  case ZH_Q8_0:
    return multiply_Q8_0;
  case ZH_Q4_0:
    return multiply_Q4_0;
  case ZH_Q4_1:
    return multiply_Q4_1;
  case ZH_Q5_0:
    return multiply_Q5_0;
  case ZH_Q5_1:
    return multiply_Q5_1;
  case ZH_Q4_K:
    return multiply_Q4_K;
  case ZH_Q5_K:
    return multiply_Q5_K;
  default:
    return multiply_Q6_K;
  }
}

void zh_multiply_int8_vnni(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                           size_t tokens, size_t begin, size_t end) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .blocks = w->columns / 32,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .weights = w->data,
               .x = prepared};
  multiply_of(w->type)(&p, begin / GROUP, (end + GROUP - 1) / GROUP);
}
