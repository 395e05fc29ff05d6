/* A token's experts, and the lists of choices; route.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_ROUTE_CUH
#define ZH_KERNELS_CUDA_ROUTE_CUH

#include <float.h>

#include "device.cuh"

namespace zh_routes {

enum { WARP = 32 };
#define ZH_ALL 0xFFFFFFFFu
/* Bytes of a token's room. */
enum {
  ROOM_FLOATS = 2 * ZH_DEVICE_EXPERTS_MAX + 2 * ZH_DEVICE_GROUPS_MAX + ZH_DEVICE_USED_MAX,
  ROOM = WARP * 8 + ROOM_FLOATS * 4
};

struct view {
  zh_global<uint32_t> choice, lists;
  zh_global<float> weight;
  zh_global<const float> logits, bias, selection_bias;
  uint32_t tokens, experts, used, groups, groups_used;
  zh_device_score score;
  bool best_two, renormalise;
  double scale;
  zh_global<uint64_t> counted;
  uint32_t first, here, ranks; /* experts that the lists have; shares of the experts that are counted */
};

struct ranked {
  float rank;
  uint32_t index;
};

/* The larger, of equal ones the lower number, in every thread. */
ZH_DEVICE ranked warp_best(ranked mine) {
  for (int step = WARP / 2; step > 0; step /= 2) {
    ranked other = {__shfl_xor_sync(ZH_ALL, mine.rank, step), __shfl_xor_sync(ZH_ALL, mine.index, step)};
    if (other.rank > mine.rank || (other.rank == mine.rank && other.index < mine.index)) mine = other;
  }
  return mine;
}

/* The best of `among`; taken ones are -inf, and nothing else is. */
ZH_DEVICE uint32_t take_best(zh_shared<float> rank, uint32_t among) {
  uint32_t lane = threadIdx.x;
  ranked mine = {-INFINITY, UINT32_MAX};
  for (uint32_t i = lane; i < among; i += WARP) {
    float r = rank[i];
    if (mine.index == UINT32_MAX || r > mine.rank) mine = {r, i};
  }
  mine = warp_best(mine);
  __syncwarp();
  if (lane == 0) rank[mine.index] = -INFINITY;
  __syncwarp();
  return mine.index;
}

/* fp64 over a warp through shared memory, added in order; once a token. */
ZH_DEVICE double warp_sum64(zh_shared<double> parts, double mine) {
  parts[threadIdx.x] = mine;
  __syncwarp();
  double sum = 0;
  for (uint32_t i = 0; i < WARP; ++i) sum += parts[i];
  return sum;
}

/* In place, each lane its own; the largest is taken out. */
ZH_DEVICE void softmax(zh_shared<float> x, uint32_t count, zh_shared<double> parts) {
  float largest = -INFINITY;
  double sum = 0;
  for (uint32_t i = threadIdx.x; i < count; i += WARP) largest = x[i] > largest ? (float)x[i] : largest;
  largest = zh_warp_max(largest);
  for (uint32_t i = threadIdx.x; i < count; i += WARP) {
    float weight = expf(x[i] - largest);
    x[i] = weight;
    sum += (double)weight;
  }
  sum = warp_sum64(parts, sum);
  for (uint32_t i = threadIdx.x; i < count; i += WARP) x[i] = (float)((double)x[i] / sum);
}

ZH_DEVICE float group_rank(const view &v, zh_shared<float> rank, uint32_t count) {
  float first = -FLT_MAX, second = -FLT_MAX;
  for (uint32_t i = 0; i < count; ++i) {
    float r = rank[i];
    if (r > first) {
      second = first;
      first = r;
    } else if (r > second) {
      second = r;
    }
  }
  return !v.best_two || count == 1 ? first : fmaxf(first + second, -FLT_MAX);
}

/* Experts outside of the best groups can no longer be chosen. */
ZH_DEVICE void keep_best_groups(const view &v, zh_shared<float> rank, zh_shared<float> of_group,
                                zh_shared<uint32_t> kept) {
  uint32_t size = v.experts / v.groups;
  for (uint32_t g = threadIdx.x; g < v.groups; g += WARP) {
    of_group[g] = group_rank(v, rank + g * size, size);
    kept[g] = 0;
  }
  for (uint32_t k = 0; k < v.groups_used; ++k) {
    uint32_t best = take_best(of_group, v.groups);
    if (threadIdx.x == 0) kept[best] = 1;
    __syncwarp();
  }
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP)
    if (!kept[i / size]) rank[i] = -INFINITY;
}

/* picked: the chosen scores. */
ZH_DEVICE void weigh(const view &v, zh_shared<float> picked, zh_shared<double> parts, size_t first) {
  double sum = 0;
  for (uint32_t k = 0; k < v.used; ++k) sum += (double)picked[k];
  __syncwarp();
  if (v.score == ZH_DEVICE_SOFTMAX_CHOSEN) softmax(picked, v.used, parts);
  double divisor = v.renormalise ? fmax(sum, (double)FLT_MIN) : 1.0, scale = v.scale == 0 ? 1.0 : v.scale;
  for (uint32_t k = threadIdx.x; k < v.used; k += WARP)
    v.weight[first + k] = (float)((double)picked[k] / divisor * scale);
}

