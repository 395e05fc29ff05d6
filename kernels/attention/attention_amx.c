/* Attention of many tokens by AMX tiles: scores and sums of weighted values are products in bf16 of
 * 32 rows at a time, a row being a query head of a token. What lies in a cache of bf16 is the right
 * operand of both as it is; bytes become bf16, exactly, once for all rows of a run. Rows meet
 * nobody but their own numbers: neither their neighbours nor tiles of keys that they do not attend
 * to change a bit.
 *
 * Between the products each score costs a power of two, which is rounded to bf16 anyway. Where no
 * score of a block can be large (|q| |k| says so) nothing is subtracted from any, and powers are
 * made in words of sixteen bits: the score in steps of 2^-7 is a bf16 number already but for its
 * fraction, which a table puts right. Else, and with bytes, they are polynomials in fp32. */
#include "kernels/attention/weights_amx.h"
#include "kernels/variants.h"

/* Of a small row: no weight is larger than 2^LARGEST_POWER, or smaller than its inverse. */
static const float LARGEST_POWER = 60;

/* --- products: sums in tiles 0 … 3, the left operand in 4 and 5, the right one in 6 and 7 ---
 * A sum stored right after its last product would wait for it. So sums stay in their tiles until
 * the next products need the place: 32 rows by 32 columns on their way. Keys and values come past
 * the first-level cache, which is for what lies between the products. */

typedef struct sums_at {
  float *first; /* NULL: none */
  size_t stride;
} sums_at;

ALWAYS_INLINE float *quarter(sums_at at, int n) {
  return at.first + (size_t)(n / 2) * 16 * at.stride + (size_t)(n % 2) * 16;
}

/* Tile n stores what it has and begins with what lies at `begin`, or with zeros. */
#define NEXT_SUM(n, kept, begin)                                                                   \
  do {                                                                                             \
    if ((kept).first) _tile_stored(n, quarter(kept, n), (kept).stride * 4);                        \
    if ((begin).first)                                                                             \
      _tile_loadd(n, quarter(begin, n), (begin).stride * 4);                                       \
    else                                                                                           \
      _tile_zero(n);                                                                               \
  } while (0)

static void store_sums(sums_at *kept) {
  const sums_at zeros = {NULL, 0};
  NEXT_SUM(0, *kept, zeros);
  NEXT_SUM(1, *kept, zeros);
  NEXT_SUM(2, *kept, zeros);
  NEXT_SUM(3, *kept, zeros);
  kept->first = NULL;
}

/* --- a block of a run --- */

/* 32 rows on their way through a block. */
typedef struct step_rows {
  size_t row, count, from, to; /* rows; keys that any of them attends to, in whole tiles */
  size_t chunk;                /* keys at a time */
  size_t begin[STEP], end[STEP];
  size_t least_end, last_begin;
  bool small[STEP], all_small;
  __m512 sum[STEP]; /* of weights: of small rows by lanes, else in the first lane */
  float largest[STEP];
} step_rows;

/* Which rows are small: what decides it is the same whoever else is computed. The keys of others
 * have to be taken together, for the largest score comes first. */
static void find_small_rows(step_rows *s, const block_at *b, const float *q_size) {
  s->chunk = CHUNK;
  s->least_end = BLOCK, s->last_begin = 0;
  for (size_t i = 0; i < s->count; i++) {
    s->small[i] =
        s->end[i] == 0 || (b->key_size && q_size[i] * b->key_size[s->end[i] - 1] <= LARGEST_POWER);
    s->largest[i] = s->end[i] ? 0 : NO_SCORE;
    s->sum[i] = _mm512_setzero_ps();
    if (!s->small[i]) s->chunk = BLOCK;
    s->least_end = s->end[i] < s->least_end ? s->end[i] : s->least_end;
    s->last_begin = s->begin[i] > s->last_begin ? s->begin[i] : s->last_begin;
  }
  s->all_small = s->chunk == CHUNK;
}

static void find_rows(step_rows *s, const run_of *r, size_t row, const block_at *b,
                      const float *q_size) {
  s->row = row, s->from = BLOCK, s->to = 0;
  s->count = rows_of(r) - row < STEP ? rows_of(r) - row : STEP;
  for (size_t i = 0, left = 0; i < s->count; i++, left--) {
    if (left > 0) { /* of the same token */
      s->begin[i] = s->begin[i - 1], s->end[i] = s->end[i - 1];
      continue;
    }
    stay_awake();
    left = r->group - (row + i) % r->group;
    keys_of(&s->begin[i], &s->end[i], r, row + i, b->number);
    if (s->end[i] == 0) continue;
    s->from = s->begin[i] < s->from ? s->begin[i] : s->from;
    s->to = s->end[i] > s->to ? s->end[i] : s->to;
  }
  s->from = s->to ? s->from / KEYS * KEYS : 0;
  s->to = (s->to + KEYS - 1) / KEYS * KEYS;
  find_small_rows(s, b, q_size + row);
}

