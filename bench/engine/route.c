/* Softmax and sigmoid routers, with groups and selection biases: DeepSeek-V2 (arXiv:2405.04434,
 * 2.1.2), DeepSeek-V3 (arXiv:2412.19437, 2.1.2), Mixtral (arXiv:2401.04088), gpt-oss. */
#include "bench/engine/route.h"

#include <float.h>
#include <math.h>
#include <string.h>

size_t zh_route_scratch_floats(uint32_t experts) {
  return 2 * (size_t)experts;
}

/* In place; the largest is taken out, the sum is in fp64. */
static void softmax(float *x, uint32_t count) {
  float largest = -INFINITY;
  double sum = 0;
  for (uint32_t i = 0; i < count; ++i)
    if (x[i] > largest) largest = x[i];
  for (uint32_t i = 0; i < count; ++i) sum += x[i] = expf(x[i] - largest);
  for (uint32_t i = 0; i < count; ++i) x[i] = (float)(x[i] / sum);
}

static void score_all(float *score, const zh_routing *r, const float *logits) {
  for (uint32_t i = 0; i < r->experts; ++i) score[i] = logits[i] + (r->bias ? r->bias[i] : 0);
  if (r->router->score == ZH_ROUTER_SOFTMAX) softmax(score, r->experts);
  if (r->router->score == ZH_ROUTER_SIGMOID)
    for (uint32_t i = 0; i < r->experts; ++i) score[i] = 1 / (1 + expf(-score[i]));
}

/* The best `count` of them, the lower number where two are equal; taken ones become -inf, so
 * nothing else may be. */
static void take_best(uint32_t *best, uint32_t count, float *rank, uint32_t among) {
  for (uint32_t k = 0; k < count; ++k) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < among; ++i)
      if (rank[i] > rank[at]) at = i;
    best[k] = at;
    rank[at] = -INFINITY;
  }
}

static float group_rank(const zh_router *router, const float *rank, uint32_t count) {
  float first = -FLT_MAX, second = -FLT_MAX;
  for (uint32_t i = 0; i < count; ++i) {
    if (rank[i] > first) {
      second = first;
      first = rank[i];
    } else if (rank[i] > second) {
      second = rank[i];
    }
  }
  if (router->group_score == ZH_GROUP_MAX || count == 1) return first;
  return fmaxf(first + second, -FLT_MAX);
}

/* Experts outside of the best groups can no longer be chosen. */
static void keep_best_groups(float *rank, const zh_routing *r) {
  uint32_t groups = r->router->groups, size = r->experts / groups, best[ZH_GROUPS_MAX];
  float of_group[ZH_GROUPS_MAX];
  bool kept[ZH_GROUPS_MAX] = {false};
  for (uint32_t g = 0; g < groups; ++g)
    of_group[g] = group_rank(r->router, rank + (size_t)g * size, size);
  take_best(best, r->router->groups_used, of_group, groups);
  for (uint32_t k = 0; k < r->router->groups_used; ++k) kept[best[k]] = true;
  for (uint32_t i = 0; i < r->experts; ++i)
    if (!kept[i / size]) rank[i] = -INFINITY;
}

static void weigh(float *weight, const zh_routing *r, const uint32_t *expert, const float *score) {
  double sum = 0, scale = r->router->scale == 0 ? 1 : r->router->scale;
  for (uint32_t k = 0; k < r->used; ++k) sum += weight[k] = score[expert[k]];
  if (r->router->score == ZH_ROUTER_SOFTMAX_CHOSEN) softmax(weight, r->used);
  double divisor = r->router->renormalise ? fmax(sum, FLT_MIN) : 1;
  for (uint32_t k = 0; k < r->used; ++k) weight[k] = (float)(weight[k] / divisor * scale);
}

void zh_route(uint32_t *expert, float *weight, const zh_routing *r, const float *logits,
              float *scratch) {
  float *score = scratch, *rank = scratch + r->experts;
  score_all(score, r, logits);
  for (uint32_t i = 0; i < r->experts; ++i) /* fmaxf: NaN ranks last */
    rank[i] = fmaxf(score[i] + (r->selection_bias ? r->selection_bias[i] : 0), -FLT_MAX);
  if (r->router->groups > 1) keep_best_groups(rank, r);
  take_best(expert, r->used, rank, r->experts);
  weigh(weight, r, expert, score);
}

void zh_assign(zh_assignment *out, const uint32_t *expert, size_t tokens, uint32_t used,
               uint32_t experts) {
  size_t choices = tokens * used;
  memset(out->first, 0, ((size_t)experts + 1) * sizeof *out->first);
  for (size_t i = 0; i < choices; ++i) ++out->first[expert[i] + 1];
  for (uint32_t e = 0; e < experts; ++e) out->first[e + 1] += out->first[e];
  for (size_t i = 0; i < choices; ++i) {
    uint32_t place = out->first[expert[i]]++; /* put back below */
    out->token[place] = (uint32_t)(i / used);
    out->place[i] = place;
  }
  for (uint32_t e = experts; e > 0; --e) out->first[e] = out->first[e - 1];
  out->first[0] = 0;
}