/* Shared memory for a token. */
struct room {
  zh_shared<float> score, rank, of_group; /* EXPERTS_MAX, EXPERTS_MAX, GROUPS_MAX */
  zh_shared<uint32_t> kept;               /* GROUPS_MAX */
  zh_shared<float> picked;                /* USED_MAX */
  zh_shared<double> parts;                /* WARP */
};

ZH_DEVICE room cut(zh_shared<unsigned char> all) {
  enum { EXPERTS = ZH_DEVICE_EXPERTS_MAX, GROUPS = ZH_DEVICE_GROUPS_MAX, SCORE = WARP * 8 };
  room r;
  r.parts = zh_part<double>(all, 0, WARP);
  r.score = zh_part<float>(all, SCORE, EXPERTS);
  r.rank = zh_part<float>(all, SCORE + EXPERTS * 4, EXPERTS);
  r.of_group = zh_part<float>(all, SCORE + EXPERTS * 8, GROUPS);
  r.kept = zh_part<uint32_t>(all, SCORE + EXPERTS * 8 + GROUPS * 4, GROUPS);
  r.picked = zh_part<float>(all, SCORE + EXPERTS * 8 + GROUPS * 8, ZH_DEVICE_USED_MAX);
  return r;
}

/* By one warp. Every lane has the same experts throughout, so that what a lane alone reads needs no __syncwarp. */
ZH_DEVICE void choose(const view &v, uint32_t token, const room &r) {
  size_t logits = (size_t)token * v.experts, first = (size_t)token * v.used;
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP) {
    float x = v.logits[logits + i];
    if (v.bias) x += v.bias[i];
    r.score[i] = v.score == ZH_DEVICE_SIGMOID ? 1.0f / (1.0f + expf(-x)) : x;
  }
  if (v.score == ZH_DEVICE_SOFTMAX) softmax(r.score, v.experts, r.parts);
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP) {
    float rank = r.score[i];
    if (v.selection_bias) rank += v.selection_bias[i];
    r.rank[i] = fmaxf(rank, -FLT_MAX); /* NaN ranks last */
  }
  __syncwarp();
  if (v.groups > 1) keep_best_groups(v, r.rank, r.of_group, r.kept);
  for (uint32_t k = 0; k < v.used; ++k) {
    uint32_t best = take_best(r.rank, v.experts);
    if (threadIdx.x != 0) continue;
    v.choice[first + k] = best;
    r.picked[k] = r.score[best];
  }
  __syncwarp();
  weigh(v, r.picked, r.parts, first);
}

/* What each rank's share of the experts has, before the lists are made: by one thread. */
ZH_DEVICE void count_pass(const view &v, zh_shared<uint32_t> count) {
  uint32_t busy = 0, most_busy = 0, choices = 0, most = 0, e = 0;
  for (uint32_t rank = 0; rank < v.ranks; ++rank) {
    uint32_t its_busy = 0, its = 0, end = e + v.experts / v.ranks + (rank < v.experts % v.ranks ? 1 : 0);
    for (; e < end; ++e) {
      uint32_t own = count[e];
      its += own;
      its_busy += own ? 1 : 0;
    }
    busy += its_busy;
    choices += its;
    most_busy = max(most_busy, its_busy);
    most = max(most, its);
  }
  v.counted[ZH_COUNT_BUSY] += busy;
  v.counted[ZH_COUNT_PASSES] += 1;
  v.counted[ZH_COUNT_MOST_BUSY] += most_busy;
  v.counted[ZH_COUNT_MOST] += most;
  v.counted[ZH_COUNT_CHOICES] += choices;
}

/* Where each expert's choices begin, and which experts have any: by one thread. */
ZH_DEVICE void begin_lists(const view &v, zh_shared<uint32_t> count) {
  uint32_t at = 0, busy = 0;
  for (uint32_t e = 0; e < v.here; ++e) {
    uint32_t own = count[v.first + e];
    v.lists[1 + v.here + e] = at;
    count[v.first + e] = at;
    if (own) v.lists[1 + busy++] = e;
    at += own;
  }
  v.lists[1 + 2 * v.here] = at;
  v.lists[0] = busy;
  if (v.counted) v.counted[ZH_COUNT_HERE] += at;
}

/* By one block: a warp goes through all choices for each of its experts, so that an expert's keep their order; those of
 * other ranks are counted. count: EXPERTS_MAX. */
ZH_DEVICE void list(const view &v, zh_shared<uint32_t> count) {
  uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, choices = v.tokens * v.used;
  for (int pass = 0; pass < 2; ++pass) {
    uint32_t first = pass == 0 ? 0 : v.first, end = pass == 0 ? v.experts : v.first + v.here;
    for (uint32_t e = first + warp; e < end; e += blockDim.x / WARP) {
      uint32_t found = pass == 0 ? 0u : (uint32_t)count[e];
      for (uint32_t i = lane; i - lane < choices; i += WARP) {
        bool own = i < choices && (uint32_t)v.choice[i] == e;
        uint32_t votes = __ballot_sync(ZH_ALL, own);
        if (pass == 1 && own) v.lists[2 + 2 * v.here + found + __popc(votes & ((1u << lane) - 1u))] = i;
        found += (uint32_t)__popc(votes);
      }
      if (pass == 0 && lane == 0) count[e] = found;
    }
    __syncthreads();
    if (pass == 0 && threadIdx.x == 0) {
      if (v.counted) count_pass(v, count);
      begin_lists(v, count);
    }
    __syncthreads();
  }
}

} // namespace zh_routes

#endif
