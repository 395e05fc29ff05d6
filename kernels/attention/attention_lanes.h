/* Attention with vectors of LANES numbers, over each type of cache: what the file that includes
 * this is compiled for. It defines LANES, how many vectors of sums each of four rows of queries has
 * (VECTORS), so that sums fill the registers, and NAME(x).
 *
 * A block of keys is passed once for each ROWS query heads that share it, from memory for the
 * first, from a cache for the others. Scores have a key a lane, so no sum crosses lanes; values
 * have a dimension a lane. Nothing is rounded but sums. */
#include "kernels/attention/parts.h"
#include "kernels/lanes.h"
#include "kernels/variants.h"

enum { ROWS = 4, BLOCK = ZH_ATTENTION_BLOCK, STEP_KEYS = VECTORS * LANES, AHEAD = 8192 };

typedef struct rows_at {
  const float *q[ROWS];
  float *part[ROWS];
  size_t begin[ROWS], end[ROWS];     /* keys of the block */
  float slope[ROWS], distance[ROWS]; /* of the first key from the token */
} rows_at;

#if LANES == 16
#define PREFETCH(p) __builtin_prefetch((p) + AHEAD, 0, 2)
#else
#define PREFETCH(p) (void)(p)
#endif

/* --- scores of STEP_KEYS keys --- */

/* Dimensions i and i + 1 of the keys of vector v, whose group is at k. */
ALWAYS_INLINE void load_keys(vf *low, vf *high, const unsigned char *k, zh_kv_type type, size_t i,
                             size_t lane) {
  if (type == ZH_KV_F32) {
    *low = load_f32(k + (i * KV_GROUP + lane) * 4);
    *high = load_f32(k + ((i + 1) * KV_GROUP + lane) * 4);
  } else if (type == ZH_KV_BF16) {
    vu pair = load_u32(k + (i / 2 * KV_GROUP + lane) * 4);
    *low = (vf)(pair << 16);
    *high = (vf)(pair & 0xffff0000u);
  } else {
    *low = load_i8(k + KV_SCALES + i * KV_GROUP + lane);
    *high = load_i8(k + KV_SCALES + (i + 1) * KV_GROUP + lane);
  }
}

/* The group of vector v of a step. */
ALWAYS_INLINE const unsigned char *group_of(const unsigned char *k, size_t group_bytes, size_t v) {
  return k + v * LANES / KV_GROUP * group_bytes;
}

ALWAYS_INLINE void score_step(float *score, const rows_at *at, size_t rows, const unsigned char *k,
                              zh_kv_type type, size_t d, float scale) {
  size_t bytes = kv_group_bytes(type, d);
  vf sum[ROWS][VECTORS];
  for (size_t n = 0; n < rows; n++)
    for (size_t v = 0; v < VECTORS; v++) sum[n][v] = (vf){0};
  size_t i = 0;
  for (; i + 2 <= d; i += 2) {
    vf low[VECTORS], high[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) {
      const unsigned char *group = group_of(k, bytes, v);
      load_keys(&low[v], &high[v], group, type, i, v * LANES % KV_GROUP);
      PREFETCH(group + (type == ZH_KV_F32 ? i * 64 : type == ZH_KV_BF16 ? i * 32 : i * 16));
      if (type == ZH_KV_F32) PREFETCH(group + i * 64 + 64);
    }
    for (size_t n = 0; n < rows; n++)
      for (size_t v = 0; v < VECTORS; v++) {
        sum[n][v] += low[v] * at->q[n][i];
        sum[n][v] += high[v] * at->q[n][i + 1];
      }
  }
  for (size_t v = 0; v < VECTORS && i < d; v++) {
    vf low, high;
    load_keys(&low, &high, group_of(k, bytes, v), type, i, v * LANES % KV_GROUP);
    for (size_t n = 0; n < rows; n++) sum[n][v] += low * at->q[n][i];
  }
  for (size_t v = 0; v < VECTORS; v++) {
    vf factor = all_lanes(scale);
    if (type == ZH_KV_Q8) factor *= load_bf16(group_of(k, bytes, v) + v * LANES % KV_GROUP * 2);
    for (size_t n = 0; n < rows; n++) store_f32(score + n * BLOCK + v * LANES, sum[n][v] * factor);
  }
}

/* Near 0 by its series, whose next term is 4 u of the whole at most; else 1 - 2 / (1 + exp(2 z)).
 */
