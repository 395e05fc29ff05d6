/* Attention of few tokens: a block's part; attention_few.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_ATTENTION_FEW_CUH
#define ZH_KERNELS_CUDA_ATTENTION_FEW_CUH

#include "attention.cuh"

namespace zh_attention_few {

enum { WARP = 32, MOST_HEADS = 8, QUAD = 4, GAP = 16, VALUES_MAX = 512 };
/* Items of a thread: pairs of dimensions of values for QUAD heads. */
template <int THREADS> struct items {
  static constexpr uint32_t COUNT = VALUES_MAX / 2 * (MOST_HEADS / QUAD) / THREADS;
};

/* Where things lie in a block's shared memory, in bytes. */
struct room {
  uint32_t keys, values, scores, state, all;    /* q lies at 0 */
  uint32_t key_pitch, value_pitch, tile, heads; /* heads: four or eight */
};

struct shared_parts {
  zh_shared<float> q, scores;            /* [heads][key_dim], [tile][heads] */
  zh_shared<uint8_t> keys, values;       /* [tile] rows */
  zh_shared<float> largest, sum, shrink; /* [heads] */
};

ZH_DEVICE shared_parts cut(zh_shared<unsigned char> all, const room &r, uint32_t key_dim) {
  shared_parts s;
  s.q = zh_part<float>(all, 0, r.heads * key_dim);
  s.keys = zh_part<uint8_t>(all, r.keys, r.tile * r.key_pitch);
  s.values = r.values == r.keys ? s.keys : zh_part<uint8_t>(all, r.values, r.tile * r.value_pitch);
  s.scores = zh_part<float>(all, r.scores, r.heads * r.tile);
  s.largest = zh_part<float>(all, r.state, r.heads);
  s.sum = zh_part<float>(all, r.state + r.heads * 4, r.heads);
  s.shrink = zh_part<float>(all, r.state + r.heads * 8, r.heads);
  return s;
}

/* What a block has. */
struct share_of {
  uint32_t token, key_head, head, heads; /* first query head, and how many */
  uint32_t begin, end, part;             /* positions */
};

template <int THREADS>
ZH_DEVICE void copy_rows(zh_shared<uint8_t> to, uint32_t pitch, const zh_kv_view &from, size_t first, uint32_t count,
                         uint32_t tile) {
  uint32_t chunks = (uint32_t)(from.row_bytes / 16);
  for (uint32_t i = threadIdx.x; i < tile * chunks; i += THREADS) {
    uint32_t row = i / chunks, at = i % chunks * 16;
    bool valid = row < count;
    zh_copy_async(to, row * pitch + at, from.rows, first + (valid ? row * from.row_bytes + at : 0), valid);
  }
}

