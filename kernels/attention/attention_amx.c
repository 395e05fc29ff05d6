/* Attention of many tokens by AMX tiles: scores and sums of weighted values are products in bf16 of
 * 32 rows at a time, a row being a query head of a token. What lies in a cache of bf16 is the right
 * operand of both as it is; bytes become bf16, exactly, once for all rows of a run. Rows meet
 * nobody but their own numbers: neither their neighbours nor tiles of keys that they do not attend
 * to change a bit.
 *
 * Between the products each score costs an exponential, which for heads of 64 takes longer than
 * both: weights are rounded to bf16 anyway, so 2^x is a polynomial of degree 3. */
#include <math.h>
#include <string.h>

#include "kernels/attention/parts.h"
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/tiles_amx.h"
#include "kernels/variants.h"

enum {
  BLOCK = ZH_ATTENTION_BLOCK,
  STEP = ATTENTION_STEP_ROWS,
  SCORE_STRIDE = ATTENTION_SCORE_STRIDE,
  WEIGHT_STRIDE = ATTENTION_WEIGHT_STRIDE,
  DIMS = 32, /* of a tile of q */
  KEYS = 32  /* of a tile of weights */
};

typedef struct tiles_scratch {
  float *state, *part, *score, *key_scale, *value_scale;
  uint16_t *q, *weight, *keys, *values, *last;
} tiles_scratch;

/* As zh_attention_scratch_bytes adds them up. */
static tiles_scratch cut(void *scratch, size_t d) {
  tiles_scratch s = {.state = scratch};
  s.part = s.state + ZH_ATTENTION_ROWS * part_floats(d);
  s.score = s.part + STEP * part_floats(d);
  s.key_scale = s.score + STEP * SCORE_STRIDE;
  s.value_scale = s.key_scale + BLOCK;
  s.q = (uint16_t *)(void *)(s.value_scale + BLOCK);
  s.weight = s.q + ZH_ATTENTION_ROWS * d;
  s.keys = s.weight + STEP * WEIGHT_STRIDE;
  s.values = s.keys + BLOCK * d;
  s.last = s.values + BLOCK * d;
  return s;
}

/* A block of a head, as tiles read it. */
typedef struct block_at {
  const uint16_t *keys, *values; /* [16 keys][dim / 2][16][2]; [key / 2][dim][2] */
  const uint16_t *last;          /* the last KEYS values, zeros behind them; NULL: as they are */
  const float *key_scale, *value_scale; /* NULL: none */
  size_t number, count;                 /* keys that are there */
} block_at;

/* --- operands --- */

/* Two vectors of whole numbers or of bf16 values become pairs. */
ALWAYS_INLINE __m512i pairs(__m512 low, __m512 high) {
  __m512i upper = _mm512_and_si512(_mm512_castps_si512(high), _mm512_set1_epi32(-65536));
  return _mm512_or_si512(upper, _mm512_srli_epi32(_mm512_castps_si512(low), 16));
}

ALWAYS_INLINE __m512 bytes16(const unsigned char *p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

static void unpack_scales(float *out, const unsigned char *group, size_t groups, size_t bytes,
                          size_t count) {
  for (size_t g = 0; g < groups; g++) {
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(group + g * bytes));
    __m512i scale = _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
    size_t left = count > g * KV_GROUP ? count - g * KV_GROUP : 0;
    _mm512_storeu_ps(out + g * KV_GROUP,
                     _mm512_maskz_mov_ps(lanes16(left), _mm512_castsi512_ps(scale)));
  }
}

