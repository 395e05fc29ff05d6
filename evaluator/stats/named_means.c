/* Means and differences of items by name. */
#include <math.h>

#include "evaluator/stats/multiplicity.h"
#include "evaluator/stats/named.h"
#include "evaluator/stats/special.h"

json_t *zh_no_variance_note(const zh_groups *g) {
  return json_string(g->clusters < 2
                         ? "one cluster alone: no variance is known"
                         : "no variance among the clusters: no interval follows from them");
}

static json_t *described(const char *what, const zh_estimate *e, const zh_groups *g,
                         double confidence) {
  double half = zh_estimate_half_width(e, confidence);
  bool spread = e->variance > 0;
  json_t *document = json_pack(
      "{s:o, s:o, s:o, s:o, s:o, s:f, s:I, s:I}", what, zh_json_number(e->value), "se",
      spread ? zh_json_number(sqrt(e->variance)) : json_null(), "df",
      spread ? zh_json_number(e->df) : json_null(), "low", zh_json_number(e->value - half), "high",
      zh_json_number(e->value + half), "confidence", confidence, "items", (json_int_t)g->items,
      "clusters", (json_int_t)g->clusters);
  if (!spread) json_object_set_new(document, "note", zh_no_variance_note(g));
  return document;
}

static zh_status mean(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers values;
  zh_groups *groups = NULL;
  zh_estimate estimate;
  double confidence;
  ZH_TRY(zh_given_real_or(&confidence, given, "confidence", 0.5, 0.999999, 0.95, err));
  ZH_TRY(zh_given_list(&values, given, "values", err));
  zh_status status = zh_given_groups(&groups, given, values.columns, err);
  if (status == ZH_OK) status = zh_estimate_mean(&estimate, groups, values.values, 0, err);
  if (status == ZH_OK)
    status = zh_named_done(out, described("mean", &estimate, groups, confidence), err);
  zh_groups_free(groups);
  zh_numbers_clear(&values);
  return status;
}

/* a := a - b; size: of the largest number of either */
static zh_status pairs_of(zh_numbers *a, double *size, const zh_given *given, zh_error *err) {
  zh_numbers b;
  ZH_TRY(zh_given_list(a, given, "a", err));
  zh_status status = zh_given_list(&b, given, "b", err);
  if (status == ZH_OK && a->columns != b.columns)
    status = zh_fail(err, ZH_ERR_USAGE, "%s: a has %zu numbers, b %zu", given->method, a->columns,
                     b.columns);
  if (status == ZH_OK)
    *size = fmax(zh_largest(a->values, a->columns), zh_largest(b.values, b.columns));
  for (size_t i = 0; status == ZH_OK && i < a->columns; i++) a->values[i] -= b.values[i];
  if (status != ZH_OK) zh_numbers_clear(a);
  zh_numbers_clear(&b);
  return status;
}

static void add_t(json_t *document, const zh_estimate *e) {
  bool spread = e->variance > 0;
  double t = spread ? e->value / sqrt(e->variance) : NAN;
  json_object_set_new(document, "t", zh_json_number(t));
  json_object_set_new(document, "p_two_sided",
                      zh_json_number(spread ? 2 * zh_t_cdf(-fabs(t), e->df) : NAN));
  json_object_set_new(document, "p_greater", zh_json_number(zh_estimate_greater(e, 0)));
}

static zh_status paired(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers differences;
  zh_groups *groups = NULL;
  zh_estimate estimate;
  double confidence, size;
  ZH_TRY(zh_given_real_or(&confidence, given, "confidence", 0.5, 0.999999, 0.95, err));
  ZH_TRY(pairs_of(&differences, &size, given, err));
  zh_status status = zh_given_groups(&groups, given, differences.columns, err);
  if (status == ZH_OK) status = zh_estimate_mean(&estimate, groups, differences.values, size, err);
  if (status == ZH_OK)
    status = zh_named_done(out, described("difference", &estimate, groups, confidence), err);
  if (status == ZH_OK) add_t(*out, &estimate);
  zh_groups_free(groups);
  zh_numbers_clear(&differences);
  return status;
}

