#include "tests/kernelcheck/device.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double u = 0x1p-24;

typedef struct route_shape {
  uint32_t experts, used, groups, groups_used;
  zh_device_score score;
  bool best_two, renormalise, bias, selection_bias;
  double scale;
  uint32_t first, here, ranks; /* 0: all experts, one rank */
} route_shape;

typedef struct route_case {
  const route_shape *shape;
  zh_device_route work;
  float *logits, *bias, *selection;
  size_t tokens;
} route_case;

static zh_status enqueue_route(void *user, zh_error *err) {
  const route_case *c = user;
  return on.api->route(on.device, &c->work, err);
}

/* Scores of all experts, and what they are chosen by, in fp64. */
static void exact_scores(double *score, double *rank, const route_case *c, size_t t) {
  const route_shape *s = c->shape;
  double largest = -INFINITY, sum = 0;
  for (uint32_t i = 0; i < s->experts; i++) {
    score[i] = (double)c->logits[t * s->experts + i] + (s->bias ? (double)c->bias[i] : 0);
    largest = fmax(largest, score[i]);
  }
  for (uint32_t i = 0; i < s->experts; i++) sum += exp(score[i] - largest);
  for (uint32_t i = 0; i < s->experts; i++) {
    if (s->score == ZH_DEVICE_SOFTMAX) score[i] = exp(score[i] - largest) / sum;
    if (s->score == ZH_DEVICE_SIGMOID) score[i] = 1 / (1 + exp(-score[i]));
    rank[i] = score[i] + (s->selection_bias ? (double)c->selection[i] : 0);
  }
}

static void best_of(uint32_t *best, uint32_t count, double *rank, uint32_t among) {
  for (uint32_t k = 0; k < count; k++) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < among; i++)
      if (rank[i] > rank[at]) at = i;
    best[k] = at;
    rank[at] = -INFINITY;
  }
}

static void drop_groups(double *rank, const route_shape *s) {
  double of_group[ZH_DEVICE_GROUPS_MAX];
  uint32_t size = s->experts / s->groups, best[ZH_DEVICE_GROUPS_MAX];
  for (uint32_t g = 0; g < s->groups; g++) {
    double first = -INFINITY, second = -INFINITY;
    for (uint32_t i = g * size; i < (g + 1) * size; i++) {
      second = fmax(second, fmin(first, rank[i]));
      first = fmax(first, rank[i]);
    }
    of_group[g] = s->best_two ? first + second : first;
  }
  best_of(best, s->groups_used, of_group, s->groups);
  for (uint32_t i = 0; i < s->experts; i++) {
    bool kept = false;
    for (uint32_t k = 0; k < s->groups_used; k++) kept = kept || best[k] == i / size;
    if (!kept) rank[i] = -INFINITY;
  }
}

/* Choices are those of fp64: random logits leave gaps far wider than fp32's roundings. Weights: a
 * score is within (8 + 2 |logit|) u of itself, so is their sum, then a quotient and a product. */
static double token_error(const route_case *c, size_t t, const uint32_t *choice,
                          const float *weight) {
  const route_shape *s = c->shape;
  double *score = zeroed(s->experts * sizeof *score), *rank = zeroed(s->experts * sizeof *rank),
         sum = 0, worst = 0, largest = -INFINITY, exps = 0;
  uint32_t expected[ZH_DEVICE_USED_MAX];
  exact_scores(score, rank, c, t);
  if (s->groups > 1) drop_groups(rank, s);
  best_of(expected, s->used, rank, s->experts);
  worst = unless_equal(worst, expected, choice, s->used * sizeof *choice);
  for (uint32_t k = 0; k < s->used; k++) {
    sum += score[expected[k]];
    largest = fmax(largest, score[expected[k]]);
  }
  for (uint32_t k = 0; k < s->used; k++) exps += exp(score[expected[k]] - largest);
  for (uint32_t k = 0; k < s->used; k++) {
    double exact = score[expected[k]];
    if (s->score == ZH_DEVICE_SOFTMAX_CHOSEN) exact = exp(exact - largest) / exps;
    if (s->renormalise) exact /= sum;
    if (s->scale != 0) exact *= s->scale;
    worst = worse(worst, weight[k], exact, 64 * u * fabs(exact));
  }
  free(score), free(rank);
  return worst;
}

