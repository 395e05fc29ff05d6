/* Tokens drawn from logits, as kernels/drawing.h says: weights of all tokens by many blocks, then a block a row finds
 * where the order is cut and what is drawn. All sums are of integers, so that their order does not matter. */
#include "kernels/drawing_rule.h"
#include "philox.cuh"

namespace {

enum { WEIGHERS = 256, THREADS = 1024, WARP = 32, WARPS = THREADS / WARP, STEP = 2, THRESHOLDS = (1 << STEP) - 1 };
#define ZH_ALL 0xFFFFFFFFu

struct draw_call {
  zh_global<zh_device_answer> out;
  zh_global<uint32_t> chosen;
  zh_global<zh_draw_rule> how;
  zh_global<const float> z;
  zh_global<uint64_t> weight;
  uint32_t vocab;
};

/* Rows that are not drawn from keep the largest. */
ZH_DEVICE bool is_drawn(const draw_call &c, const zh_draw_rule &how, uint32_t row) {
  return how.rate > 0.0 && (uint32_t)c.chosen[row] != UINT32_MAX;
}

/* Grid: tokens of the vocabulary, rows. */
ZH_KERNEL void weigh_tokens(draw_call c) {
  const uint32_t row = blockIdx.y, i = (uint32_t)(zh_block_begin() + threadIdx.x);
  const zh_draw_rule how = c.how[row];
  if (i >= c.vocab || !is_drawn(c, how, row)) return;
  size_t first = (size_t)row * c.vocab;
  float largest = c.z[first + (uint32_t)c.chosen[row]], z = c.z[first + i];
  c.weight[first + i] = zh_draw_weight(z, largest, how.rate);
}

/* Of a block. */
struct room {
  zh_shared<uint64_t> parts, segments; /* [WARPS] */
  zh_shared<uint32_t> found;           /* [1] */
};

struct row_view {
  zh_global<const float> z;
  zh_global<const uint64_t> weight;
  size_t first;
  uint32_t vocab;
};

/* As kernels/logits/drawing.c has it. */
struct cut {
  uint32_t key;
  uint64_t ties, each;
};

ZH_DEVICE uint64_t warp_sum(uint64_t mine) {
  for (int step = WARP / 2; step > 0; step /= 2) mine += __shfl_xor_sync(ZH_ALL, mine, step);
  return mine;
}

/* In every thread. */
ZH_DEVICE uint64_t block_sum(const room &s, uint64_t mine) {
  mine = warp_sum(mine);
  __syncthreads();
  if (threadIdx.x % WARP == 0) s.parts[threadIdx.x / WARP] = mine;
  __syncthreads();
  uint64_t sum = 0;
  for (uint32_t i = 0; i < WARPS; ++i) sum += (uint64_t)s.parts[i];
  return sum;
}

/* --- where the order is cut --- */

template <bool WEIGHS> ZH_DEVICE uint64_t measure_of(const row_view &r, uint32_t i) {
  if constexpr (WEIGHS) return r.weight[r.first + i];
  return 1;
}

/* What `before` has left of its own key, if that counts. */
template <bool WEIGHS> ZH_DEVICE uint64_t left_of_ties(const cut &before, uint32_t least) {
  return before.key >= least ? before.ties * (WEIGHS ? before.each : 1) : 0;
}

/* Two bits of the key a pass: the largest key from which on there is enough. */
template <bool WEIGHS>
ZH_DEVICE uint32_t key_of_cut(const room &s, const row_view &r, const cut &before, uint64_t limit) {
  uint32_t key = 0;
  for (int shift = 32 - STEP; shift >= 0; shift -= STEP) {
    uint64_t mine[THRESHOLDS] = {0, 0, 0};
    for (uint32_t i = threadIdx.x; i < r.vocab; i += THREADS) {
      uint32_t own = zh_draw_key(r.z[r.first + i]);
      if (own <= before.key) continue;
      for (uint32_t t = 0; t < THRESHOLDS; ++t)
        if (own >= key + ((t + 1) << shift)) mine[t] += measure_of<WEIGHS>(r, i);
    }
    uint32_t best = 0;
    for (uint32_t t = 0; t < THRESHOLDS; ++t) {
      uint64_t sum = block_sum(s, mine[t]) + left_of_ties<WEIGHS>(before, key + ((t + 1) << shift));
      if (sum >= limit) best = t + 1;
    }
    key += best << shift;
  }
  return key;
}

template <bool WEIGHS>
ZH_DEVICE cut find_cut(const room &s, const row_view &r, const cut &before, uint64_t limit) {
  cut c = {key_of_cut<WEIGHS>(s, r, before, limit), 0, 0};
  uint64_t above = 0, same = 0, weight = 0;
  for (uint32_t i = threadIdx.x; i < r.vocab; i += THREADS) {
    uint32_t own = zh_draw_key(r.z[r.first + i]);
    if (own > c.key && own > before.key) above += measure_of<WEIGHS>(r, i);
    if (own != c.key) continue;
    same += 1;
    weight += (uint64_t)r.weight[r.first + i];
  }
  above = block_sum(s, above) + left_of_ties<WEIGHS>(before, c.key + 1);
  same = block_sum(s, same);
  weight = block_sum(s, weight);
  c.each = same > 0 ? weight / same : 0;
  c.ties = limit > above ? limit - above : 0;
  if (WEIGHS && c.each > 0) c.ties = (c.ties + c.each - 1) / c.each;
  return c;
}

ZH_DEVICE uint64_t weight_left(const room &s, const row_view &r, const cut &c) {
  uint64_t mine = 0;
  for (uint32_t i = threadIdx.x; i < r.vocab; i += THREADS)
    if (zh_draw_key(r.z[r.first + i]) > c.key) mine += (uint64_t)r.weight[r.first + i];
  return block_sum(s, mine) + c.ties * c.each;
}

/* --- the first token at which a sum in the order of ids exceeds a target --- */

/* Those that have the cut's key. */
struct has_key {
  row_view r;
  uint32_t key;
  ZH_DEVICE uint64_t of(uint32_t i) const { return zh_draw_key(r.z[r.first + i]) == key ? 1 : 0; }
};

/* What is drawn from. */
struct stays {
  row_view r;
  uint32_t key, last_tie;
  uint64_t least;
  ZH_DEVICE uint64_t of(uint32_t i) const {
    uint32_t own = zh_draw_key(r.z[r.first + i]);
    if (own < key || (own == key && i > last_tie)) return 0;
    uint64_t weight = r.weight[r.first + i];
    return weight < least ? 0 : weight;
  }
};

/* A warp has a run of ids: whole steps of 32. */
ZH_DEVICE uint32_t run_of(const row_view &r) {
  return (r.vocab + THREADS - 1) / THREADS * WARP;
}

/* Sums of the runs; returns that of all. */
template <class MEASURE> ZH_DEVICE uint64_t sum_runs(const room &s, const MEASURE &m) {
  const uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, run = run_of(m.r);
  uint64_t mine = 0, sum = 0;
  for (uint32_t i = warp * run + lane; i < (warp + 1) * run && i < m.r.vocab; i += WARP) mine += m.of(i);
  mine = warp_sum(mine);
  __syncthreads();
  if (lane == 0) s.segments[warp] = mine;
  __syncthreads();
  for (uint32_t i = 0; i < WARPS; ++i) sum += (uint64_t)s.segments[i];
  return sum;
}

/* After sum_runs, which gave more than target. */
template <class MEASURE> ZH_DEVICE uint32_t find_id(const room &s, const MEASURE &m, uint64_t target) {
  const uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, run = run_of(m.r);
  uint64_t before = 0;
  uint32_t at = 0;
  while (at + 1 < WARPS && before + (uint64_t)s.segments[at] <= target) before += (uint64_t)s.segments[at++];
  for (uint32_t i = warp * run + lane; warp == at && i - lane < (warp + 1) * run; i += WARP) {
    uint64_t sum = i < m.r.vocab ? m.of(i) : 0;
    for (int step = 1; step < WARP; step *= 2) {
      uint64_t other = __shfl_up_sync(ZH_ALL, sum, (unsigned)step);
      if (lane >= (uint32_t)step) sum += other;
    }
    uint32_t votes = __ballot_sync(ZH_ALL, before + sum > target);
    if (votes != 0) {
      if (lane == 0) s.found[0] = i + (uint32_t)__ffs((int)votes) - 1;
      break;
    }
    before += __shfl_sync(ZH_ALL, sum, WARP - 1);
  }
  __syncthreads();
  return s.found[0];
}

/* --- a row --- */

ZH_DEVICE uint32_t draw_token(const room &s, const row_view &r, const zh_draw_rule &how) {
  cut c = {0, 0, 0};
  uint32_t last_tie = UINT32_MAX, bits[4];
  if (how.top_k > 0 && how.top_k < r.vocab) c = find_cut<false>(s, r, c, how.top_k);
  if (how.top_p > 0) {
    uint64_t limit = zh_draw_share(weight_left(s, r, c), how.top_p);
    c = find_cut<true>(s, r, c, limit > 0 ? limit : 1);
  }
  if (c.key > 0) {
    has_key tied = {r, c.key};
    if (sum_runs(s, tied) > c.ties) last_tie = find_id(s, tied, c.ties - 1);
  }
  stays left = {r, c.key, last_tie, how.min_p};
  uint64_t total = sum_runs(s, left);
  zh_philox(bits, how.index / 4, ZH_DRAW_STREAM, how.seed);
  uint32_t lane = (uint32_t)(how.index % 4),
           drawn = lane == 0 ? bits[0] : lane == 1 ? bits[1] : lane == 2 ? bits[2] : bits[3];
  return find_id(s, left, zh_draw_share(total, drawn));
}

ZH_KERNEL void __launch_bounds__(THREADS) draw_rows(draw_call c) {
  ZH_SHARED(uint64_t, parts, WARPS);
  ZH_SHARED(uint64_t, segments, WARPS);
  ZH_SHARED(uint32_t, found, 1);
  const uint32_t row = blockIdx.x;
  const zh_draw_rule how = c.how[row];
  bool drawn = is_drawn(c, how, row);
  row_view r = {c.z, c.weight, (size_t)row * c.vocab, c.vocab};
  room s = {parts, segments, found};
  uint32_t id = drawn ? draw_token(s, r, how) : 0;
  __syncthreads(); /* all have read the rule */
  if (threadIdx.x != 0) return;
  zh_draw_rule next = how;
  next.index += 1;
  c.how[row] = next;
  if (!drawn) return;
  zh_device_answer answer = c.out[row];
  answer.chosen = id;
  answer.logit_bits = zh_bits(r.z[r.first + id]);
  c.out[row] = answer;
  c.chosen[row] = id;
}

} // namespace

zh_status zh_cuda_draw(zh_device *device, const zh_device_draw *w, zh_error *err) {
  if (w->tokens == 0 || w->vocab == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, w->tokens, err));
  draw_call c = {zh_at<zh_device_answer>(w->out), zh_at<uint32_t>(w->chosen),  zh_at<zh_draw_rule>(w->how),
                 zh_at<const float>(w->z),        zh_at<uint64_t>(w->weights), (uint32_t)w->vocab};
  ZH_LAUNCH(weigh_tokens, dim3(zh_blocks(w->vocab, WEIGHERS), (unsigned)w->tokens), WEIGHERS, 0, device->stream, c);
  ZH_LAUNCH(draw_rows, (unsigned)w->tokens, THREADS, 0, device->stream, c);
  return zh_cuda_launched(device, "drawing tokens", err);
}
