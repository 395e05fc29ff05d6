/* Products of packed bf16 weights by AMX tiles. A tile of weights is 16 rows by 32 columns, the
 * left operand; a tile of activations 32 columns by up to 16 tokens, the right one; sums are 16
 * rows by 16 tokens. tdpbf16ps adds 32 products to each sum, so an output is a chain over the
 * columns, 32 at a time, whatever stands beside it: neither tokens nor rows nor the path below
 * change its bits.
 *
 * Up to 32 tokens: weights are read once and used at once; two groups of rows together hide the
 * latency of a chain. More tokens: blocks of 256, whose 2048 columns fill half of the second cache,
 * pass by a panel of two groups of weights while the next panel is fetched. Where there are more
 * columns, the sums of 256 rows wait in scratch until the next ones' turn. */
#include <string.h>

#include "kernels/matmul/tiles_amx.h"
#include "kernels/variants.h"

enum { STEP = 32, PANEL_STEPS = 64, BLOCK_TILES = 16, BLOCK_GROUPS = 16, AHEAD = 3072 };

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, steps, group_bytes;
  const uint8_t *weights, *x;
  size_t x_row_bytes; /* of a tile of activations: 4 a token */
  uint8_t *sums;
} product;

/* Sums in tiles 0 … 3, weights in 4 and 5, activations in 6 and 7. */
static void tiles_begin(size_t x_row_bytes) {
  tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    bool weights = t == 4 || t == 5;
    config.row_bytes[t] = (uint16_t)(weights ? TILE_ROW_BYTES : x_row_bytes);
    config.rows[t] = 16;
  }
  tiles_configure(&config);
}

