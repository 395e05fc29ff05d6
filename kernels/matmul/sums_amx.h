/* What products by bf16 tiles share: the operands, and sums on their way to y and back. Included
 * only by multiply_bf16_amx.c. */
#ifndef ZH_KERNELS_MATMUL_SUMS_AMX_H
#define ZH_KERNELS_MATMUL_SUMS_AMX_H

#include "kernels/matmul/tiles_amx.h"

enum { STEP = 32, SUMS = 4 };

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, steps, group_bytes;
  zh_dtype type;
  const uint8_t *weights, *x;
  size_t x_tile; /* bytes of a tile of activations: 64 a token */
  size_t tiles;  /* of tokens */
  size_t begin, end, block_tiles, block_steps;
} product;

/* Compilers do not see what tile instructions read and write. */
ALWAYS_INLINE void memory_barrier(void) {
  __asm__ volatile("" ::: "memory");
}

ALWAYS_INLINE size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Four sums of 16 tokens by 16 rows, group after group of rows; and where they lie in y. */
typedef struct move {
  float *y, *sums;
  size_t y_stride, tokens; /* left to be moved */
  __mmask16 rows[2];       /* of both groups */
} move;

ALWAYS_INLINE move move_of(const product *p, size_t group, size_t tile, float *sums) {
  size_t row = group * GROUP, token = tile * TOKENS, end = least(p->end * GROUP, p->rows);
  move m = {p->y + token * p->y_stride + row,
            sums,
            p->y_stride,
            least(2 * TOKENS, p->tokens - token),
            {0}};
  m.rows[0] = lanes16(end - row);
  m.rows[1] = row + GROUP < end ? lanes16(end - row - GROUP) : 0;
  return m;
}

/* A token's two lines. */
ALWAYS_INLINE void sums_to_y(move *m) {
  if (m->tokens == 0) return;
  _mm512_mask_storeu_ps(m->y, m->rows[0], _mm512_load_ps(m->sums));
  _mm512_mask_storeu_ps(m->y + GROUP, m->rows[1], _mm512_load_ps(m->sums + 2 * TOKENS * GROUP));
  m->y += m->y_stride;
  m->sums += GROUP;
  m->tokens--;
}

ALWAYS_INLINE void y_to_sums(move *m) {
  if (m->tokens == 0) return;
  _mm512_store_ps(m->sums, _mm512_maskz_loadu_ps(m->rows[0], m->y));
  _mm512_store_ps(m->sums + 2 * TOKENS * GROUP, _mm512_maskz_loadu_ps(m->rows[1], m->y + GROUP));
  m->y += m->y_stride;
  m->sums += GROUP;
  m->tokens--;
}

#define EACH_SUM(do_this)                                                                          \
  do {                                                                                             \
    do_this(0);                                                                                    \
    do_this(1);                                                                                    \
    do_this(2);                                                                                    \
    do_this(3);                                                                                    \
  } while (0)
#define STORE_SUM(i) _tile_stored(i, sums + 256 * (i), 64)

#endif
