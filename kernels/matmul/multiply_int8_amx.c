/* Products of packed quanta by activations rounded to bytes.
 *
 * A token's activations are quantised in blocks of 32 columns: a scale a, the largest magnitude by
 * 127, and bytes. A block's product with a row is an integer I, exact however it is summed; then
 *
 *   y = y + I * (d * a),  and where rows have minima  y = y + m * (a * S),
 *
 * each one fused step, block after block; d and m are the row's scale and minimum, S the sum of the
 * bytes. So vectors and tiles give the same bits, for any number of tokens.
 *
 * Up to FEW tokens: vpdpbusd on quanta as they come from memory, one group of rows after the other.
 * More: a panel of a group's quanta is unpacked once, and tiles of 16 tokens pass by it; sums stay
 * in registers for all columns. A block fills only half of a tile's 64 bytes, because its scales
 * are its own: no more than half of the tiles' peak can be reached, and what comes after each
 * product (store, convert, multiply, add) takes longer than the product itself. */
#include <math.h>
#include <string.h>

#include "kernels/matmul/quanta_amx.h"
#include "kernels/matmul/tiles_amx.h"
#include "kernels/variants.h"

enum { STEP = 32, FEW = 8, AHEAD = 8192, CHUNK = 4 };

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
  uint8_t *panel; /* [blocks][8][64] signed bytes */
  float *factors; /* [blocks][2][16] */
} product;

static const float *scales_of(const product *p, const uint8_t *token) {
  return (const float *)(const void *)(token + STEP * p->blocks);
}

ALWAYS_INLINE int word_at(const uint8_t *p) {
  int word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Sixteen rows by `tokens` tokens. */
ALWAYS_INLINE void few_tokens_of(const product *p, zh_dtype type, size_t g, const int tokens) {
  const uint8_t *group = p->weights + g * p->group_bytes;
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
        const uint8_t *x = p->x + (size_t)t * p->token_bytes + STEP * b + 4 * (size_t)j;
        sum[t] = _mm512_dpbusd_epi32(sum[t], w, _mm512_set1_epi32(word_at(x)));
      }
    }
    for (int t = 0; t < tokens; t++) {
      const float *scale = scales_of(p, p->x + (size_t)t * p->token_bytes);
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
    _mm512_mask_storeu_ps(p->y + (size_t)t * p->y_stride + g * GROUP, lanes16(p->rows - g * GROUP),
                          y[t]);
}

/* --- tiles: sums in 0 … 3, activations in 4 and 5, weights in 6 and 7 --- */

static void tiles_begin(size_t tokens) {
  tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    config.row_bytes[t] = (uint16_t)(t == 4 || t == 5 ? STEP : TILE_ROW_BYTES);
    config.rows[t] = (uint8_t)(t >= 6 ? STEP / 4 : tokens);
  }
  tiles_configure(&config);
}

ALWAYS_INLINE void unpack_group(const product *p, zh_dtype type, size_t g) {
  const uint8_t *group = p->weights + g * p->group_bytes;
  const __m512i bias = _mm512_set1_epi8((char)(bias_bits(type) ? 1 << bias_bits(type) : 0));
  for (size_t b = 0; b < p->blocks; b++) {
    for (size_t i = 0; i < block_bytes(type); i += 64)
      _mm_prefetch((const char *)group + block_bytes(type) * b + AHEAD + i, _MM_HINT_T1);
    quanta_block q = block_at(group, type, b);
    row_factors f = factors_of(group, type, b);
    for (int j = 0; j < 8; j++) {
      __m512i v = quanta_of(&q, type, j);
      if (bias_bits(type)) v = _mm512_sub_epi8(v, bias);
      _mm512_store_si512(p->panel + 512 * b + 64 * j, v);
    }
    _mm512_store_ps(p->factors + 32 * b, f.scale);
    if (has_minimum(type)) _mm512_store_ps(p->factors + 32 * b + 16, f.minimum);
  }
}

/* The integer products of CHUNK blocks. */
ALWAYS_INLINE void multiply_chunk(const product *p, int32_t (*out)[256], const uint8_t *x,
                                  size_t b) {
  const uint8_t *w = p->panel + 512 * b;
  x += STEP * b;
#define BLOCK(i, left, right)                                                                      \
  _tile_zero(i);                                                                                   \
  _tile_loadd(left, x + STEP * (i), p->token_bytes);                                               \
  _tile_loadd(right, w + 512 * (i), TILE_ROW_BYTES);                                               \
  _tile_dpbssd(i, left, right);
  BLOCK(0, 4, 6)
  BLOCK(1, 5, 7)
  BLOCK(2, 4, 6)
  BLOCK(3, 5, 7)
#undef BLOCK
  _tile_stored(0, out[0], TILE_ROW_BYTES);
  _tile_stored(1, out[1], TILE_ROW_BYTES);
  _tile_stored(2, out[2], TILE_ROW_BYTES);
  _tile_stored(3, out[3], TILE_ROW_BYTES);
}

