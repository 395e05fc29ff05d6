/* The beta function's density is written after Loader (2000), "Fast and accurate computation of
 * binomial probabilities": Stirling's formula with its remainder, and deviances instead of powers,
 * so that large counts lose no digits. Its integral is a continued fraction, summed by
 * Lentz's method; the normal quantile is Wichura's AS 241 (1988) with one step of Halley. */
#include "evaluator/stats/special.h"

#include <float.h>
#include <math.h>

static const double SQRT_2PI = 2.50662827463100050242;

double zh_normal_cdf(double x) {
  return 0.5 * erfc(-x * M_SQRT1_2);
}

static double ratio(const double *top, const double *bottom, int degree, double at) {
  double a = top[degree], b = bottom[degree];
  for (int i = degree - 1; i >= 0; i--) {
    a = a * at + top[i];
    b = b * at + bottom[i];
  }
  return a / b;
}

/* Wichura's three pieces: near the middle, in the tails, far out. */
static double normal_quantile_as241(double p) {
  static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                             1.9715909503065514427e+3, 1.3731693765509461125e+4,
                             4.5921953931549871457e+4, 6.7265770927008700853e+4,
                             3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static const double b[] = {1,
                             4.2313330701600911252e+1,
                             6.8718700749205790830e+2,
                             5.3941960214247511077e+3,
                             2.1213794301586595867e+4,
                             3.9307895800092710610e+4,
                             2.8729085735721942674e+4,
                             5.2264952788528545610e+3};
  static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                             5.76949722146069140550e0,  3.64784832476320460504e0,
                             1.27045825245236838258e0,  2.41780725177450611770e-1,
                             2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static const double d[] = {1,
                             2.05319162663775882187e0,
                             1.67638483018380384940e0,
                             6.89767334985100004550e-1,
                             1.48103976427480074590e-1,
                             1.51986665636164571966e-2,
                             5.47593808499534494600e-4,
                             1.05075007164441684324e-9};
  static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                             1.78482653991729133580e0,  2.96560571828504891230e-1,
                             2.65321895265761230930e-2, 1.24266094738807843860e-3,
                             2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static const double f[] = {1,
                             5.99832206555887937690e-1,
                             1.36929880922735805310e-1,
                             1.48753612908506148525e-2,
                             7.86869131145613259100e-4,
                             1.84631831751005468180e-5,
                             1.42151175831644588870e-7,
                             2.04426310338993978564e-15};
  double q = p - 0.5;
  if (fabs(q) <= 0.425) return q * ratio(a, b, 7, 0.180625 - q * q);
  double r = sqrt(-log(q < 0 ? p : 1 - p));
  double z = r <= 5 ? ratio(c, d, 7, r - 1.6) : ratio(e, f, 7, r - 5);
  return q < 0 ? -z : z;
}

double zh_normal_quantile(double p) {
  if (!(p > 0)) return p == 0 ? -INFINITY : NAN;
  if (!(p < 1)) return p == 1 ? INFINITY : NAN;
  double x = normal_quantile_as241(p);
  double density = exp(-0.5 * x * x) / SQRT_2PI;
  if (density < DBL_MIN) return x;
  double step = (zh_normal_cdf(x) - p) / density;
  return x - step / (1 + 0.5 * x * step);
}

