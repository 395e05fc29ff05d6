/* Products in bf16 by AMX tiles: of packed bf16 weights, and of quantised ones that many tokens
 * share. A tile of activations, up to 16 tokens by 32 columns, is the left operand; a tile of
 * weights, 32 columns by 16 rows, the right one: sums are tokens by rows, as y is. tdpbf16ps adds
 * 32 products to each sum, so an output is a chain over the columns, 32 at a time, whatever stands
 * beside it: neither tokens nor rows nor the path below change its bits.
 *
 * Weights of bf16 for up to 32 tokens are read once and used at once; two groups of rows together
 * hide the latency of a chain. Everything else goes in blocks of rows, columns and tokens: two
 * groups of rows by two tiles of tokens are multiplied through all columns of the block, from the
 * second-level cache, while the operand that comes next is fetched into it. Weights of bf16 pass by
 * 256 tokens that stay; tokens pass by 256 rows of quantised weights that were unpacked. Where
 * there are more columns than a block takes, sums wait in y. */
#include <string.h>

#include "kernels/matmul/tiles_amx.h"
#include "kernels/matmul/unpack_amx.h"
#include "kernels/variants.h"

enum {
  STEP = 32,
  BLOCK_STEPS = 64,
  BLOCK_GROUPS = 16, /* of quantised weights */
  BLOCK_TILES = 16,  /* of tokens, where weights of bf16 pass by */
  AHEAD = 3072
};

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, steps, group_bytes;
  const uint8_t *weights, *x;
  size_t x_tile; /* bytes of a tile of activations: 64 a token */
  uint8_t *panel;
} product;

/* Sums in tiles 0 … 3, activations in 4 and 5, weights in 6 and 7. */
static void tiles_begin(size_t tokens) {
  tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    config.row_bytes[t] = TILE_ROW_BYTES;
    config.rows[t] = (uint8_t)(t >= 6 || tokens > TOKENS ? 16 : tokens);
  }
  tiles_configure(&config);
}

/* --- activations: tiles of sixteen tokens (or all, where they are fewer), step after step --- */

