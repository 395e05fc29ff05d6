/* Products in bf16 by AMX tiles: of packed bf16 weights, and of quantised ones that many tokens
 * share. A tile of activations, up to 16 tokens by 32 columns, is the left operand; a tile of
 * weights, 32 columns by 16 rows, the right one: sums are tokens by rows, as y is. tdpbf16ps adds
 * 32 products to each sum, so an output is a chain over the columns, 32 at a time, whatever stands
 * beside it: neither tokens nor rows nor the path below change its bits.
 *
 * Up to 32 tokens: two groups of rows at a time. Weights of bf16 are read once and used at once;
 * quantised ones are unpacked beside the products, which leave all ports but one idle, and that one
 * nearly so.
 *
 * More tokens go in blocks, and within these by jobs: two tiles of tokens by two groups of rows
 * through all columns of the block, four sums that stay in registers. Tiles come from the
 * second-level cache by loads that pass by the first (which gives 64 bytes a cycle instead of 50
 * and takes no room there) but for the first steps of the operand that the next job has too, which
 * stay in the first. Weights of bf16 pass by 256 tokens that stay in the second-level cache; tokens
 * pass by 256 rows of quantised weights that were unpacked. Meanwhile a job fetches what comes
 * next, and moves sums between y and places of their own, since tiles stored in y, a page or more
 * from row to row, push each other out of the first-level cache. Where there are more columns than
 * a block takes, sums wait in y. */
#include <string.h>

#include "kernels/matmul/tiles_amx.h"
#include "kernels/matmul/unpack_amx.h"
#include "kernels/variants.h"

enum {
  STEP = 32,
  BLOCK_STEPS = 64,
  BLOCK_X_BYTES = 1024 * 1024, /* half of a second-level cache */
  BLOCK_GROUPS = 16,
  RESIDENT = 18, /* steps of a panel: 36 KiB of 48 */
  AHEAD = 3072,
  SUMS = 4
};

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, steps, group_bytes;
  zh_dtype type;
  const uint8_t *weights, *x;
  size_t x_tile; /* bytes of a tile of activations: 64 a token */
  size_t tiles;  /* of tokens */
  size_t begin, end, block_tiles, block_steps;
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

/* Compilers do not see what tile instructions read and write. */
ALWAYS_INLINE void memory_barrier(void) {
  __asm__ volatile("" ::: "memory");
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
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

/* Four sums of 16 tokens by 16 rows, group after group of rows; and where they lie in y. */
typedef struct move {
  float *y, *sums;
  size_t y_stride, tokens; /* left to be moved */
  __mmask16 rows[2];       /* of both groups */
} move;

static move move_of(const product *p, size_t group, size_t tile, float *sums) {
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

#define EACH_SUM(do_this)                                                                          \
  do {                                                                                             \
    do_this(0);                                                                                    \
    do_this(1);                                                                                    \
    do_this(2);                                                                                    \
    do_this(3);                                                                                    \
  } while (0)
#define STORE_SUM(i) _tile_stored(i, sums + 256 * (i), 64)

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

/* --- quantised weights, up to 32 tokens --- */

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
  default:
    few_tokens_of_Q6_K(p, scratch);
  }
}

/* --- more tokens: blocks --- */