/* Some keys of a step: scored first, then weighed, then mixed. While those of one unit are weighed,
 * tiles score the next and mix the one before, so that nothing waits for what was just stored. */
typedef struct unit {
  step_rows *s; /* NULL: none */
  size_t from, to;
  bool whole;
  float *score;     /* [STEP][to - from] */
  uint16_t *weight; /* the same */
} unit;

typedef struct passage {
  const run_of *r;
  const tiles_scratch *scratch;
  const block_at *b;
  step_rows step[4]; /* scored, weighed and mixed ones can be three, and one is to come */
  size_t steps, units;
  unit next, now, before;
  sums_at kept;
  __m512 factor;
  size_t weighed;  /* rows of `now` */
  uint16_t *strip; /* of values, being turned while another one is mixed; NULL: none */
  size_t strip_dim;
  block_ahead ahead;
  size_t ahead_of_unit,
      ahead_of_step; /* bytes for each of `units`, and for each step of products */
} passage;

/* Whether every row of a unit is small and attends to all of a chunk. */
static bool is_whole(const unit *u) {
  const step_rows *s = u->s;
  return s->all_small && u->to - u->from == CHUNK && s->least_end >= u->to &&
         s->last_begin <= u->from;
}

/* The unit that follows p->next; rows that see nothing of the block are passed over. */
static void advance(passage *p) {
  step_rows *s = p->next.s;
  size_t row = s ? s->row + STEP : 0;
  p->before = p->now, p->now = p->next, p->weighed = 0;
  if (p->steps > 0 && !s) return;
  if (!s || p->next.to == s->to) {
    for (s = NULL; !s && row < rows_of(p->r); row += STEP) {
      step_rows *candidate = &p->step[p->steps++ % 4];
      find_rows(candidate, p->r, row, p->b, p->scratch->q_size);
      if (candidate->to > 0) s = candidate;
    }
    p->next = (unit){.s = s};
    if (!s) return;
    p->next.from = s->from;
  } else {
    p->next.from = p->next.to;
  }
  size_t to = p->next.from + s->chunk, odd = p->units++ % 2;
  p->next.to = to < s->to ? to : s->to;
  p->next.score = p->scratch->score + odd * STEP * BLOCK;
  p->next.weight = p->scratch->weight + odd * STEP * BLOCK;
  p->next.whole = is_whole(&p->next);
}

/* Rows [i, until) of a unit. */
static void weigh_others(const passage *p, const unit *u, size_t i, size_t until) {
  step_rows *s = u->s;
  size_t keys = u->to - u->from;
  words w = words_of(p->factor);
  for (; i < until; i++) {
    float *score = u->score + i * keys, total;
    uint16_t *weight = u->weight + i * keys;
    if (s->small[i]) {
      size_t begin = s->begin[i] > u->from ? s->begin[i] - u->from : 0,
             end = s->end[i] > u->from ? s->end[i] - u->from : 0;
      s->sum[i] = weigh_row(weight, score, keys, begin, end, &w, s->sum[i]);
    } else {
      stay_awake();
      weigh(weight, score, p->b, u->from, u->to, s->begin[i], s->end[i], p->r->a->scale,
            &s->largest[i], &total);
      s->sum[i] = _mm512_castps128_ps512(_mm_set_ss(total));
    }
  }
}

/* Up to `count` more rows of the present unit. */
ALWAYS_INLINE void weigh_rows(passage *p, size_t count) {
  const unit *u = &p->now;
  if (!u->s) return;
  size_t i = p->weighed, until = i + count < u->s->count ? i + count : u->s->count;
  if (u->whole)
    weigh_whole_rows(u->weight + i * CHUNK, u->score + i * CHUNK, &u->s->sum[i], until - i,
                     p->factor);
  else
    weigh_others(p, u, i, until);
  p->weighed = until;
}