static void unpack_bytes(const tiles_scratch *s, const unsigned char *k, const unsigned char *v,
                         size_t d, size_t count) {
  size_t groups = (count + KEYS - 1) / KEYS * (KEYS / KV_GROUP),
         bytes = kv_group_bytes(ZH_KV_Q8, d);
  unpack_scales(s->key_scale, k, groups, bytes, count);
  unpack_scales(s->value_scale, v, groups, bytes, count);
  uint16_t *keys = s->keys, *values = s->values;
  for (size_t g = 0; g < groups; g++) {
    const unsigned char *key = k + g * bytes + KV_SCALES, *value = v + g * bytes + KV_SCALES;
    for (size_t i = 0; i < d; i += 2, keys += 32)
      _mm512_storeu_si512(keys, pairs(bytes16(key + i * 16), bytes16(key + i * 16 + 16)));
    for (size_t j = 0; j < KV_GROUP; j += 2)
      for (size_t i = 0; i < d; i += 16, values += 32)
        _mm512_storeu_si512(values,
                            pairs(bytes16(value + j * d + i), bytes16(value + (j + 1) * d + i)));
  }
}

/* Behind the last value may lie anything, and weights of 0 do not silence NaN. */
static const uint16_t *last_values(uint16_t *out, const uint16_t *values, size_t d, size_t count) {
  size_t whole = count / KEYS * KEYS, left = count - whole;
  if (left == 0) return NULL;
  memset(out, 0, KEYS * d * sizeof *out);
  for (size_t j = 0; j < left; j++)
    for (size_t i = 0; i < d; i++)
      out[j / 2 * d * 2 + i * 2 + j % 2] = values[(whole + j) / 2 * d * 2 + i * 2 + j % 2];
  return out;
}

static block_at open_block(const run_of *r, size_t block, const tiles_scratch *s) {
  const zh_kv *kv = r->a->kv;
  size_t d = kv->head_dim, at = kv_head_at(kv, r->a->sequence[r->begin], r->kv_head) +
                                block * (BLOCK / KV_GROUP) * kv_group_bytes(kv->type, d);
  block_at b = {.number = block};
  for (size_t t = r->begin; t < r->end; t++) {
    size_t begin, end;
    keys_of(&begin, &end, r, (t - r->begin) * r->group, block);
    b.count = end > b.count ? end : b.count;
  }
  if (kv->type == ZH_KV_Q8) {
    unpack_bytes(s, kv->keys + at, kv->values + at, d, b.count);
    b.keys = s->keys, b.values = s->values;
    b.key_scale = s->key_scale, b.value_scale = s->value_scale;
    return b;
  }
  b.keys = (const uint16_t *)(const void *)(kv->keys + at);
  b.values = (const uint16_t *)(const void *)(kv->values + at);
  b.last = last_values(s->last, b.values, d, b.count);
  return b;
}

/* q of all rows, [row][dim]; rows are filled up to whole steps with zeros. */
static void round_queries(uint16_t *out, const run_of *r) {
  size_t d = r->a->kv->head_dim, rows = rows_of(r), steps = (rows + STEP - 1) / STEP;
  for (size_t i = 0; i < steps * STEP; i++)
    for (size_t c = 0; c < d; c += 32) {
      __m512i row = _mm512_setzero_si512();
      const float *q = i < rows ? r->a->q + row_at(r, i) * d + c : NULL;
      if (q) row = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(q + 16), _mm512_loadu_ps(q));
      _mm512_storeu_si512(out + i * d + c, row);
    }
}

/* --- products: sums in tiles 0 … 3, the left operand in 4 and 5, the right one in 6 and 7 --- */

static void score_tiles(float *score, const uint16_t *q, const uint16_t *keys, size_t d,
                        size_t from, size_t to) {
  for (size_t j = from; j < to; j += KEYS) {
    const uint16_t *first = keys + j * d, *second = first + KV_GROUP * d;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t c = 0; c < d; c += DIMS) {
      _tile_loadd(4, q + c, d * 2);
      _tile_loadd(6, first + c * KV_GROUP, TILE_ROW_BYTES);
      _tile_loadd(7, second + c * KV_GROUP, TILE_ROW_BYTES);
      _tile_loadd(5, q + 16 * d + c, d * 2);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, score + j, SCORE_STRIDE * 4);
    _tile_stored(1, score + j + 16, SCORE_STRIDE * 4);
    _tile_stored(2, score + 16 * SCORE_STRIDE + j, SCORE_STRIDE * 4);
    _tile_stored(3, score + 16 * SCORE_STRIDE + j + 16, SCORE_STRIDE * 4);
  }
}

