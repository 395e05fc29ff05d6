/* Products of packed quanta by activations rounded to bytes, for few tokens; written once for
 * several instruction sets. Before it come a vector_*.h and `dot`, exact sums of products.
 *
 * A token's activations are quantised in blocks of 32 columns: a scale a, the largest magnitude by
 * 127, and bytes. A block's product with a row is an integer I, exact however it is summed; then
 *
 *   y = y + I * (d * a),  and where rows have minima  y = y + m * (a * S),
 *
 * block after block; d and m are the row's scale and minimum, S the sum of the bytes. Each group of
 * rows is read once for up to FEW tokens. */
#ifndef ZH_KERNELS_MATMUL_MULTIPLY_BYTES_H
#define ZH_KERNELS_MATMUL_MULTIPLY_BYTES_H

#include "kernels/matmul/quanta.h"

enum { FEW = ZH_FEW_TOKENS, BYTES_AHEAD = 8192 };

/* A token: bytes[columns], the second ones in the same way where there are two (packed.h), then for
 * each block its scale a, S, and a * S. */
typedef struct token_layout {
  size_t blocks, factors, bytes; /* from a token to its factors, and to the next one */
} token_layout;

static token_layout layout_of(size_t columns, int count) {
  size_t blocks = columns / STEP, factors = STEP * blocks * (size_t)count;
  return (token_layout){blocks, factors, (factors + 12 * blocks + 63) & ~(size_t)63};
}

/* --- activations --- */

/* 32 numbers to bytes at `to`, and to second ones where these have a place; returns a, and S. What
 * is no number makes a no number. */
ALWAYS_INLINE float quantise_block(int8_t *to, int8_t *second, int32_t *sum, const float *x) {
  const float limit = second ? ZH_TWO_BYTES_MOST : 127;
  lanes most = lanes_abs(lanes_load(x));
  lanes nan = most;
  for (int i = LANES; i < STEP; i += LANES) {
    lanes v = lanes_abs(lanes_load(x + i));
    most = lanes_max(v, most);
    nan = lanes_add(nan, v);
  }
  float largest = lanes_largest(most), inverse = largest > 0 ? limit / largest : 0;
  words total = words_set(0);
  for (int i = 0; i < STEP; i += LANES) {
    words q = words_round(lanes_mul(lanes_load(x + i), lanes_set(inverse)));
    int32_t numbers[LANES];
    memcpy(numbers, &q, sizeof numbers);
    for (int k = 0; k < LANES; k++) {
      int32_t n = numbers[k], first = (n + (1 << (ZH_SECOND_BITS - 1))) >> ZH_SECOND_BITS;
      to[i + k] = (int8_t)(second ? first : n);
      if (second) second[i + k] = (int8_t)(n - first * (1 << ZH_SECOND_BITS));
    }
    total = words_add(total, q);
  }
  *sum = words_sum(total);
  return lanes_any_nan(nan) ? lanes_largest(nan) * 0 + (float)NAN : largest / limit;
}

ALWAYS_INLINE void prepare_bytes(void *out, const float *x, size_t x_stride, size_t columns,
                                 size_t begin, size_t end, const bool two) {
  token_layout l = layout_of(columns, two ? 2 : 1);
  for (size_t t = begin; t < end; t++) {
    uint8_t *token = (uint8_t *)out + t * l.bytes;
    float *scale = (float *)(void *)(token + l.factors), *scaled_sum = scale + 2 * l.blocks;
    int32_t *sum = (int32_t *)(void *)(scale + l.blocks);
    for (size_t b = 0; b < l.blocks; b++) {
      int8_t *to = (int8_t *)token + STEP * b;
      scale[b] = quantise_block(to, two ? to + STEP * l.blocks : NULL, &sum[b],
                                x + t * x_stride + STEP * b);
      scaled_sum[b] = scale[b] * (float)sum[b];
    }
  }
}

/* --- products --- */

typedef struct bytes_product {
  float *y;
  size_t y_stride, rows, tokens, group_bytes;
  token_layout token;
  const uint8_t *weights, *x;
} bytes_product;