/* Scores of 32 keys. lower: there are more than sixteen rows. */
ALWAYS_INLINE void score_tiles(passage *p, size_t rows, sums_at *kept, sums_at score,
                               const uint16_t *q, const uint16_t *keys, size_t d, bool lower) {
  const sums_at zeros = {NULL, 0};
  const uint16_t *second = keys + KV_GROUP * d;
  for (size_t c = 0; c < d; c += DIMS) {
    _tile_loadd(4, q + c, d * 2);
    _tile_stream_loadd(6, keys + c * KV_GROUP, TILE_ROW_BYTES);
    if (c == 0) NEXT_SUM(0, *kept, zeros);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stream_loadd(7, second + c * KV_GROUP, TILE_ROW_BYTES);
    if (c == 0) NEXT_SUM(1, *kept, zeros);
    _tile_dpbf16ps(1, 4, 7);
    if (lower) _tile_loadd(5, q + 16 * d + c, d * 2);
    if (c == 0) NEXT_SUM(2, *kept, zeros);
    if (lower) _tile_dpbf16ps(2, 5, 6);
    if (c == 0) NEXT_SUM(3, *kept, zeros);
    if (lower) _tile_dpbf16ps(3, 5, 7);
    weigh_rows(p, rows);
    if (p->ahead_of_step) fetch(&p->ahead, p->ahead_of_step);
  }
  *kept = score;
}

/* Dimensions [c, c + 32) of the values of keys [from, to), weighted; part: what they are added to,
 * where they do not begin it. */
ALWAYS_INLINE void mix_tiles(passage *p, size_t rows, sums_at *kept, sums_at part,
                             const uint16_t *weight, const block_at *b, size_t d, size_t c,
                             size_t from, size_t to, bool begins, bool lower) {
  size_t stride = to - from;
  sums_at begin = {begins ? NULL : part.first, part.stride};
  __asm__ volatile("" ::: "memory"); /* compilers do not see that tile loads read the weights */
  for (size_t j = from; j < to; j += KEYS) {
    bool is_last = b->last && j + KEYS > b->count;
    const uint16_t *values = (is_last ? b->last : b->values + j * d) + c * 2,
                   *upper = weight + (j - from);
    _tile_loadd(4, upper, stride * 2);
    _tile_stream_loadd(6, values, d * 4);
    if (j == from) NEXT_SUM(0, *kept, begin);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stream_loadd(7, values + 32, d * 4);
    if (j == from) NEXT_SUM(1, *kept, begin);
    _tile_dpbf16ps(1, 4, 7);
    if (lower) _tile_loadd(5, upper + 16 * stride, stride * 2);
    if (j == from) NEXT_SUM(2, *kept, begin);
    if (lower) _tile_dpbf16ps(2, 5, 6);
    if (j == from) NEXT_SUM(3, *kept, begin);
    if (lower) _tile_dpbf16ps(3, 5, 7);
    weigh_rows(p, rows);
    if (p->ahead_of_step) fetch(&p->ahead, p->ahead_of_step);
    if (p->strip)
      turn_strip(p->strip + j * 32, p->b->keys, p->r->a->kv->head_dim, p->strip_dim, j,
                 p->b->count);
  }
  *kept = part;
}

/* The same of values that are turned strip by strip: while one is mixed, the next is turned. */
ALWAYS_INLINE void mix_strip(passage *p, size_t rows, sums_at part, size_t dim, size_t dims) {
  const unit *u = &p->before;
  uint16_t *strip[2] = {p->scratch->values, p->scratch->values + BLOCK * 32};
  size_t d = p->r->a->kv->head_dim;
  block_at b = {.values = strip[dim / 32 % 2]};
  for (size_t j = u->from; dim == 0 && j < u->to; j += KEYS)
    turn_strip(strip[0] + j * 32, p->b->keys, d, 0, j, p->b->count);
  p->strip = dim + 32 < dims ? strip[(dim / 32 + 1) % 2] : NULL;
  p->strip_dim = dim + 32;
  mix_tiles(p, rows, &p->kept, part, u->weight, &b, 32, 0, u->from, u->to, true, u->s->count > 16);
  p->strip = NULL;
}

/* A step is done: its rows' parts are added to their states, or kept. */
static void finish_step(passage *p, const step_rows *s) {
  const zh_attention *a = p->r->a;
  size_t d = zh_kv_value_dim(a->kv), floats = part_floats(d), padded = padded_dims(d);
  store_sums(&p->kept);
  for (size_t i = 0; i < s->count; i++) {
    float *part = p->scratch->part + i * floats;
    stay_awake();
    part[padded] = s->largest[i];
    part[padded + 1] = sum1(s->sum[i]);
    if (a->parts)
      memcpy(part_at(a, row_at(p->r, s->row + i), p->b->number), part, floats * sizeof *part);
    else if (s->end[i])
      zh_attention_add_part_avx512(p->scratch->state + (s->row + i) * floats, part, padded);
  }
}

/* Products of the next unit and of the one before, a quarter of a step's at a time, and between
 * them rows of this one. */