ALWAYS_INLINE void multiply_block(const product *p, int32_t *out, const uint8_t *x, size_t b) {
  _tile_zero(0);
  _tile_loadd(4, x + STEP * b, p->token_bytes);
  _tile_loadd(6, p->panel + 512 * b, TILE_ROW_BYTES);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, out, TILE_ROW_BYTES);
}

/* y += what a block's integers stand for. */
ALWAYS_INLINE void add_block(const product *p, __m512 *y, const int32_t *sums, const uint8_t *x,
                             size_t b, bool minimum) {
  __m512 d = _mm512_load_ps(p->factors + 32 * b),
         m = minimum ? _mm512_load_ps(p->factors + 32 * b + 16) : d;
  for (size_t t = 0; t < TOKENS; t++) {
    const float *scale = scales_of(p, x + t * p->token_bytes);
    __m512 factor = _mm512_mul_ps(d, _mm512_set1_ps(scale[b]));
    y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * t)), factor, y[t]);
    if (minimum) y[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(scale[2 * p->blocks + b]), y[t]);
  }
}

/* The unpacked group by sixteen tokens (sums of those that are not there are not stored). */
ALWAYS_INLINE void group_by_tile(const product *p, size_t g, size_t first, bool minimum) {
  _Alignas(64) int32_t sums[2][CHUNK][256];
  const uint8_t *x = p->x + first * p->token_bytes;
  __m512 y[TOKENS];
  for (int t = 0; t < TOKENS; t++) y[t] = _mm512_setzero_ps();
  size_t whole = p->blocks / CHUNK, b = 0;
  if (whole) multiply_chunk(p, sums[0], x, 0);
  for (size_t c = 0; c < whole;
       c++, b += CHUNK) { /* the next products run beside these additions */
    if (c + 1 < whole) multiply_chunk(p, sums[(c + 1) & 1], x, b + CHUNK);
    __asm__ volatile("" ::: "memory"); /* compilers do not see that tile stores wrote it */
    for (size_t i = 0; i < CHUNK; i++) add_block(p, y, sums[c & 1][i], x, b + i, minimum);
  }
  for (; b < p->blocks; b++) {
    multiply_block(p, sums[0][0], x, b);
    __asm__ volatile("" ::: "memory");
    add_block(p, y, sums[0][0], x, b, minimum);
  }
  float *out = p->y + first * p->y_stride + g * GROUP;
  for (size_t t = 0; t < TOKENS; t++)
    if (first + t < p->tokens)
      _mm512_mask_storeu_ps(out + t * p->y_stride, lanes16(p->rows - g * GROUP), y[t]);
}

#define FEW_TOKENS(type, count)                                                                    \
  case count:                                                                                      \
    few_tokens_of(p, type, g, count);                                                              \
    break;

ALWAYS_INLINE void multiply_group(const product *p, zh_dtype type, size_t g) {
  switch (p->tokens) {
    FEW_TOKENS(type, 1)
    FEW_TOKENS(type, 2)
    FEW_TOKENS(type, 3)
    FEW_TOKENS(type, 4)
    FEW_TOKENS(type, 5)
    FEW_TOKENS(type, 6)
    FEW_TOKENS(type, 7)
    FEW_TOKENS(type, FEW)
  default:
    unpack_group(p, type, g);
    for (size_t t = 0; t < p->tokens; t += TOKENS) group_by_tile(p, g, t, has_minimum(type));
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
                          size_t tokens, size_t begin, size_t end, void *scratch) {
  token_layout l = layout_of(w->columns);
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .blocks = l.blocks,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .token_bytes = l.bytes,
               .weights = w->data,
               .x = prepared,
               .panel = scratch,
               .factors = (float *)(void *)((uint8_t *)scratch + 512 * l.blocks)};
  bool tiles = tokens > FEW;
  if (tiles) tiles_begin(tokens < TOKENS ? tokens : TOKENS);
  multiply_of(w->type)(&p, begin / GROUP, (end + GROUP - 1) / GROUP);
  if (tiles) _tile_release();
}
