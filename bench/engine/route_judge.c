/* A router's choice held against fp64. u = 2^-24. A logit with its bias is off by u of its size, an
 * exponential of a difference d from the largest by (|d| + 4) u relatively, a sigmoid of x by (|x|
 * + 6) u; sums are fp64's. Two experts that are closer than twice their errors may take each
 * other's place, and so may groups. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/route.h"

static const double U = 0x1p-24;

/* Of one token in fp64. */
typedef struct judged {
  double *score, *error, *rank; /* [experts]; error of score and of rank */
  bool *taken;
} judged;

static double error_of_logits(const zh_routing *r, const float *logits) {
  double largest = 0;
  for (uint32_t i = 0; i < r->experts; ++i) {
    largest = fmax(largest, fabs((double)logits[i]));
    if (r->bias) largest = fmax(largest, fabs((double)r->bias[i]));
  }
  return 2 * largest * U;
}

static void find_scores(const judged *j, const zh_routing *r, const float *logits) {
  double largest = -INFINITY, sum = 0, wide = error_of_logits(r, logits);
  for (uint32_t i = 0; i < r->experts; ++i) {
    j->score[i] = (double)logits[i] + (r->bias ? (double)r->bias[i] : 0);
    j->error[i] = wide;
    largest = fmax(largest, j->score[i]);
  }
  for (uint32_t i = 0; i < r->experts; ++i) {
    double x = j->score[i];
    if (r->router->score == ZH_ROUTER_SIGMOID) j->score[i] = 1 / (1 + exp(-x));
    if (r->router->score == ZH_ROUTER_SOFTMAX) j->score[i] = exp(x - largest);
    if (r->router->score != ZH_ROUTER_SOFTMAX_CHOSEN)
      j->error[i] = (fabs(x) + fabs(largest - x) + 8) * U + 2 * wide;
    sum += j->score[i];
  }
  for (uint32_t i = 0; i < r->experts; ++i) {
    if (r->router->score == ZH_ROUTER_SOFTMAX) j->score[i] /= sum;
    if (r->router->score != ZH_ROUTER_SOFTMAX_CHOSEN) j->error[i] *= j->score[i];
    j->rank[i] = j->score[i] + (r->selection_bias ? (double)r->selection_bias[i] : 0);
    j->error[i] += U * fabs(j->rank[i]);
  }
}

static double rank_of_group(const judged *j, const zh_routing *r, uint32_t group, double *error) {
  uint32_t size = r->experts / r->router->groups;
  double first = -INFINITY, second = -INFINITY;
  *error = 0;
  for (uint32_t i = group * size; i < (group + 1) * size; ++i) {
    *error = fmax(*error, 2 * j->error[i]);
    if (j->rank[i] > first) {
      second = first;
      first = j->rank[i];
    } else if (j->rank[i] > second) {
      second = j->rank[i];
    }
  }
  return r->router->group_score == ZH_GROUP_MAX || size == 1 ? first : first + second;
}

/* Whether group a comes before group b surely. */
static bool is_surely_before(const judged *j, const zh_routing *r, uint32_t a, uint32_t b) {
  double error_a, error_b;
  double first = rank_of_group(j, r, a, &error_a), second = rank_of_group(j, r, b, &error_b);
  return first - second > 2 * (error_a + error_b);
}

/* 1: its group is used, -1: it is not, 0: rounding decides. */
static int group_is_used(const judged *j, const zh_routing *r, uint32_t expert) {
  uint32_t groups = r->router->groups, before = 0, behind = 0;
  if (groups <= 1) return 1;
  uint32_t own = expert / (r->experts / groups);
  for (uint32_t g = 0; g < groups; ++g) {
    before += g != own && is_surely_before(j, r, g, own);
    behind += g != own && is_surely_before(j, r, own, g);
  }
  if (before >= r->router->groups_used) return -1;
  return behind >= groups - r->router->groups_used ? 1 : 0;
}

/* Nobody who was left out should have come before one who was taken. */
static bool are_the_best(const judged *j, const zh_routing *r, const uint32_t *expert) {
  uint32_t last = expert[0];
  for (uint32_t k = 0; k < r->used; ++k) {
    if (expert[k] >= r->experts || j->taken[expert[k]] || group_is_used(j, r, expert[k]) < 0)
      return false;
    j->taken[expert[k]] = true;
    if (!(j->rank[expert[k]] >= j->rank[last])) last = expert[k];
  }
  for (uint32_t i = 0; i < r->experts; ++i)
    if (!j->taken[i] && j->rank[i] - j->rank[last] > 2 * (j->error[i] + j->error[last]) &&
        group_is_used(j, r, i) > 0)
      return false;
  return true;
}

static void weigh(double *expected, double *bound, const judged *j, const zh_routing *r,
                  const uint32_t *expert) {
  double sum = 0, largest = -INFINITY, worst = 0;
  bool among = r->router->score == ZH_ROUTER_SOFTMAX_CHOSEN;
  for (uint32_t k = 0; k < r->used; ++k) largest = fmax(largest, j->score[expert[k]]);
  for (uint32_t k = 0; k < r->used; ++k) {
    double s = j->score[expert[k]], error = j->error[expert[k]];
    expected[k] = among ? exp(s - largest) : s;
    bound[k] = among ? 2 * error + (largest - s + 8) * U : error / fmax(s, DBL_MIN); /* relative */
    worst = fmax(worst, bound[k]);
    sum += expected[k];
  }
  double divisor = among ? sum : r->router->renormalise ? fmax(sum, FLT_MIN) : 1;
  double scale = r->router->scale == 0 ? 1 : r->router->scale;
  for (uint32_t k = 0; k < r->used; ++k) {
    expected[k] *= scale / divisor;
    bound[k] = (bound[k] + (divisor == 1 ? 0 : worst) + 4 * U) * fabs(expected[k]) + FLT_MIN;
  }
}

bool zh_route_judge(double *expected, double *bound, const zh_routing *r, const float *logits,
                    const uint32_t *expert) {
  double *room = malloc(r->experts * (3 * sizeof(double) + sizeof(bool)));
  if (!room) return false;
  judged j = {room, room + r->experts, room + 2 * (size_t)r->experts,
              (bool *)(void *)(room + 3 * (size_t)r->experts)};
  memset(j.taken, 0, r->experts * sizeof *j.taken);
  memset(bound, 0, r->used * sizeof *bound);
  find_scores(&j, r, logits);
  bool right = are_the_best(&j, r, expert);
  if (right) weigh(expected, bound, &j, r, expert);
  free(room);
  return right;
}
