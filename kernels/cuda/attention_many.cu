/* Attention of many tokens, by tiles of 64 queries and 64 positions with mma.m16n8k16: q and the weights of values are
 * rounded to bf16, scores and sums are fp32's. The queries of a tile are those of one key head, token by token, so that
 * the heads of a group share what is read. Positions go by tiles that begin at multiples of 64 whatever a token sees,
 * and what it does not see changes no bit of its sums; so tokens beside it do not matter.
 *
 * E4M3: numbers are exact in bf16; the scale of a key meets the score, that of a value its weight. */
#include "attention.cuh"

namespace {

enum { THREADS = 128, WARP = 32, ROWS = 64, KEYS = 64, SLICE = 128, GAP = 8 };

/* Shared memory, in elements of bf16 unless it says bytes. */
struct room {
  uint32_t key_pitch, value_pitch;
  uint32_t keys, values, key_scales, value_scales, all; /* bytes; q lies at 0 */
};

struct planes {
  zh_shared<uint16_t> q, keys, values;
  zh_shared<float> key_scales, value_scales;
};

ZH_DEVICE planes cut(zh_shared<unsigned char> all, const room &r) {
  planes p;
  p.q = zh_part<uint16_t>(all, 0, ROWS * r.key_pitch);
  p.keys = zh_part<uint16_t>(all, r.keys, KEYS * r.key_pitch);
  p.values = r.values == r.keys ? p.keys : zh_part<uint16_t>(all, r.values, KEYS * r.value_pitch);
  p.key_scales = zh_part<float>(all, r.key_scales, KEYS);
  p.value_scales = zh_part<float>(all, r.value_scales, KEYS);
  return p;
}

/* --- into shared memory --- */

/* Sixteen bytes of E4M3 become sixteen numbers in bf16, exactly. */
ZH_DEVICE void keep_sixteen(zh_shared<uint16_t> to, uint32_t at, const uint4 &raw) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
  uint32_t pair[8];
  for (uint32_t i = 0; i < 8; ++i) {
    uint32_t two = words[i / 2] >> (i % 2 * 16);
    pair[i] = zh_bf16_pair(zh_e4m3_value(two & 0xFFu), zh_e4m3_value(two >> 8 & 0xFFu));
  }
  zh_store(to, at, make_uint4(pair[0], pair[1], pair[2], pair[3]));
  zh_store(to, at + 8, make_uint4(pair[4], pair[5], pair[6], pair[7]));
}

/* Positions first … of a row's numbers [begin, begin + dims); those from `end` on become zeros. */
template <int TYPE>
ZH_DEVICE void load_rows(zh_shared<uint16_t> to, zh_shared<float> scales, uint32_t pitch, const zh_kv_view &from,
                         size_t base, uint32_t first, uint32_t end, uint32_t begin, uint32_t dims) {
  constexpr uint32_t EACH = TYPE == ZH_DEVICE_KV_E4M3 ? 16 : 8; /* numbers in 16 bytes */
  uint32_t chunks = dims / EACH;
  for (uint32_t i = threadIdx.x; i < KEYS * chunks; i += THREADS) {
    uint32_t row = i / chunks, at = i % chunks * EACH;
    bool valid = first + row < end;
    size_t place = base + (valid ? (size_t)(first + row) * from.row_bytes : 0);
    if constexpr (TYPE == ZH_DEVICE_KV_BF16) {
      zh_copy_async(to, row * pitch + at, from.rows, place + 2 * (begin + at), valid);
    } else {
      uint4 raw = make_uint4(0, 0, 0, 0);
      if (valid) raw = zh_load<uint4>(from.rows, place + ZH_KV_SCALE_BYTES + begin + at);
      keep_sixteen(to, row * pitch + at, raw);
    }
  }
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3)
    for (uint32_t j = threadIdx.x; j < KEYS; j += THREADS) {
      float scale = 0.0f;
      if (first + j < end) scale = zh_load<float>(from.rows, base + (size_t)(first + j) * from.row_bytes);
      scales[j] = scale;
    }
}