ALWAYS_INLINE vf tanh_lanes(vf z) {
  vf square = z * z, near = square * (62.0f / 2835.0f) - 17.0f / 315.0f;
  near = near * square + 2.0f / 15.0f;
  near = near * square - 1.0f / 3.0f;
  near = z + z * (near * square);
  vf far = 1.0f - 2.0f / (1.0f + exp_lanes(z + z));
  return select_f32(square < 0.125f, near, far);
}

static void cap_scores(float *score, size_t from, size_t to, float softcap) {
  for (size_t j = from; j < to; j += LANES)
    store_f32(score + j, softcap * tanh_lanes(load_f32(score + j) / softcap));
}

/* A key scores so much less for each position that it lies back. */
static void slope_scores(float *score, size_t from, size_t to, float slope, float distance) {
  vf lanes = __builtin_convertvector(lane_numbers(), vf);
  for (size_t j = from; j < to; j += LANES)
    store_f32(score + j, load_f32(score + j) + slope * (lanes + ((float)j + distance)));
}

/* --- weights of a block's keys --- */

ALWAYS_INLINE vi inside(size_t j, size_t begin, size_t end) {
  vi key = lane_numbers() + (int32_t)j;
  return (key >= (int32_t)begin) & (key < (int32_t)end);
}

/* The scores of keys [from, to), multiples of LANES, become exp(score - largest), 0 outside of
 * [begin, end). Values' scales go into the weights, not into their sum. Memory does not wait for
 * exponentials: what follows `ahead` is asked for meanwhile. */
ALWAYS_INLINE void weigh(float *score, size_t from, size_t to, size_t begin, size_t end,
                         const unsigned char *v, zh_kv_type type, size_t d,
                         const unsigned char *ahead, float *largest, float *total) {
  const vf never = all_lanes(-INFINITY);
  vf top = all_lanes(NO_SCORE), sum = {0};
  for (size_t j = from; j < to; j += LANES) {
    vf s = load_f32(score + j);
    if (j < begin || j + LANES > end) {
      s = select_f32(inside(j, begin, end), s, never);
      store_f32(score + j, s);
    }
    top = larger_f32(s, top);
  }
  *largest = largest_lane(top);
  for (size_t j = from; j < to; j += LANES) {
    vf e = exp_lanes(load_f32(score + j) - *largest);
    sum += e;
    PREFETCH(ahead + j / LANES * 64);
    if (type == ZH_KV_Q8) {
      vf scales = load_bf16(v + j / KV_GROUP * kv_group_bytes(type, d) + j % KV_GROUP * 2);
      e = j < begin || j + LANES > end ? select_f32(inside(j, begin, end), e * scales, (vf){0})
                                       : e * scales;
    }
    store_f32(score + j, e);
  }
  *total = sum_of_lanes(sum);
}

/* --- values --- */

/* LANES dimensions from `dim` on of values j and j + 1, j even. */
ALWAYS_INLINE void load_values(vf *low, vf *high, const unsigned char *v, zh_kv_type type, size_t d,
                               size_t j, size_t dim) {
  if (type == ZH_KV_F32) {
    *low = load_f32(v + (j * d + dim) * 4);
    *high = load_f32(v + ((j + 1) * d + dim) * 4);
  } else if (type == ZH_KV_BF16) {
    vu pair = load_u32(v + (j / 2 * d + dim) * 4);
    *low = (vf)(pair << 16);
    *high = (vf)(pair & 0xffff0000u);
  } else {
    const unsigned char *group = v + j / KV_GROUP * kv_group_bytes(type, d) + KV_SCALES;
    *low = load_i8(group + j % KV_GROUP * d + dim);
    *high = load_i8(group + (j % KV_GROUP + 1) * d + dim);
  }
}

/* Dimensions [dim, dim + vectors * LANES) of the parts, values [from, to) of the block, from even.
 * An odd one at the end leaves its neighbour alone, which may be anything. */
