/* Attention over latents (DeepSeek-V2, V3): all query heads share one row of 576 numbers a position, whose first 512 are
 * the values, too. Queries and weights of values are rounded to bf16; scores and sums are fp32's.
 *
 * A block has a part of the positions that a token sees, and sixteen of the heads, or 32 where there are more, as the
 * rows of both products. Sixteen heads are held by memory, 128 by how fast products are made. 32 positions a step come
 * into shared memory, once for both products, while earlier ones are computed with. Of the scores a warp has a quarter
 * of the dimensions, so that its part of the queries stays in registers, and sixteen positions; the quarters meet in
 * shared memory, where each warp makes weights of some heads' scores. Then a warp has 64 dimensions of the values. */
#include "attention.cuh"
#include "kv_words.cuh"

namespace {

enum { THREADS = 256, WARP = 32, WARPS = THREADS / WARP, ROWS = 32, QUARTERS = 4 };
enum { KEYS_MAX = 576, VALUES_MAX = 512, STEPS = KEYS_MAX / 16 / QUARTERS, RUNS = VALUES_MAX / 32 / WARPS };
enum { MOST_STAGES = 4, SCORE_PITCH = 40, WEIGHT_PITCH = 40 /* eight rows meet no bank twice */ };

/* Bytes; stages lie at 0. */
struct room {
  uint32_t stages, pitch, reciprocal, stage, scores, weights, shrink, all;
};

struct planes {
  zh_shared<uint8_t> stages;
  zh_shared<float> scores;     /* [QUARTERS][heads] rows of positions */
  zh_shared<uint16_t> weights; /* [heads] rows of positions */
  zh_shared<float> shrink;     /* [heads] */
};

template <int TILES> ZH_DEVICE planes cut(zh_shared<unsigned char> all, const room &r) {
  planes p;
  p.stages = zh_part<uint8_t>(all, 0, r.stages * r.stage);
  p.scores = zh_part<float>(all, r.scores, QUARTERS * 16 * TILES * SCORE_PITCH);
  p.weights = zh_part<uint16_t>(all, r.weights, 16 * TILES * WEIGHT_PITCH);
  p.shrink = zh_part<float>(all, r.shrink, 16 * TILES);
  return p;
}

struct share_of {
  uint32_t token, sequence, head, heads; /* first query head, and how many */
  uint32_t begin, end, part;
};

template <int TILES> ZH_DEVICE share_of share_at(const zh_attention_view &v) {
  share_of mine = {};
  mine.token = blockIdx.z;
  mine.part = blockIdx.x;
  mine.sequence = v.sequence[mine.token];
  mine.head = blockIdx.y * 16 * TILES;
  mine.heads = min(16u * TILES, v.heads - mine.head);
  zh_seen seen = zh_seen_of(v, mine.token);
  uint32_t length = zh_part_length(v, seen.end - seen.begin);
  mine.begin = min(seen.begin + mine.part * length, seen.end);
  mine.end = min(mine.begin + length, seen.end);
  return mine;
}

ZH_DEVICE uint32_t quarter_of() {
  return threadIdx.x / WARP % QUARTERS;
}
/* Of a warp's steps through the dimensions the one that is number i. */
ZH_DEVICE uint32_t column_of(uint32_t i) {
  return 16 * (quarter_of() + QUARTERS * i);
}
/* Of a warp's runs of 32 dimensions of the values. */
ZH_DEVICE uint32_t run_column(uint32_t i) {
  return 32 * (threadIdx.x / WARP + WARPS * i);
}

/* This warp's dimensions of all heads, as a's words. */
template <int TYPE, int TILES>
ZH_DEVICE void load_queries(uint32_t (&q)[TILES][STEPS][4], const zh_attention_view &v, const share_of &mine) {
  uint32_t g = threadIdx.x % WARP / 4, c = threadIdx.x % 4, dim = v.keys.dim;
  size_t first = ((size_t)mine.token * v.heads + mine.head) * dim;
#pragma unroll
  for (uint32_t t = 0; t < TILES; ++t)
#pragma unroll
    for (uint32_t s = 0; s < STEPS; ++s)
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) {
        uint32_t head = 16 * t + g + i % 2 * 8, column = column_of(s) + zh_key_column<TYPE>(c, i / 2);
        float2 both = make_float2(0.0f, 0.0f);
        if (head < mine.heads && column < dim) both = zh_load<float2>(v.q, first + head * dim + column);
        q[t][s][i] = zh_bf16_pair(both.x, both.y);
      }
}

