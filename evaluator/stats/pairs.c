#include "evaluator/stats/pairs.h"

#include <math.h>
#include <stdlib.h>

#include "evaluator/stats/contrast.h"
#include "evaluator/stats/multiplicity.h"

const char *const zh_pair_ways[] = {"mcnemar_mid_p", "sign_flip", "t", "none"};

bool zh_pair_known(const zh_pair *pair) {
  return pair->estimate.variance > 0;
}

bool zh_pair_leads(const zh_pair *pair, double alpha) {
  return zh_pair_known(pair) && pair->p_greater <= alpha && pair->estimate.value > 0;
}

/* Variance of runs, beyond what rounding leaves of means that agree. */
static bool has_runs(const zh_pair_question *q) {
  double noise = zh_score_noise(q->size, 1);
  return q->extra[0] + q->extra[1] > noise * noise;
}

/* Variances of items and of both models' runs, with their degrees of freedom. */
static void add_runs(zh_estimate *e, const zh_pair_question *q) {
  double variances[3] = {e->variance, q->extra[0], q->extra[1]},
         df[3] = {e->df, q->extra_df[0], q->extra_df[1]}, ones[3] = {1, 1, 1};
  if (!has_runs(q)) return;
  e->df = zh_welch_satterthwaite(variances, df, ones, 3);
  e->variance += q->extra[0] + q->extra[1];
}

static void test_mcnemar(zh_pair *pair, const zh_contrast *contrast) {
  pair->only_first = contrast->only_first;
  pair->only_second = contrast->only_second;
  zh_mcnemar test = zh_mcnemar_test(pair->only_first, pair->only_second);
  pair->p_greater = test.mid_p_greater;
  pair->p_less = zh_mcnemar_test(pair->only_second, pair->only_first).mid_p_greater;
  pair->p_two_sided = test.mid_p;
}

static zh_status test_flips(zh_pair *pair, const zh_pair_question *q, const double *differences,
                            zh_error *err) {
  zh_flip_test test;
  ZH_TRY(zh_sign_flip_test(&test, q->groups, differences, q->size, &q->draws, err));
  pair->p_greater = test.p_greater;
  pair->p_less = test.p_less;
  pair->p_two_sided = test.p_two_sided;
  return ZH_OK;
}

static void test_t(zh_pair *pair) {
  pair->p_greater = zh_estimate_greater(&pair->estimate, 0);
  pair->p_less = 1 - pair->p_greater;
  pair->p_two_sided = fmin(1, 2 * fmin(pair->p_greater, pair->p_less));
}

static zh_interval limits(const zh_pair *pair, const zh_pair_question *q,
                          const zh_contrast *contrast, double confidence) {
  if (zh_contrast_by_score(contrast))
    return zh_contrast_limits(contrast, confidence, q->extra, q->extra_df);
  double value = pair->estimate.value, half = zh_estimate_half_width(&pair->estimate, confidence);
  return (zh_interval){value - half, value + half};
}

/* A task that never differs is no evidence, and changes nothing of the choice. */
static zh_pair_way choose(const zh_pair_question *q, const zh_contrast *contrast) {
  if (has_runs(q)) return ZH_BY_T;
  if (contrast->differing == 1 && contrast->plain) return ZH_BY_MCNEMAR;
  /* One task counts exactly; the rest is rounding. */
  return contrast->effective < ZH_CLUSTERS_FOR_T - 1e-6 ? ZH_BY_FLIPS : ZH_BY_T;
}

static zh_status test_contrast(zh_pair *pair, const zh_pair_question *q,
                               const zh_contrast *contrast, const double *differences,
                               zh_error *err) {
  if (zh_contrast_constant(contrast)) pair->estimate.variance = NAN;
  if (!zh_pair_known(pair)) return ZH_OK;
  add_runs(&pair->estimate, q);
  zh_interval both = limits(pair, q, contrast, 0.95);
  pair->low = both.low;
  pair->high = both.high;
  pair->bound = limits(pair, q, contrast, 1 - 2 * q->alpha).low;
  pair->way = choose(q, contrast);
  if (pair->way == ZH_BY_FLIPS) return test_flips(pair, q, differences, err);
  if (pair->way == ZH_BY_MCNEMAR)
    test_mcnemar(pair, contrast);
  else
    test_t(pair);
  return ZH_OK;
}

static zh_status test(zh_pair *pair, const zh_pair_question *q, const double *differences,
                      zh_error *err) {
  zh_contrast contrast;
  ZH_TRY(zh_estimate_mean(&pair->estimate, q->groups, differences, q->size, err));
  ZH_TRY(zh_contrast_look(&contrast, q->groups, q->first, q->second, differences, q->size, err));
  zh_status status = test_contrast(pair, q, &contrast, differences, err);
  zh_contrast_clear(&contrast);
  return status;
}

zh_status zh_pair_test(zh_pair *out, const zh_pair_question *given, zh_error *err) {
  zh_pair_question q = *given;
  size_t items = q.groups->items;
  double *differences = calloc(items + 1, sizeof *differences);
  *out = (zh_pair){.way = ZH_BY_NOTHING,
                   .p_greater = NAN,
                   .p_less = NAN,
                   .p_two_sided = NAN,
                   .low = NAN,
                   .high = NAN,
                   .bound = NAN};
  if (differences == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  q.size = fmax(q.size, fmax(zh_largest(q.first, items), zh_largest(q.second, items)));
  for (size_t i = 0; i < items; i++) differences[i] = q.first[i] - q.second[i];
  zh_status status = test(out, &q, differences, err);
  free(differences);
  return status;
}