/* One block of a part of the rows by `tokens` tokens. */
ALWAYS_INLINE void bytes_block(lanes y[][PARTS], const bytes_product *p, zh_dtype type,
                               const uint8_t *group, const uint8_t *of, size_t b, int part,
                               const int tokens, const bool two) {
  quanta_block q = block_at(group, type, b, part);
  const int pieces = type == ZH_Q6_K ? 2 : 1, count = STEP_WORDS / pieces;
  row_factors f[2];
  for (int piece = 0; piece < pieces; piece++) f[piece] = factors_of(group, type, b, piece, part);
  words w[STEP_WORDS];
  for (int j = 0; j < STEP_WORDS; j++) w[j] = quanta_of(&q, type, j);
  for (int t = 0; t < tokens; t++) {
    const uint8_t *token = of + (size_t)t * p->token.bytes, *factors = token + p->token.factors;
    const float *scale = (const float *)(const void *)factors;
    for (int piece = 0; piece < pieces; piece++) {
      const uint8_t *x = token + STEP * b + 16 * piece;
      words sum = dot(w + piece * count, x, type, count);
      if (two)
        sum = words_add(words_left(sum, ZH_SECOND_BITS),
                        dot(w + piece * count, x + STEP * p->token.blocks, type, count));
      if (bias_bits(type)) {
        int32_t bytes;
        memcpy(&bytes, factors + 4 * (p->token.blocks + b), sizeof bytes);
        sum = words_sub(sum, words_set(bytes * (1 << bias_bits(type))));
      }
      lanes factor = lanes_mul(f[piece].scale, lanes_set(scale[b]));
      y[t][part] = lanes_fma(lanes_of_words(sum), factor, y[t][part]);
    }
    if (has_minimum(type))
      y[t][part] = lanes_fma(f[0].minimum, lanes_set(scale[2 * p->token.blocks + b]), y[t][part]);
  }
}

/* Sixteen rows by `tokens` tokens from the first on. */
ALWAYS_INLINE void bytes_tokens(const bytes_product *p, zh_dtype type, size_t g, size_t first,
                                const int tokens, const bool two) {
  const uint8_t *group = p->weights + g * p->group_bytes, *of = p->x + first * p->token.bytes;
  float *out = p->y + first * p->y_stride + g * GROUP;
  lanes y[FEW][PARTS];
  for (int t = 0; t < tokens; t++)
    for (int part = 0; part < PARTS; part++) y[t][part] = lanes_set(0);
  for (size_t b = 0; b < p->token.blocks; b++) {
    prefetch_block(group, type, b, BYTES_AHEAD);
    for (int part = 0; part < PARTS; part++)
      bytes_block(y, p, type, group, of, b, part, tokens, two);
  }
  for (int t = 0; t < tokens; t++)
    for (size_t part = 0, r = g * GROUP; part < PARTS && r < p->rows; part++, r += LANES)
      lanes_store_some(out + (size_t)t * p->y_stride + LANES * part, y[t][part], p->rows - r);
}

#define TOKENS(type, count)                                                                        \
  case count:                                                                                      \
    bytes_tokens(p, type, g, first, count, two);                                                   \
    break;

ALWAYS_INLINE void bytes_group(const bytes_product *p, zh_dtype type, size_t g, const bool two) {
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
      bytes_tokens(p, type, g, first, FEW, two);
    }
  }
}
#undef TOKENS

/* Functions of its own for each type. */
#define BYTES_OF_TYPE(type)                                                                        \
  static void bytes_##type(const bytes_product *p, size_t begin, size_t end) {                     \
    for (size_t g = begin; g < end; g++) bytes_group(p, ZH_##type, g, false);                      \
  }                                                                                                \
  static void two_bytes_##type(const bytes_product *p, size_t begin, size_t end) {                 \
    for (size_t g = begin; g < end; g++) bytes_group(p, ZH_##type, g, true);                       \
  }
EACH_QUANTISED(BYTES_OF_TYPE)
#undef BYTES_OF_TYPE

ALWAYS_INLINE void multiply_bytes(float *y, size_t y_stride, const zh_packed *w,
                                  const void *prepared, size_t tokens, size_t begin, size_t end,
                                  bool two) {
  bytes_product p = {.y = y,
                     .y_stride = y_stride,
                     .rows = w->rows,
                     .tokens = tokens,
                     .group_bytes = zh_packed_group_bytes(w->type, w->columns),
                     .token = layout_of(w->columns, two ? 2 : 1),
                     .weights = w->data,
                     .x = prepared};
  size_t from = begin / GROUP, to = (end + GROUP - 1) / GROUP;
#define CASE(type)                                                                                 \
  case ZH_##type:                                                                                  \
    (two ? two_bytes_##type : bytes_##type)(&p, from, to);                                         \
    break;
  switch (w->type) {
    EACH_QUANTISED(CASE)
  default:
    break;
  }
#undef CASE
}

#endif