ZH_DEVICE void begin_copies(const zh_attention_view &v, const planes &p, const room &r, const share_of &mine,
                            uint32_t at, uint32_t stage) {
  zh_copy_rows<ROWS, THREADS>(p.stages + stage * r.stage, r.pitch, v.keys, zh_kv_row(v.keys, mine.sequence, 0, at),
                              mine.end - at, threadIdx.x, r.reciprocal);
}

ZH_DEVICE void wait_for_copies(uint32_t stages) {
  if (stages == 2)
    zh_copies_wait<0>();
  else if (stages == 3)
    zh_copies_wait<1>();
  else
    zh_copies_wait<2>();
}

/* A quarter of the dimensions of 16 positions by all heads. */
template <int TYPE, int TILES>
ZH_DEVICE void compare(const planes &p, const room &r, zh_shared<uint8_t> rows, const uint32_t (&q)[TILES][STEPS][4],
                       uint32_t dim) {
  uint32_t g = threadIdx.x % WARP / 4, c = threadIdx.x % 4, first = threadIdx.x / WARP / QUARTERS * 16;
  float score[TILES][2][4] = {};
#pragma unroll
  for (uint32_t s = 0; s < STEPS; ++s) {
    uint32_t word[4];
    if (column_of(s) >= dim) break;
    zh_key_words<TYPE>(word, rows, r.pitch, first, column_of(s));
#pragma unroll
    for (uint32_t n = 0; n < 2; ++n) {
      const uint32_t keys[2] = {word[n], word[2 + n]};
#pragma unroll
      for (uint32_t t = 0; t < TILES; ++t) zh_mma_bf16(score[t][n], q[t][s], keys);
    }
  }
#pragma unroll
  for (uint32_t t = 0; t < TILES; ++t)
#pragma unroll
    for (uint32_t n = 0; n < 2; ++n)
      for (uint32_t i = 0; i < 2; ++i) {
        uint32_t row = quarter_of() * 16 * TILES + 16 * t + g + 8 * i;
        zh_store(p.scores, row * SCORE_PITCH + first + 8 * n + 2 * c,
                 make_float2(score[t][n][2 * i], score[t][n][2 * i + 1]));
      }
}

/* What a warp keeps of its heads: the largest score; of the weights each thread the sum of its position's. */
template <int TILES> struct state_of { float largest[2 * TILES], weight[2 * TILES]; };

/* Head i of a warp. */
ZH_DEVICE uint32_t head_of(uint32_t i) {
  return threadIdx.x / WARP + WARPS * i;
}

template <int TYPE, int TILES>
ZH_DEVICE void weigh(state_of<TILES> &s, const zh_attention_view &v, const planes &p, const room &r,
                     zh_shared<uint8_t> rows, uint32_t count) {
  uint32_t lane = threadIdx.x % WARP;
  float scale = zh_kv_scale<TYPE>(rows, lane * r.pitch);
#pragma unroll
  for (uint32_t i = 0; i < 2 * TILES; ++i) {
    uint32_t head = head_of(i);
    float dot = 0.0f;
    for (uint32_t k = 0; k < QUARTERS; ++k) dot += p.scores[(k * 16 * TILES + head) * SCORE_PITCH + lane];
    float score = lane < count ? zh_shaped_score(v, dot * scale) : -INFINITY;
    float largest = fmaxf(s.largest[i], zh_warp_max(score));
    float shrink = s.largest[i] == largest ? 1.0f : zh_weight_of(s.largest[i], largest);
    float weight = zh_weight_of(score, largest);
    s.weight[i] = fmaf(s.weight[i], shrink, weight);
    s.largest[i] = largest;
    p.weights[head * WEIGHT_PITCH + lane] = zh_bf16_of(weight * scale);
    if (lane == 0) p.shrink[head] = shrink;
  }
}