ALWAYS_INLINE void mix_step(const rows_at *at, size_t rows, const float *weight,
                            const unsigned char *v, zh_kv_type type, size_t d, size_t from,
                            size_t to, size_t dim, size_t vectors) {
  vf sum[ROWS][VECTORS];
  for (size_t n = 0; n < rows; n++)
    for (size_t c = 0; c < vectors; c++) sum[n][c] = (vf){0};
  size_t j = from;
  for (; j + 2 <= to; j += 2) {
    vf low[VECTORS], high[VECTORS];
    for (size_t c = 0; c < vectors; c++)
      load_values(&low[c], &high[c], v, type, d, j, dim + c * LANES);
    size_t bytes = type == ZH_KV_Q8 ? d : type == ZH_KV_BF16 ? 2 * d : 4 * d;
    for (size_t line = 0; line < vectors * LANES * (type == ZH_KV_F32 ? 8 : 4); line += 64)
      PREFETCH(v + j * bytes + line);
    for (size_t n = 0; n < rows; n++)
      for (size_t c = 0; c < vectors; c++) {
        sum[n][c] += low[c] * weight[n * BLOCK + j];
        sum[n][c] += high[c] * weight[n * BLOCK + j + 1];
      }
  }
  for (size_t c = 0; c < vectors && j < to; c++) {
    vf low, high;
    load_values(&low, &high, v, type, d, j, dim + c * LANES);
    for (size_t n = 0; n < rows; n++) sum[n][c] += low * weight[n * BLOCK + j];
  }
  for (size_t n = 0; n < rows; n++)
    for (size_t c = 0; c < vectors; c++) store_f32(at->part[n] + dim + c * LANES, sum[n][c]);
}

/* --- values that are the first numbers of their keys: of these a vector holds a dimension of
 * sixteen, so that sums are over lanes, and lanes are added up at the end --- */

/* `vectors` dimensions from `dim` on of the keys of a vector from j on; behind `to` lies anything.
 */
ALWAYS_INLINE void mix_keys(vf sum[ROWS][VECTORS], size_t rows, const float *weight,
                            const unsigned char *k, zh_kv_type type, size_t d, size_t j, size_t to,
                            size_t dim) {
  const unsigned char *group = k + j / KV_GROUP * kv_group_bytes(type, d);
  vf value[VECTORS];
  for (size_t c = 0; c < VECTORS; c += 2)
    load_keys(&value[c], &value[c + 1], group, type, dim + c, j % KV_GROUP);
  for (size_t c = 0; j + LANES > to && c < VECTORS; c++)
    value[c] = select_f32(inside(j, 0, to), value[c], (vf){0});
  for (size_t n = 0; n < rows; n++) {
    vf w = load_f32(weight + n * BLOCK + j);
    for (size_t c = 0; c < VECTORS; c++) sum[n][c] += value[c] * w;
  }
}

/* Dimensions [dim, dim + LANES) of the parts, keys [from, to) of the block, from a multiple of
 * LANES; those from `dims` on are 0. */
ALWAYS_INLINE void mix_shared(const rows_at *at, size_t rows, const float *weight,
                              const unsigned char *k, zh_kv_type type, size_t d, size_t dims,
                              size_t from, size_t to, size_t dim) {
  vf sums[ROWS][LANES];
  for (size_t first = 0; first < LANES; first += VECTORS) {
    vf sum[ROWS][VECTORS];
    for (size_t n = 0; n < rows; n++)
      for (size_t c = 0; c < VECTORS; c++) sum[n][c] = (vf){0};
    for (size_t j = from; j < to && dim + first < dims; j += LANES)
      mix_keys(sum, rows, weight, k, type, d, j, to, dim + first);
    for (size_t n = 0; n < rows; n++)
      for (size_t c = 0; c < VECTORS; c++) sums[n][first + c] = sum[n][c];
  }
  for (size_t n = 0; n < rows; n++) store_f32(at->part[n] + dim, fold_lanes(sums[n]));
}

/* --- a block --- */

/* What its rows share. v: NULL where values are shared. */
typedef struct block_at {
  const unsigned char *k, *v;
  size_t d, dims; /* of keys, of values */
  float scale, softcap;
  bool slopes;
} block_at;

ALWAYS_INLINE void shape_scores(const block_at *b, const rows_at *at, size_t rows, float *score,
                                size_t from, size_t to) {
  for (size_t n = 0; b->softcap != 0 && n < rows; n++)
    cap_scores(score + n * BLOCK, from, to, b->softcap);
  for (size_t n = 0; b->slopes && n < rows; n++)
    slope_scores(score + n * BLOCK, from, to, at->slope[n], at->distance[n]);
}

ALWAYS_INLINE void mix(const block_at *b, const rows_at *at, size_t rows, const float *weight,
                       zh_kv_type type, size_t from, size_t to) {
  size_t dim = 0, padded = padded_dims(b->dims);
  for (; !b->v && dim < padded; dim += LANES)
    mix_shared(at, rows, weight, b->k, type, b->d, b->dims, from, to, dim);
  for (; dim + VECTORS * LANES <= padded; dim += VECTORS * LANES)
    mix_step(at, rows, weight, b->v, type, b->d, from, to, dim, VECTORS);
  for (; dim < padded; dim += LANES) mix_step(at, rows, weight, b->v, type, b->d, from, to, dim, 1);
}

