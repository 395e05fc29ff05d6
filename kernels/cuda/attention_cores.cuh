/* Attention of few tokens by tensor cores: a block's part; attention_cores.cu, which says how, and persist_steps.cu
 * launch it. */
#ifndef ZH_KERNELS_CUDA_ATTENTION_CORES_CUH
#define ZH_KERNELS_CUDA_ATTENTION_CORES_CUH

#include "attention.cuh"
#include "kv_words.cuh"

namespace zh_attention_cores {

enum { THREADS = 128, WARP = 32, WARPS = THREADS / WARP, HEADS = 8, ROWS = 16, BF16S = 3 };
enum { DIMS_MAX = 256, PROGRAM_DIMS = 128, MOST_STAGES = 4 };
enum { ROOM = 72 * 1024 /* so that several blocks are on a multiprocessor */ };
enum { STEP_WORDS = BF16S * WARP * 2 /* of sixteen dimensions of the queries */, GAP = 4 };

/* Shared memory: the queries' words, each warp's stages, or, when they are done, its sums; then what they are of. */
struct room {
  uint32_t stages, key_pitch, value_pitch, key_reciprocal, value_reciprocal;
  uint32_t values; /* of a stage: where they begin; 0 where keys have them */
  uint32_t stage;  /* bytes */
  uint32_t first_stage, state, all;
  uint32_t sum_pitch; /* from a head to the next one's sums, in floats */
};

struct planes {
  zh_shared<uint32_t> q; /* [dimensions / 16][BF16S][lane][2] */
  zh_shared<uint8_t> stages; /* of this warp */
  zh_shared<float> sums;     /* [WARPS][HEADS] rows */
  zh_shared<float> largest, weight; /* [WARPS][HEADS] */
};

ZH_DEVICE planes cut(zh_shared<unsigned char> all, const room &r, uint32_t key_dim) {
  planes p;
  uint32_t each = r.stages * r.stage;
  p.q = zh_part<uint32_t>(all, 0, key_dim / 16 * STEP_WORDS);
  p.stages = zh_part<uint8_t>(all, r.first_stage + threadIdx.x / WARP % WARPS * each, each);
  p.sums = zh_part<float>(all, r.first_stage, WARPS * HEADS * r.sum_pitch);
  p.largest = zh_part<float>(all, r.state, WARPS * HEADS);
  p.weight = zh_part<float>(all, r.state + WARPS * HEADS * 4, WARPS * HEADS);
  return p;
}

/* What a block has. */
struct share_of {
  uint32_t token, sequence, key_head, head, heads; /* first query head, and how many */
  uint32_t begin, end, own, part;                  /* positions; own: the token's */
};

/* Of two heads: scores so far, and what ALiBi takes off. */
struct pair_of_heads {
  float largest[2], weight[2], slope[2];
};

template <int TYPE>
ZH_DEVICE void keep_queries(const zh_attention_view &v, zh_shared<uint32_t> to, const share_of &mine) {
  uint32_t dim = v.keys.dim;
  size_t first = ((size_t)mine.token * v.heads + mine.head) * dim;
  for (uint32_t i = threadIdx.x; i < dim / 16 * WARP; i += THREADS) {
    uint32_t step = i / WARP, lane = i % WARP, head = lane / 4, part[2][BF16S];
    for (uint32_t half = 0; half < 2; ++half) {
      float x = 0.0f, y = 0.0f;
      if (head < mine.heads) {
        float2 both = zh_load<float2>(v.q, first + head * dim + 16 * step + zh_key_column<TYPE>(lane % 4, half));
        x = both.x;
        y = both.y;
      }
      zh_three_pairs(part[half], x, y);
    }
#pragma unroll
    for (uint32_t b = 0; b < BF16S; ++b)
      zh_store(to, step * STEP_WORDS + (b * WARP + lane) * 2, make_uint2(part[0][b], part[1][b]));
  }
}

/* This warp's positions of the tile that begins at `at` into stage `stage`. */
ZH_DEVICE void begin_copies(const zh_attention_view &v, const planes &p, const room &r, const share_of &mine,
                            uint32_t at, uint32_t stage) {
  uint32_t lane = threadIdx.x % WARP, count = mine.end - at;
  zh_shared<uint8_t> to = p.stages + stage * r.stage;
  zh_copy_rows<ROWS, WARP>(to, r.key_pitch, v.keys, zh_kv_row(v.keys, mine.sequence, mine.key_head, at), count, lane,
                           r.key_reciprocal);
  zh_copy_rows<ROWS, WARP>(to + r.values, r.value_pitch, v.values,
                           zh_kv_row(v.values, mine.sequence, mine.key_head, at), count, lane, r.value_reciprocal);
}

ZH_DEVICE void wait_for_copies(uint32_t stages) {
  if (stages == 1)
    zh_copies_wait<0>();
  else if (stages == 2)
    zh_copies_wait<1>();
  else if (stages == 3)
    zh_copies_wait<2>();
  else
    zh_copies_wait<3>();
}

/* dot[16 positions][8 heads]. The three parts of a query have sums of their own: small ones are not lost. */
template <int TYPE>
ZH_DEVICE void compare(float (&dot)[4], const planes &p, const room &r, zh_shared<uint8_t> keys, uint32_t dim) {
  float sum[BF16S][4] = {};
  for (uint32_t step = 0; step < dim / 16; ++step) {
    uint32_t a[4];
    zh_key_words<TYPE>(a, keys, r.key_pitch, 0, 16 * step);
#pragma unroll
    for (uint32_t b = 0; b < BF16S; ++b) {
      uint2 q = zh_load<uint2>(p.q, step * STEP_WORDS + (b * WARP + threadIdx.x % WARP) * 2);
      const uint32_t words[2] = {q.x, q.y};
      zh_mma_bf16(sum[b], a, words);
    }
  }
  for (uint32_t i = 0; i < 4; ++i) dot[i] = sum[0][i] + (sum[1][i] + sum[2][i]);
}

/* Of the eight threads that share two heads. */
ZH_DEVICE float column_max(float x) {
  for (int step = 4; step < WARP; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, step));
  return x;
}
ZH_DEVICE float column_sum(float x) {
  for (int step = 4; step < WARP; step *= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  return x;
}

/* Dots become weights of values, and shrink says by how much earlier ones do. at: the position of the first row. */
template <int TYPE>
ZH_DEVICE void weigh(float (&dot)[4], float (&shrink)[2], pair_of_heads &heads, const zh_attention_view &v,
                     const room &r, zh_shared<uint8_t> stage, const share_of &mine, uint32_t at) {
  uint32_t g = threadIdx.x % WARP / 4;
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t row = g + i / 2 * 8;
    float score = zh_shaped_score(v, dot[i] * zh_kv_scale<TYPE>(stage, row * r.key_pitch));
    if (at + row < mine.end)
      dot[i] = fmaf(-heads.slope[i % 2], (float)(mine.own - at - row), score);
    else
      dot[i] = -INFINITY;
  }
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    float largest = fmaxf(heads.largest[h], column_max(fmaxf(dot[h], dot[2 + h])));
    shrink[h] = heads.largest[h] == largest ? 1.0f : zh_weight_of(heads.largest[h], largest);
    dot[h] = zh_weight_of(dot[h], largest);
    dot[2 + h] = zh_weight_of(dot[2 + h], largest);
    heads.weight[h] = fmaf(heads.weight[h], shrink[h], dot[h] + dot[2 + h]);
    heads.largest[h] = largest;
  }
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3)
    for (uint32_t i = 0; i < 4; ++i) dot[i] *= zh_kv_scale<TYPE>(stage, r.values + (g + i / 2 * 8) * r.value_pitch);
}

