/* Products of packed quanta by activations rounded to bytes, for few tokens.
 *
 * A token's activations come in blocks of 32 columns: a scale a, the largest magnitude by 127, and
 * bytes. A block's product with a row is an integer I, exact however it is summed; then
 *
 *   y = y + I * (d * a),  and where rows have minima  y = y + m * (a * S),
 *
 * each one fused step, block after block; d and m are the row's scale and minimum, S the sum of the
 * bytes. Q6_K has a scale for 16 columns, so its blocks add twice. vpdpbusd takes quanta as they
 * come from memory, one group of rows after the other, for up to FEW tokens at once. Activations of
 * two bytes are two lines a token, whose integers are put together before they become fp32: with 23
 * bits and a sign at most but for Q8_0, whose 28 are rounded once more. */
#include "kernels/matmul/quanta_avx512.h"
#include "kernels/variants.h"

enum { FEW = ZH_LINE_TOKENS, GROUP = ZH_PACKED_ROWS, AHEAD = 2048, FAR_AHEAD = 16384 };

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

/* sum + quanta by four bytes of a line. By hand, because compilers load the bytes with an
 * instruction of its own, and the processor's front end is nearly full with eight tokens. */
ALWAYS_INLINE __m512i add_products(__m512i sum, __m512i quanta, const int8_t *bytes) {
  typedef int32_t word __attribute__((may_alias));
  __asm__("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sum)
          : "v"(quanta), "m"(*(const word *)(const void *)bytes));
  return sum;
}

/* Columns [16 h, 16 h + 16 n) of a block, by `lines` lines of each token. */
ALWAYS_INLINE void columns_of(__m512 *y, const quanta_block *q, zh_dtype type, row_factors f,
                              const zh_token_line *x, const int tokens, const int lines,
                              const int h, const int n) {
  __m512i first[FEW], sum[FEW];
  const zh_token_line *last = x + lines - 1;
  for (int t = 0; t < tokens; t++) {
    first[t] = _mm512_setzero_si512();
    sum[t] = start_of(last + lines * t, type, h);
  }
  for (int j = 4 * h; j < 4 * h + 4 * n; j++) {
    __m512i w = quanta_of(q, type, j);
    for (int t = 0; t < tokens; t++) {
      if (lines == 2) first[t] = add_products(first[t], w, x[2 * t].bytes + 4 * j);
      sum[t] = add_products(sum[t], w, last[lines * t].bytes + 4 * j);
    }
  }
  for (int t = 0; t < tokens; t++) {
    const zh_token_line *of = last + lines * t;
    if (lines == 2) sum[t] = _mm512_add_epi32(sum[t], _mm512_slli_epi32(first[t], ZH_SECOND_BITS));
    __m512 factor = _mm512_mul_ps(f.scale, _mm512_set1_ps(of->scale));
    y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), factor, y[t]);
    if (has_minimum(type)) y[t] = _mm512_fmadd_ps(f.minimum, _mm512_set1_ps(of->scaled_sum), y[t]);
  }
}

/* Weights that come later: into the second-level cache, from line `fetched` to byte `end`, a line
 * further on each, and what comes next from there into the first. Lines of four pages take turns,
 * so that the processor's own streams, one a page, run ahead of each longer. */
ALWAYS_INLINE void fetch(const uint8_t *weights, size_t *fetched, size_t end, size_t next) {
  for (; 64 * *fetched < end; ++*fetched) {
    size_t line = (*fetched & ~(size_t)255) | (*fetched & 3) << 6 | (*fetched >> 2 & 63);
    _mm_prefetch((const char *)weights + FAR_AHEAD + 64 * line, _MM_HINT_T1);
  }
  for (size_t i = 0; i < next; i += 64)
    _mm_prefetch((const char *)weights + end + AHEAD + i, _MM_HINT_T0);
}

