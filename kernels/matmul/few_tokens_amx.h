/* Products by bf16 tiles of up to 32 tokens. Included only by multiply_bf16_amx.c. */
#ifndef ZH_KERNELS_MATMUL_FEW_TOKENS_AMX_H
#define ZH_KERNELS_MATMUL_FEW_TOKENS_AMX_H

#include "kernels/matmul/sums_amx.h"
#include "kernels/matmul/unpack_amx.h"

/* --- weights of bf16 --- */

enum { AHEAD = 3072 };

/* Weights that come AHEAD bytes later, in the next groups where these end. */
ALWAYS_INLINE void fetch_ahead(const product *p, const uint8_t *group, size_t step,
                               const int groups) {
  size_t at = step * TILE_BYTES + AHEAD;
  if (at >= p->group_bytes) at += p->group_bytes * (size_t)(groups - 1);
  for (int g = 0; g < groups; g++)
    for (size_t i = 0; i < TILE_BYTES; i += 64)
      _mm_prefetch((const char *)group + (size_t)g * p->group_bytes + at + i, _MM_HINT_T0);
}

/* One step: one or two tiles of activations by weights of one or two groups. */
ALWAYS_INLINE void multiply_step(const uint8_t *x, const uint8_t *next_x, const uint8_t *w,
                                 const uint8_t *next_w, const int groups, const int tiles) {
  _tile_loadd(4, x, TILE_ROW_BYTES);
  _tile_loadd(6, w, TILE_ROW_BYTES);
  _tile_dpbf16ps(0, 4, 6);
  if (tiles == 2) {
    _tile_loadd(5, next_x, TILE_ROW_BYTES);
    _tile_dpbf16ps(1, 5, 6);
  }
  if (groups == 2) {
    _tile_loadd(7, next_w, TILE_ROW_BYTES);
    _tile_dpbf16ps(2, 4, 7);
    if (tiles == 2) _tile_dpbf16ps(3, 5, 7);
  }
}

ALWAYS_INLINE void few_tokens_of(const product *p, size_t group, float *sums, const int groups,
                                 const int tiles) {
  const uint8_t *one = p->weights + group * p->group_bytes, *two = one + p->group_bytes;
  const uint8_t *x = p->x, *next_x = x + p->steps * p->x_tile;
  EACH_SUM(_tile_zero);
  for (size_t s = 0; s < p->steps; s++) {
    fetch_ahead(p, one, s, groups);
    multiply_step(x + s * p->x_tile, next_x + s * p->x_tile, one + s * TILE_BYTES,
                  two + s * TILE_BYTES, groups, tiles);
  }
  EACH_SUM(STORE_SUM);
  memory_barrier();
  move m = move_of(p, group, 0, sums);
  while (m.tokens > 0) sums_to_y(&m);
}

static void few_tokens(const product *p, float *sums) {
  bool one = p->tokens <= TOKENS;
  size_t g = p->begin;
  for (; g + 2 <= p->end; g += 2) {
    if (one)
      few_tokens_of(p, g, sums, 2, 1);
    else
      few_tokens_of(p, g, sums, 2, 2);
  }
  if (g == p->end) return;
  if (one)
    few_tokens_of(p, g, sums, 1, 1);
  else
    few_tokens_of(p, g, sums, 1, 2);
}

/* --- quantised weights --- */

/* A step's two tiles are unpacked, quarters between the products of the step LAG before (w: NULL
 * where there is none), and never leave the first-level cache. */
ALWAYS_INLINE void unpack_and_multiply(zh_dtype type, const packed_step from[2], uint8_t *out,
                                       const uint8_t *x, const uint8_t *next_x, const uint8_t *w) {
  unpacking u = unpack_begin(out, &from[0], type);
  unpack_quarter(&u, type, 0);
  unpack_quarter(&u, type, 1);
  memory_barrier();
  if (w) {
    _tile_loadd(4, x, TILE_ROW_BYTES);
    _tile_loadd(6, w, TILE_ROW_BYTES);
    _tile_dpbf16ps(0, 4, 6);
  }
  unpack_quarter(&u, type, 2);
  unpack_quarter(&u, type, 3);
  memory_barrier();
  if (w) {
    _tile_loadd(5, next_x, TILE_ROW_BYTES);
    _tile_dpbf16ps(1, 5, 6);
  }
  u = unpack_begin(out + TILE_BYTES, &from[1], type);
  unpack_quarter(&u, type, 0);
  unpack_quarter(&u, type, 1);
  memory_barrier();
  if (w) {
    _tile_loadd(7, w + TILE_BYTES, TILE_ROW_BYTES);
    _tile_dpbf16ps(2, 4, 7);
  }
  unpack_quarter(&u, type, 2);
  unpack_quarter(&u, type, 3);
  memory_barrier();
  if (w) _tile_dpbf16ps(3, 5, 7);
}

