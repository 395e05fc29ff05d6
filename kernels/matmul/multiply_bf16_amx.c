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

#include "kernels/matmul/few_tokens_amx.h"
#include "kernels/variants.h"

enum {
  BLOCK_STEPS = 64,
  BLOCK_X_BYTES = 1024 * 1024, /* half of a second-level cache */
  BLOCK_GROUPS = 16,
  RESIDENT = 18, /* steps of a panel: 36 KiB of 48 */
};

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