static void mix_tiles(float *part, const uint16_t *weight, const block_at *b, size_t d, size_t from,
                      size_t to) {
  size_t stride = part_floats(d);
  for (size_t c = 0; c < d; c += 32) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t j = from; j < to; j += KEYS) {
      bool is_last = b->last && j + KEYS > b->count;
      const uint16_t *values = (is_last ? b->last : b->values + j * d) + c * 2;
      _tile_loadd(4, weight + j, WEIGHT_STRIDE * 2);
      _tile_loadd(6, values, d * 4);
      _tile_loadd(7, values + 32, d * 4);
      _tile_loadd(5, weight + 16 * WEIGHT_STRIDE + j, WEIGHT_STRIDE * 2);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, part + c, stride * 4);
    _tile_stored(1, part + c + 16, stride * 4);
    _tile_stored(2, part + 16 * stride + c, stride * 4);
    _tile_stored(3, part + 16 * stride + c + 16, stride * 4);
  }
}

/* --- weights --- */

/* 2^x, x <= 0: relative error below 2^-13 (the polynomial stops 8.6e-5 short at most, and is
 * exactly 1 at 0). */
ALWAYS_INLINE __m512 power_of_two(__m512 x) {
  __m512 fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
  __m512 p = _mm512_set1_ps(0.07706707f);
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.22764496f));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.69511679f));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, x);
}

ALWAYS_INLINE __mmask16 inside(size_t j, size_t begin, size_t end) {
  __mmask16 below = j < end ? lanes16(end - j) : 0, before = j < begin ? lanes16(begin - j) : 0;
  return (__mmask16)(below & ~before);
}

/* Scores, scaled where keys have scales, -infinity where a row does not attend; the largest. */
ALWAYS_INLINE __m512 largest_score(float *score, const block_at *b, size_t from, size_t to,
                                   size_t begin, size_t end) {
  __m512 top = _mm512_set1_ps(-INFINITY);
  if (begin <= from && end >= to && !b->key_scale) { /* nearly always; two chains */
    __m512 other = top;
    for (size_t j = from; j < to; j += KEYS) {
      top = _mm512_max_ps(_mm512_loadu_ps(score + j), top);
      other = _mm512_max_ps(_mm512_loadu_ps(score + j + 16), other);
    }
    return _mm512_max_ps(top, other);
  }
  for (size_t j = from; j < to; j += 16) {
    __m512 s = _mm512_loadu_ps(score + j);
    bool whole = j >= begin && j + 16 <= end;
    if (b->key_scale) s = _mm512_mul_ps(s, _mm512_loadu_ps(b->key_scale + j));
    if (!whole) s = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), inside(j, begin, end), s);
    if (b->key_scale || !whole) _mm512_storeu_ps(score + j, s);
    top = _mm512_max_ps(s, top);
  }
  return top;
}

static void weigh(uint16_t *weight, float *score, const block_at *b, size_t from, size_t to,
                  size_t begin, size_t end, float scale, float *largest, float *total) {
  float top = _mm512_reduce_max_ps(largest_score(score, b, from, to, begin, end));
  if (top == -INFINITY) top = NO_SCORE;
  float in_powers = scale * 0x1.715476p0f;
  __m512 factor = _mm512_set1_ps(in_powers), most = _mm512_set1_ps(top * in_powers),
         sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t j = from; j < to; j += KEYS) {
    __m512 p[2];
    for (size_t n = 0; n < 2; n++) {
      p[n] = power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(score + j + 16 * n), factor, most));
      sum[n] = _mm512_add_ps(sum[n], p[n]);
      if (b->value_scale) p[n] = _mm512_mul_ps(p[n], _mm512_loadu_ps(b->value_scale + j + 16 * n));
    }
    _mm512_storeu_si512(weight + j, (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]));
  }
  *largest = top * scale;
  *total = sum1(_mm512_add_ps(sum[0], sum[1]));
}

