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
#include <math.h>
#include <string.h>

#include "kernels/attention/parts.h"
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/tiles_amx.h"
#include "kernels/variants.h"

enum {
  BLOCK = ZH_ATTENTION_BLOCK,
  STEP = ATTENTION_STEP_ROWS,
  DIMS = 32, /* of a tile of q */
  KEYS = 32, /* of a tile of weights */
  CHUNK = 64 /* keys whose scores stay in the first-level cache */
};

/* Of a small row: no weight is larger than 2^LARGEST_POWER, or smaller than its inverse. */
static const float LARGEST_POWER = 60;

typedef struct tiles_scratch {
  float *state, *part, *score, *key_scale, *value_scale;
  float *key_size, *q_size; /* of the largest key up to each; of each row's q, in powers of two */
  uint16_t *q, *weight, *keys, *values, *last;
} tiles_scratch;

/* As zh_attention_scratch_bytes adds them up. */
static tiles_scratch cut(void *scratch, size_t d) {
  tiles_scratch s = {.state = scratch};
  s.part = s.state + ZH_ATTENTION_ROWS * part_floats(d);
  s.score = s.part + STEP * part_floats(d);
  s.key_scale = s.score + 2 * STEP * BLOCK;
  s.value_scale = s.key_scale + BLOCK;
  s.key_size = s.value_scale + BLOCK;
  s.q_size = s.key_size + BLOCK;
  s.q = (uint16_t *)(void *)(s.q_size + ZH_ATTENTION_ROWS);
  s.weight = s.q + ZH_ATTENTION_ROWS * d;
  s.keys = s.weight + 2 * STEP * BLOCK;
  s.values = s.keys + BLOCK * d;
  s.last = s.values + BLOCK * d;
  return s;
}

/* Left alone for some 700 cycles, the unit that multiplies tiles falls asleep, and waking it takes
 * another 900 (docs/performance.md): long work without products keeps it awake by one that nobody
 * reads, in tiles that operands are loaded into. */
ALWAYS_INLINE void stay_awake(void) {
  _tile_dpbf16ps(7, 5, 6);
}

/* A block of a head, as tiles read it. */
typedef struct block_at {
  const uint16_t *keys, *values; /* [16 keys][dim / 2][16][2]; [key / 2][dim][2] */
  const uint16_t *last;          /* the last KEYS values, zeros behind them; NULL: as they are */
  const float *key_scale, *value_scale; /* NULL: none */
  const float *key_size;                /* NULL: not known */
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

/* The largest |k| of the keys up to each, sixteen at a time. What is not a number is larger than
 * any: the bits of numbers that are not negative are in their order. */
static void largest_keys(float *out, const uint16_t *keys, size_t d, size_t count) {
  __m512i none = _mm512_setzero_si512(), largest = none, last = _mm512_set1_epi32(15);
  for (size_t j = 0; j < count; j += KV_GROUP) {
    __m512 sum = _mm512_setzero_ps();
    stay_awake();
    for (size_t i = 0; i < d; i += 2, keys += 32) {
      __m512bh k = (__m512bh)_mm512_loadu_si512(keys);
      sum = _mm512_dpbf16_ps(sum, k, k);
    }
    __m512i size = _mm512_maskz_mov_epi32(lanes16(count - j), _mm512_castps_si512(sum));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 15));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 14));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 12));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 8));
    size = _mm512_max_epu32(size, largest);
    largest = _mm512_permutexvar_epi32(last, size);
    _mm512_storeu_ps(out + j, _mm512_sqrt_ps(_mm512_castsi512_ps(size)));
  }
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
  largest_keys(s->key_size, b.keys, d, b.count);
  b.key_size = s->key_size;
  return b;
}

