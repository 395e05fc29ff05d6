/* Distribution functions by name. */
#include <math.h>

#include "evaluator/stats/named.h"
#include "evaluator/stats/special.h"

static zh_status value(json_t **out, double number, zh_error *err) {
  return zh_named_done(out, json_pack("{s:o}", "value", zh_json_number(number)), err);
}

static zh_status normal_cdf(json_t **out, const zh_given *given, zh_error *err) {
  double x;
  ZH_TRY(zh_given_real(&x, given, "x", -INFINITY, INFINITY, err));
  return value(out, zh_normal_cdf(x), err);
}

static zh_status normal_quantile(json_t **out, const zh_given *given, zh_error *err) {
  double p;
  ZH_TRY(zh_given_real(&p, given, "p", 0, 1, err));
  return value(out, zh_normal_quantile(p), err);
}

static zh_status t_cdf(json_t **out, const zh_given *given, zh_error *err) {
  double t, df;
  ZH_TRY(zh_given_real(&t, given, "t", -INFINITY, INFINITY, err));
  ZH_TRY(zh_given_real(&df, given, "df", 1e-3, INFINITY, err));
  return value(out, zh_t_cdf(t, df), err);
}

static zh_status t_quantile(json_t **out, const zh_given *given, zh_error *err) {
  double p, df;
  ZH_TRY(zh_given_real(&p, given, "p", 0, 1, err));
  ZH_TRY(zh_given_real(&df, given, "df", 1e-3, INFINITY, err));
  return value(out, zh_t_quantile(p, df), err);
}

static zh_status beta_cdf(json_t **out, const zh_given *given, zh_error *err) {
  double x, a, b;
  ZH_TRY(zh_given_real(&x, given, "x", 0, 1, err));
  ZH_TRY(zh_given_real(&a, given, "a", 1e-6, 1e12, err));
  ZH_TRY(zh_given_real(&b, given, "b", 1e-6, 1e12, err));
  return value(out, zh_beta_cdf(x, 1 - x, a, b), err);
}

static zh_status binomial(json_t **out, const zh_given *given, bool whole, zh_error *err) {
  int64_t k, n;
  double p;
  ZH_TRY(zh_given_whole(&n, given, "n", 0, INT64_C(1) << 40, err));
  ZH_TRY(zh_given_whole(&k, given, "k", 0, n, err));
  ZH_TRY(zh_given_real(&p, given, "p", 0, 1, err));
  return value(out, whole ? zh_binomial_cdf(k, n, p) : zh_binomial_pmf(k, n, p), err);
}

static zh_status binomial_cdf(json_t **out, const zh_given *given, zh_error *err) {
  return binomial(out, given, true, err);
}

static zh_status binomial_pmf(json_t **out, const zh_given *given, zh_error *err) {
  return binomial(out, given, false, err);
}

const zh_method zh_curve_methods[] = {{"normal-cdf", "x", normal_cdf},
                                      {"normal-quantile", "p", normal_quantile},
                                      {"t-cdf", "t df", t_cdf},
                                      {"t-quantile", "p df", t_quantile},
                                      {"beta-cdf", "x a b", beta_cdf},
                                      {"binomial-cdf", "k n p", binomial_cdf},
                                      {"binomial-pmf", "k n p", binomial_pmf},
                                      {NULL, NULL, NULL}};