/* A product's part: rows by columns by tokens. */
typedef struct block {
  size_t group, groups; /* of rows */
  size_t tile, tiles;   /* of tokens */
  size_t at, steps;     /* of columns */
  const uint8_t *w;     /* of the first group and column, groups stride apart */
  size_t stride;
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

static coming coming_of(const uint8_t *from, size_t stride, size_t bytes, size_t steps) {
  return (coming){{from, from + stride}, bytes / 64, (2 * bytes / 64 + steps - 1) / steps, 0};
}

/* Two tiles of tokens by two groups of rows, and what is moved meanwhile. */
typedef struct job {
  const uint8_t *x, *next_x, *w, *next_w;
  size_t x_tile, steps;
  float *leaving, *arriving; /* sums of the job before, and of this one */
  bool store, load;          /* those */
  move out, in;              /* what leaves; what the next job needs */
  coming c;
} job;

/* Sum i of the job before gives way to this one's. Just before its first product: the last one of
 * the job before was four products ago, so that nothing waits. */
#define CHANGE_SUM(i)                                                                              \
  do {                                                                                             \
    if (j->store) _tile_stored(i, j->leaving + 256 * (i), 64);                                     \
    if (j->load)                                                                                   \
      _tile_loadd(i, j->arriving + 256 * (i), 64);                                                 \
    else                                                                                           \
      _tile_zero(i);                                                                               \
  } while (0)
#define NO_CHANGE(i)
#define JOB_STEP(load_x, load_w, change, s)                                                        \
  do {                                                                                             \
    load_x(4, j->x + (s)*j->x_tile, TILE_ROW_BYTES);                                               \
    load_w(6, j->w + (s)*TILE_BYTES, TILE_ROW_BYTES);                                              \
    change(0);                                                                                     \
    _tile_dpbf16ps(0, 4, 6);                                                                       \
    load_x(5, j->next_x + (s)*j->x_tile, TILE_ROW_BYTES);                                          \
    change(1);                                                                                     \
    _tile_dpbf16ps(1, 5, 6);                                                                       \
    load_w(7, j->next_w + (s)*TILE_BYTES, TILE_ROW_BYTES);                                         \
    change(2);                                                                                     \
    _tile_dpbf16ps(2, 4, 7);                                                                       \
    change(3);                                                                                     \
    _tile_dpbf16ps(3, 5, 7);                                                                       \
  } while (0)
/* Four steps at a time for the sake of the moves. */
#define JOB_STEPS(load_x, load_w, s, end)                                                          \
  do {                                                                                             \
    for (; s < (end); s++) {                                                                       \
      JOB_STEP(load_x, load_w, NO_CHANGE, s);                                                      \
      fetch(&c);                                                                                   \
      if (s % 4 != 3) continue;                                                                    \
      for (size_t i = 0; i < moved; i++) {                                                         \
        sums_to_y(&out);                                                                           \
        y_to_sums(&in);                                                                            \
      }                                                                                            \
    }                                                                                              \
  } while (0)

/* x_stays: the next job has the same tokens, else the same rows. */
ALWAYS_INLINE void run_job_of(job *j, const bool x_stays) {
  move out = j->out, in = j->in;
  coming c = j->c;
  size_t near = least(RESIDENT, j->steps), s = 1,
         moved = j->steps >= 4 ? (2 * TOKENS + j->steps / 4 - 1) / (j->steps / 4) : 0;
  memory_barrier();
  JOB_STEP(_tile_loadd, _tile_loadd, CHANGE_SUM, 0);
  memory_barrier();
  if (x_stays)
    JOB_STEPS(_tile_loadd, _tile_stream_loadd, s, near);
  else
    JOB_STEPS(_tile_stream_loadd, _tile_loadd, s, near);
  JOB_STEPS(_tile_stream_loadd, _tile_stream_loadd, s, j->steps);
  while (out.tokens > 0) sums_to_y(&out);
  while (in.tokens > 0) y_to_sums(&in);
  j->c = c;
}

static void run_job(job *j, bool x_stays) {
  if (x_stays)
    run_job_of(j, true);
  else
    run_job_of(j, false);
}

typedef struct place {
  size_t group, tile;
} place;

/* Runs the job at `here`; sums of the one before leave, those of the next, if it is of this block,
 * arrive. */
static void multiply_pair(const product *p, const block *b, place here, place next, bool any_next,
                          job *j, place *before, bool x_stays) {
  bool two_tiles = here.tile + 1 < b->tile + b->tiles,
       two_groups = here.group + 1 < b->group + b->groups;
  j->x = p->x + (here.tile * p->steps + b->at) * p->x_tile;
  j->next_x = two_tiles ? j->x + p->steps * p->x_tile : j->x;
  j->w = b->w + (here.group - b->group) * b->stride;
  j->next_w = two_groups ? j->w + b->stride : j->w;
  j->load = b->at > 0;
  j->out.tokens = j->in.tokens = 0;
  if (j->store) j->out = move_of(p, before->group, before->tile, j->leaving);
  if (any_next && b->at > 0) j->in = move_of(p, next.group, next.tile, j->arriving);
  run_job(j, x_stays);
  j->store = true;
  *before = here;
}

/* The last job's sums leave: nothing follows that would take them along. */
static void finish_sums(const product *p, job *j, const place *before) {
  float *sums = j->leaving;
  if (!j->store) return;
  EACH_SUM(STORE_SUM);
  memory_barrier();
  j->out = move_of(p, before->group, before->tile, j->leaving);
  while (j->out.tokens > 0) sums_to_y(&j->out);
  j->store = false;
}

static job first_job(const product *p, uint8_t *scratch) {
  float *sums = (float *)(void *)scratch;
  return (job){.x_tile = p->x_tile, .leaving = sums, .arriving = sums + SUMS * 256};
}

/* All pairs of a block, tokens (x_stays) or rows in the outer loop. next: what comes after it. */
static void multiply_block(const product *p, const block *b, coming next, job *j, place *before,
                           bool x_stays) {
  size_t pairs = (b->groups + 1) / 2, passes = (b->tiles + 1) / 2, jobs = pairs * passes;
  j->steps = b->steps;
  j->c = next;
  if (b->at > 0) {
    finish_sums(p, j, before);
    move first = move_of(p, b->group, b->tile, j->arriving);
    while (first.tokens > 0) y_to_sums(&first);
  }
  for (size_t i = 0; i < jobs; i++) {
    size_t t = x_stays ? i / pairs : i % passes, g = x_stays ? i % pairs : i / passes, k = i + 1,
           next_t = x_stays ? k / pairs : k % passes, next_g = x_stays ? k % pairs : k / passes;
    if (x_stays && g == 0) {
      const uint8_t *x = p->x + ((b->tile + 2 * t + 2) * p->steps + b->at) * p->x_tile;
      size_t bytes = t + 1 < passes ? b->steps * p->x_tile : 0;
      j->c = coming_of(x, p->steps * p->x_tile, bytes, pairs * b->steps);
    }
    multiply_pair(p, b, (place){b->group + 2 * g, b->tile + 2 * t},
                  (place){b->group + 2 * next_g, b->tile + 2 * next_t}, k < jobs, j, before,
                  x_stays);
  }
}

/* Pairs of groups pass by a block of tokens. */
static void multiply_bf16(const product *p, uint8_t *scratch) {
  block b = {.stride = p->group_bytes};
  job j = first_job(p, scratch);
  place before = {0};
  for (b.tile = 0; b.tile < p->tiles; b.tile += b.tiles) {
    b.tiles = least(p->block_tiles, p->tiles - b.tile);
    for (size_t from = p->begin; from < p->end; from += BLOCK_GROUPS) {
      size_t to = least(p->end, from + BLOCK_GROUPS);
      for (b.at = 0; b.at < p->steps; b.at += b.steps) {
        b.steps = least(p->block_steps, p->steps - b.at);
        for (b.group = from; b.group < to; b.group += b.groups) {
          b.groups = least(2, to - b.group);
          b.w = p->weights + b.group * p->group_bytes + b.at * TILE_BYTES;
          size_t steps = (b.tiles + 1) / 2 * b.steps;
          coming next = coming_of(b.w + b.groups * b.stride, b.stride, b.steps * TILE_BYTES, steps);
          multiply_block(p, &b, next, &j, &before, false);
        }
      }
    }
  }
  finish_sums(p, &j, &before);
}

/* Pairs of tiles of tokens pass by a block of rows, unpacked once for all of them. */
static void multiply_quanta(const product *p, uint8_t *scratch) {
  unpack_tile *unpack = unpack_of(p->type);
  uint8_t *panel = scratch + 2 * SUMS * TILE_BYTES;
  block b = {.tiles = p->tiles, .w = panel, .stride = BLOCK_STEPS * TILE_BYTES};
  job j = first_job(p, scratch);
  place before = {0};
  for (b.group = p->begin; b.group < p->end; b.group += b.groups) {
    b.groups = least(BLOCK_GROUPS, p->end - b.group);
    for (b.at = 0; b.at < p->steps; b.at += b.steps) {
      b.steps = least(p->block_steps, p->steps - b.at);
      for (size_t g = 0; g < b.groups; g++)
        for (size_t s = 0; s < b.steps; s++) {
          packed_step from = {p->weights + (b.group + g) * p->group_bytes, b.at + s, p->group_bytes,
                              0};
          unpack(panel + g * b.stride + s * TILE_BYTES, &from);
        }
      multiply_block(p, &b, (coming){.lines = 0}, &j, &before, true);
    }
  }
  finish_sums(p, &j, &before);
}

/* How the work is cut: no more of the operand that stays than half of a second-level cache. */
static void cut(product *p) {
  size_t parts = (p->steps + BLOCK_STEPS - 1) / BLOCK_STEPS;
  p->block_steps = (p->steps + parts - 1) / parts;
  p->block_tiles = BLOCK_X_BYTES / (p->block_steps * TILE_BYTES) & ~(size_t)1;
}

void zh_multiply_bf16_amx(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                          size_t tokens, size_t begin, size_t end, void *scratch) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .steps = (w->columns + STEP - 1) / STEP,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .type = w->type,
               .weights = w->data,
               .x = prepared,
               .x_tile = 64 * (tokens < TOKENS ? tokens : TOKENS),
               .tiles = (tokens + TOKENS - 1) / TOKENS,
               .begin = begin / GROUP,
               .end = (end + GROUP - 1) / GROUP};
  cut(&p);
  tiles_begin(tokens);
  if (tokens <= 2 * TOKENS)
    few_tokens_of_any(&p, scratch);
  else if (w->type == ZH_BF16)
    multiply_bf16(&p, scratch);
  else
    multiply_quanta(&p, scratch);
  _tile_release();
}
