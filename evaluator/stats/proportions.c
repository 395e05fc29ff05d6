#include "evaluator/stats/proportions.h"

#include <math.h>
#include <stdbool.h>

#include "core/statistics.h"
#include "evaluator/stats/special.h"

static double z_of(double confidence) {
  return -zh_normal_quantile(0.5 * (1 - confidence));
}

zh_interval zh_wilson(double successes, double n, double confidence) {
  zh_interval out;
  zh_wilson_bounds(&out.low, &out.high, successes, n, z_of(confidence));
  return out;
}

zh_interval zh_newcombe(double k1, double n1, double k2, double n2, double confidence) {
  zh_interval one = zh_wilson(k1, n1, confidence), two = zh_wilson(k2, n2, confidence);
  double p1 = k1 / n1, p2 = k2 / n2, difference = p1 - p2;
  return (zh_interval){difference - hypot(p1 - one.low, two.high - p2),
                       difference + hypot(one.high - p1, p2 - two.low)};
}

/* Newcombe's phi: the correlation of the pairs, with a continuity correction where it is positive.
 */
static double phi(double a, double b, double c, double d) {
  double margins = (a + b) * (c + d) * (a + c) * (b + d), n = a + b + c + d;
  if (margins == 0) return 0;
  double product = a * d - b * c;
  double corrected = product > 0.5 * n ? product - 0.5 * n : product >= 0 ? 0 : product;
  return corrected / sqrt(margins);
}

zh_interval zh_newcombe_paired(double a, double b, double c, double d, double confidence) {
  double n = a + b + c + d, p1 = (a + b) / n, p2 = (a + c) / n, difference = (b - c) / n;
  zh_interval one = zh_wilson(a + b, n, confidence), two = zh_wilson(a + c, n, confidence);
  double down1 = p1 - one.low, up1 = one.high - p1, down2 = p2 - two.low, up2 = two.high - p2;
  double r = phi(a, b, c, d);
  double below = down1 * down1 - 2 * r * down1 * up2 + up2 * up2;
  double above = up1 * up1 - 2 * r * up1 * down2 + down2 * down2;
  return (zh_interval){difference - sqrt(below > 0 ? below : 0),
                       difference + sqrt(above > 0 ? above : 0)};
}

/* Whether (b - c) / n lies z standard errors or more above `at`, those of the likeliest shares that
 * differ by `at`: q of the pairs for the second, q + at for the first. */
static bool tango_rejects(double b, double c, double n, double at, double z) {
  double linear = (2 * n - b + c) * at - b - c, constant = -c * at * (1 - at);
  double root = sqrt(fmax(0, linear * linear - 8 * n * constant));
  /* The larger root of 2 n q^2 + linear q + constant, without the loss of digits. */
  double q = linear > 0 ? -2 * constant / (linear + root) : (root - linear) / (4 * n);
  return b - c - n * at >= z * sqrt(fmax(0, n * (2 * q + at * (1 - at))));
}

/* The largest difference that is rejected from above, between -1 and the observed one. */
static double tango_low(double b, double c, double n, double z) {
  double low = -1, high = (b - c) / n;
  for (double middle; (middle = 0.5 * (low + high)) > low && middle < high;) {
    if (tango_rejects(b, c, n, middle, z))
      low = middle;
    else
      high = middle;
  }
  return low;
}

zh_interval zh_tango(double b, double c, double n, double confidence) {
  double z = z_of(confidence);
  return (zh_interval){tango_low(b, c, n, z), -tango_low(c, b, n, z)};
}

zh_mcnemar zh_mcnemar_test(int64_t b, int64_t c) {
  int64_t n = b + c, fewer = b < c ? b : c;
  if (n == 0) return (zh_mcnemar){1, 1, 1, 1}; /* nothing speaks for either */
  double below = zh_binomial_cdf(fewer, n, 0.5), at = zh_binomial_pmf(fewer, n, 0.5);
  /* P(X >= b) = P(X <= c), since both outcomes are as likely. */
  double greater = zh_binomial_cdf(c, n, 0.5), at_b = zh_binomial_pmf(b, n, 0.5);
  return (zh_mcnemar){.exact = fmin(1, 2 * below),
                      .mid_p = b == c ? 1 - 0.5 * at : 2 * below - at,
                      .exact_greater = greater,
                      .mid_p_greater = greater - 0.5 * at_b};
}

/* Connor (1987), after Miettinen (1968): the discordant pairs' variance with and without the
 * difference. */
double zh_paired_power(double difference, double discordance, double items, double alpha,
                       int sides) {
  double z = -zh_normal_quantile(alpha / sides), gap = fabs(difference);
  double spread = sqrt(discordance - gap * gap);
  return zh_normal_cdf((gap * sqrt(items) - z * sqrt(discordance)) / spread);
}

double zh_paired_items(double difference, double discordance, double power, double alpha,
                       int sides) {
  double z = -zh_normal_quantile(alpha / sides), gap = fabs(difference);
  double root = z * sqrt(discordance) + zh_normal_quantile(power) * sqrt(discordance - gap * gap);
  return ceil(root * root / (gap * gap));
}

static double pooled_spread(double p1, double p2) {
  double mean = 0.5 * (p1 + p2);
  return sqrt(2 * mean * (1 - mean));
}

double zh_two_proportion_power(double p1, double p2, double items, double alpha, int sides) {
  double z = -zh_normal_quantile(alpha / sides);
  double spread = sqrt(p1 * (1 - p1) + p2 * (1 - p2));
  return zh_normal_cdf((fabs(p1 - p2) * sqrt(items) - z * pooled_spread(p1, p2)) / spread);
}

double zh_two_proportion_items(double p1, double p2, double power, double alpha, int sides) {
  double z = -zh_normal_quantile(alpha / sides), gap = p1 - p2;
  double root =
      z * pooled_spread(p1, p2) + zh_normal_quantile(power) * sqrt(p1 * (1 - p1) + p2 * (1 - p2));
  return ceil(root * root / (gap * gap));
}