/* Numbers of a row in shared memory: one, or a pair; E4M3's without their scale. */
template <int TYPE> ZH_DEVICE float number_at(zh_shared<uint8_t> rows, uint32_t row, uint32_t i) {
  if constexpr (TYPE == ZH_DEVICE_KV_F32) return zh_load<float>(rows, row + 4 * i);
  if constexpr (TYPE == ZH_DEVICE_KV_BF16) return zh_bf16_value(zh_load<uint16_t>(rows, row + 2 * i));
  return zh_e4m3_value((uint32_t)rows[row + ZH_KV_SCALE_BYTES + i]);
}
template <int TYPE> ZH_DEVICE float2 pair_at(zh_shared<uint8_t> rows, uint32_t row, uint32_t pair) {
  if constexpr (TYPE == ZH_DEVICE_KV_F32) return zh_load<float2>(rows, row + 8 * pair);
  if constexpr (TYPE == ZH_DEVICE_KV_BF16) {
    uint32_t both = zh_load<uint32_t>(rows, row + 4 * pair);
    return make_float2(zh_bf16_value(both & 0xFFFFu), zh_bf16_value(both >> 16));
  }
  uint32_t both = zh_load<uint16_t>(rows, row + ZH_KV_SCALE_BYTES + 2 * pair);
  return make_float2(zh_e4m3_value(both & 0xFFu), zh_e4m3_value(both >> 8));
}
/* The numbers in sixteen bytes: number COUNT i and those behind it. */
template <int TYPE> struct sixteen {
  static constexpr uint32_t COUNT = TYPE == ZH_DEVICE_KV_F32 ? 4 : TYPE == ZH_DEVICE_KV_BF16 ? 8 : 16;
  float number[COUNT];
};
template <int TYPE> ZH_DEVICE sixteen<TYPE> sixteen_at(zh_shared<uint8_t> rows, uint32_t row, uint32_t i) {
  sixteen<TYPE> s;
  uint4 raw = zh_load<uint4>(rows, row + (TYPE == ZH_DEVICE_KV_E4M3 ? (uint32_t)ZH_KV_SCALE_BYTES : 0) + 16 * i);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (uint32_t k = 0; k < sixteen<TYPE>::COUNT; ++k) {
    if constexpr (TYPE == ZH_DEVICE_KV_F32) s.number[k] = zh_float(words[k]);
    if constexpr (TYPE == ZH_DEVICE_KV_BF16)
      s.number[k] = zh_float(k % 2 ? words[k / 2] & 0xFFFF0000u : words[k / 2] << 16);
    if constexpr (TYPE == ZH_DEVICE_KV_E4M3) s.number[k] = zh_e4m3_value(words[k / 4] >> (8 * (k % 4)) & 0xFFu);
  }
  return s;
}
template <int TYPE> ZH_DEVICE float scale_at(zh_shared<uint8_t> rows, uint32_t row) {
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3) return zh_load<float>(rows, row);
  return 1.0f;
}

/* Each thread a position of the tile and some of the heads: all scores, -inf behind the last. back: how far the tile's
 * first position is from the token's own. */
template <int THREADS, int TYPE, int TILE, int HEADS>
ZH_DEVICE void compare(const zh_attention_view &v, const shared_parts &s, const room &r, const share_of &mine,
                       uint32_t count, uint32_t back) {
  constexpr uint32_t SHARES = THREADS / TILE, OWN = HEADS > SHARES ? HEADS / SHARES : 1, COUNT = sixteen<TYPE>::COUNT;
  uint32_t j = threadIdx.x % TILE, first = threadIdx.x / TILE * OWN, row = j * r.key_pitch, dim = v.keys.dim;
  if (first >= HEADS) return;
  float dot[OWN] = {};
  if (j < count) {
    for (uint32_t i = 0; i < dim / COUNT; ++i) {
      sixteen<TYPE> k = sixteen_at<TYPE>(s.keys, row, i);
#pragma unroll
      for (uint32_t h = 0; h < OWN; ++h) {
        uint32_t at = (first + h) * dim + COUNT * i;
#pragma unroll
        for (uint32_t e = 0; e < COUNT; e += 4) {
          float4 q = {};
          if (dim % 4 == 0)
            q = zh_load<float4>(s.q, at + e);
          else
            q = make_float4(s.q[at + e], s.q[at + e + 1], s.q[at + e + 2], s.q[at + e + 3]);
          dot[h] = fmaf(q.x, k.number[e], dot[h]);
          dot[h] = fmaf(q.y, k.number[e + 1], dot[h]);
          dot[h] = fmaf(q.z, k.number[e + 2], dot[h]);
          dot[h] = fmaf(q.w, k.number[e + 3], dot[h]);
        }
      }
    }
    for (uint32_t i = dim / COUNT * COUNT; i < dim; ++i) {
      float k = number_at<TYPE>(s.keys, row, i);
      for (uint32_t h = 0; h < OWN; ++h) dot[h] = fmaf(s.q[(first + h) * dim + i], k, dot[h]);
    }
  }
  float scale = j < count ? scale_at<TYPE>(s.keys, row) : 0.0f;
  for (uint32_t h = 0; h < OWN; ++h) {
    float score = -INFINITY;
    if (j < count) score = zh_shaped_score(v, dot[h] * scale);
    if (j < count && v.slopes)
      score = zh_slanted_score(v, score, mine.head + min(first + h, mine.heads - 1), back - j);
    s.scores[j * HEADS + first + h] = score;
  }
}