ALWAYS_INLINE __m512i round32(const float *x, size_t left) {
  __m512 low = _mm512_maskz_loadu_ps(lanes16(left), x);
  __m512 high = left > 16 ? _mm512_maskz_loadu_ps(lanes16(left - 16), x + 16) : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

void zh_prepare_bf16_amx(void *out, const float *x, size_t x_stride, size_t columns, size_t tokens,
                         size_t begin, size_t end) {
  size_t steps = (columns + STEP - 1) / STEP, in_tile = tokens < TOKENS ? tokens : TOKENS;
  for (size_t t = begin; t < end; t++) {
    uint8_t *to = (uint8_t *)out + (t / TOKENS * steps * in_tile + t % TOKENS) * TILE_ROW_BYTES;
    for (size_t c = 0; c < columns; c += STEP, to += in_tile * TILE_ROW_BYTES)
      _mm512_store_si512(to, round32(x + t * x_stride + c, columns - c));
  }
}

/* --- sums and y --- */

/* Part of a tile's place in y: whole tiles are loaded and stored there, others through a copy. */
typedef struct place {
  float *y;
  size_t stride, tokens;
  __mmask16 rows;
  bool whole;
} place;

ALWAYS_INLINE place place_of(const product *p, size_t group, size_t tile) {
  size_t r = group * GROUP, t = tile * TOKENS, left = p->tokens - t, in_tile = p->x_tile / 64;
  place at = {p->y + t * p->y_stride + r, p->y_stride, left < in_tile ? left : in_tile,
              lanes16(p->rows - r), false};
  at.whole = at.rows == 0xffff && at.tokens == in_tile;
  return at;
}

static void copy_sums(const place *at, const float *sums) {
  for (size_t t = 0; t < at->tokens; t++)
    _mm512_mask_storeu_ps(at->y + t * at->stride, at->rows, _mm512_load_ps(sums + 16 * t));
}

static void fetch_sums(const place *at, float *sums) {
  for (size_t t = 0; t < TOKENS; t++)
    _mm512_store_ps(sums + 16 * t, t < at->tokens
                                       ? _mm512_maskz_loadu_ps(at->rows, at->y + t * at->stride)
                                       : _mm512_setzero_ps());
}

/* The barriers: compilers do not see what those instructions read and write. */
#define STORE_SUMS(tile, at)                                                                       \
  do {                                                                                             \
    _Alignas(64) float copy[256];                                                                  \
    if ((at).whole) {                                                                              \
      _tile_stored(tile, (at).y, (at).stride * sizeof(float));                                     \
    } else {                                                                                       \
      _tile_stored(tile, copy, 64);                                                                \
      __asm__ volatile("" ::: "memory");                                                           \
      copy_sums(&(at), copy);                                                                      \
    }                                                                                              \
  } while (0)
#define LOAD_SUMS(tile, at)                                                                        \
  do {                                                                                             \
    _Alignas(64) float copy[256];                                                                  \
    if ((at).whole) {                                                                              \
      _tile_loadd(tile, (at).y, (at).stride * sizeof(float));                                      \
    } else {                                                                                       \
      fetch_sums(&(at), copy);                                                                     \
      __asm__ volatile("" ::: "memory");                                                           \
      _tile_loadd(tile, copy, 64);                                                                 \
    }                                                                                              \
  } while (0)

/* Sums of groups group, group + 1 and tiles tile, tile + 1: sum 0 of the first of both, 1 of the
 * next tile, 2 and 3 of the next group. */
ALWAYS_INLINE void begin_sums(const product *p, size_t group, size_t tile, bool first,
                              const int groups, const int tiles) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (first) return;
  place a = place_of(p, group, tile), b = a, c = a, d = a;
  if (tiles == 2) b = place_of(p, group, tile + 1);
  if (groups == 2) c = place_of(p, group + 1, tile);
  if (groups == 2 && tiles == 2) d = place_of(p, group + 1, tile + 1);
  LOAD_SUMS(0, a);
  if (tiles == 2) LOAD_SUMS(1, b);
  if (groups == 2) LOAD_SUMS(2, c);
  if (groups == 2 && tiles == 2) LOAD_SUMS(3, d);
}