/* Groups group and next. Products are not what takes time here: a tile of tokens alone is
 * multiplied twice. */
ALWAYS_INLINE void few_tokens_of_quanta(const product *p, zh_dtype type, size_t group, size_t next,
                                        float *sums, uint8_t *ring) {
  enum { LAG = 2, RING = 4 };
  size_t bytes = p->group_bytes, next_tile = p->tiles == 2 ? p->steps * p->x_tile : 0;
  packed_step from[2] = {{p->weights + group * bytes, 0, bytes, bytes},
                         {p->weights + next * bytes, 0, bytes, bytes}};
  EACH_SUM(_tile_zero);
  for (size_t s = 0; s < p->steps; s++) {
    size_t at = s < LAG ? 0 : s - LAG;
    const uint8_t *w = ring + at % RING * (2 * TILE_BYTES), *x = p->x + at * p->x_tile;
    from[0].step = from[1].step = s;
    unpack_and_multiply(type, from, ring + s % RING * (2 * TILE_BYTES), x, x + next_tile,
                        s < LAG ? NULL : w);
  }
  for (size_t s = p->steps < LAG ? 0 : p->steps - LAG; s < p->steps; s++) {
    const uint8_t *w = ring + s % RING * (2 * TILE_BYTES), *x = p->x + s * p->x_tile;
    multiply_step(x, x + next_tile, w, w + TILE_BYTES, 2, 2);
  }
  EACH_SUM(STORE_SUM);
  memory_barrier();
  move m = move_of(p, group, 0, sums);
  while (m.tokens > 0) sums_to_y(&m);
}

ALWAYS_INLINE void few_tokens_of_type(const product *p, zh_dtype type, uint8_t *scratch) {
  float *sums = (float *)(void *)scratch;
  uint8_t *ring = scratch + SUMS * TILE_BYTES;
  for (size_t g = p->begin; g < p->end; g += 2) /* the last one twice */
    few_tokens_of_quanta(p, type, g, g + 1 < p->end ? g + 1 : g, sums, ring);
}

#define FEW_TOKENS_OF(type)                                                                        \
  static void few_tokens_of_##type(const product *p, uint8_t *scratch) {                           \
    few_tokens_of_type(p, ZH_##type, scratch);                                                     \
  }
FEW_TOKENS_OF(Q8_0)
FEW_TOKENS_OF(Q4_0)
FEW_TOKENS_OF(Q4_1)
FEW_TOKENS_OF(Q5_0)
FEW_TOKENS_OF(Q5_1)
FEW_TOKENS_OF(Q4_K)
FEW_TOKENS_OF(Q5_K)
FEW_TOKENS_OF(Q6_K)
FEW_TOKENS_OF(IQ4_NL)
FEW_TOKENS_OF(MXFP4)

static void few_tokens_of_any(const product *p, uint8_t *scratch) {
  switch (p->type) {
  case ZH_BF16:
    few_tokens(p, (float *)(void *)scratch);
    break;
  case ZH_Q8_0:
    few_tokens_of_Q8_0(p, scratch);
    break;
  case ZH_Q4_0:
    few_tokens_of_Q4_0(p, scratch);
    break;
  case ZH_Q4_1:
    few_tokens_of_Q4_1(p, scratch);
    break;
  case ZH_Q5_0:
    few_tokens_of_Q5_0(p, scratch);
    break;
  case ZH_Q5_1:
    few_tokens_of_Q5_1(p, scratch);
    break;
  case ZH_Q4_K:
    few_tokens_of_Q4_K(p, scratch);
    break;
  case ZH_Q5_K:
    few_tokens_of_Q5_K(p, scratch);
    break;
  case ZH_IQ4_NL:
    few_tokens_of_IQ4_NL(p, scratch);
    break;
  case ZH_MXFP4:
    few_tokens_of_MXFP4(p, scratch);
    break;
  default:
    few_tokens_of_Q6_K(p, scratch);
  }
}

#endif