/* Scores become weights, times the scales of values; each warp some heads. */
template <int THREADS, int TYPE, int TILE, int HEADS>
ZH_DEVICE void weigh(const shared_parts &s, const room &r, uint32_t count) {
  uint32_t lane = threadIdx.x % WARP;
  for (uint32_t h = threadIdx.x / WARP; h < HEADS; h += THREADS / WARP) {
    float before = s.largest[h], largest = before, sum = 0.0f;
    for (uint32_t j = lane; j < TILE; j += WARP) largest = fmaxf(largest, s.scores[j * HEADS + h]);
    largest = zh_warp_max(largest);
    for (uint32_t j = lane; j < TILE; j += WARP) {
      float score = s.scores[j * HEADS + h], weight = zh_weight_of(score, largest);
      sum += weight;
      if (TYPE == ZH_DEVICE_KV_E4M3 && j < count) weight *= scale_at<TYPE>(s.values, j * r.value_pitch);
      s.scores[j * HEADS + h] = weight;
    }
    sum = zh_warp_sum(sum);
    __syncwarp();
    if (lane != 0) continue;
    float shrink = zh_weight_of(before, largest);
    s.largest[h] = largest;
    s.shrink[h] = shrink;
    s.sum[h] = fmaf(s.sum[h], shrink, sum);
  }
}

/* An item: two dimensions of the values, four heads. */
struct item_of {
  uint32_t pair, head;
};
ZH_DEVICE item_of item_at(uint32_t i, uint32_t pairs) {
  return {i % pairs, i / pairs * QUAD};
}

template <int THREADS, int TYPE, int HEADS, uint32_t ITEMS>
ZH_DEVICE void mix(float (&sum)[ITEMS][QUAD][2], const shared_parts &s, const room &r, uint32_t pairs, uint32_t count) {
#pragma unroll
  for (uint32_t n = 0; n < ITEMS; ++n) {
    uint32_t i = threadIdx.x + n * THREADS;
    if (i >= pairs * (HEADS / QUAD)) break;
    item_of item = item_at(i, pairs);
    for (uint32_t h = 0; h < QUAD; ++h)
      for (uint32_t e = 0; e < 2; ++e) sum[n][h][e] *= s.shrink[item.head + h];
    for (uint32_t j = 0; j < count; ++j) {
      float2 value = pair_at<TYPE>(s.values, j * r.value_pitch, item.pair);
      float4 four = zh_load<float4>(s.scores, j * HEADS + item.head);
      const float weight[QUAD] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (uint32_t h = 0; h < QUAD; ++h) {
        sum[n][h][0] = fmaf(weight[h], value.x, sum[n][h][0]);
        sum[n][h][1] = fmaf(weight[h], value.y, sum[n][h][1]);
      }
    }
  }
}

template <int THREADS, uint32_t ITEMS>
ZH_DEVICE void put_part(const zh_attention_view &v, const shared_parts &s, const share_of &mine,
                        const float (&sum)[ITEMS][QUAD][2], uint32_t pairs, uint32_t heads) {
  if (threadIdx.x < mine.heads) {
    size_t at = zh_part_place(v, mine.token, mine.head + threadIdx.x, mine.part);
    v.scratch[at] = s.largest[threadIdx.x];
    v.scratch[at + 1] = s.sum[threadIdx.x];
  }
#pragma unroll
  for (uint32_t n = 0; n < ITEMS; ++n) {
    uint32_t i = threadIdx.x + n * THREADS;
    if (i >= pairs * (heads / QUAD)) break;
    item_of item = item_at(i, pairs);
    for (uint32_t h = 0; h < QUAD; ++h)
      for (uint32_t e = 0; e < 2; ++e)
        if (item.head + h < mine.heads && 2 * item.pair + e < v.values.dim)
          v.scratch[zh_part_place(v, mine.token, mine.head + item.head + h, mine.part) + 2 + 2 * item.pair + e] =
              sum[n][h][e];
  }
}

