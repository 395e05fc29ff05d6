/* Several tests, or several models, by name. */
#include <math.h>
#include <stdlib.h>

#include "core/statistics.h"
#include "evaluator/stats/bootstrap.h"
#include "evaluator/stats/multiplicity.h"
#include "evaluator/stats/named.h"
#include "evaluator/stats/rank_sets.h"

static zh_status p_values(zh_numbers *p, double *alpha, const zh_given *given, zh_error *err) {
  ZH_TRY(zh_given_real_or(alpha, given, "alpha", 1e-9, 0.5, 0.05, err));
  ZH_TRY(zh_given_list(p, given, "p", err));
  for (size_t i = 0; i < p->columns; i++) {
    double value = p->values[i];
    if (value >= 0 && value <= 1) continue;
    zh_numbers_clear(p);
    return zh_fail(err, ZH_ERR_USAGE, "%s: number %zu of p is %g; a p value lies between 0 and 1",
                   given->method, i + 1, value);
  }
  return ZH_OK;
}

typedef zh_status (*adjustment)(double *adjusted, const double *p, size_t count, zh_error *err);

static zh_status adjusted(json_t **out, const zh_given *given, adjustment adjust, zh_error *err) {
  zh_numbers p;
  double alpha;
  ZH_TRY(p_values(&p, &alpha, given, err));
  zh_status status = adjust(p.values, p.values, p.columns, err);
  if (status == ZH_OK) {
    json_t *rejected = json_array();
    for (size_t i = 0; i < p.columns; i++)
      json_array_append_new(rejected, json_boolean(p.values[i] <= alpha));
    status =
        zh_named_done(out,
                      json_pack("{s:o, s:o, s:f}", "adjusted", zh_number_list(p.values, p.columns),
                                "rejected", rejected, "alpha", alpha),
                      err);
  }
  zh_numbers_clear(&p);
  return status;
}

static zh_status holm(json_t **out, const zh_given *given, zh_error *err) {
  return adjusted(out, given, zh_holm, err);
}

static zh_status benjamini_hochberg(json_t **out, const zh_given *given, zh_error *err) {
  return adjusted(out, given, zh_benjamini_hochberg, err);
}

static zh_status intersection_union(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers p;
  double alpha;
  ZH_TRY(p_values(&p, &alpha, given, err));
  double largest = zh_intersection_union(p.values, p.columns);
  zh_numbers_clear(&p);
  return zh_named_done(
      out, json_pack("{s:f, s:b, s:f}", "p", largest, "rejected", largest <= alpha, "alpha", alpha),
      err);
}

/* Rows of scores are models, columns items. */
static zh_status field_of(zh_numbers *scores, zh_groups **groups, zh_draws *draws,
                          const zh_given *given, zh_error *err) {
  *groups = NULL;
  ZH_TRY(zh_given_draws(draws, given, err));
  ZH_TRY(zh_given_table(scores, given, "scores", err));
  zh_status status = zh_given_groups(groups, given, scores->columns, err);
  if (status != ZH_OK) zh_numbers_clear(scores);
  return status;
}

static json_t *sets_json(const zh_rank_set *sets, size_t models) {
  json_t *list = json_array();
  for (size_t m = 0; m < models; m++)
    json_array_append_new(list, json_pack("{s:i, s:o, s:I, s:I}", "model", (int)m + 1, "mean",
                                          zh_json_number(sets[m].mean), "L",
                                          (json_int_t)sets[m].low, "U", (json_int_t)sets[m].high));
  return list;
}

