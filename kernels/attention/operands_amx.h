/* What tiles multiply in attention: queries of a run, and keys and values of a block as they lie or
 * unpacked. Included only by attention_amx.c. */
#ifndef ZH_KERNELS_ATTENTION_OPERANDS_AMX_H
#define ZH_KERNELS_ATTENTION_OPERANDS_AMX_H

#include <math.h>
#include <string.h>

#include "kernels/attention/parts.h"
#include "kernels/lanes_avx512.h"
#include "kernels/matmul/tiles_amx.h"

enum {
  BLOCK = ZH_ATTENTION_BLOCK,
  STEP = ATTENTION_STEP_ROWS,
  DIMS = 32,             /* of a tile of q */
  KEYS = 32,             /* of a tile of weights */
  CHUNK = 64,            /* keys whose scores stay in the first-level cache */
  AHEAD_OF_TURN = 4 * 64 /* bytes of the next block, for each 16 by 16 numbers that are turned */
};

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

/* Left alone for some 1,000 cycles, the unit that multiplies tiles falls asleep, and waking it
 * takes another 1,000 (docs/performance.md): long work without products keeps it awake by one that
 * nobody reads, in tiles that operands are loaded into. */
ALWAYS_INLINE void stay_awake(void) {
  _tile_dpbf16ps(7, 5, 6);
}

/* A block of a head, as tiles read it. */
typedef struct block_at {
  const uint16_t *keys, *values; /* [16 keys][dim / 2][16][2]; [key / 2][dim][2], or NULL: to be
                                    turned in strips, for the one step there is */
  const uint16_t *last;          /* the last KEYS values, zeros behind them; NULL: as they are */
  const float *key_scale, *value_scale; /* NULL: none */
  const float *key_size;                /* NULL: not known */
  size_t number, count;                 /* keys that are there */
} block_at;

/* The block after this one comes from far: whoever works at this one asks for a share of it. */
typedef struct block_ahead {
  const unsigned char *keys, *values; /* values NULL: none */
  size_t bytes, at;
} block_ahead;

ALWAYS_INLINE void fetch(block_ahead *ahead, size_t bytes) {
  size_t end = ahead->at + bytes < ahead->bytes ? ahead->at + bytes : ahead->bytes;
  for (; ahead->at < end; ahead->at += 64) {
    _mm_prefetch((const char *)ahead->keys + ahead->at, _MM_HINT_T1);
    if (ahead->values) _mm_prefetch((const char *)ahead->values + ahead->at, _MM_HINT_T1);
  }
}

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

/* v NULL: values are shared, and are made of the keys as unpacked. */
static void unpack_bytes(const tiles_scratch *s, const unsigned char *k, const unsigned char *v,
                         size_t d, size_t count) {
  size_t groups = (count + KEYS - 1) / KEYS * (KEYS / KV_GROUP),
         bytes = kv_group_bytes(ZH_KV_Q8, d);
  unpack_scales(s->key_scale, k, groups, bytes, count);
  unpack_scales(s->value_scale, v ? v : k, groups, bytes, count);
  uint16_t *keys = s->keys, *values = s->values;
  for (size_t g = 0; g < groups; g++) {
    const unsigned char *key = k + g * bytes + KV_SCALES;
    for (size_t i = 0; i < d; i += 2, keys += 32)
      _mm512_storeu_si512(keys, pairs(bytes16(key + i * 16), bytes16(key + i * 16 + 16)));
    if (!v) continue;
    const unsigned char *value = v + g * bytes + KV_SCALES;
    for (size_t j = 0; j < KV_GROUP; j += 2, value += 2 * d)
      for (size_t i = 0; i < d; i += 16, values += 32)
        _mm512_storeu_si512(values, pairs(bytes16(value + i), bytes16(value + d + i)));
  }
}

/* The largest |k| of the keys up to each, sixteen at a time. What is not a number is larger than
 * any: the bits of numbers that are not negative are in their order. */
static void largest_keys(float *out, const uint16_t *keys, size_t d, size_t count) {
  __m512i none = _mm512_setzero_si512(), largest = none, last = _mm512_set1_epi32(15);
  for (size_t j = 0; j < count; j += KV_GROUP) {
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}; /* do not wait for each other */
    stay_awake();
    for (size_t i = 0; i < d; i += 4)
      for (size_t n = 0; n < 2; n++, keys += 32) {
        __m512bh k = (__m512bh)_mm512_loadu_si512(keys);
        sum[n] = _mm512_dpbf16_ps(sum[n], k, k);
      }
    __m512i size = _mm512_castps_si512(_mm512_add_ps(sum[0], sum[1]));
    size = _mm512_maskz_mov_epi32(lanes16(count - j), size);
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 15));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 14));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 12));
    size = _mm512_max_epu32(size, _mm512_alignr_epi32(size, none, 8));
    size = _mm512_max_epu32(size, largest);
    largest = _mm512_permutexvar_epi32(last, size);
    _mm512_storeu_ps(out + j, _mm512_sqrt_ps(_mm512_castsi512_ps(size)));
  }
}