/* q of all rows, [row][dim]; rows are filled up to whole steps with zeros. */
static void round_queries(const tiles_scratch *s, const run_of *r) {
  size_t d = r->a->kv->head_dim, rows = rows_of(r), steps = (rows + STEP - 1) / STEP;
  for (size_t i = 0; i < steps * STEP; i++) {
    const float *q = i < rows ? r->a->q + row_at(r, i) * d : NULL;
    __m512 sum = _mm512_setzero_ps();
    for (size_t c = 0; c < d; c += 32) {
      __m512bh row = (__m512bh)_mm512_setzero_si512();
      if (q) row = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(q + c + 16), _mm512_loadu_ps(q + c));
      _mm512_storeu_si512(s->q + i * d + c, (__m512i)row);
      sum = _mm512_dpbf16_ps(sum, row, row);
    }
    s->q_size[i] = sqrtf(sum1(sum)) * r->a->scale * 0x1.715476p0f;
  }
}

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

/* Scores of 32 keys. */
ALWAYS_INLINE void score_tiles(sums_at *kept, sums_at score, const uint16_t *q,
                               const uint16_t *keys, size_t d) {
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
    _tile_loadd(5, q + 16 * d + c, d * 2);
    if (c == 0) NEXT_SUM(2, *kept, zeros);
    _tile_dpbf16ps(2, 5, 6);
    if (c == 0) NEXT_SUM(3, *kept, zeros);
    _tile_dpbf16ps(3, 5, 7);
  }
  *kept = score;
}

/* Dimensions [c, c + 32) of the values of keys [from, to), weighted; part: what they are added to,
 * where they do not begin it. */
ALWAYS_INLINE void mix_tiles(sums_at *kept, sums_at part, const uint16_t *weight, const block_at *b,
                             size_t d, size_t c, size_t from, size_t to, bool begins) {
  size_t stride = to - from;
  sums_at begin = {begins ? NULL : part.first, part.stride};
  __asm__ volatile("" ::: "memory"); /* compilers do not see that tile loads read the weights */
  for (size_t j = from; j < to; j += KEYS) {
    bool is_last = b->last && j + KEYS > b->count;
    const uint16_t *values = (is_last ? b->last : b->values + j * d) + c * 2,
                   *upper = weight + (j - from), *lower = upper + 16 * stride;
    _tile_loadd(4, upper, stride * 2);
    _tile_stream_loadd(6, values, d * 4);
    if (j == from) NEXT_SUM(0, *kept, begin);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stream_loadd(7, values + 32, d * 4);
    if (j == from) NEXT_SUM(1, *kept, begin);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, lower, stride * 2);
    if (j == from) NEXT_SUM(2, *kept, begin);
    _tile_dpbf16ps(2, 5, 6);
    if (j == from) NEXT_SUM(3, *kept, begin);
    _tile_dpbf16ps(3, 5, 7);
  }
  *kept = part;
}

/* --- weights of small rows, in words --- */

/* Steps f of 2^-7 of a fraction, less 128 (2^(f / 128) - 1) in whole numbers. */
static const _Alignas(64) uint8_t excess[128] = {
    0,  0,  1,  1,  1,  1,  2,  2,  2,  3,  3,  3,  3,  4,  4,  4,  4,  5,  5,  5,  5,  6,
    6,  6,  6,  6,  7,  7,  7,  7,  7,  8,  8,  8,  8,  8,  8,  9,  9,  9,  9,  9,  9,  9,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 9,  9,  9,  9,  9,  9,  9,  8,  8,  8,  8,  8,  7,  7,  7,  7,  7,  6,  6,
    6,  6,  5,  5,  5,  4,  4,  4,  3,  3,  3,  3,  2,  2,  1,  1,  1,  0};
static const _Alignas(64) uint16_t even[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                               22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                               44, 46, 48, 50, 52, 54, 56, 58, 60, 62};

typedef struct words {
  __m512 factor, zero;
  __m512i even, low, high;
} words;

ALWAYS_INLINE words words_of(__m512 factor) {
  words w = {.factor = factor};
  w.zero = _mm512_set1_ps(0x1.8p23f + 127 * 128); /* 2^0, where its ulp is 1 */
  w.even = _mm512_load_si512(even);
  w.low = _mm512_load_si512(excess);
  w.high = _mm512_load_si512(excess + 64);
  return w;
}