/* ln Gamma(x) - [(x - 1/2) ln x - x + ln(2 pi) / 2]; DLMF 5.11.1. */
static double stirling_rest(double x) {
  static const double terms[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                 1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
  /* Gamma(x) = Gamma(x + 1) / x carries small arguments to where the series holds. */
  double rest = 0;
  for (; x < 16; x += 1) {
    /* rest(x) - rest(x + 1) = (x + 1/2) ln(1 + 1/x) - 1 */
    rest += (x + 0.5) * log1p(1 / x) - 1;
  }
  double sum = 0, square = 1 / (x * x);
  for (int i = 7; i >= 0; i--) sum = sum * square + terms[i];
  return rest + sum / x;
}

/* x ln(x / m) + m - x without cancellation where x is near m. */
static double deviance(double x, double m) {
  double v = (x - m) / (x + m);
  if (fabs(v) >= 0.1) return x * log(x / m) + m - x;
  /* x ln(x/m) = 2 x atanh(v), m - x = -v (x + m): summed as a series in v. */
  double sum = (x - m) * v, term = 2 * x * v, square = v * v;
  for (int k = 1; k < 1000; k++) {
    term *= square;
    double next = sum + term / (2 * k + 1);
    if (next == sum) break;
    sum = next;
  }
  return sum;
}

/* x^a y^b / B(a, b), where x + y = 1. */
static double beta_density(double x, double y, double a, double b) {
  double n = a + b;
  double exponent = -deviance(a, n * x) - deviance(b, n * y) + stirling_rest(n) - stirling_rest(a) -
                    stirling_rest(b);
  return exp(exponent) * sqrt(a * b / n) / SQRT_2PI;
}

/* The continued fraction r of I_x(a, b) = density r, contracted to every other term, in which y
 * keeps x near 1 from cancelling (Didonato and Morris 1992, TOMS 708, equation 9); x below the
 * mean. */
static double beta_fraction(double x, double y, double a, double b) {
  const double tiny = 1e-300;
  double lambda = (a + b) * y - b; /* a - (a + b) x */
  double first = a / (a + 1) * (lambda + 1);
  double f = first, c = first, d = 0;
  for (int m = 1; m < 1000000; m++) {
    double k = m, w = k * (b - k) * x / (a + 2 * k - 1);
    double top = (a + k - 1) * (a + b + k - 1) * x / (a + 2 * k - 1) * w;
    double bottom = k + w + (a + k) / (a + 2 * k + 1) * (lambda + 1 + k * (1 + y));
    d = bottom + top * d;
    c = bottom + top / c;
    if (fabs(d) < tiny) d = tiny;
    if (fabs(c) < tiny) c = tiny;
    d = 1 / d;
    f *= c * d;
    if (fabs(c * d - 1) <= DBL_EPSILON) break;
  }
  return 1 / f;
}

double zh_beta_cdf(double x, double y, double a, double b) {
  if (isnan(x) || isnan(y) || !(a > 0) || !(b > 0)) return NAN;
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  double density = beta_density(x, y, a, b);
  if (x <= (a + 1) / (a + b + 2)) return density * beta_fraction(x, y, a, b);
  return 1 - density * beta_fraction(y, x, b, a);
}

double zh_t_cdf(double t, double df) {
  if (isnan(t) || !(df > 0)) return NAN;
  if (isinf(df)) return zh_normal_cdf(t);
  if (isinf(t)) return t > 0;
  double square = t * t;
  if (isinf(square)) return t > 0;
  double x = df / (df + square), y = square / (df + square);
  double tail = 0.5 * zh_beta_cdf(x, y, 0.5 * df, 0.5);
  return t > 0 ? 1 - tail : tail;
}

static double t_density(double t, double df) {
  double rest = stirling_rest(0.5 * (df + 1)) - stirling_rest(0.5 * df);
  /* Gamma((v + 1) / 2) / Gamma(v / 2), by Stirling with its remainder */
  double ratio_log = 0.5 * df * log1p(1 / df) + 0.5 * log(0.5 * df) - 0.5 + rest;
  return exp(ratio_log - 0.5 * (df + 1) * log1p(t * t / df)) / sqrt(df * M_PI);
}

/* The lower half: t < 0. A bracket, kept while Newton's steps stay inside it. */
static double t_quantile_lower(double p, double df) {
  double low = -1, high = 0;
  while (zh_t_cdf(low, df) > p && low > -1e300) {
    high = low;
    low *= 2;
  }
  double t = zh_normal_quantile(p);
  if (!(t > low && t < high)) t = 0.5 * (low + high);
  for (int i = 0; i < 400; i++) {
    double value = zh_t_cdf(t, df);
    if (value > p)
      high = t;
    else
      low = t;
    /* Newton on ln cdf, which is nearly straight in the tail. */
    double slope = t_density(t, df), next = t - log(value / p) * value / slope;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (fabs(next - t) <= 2 * DBL_EPSILON * fabs(next)) return next;
    t = next;
  }
  return t;
}

double zh_t_quantile(double p, double df) {
  if (!(df > 0) || isnan(p) || p < 0 || p > 1) return NAN;
  if (isinf(df)) return zh_normal_quantile(p);
  if (p == 0) return -INFINITY;
  if (p == 1) return INFINITY;
  if (p == 0.5) return 0;
  return p < 0.5 ? t_quantile_lower(p, df) : -t_quantile_lower(1 - p, df);
}

double zh_binomial_pmf(int64_t k, int64_t n, double p) {
  double q = 1 - p, x = (double)k, all = (double)n;
  if (k < 0 || k > n) return 0;
  if (p <= 0) return k == 0;
  if (p >= 1) return k == n;
  if (k == 0) return exp(all * log1p(-p));
  if (k == n) return exp(all * log(p));
  double rest = all - x;
  /* stirling_rest is of Gamma(x); of x! = x Gamma(x) it is the same. */
  double exponent = stirling_rest(all) - stirling_rest(x) - stirling_rest(rest) -
                    deviance(x, all * p) - deviance(rest, all * q);
  return exp(exponent) * sqrt(all / (x * rest)) / SQRT_2PI;
}

double zh_binomial_cdf(int64_t k, int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  return zh_beta_cdf(1 - p, p, (double)(n - k), (double)k + 1);
}