/* Dimensions 2 c and 2 c + 1 of positions 8 half … 8 half + 7, then those of c + 4. */
ALWAYS_INLINE __m512i two_quarters(const uint16_t *keys, size_t c, size_t half) {
  const uint16_t *at = keys + (c * KV_GROUP + half * 8) * 2;
  __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)at),
          high = _mm256_loadu_si256((const __m256i *)(const void *)(at + 8 * KV_GROUP));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* Sixteen dimensions of sixteen positions: pairs of dimensions become pairs of positions, row bytes
 * apart. */
ALWAYS_INLINE void turn16(uint16_t *values, size_t row, const uint16_t *keys) {
  const __m512i middle = _mm512_set4_epi32(0x0f0e0b0a, 0x0d0c0908, 0x07060302, 0x05040100),
                even = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0),
                odd = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
  for (size_t half = 0; half < 2; half++, values += 4 * row) {
    __m512i v[4];
    for (size_t c = 0; c < 4; c++) v[c] = _mm512_shuffle_epi8(two_quarters(keys, c, half), middle);
    __m512i low[2] = {_mm512_unpacklo_epi64(v[0], v[1]), _mm512_unpackhi_epi64(v[0], v[1])},
            high[2] = {_mm512_unpacklo_epi64(v[2], v[3]), _mm512_unpackhi_epi64(v[2], v[3])};
    for (size_t m = 0; m < 2; m++) {
      _mm512_storeu_si512(values + m * row, _mm512_permutex2var_epi64(low[m], even, high[m]));
      _mm512_storeu_si512(values + (m + 2) * row, _mm512_permutex2var_epi64(low[m], odd, high[m]));
    }
  }
}

/* The same of positions of which `there` exist: zeros behind them, for there may lie anything, and
 * weights of 0 do not silence NaN. */
ALWAYS_INLINE void turn_there(uint16_t *values, size_t row, const uint16_t *keys, size_t there) {
  uint16_t masked[16 * KV_GROUP];
  for (size_t c = 0; there < KV_GROUP && c < 8; c++)
    _mm512_storeu_si512(masked + c * 32, _mm512_maskz_loadu_epi32(lanes16(there), keys + c * 32));
  turn16(values, row, there < KV_GROUP ? masked : keys);
}

/* Keys [j, j + KEYS) of a block, dimensions [dim, dim + 32): [KEYS / 2][32][2]. */
ALWAYS_INLINE void turn_strip(uint16_t *values, const uint16_t *keys, size_t d, size_t dim,
                              size_t j, size_t count) {
  for (size_t at = j; at < j + KEYS; at += KV_GROUP, values += KV_GROUP * 32)
    for (size_t i = 0; i < 32; i += 16)
      turn_there(values + i * 2, 64, keys + at * d + (dim + i) * KV_GROUP,
                 count > at ? count - at : 0);
}

/* Values that are the first `dims` numbers of their keys. */
static void turn_keys(uint16_t *values, const uint16_t *keys, size_t d, size_t dims, size_t count,
                      block_ahead *ahead) {
  size_t groups = (count + KEYS - 1) / KEYS * (KEYS / KV_GROUP);
  for (size_t g = 0; g < groups; g++, keys += KV_GROUP * d, values += KV_GROUP * dims) {
    size_t there = count > g * KV_GROUP ? count - g * KV_GROUP : 0;
    for (size_t i = 0; i < dims; i += 16) {
      turn_there(values + i * 2, 2 * dims, keys + i * KV_GROUP, there);
      fetch(ahead, AHEAD_OF_TURN);
    }
    stay_awake();
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

static block_at open_block(const run_of *r, size_t block, const tiles_scratch *s,
                           block_ahead *ahead) {
  const zh_kv *kv = r->a->kv;
  size_t d = kv->head_dim, at = kv_head_at(kv, r->a->sequence[r->begin], r->kv_head) +
                                block * (BLOCK / KV_GROUP) * kv_group_bytes(kv->type, d);
  block_at b = {.number = block};
  for (size_t t = r->begin; t < r->end; t++) {
    size_t begin, end;
    keys_of(&begin, &end, r, (t - r->begin) * r->group, block);
    b.count = end > b.count ? end : b.count;
  }
  bool bytes = kv->type == ZH_KV_Q8;
  if (bytes) {
    unpack_bytes(s, kv->keys + at, kv->shared ? NULL : kv->values + at, d, b.count);
    b.key_scale = s->key_scale, b.value_scale = s->value_scale;
  }
  b.keys = bytes ? s->keys : (const uint16_t *)(const void *)(kv->keys + at);
  if (kv->shared && rows_of(r) > STEP) turn_keys(s->values, b.keys, d, kv->shared, b.count, ahead);
  b.values = kv->shared && rows_of(r) <= STEP ? NULL : s->values;
  if (bytes || kv->shared) return b; /* sizes of long keys would cost more than they save */
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

#endif