/* From positions by rows, two heads a thread, to positions along k, one head a thread, in three parts. */
ZH_DEVICE void turn_weights(uint32_t (&part)[2][BF16S], const float (&weight)[4]) {
  uint32_t g = threadIdx.x % WARP / 4, c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    float mine[2];
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i) {
      uint32_t from = (2 * c + i) * 4 + g / 2;
      float even = __shfl_sync(0xFFFFFFFFu, weight[2 * half], (int)from);
      float odd = __shfl_sync(0xFFFFFFFFu, weight[2 * half + 1], (int)from);
      mine[i] = g % 2 ? odd : even;
    }
    zh_three_pairs(part[half], mine[0], mine[1]);
  }
}

/* sum[dimensions by sixteen][16 dimensions][8 heads] */
template <int TYPE, int SIXTEENS>
ZH_DEVICE void mix(float (&sum)[SIXTEENS][4], const uint32_t (&part)[2][BF16S], const float (&shrink)[2],
                   zh_shared<uint8_t> values, uint32_t pitch, uint32_t dim) {
#pragma unroll
  for (uint32_t n = 0; n < SIXTEENS; ++n)
    for (uint32_t i = 0; i < 4; ++i) sum[n][i] *= shrink[i % 2];
#pragma unroll
  for (uint32_t n = 0; n < SIXTEENS; n += 2) {
    uint32_t word[2][4];
    if (16 * n >= dim) break;
    zh_value_words<TYPE>(word, values, pitch, 0, 16 * n, dim);
#pragma unroll
    for (uint32_t b = 0; b < BF16S; ++b) {
      const uint32_t weights[2] = {part[0][b], part[1][b]};
      zh_mma_bf16(sum[n], word[0], weights);
      zh_mma_bf16(sum[n + 1], word[1], weights);
    }
  }
}