/* Row i of a tile: a token's head. */
struct query_of {
  uint32_t token, head;
  bool there;
};
ZH_DEVICE query_of query_at(const zh_attention_view &v, uint32_t tile, uint32_t key_head, uint32_t i) {
  uint32_t number = tile * ROWS + i;
  return {number / v.group, key_head * v.group + number % v.group, number < v.tokens * v.group};
}

ZH_DEVICE void load_queries(const zh_attention_view &v, zh_shared<uint16_t> q, uint32_t pitch, uint32_t tile,
                            uint32_t key_head) {
  uint32_t dim = v.keys.dim;
  for (uint32_t i = threadIdx.x; i < ROWS * (dim / 2); i += THREADS) {
    uint32_t row = i / (dim / 2), pair = i % (dim / 2), both = 0;
    query_of query = query_at(v, tile, key_head, row);
    if (query.there) {
      size_t at = ((size_t)query.token * v.heads + query.head) * dim + 2 * pair;
      both = zh_bf16_pair(v.q[at], v.q[at + 1]);
    }
    zh_store(q, row * pitch + 2 * pair, both);
  }
}

/* --- sixteen queries of a warp, of which a thread has parts of two --- */

struct pair_of_rows {
  query_of query[2];
  zh_seen seen[2]; /* end 0: nothing, of other sequences */
};

struct sums {
  float value[SLICE / 8][4]; /* [tiles of eight dimensions] */
  float largest[2], weight[2];
};

ZH_DEVICE void compare(float (&score)[KEYS / 8][4], const planes &p, const room &r, uint32_t dim) {
  uint32_t lane = threadIdx.x % WARP, first = threadIdx.x / WARP * 16;
#pragma unroll
  for (uint32_t j = 0; j < KEYS / 8; ++j)
    for (uint32_t e = 0; e < 4; ++e) score[j][e] = 0.0f;
  for (uint32_t k = 0; k < dim; k += 16) {
    uint32_t a[4], b[4];
    zh_load_matrices(a, p.q, (first + lane % 16) * r.key_pitch + k + lane / 16 * 8);
#pragma unroll
    for (uint32_t j = 0; j < KEYS / 8; j += 2) {
      zh_load_matrices(b, p.keys, (8 * j + lane % 8 + lane / 16 * 8) * r.key_pitch + k + lane / 8 % 2 * 8);
      const uint32_t b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
      zh_mma_bf16(score[j], a, b0);
      zh_mma_bf16(score[j + 1], a, b1);
    }
  }
}

/* Of the four threads that share a row. */
ZH_DEVICE float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}
ZH_DEVICE float row_sum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/* Scores become weights, and what was summed shrinks where the largest has grown. */
template <int TYPE>
ZH_DEVICE void weigh(float (&score)[KEYS / 8][4], sums &s, const zh_attention_view &v, const planes &p,
                     const pair_of_rows &rows, uint32_t first_key) {
  uint32_t c = threadIdx.x % 4;
  float largest[2] = {s.largest[0], s.largest[1]}, total[2] = {0.0f, 0.0f};
#pragma unroll
  for (uint32_t j = 0; j < KEYS / 8; ++j)
    for (uint32_t e = 0; e < 4; ++e) {
      uint32_t key = 8 * j + 2 * c + e % 2, at = first_key + key;
      const zh_seen &seen = rows.seen[e / 2];
      float scale = 1.0f;
      if constexpr (TYPE == ZH_DEVICE_KV_E4M3) scale = p.key_scales[key];
      score[j][e] = at >= seen.begin && at < seen.end ? zh_shaped_score(v, score[j][e] * scale) : -INFINITY;
      largest[e / 2] = fmaxf(largest[e / 2], score[j][e]);
    }
  for (uint32_t i = 0; i < 2; ++i) largest[i] = row_max(largest[i]);
#pragma unroll
  for (uint32_t j = 0; j < KEYS / 8; ++j)
    for (uint32_t e = 0; e < 4; ++e) {
      float weight = zh_weight_of(score[j][e], largest[e / 2]);
      total[e / 2] += weight;
      if constexpr (TYPE == ZH_DEVICE_KV_E4M3) weight *= p.value_scales[8 * j + 2 * c + e % 2];
      score[j][e] = weight;
    }
  for (uint32_t i = 0; i < 2; ++i) {
    float shrink = s.largest[i] == largest[i] ? 1.0f : zh_weight_of(s.largest[i], largest[i]);
    s.weight[i] = fmaf(s.weight[i], shrink, row_sum(total[i]));
    s.largest[i] = largest[i];
#pragma unroll
    for (uint32_t n = 0; n < SLICE / 8; ++n) s.value[n][2 * i] *= shrink, s.value[n][2 * i + 1] *= shrink;
  }
}

