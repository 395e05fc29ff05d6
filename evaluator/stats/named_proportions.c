/* Shares of items by name: intervals, McNemar's tests, power, and rounding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/stats/named.h"
#include "evaluator/stats/proportions.h"
#include "evaluator/stats/rounding.h"

static const double MOST = 1e12;

static zh_status confidence_of(double *out, const zh_given *given, zh_error *err) {
  return zh_given_real_or(out, given, "confidence", 0.5, 0.999999, 0.95, err);
}

static zh_status interval_done(json_t **out, const char *what, double estimate, zh_interval range,
                               double confidence, zh_error *err) {
  return zh_named_done(out,
                       json_pack("{s:o, s:o, s:o, s:f}", what, zh_json_number(estimate), "low",
                                 zh_json_number(range.low), "high", zh_json_number(range.high),
                                 "confidence", confidence),
                       err);
}

/* k successes of n; fractional k come of published shares. */
static zh_status share_of(double *k, double *n, const zh_given *given, const char *k_key,
                          const char *n_key, zh_error *err) {
  ZH_TRY(zh_given_real(n, given, n_key, 1, MOST, err));
  return zh_given_real(k, given, k_key, 0, *n, err);
}

static zh_status wilson(json_t **out, const zh_given *given, zh_error *err) {
  double k, n, confidence;
  ZH_TRY(share_of(&k, &n, given, "k", "n", err));
  ZH_TRY(confidence_of(&confidence, given, err));
  return interval_done(out, "estimate", k / n, zh_wilson(k, n, confidence), confidence, err);
}

static zh_status newcombe(json_t **out, const zh_given *given, zh_error *err) {
  double k1, n1, k2, n2, confidence;
  ZH_TRY(share_of(&k1, &n1, given, "k1", "n1", err));
  ZH_TRY(share_of(&k2, &n2, given, "k2", "n2", err));
  ZH_TRY(confidence_of(&confidence, given, err));
  return interval_done(out, "difference", k1 / n1 - k2 / n2,
                       zh_newcombe(k1, n1, k2, n2, confidence), confidence, err);
}

static zh_status newcombe_paired(json_t **out, const zh_given *given, zh_error *err) {
  static const char *const keys[4] = {"a", "b", "c", "d"};
  double cells[4], confidence, n = 0;
  for (int i = 0; i < 4; i++) {
    ZH_TRY(zh_given_real(&cells[i], given, keys[i], 0, MOST, err));
    n += cells[i];
  }
  ZH_TRY(confidence_of(&confidence, given, err));
  if (n == 0) return zh_fail(err, ZH_ERR_USAGE, "newcombe-paired: there are no items");
  return interval_done(out, "difference", (cells[1] - cells[2]) / n,
                       zh_newcombe_paired(cells[0], cells[1], cells[2], cells[3], confidence),
                       confidence, err);
}

static zh_status tango(json_t **out, const zh_given *given, zh_error *err) {
  double b, c, n, confidence;
  ZH_TRY(zh_given_real(&n, given, "n", 1, MOST, err));
  ZH_TRY(zh_given_real(&b, given, "b", 0, n, err));
  ZH_TRY(zh_given_real(&c, given, "c", 0, n - b, err));
  ZH_TRY(confidence_of(&confidence, given, err));
  return interval_done(out, "difference", (b - c) / n, zh_tango(b, c, n, confidence), confidence,
                       err);
}

static zh_status mcnemar(json_t **out, const zh_given *given, zh_error *err) {
  int64_t b, c;
  ZH_TRY(zh_given_whole(&b, given, "b", 0, INT64_C(1) << 40, err));
  ZH_TRY(zh_given_whole(&c, given, "c", 0, INT64_C(1) << 40, err));
  zh_mcnemar test = zh_mcnemar_test(b, c);
  return zh_named_done(out,
                       json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "b", (json_int_t)b, "c",
                                 (json_int_t)c, "p_exact", test.exact, "p_mid", test.mid_p,
                                 "p_exact_greater", test.exact_greater, "p_mid_greater",
                                 test.mid_p_greater),
                       err);
}

typedef struct design {
  double alpha, power;
  int sides;
} design;

static zh_status design_of(design *out, const zh_given *given, zh_error *err) {
  int64_t sides;
  ZH_TRY(zh_given_real_or(&out->alpha, given, "alpha", 1e-9, 0.5, 0.05, err));
  ZH_TRY(zh_given_real_or(&out->power, given, "power", 0.01, 0.999999, 0.8, err));
  ZH_TRY(zh_given_whole_or(&sides, given, "sides", 1, 2, 2, err));
  out->sides = (int)sides;
  return ZH_OK;
}

static zh_status power_done(json_t **out, double power, const design *d, zh_error *err) {
  return zh_named_done(out,
                       json_pack("{s:o, s:f, s:i}", "power", zh_json_number(power), "alpha",
                                 d->alpha, "sides", d->sides),
                       err);
}