/* What each warp has, side by side; its stages are no longer needed. */
template <int TYPE, int SIXTEENS>
ZH_DEVICE void show_sums(const float (&sum)[SIXTEENS][4], const pair_of_heads &heads, const planes &p, const room &r,
                         uint32_t dim) {
  uint32_t g = threadIdx.x % WARP / 4, c = threadIdx.x % 4, first = threadIdx.x / WARP * HEADS + 2 * c;
  for (uint32_t h = 0; h < 2; ++h) {
    float weight = column_sum(heads.weight[h]);
    if (g != 0) continue;
    p.largest[first + h] = heads.largest[h];
    p.weight[first + h] = weight;
  }
#pragma unroll
  for (uint32_t n = 0; n < SIXTEENS; ++n)
    for (uint32_t i = 0; i < 4; ++i)
      if (16 * n < dim)
        p.sums[(first + i % 2) * r.sum_pitch + 16 * n + zh_value_column<TYPE>(g, i / 2)] = sum[n][i];
}

/* The warps' sums as one part's. */
ZH_DEVICE void put_part(const zh_attention_view &v, const planes &p, const room &r, const share_of &mine) {
  for (uint32_t i = threadIdx.x; i < mine.heads * v.values.dim; i += THREADS) {
    uint32_t head = i / v.values.dim, column = i % v.values.dim;
    size_t at = zh_part_place(v, mine.token, mine.head + head, mine.part);
    float largest = p.largest[head], sum = 0.0f, weight = 0.0f;
    for (uint32_t w = 1; w < WARPS; ++w) largest = fmaxf(largest, p.largest[w * HEADS + head]);
    for (uint32_t w = 0; w < WARPS; ++w) {
      float factor = zh_weight_of(p.largest[w * HEADS + head], largest);
      sum = fmaf(p.sums[(w * HEADS + head) * r.sum_pitch + column], factor, sum);
      weight = fmaf(p.weight[w * HEADS + head], factor, weight);
    }
    v.scratch[at + 2 + column] = sum;
    if (column > 0) continue;
    v.scratch[at] = largest;
    v.scratch[at + 1] = weight;
  }
}