static zh_status sign_flip(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers differences;
  zh_groups *groups = NULL;
  zh_flip_test test;
  zh_draws draws;
  ZH_TRY(zh_given_draws(&draws, given, err));
  ZH_TRY(zh_given_list(&differences, given, "differences", err));
  zh_status status = zh_given_groups(&groups, given, differences.columns, err);
  if (status == ZH_OK)
    status = zh_sign_flip_test(&test, groups, differences.values, 0, &draws, err);
  if (status == ZH_OK)
    status = zh_named_done(out,
                           json_pack("{s:f, s:f, s:I, s:b}", "p_greater", test.p_greater,
                                     "p_two_sided", test.p_two_sided, "flips",
                                     (json_int_t)test.flips, "exact", test.exact),
                           err);
  zh_groups_free(groups);
  zh_numbers_clear(&differences);
  return status;
}

static zh_status non_inferiority(json_t **out, const zh_given *given, zh_error *err) {
  zh_estimate e;
  double se, margin, alpha;
  ZH_TRY(zh_given_real(&e.value, given, "difference", -1e12, 1e12, err));
  ZH_TRY(zh_given_real(&se, given, "se", 1e-300, 1e12, err));
  ZH_TRY(zh_given_real(&margin, given, "margin", 0, 1e12, err));
  ZH_TRY(zh_given_real_or(&e.df, given, "df", 1e-3, INFINITY, INFINITY, err));
  ZH_TRY(zh_given_real_or(&alpha, given, "alpha", 1e-9, 0.5, 0.05, err));
  e.variance = se * se;
  double bound = e.value - zh_estimate_half_width(&e, 1 - 2 * alpha);
  return zh_named_done(
      out,
      json_pack("{s:o, s:o, s:o, s:b, s:f}", "t", zh_json_number((e.value + margin) / se), "p",
                zh_json_number(zh_estimate_greater(&e, -margin)), "bound", zh_json_number(bound),
                "non_inferior", bound >= -margin, "alpha", alpha),
      err);
}

static zh_status welch_satterthwaite(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers variances = {0}, df = {0}, weights = {0};
  bool weighted = zh_given_text(given, "weights") != NULL;
  zh_status status = zh_given_list(&variances, given, "variances", err);
  if (status == ZH_OK) status = zh_given_list(&df, given, "df", err);
  if (status == ZH_OK) status = zh_given_list(&weights, given, weighted ? "weights" : "df", err);
  size_t n = variances.columns;
  if (status == ZH_OK && (df.columns != n || weights.columns != n))
    status =
        zh_fail(err, ZH_ERR_USAGE, "%s: variances, df and weights differ in number", given->method);
  if (status == ZH_OK) {
    double variance = 0;
    for (size_t i = 0; i < n; i++) {
      if (!weighted) weights.values[i] = 1;
      variance += weights.values[i] * weights.values[i] * variances.values[i];
    }
    double freedom = zh_welch_satterthwaite(variances.values, df.values, weights.values, n);
    status = zh_named_done(out,
                           json_pack("{s:o, s:o}", "df", zh_json_number(freedom), "variance",
                                     zh_json_number(variance)),
                           err);
  }
  zh_numbers_clear(&variances);
  zh_numbers_clear(&df);
  zh_numbers_clear(&weights);
  return status;
}

const zh_method zh_mean_methods[] = {
    {"mean", "values ?cluster ?confidence", mean},
    {"paired", "a b ?cluster ?confidence", paired},
    {"sign-flip", "differences ?cluster ?replicates ?seed", sign_flip},
    {"non-inferiority", "difference se margin ?df ?alpha", non_inferiority},
    {"welch-satterthwaite", "variances df ?weights", welch_satterthwaite},
    {NULL, NULL, NULL}};