ALWAYS_INLINE void block_rows(const block_at *b, const rows_at *at, size_t rows, zh_kv_type type,
                              float *weight) {
  const unsigned char *v = b->v ? b->v : b->k;
  size_t from = BLOCK, to = 0, d = b->d, padded = padded_dims(b->dims);
  for (size_t n = 0; n < rows; n++) {
    if (at->end[n] == 0) continue;
    from = at->begin[n] < from ? at->begin[n] : from;
    to = at->end[n] > to ? at->end[n] : to;
  }
  if (to == 0) from = 0;
  from = from / STEP_KEYS * STEP_KEYS;
  for (size_t j = from; j < to; j += STEP_KEYS)
    score_step(weight + j, at, rows, b->k + j / KV_GROUP * kv_group_bytes(type, d), type, d,
               b->scale);
  size_t filled = (to + LANES - 1) / LANES * LANES;
  shape_scores(b, at, rows, weight, from, filled);
  for (size_t n = 0; n < rows; n++)
    weigh(weight + n * BLOCK, from, filled, at->begin[n], at->end[n], v, type, d,
          v + n * (BLOCK / LANES) * 64, &at->part[n][padded], &at->part[n][padded + 1]);
  mix(b, at, rows, weight, type, from, to);
}

#define ROW_LOOPS(type)                                                                            \
  static void block_##type(const block_at *b, const rows_at *at, size_t rows, float *weight) {     \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
      block_rows(b, at, 1, type, weight);                                                          \
      break;                                                                                       \
    case 2:                                                                                        \
      block_rows(b, at, 2, type, weight);                                                          \
      break;                                                                                       \
    case 3:                                                                                        \
      block_rows(b, at, 3, type, weight);                                                          \
      break;                                                                                       \
    default:                                                                                       \
      block_rows(b, at, ROWS, type, weight);                                                       \
    }                                                                                              \
  }
ROW_LOOPS(ZH_KV_F32)
ROW_LOOPS(ZH_KV_BF16)
ROW_LOOPS(ZH_KV_Q8)

static void block_part(const block_at *b, const rows_at *at, size_t rows, zh_kv_type type,
                       float *weight) {
  if (type == ZH_KV_F32)
    block_ZH_KV_F32(b, at, rows, weight);
  else if (type == ZH_KV_BF16)
    block_ZH_KV_BF16(b, at, rows, weight);
  else
    block_ZH_KV_Q8(b, at, rows, weight);
}

/* --- parts become one --- */

void NAME(zh_attention_begin_state)(float *state, size_t padded) {
  memset(state, 0, padded * sizeof *state);
  state[padded] = NO_SCORE;
  state[padded + 1] = 0;
}

/* One function for both ways that parts come here, so that they round alike. What has a factor of 1
 * on both sides is only added, and the first part copied. */
void NAME(zh_attention_add_part)(float *state, const float *part, size_t padded) {
  if (part[padded] == state[padded]) {
    for (size_t i = 0; i < padded; i += LANES)
      store_f32(state + i, load_f32(state + i) + load_f32(part + i));
    state[padded + 1] += part[padded + 1];
    return;
  }
  if (state[padded] == NO_SCORE) {
    memcpy(state, part, (padded + 2) * sizeof *state);
    return;
  }
  float larger = part[padded] > state[padded] ? part[padded] : state[padded];
  vf both = {state[padded] - larger, part[padded] - larger};
  both = exp_lanes(both);
  vf before = all_lanes(both[0]), added = all_lanes(both[1]);
  for (size_t i = 0; i < padded; i += LANES)
    store_f32(state + i, load_f32(state + i) * before + load_f32(part + i) * added);
  state[padded] = larger;
  state[padded + 1] = state[padded + 1] * before[0] + part[padded + 1] * added[0];
}

void NAME(zh_attention_add_sink)(float *state, float sink, size_t padded) {
  float larger = sink > state[padded] ? sink : state[padded];
  vf both = exp_lanes((vf){state[padded] - larger, sink - larger});
  vf before = all_lanes(both[0]);
  for (size_t i = 0; i < padded; i += LANES) store_f32(state + i, load_f32(state + i) * before);
  state[padded] = larger;
  state[padded + 1] = state[padded + 1] * before[0] + both[1];
}

