/* Products of packed weights by fused steps in fp32, which round nothing but sums; written once for
 * several instruction sets, over the names of a vector_*.h.
 *
 * Few tokens, weights of F32, F16 or BF16: they become fp32 as they are used, a group of rows is
 * read once, and even and odd columns have sums of their own. Many tokens: blocks of rows and
 * columns are unpacked to fp32 once and stay in the second-level cache while all tokens pass by,
 * PANEL at a time; where there are more columns than a block takes, sums wait in y. Either way an
 * output's sums go through the columns in order, whatever stands beside it. */
#ifndef ZH_KERNELS_MATMUL_MULTIPLY_FP32_H
#define ZH_KERNELS_MATMUL_MULTIPLY_FP32_H

#include "kernels/matmul/quanta.h"

enum {
  BLOCK_COLUMNS = 256,
  BLOCK_GROUPS = 8,
  PANEL = 6,     /* tokens of the many: PANEL * PARTS sums in registers */
  FEW_PANEL = 3, /* of the few, with two sums each */
  FP32_AHEAD = 8192
};

/* --- activations: a token after the other, filled up to 32 columns with zeros --- */

static size_t padded_columns(size_t columns) {
  return (columns + STEP - 1) / STEP * STEP;
}

static void prepare_fp32(float *out, const float *x, size_t x_stride, size_t columns, size_t begin,
                         size_t end) {
  size_t padded = padded_columns(columns);
  for (size_t t = begin; t < end; t++) {
    memcpy(out + t * padded, x + t * x_stride, columns * sizeof *x);
    memset(out + t * padded + columns, 0, (padded - columns) * sizeof *x);
  }
}

typedef struct fp32_product {
  float *y;
  size_t y_stride, rows, tokens, columns /* padded */, group_bytes;
  const uint8_t *weights;
  const float *x;
  float *scratch;
} fp32_product;

/* Rows of a part that are there; 0: none. */
ALWAYS_INLINE size_t rows_left(const fp32_product *p, size_t g, int part) {
  size_t r = g * GROUP + (size_t)(LANES * part);
  return r < p->rows ? p->rows - r : 0;
}

/* --- few tokens, weights that are not quantised --- */

/* The first or second of two columns, which lie in `pair`. */
ALWAYS_INLINE lanes column_at(const uint8_t *pair, zh_dtype type, int second, int part) {
  if (type == ZH_F32)
    return lanes_of_bits(words_load(pair + 4 * GROUP * second + 4 * LANES * part));
  if (type == ZH_F16) return lanes_of_f16(pair + 2 * GROUP * second + 2 * LANES * part);
  words w = words_load(pair + 4 * LANES * part);
  return lanes_of_bits(second ? words_and(w, words_set((int)0xffff0000)) : words_left(w, 16));
}

ALWAYS_INLINE void few_tokens(const fp32_product *p, zh_dtype type, size_t g, size_t first,
                              const int tokens) {
  const uint8_t *pair = p->weights + g * p->group_bytes;
  const float *x = p->x + first * p->columns;
  float *out = p->y + first * p->y_stride + g * GROUP;
  lanes even[FEW_PANEL][PARTS], odd[FEW_PANEL][PARTS];
  for (int t = 0; t < tokens; t++)
    for (int part = 0; part < PARTS; part++) even[t][part] = odd[t][part] = lanes_set(0);
  for (size_t c = 0; c < p->columns; c += 2, pair += block_bytes(type) / 16) {
    for (size_t i = 0; first == 0 && i < block_bytes(type) / 16; i += 64)
      __builtin_prefetch(pair + FP32_AHEAD + i, 0, 2);
    lanes low[PARTS], high[PARTS]; /* one after the other: there are no more registers */
    for (int part = 0; part < PARTS; part++) low[part] = column_at(pair, type, 0, part);
    for (int t = 0; t < tokens; t++) {
      lanes value = lanes_set(x[(size_t)t * p->columns + c]);
      for (int part = 0; part < PARTS; part++)
        even[t][part] = lanes_fma(low[part], value, even[t][part]);
    }
    for (int part = 0; part < PARTS; part++) high[part] = column_at(pair, type, 1, part);
    for (int t = 0; t < tokens; t++) {
      lanes value = lanes_set(x[(size_t)t * p->columns + c + 1]);
      for (int part = 0; part < PARTS; part++)
        odd[t][part] = lanes_fma(high[part], value, odd[t][part]);
    }
  }
  for (int t = 0; t < tokens; t++)
    for (int part = 0; part < PARTS; part++) {
      size_t left = rows_left(p, g, part);
      if (left)
        lanes_store_some(out + (size_t)t * p->y_stride + LANES * part,
                         lanes_add(even[t][part], odd[t][part]), left);
    }
}