ZH_DEVICE void mix(sums &s, const float (&weight)[KEYS / 8][4], zh_shared<uint16_t> values, uint32_t pitch,
                   uint32_t begin, uint32_t dims) {
  uint32_t lane = threadIdx.x % WARP;
#pragma unroll
  for (uint32_t k = 0; k < KEYS / 16; ++k) {
    const uint32_t a[4] = {zh_bf16_pair(weight[2 * k][0], weight[2 * k][1]),
                           zh_bf16_pair(weight[2 * k][2], weight[2 * k][3]),
                           zh_bf16_pair(weight[2 * k + 1][0], weight[2 * k + 1][1]),
                           zh_bf16_pair(weight[2 * k + 1][2], weight[2 * k + 1][3])};
#pragma unroll
    for (uint32_t n = 0; n < SLICE / 8; n += 2) {
      if (8 * n >= dims) break;
      uint32_t b[4];
      zh_load_matrices_transposed(b, values,
                                  (16 * k + lane % 8 + lane / 8 % 2 * 8) * pitch + begin + 8 * n + lane / 16 * 8);
      const uint32_t b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
      zh_mma_bf16(s.value[n], a, b0);
      zh_mma_bf16(s.value[n + 1], a, b1);
    }
  }
}

ZH_DEVICE void put_rows(const zh_attention_view &v, sums &s, const pair_of_rows &rows, uint32_t begin, uint32_t dims) {
  uint32_t c = threadIdx.x % 4;
  for (uint32_t i = 0; i < 2; ++i) {
    if (!rows.query[i].there) continue;
    float largest = s.largest[i], shrink = 1.0f, total = s.weight[i];
    if (v.sinks) {
      float sink = v.sinks[rows.query[i].head];
      largest = fmaxf(largest, sink);
      shrink = zh_weight_of(s.largest[i], largest);
      total = fmaf(total, shrink, expf(sink - largest));
    }
    size_t at = ((size_t)rows.query[i].token * v.heads + rows.query[i].head) * v.values.dim + begin;
#pragma unroll
    for (uint32_t n = 0; n < SLICE / 8; ++n)
      for (uint32_t e = 0; e < 2; ++e)
        if (8 * n < dims) v.out[at + 8 * n + 2 * c + e] = s.value[n][2 * i + e] * shrink / total;
  }
}

/* Tokens [first, end) of a tile, of one sequence, and what they see together. */
struct run_of {
  uint32_t first, end, sequence, begin_key, end_key;
};
ZH_DEVICE run_of run_from(const zh_attention_view &v, uint32_t first, uint32_t last) {
  run_of run = {first, first, v.sequence[first], UINT32_MAX, 0};
  while (run.end <= last && v.sequence[run.end] == run.sequence) {
    zh_seen seen = zh_seen_of(v, run.end++);
    run.begin_key = min(run.begin_key, seen.begin);
    run.end_key = max(run.end_key, seen.end);
  }
  return run;
}

ZH_DEVICE void see_run(pair_of_rows &rows, const zh_attention_view &v, const run_of &run) {
  for (uint32_t i = 0; i < 2; ++i) {
    const query_of &query = rows.query[i];
    bool own = query.there && query.token >= run.first && query.token < run.end;
    rows.seen[i] = own ? zh_seen_of(v, query.token) : zh_seen{0, 0};
  }
}

