/* Which experts tokens go to, as bench/engine/route.c has it, and the lists by which experts' products find their
 * tokens. */
#include <float.h>

#include "device.cuh"

namespace {

enum { WARP = 32, LISTERS = 1024 };
#define ZH_ALL 0xFFFFFFFFu

struct route_view {
  zh_global<uint32_t> choice, lists;
  zh_global<float> weight;
  zh_global<const float> logits, bias, selection_bias;
  uint32_t tokens, experts, used, groups, groups_used;
  zh_device_score score;
  bool best_two, renormalise;
  double scale;
  zh_global<uint64_t> counted;
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

/* fp64 over a warp through shared memory, added in order. */
ZH_DEVICE double warp_sum64(zh_shared<double> parts, double mine) {
  __syncwarp();
  parts[threadIdx.x] = mine;
  __syncwarp();
  double sum = 0;
  for (uint32_t i = 0; i < WARP; ++i) sum += parts[i];
  return sum;
}

/* In place; the largest is taken out. */
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
  __syncwarp();
}

ZH_DEVICE float group_rank(const route_view &v, zh_shared<float> rank, uint32_t count) {
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
ZH_DEVICE void keep_best_groups(const route_view &v, zh_shared<float> rank, zh_shared<float> of_group,
                                zh_shared<uint32_t> kept) {
  uint32_t size = v.experts / v.groups;
  for (uint32_t g = threadIdx.x; g < v.groups; g += WARP) {
    of_group[g] = group_rank(v, rank + g * size, size);
    kept[g] = 0;
  }
  __syncwarp();
  for (uint32_t k = 0; k < v.groups_used; ++k) {
    uint32_t best = take_best(of_group, v.groups);
    if (threadIdx.x == 0) kept[best] = 1;
    __syncwarp();
  }
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP)
    if (!kept[i / size]) rank[i] = -INFINITY;
  __syncwarp();
}

/* picked: the chosen scores. */
ZH_DEVICE void weigh(const route_view &v, zh_shared<float> picked, zh_shared<double> parts, size_t first) {
  double sum = 0;
  for (uint32_t k = 0; k < v.used; ++k) sum += (double)picked[k];
  __syncwarp();
  if (v.score == ZH_DEVICE_SOFTMAX_CHOSEN) softmax(picked, v.used, parts);
  double divisor = v.renormalise ? fmax(sum, (double)FLT_MIN) : 1.0, scale = v.scale == 0 ? 1.0 : v.scale;
  for (uint32_t k = threadIdx.x; k < v.used; k += WARP)
    v.weight[first + k] = (float)((double)picked[k] / divisor * scale);
}

/* A warp has a token. */
ZH_KERNEL void choose_experts(route_view v) {
  ZH_SHARED(float, score, ZH_DEVICE_EXPERTS_MAX);
  ZH_SHARED(float, rank, ZH_DEVICE_EXPERTS_MAX);
  ZH_SHARED(float, of_group, ZH_DEVICE_GROUPS_MAX);
  ZH_SHARED(uint32_t, kept, ZH_DEVICE_GROUPS_MAX);
  ZH_SHARED(float, picked, ZH_DEVICE_USED_MAX);
  ZH_SHARED(double, parts, WARP);
  size_t logits = (size_t)blockIdx.x * v.experts, first = (size_t)blockIdx.x * v.used;
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP) {
    float x = v.logits[logits + i];
    if (v.bias) x += v.bias[i];
    score[i] = v.score == ZH_DEVICE_SIGMOID ? 1.0f / (1.0f + expf(-x)) : x;
  }
  __syncwarp();
  if (v.score == ZH_DEVICE_SOFTMAX) softmax(score, v.experts, parts);
  for (uint32_t i = threadIdx.x; i < v.experts; i += WARP) {
    float r = score[i];
    if (v.selection_bias) r += v.selection_bias[i];
    rank[i] = fmaxf(r, -FLT_MAX); /* NaN ranks last */
  }
  __syncwarp();
  if (v.groups > 1) keep_best_groups(v, rank, of_group, kept);
  for (uint32_t k = 0; k < v.used; ++k) {
    uint32_t best = take_best(rank, v.experts);
    if (threadIdx.x != 0) continue;
    v.choice[first + k] = best;
    picked[k] = score[best];
  }
  __syncwarp();
  weigh(v, picked, parts, first);
}

/* Where each expert's choices begin, and which experts have any: by one thread. */
ZH_DEVICE void begin_lists(const route_view &v, zh_shared<uint32_t> count) {
  uint32_t at = 0, busy = 0;
  for (uint32_t e = 0; e < v.experts; ++e) {
    uint32_t own = count[e];
    v.lists[1 + v.experts + e] = at;
    count[e] = at;
    if (own) v.lists[1 + busy++] = e;
    at += own;
  }
  v.lists[1 + 2 * v.experts] = at;
  v.lists[0] = busy;
  if (!v.counted) return;
  v.counted[0] += busy;
  v.counted[1] += 1;
}

/* One block; a warp goes through all choices for each of its experts, so that an expert's keep their order. */
ZH_KERNEL void __launch_bounds__(LISTERS) list_choices(route_view v) {
  ZH_SHARED(uint32_t, count, ZH_DEVICE_EXPERTS_MAX);
  uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, choices = v.tokens * v.used;
  for (int pass = 0; pass < 2; ++pass) {
    for (uint32_t e = warp; e < v.experts; e += blockDim.x / WARP) {
      uint32_t found = pass == 0 ? 0u : (uint32_t)count[e];
      for (uint32_t i = lane; i - lane < choices; i += WARP) {
        bool own = i < choices && (uint32_t)v.choice[i] == e;
        uint32_t votes = __ballot_sync(ZH_ALL, own);
        if (pass == 1 && own) v.lists[2 + 2 * v.experts + found + __popc(votes & ((1u << lane) - 1u))] = i;
        found += (uint32_t)__popc(votes);
      }
      if (pass == 0 && lane == 0) count[e] = found;
    }
    __syncthreads();
    if (pass == 0 && threadIdx.x == 0) begin_lists(v, count);
    __syncthreads();
  }
}

} // namespace

zh_status zh_cuda_route(zh_device *device, const zh_device_route *w, zh_error *err) {
  if (w->tokens == 0) return ZH_OK;
  if (w->used < 1 || w->used > w->experts || w->experts > ZH_DEVICE_EXPERTS_MAX || w->used > ZH_DEVICE_USED_MAX ||
      w->groups > ZH_DEVICE_GROUPS_MAX || (w->groups > 1 && w->experts % w->groups != 0))
    return zh_fail(err, ZH_ERR_ARG, "a router of %u of %u experts in %u groups is more than this GPU's kernel takes",
                   w->used, w->experts, w->groups);
  route_view v = {zh_at<uint32_t>(w->choice),
                  zh_at<uint32_t>(w->lists),
                  zh_at<float>(w->weight),
                  zh_at<const float>(w->logits),
                  zh_at<const float>(w->bias),
                  zh_at<const float>(w->selection_bias),
                  (uint32_t)w->tokens,
                  w->experts,
                  w->used,
                  w->groups,
                  w->groups_used,
                  w->score,
                  w->best_two,
                  w->renormalise,
                  w->scale,
                  zh_at<uint64_t>(w->counted)};
  ZH_LAUNCH(choose_experts, (unsigned)w->tokens, WARP, 0, device->stream, v);
  ZH_LAUNCH(list_choices, 1, LISTERS, 0, device->stream, v);
  return zh_cuda_launched(device, "routing to experts", err);
}