template <int THREADS>
ZH_DEVICE void begin_part(const zh_attention_view &v, const shared_parts &s, const share_of &mine, uint32_t heads) {
  uint32_t dim = v.keys.dim;
  size_t first = ((size_t)mine.token * v.heads + mine.head) * dim;
  for (uint32_t i = threadIdx.x; i < heads * dim; i += THREADS) {
    float q = 0.0f;
    if (i < mine.heads * dim) q = v.q[first + i];
    s.q[i] = q;
  }
  if (threadIdx.x < heads) {
    s.largest[threadIdx.x] = -INFINITY;
    s.sum[threadIdx.x] = 0.0f;
  }
}

struct view {
  zh_attention_view v;
  room r;
  uint32_t shares; /* of a key head: HEADS query heads each */
};

/* Which of the bodies below, as one number. */
__host__ __device__ constexpr unsigned variant_of(unsigned type, unsigned tile, unsigned heads) {
  return type * 6 + (tile == 64 ? 0 : tile == 32 ? 2 : 4) + (heads == QUAD ? 0 : 1);
}

/* Part `part` of a token for one share of all query heads. */
template <int THREADS, int TYPE, int TILE, int HEADS>
ZH_DEVICE void attend_part(const view &of, uint32_t share, uint32_t token, uint32_t part,
                           zh_shared<unsigned char> all) {
  const zh_attention_view &v = of.v;
  const room &r = of.r;
  shared_parts s = cut(all, r, v.keys.dim);
  share_of mine = {};
  mine.token = token;
  mine.part = part;
  mine.key_head = share / of.shares;
  mine.head = mine.key_head * v.group + share % of.shares * HEADS;
  mine.heads = min((uint32_t)HEADS, (mine.key_head + 1) * v.group - mine.head);
  zh_seen seen = zh_seen_of(v, mine.token);
  uint32_t length = zh_part_length(v, seen.end - seen.begin), pairs = (v.values.dim + 1) / 2;
  mine.begin = seen.begin + mine.part * length;
  if (mine.begin >= seen.end) return;
  mine.end = min(mine.begin + length, seen.end);
  uint32_t sequence = v.sequence[mine.token];
  float sum[items<THREADS>::COUNT][QUAD][2] = {};
  begin_part<THREADS>(v, s, mine, HEADS);
  for (uint32_t at = mine.begin; at < mine.end; at += TILE) {
    uint32_t count = min((uint32_t)TILE, mine.end - at);
    copy_rows<THREADS>(s.keys, r.key_pitch, v.keys, zh_kv_row(v.keys, sequence, mine.key_head, at), count, TILE);
    zh_copies_commit();
    if (!v.latent)
      copy_rows<THREADS>(s.values, r.value_pitch, v.values, zh_kv_row(v.values, sequence, mine.key_head, at), count,
                         TILE);
    zh_copies_commit();
    zh_copies_wait<1>();
    __syncthreads();
    compare<THREADS, TYPE, TILE, HEADS>(v, s, r, mine, count, seen.end - 1 - at);
    zh_copies_wait<0>();
    __syncthreads();
    weigh<THREADS, TYPE, TILE, HEADS>(s, r, count);
    __syncthreads();
    mix<THREADS, TYPE, HEADS>(sum, s, r, pairs, count);
    __syncthreads();
  }
  put_part<THREADS>(v, s, mine, sum, pairs, HEADS);
}

} // namespace zh_attention_few

#endif