ALWAYS_INLINE void few_groups(const fp32_product *p, zh_dtype type, size_t begin, size_t end) {
  for (size_t g = begin; g < end; g++)
    for (size_t t = 0; t < p->tokens; t += FEW_PANEL) {
      switch (p->tokens - t) {
      case 1:
        few_tokens(p, type, g, t, 1);
        break;
      case 2:
        few_tokens(p, type, g, t, 2);
        break;
      default:
        few_tokens(p, type, g, t, FEW_PANEL);
      }
    }
}

static void multiply_few(const fp32_product *p, zh_dtype type, size_t begin, size_t end) {
  if (type == ZH_F32)
    few_groups(p, ZH_F32, begin, end);
  else if (type == ZH_F16)
    few_groups(p, ZH_F16, begin, end);
  else
    few_groups(p, ZH_BF16, begin, end);
}

/* --- many tokens --- */

/* 32 columns of a group as fp32 [column][row]. */
ALWAYS_INLINE void unpack_block(float *out, const uint8_t *group, zh_dtype type, size_t b) {
  prefetch_block(group, type, b, FP32_AHEAD);
  for (int part = 0; part < PARTS; part++) {
    float *to = out + LANES * part;
    if (type == ZH_F32 || type == ZH_F16 || type == ZH_BF16) {
      const uint8_t *pair = group + block_bytes(type) * b;
      for (int c = 0; c < STEP; c += 2, pair += block_bytes(type) / 16) {
        lanes_store(to + GROUP * c, column_at(pair, type, 0, part));
        lanes_store(to + GROUP * (c + 1), column_at(pair, type, 1, part));
      }
      continue;
    }
    quanta_block q = block_at(group, type, b, part);
    row_factors f = factors_of(group, type, b, 0, part);
    for (int j = 0; j < STEP_WORDS; j++) {
      if (j == STEP_WORDS / 2 && type == ZH_Q6_K) f = factors_of(group, type, b, 1, part);
      words w = quanta_of(&q, type, j);
      for (int i = 0; i < 4; i++) {
        lanes column = column_of(w, type, i);
        /* The product is exact, so a fused step rounds as two do (dequantize_ref.c). */
        lanes value =
            has_minimum(type) ? lanes_fma(column, f.scale, f.minimum) : lanes_mul(column, f.scale);
        lanes_store(to + GROUP * (4 * j + i), value);
      }
    }
  }
}

#define UNPACK_OF_TYPE(type)                                                                       \
  static void unpack_##type(float *out, const uint8_t *group, size_t first, size_t count) {        \
    for (size_t b = first; b < first + count; b++, out += GROUP * STEP)                            \
      unpack_block(out, group, ZH_##type, b);                                                      \
  }
UNPACK_OF_TYPE(F32)
UNPACK_OF_TYPE(F16)
UNPACK_OF_TYPE(BF16)
UNPACK_OF_TYPE(Q8_0)
UNPACK_OF_TYPE(Q4_0)
UNPACK_OF_TYPE(Q4_1)
UNPACK_OF_TYPE(Q5_0)
UNPACK_OF_TYPE(Q5_1)
UNPACK_OF_TYPE(Q4_K)
UNPACK_OF_TYPE(Q5_K)
UNPACK_OF_TYPE(Q6_K)
UNPACK_OF_TYPE(IQ4_NL)
UNPACK_OF_TYPE(MXFP4)
#undef UNPACK_OF_TYPE
typedef void unpacker(float *out, const uint8_t *group, size_t first, size_t count);

static unpacker *unpacker_of(zh_dtype type) {
  static unpacker *const of_type[] = {
      [ZH_F32] = unpack_F32,     [ZH_F16] = unpack_F16,   [ZH_BF16] = unpack_BF16,
      [ZH_Q8_0] = unpack_Q8_0,   [ZH_Q4_0] = unpack_Q4_0, [ZH_Q4_1] = unpack_Q4_1,
      [ZH_Q5_0] = unpack_Q5_0,   [ZH_Q5_1] = unpack_Q5_1, [ZH_Q4_K] = unpack_Q4_K,
      [ZH_Q5_K] = unpack_Q5_K,   [ZH_Q6_K] = unpack_Q6_K, [ZH_IQ4_NL] = unpack_IQ4_NL,
      [ZH_MXFP4] = unpack_MXFP4,
  };
  return of_type[type];
}