/* sum[heads by sixteen][runs of 32 dimensions][by eight][...] */
template <int TYPE, int TILES>
ZH_DEVICE void mix(float (&sum)[TILES][RUNS][4][4], const planes &p, const room &r, zh_shared<uint8_t> rows,
                   uint32_t dim) {
  uint32_t lane = threadIdx.x % WARP, g = lane / 4, weight[TILES][2][4];
#pragma unroll
  for (uint32_t t = 0; t < TILES; ++t) {
    float shrink[2] = {p.shrink[16 * t + g], p.shrink[16 * t + g + 8]};
#pragma unroll
    for (uint32_t n = 0; n < RUNS * 4; ++n)
      for (uint32_t i = 0; i < 4; ++i) sum[t][n / 4][n % 4][i] *= shrink[i / 2];
#pragma unroll
    for (uint32_t k = 0; k < 2; ++k)
      zh_load_matrices(weight[t][k], p.weights, (16 * t + lane % 16) * WEIGHT_PITCH + 16 * k + lane / 16 * 8);
  }
#pragma unroll
  for (uint32_t n = 0; n < RUNS; ++n) {
    if (run_column(n) >= dim) break;
#pragma unroll
    for (uint32_t k = 0; k < 2; ++k) {
      uint32_t word[2][4];
      zh_value_words<TYPE>(word, rows, r.pitch, 16 * k, run_column(n), dim);
#pragma unroll
      for (uint32_t e = 0; e < 4; ++e) {
        const uint32_t values[2] = {word[e / 2][e % 2], word[e / 2][2 + e % 2]};
#pragma unroll
        for (uint32_t t = 0; t < TILES; ++t) zh_mma_bf16(sum[t][n][e], weight[t][k], values);
      }
    }
  }
}

template <int TYPE, int TILES>
ZH_DEVICE void put_part(const zh_attention_view &v, const share_of &mine, const float (&sum)[TILES][RUNS][4][4],
                        const state_of<TILES> &s) {
  uint32_t lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;
#pragma unroll
  for (uint32_t i = 0; i < 2 * TILES; ++i) {
    float weight = zh_warp_sum(s.weight[i]);
    if (lane > 0 || head_of(i) >= mine.heads) continue;
    size_t at = zh_part_place(v, mine.token, mine.head + head_of(i), mine.part);
    v.scratch[at] = s.largest[i];
    v.scratch[at + 1] = weight;
  }
#pragma unroll
  for (uint32_t t = 0; t < TILES; ++t)
#pragma unroll
    for (uint32_t n = 0; n < RUNS; ++n)
#pragma unroll
      for (uint32_t e = 0; e < 4; ++e)
#pragma unroll
        for (uint32_t i = 0; i < 4; ++i) {
          uint32_t head = 16 * t + g + i / 2 * 8;
          uint32_t column = run_column(n) + e / 2 * 16 + zh_value_column<TYPE>(2 * c + i % 2, e % 2);
          if (head < mine.heads && run_column(n) < v.values.dim)
            v.scratch[zh_part_place(v, mine.token, mine.head + head, mine.part) + 2 + column] = sum[t][n][e][i];
        }
}

/* Grid: parts, heads by 16 TILES, tokens. */
template <int TYPE, int TILES>
ZH_KERNEL void __launch_bounds__(THREADS, TILES == 1 ? 2 : 1) attend_latent(zh_attention_view v, room r) {
  ZH_SHARED_DYNAMIC(all);
  planes p = cut<TILES>(all, r);
  share_of mine = share_at<TILES>(v);
  if (mine.begin == mine.end) return;
  uint32_t q[TILES][STEPS][4];
  float sum[TILES][RUNS][4][4] = {};
  state_of<TILES> state;
  for (uint32_t i = 0; i < 2 * TILES; ++i) state.largest[i] = -INFINITY, state.weight[i] = 0.0f;
  for (uint32_t stage = 0; stage + 1 < r.stages; ++stage) {
    if (mine.begin + stage * ROWS < mine.end) begin_copies(v, p, r, mine, mine.begin + stage * ROWS, stage);
    zh_copies_commit();
  }
  load_queries<TYPE, TILES>(q, v, mine);
  for (uint32_t at = mine.begin, stage = 0; at < mine.end; at += ROWS) {
    zh_shared<uint8_t> rows = p.stages + stage * r.stage;
    uint32_t next = at + (r.stages - 1) * ROWS, free = stage == 0 ? r.stages - 1 : stage - 1;
    wait_for_copies(r.stages);
    __syncthreads(); /* and everyone is done with the stage before */
    if (next < mine.end) begin_copies(v, p, r, mine, next, free);
    zh_copies_commit();
    compare<TYPE, TILES>(p, r, rows, q, v.keys.dim);
    __syncthreads();
    weigh<TYPE, TILES>(state, v, p, r, rows, mine.end - at);
    __syncthreads();
    mix<TYPE, TILES>(sum, p, r, rows, v.values.dim);
    stage = stage + 1 < r.stages ? stage + 1 : 0;
  }
  put_part<TYPE, TILES>(v, mine, sum, state);
}