/* 32 weights: words of bf16, within 2^-7.28 of 2^(score factor): half a step of the exponent,
 * 2^-8 ln 2, and half a step of bf16. */
ALWAYS_INLINE __m512i weights32(const words *w, const float *score) {
  __m512 first = _mm512_fmadd_ps(_mm512_loadu_ps(score), w->factor, w->zero),
         second = _mm512_fmadd_ps(_mm512_loadu_ps(score + 16), w->factor, w->zero);
  __m512i p =
      _mm512_permutex2var_epi16(_mm512_castps_si512(first), w->even, _mm512_castps_si512(second));
  return _mm512_sub_epi16(
      p, _mm512_maskz_permutex2var_epi8(UINT64_C(0x5555555555555555), w->low, p, w->high));
}

ALWAYS_INLINE __m512 added_up(__m512 sum, __m512i weights) {
  return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi16(0x3f80));
}

/* Rows that attend to all of a chunk. */
static void weigh_whole_rows(uint16_t *weight, const float *score, __m512 *sum, size_t rows,
                             __m512 factor) {
  words w = words_of(factor);
  for (size_t i = 0; i < rows; i++, weight += CHUNK, score += CHUNK) {
    __m512i first = weights32(&w, score), second = weights32(&w, score + KEYS);
    _mm512_storeu_si512(weight, first);
    _mm512_storeu_si512(weight + KEYS, second);
    sum[i] = added_up(added_up(sum[i], first), second);
  }
}

/* Of 32 keys from j on those in [begin, end). */
ALWAYS_INLINE __mmask32 attended32(size_t j, size_t begin, size_t end) {
  uint32_t below = end >= j + KEYS ? ~UINT32_C(0)
                   : end > j       ? (UINT32_C(1) << (end - j)) - 1
                                   : 0,
           before = begin <= j          ? 0
                    : begin >= j + KEYS ? ~UINT32_C(0)
                                        : (UINT32_C(1) << (begin - j)) - 1;
  return (__mmask32)(below & ~before);
}

/* A row of `count` keys, of which it attends to [begin, end). */
ALWAYS_INLINE __m512 weigh_row(uint16_t *weight, const float *score, size_t count, size_t begin,
                               size_t end, const words *w, __m512 sum) {
  for (size_t j = 0; j < count; j += KEYS) {
    __m512i p = _mm512_maskz_mov_epi16(attended32(j, begin, end), weights32(w, score + j));
    _mm512_storeu_si512(weight + j, p);
    sum = added_up(sum, p);
  }
  return sum;
}

/* --- weights of other rows --- */

ALWAYS_INLINE __mmask16 inside(size_t j, size_t begin, size_t end) {
  __mmask16 below = j < end ? lanes16(end - j) : 0, before = j < begin ? lanes16(begin - j) : 0;
  return (__mmask16)(below & ~before);
}

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

/* Scores of keys [from, to), scaled where keys have scales, -infinity where a row does not attend;
 * the largest. The first is score[0]. */
ALWAYS_INLINE __m512 largest_score(float *score, const block_at *b, size_t from, size_t to,
                                   size_t begin, size_t end) {
  __m512 top = _mm512_set1_ps(-INFINITY);
  if (begin <= from && end >= to && !b->key_scale) { /* nearly always; two chains */
    __m512 other = top;
    for (size_t j = from; j < to; j += KEYS) {
      top = _mm512_max_ps(_mm512_loadu_ps(score + j - from), top);
      other = _mm512_max_ps(_mm512_loadu_ps(score + j - from + 16), other);
    }
    return _mm512_max_ps(top, other);
  }
  for (size_t j = from; j < to; j += 16) {
    __m512 s = _mm512_loadu_ps(score + j - from);
    bool whole = j >= begin && j + 16 <= end;
    if (b->key_scale) s = _mm512_mul_ps(s, _mm512_loadu_ps(b->key_scale + j));
    if (!whole) s = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), inside(j, begin, end), s);
    if (b->key_scale || !whole) _mm512_storeu_ps(score + j - from, s);
    top = _mm512_max_ps(s, top);
  }
  return top;
}