static void pass_units(passage *p) {
  const unit *next = &p->next, *before = &p->before;
  size_t d = p->r->a->kv->head_dim, dims = zh_kv_value_dim(p->r->a->kv), floats = part_floats(dims);
  size_t scores = next->s ? (next->to - next->from) / KEYS : 0, mixes = before->s ? dims / 32 : 0,
         turns = scores > mixes ? scores : mixes, rows = turns ? STEP / turns / 4 : STEP;
  if (rows == 0) rows = 1;
  if (!next->s) store_sums(&p->kept); /* scores that are about to be weighed */
  for (size_t n = 0; n < turns; n++) {
    if (n < scores) {
      sums_at score = {next->score + n * KEYS, next->to - next->from};
      score_tiles(p, rows, &p->kept, score, p->scratch->q + next->s->row * d,
                  p->b->keys + (next->from + n * KEYS) * d, d, next->s->count > 16);
    }
    if (n < mixes) {
      sums_at part = {p->scratch->part + n * 32, floats};
      if (p->b->values)
        mix_tiles(p, rows, &p->kept, part, before->weight, p->b, dims, n * 32, before->from,
                  before->to, before->from == before->s->from, before->s->count > 16);
      else
        mix_strip(p, rows, part, n * 32, dims);
    }
  }
  weigh_rows(p, STEP);
  if (before->s && before->to == before->s->to) finish_step(p, before->s);
}

/* Units are few where values are shared, and steps of products long: then these ask for what
 * turning has left. */
static void share_out(passage *p, size_t bytes) {
  const zh_kv *kv = p->r->a->kv;
  size_t rows = rows_of(p->r), tiles = BLOCK / KEYS * (kv->head_dim / DIMS + kv->shared / 32),
         left = bytes > p->ahead.at ? bytes - p->ahead.at : 0;
  p->ahead_of_unit = (bytes / (rows / STEP * (BLOCK / CHUNK) + 1) + 63) & ~(size_t)63;
  if (!kv->shared) return;
  p->ahead_of_unit = 0;
  p->ahead_of_step = (left / ((rows + STEP - 1) / STEP * tiles) + 63) & ~(size_t)63;
}

static void block_of_run(const run_of *r, size_t block, const tiles_scratch *s) {
  const zh_kv *kv = r->a->kv;
  size_t bytes = BLOCK / KV_GROUP * kv_group_bytes(kv->type, kv->head_dim),
         next = kv_head_at(kv, r->a->sequence[r->begin], r->kv_head) + (block + 1) * bytes;
  passage p = {.r = r, .scratch = s};
  p.ahead = (block_ahead){kv->keys + next, kv->shared ? NULL : kv->values + next,
                          block < r->last_block ? bytes : 0, 0};
  block_at b = open_block(r, block, s, &p.ahead);
  p.b = &b;
  share_out(&p, bytes);
  p.factor = _mm512_set1_ps(r->a->scale * 0x1.715476p7f);
  do {
    fetch(&p.ahead, p.ahead_of_unit);
    advance(&p);
    pass_units(&p);
  } while (p.next.s || p.now.s || p.before.s);
}

static void attend_run(const run_of *r, const tiles_scratch *s) {
  size_t d = zh_kv_value_dim(r->a->kv), floats = part_floats(d), rows = rows_of(r);
  for (size_t i = 0; i < rows; i++)
    zh_attention_begin_state_avx512(s->state + i * floats, padded_dims(d));
  for (size_t block = r->first_block; block <= r->last_block; block++) block_of_run(r, block, s);
  for (size_t i = 0; r->a->sinks && i < rows; i++)
    zh_attention_add_sink_avx512(s->state + i * floats, sink_of(r, i), padded_dims(d));
  for (size_t i = 0; i < rows; i++)
    zh_attention_finish_avx512(r->a->out + row_at(r, i) * d, s->state + i * floats, d);
}

static void tiles_begin(void) {
  tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    config.row_bytes[t] = TILE_ROW_BYTES;
    config.rows[t] = 16;
  }
  tiles_configure(&config);
}

void zh_attention_amx(const zh_attention *a, size_t begin, size_t end, void *scratch) {
  size_t blocks = a->parts ? a->blocks : 1, of_token = a->kv->kv_heads * blocks;
  tiles_scratch s = cut(scratch, a->kv->head_dim);
  tiles_begin();
  for (size_t item = begin; item < end; item++) {
    size_t t = item / of_token * a->run, until = t + a->run < a->tokens ? t + a->run : a->tokens;
    size_t head = item % of_token / blocks, block = item % blocks;
    while (t < until) {
      run_of r = run_from(a, head, t, until);
      bool inside_run = block >= r.first_block && block <= r.last_block;
      if (!a->parts || inside_run) round_queries(&s, &r);
      if (!a->parts)
        attend_run(&r, &s);
      else if (inside_run)
        block_of_run(&r, block, &s);
      t = r.end;
    }
  }
  _tile_release();
}
