#include "evaluator/stats/pairs.h"

#include <math.h>
#include <stdlib.h>

#include "evaluator/stats/multiplicity.h"
#include "evaluator/stats/proportions.h"

/* Below this many clusters the normal theory of their variance is not trusted, and signs are
 * flipped. */
enum { CLUSTERS_FOR_T = 30 };

const char *const zh_pair_ways[] = {"mcnemar_mid_p", "sign_flip", "t", "none"};

bool zh_pair_known(const zh_pair *pair) {
  return pair->estimate.variance > 0;
}

static bool has_runs(const zh_pair_question *q) {
  return q->extra[0] + q->extra[1] > 0;
}

/* Variances of items and of both models' runs, with their degrees of freedom. */
static void add_runs(zh_estimate *e, const zh_pair_question *q) {
  double variances[3] = {e->variance, q->extra[0], q->extra[1]},
         df[3] = {e->df, q->extra_df[0], q->extra_df[1]}, ones[3] = {1, 1, 1};
  if (!has_runs(q)) return;
  e->df = zh_welch_satterthwaite(variances, df, ones, 3);
  e->variance += q->extra[0] + q->extra[1];
}

static bool is_binary(const double *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (values[i] != 0 && values[i] != 1) return false;
  return true;
}

static void test_mcnemar(zh_pair *pair, const double *differences, size_t items) {
  for (size_t i = 0; i < items; i++) {
    pair->only_first += differences[i] > 0;
    pair->only_second += differences[i] < 0;
  }
  zh_mcnemar test = zh_mcnemar_test(pair->only_first, pair->only_second);
  pair->p_greater = test.mid_p_greater;
  pair->p_less = zh_mcnemar_test(pair->only_second, pair->only_first).mid_p_greater;
  pair->p_two_sided = test.mid_p;
}

static zh_status test_flips(zh_pair *pair, const zh_pair_question *q, double *differences,
                            zh_error *err) {
  zh_flip_test test;
  ZH_TRY(zh_sign_flip_test(&test, q->groups, differences, &q->draws, err));
  pair->p_greater = test.p_greater;
  pair->p_two_sided = test.p_two_sided;
  for (size_t i = 0; i < q->groups->items; i++) differences[i] = -differences[i];
  ZH_TRY(zh_sign_flip_test(&test, q->groups, differences, &q->draws, err));
  pair->p_less = test.p_greater;
  return ZH_OK;
}

static void test_t(zh_pair *pair) {
  pair->p_greater = zh_estimate_greater(&pair->estimate, 0);
  pair->p_less = 1 - pair->p_greater;
  pair->p_two_sided = fmin(1, 2 * fmin(pair->p_greater, pair->p_less));
}

static void find_interval(zh_pair *pair, double alpha) {
  double value = pair->estimate.value, half = zh_estimate_half_width(&pair->estimate, 0.95);
  pair->low = value - half;
  pair->high = value + half;
  pair->bound = value - zh_estimate_half_width(&pair->estimate, 1 - 2 * alpha);
}

static zh_status test(zh_pair *pair, const zh_pair_question *q, double *differences,
                      zh_error *err) {
  const zh_groups *g = q->groups;
  ZH_TRY(zh_estimate_mean(&pair->estimate, g, differences, err));
  if (!zh_pair_known(pair)) return ZH_OK;
  add_runs(&pair->estimate, q);
  find_interval(pair, q->alpha);
  bool flips = !has_runs(q) && zh_groups_least(g) < CLUSTERS_FOR_T;
  pair->way = flips ? ZH_BY_FLIPS : ZH_BY_T;
  if (!has_runs(q) && g->singles && g->tasks == 1 && is_binary(q->first, g->items) &&
      is_binary(q->second, g->items))
    pair->way = ZH_BY_MCNEMAR;
  if (pair->way == ZH_BY_FLIPS) return test_flips(pair, q, differences, err);
  if (pair->way == ZH_BY_MCNEMAR)
    test_mcnemar(pair, differences, g->items);
  else
    test_t(pair);
  return ZH_OK;
}

zh_status zh_pair_test(zh_pair *out, const zh_pair_question *q, zh_error *err) {
  size_t items = q->groups->items;
  double *differences = calloc(items + 1, sizeof *differences);
  *out = (zh_pair){.way = ZH_BY_NOTHING,
                   .p_greater = NAN,
                   .p_less = NAN,
                   .p_two_sided = NAN,
                   .low = NAN,
                   .high = NAN,
                   .bound = NAN};
  if (differences == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  for (size_t i = 0; i < items; i++) differences[i] = q->first[i] - q->second[i];
  zh_status status = test(out, q, differences, err);
  free(differences);
  return status;
}