ZH_DEVICE share_of share_at(const zh_attention_view &v, uint32_t shares, uint32_t share, uint32_t token,
                            uint32_t part) {
  share_of mine = {};
  mine.token = token;
  mine.part = part;
  mine.sequence = v.sequence[mine.token];
  mine.key_head = share / shares;
  mine.head = mine.key_head * v.group + share % shares * HEADS;
  mine.heads = min((uint32_t)HEADS, (mine.key_head + 1) * v.group - mine.head);
  zh_seen seen = zh_seen_of(v, mine.token);
  uint32_t length = zh_part_length(v, seen.end - seen.begin);
  mine.own = seen.end - 1;
  mine.begin = min(seen.begin + mine.part * length, seen.end);
  mine.end = min(mine.begin + length, seen.end);
  return mine;
}

ZH_DEVICE pair_of_heads heads_of(const zh_attention_view &v, const share_of &mine) {
  pair_of_heads heads = {};
  for (uint32_t h = 0; h < 2; ++h) {
    heads.largest[h] = -INFINITY;
    if (v.slopes) heads.slope[h] = v.slopes[mine.head + min(threadIdx.x % 4 * 2 + h, mine.heads - 1)];
  }
  return heads;
}

struct view {
  zh_attention_view v;
  room r;
  uint32_t shares; /* of a key head: HEADS query heads each */
};

/* Which of the bodies below, as one number; those of attention_few.cuh are smaller. */
__host__ __device__ constexpr unsigned variant_of(unsigned type, unsigned sixteens) {
  return 32 + type * 4 + (sixteens == 4 ? 0 : 1);
}
static inline unsigned sixteens_of(uint32_t value_dim) {
  return value_dim <= 64 ? 4 : value_dim <= 128 ? 8 : DIMS_MAX / 16;
}

/* A warp's positions of a part, tile by tile. */
template <int TYPE, int SIXTEENS>
ZH_DEVICE void go_through(float (&sum)[SIXTEENS][4], pair_of_heads &heads, const zh_attention_view &v, const planes &p,
                          const room &r, const share_of &mine, uint32_t first) {
  for (uint32_t at = first, stage = 0; at < mine.end; at += WARPS * ROWS) {
    zh_shared<uint8_t> rows = p.stages + stage * r.stage;
    float dot[4], shrink[2];
    uint32_t part[2][BF16S];
    wait_for_copies(r.stages);
    __syncwarp();
    compare<TYPE>(dot, p, r, rows, v.keys.dim);
    weigh<TYPE>(dot, shrink, heads, v, r, rows, mine, at);
    turn_weights(part, dot);
    mix<TYPE, SIXTEENS>(sum, part, shrink, rows + r.values, r.value_pitch, v.values.dim);
    __syncwarp();
    uint32_t next = at + r.stages * WARPS * ROWS;
    if (next < mine.end) begin_copies(v, p, r, mine, next, stage);
    zh_copies_commit();
    stage = stage + 1 < r.stages ? stage + 1 : 0;
  }
}

/* Part `part` of a token for one share of all query heads, by the first THREADS of a block. */
template <int TYPE, int SIXTEENS>
ZH_DEVICE void attend_part(const view &of, uint32_t share, uint32_t token, uint32_t part,
                           zh_shared<unsigned char> all) {
  const zh_attention_view &v = of.v;
  const room r = of.r;
  const share_of mine = share_at(v, of.shares, share, token, part);
  const bool works = threadIdx.x < THREADS;
  if (mine.begin == mine.end) return;
  planes p = cut(all, r, v.keys.dim);
  pair_of_heads heads = heads_of(v, mine);
  float sum[SIXTEENS][4] = {};
  uint32_t first = mine.begin + threadIdx.x / WARP * ROWS;
  for (uint32_t stage = 0; works && stage < r.stages; ++stage) {
    uint32_t at = first + stage * WARPS * ROWS;
    if (at < mine.end) begin_copies(v, p, r, mine, at, stage);
    zh_copies_commit();
  }
  if (works) keep_queries<TYPE>(v, p.q, mine);
  __syncthreads();
  if (works) go_through<TYPE, SIXTEENS>(sum, heads, v, p, r, mine, first);
  __syncthreads();
  if (works) show_sums<TYPE, SIXTEENS>(sum, heads, p, r, v.values.dim);
  __syncthreads();
  if (works) put_part(v, p, r, mine);
}

} // namespace zh_attention_cores

#endif