/* Block b, whose factors are multiples of `unit` where it is a part of 256 columns. */
ALWAYS_INLINE void block_of(__m512 *y, const uint8_t *group, zh_dtype type, size_t b,
                            row_factors unit, const zh_token_line *x, const int tokens,
                            const int lines) {
  quanta_block q = block_at(group, type, b);
  const uint8_t *whole = group + 8 * block_bytes(type) * (b / 8);
  row_factors f =
      is_k(type) ? k_factors(unit, whole, type, (int)(b % 8), 0) : factors_of(group, type, b, 0);
  if (type == ZH_Q6_K) {
    columns_of(y, &q, type, f, x, tokens, lines, 0, 1);
    columns_of(y, &q, type, k_factors(unit, whole, type, (int)(b % 8), 1), x, tokens, lines, 1, 1);
  } else {
    columns_of(y, &q, type, f, x, tokens, lines, 0, 2);
  }
}

/* Sixteen rows by `tokens` tokens of a tile. */
ALWAYS_INLINE void tokens_of(const product *p, zh_dtype type, size_t g, size_t first,
                             const int tokens, const int lines) {
  const uint8_t *group = p->weights + g * p->group_bytes;
  const int step = tokens * lines;
  const zh_token_line *x = p->x + first * p->blocks * (size_t)lines;
  float *out = p->y + first * p->y_stride + g * GROUP;
  __m512 y[FEW];
  for (int t = 0; t < tokens; t++) y[t] = _mm512_setzero_ps();
  size_t fetched = g * p->group_bytes / 64, end = g * p->group_bytes;
  row_factors unit = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  if (is_k(type)) { /* all runs of a block of 256, so that shifts and places are constants */
    for (size_t b = 0; b < p->blocks; b += 8) {
      unit = k_units(group + block_bytes(type) * b, type);
#pragma GCC unroll 8
      for (size_t run = 0; run < 8; run++, x += step) {
        end += block_bytes(type);
        fetch(p->weights, &fetched, end, block_bytes(type));
        block_of(y, group, type, b + run, unit, x, tokens, lines);
      }
    }
  } else {
    for (size_t b = 0; b < p->blocks; b++, x += step) {
      end += block_bytes(type);
      fetch(p->weights, &fetched, end, block_bytes(type));
      block_of(y, group, type, b, unit, x, tokens, lines);
    }
  }
  for (int t = 0; t < tokens; t++)
    _mm512_mask_storeu_ps(out + (size_t)t * p->y_stride, lanes16(p->rows - g * GROUP), y[t]);
}

#define TOKENS(type, count)                                                                        \
  case count:                                                                                      \
    tokens_of(p, type, g, first, count, lines);                                                    \
    break;

ALWAYS_INLINE void multiply_group(const product *p, zh_dtype type, size_t g, const int lines) {
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
      tokens_of(p, type, g, first, FEW, lines);
    }
  }
}

/* Functions of its own for each type. */
#define BY_TYPE(type)                                                                              \
  static void multiply_##type(const product *p, size_t begin, size_t end) {                        \
    for (size_t g = begin; g < end; g++) multiply_group(p, ZH_##type, g, 1);                       \
  }                                                                                                \
  static void multiply_two_##type(const product *p, size_t begin, size_t end) {                    \
    for (size_t g = begin; g < end; g++) multiply_group(p, ZH_##type, g, 2);                       \
  }
EACH_QUANTISED(BY_TYPE)

#define OF_TYPE(type)                                                                              \
  case ZH_##type:                                                                                  \
    return two ? multiply_two_##type : multiply_##type;
static void (*multiply_of(zh_dtype type, bool two))(const product *, size_t, size_t) {
  switch (type) {
    EACH_QUANTISED(OF_TYPE)
  default:
    return NULL;
  }
}

void zh_multiply_int8_vnni(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                           size_t tokens, size_t begin, size_t end, bool two) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .blocks = w->columns / 32,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .weights = w->data,
               .x = prepared};
  multiply_of(w->type, two)(&p, begin / GROUP, (end + GROUP - 1) / GROUP);
}