/* Nearest even; words of `low`, then of `high`. */
ALWAYS_INLINE __m512i to_bf16(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* --- activations --- */

/* Sixteen vectors of sixteen words, rows to columns. */
ALWAYS_INLINE void transpose16(__m512i v[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; i++) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

ALWAYS_INLINE __m512i round32(const float *x, size_t left) {
  __m512 low = _mm512_maskz_loadu_ps(lanes16(left), x);
  __m512 high = left > 16 ? _mm512_maskz_loadu_ps(lanes16(left - 16), x + 16) : _mm512_setzero_ps();
  return to_bf16(low, high);
}

static void prepare_sixteen(uint8_t *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens) {
  for (size_t c = 0; c < columns; c += STEP, out += TILE_BYTES) {
    __m512i v[TOKENS];
    for (size_t t = 0; t < TOKENS; t++)
      v[t] = t < tokens ? round32(x + t * x_stride + c, columns - c) : _mm512_setzero_si512();
    transpose16(v);
    for (int i = 0; i < 16; i++) _mm512_store_si512(out + 64 * i, v[i]);
  }
}

/* Fewer than sixteen tokens: rows of a tile have no gaps. */
static void prepare_few(uint8_t *out, const float *x, size_t x_stride, size_t columns,
                        size_t tokens) {
  for (size_t t = 0; t < tokens; t++)
    for (size_t c = 0; c < columns; c += STEP) {
      _Alignas(64) uint32_t pairs[16];
      _mm512_store_si512(pairs, round32(x + t * x_stride + c, columns - c));
      uint32_t *to = (uint32_t *)(void *)(out + 2 * c * tokens) + t;
      for (size_t i = 0; i < 16; i++) to[i * tokens] = pairs[i];
    }
}

void zh_prepare_bf16_amx(void *out, const float *x, size_t x_stride, size_t columns, size_t tokens,
                         size_t begin, size_t end) {
  size_t group_bytes = (columns + STEP - 1) / STEP * TILE_BYTES;
  if (tokens < TOKENS) {
    if (begin < end) prepare_few(out, x, x_stride, columns, tokens);
    return;
  }
  for (size_t t = begin; t < end; t += TOKENS)
    prepare_sixteen((uint8_t *)out + t / TOKENS * group_bytes, x + t * x_stride, x_stride, columns,
                    tokens - t < TOKENS ? tokens - t : TOKENS);
}

/* --- sums to y --- */

/* sums: [16 rows][tokens of a tile] */
static void emit(const product *p, const float *sums, size_t group, size_t tokens_at) {
  size_t r = group * GROUP, in_tile = p->x_row_bytes / 4;
  __mmask16 rows = lanes16(p->rows - r);
  float *y = p->y + tokens_at * p->y_stride + r;
  if (in_tile == 1) {
    _mm512_mask_storeu_ps(y, rows, _mm512_loadu_ps(sums));
    return;
  }
  size_t left = p->tokens - tokens_at, count = left < in_tile ? left : in_tile;
  __m512i v[16];
  for (size_t i = 0; i < 16; i++)
    v[i] = _mm512_maskz_loadu_epi32(lanes16(in_tile), sums + i * in_tile);
  transpose16(v);
  for (size_t t = 0; t < 16; t++) /* every index is a constant once unrolled */
    if (t < count) _mm512_mask_storeu_ps(y + t * p->y_stride, rows, _mm512_castsi512_ps(v[t]));
}

ALWAYS_INLINE void emit_tiles(const product *p, size_t group, size_t tokens_at, const int groups,
                              const int columns) {
  _Alignas(64) float sums[4][256];
  size_t stride = p->x_row_bytes;
  _tile_stored(0, sums[0], stride);
  if (columns == 2) _tile_stored(1, sums[1], stride);
  if (groups == 2) _tile_stored(2, sums[2], stride);
  if (groups == 2 && columns == 2) _tile_stored(3, sums[3], stride);
  __asm__ volatile("" ::: "memory"); /* compilers do not see that those instructions wrote it */
  for (int g = 0; g < groups; g++)
    for (int c = 0; c < columns; c++)
      emit(p, sums[2 * g + c], group + (size_t)g, tokens_at + (size_t)c * TOKENS);
}

/* --- products --- */

ALWAYS_INLINE void zero_sums(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

/* One step: weights of one or two groups by activations of one or two tiles. */
ALWAYS_INLINE void multiply_step(const uint8_t *first, const uint8_t *second, const uint8_t *x,
                                 size_t x_row_bytes, size_t x_group, const int groups,
                                 const int columns) {
  _tile_loadd(6, x, x_row_bytes);
  _tile_loadd(4, first, TILE_ROW_BYTES);
  _tile_dpbf16ps(0, 4, 6);
  if (columns == 2) {
    _tile_loadd(7, x + x_group, x_row_bytes);
    _tile_dpbf16ps(1, 4, 7);
  }
  if (groups == 2) {
    _tile_loadd(5, second, TILE_ROW_BYTES);
    _tile_dpbf16ps(2, 5, 6);
    if (columns == 2) _tile_dpbf16ps(3, 5, 7);
  }
}

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
                                 const int columns) {
  const uint8_t *one = p->weights + group * p->group_bytes, *two = one + p->group_bytes, *x = p->x;
  size_t x_step = 16 * p->x_row_bytes;
  zero_sums();
  for (size_t s = 0; s < p->steps; s++, x += x_step) {
    fetch_ahead(p, one, s, groups);
    multiply_step(one + s * TILE_BYTES, two + s * TILE_BYTES, x, p->x_row_bytes, p->steps * x_step,
                  groups, columns);
  }
  emit_tiles(p, group, 0, groups, columns);
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

/* One or two groups of rows and up to PANEL_STEPS steps; one after the other through all of a
 * block's, then of the next block. */
typedef struct panel {
  size_t group, groups, at, steps;
  size_t block;         /* the first group of its block */
  size_t fetched, each; /* lines of it that were fetched; so many in a step of the panel before */
} panel;

static size_t block_end(const panel *w, size_t end) {
  return w->block + BLOCK_GROUPS < end ? w->block + BLOCK_GROUPS : end;
}

static void limit_panel(const product *p, panel *w, size_t end) {
  w->groups = block_end(w, end) - w->group < 2 ? 1 : 2;
  w->steps = p->steps - w->at < PANEL_STEPS ? p->steps - w->at : PANEL_STEPS;
}

/* Groups of a block, then the next columns, then the next block. False at the end. */
static bool next_panel(const product *p, panel *w, size_t end) {
  w->group += w->groups;
  if (w->group == block_end(w, end)) {
    w->group = w->block;
    w->at += w->steps;
  }
  if (w->at == p->steps) {
    w->group = w->block = block_end(w, end);
    w->at = 0;
  }
  if (w->group >= end) return false;
  limit_panel(p, w, end);
  return true;
}

/* The next `each` lines of a panel that comes later. */
ALWAYS_INLINE void fetch_panel(const product *p, panel *w) {
  size_t lines = w->steps * (TILE_BYTES / 64);
  for (size_t i = 0; i < w->each && w->fetched < w->groups * lines; i++, w->fetched++) {
    size_t g = w->fetched >= lines, line = w->fetched - g * lines;
    const uint8_t *group = p->weights + (w->group + g) * p->group_bytes;
    _mm_prefetch((const char *)group + w->at * TILE_BYTES + 64 * line, _MM_HINT_T1);
  }
}

/* A panel by the tokens of one or two tiles. */
ALWAYS_INLINE void panel_by_tiles(const product *p, const panel *w, panel *next, size_t t,
                                  const int groups, const int columns) {
  uint8_t *sums =
      p->sums + ((w->group - w->block) * BLOCK_TILES + t % BLOCK_TILES * 2) * TILE_BYTES;
  const uint8_t *x = p->x + (t * p->steps + w->at) * TILE_BYTES;
  const uint8_t *one = p->weights + w->group * p->group_bytes + w->at * TILE_BYTES;
  if (w->at == 0) {
    zero_sums();
  } else {
    _tile_loadd(0, sums, 64);
    if (columns == 2) _tile_loadd(1, sums + TILE_BYTES, 64);
    if (groups == 2) _tile_loadd(2, sums + 2 * TILE_BYTES, 64);
    if (groups == 2 && columns == 2) _tile_loadd(3, sums + 3 * TILE_BYTES, 64);
  }
  for (size_t s = 0; s < w->steps; s++, one += TILE_BYTES) {
    multiply_step(one, one + p->group_bytes, x + s * TILE_BYTES, 64, p->steps * TILE_BYTES, groups,
                  columns);
    fetch_panel(p, next);
  }
  if (w->at + w->steps == p->steps) {
    emit_tiles(p, w->group, t * TOKENS, groups, columns);
    return;
  }
  _tile_stored(0, sums, 64);
  if (columns == 2) _tile_stored(1, sums + TILE_BYTES, 64);
  if (groups == 2) _tile_stored(2, sums + 2 * TILE_BYTES, 64);
  if (groups == 2 && columns == 2) _tile_stored(3, sums + 3 * TILE_BYTES, 64);
}

ALWAYS_INLINE void panel_by_tokens(const product *p, const panel *w, panel *next, size_t from,
                                   size_t to, const int groups) {
  size_t t = from;
  for (; t + 2 <= to; t += 2) panel_by_tiles(p, w, next, t, groups, 2);
  if (t < to) panel_by_tiles(p, w, next, t, groups, 1);
}

/* All rows by the tokens of tiles [from, to), at most BLOCK_TILES. */
static void block_of_tokens(const product *p, size_t from, size_t to, size_t begin, size_t end) {
  panel w = {.group = begin, .block = begin}, next;
  limit_panel(p, &w, end);
  for (bool more = true; more; w = next) {
    next = w;
    more = next_panel(p, &next, end);
    size_t steps = (to - from + 1) / 2 * w.steps, lines = next.groups * next.steps * 16;
    next.each = more ? (lines + steps - 1) / steps : 0;
    next.fetched = 0;
    if (w.groups == 2)
      panel_by_tokens(p, &w, &next, from, to, 2);
    else
      panel_by_tokens(p, &w, &next, from, to, 1);
  }
}

static void many_tokens(const product *p, size_t begin, size_t end) {
  size_t tiles = (p->tokens + TOKENS - 1) / TOKENS;
  for (size_t t = 0; t < tiles; t += BLOCK_TILES)
    block_of_tokens(p, t, t + BLOCK_TILES < tiles ? t + BLOCK_TILES : tiles, begin, end);
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
               .x_row_bytes = 4 * (tokens < TOKENS ? tokens : TOKENS),
               .sums = scratch};
  tiles_begin(p.x_row_bytes);
  size_t first = begin / GROUP, last = (end + GROUP - 1) / GROUP;
  if (tokens <= 2 * TOKENS)
    few_tokens(&p, first, last);
  else
    many_tokens(&p, first, last);
  _tile_release();
}
