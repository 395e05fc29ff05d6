/* Products of packed quanta by activations rounded to bytes, for few tokens.
 *
 * A token's activations are quantised in blocks of 32 columns: a scale a, the largest magnitude by
 * 127, and bytes. A block's product with a row is an integer I, exact however it is summed; then
 *
 *   y = y + I * (d * a),  and where rows have minima  y = y + m * (a * S),
 *
 * each one fused step, block after block; d and m are the row's scale and minimum, S the sum of the
 * bytes. vpdpbusd takes quanta as they come from memory, one group of rows after the other, for up
 * to FEW tokens at once. */
#include <math.h>
#include <string.h>

#include "kernels/matmul/quanta_amx.h"
#include "kernels/variants.h"

enum { STEP = 32, FEW = ZH_FEW_TOKENS, GROUP = ZH_PACKED_ROWS, AHEAD = 8192 };

/* A token: bytes[columns], then for each block its scale a, S, and a * S. */
typedef struct token_layout {
  size_t blocks, bytes;
} token_layout;

static token_layout layout_of(size_t columns) {
  size_t blocks = columns / STEP;
  return (token_layout){blocks, ((STEP + 12) * blocks + 63) & ~(size_t)63};
}

/* --- activations --- */

static void quantise(uint8_t *token, const float *x, size_t blocks) {
  float *scale = (float *)(void *)(token + STEP * blocks), *scaled_sum = scale + 2 * blocks;
  int32_t *sum = (int32_t *)(void *)(scale + blocks);
  for (size_t b = 0; b < blocks; b++, x += STEP) {
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
    __m512 inverse = _mm512_set1_ps(most > 0 ? 127 / most : 0);
    __m512i l = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)),
            h = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
    __m128i *to = (__m128i *)(void *)(token + STEP * b);
    _mm_store_si128(to, _mm512_cvtsepi32_epi8(l));
    _mm_store_si128(to + 1, _mm512_cvtsepi32_epi8(h));
    scale[b] = most / 127;
    sum[b] = _mm512_reduce_add_epi32(_mm512_add_epi32(l, h));
    scaled_sum[b] = scale[b] * (float)sum[b];
  }
}

void zh_prepare_int8_amx(void *out, const float *x, size_t x_stride, size_t columns, size_t begin,
                         size_t end) {
  token_layout l = layout_of(columns);
  for (size_t t = begin; t < end; t++)
    quantise((uint8_t *)out + t * l.bytes, x + t * x_stride, l.blocks);
}

/* --- products --- */

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, blocks, group_bytes, token_bytes;
  const uint8_t *weights, *x;
} product;

static const float *scales_of(const product *p, const uint8_t *token) {
  return (const float *)(const void *)(token + STEP * p->blocks);
}

ALWAYS_INLINE int word_at(const uint8_t *p) {
  int word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Sixteen rows by `tokens` tokens from the first on. */
ALWAYS_INLINE void tokens_of(const product *p, zh_dtype type, size_t g, size_t first,
                             const int tokens) {
  const uint8_t *group = p->weights + g * p->group_bytes, *of = p->x + first * p->token_bytes;
  float *out = p->y + first * p->y_stride + g * GROUP;
  __m512 y[FEW];
  for (int t = 0; t < tokens; t++) y[t] = _mm512_setzero_ps();
  for (size_t b = 0; b < p->blocks; b++) {
    for (size_t i = 0; i < block_bytes(type); i += 64)
      _mm_prefetch((const char *)group + block_bytes(type) * b + AHEAD + i, _MM_HINT_T1);
    quanta_block q = block_at(group, type, b);
    row_factors f = factors_of(group, type, b);
    __m512i sum[FEW];
    for (int t = 0; t < tokens; t++) sum[t] = _mm512_setzero_si512();
    for (int j = 0; j < 8; j++) {
      __m512i w = quanta_of(&q, type, j);
      for (int t = 0; t < tokens; t++) {
        const uint8_t *x = of + (size_t)t * p->token_bytes + STEP * b + 4 * (size_t)j;
        sum[t] = _mm512_dpbusd_epi32(sum[t], w, _mm512_set1_epi32(word_at(x)));
      }
    }
    for (int t = 0; t < tokens; t++) {
      const float *scale = scales_of(p, of + (size_t)t * p->token_bytes);
      const uint8_t *bytes_sum = (const uint8_t *)(scale + p->blocks + b);
      if (bias_bits(type)) {
        __m512i bias = _mm512_set1_epi32(word_at(bytes_sum));
        sum[t] = _mm512_sub_epi32(sum[t], _mm512_slli_epi32(bias, (unsigned)bias_bits(type)));
      }
      __m512 factor = _mm512_mul_ps(f.scale, _mm512_set1_ps(scale[b]));
      y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), factor, y[t]);
      if (has_minimum(type))
        y[t] = _mm512_fmadd_ps(f.minimum, _mm512_set1_ps(scale[2 * p->blocks + b]), y[t]);
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
  default:
    return multiply_Q5_K;
  }
}

void zh_multiply_int8_amx(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                          size_t tokens, size_t begin, size_t end) {
  token_layout l = layout_of(w->columns);
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .blocks = l.blocks,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .token_bytes = l.bytes,
               .weights = w->data,
               .x = prepared};
  multiply_of(w->type)(&p, begin / GROUP, (end + GROUP - 1) / GROUP);
}