static zh_status items_done(json_t **out, double items, const design *d, zh_error *err) {
  return zh_named_done(out,
                       json_pack("{s:o, s:f, s:f, s:i}", "items",
                                 items < 1e15 ? json_integer((json_int_t)items) : json_null(),
                                 "power", d->power, "alpha", d->alpha, "sides", d->sides),
                       err);
}

static zh_status discordance_of(double *difference, double *discordance, const zh_given *given,
                                zh_error *err) {
  ZH_TRY(zh_given_real(difference, given, "difference", -1, 1, err));
  return zh_given_real(discordance, given, "discordance", fabs(*difference), 1, err);
}

static zh_status power_paired(json_t **out, const zh_given *given, zh_error *err) {
  double difference, discordance, items;
  design d;
  ZH_TRY(discordance_of(&difference, &discordance, given, err));
  ZH_TRY(zh_given_real(&items, given, "items", 1, MOST, err));
  ZH_TRY(design_of(&d, given, err));
  return power_done(out, zh_paired_power(difference, discordance, items, d.alpha, d.sides), &d,
                    err);
}

static zh_status items_paired(json_t **out, const zh_given *given, zh_error *err) {
  double difference, discordance;
  design d;
  ZH_TRY(discordance_of(&difference, &discordance, given, err));
  ZH_TRY(design_of(&d, given, err));
  return items_done(out, zh_paired_items(difference, discordance, d.power, d.alpha, d.sides), &d,
                    err);
}

static zh_status shares_of(double *p1, double *p2, const zh_given *given, zh_error *err) {
  ZH_TRY(zh_given_real(p1, given, "p1", 0, 1, err));
  return zh_given_real(p2, given, "p2", 0, 1, err);
}

static zh_status power_two(json_t **out, const zh_given *given, zh_error *err) {
  double p1, p2, items;
  design d;
  ZH_TRY(shares_of(&p1, &p2, given, err));
  ZH_TRY(zh_given_real(&items, given, "items", 1, MOST, err));
  ZH_TRY(design_of(&d, given, err));
  return power_done(out, zh_two_proportion_power(p1, p2, items, d.alpha, d.sides), &d, err);
}

static zh_status items_two(json_t **out, const zh_given *given, zh_error *err) {
  double p1, p2;
  design d;
  ZH_TRY(shares_of(&p1, &p2, given, err));
  ZH_TRY(design_of(&d, given, err));
  return items_done(out, zh_two_proportion_items(p1, p2, d.power, d.alpha, d.sides), &d, err);
}

static zh_status rule_of(zh_round_rule *out, const zh_given *given, zh_error *err) {
  const char *rule = zh_given_text(given, "rule");
  *out = ZH_HALF_EVEN;
  if (rule == NULL || strcmp(rule, "half-even") == 0) return ZH_OK;
  *out = ZH_HALF_UP;
  if (strcmp(rule, "half-up") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "round: rule=%.40s, where half-even or half-up is expected",
                 rule);
}

/* The text is exact; `value` is what a program most likely looks for, as near as a double comes. */
static zh_status rounded(json_t **out, const zh_given *given, zh_error *err) {
  int64_t digits;
  zh_round_rule rule;
  zh_text text = {0};
  ZH_TRY(zh_given_whole(&digits, given, "digits", -ZH_ROUND_DIGITS_MAX, ZH_ROUND_DIGITS_MAX, err));
  ZH_TRY(rule_of(&rule, given, err));
  zh_status status = zh_round_decimal(&text, zh_given_text(given, "value"), (int)digits, rule, err);
  if (status == ZH_OK)
    status = zh_named_done(out,
                           json_pack("{s:o, s:s, s:I, s:s}", "value",
                                     zh_json_number(strtod(zh_text_string(&text), NULL)), "text",
                                     zh_text_string(&text), "digits", (json_int_t)digits, "rule",
                                     rule == ZH_HALF_EVEN ? "half-even" : "half-up"),
                           err);
  zh_text_free(&text);
  return status;
}

const zh_method zh_proportion_methods[] = {
    {"mcnemar", "b c", mcnemar},
    {"wilson", "k n ?confidence", wilson},
    {"newcombe", "k1 n1 k2 n2 ?confidence", newcombe},
    {"newcombe-paired", "a b c d ?confidence", newcombe_paired},
    {"tango", "b c n ?confidence", tango},
    {"power-paired", "difference discordance items ?alpha ?sides", power_paired},
    {"items-paired", "difference discordance ?power ?alpha ?sides", items_paired},
    {"power-two", "p1 p2 items ?alpha ?sides", power_two},
    {"items-two", "p1 p2 ?power ?alpha ?sides", items_two},
    {"round", "value digits ?rule", rounded},
    {NULL, NULL, NULL}};