ALWAYS_INLINE void end_sums(const product *p, size_t group, size_t tile, const int groups,
                            const int tiles) {
  place a = place_of(p, group, tile), b = a, c = a, d = a;
  if (tiles == 2) b = place_of(p, group, tile + 1);
  if (groups == 2) c = place_of(p, group + 1, tile);
  if (groups == 2 && tiles == 2) d = place_of(p, group + 1, tile + 1);
  STORE_SUMS(0, a);
  if (tiles == 2) STORE_SUMS(1, b);
  if (groups == 2) STORE_SUMS(2, c);
  if (groups == 2 && tiles == 2) STORE_SUMS(3, d);
  __asm__ volatile("" ::: "memory");
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

/* --- weights of bf16, up to 32 tokens --- */

/* Weights that come AHEAD bytes later, in the next groups where these end. */
ALWAYS_INLINE void fetch_ahead(const product *p, const uint8_t *group, size_t step,
                               const int groups) {
  size_t at = step * TILE_BYTES + AHEAD;
  if (at >= p->group_bytes) at += p->group_bytes * (size_t)(groups - 1);
  for (int g = 0; g < groups; g++)
    for (size_t i = 0; i < TILE_BYTES; i += 64)
      _mm_prefetch((const char *)group + (size_t)g * p->group_bytes + at + i, _MM_HINT_T0);
}

ALWAYS_INLINE void few_tokens_of(const product *p, size_t group, const int groups,
                                 const int tiles) {
  const uint8_t *one = p->weights + group * p->group_bytes, *two = one + p->group_bytes;
  const uint8_t *x = p->x, *next_x = x + p->steps * p->x_tile;
  begin_sums(p, group, 0, true, groups, tiles);
  for (size_t s = 0; s < p->steps; s++) {
    fetch_ahead(p, one, s, groups);
    multiply_step(x + s * p->x_tile, next_x + s * p->x_tile, one + s * TILE_BYTES,
                  two + s * TILE_BYTES, groups, tiles);
  }
  end_sums(p, group, 0, groups, tiles);
}

static void few_tokens(const product *p, size_t begin, size_t end) {
  bool one = p->tokens <= TOKENS;
  size_t g = begin;
  for (; g + 2 <= end; g += 2) {
    if (one)
      few_tokens_of(p, g, 2, 1);
    else
      few_tokens_of(p, g, 2, 2);
  }
  if (g == end) return;
  if (one)
    few_tokens_of(p, g, 1, 1);
  else
    few_tokens_of(p, g, 1, 2);
}

/* --- blocks --- */

typedef struct block {
  size_t group, groups; /* of rows */
  size_t tile, tiles;   /* of tokens */
  size_t at, steps;     /* of columns */
} block;

/* What comes next, fetched some lines at a time: two pieces of memory. Lines of four pages take
 * turns, so that the processor's own streams, one a page, run ahead of each longer. */
typedef struct coming {
  const uint8_t *piece[2];
  size_t lines, each, done; /* of a piece; in a step; of both */
} coming;

ALWAYS_INLINE void fetch(coming *c) {
  for (size_t i = 0; i < c->each && c->done < 2 * c->lines; i++, c->done++) {
    size_t second = c->done >= c->lines, line = c->done - second * c->lines;
    line = (line & ~(size_t)255) | (line & 3) << 6 | (line >> 2 & 63);
    _mm_prefetch((const char *)c->piece[second] + 64 * line, _MM_HINT_T1);
  }
}

/* The lines of y that two groups and two tiles fill, a token a step. */
ALWAYS_INLINE void fetch_y(const product *p, size_t group, size_t tile, size_t s) {
  size_t t = tile * TOKENS + s;
  if (s >= 2 * TOKENS || t >= p->tokens) return;
  const char *y = (const char *)(p->y + t * p->y_stride + group * GROUP);
  _m_prefetchw((void *)(uintptr_t)y);
  _m_prefetchw((void *)(uintptr_t)(y + 64));
}

/* weights: of the block's first group and column, groups stride apart. */
ALWAYS_INLINE void multiply_pair(const product *p, const block *b, const uint8_t *w, size_t stride,
                                 size_t group, size_t tile, coming *c, const int groups,
                                 const int tiles) {
  const uint8_t *x = p->x + (tile * p->steps + b->at) * p->x_tile,
                *next_x = x + p->steps * p->x_tile;
  w += (group - b->group) * stride;
  begin_sums(p, group, tile, b->at == 0, groups, tiles);
  for (size_t s = 0; s < b->steps; s++) {
    multiply_step(x + s * p->x_tile, next_x + s * p->x_tile, w + s * TILE_BYTES,
                  w + stride + s * TILE_BYTES, groups, tiles);
    fetch(c);
    fetch_y(p, group, tile, s);
  }
  end_sums(p, group, tile, groups, tiles);
}

ALWAYS_INLINE void multiply_tiles(const product *p, const block *b, const uint8_t *w, size_t stride,
                                  size_t tile, coming *c, const int tiles) {
  size_t g = b->group, end = b->group + b->groups;
  for (; g + 2 <= end; g += 2) multiply_pair(p, b, w, stride, g, tile, c, 2, tiles);
  if (g < end) multiply_pair(p, b, w, stride, g, tile, c, 1, tiles);
}

/* All tokens of a block by its rows. next: weights that come after it, NULL: the tokens themselves
 * are what comes. */
static void multiply_block(const product *p, const block *b, const uint8_t *w, size_t stride,
                           const uint8_t *next) {
  size_t pairs = (b->groups + 1) / 2, passes = (b->tiles + 1) / 2, end = b->tile + b->tiles;
  coming c = {{next, next + p->group_bytes}, b->steps * 16, 0, 0};
  c.each = (2 * 16 + passes * pairs - 1) / (passes * pairs);
  for (size_t t = b->tile; t < end; t += 2) {
    if (!next) {
      const uint8_t *x = p->x + ((t + 2) * p->steps + b->at) * p->x_tile;
      c = (coming){{x, x + p->steps * p->x_tile},
                   t + 4 <= end ? b->steps * 16 : 0,
                   (2 * 16 + pairs - 1) / pairs,
                   0};
    }
    if (t + 2 <= end)
      multiply_tiles(p, b, w, stride, t, &c, 2);
    else
      multiply_tiles(p, b, w, stride, t, &c, 1);
  }
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Two groups after two groups pass by blocks of tokens. */
static void multiply_bf16(const product *p, size_t begin, size_t end) {
  size_t tiles = (p->tokens + TOKENS - 1) / TOKENS;
  block b = {0};
  for (b.tile = 0; b.tile < tiles; b.tile += b.tiles) {
    b.tiles = least(BLOCK_TILES, tiles - b.tile);
    for (size_t from = begin; from < end; from += BLOCK_GROUPS) {
      size_t to = least(end, from + BLOCK_GROUPS);
      for (b.at = 0; b.at < p->steps; b.at += b.steps) {
        b.steps = least(BLOCK_STEPS, p->steps - b.at);
        for (b.group = from; b.group < to; b.group += b.groups) {
          b.groups = least(2, to - b.group);
          const uint8_t *w = p->weights + b.group * p->group_bytes + b.at * TILE_BYTES;
          multiply_block(p, &b, w, p->group_bytes, w + b.groups * p->group_bytes);
        }
      }
    }
  }
}

/* Tokens pass by blocks of unpacked weights. */
ALWAYS_INLINE void multiply_quanta(const product *p, zh_dtype type, size_t begin, size_t end) {
  block b = {.tiles = (p->tokens + TOKENS - 1) / TOKENS};
  size_t stride = BLOCK_STEPS * TILE_BYTES;
  for (b.group = begin; b.group < end; b.group += b.groups) {
    b.groups = least(BLOCK_GROUPS, end - b.group);
    for (b.at = 0; b.at < p->steps; b.at += b.steps) {
      b.steps = least(BLOCK_STEPS, p->steps - b.at);
      for (size_t g = 0; g < b.groups; g++)
        unpack_tiles(p->panel + g * stride, p->weights + (b.group + g) * p->group_bytes, type, b.at,
                     b.steps);
      __asm__ volatile("" ::: "memory");
      multiply_block(p, &b, p->panel, stride, NULL);
    }
  }
}

/* A function of its own for each type. */
#define BY_TYPE(type)                                                                              \
  static void multiply_##type(const product *p, size_t begin, size_t end) {                        \
    multiply_quanta(p, ZH_##type, begin, end);                                                     \
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
  case ZH_BF16:
    return multiply_bf16;
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

void zh_multiply_bf16_amx(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                          size_t tokens, size_t begin, size_t end, void *scratch) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .steps = (w->columns + STEP - 1) / STEP,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .weights = w->data,
               .x = prepared,
               .x_tile = 64 * (tokens < TOKENS ? tokens : TOKENS),
               .panel = scratch};
  tiles_begin(tokens);
  size_t first = begin / GROUP, last = (end + GROUP - 1) / GROUP;
  if (w->type == ZH_BF16 && tokens <= 2 * TOKENS)
    few_tokens(&p, first, last);
  else
    multiply_of(w->type)(&p, first, last);
  _tile_release();
}