/* Of keys [from, to), the first at weight[0] and score[0]. */
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
      p[n] =
          power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(score + j - from + 16 * n), factor, most));
      sum[n] = _mm512_add_ps(sum[n], p[n]);
      if (b->value_scale) p[n] = _mm512_mul_ps(p[n], _mm512_loadu_ps(b->value_scale + j + 16 * n));
    }
    _mm512_storeu_si512(weight + (j - from), (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]));
  }
  *largest = top * scale;
  *total = sum1(_mm512_add_ps(sum[0], sum[1]));
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
  size_t weighed; /* rows of `now` */
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

/* A step is done: its rows' parts are added to their states, or kept. */
static void finish_step(passage *p, const step_rows *s) {
  const zh_attention *a = p->r->a;
  size_t d = a->kv->head_dim, floats = part_floats(d), padded = padded_dims(d);
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
  size_t d = p->r->a->kv->head_dim, floats = part_floats(d);
  size_t scores = next->s ? (next->to - next->from) / KEYS : 0, mixes = before->s ? d / 32 : 0,
         turns = scores > mixes ? scores : mixes, rows = turns ? STEP / turns / 2 : STEP;
  if (!next->s) store_sums(&p->kept); /* scores that are about to be weighed */
  for (size_t n = 0; n < turns; n++) {
    if (n < scores) {
      sums_at score = {next->score + n * KEYS, next->to - next->from};
      score_tiles(&p->kept, score, p->scratch->q + next->s->row * d,
                  p->b->keys + (next->from + n * KEYS) * d, d);
    }
    weigh_rows(p, rows);
    if (n < mixes) {
      sums_at part = {p->scratch->part + n * 32, floats};
      mix_tiles(&p->kept, part, before->weight, p->b, d, n * 32, before->from, before->to,
                before->from == before->s->from);
    }
    weigh_rows(p, rows);
  }
  weigh_rows(p, STEP);
  if (before->s && before->to == before->s->to) finish_step(p, before->s);
}

/* The block after this one comes from far: each unit asks for its share of it. */
typedef struct block_ahead {
  const unsigned char *keys, *values;
  size_t bytes, at, share;
} block_ahead;

ALWAYS_INLINE void fetch(block_ahead *ahead) {
  size_t end = ahead->at + ahead->share < ahead->bytes ? ahead->at + ahead->share : ahead->bytes;
  for (; ahead->at < end; ahead->at += 64) {
    _mm_prefetch((const char *)ahead->keys + ahead->at, _MM_HINT_T1);
    _mm_prefetch((const char *)ahead->values + ahead->at, _MM_HINT_T1);
  }
}

static void block_of_run(const run_of *r, size_t block, const tiles_scratch *s) {
  const zh_kv *kv = r->a->kv;
  size_t bytes = BLOCK / KV_GROUP * kv_group_bytes(kv->type, kv->head_dim),
         next = kv_head_at(kv, r->a->sequence[r->begin], r->kv_head) + (block + 1) * bytes;
  block_ahead ahead = {kv->keys + next, kv->values + next, block < r->last_block ? bytes : 0, 0,
                       (bytes / (rows_of(r) / STEP * (BLOCK / CHUNK) + 1) + 63) & ~(size_t)63};
  block_at b = open_block(r, block, s);
  passage p = {.r = r, .scratch = s, .b = &b};
  p.factor = _mm512_set1_ps(r->a->scale * 0x1.715476p7f);
  do {
    fetch(&ahead);
    advance(&p);
    pass_units(&p);
  } while (p.next.s || p.now.s || p.before.s);
}

static void attend_run(const run_of *r, const tiles_scratch *s) {
  size_t d = r->a->kv->head_dim, floats = part_floats(d), rows = rows_of(r);
  for (size_t i = 0; i < rows; i++)
    zh_attention_begin_state_avx512(s->state + i * floats, padded_dims(d));
  for (size_t block = r->first_block; block <= r->last_block; block++) block_of_run(r, block, s);
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