/* A group by `tokens` tokens of a panel, w: [column][row], x: [token][BLOCK_COLUMNS]. */
ALWAYS_INLINE void panel_tokens(const fp32_product *p, size_t g, bool first, size_t count,
                                size_t token, const float *w, const float *x, const int tokens) {
  float *out = p->y + token * p->y_stride + g * GROUP;
  lanes sum[PANEL][PARTS];
  for (int t = 0; t < tokens; t++)
    for (int part = 0; part < PARTS; part++) {
      size_t left = first ? 0 : rows_left(p, g, part);
      sum[t][part] = lanes_load_some(out + (size_t)t * p->y_stride + LANES * part, left);
    }
  for (size_t c = 0; c < count; c++, w += GROUP) {
    lanes weight[PARTS];
    for (int part = 0; part < PARTS; part++) weight[part] = lanes_load(w + LANES * part);
    for (int t = 0; t < tokens; t++) {
      lanes value = lanes_set(x[t * BLOCK_COLUMNS + (int)c]);
      for (int part = 0; part < PARTS; part++)
        sum[t][part] = lanes_fma(weight[part], value, sum[t][part]);
    }
  }
  for (int t = 0; t < tokens; t++)
    for (int part = 0; part < PARTS; part++) {
      size_t left = rows_left(p, g, part);
      if (left) lanes_store_some(out + (size_t)t * p->y_stride + LANES * part, sum[t][part], left);
    }
}

#define TOKENS(n)                                                                                  \
  case n:                                                                                          \
    for (size_t g = begin; g < end; g++, w += GROUP * BLOCK_COLUMNS)                               \
      panel_tokens(p, g, first, count, token, w, x, n);                                            \
    break;
static void panel(const fp32_product *p, size_t begin, size_t end, bool first, size_t count,
                  size_t token, size_t tokens, const float *w, const float *x) {
  switch (tokens) {
    TOKENS(1)
    TOKENS(2)
    TOKENS(3)
    TOKENS(4)
    TOKENS(5)
    TOKENS(6)
  default:
    break;
  }
}
#undef TOKENS

/* All tokens by a block of unpacked weights, in panels of sizes as equal as can be. */
static void block_by_tokens(const fp32_product *p, size_t begin, size_t end, size_t column,
                            size_t count, const float *w, float *x) {
  size_t panels = (p->tokens + PANEL - 1) / PANEL;
  for (size_t i = 0; i < panels; i++) {
    size_t token = i * p->tokens / panels, next = (i + 1) * p->tokens / panels;
    for (size_t t = token; t < next; t++)
      memcpy(x + (t - token) * BLOCK_COLUMNS, p->x + t * p->columns + column, count * sizeof *x);
    panel(p, begin, end, column == 0, count, token, next - token, w, x);
  }
}

static void multiply_many(const fp32_product *p, zh_dtype type, size_t begin, size_t end) {
  unpacker *unpack = unpacker_of(type);
  float *w = p->scratch, *x = w + BLOCK_GROUPS * GROUP * BLOCK_COLUMNS;
  for (size_t from = begin; from < end; from += BLOCK_GROUPS) {
    size_t to = end - from < BLOCK_GROUPS ? end : from + BLOCK_GROUPS;
    for (size_t column = 0; column < p->columns; column += BLOCK_COLUMNS) {
      size_t left = p->columns - column, count = left < BLOCK_COLUMNS ? left : BLOCK_COLUMNS;
      for (size_t g = from; g < to; g++)
        unpack(w + (g - from) * GROUP * BLOCK_COLUMNS, p->weights + g * p->group_bytes,
               column / STEP, count / STEP);
      block_by_tokens(p, from, to, column, count, w, x);
    }
  }
}

static void multiply_fp32(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                          const void *prepared, size_t tokens, size_t begin, size_t end,
                          void *scratch) {
  fp32_product p = {.y = y,
                    .y_stride = y_stride,
                    .rows = w->rows,
                    .tokens = tokens,
                    .columns = padded_columns(w->columns),
                    .group_bytes = zh_packed_group_bytes(w->type, w->columns),
                    .weights = w->data,
                    .x = prepared,
                    .scratch = scratch};
  size_t from = begin / GROUP, to = (end + GROUP - 1) / GROUP;
  if (way == ZH_FEW)
    multiply_few(&p, w->type, from, to);
  else
    multiply_many(&p, w->type, from, to);
}

#endif