static uint32_t experts_here(const route_shape *s) {
  return s->here ? s->here : s->experts;
}

/* The lists hold every choice of the experts here once, by its expert, in order. */
static double list_error(const route_case *c, const uint32_t *lists, const uint32_t *choice) {
  const route_shape *s = c->shape;
  uint32_t here = experts_here(s), busy = 0, at = 0;
  const uint32_t *first = lists + 1 + here, *order = first + here + 1;
  for (uint32_t e = 0; e < here; e++) {
    if (first[e] != at) return INFINITY;
    for (uint32_t i = 0; i < c->tokens * s->used; i++)
      if (choice[i] == s->first + e && order[at++] != i) return INFINITY;
    if (at > first[e] && lists[1 + busy++] != e) return INFINITY;
  }
  return first[here] == at && lists[0] == busy ? 0 : INFINITY;
}

/* Of one pass, counted anew from the choices, rank by rank. */
static void expected_counts(uint64_t out[ZH_COUNTS], const route_case *c, const uint32_t *choice) {
  const route_shape *s = c->shape;
  uint32_t ranks = s->ranks ? s->ranks : 1, expert = 0;
  memset(out, 0, ZH_COUNTS * sizeof *out);
  out[ZH_COUNT_PASSES] = 1;
  out[ZH_COUNT_CHOICES] = c->tokens * s->used;
  for (uint32_t rank = 0; rank < ranks; rank++) {
    uint64_t busy = 0, choices = 0;
    /* What is left over the remaining ranks, rounded up: the larger shares come first. */
    uint32_t share = (s->experts - expert + ranks - rank - 1) / (ranks - rank);
    for (uint32_t e = expert; e < expert + share; e++) {
      uint64_t own = 0;
      for (size_t i = 0; i < c->tokens * s->used; i++) own += choice[i] == e;
      busy += own > 0;
      choices += own;
      if (e >= s->first && e < s->first + experts_here(s)) out[ZH_COUNT_HERE] += own;
    }
    expert += share;
    out[ZH_COUNT_BUSY] += busy;
    if (busy > out[ZH_COUNT_MOST_BUSY]) out[ZH_COUNT_MOST_BUSY] = busy;
    if (choices > out[ZH_COUNT_MOST]) out[ZH_COUNT_MOST] = choices;
  }
}

/* Once a run: by itself, from a graph and from a program. */
static double count_error(const route_case *c, const uint32_t *choice) {
  uint64_t counted[ZH_COUNTS], expected[ZH_COUNTS];
  device_read(counted, c->work.counted, sizeof counted);
  expected_counts(expected, c, choice);
  if (counted[ZH_COUNT_PASSES] == 0) return INFINITY;
  for (int i = 0; i < ZH_COUNTS; i++)
    if (counted[i] != expected[i] * counted[ZH_COUNT_PASSES]) return INFINITY;
  return 0;
}

static void check_route(const route_shape *s, size_t tokens, const char *words) {
  size_t choices = tokens * s->used,
         words_of_lists = zh_device_list_words(tokens, experts_here(s), s->used);
  static const uint64_t nothing[ZH_COUNTS];
  route_case c = {.shape = s, .tokens = tokens};
  c.logits = normal_floats(tokens * s->experts, 2);
  c.bias = normal_floats(s->experts, 1);
  c.selection = normal_floats(s->experts, 0.3f);
  uint32_t *choice = zeroed(choices * 4), *lists = zeroed(words_of_lists * 4);
  float *weight = zeroed(choices * 4);
  c.work = (zh_device_route){
      .choice = device_copy(NULL, choices * 4),
      .weight = device_copy(NULL, choices * 4),
      .lists = device_copy(NULL, words_of_lists * 4),
      .logits = device_copy(c.logits, tokens * s->experts * 4),
      .tokens = tokens,
      .experts = s->experts,
      .used = s->used,
      .first = s->first,
      .here = s->here,
      .ranks = s->ranks,
      .groups = s->groups,
      .groups_used = s->groups_used,
      .score = s->score,
      .best_two = s->best_two,
      .renormalise = s->renormalise,
      .scale = s->scale,
      .counted = device_copy(nothing, sizeof nothing),
      .bias = s->bias ? device_copy(c.bias, s->experts * 4) : NULL,
      .selection_bias = s->selection_bias ? device_copy(c.selection, s->experts * 4) : NULL};
  device_run run = {enqueue_route, &c, c.work.weight, NULL, choices * 4, false};
  double worst = device_result(weight, &run);
  device_read(choice, c.work.choice, choices * 4);
  device_read(lists, c.work.lists, words_of_lists * 4);
  for (size_t t = 0; t < tokens; t++)
    worst = fmax(worst, token_error(&c, t, choice + t * s->used, weight + t * s->used));
  worst = fmax(worst, list_error(&c, lists, choice));
  worst = fmax(worst, count_error(&c, choice));
  check_report("route", on.api->backend, words, worst);
  free(c.logits), free(c.bias), free(c.selection), free(choice), free(lists), free(weight);
  device_drop();
}