room room_of(const zh_attention_view *v, uint32_t tiles, uint32_t stages) {
  room r = {};
  r.stages = stages;
  r.pitch = zh_kv_pitch(v->keys);
  r.reciprocal = zh_reciprocal(v->keys);
  r.stage = ROWS * r.pitch;
  r.scores = stages * r.stage;
  r.weights = r.scores + QUARTERS * 16 * tiles * SCORE_PITCH * 4;
  r.shrink = r.weights + 16 * tiles * WEIGHT_PITCH * 2;
  r.all = r.shrink + 16 * tiles * 4;
  return r;
}

/* More stages where a block has a multiprocessor to itself. */
room room_for(const zh_device *device, const zh_attention_view *v, uint32_t tiles) {
  room r = room_of(v, tiles, 2);
  for (uint32_t stages = 3; tiles > 1 && stages <= MOST_STAGES; ++stages) {
    room more = room_of(v, tiles, stages);
    if (more.all > device->facts.shared_bytes) break;
    r = more;
  }
  return r;
}

uint32_t tiles_of(size_t heads) {
  return heads > 16 ? 2 : 1;
}

template <int TYPE, int TILES>
zh_status launch(zh_device *device, const zh_device_attention *w, const zh_attention_view *v, zh_error *err) {
  room r = room_for(device, v, TILES);
  auto kernel = attend_latent<TYPE, TILES>;
  if (r.all > device->facts.shared_bytes)
    return zh_fail(err, ZH_ERR_LACKING,
                   "attention over latents of %u dimensions needs %u bytes of shared memory, and this GPU has %llu: use "
                   "keys and values in f32",
                   v->keys.dim, r.all, (unsigned long long)device->facts.shared_bytes);
  if (r.all > 48 * 1024) ZH_CUDA(device, zh_cuda_allow_shared(device, kernel), "asking for shared memory");
  ZH_LAUNCH(kernel, dim3(v->most_parts, zh_cuda_latent_blocks(w), v->tokens), THREADS, r.all, device->stream, *v, r);
  return zh_cuda_launched(device, "attention over latents", err);
}

template <int TYPE>
zh_status launch_heads(zh_device *device, const zh_device_attention *w, const zh_attention_view *v, zh_error *err) {
  return tiles_of(w->heads) == 2 ? launch<TYPE, 2>(device, w, v, err) : launch<TYPE, 1>(device, w, v, err);
}

} // namespace

bool zh_cuda_latent_can(const zh_device_attention *w) {
  const zh_device_kv *kv = &w->kv;
  return !kv->values && kv->kv_heads == 1 && kv->key_dim <= KEYS_MAX && kv->value_dim <= VALUES_MAX;
}

uint32_t zh_cuda_latent_blocks(const zh_device_attention *w) {
  uint32_t each = 16 * tiles_of(w->heads);
  return ((uint32_t)w->heads + each - 1) / each;
}

zh_status zh_cuda_attend_latent(zh_device *device, const zh_device_attention *w, zh_attention_view *v, zh_error *err) {
  zh_status status = w->kv.type == ZH_DEVICE_KV_BF16 ? launch_heads<ZH_DEVICE_KV_BF16>(device, w, v, err)
                                                     : launch_heads<ZH_DEVICE_KV_E4M3>(device, w, v, err);
  return status == ZH_OK ? zh_cuda_merge_parts(device, v, err) : status;
}