static zh_status rank_sets(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers scores;
  zh_groups *groups;
  zh_rank_options options = {.alpha = 0.05};
  int64_t claimant;
  size_t untested, flips;
  ZH_TRY(zh_given_real_or(&options.alpha, given, "alpha", 1e-9, 0.5, 0.05, err));
  ZH_TRY(zh_given_whole_or(&claimant, given, "claimant", 1, 1000, 0, err));
  ZH_TRY(field_of(&scores, &groups, &options.draws, given, err));
  options.claimant = (int)claimant - 1; /* ZH_ALL_PAIRS where none is named */
  zh_rank_set *sets = calloc(scores.rows, sizeof *sets);
  const zh_field field = {.groups = groups, .models = scores.rows, .scores = scores.values};
  zh_status status = sets == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory") : ZH_OK;
  if (status == ZH_OK && options.claimant >= (int)scores.rows)
    status = zh_fail(err, ZH_ERR_USAGE, "rank-sets: there are %zu models, no model %lld",
                     scores.rows, (long long)claimant);
  if (status == ZH_OK) status = zh_rank_sets(sets, &untested, &field, &options, err);
  if (status == ZH_OK) {
    bool all = zh_signs_all(&flips, groups->clusters, options.draws.replicates);
    status =
        zh_named_done(out,
                      json_pack("{s:o, s:f, s:I, s:I, s:b}", "sets", sets_json(sets, scores.rows),
                                "alpha", options.alpha, "untested_pairs", (json_int_t)untested,
                                "replicates", (json_int_t)flips, "exact", all),
                      err);
  }
  free(sets);
  zh_groups_free(groups);
  zh_numbers_clear(&scores);
  return status;
}

/* drawn: means of one model; the draws of clusters that do not vary are as alike as they. */
static json_t *spread_of(size_t model, double *drawn, size_t replicates, const zh_estimate *e,
                         const zh_groups *groups, double confidence) {
  double tail = 0.5 * (1 - confidence), se = NAN, low = NAN, high = NAN;
  if (e->variance > 0) {
    se = zh_stdev(drawn, replicates);
    zh_sort_doubles(drawn, replicates);
    low = zh_percentile(drawn, replicates, tail);
    high = zh_percentile(drawn, replicates, 1 - tail);
  }
  json_t *entry = json_pack("{s:I, s:o, s:o, s:o, s:o}", "model", (json_int_t)model + 1, "mean",
                            zh_json_number(e->value), "se", zh_json_number(se), "low",
                            zh_json_number(low), "high", zh_json_number(high));
  if (isnan(se)) json_object_set_new(entry, "note", zh_no_variance_note(groups));
  return entry;
}

static zh_status list_spreads(json_t *list, double *means, const zh_field *field, size_t replicates,
                              double confidence, zh_error *err) {
  const zh_groups *g = field->groups;
  for (size_t m = 0; m < field->models; m++) {
    zh_estimate estimate;
    ZH_TRY(zh_estimate_mean(&estimate, g, field->scores + m * g->items, 0, err));
    json_array_append_new(
        list, spread_of(m, means + m * replicates, replicates, &estimate, g, confidence));
  }
  return ZH_OK;
}

static zh_status bootstrap(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers scores;
  zh_groups *groups;
  zh_draws draws;
  double confidence;
  ZH_TRY(zh_given_real_or(&confidence, given, "confidence", 0.5, 0.999999, 0.95, err));
  ZH_TRY(field_of(&scores, &groups, &draws, given, err));
  double *means = calloc(scores.rows * draws.replicates, sizeof *means);
  json_t *models = json_array();
  const zh_field field = {.groups = groups, .models = scores.rows, .scores = scores.values};
  zh_status status = means == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory") : ZH_OK;
  if (status == ZH_OK) status = zh_bootstrap_means(means, &field, &draws, err);
  if (status == ZH_OK)
    status = list_spreads(models, means, &field, draws.replicates, confidence, err);
  if (status == ZH_OK)
    status = zh_named_done(out,
                           json_pack("{s:O, s:f, s:I}", "models", models, "confidence", confidence,
                                     "replicates", (json_int_t)draws.replicates),
                           err);
  json_decref(models);
  free(means);
  zh_groups_free(groups);
  zh_numbers_clear(&scores);
  return status;
}

const zh_method zh_family_methods[] = {
    {"holm", "p ?alpha", holm},
    {"bh", "p ?alpha", benjamini_hochberg},
    {"intersection-union", "p ?alpha", intersection_union},
    {"rank-sets", "scores ?cluster ?claimant ?alpha ?replicates ?seed", rank_sets},
    {"bootstrap", "scores ?cluster ?confidence ?replicates ?seed", bootstrap},
    {NULL, NULL, NULL}};