/* --- a block of a run --- */

typedef struct step_rows {
  size_t count, from, to; /* rows; keys that any of them attends to, in whole tiles */
  size_t begin[STEP], end[STEP];
} step_rows;

static step_rows step_at(const run_of *r, size_t row, size_t block) {
  step_rows s = {.from = BLOCK};
  s.count = rows_of(r) - row < STEP ? rows_of(r) - row : STEP;
  for (size_t i = 0, head = row % r->group; i < s.count; i++, head++) {
    if (i > 0 && head % r->group != 0) { /* of the same token */
      s.begin[i] = s.begin[i - 1], s.end[i] = s.end[i - 1];
      continue;
    }
    keys_of(&s.begin[i], &s.end[i], r, row + i, block);
    if (s.end[i] == 0) continue;
    s.from = s.begin[i] < s.from ? s.begin[i] : s.from;
    s.to = s.end[i] > s.to ? s.end[i] : s.to;
  }
  s.from = s.to ? s.from / KEYS * KEYS : 0;
  s.to = (s.to + KEYS - 1) / KEYS * KEYS;
  return s;
}

/* The block after this one comes from far: each step asks for its share of it. */
ALWAYS_INLINE void fetch(const unsigned char *next, size_t begin, size_t end) {
  for (size_t at = begin; at < end; at += 64) _mm_prefetch((const char *)next + at, _MM_HINT_T1);
}

static void block_of_run(const run_of *r, size_t block, const tiles_scratch *s) {
  const zh_attention *a = r->a;
  size_t d = a->kv->head_dim, floats = part_floats(d), padded = padded_dims(d), rows = rows_of(r);
  size_t group_bytes = kv_group_bytes(a->kv->type, d), bytes = BLOCK / KV_GROUP * group_bytes;
  size_t next = kv_head_at(a->kv, a->sequence[r->begin], r->kv_head) + (block + 1) * bytes;
  size_t steps = (rows + STEP - 1) / STEP;
  if (block == r->last_block) bytes = 0;
  block_at b = open_block(r, block, s);
  for (size_t row = 0; row < rows; row += STEP) {
    step_rows at = step_at(r, row, block);
    size_t share = (bytes / steps + 63) & ~(size_t)63, begin = row / STEP * share,
           end = begin + share < bytes ? begin + share : bytes;
    fetch(a->kv->keys + next, begin, end);
    fetch(a->kv->values + next, begin, end);
    score_tiles(s->score, s->q + row * d, b.keys, d, at.from, at.to);
    for (size_t i = 0; i < at.count; i++) {
      float *part = s->part + i * floats;
      weigh(s->weight + i * WEIGHT_STRIDE, s->score + i * SCORE_STRIDE, &b, at.from, at.to,
            at.begin[i], at.end[i], a->scale, &part[padded], &part[padded + 1]);
    }
    mix_tiles(s->part, s->weight, &b, d, at.from, at.to);
    for (size_t i = 0; i < at.count; i++) {
      float *part = s->part + i * floats;
      if (a->parts)
        memcpy(part_at(a, row_at(r, row + i), block), part, floats * sizeof *part);
      else
        zh_attention_add_part_avx512(s->state + (row + i) * floats, part, padded);
    }
  }
}

static void attend_run(const run_of *r, const tiles_scratch *s) {
  size_t d = r->a->kv->head_dim, floats = part_floats(d), rows = rows_of(r);
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
      if (!a->parts || inside_run) round_queries(s.q, &r);
      if (!a->parts)
        attend_run(&r, &s);
      else if (inside_run)
        block_of_run(&r, block, &s);
      t = r.end;
    }
  }
  _tile_release();
}
