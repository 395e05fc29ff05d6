/* Products of packed, unquantised weights with sums in registers: up to three groups of sixteen
 * rows by eight tokens, 24 chains over the columns, whatever stands beside an element. Included
 * only by the files of this folder that say how a step is multiplied: they define STEP_COLUMNS (a
 * prepared step, 64 bytes of a token) and multiply_step before. Weights of three groups stay in the
 * second-level cache while tiles of tokens pass; where they have more columns than that holds, sums
 * wait in y. */
#ifndef ZH_KERNELS_MATMUL_SUMS_AVX512_H
#define ZH_KERNELS_MATMUL_SUMS_AVX512_H

#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

enum {
  GROUP = ZH_PACKED_ROWS,
  GROUPS = 3,
  TOKENS = ZH_LINE_TOKENS,
  AHEAD = 1024,
  FAR_AHEAD = 8192
};

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, steps, group_bytes, step_bytes; /* of a group of rows */
  const uint8_t *weights, *x;
} product;

/* Part of a product: steps [at, at + steps) of rows from group on and tokens from tile on. */
typedef struct part {
  size_t group, tile, at, steps;
  bool fetch; /* weights come from memory, not from a cache */
} part;

typedef struct sums {
  __m512 of[TOKENS][GROUPS];
} sums;

/* One step: weights of `groups` groups, stride bytes apart, by lines of `tokens` tokens. */
ALWAYS_INLINE void multiply_step(sums *s, zh_dtype type, const uint8_t *w, size_t stride,
                                 const uint8_t *x, const int groups, const int tokens);

static inline size_t tokens_in_tile(const product *p, size_t tile) {
  size_t left = p->tokens - tile * TOKENS;
  return left < TOKENS ? left : TOKENS;
}

/* What comes some bytes later, in the next groups where these end: far ahead into the second-level
 * cache, what is next into the first. */
ALWAYS_INLINE void fetch_ahead(const product *p, const uint8_t *w, size_t step, const int groups) {
  size_t near = step * p->step_bytes + AHEAD, far = step * p->step_bytes + FAR_AHEAD,
         over = p->group_bytes * (size_t)(groups - 1);
  if (near >= p->group_bytes) near += over;
  if (far >= p->group_bytes) far += over;
  for (int g = 0; g < groups; g++, w += p->group_bytes)
    for (size_t i = 0; i < p->step_bytes; i += 64) {
      _mm_prefetch((const char *)w + far + i, _MM_HINT_T1);
      _mm_prefetch((const char *)w + near + i, _MM_HINT_T0);
    }
}

ALWAYS_INLINE void multiply_part(const product *p, zh_dtype type, const part *a, const int groups,
                                 const int tokens) {
  const uint8_t *w = p->weights + a->group * p->group_bytes,
                *x = p->x + (a->tile * TOKENS * p->steps + a->at * (size_t)tokens) * 64;
  float *y = p->y + a->tile * TOKENS * p->y_stride + a->group * GROUP;
  sums s;
  for (int g = 0; g < groups; g++) {
    __mmask16 there = a->at ? lanes16(p->rows - (a->group + (size_t)g) * GROUP) : 0;
    for (int t = 0; t < tokens; t++)
      s.of[t][g] = _mm512_maskz_loadu_ps(there, y + (size_t)t * p->y_stride + g * GROUP);
  }
  for (size_t i = a->at; i < a->at + a->steps; i++, x += 64 * (size_t)tokens) {
    if (a->fetch) fetch_ahead(p, w, i, groups);
    multiply_step(&s, type, w + i * p->step_bytes, p->group_bytes, x, groups, tokens);
  }
  for (int g = 0; g < groups; g++) {
    __mmask16 there = lanes16(p->rows - (a->group + (size_t)g) * GROUP);
    for (int t = 0; t < tokens; t++)
      _mm512_mask_storeu_ps(y + (size_t)t * p->y_stride + g * GROUP, there, s.of[t][g]);
  }
}

#define WITH_TOKENS(type, groups, count)                                                           \
  case count:                                                                                      \
    multiply_part(p, type, a, groups, count);                                                      \
    break;

ALWAYS_INLINE void multiply_groups(const product *p, zh_dtype type, const part *a,
                                   const int groups) {
  switch (tokens_in_tile(p, a->tile)) {
    WITH_TOKENS(type, groups, 1)
    WITH_TOKENS(type, groups, 2)
    WITH_TOKENS(type, groups, 3)
    WITH_TOKENS(type, groups, 4)
    WITH_TOKENS(type, groups, 5)
    WITH_TOKENS(type, groups, 6)
    WITH_TOKENS(type, groups, 7)
  default:
    multiply_part(p, type, a, groups, TOKENS);
  }
}

/* Groups [begin, end). */
ALWAYS_INLINE void multiply_rows(const product *p, zh_dtype type, size_t begin, size_t end,
                                 size_t most_steps) {
  size_t tiles = (p->tokens + TOKENS - 1) / TOKENS;
  part a;
  for (a.group = begin; a.group < end; a.group += GROUPS)
    for (a.at = 0; a.at < p->steps; a.at += a.steps) {
      a.steps = p->steps - a.at < most_steps ? p->steps - a.at : most_steps;
      for (a.tile = 0; a.tile < tiles; a.tile++) {
        a.fetch = a.tile == 0;
        if (end - a.group >= GROUPS)
          multiply_groups(p, type, &a, GROUPS);
        else if (end - a.group == 2)
          multiply_groups(p, type, &a, 2);
        else
          multiply_groups(p, type, &a, 1);
      }
    }
}

/* Where a token's lines stand in prepared activations, and how far apart. */
static inline uint8_t *line_of(void *prepared, size_t steps, size_t tokens, size_t t,
                               size_t *apart) {
  size_t tile = t - t % TOKENS, left = tokens - tile;
  *apart = 64 * (left < TOKENS ? left : TOKENS);
  return (uint8_t *)prepared + (tile * steps + t % TOKENS) * 64;
}

#endif