void NAME(zh_attention_finish)(float *out, const float *state, size_t d) {
  float share = 1 / state[padded_dims(d) + 1];
  for (size_t i = 0; i < d; i++) out[i] = state[i] * share;
}

/* --- items --- */

/* Rows [row, row + rows) of a run, block by block, into their parts or their states. */
static void block_of_run(const run_of *r, size_t block, float *states, float *parts,
                         float *weight) {
  const zh_attention *a = r->a;
  const zh_kv *kv = a->kv;
  size_t dims = zh_kv_value_dim(kv), padded = padded_dims(dims), floats = part_floats(dims);
  size_t at = kv_head_at(kv, a->sequence[r->begin], r->kv_head) +
              block * (BLOCK / KV_GROUP) * kv_group_bytes(kv->type, kv->head_dim);
  block_at b = {.k = kv->keys + at,
                .v = kv->shared ? NULL : kv->values + at,
                .d = kv->head_dim,
                .dims = dims,
                .scale = a->scale,
                .softcap = a->softcap,
                .slopes = a->slopes != NULL};
  for (size_t row = 0; row < rows_of(r); row += ROWS) {
    rows_at rows = {0};
    size_t count = rows_of(r) - row < ROWS ? rows_of(r) - row : ROWS;
    for (size_t n = 0; n < count; n++) {
      rows.q[n] = a->q + row_at(r, row + n) * kv->head_dim;
      rows.part[n] = a->parts ? part_at(a, row_at(r, row + n), block) : parts + n * floats;
      keys_of(&rows.begin[n], &rows.end[n], r, row + n, block);
      if (!a->slopes) continue;
      rows.slope[n] = slope_of(r, row + n);
      rows.distance[n] = distance_of(r, row + n, block);
    }
    block_part(&b, &rows, count, kv->type, weight);
    for (size_t n = 0; n < count && !a->parts; n++)
      NAME(zh_attention_add_part)(states + (row + n) * floats, rows.part[n], padded);
  }
}

static void attend_run(const run_of *r, float *scratch) {
  size_t d = zh_kv_value_dim(r->a->kv), floats = part_floats(d), rows = rows_of(r);
  float *parts = scratch + ZH_ATTENTION_ROWS * floats;
  float *weights = parts + ROWS * floats;
  for (size_t i = 0; i < rows; i++)
    NAME(zh_attention_begin_state)(scratch + i * floats, padded_dims(d));
  for (size_t block = r->first_block; block <= r->last_block; block++)
    block_of_run(r, block, scratch, parts, weights);
  for (size_t i = 0; r->a->sinks && i < rows; i++)
    NAME(zh_attention_add_sink)(scratch + i * floats, sink_of(r, i), padded_dims(d));
  for (size_t i = 0; i < rows; i++)
    NAME(zh_attention_finish)(r->a->out + row_at(r, i) * d, scratch + i * floats, d);
}

void NAME(zh_attention)(const zh_attention *a, size_t begin, size_t end, void *scratch) {
  size_t of_token = a->kv->kv_heads * (a->parts ? a->blocks : 1);
  for (size_t item = begin; item < end; item++) {
    size_t t = item / of_token * a->run, until = t + a->run < a->tokens ? t + a->run : a->tokens;
    size_t rest = item % of_token, block = rest % (a->parts ? a->blocks : 1),
           head = rest / (a->parts ? a->blocks : 1);
    while (t < until) {
      run_of r = run_from(a, head, t, until);
      if (!a->parts)
        attend_run(&r, scratch);
      else if (block >= r.first_block && block <= r.last_block)
        block_of_run(&r, block, NULL, NULL, scratch);
      t = r.end;
    }
  }
}

/* A run's blocks beyond a token's own hold nothing, and change no bit. */
void NAME(zh_attention_merge)(const zh_attention *a, size_t begin, size_t end, void *scratch) {
  size_t d = zh_kv_value_dim(a->kv), padded = padded_dims(d);
  float *state = scratch;
  for (size_t row = begin; row < end; row++) {
    size_t t = row / a->heads;
    NAME(zh_attention_begin_state)(state, padded);
    for (size_t b = first_position(a, t) / BLOCK; b <= a->position[t] / BLOCK; b++)
      NAME(zh_attention_add_part)(state, part_at(a, row, b), padded);
    if (a->sinks) NAME(zh_attention_add_sink)(state, a->sinks[row % a->heads], padded);
    NAME(zh_attention_finish)(a->out + row * d, state, d);
  }
}