/* Equal scores go to the lower number; NaN ranks last and shows in no other weight. */
static void check_ties(void) {
  enum { EXPERTS = 40, USED = 4 };
  static const route_shape s = {.experts = EXPERTS, .used = USED, .score = ZH_DEVICE_SIGMOID};
  float logits[2 * EXPERTS];
  uint32_t choice[2 * USED];
  for (size_t i = 0; i < 2 * EXPERTS; i++) logits[i] = i % 3 == 1 ? 0.5f : -1;
  logits[EXPERTS + 5] = NAN;
  route_case c = {.shape = &s, .tokens = 2};
  c.work = (zh_device_route){.choice = device_copy(NULL, sizeof choice),
                             .weight = device_copy(NULL, sizeof choice),
                             .lists = device_copy(NULL, zh_device_list_words(2, EXPERTS, USED) * 4),
                             .logits = device_copy(logits, sizeof logits),
                             .tokens = 2,
                             .experts = EXPERTS,
                             .used = USED,
                             .score = s.score};
  device_run run = {enqueue_route, &c, c.work.choice, NULL, sizeof choice, false};
  double worst = device_result(choice, &run);
  static const uint32_t expected[2 * USED] = {1, 4, 7, 10, 0, 3, 6, 9}; /* 40 % 3 is 1 */
  check_report("route", on.api->backend, "ties, NaN",
               unless_equal(worst, choice, expected, sizeof choice));
  device_drop();
}

void check_device_route(void) {
  static const route_shape softmax = {.experts = 64,
                                      .used = 8,
                                      .score = ZH_DEVICE_SOFTMAX,
                                      .renormalise = true},
                           chosen = {.experts = 33,
                                     .used = 4,
                                     .groups = 1,
                                     .groups_used = 1,
                                     .score = ZH_DEVICE_SOFTMAX_CHOSEN,
                                     .bias = true},
                           best = {.experts = 24,
                                   .used = 3,
                                   .groups = 4,
                                   .groups_used = 2,
                                   .score = ZH_DEVICE_SOFTMAX,
                                   .scale = 16},
                           sigmoid = {.experts = 256,
                                      .used = 8,
                                      .groups = 8,
                                      .groups_used = 4,
                                      .score = ZH_DEVICE_SIGMOID,
                                      .best_two = true,
                                      .renormalise = true,
                                      .selection_bias = true,
                                      .scale = 2.5},
                           last = {.experts = 23, .used = 3, .first = 18, .here = 5, .ranks = 4},
                           second = {.experts = 64, .used = 4, .first = 13, .here = 13, .ranks = 5};
  check_route(&softmax, 1, "softmax, 8 of 64");
  check_route(&softmax, 37, "softmax, 8 of 64, 37 tokens");
  check_route(&chosen, 5, "softmax of the chosen, 4 of 33, bias");
  check_route(&best, 5, "groups by their best, 3 of 24");
  check_route(&sigmoid, 7, "sigmoid, groups by their best two, 8 of 256");
  check_route(&last, 6, "3 of 23, the last of four shares here");
  check_route(&second, 1, "4 of 64, the second of five shares here, 1 token");
  check_route(&second, 40, "4 of 64, the second of five shares here, 40 tokens");
  check_ties();
}