/* Grid: tiles of queries, key heads, slices of the values. */
template <int TYPE> ZH_KERNEL void attend_tiles(zh_attention_view v, room r) {
  ZH_SHARED_DYNAMIC(all);
  planes p = cut(all, r);
  uint32_t g = threadIdx.x % WARP / 4, row = threadIdx.x / WARP * 16 + g, begin = blockIdx.z * SLICE;
  uint32_t dims = min((uint32_t)SLICE, v.values.dim - begin), value_begin = v.latent ? begin : 0;
  uint32_t first = blockIdx.x * ROWS / v.group,
           last = min((blockIdx.x + 1) * ROWS - 1, v.tokens * v.group - 1) / v.group;
  pair_of_rows rows;
  sums s = {};
  for (uint32_t i = 0; i < 2; ++i) {
    rows.query[i] = query_at(v, blockIdx.x, blockIdx.y, row + 8 * i);
    s.largest[i] = -INFINITY;
  }
  load_queries(v, p.q, r.key_pitch, blockIdx.x, blockIdx.y);
  while (first <= last) {
    run_of run = run_from(v, first, last);
    size_t keys = zh_kv_row(v.keys, run.sequence, blockIdx.y, 0),
           values = zh_kv_row(v.values, run.sequence, blockIdx.y, 0);
    see_run(rows, v, run);
    for (uint32_t at = run.begin_key / KEYS * KEYS; at < run.end_key; at += KEYS) {
      float score[KEYS / 8][4];
      load_rows<TYPE>(p.keys, p.key_scales, r.key_pitch, v.keys, keys, at, run.end_key, 0, v.keys.dim);
      zh_copies_commit();
      if (!v.latent)
        load_rows<TYPE>(p.values, p.value_scales, r.value_pitch, v.values, values, at, run.end_key, begin, dims);
      zh_copies_commit();
      zh_copies_wait<1>();
      __syncthreads();
      compare(score, p, r, v.keys.dim);
      weigh<TYPE>(score, s, v, p, rows, at);
      zh_copies_wait<0>();
      __syncthreads();
      mix(s, score, p.values, r.value_pitch, value_begin, dims);
      __syncthreads();
    }
    first = run.end;
  }
  put_rows(v, s, rows, begin, dims);
}

room room_of(const zh_attention_view *v) {
  room r = {};
  uint32_t dims = v->values.dim < SLICE ? v->values.dim : (uint32_t)SLICE;
  r.key_pitch = v->keys.dim + GAP;
  r.value_pitch = v->latent ? r.key_pitch : dims + GAP;
  r.keys = ROWS * r.key_pitch * 2;
  r.values = v->latent ? r.keys : r.keys + KEYS * r.key_pitch * 2;
  r.key_scales = r.values + KEYS * r.value_pitch * 2;
  r.value_scales = v->latent ? r.key_scales : r.key_scales + KEYS * 4;
  r.all = r.value_scales + KEYS * 4;
  return r;
}

template <int TYPE> zh_status launch(zh_device *device, const zh_attention_view *v, zh_error *err) {
  room r = room_of(v);
  auto kernel = attend_tiles<TYPE>;
  if (r.all > device->facts.shared_bytes)
    return zh_fail(err, ZH_ERR_LACKING,
                   "attention with keys of %u dimensions by tiles needs %u bytes of shared memory, and this GPU has "
                   "%llu: use keys and values in f32",
                   v->keys.dim, r.all, (unsigned long long)device->facts.shared_bytes);
  if (r.all > 48 * 1024) ZH_CUDA(device, zh_cuda_allow_shared(device, kernel), "asking for shared memory");
  ZH_LAUNCH(kernel,
            dim3((v->tokens * v->group + ROWS - 1) / ROWS, v->keys.kv_heads, (v->values.dim + SLICE - 1) / SLICE),
            THREADS, r.all, device->stream, *v, r);
  return zh_cuda_launched(device, "attention of many tokens", err);
}

} // namespace

zh_status zh_cuda_attend_many(zh_device *device, const zh_device_attention *w, zh_attention_view *v, zh_error *err) {
  return w->kv.type == ZH_DEVICE_KV_BF16 ? launch<ZH_DEVICE_KV_BF16>(device, v, err)
                                         : launch<ZH_DEVICE_KV_E4M3>(device, v, err);
}
