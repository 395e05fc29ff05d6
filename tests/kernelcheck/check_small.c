#include "tests/kernelcheck/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double u = 0x1p-24;

/* The sum of squares is of positive terms: columns roundings of relative size u, halved by the
 * root; then mean, eps, root, reciprocal and two products. */
static void check_rmsnorm(const zh_kernels *k, size_t columns) {
  enum { TOKENS = 3 };
  float *x = normal_floats(TOKENS * columns, 2), *gain = normal_floats(columns, 1);
  float *y = zeroed(TOKENS * columns * sizeof *y);
  const float eps = 1e-5f;
  k->rmsnorm(y, x, gain, columns, eps, 0, 1);
  k->rmsnorm(y, x, gain, columns, eps, 1, TOKENS);
  double worst = 0;
  for (size_t t = 0; t < TOKENS; t++) {
    double squares = 0;
    for (size_t i = 0; i < columns; i++) squares += (double)x[t * columns + i] * x[t * columns + i];
    double scale = 1 / sqrt(squares / (double)columns + (double)eps);
    for (size_t i = 0; i < columns; i++) {
      double exact = gain[i] * scale * x[t * columns + i];
      double roundings = k->fp64_sums ? 1.001 : 0.5 * ((double)columns + 2) + 5;
      worst = worse(worst, y[t * columns + i], exact, gamma_of(roundings) * fabs(exact));
    }
  }
  k->rmsnorm(x, x, gain, columns, eps, 0, TOKENS); /* in place */
  worst = unless_equal(worst, x, y, TOKENS * columns * sizeof *x);
  char shape[64];
  snprintf(shape, sizeof shape, "%zu columns", columns);
  check_report("rmsnorm", k->name, shape, worst);
  free(x);
  free(gain);
  free(y);
}

/* Cosine and sine round to fp32 (u each), so do two products and the sum; the fp64 angle is off by
 * position 2^-51. */
static void check_rope(const zh_kernels *k, size_t head_dim, size_t rope_dims, bool interleaved) {
  enum { HEADS = 3, TOKENS = 5 };
  static const uint32_t position[TOKENS] = {0, 1, 77, 4095, 131071};
  size_t stride = HEADS * head_dim + 2, pairs = rope_dims / 2;
  float *before = normal_floats(TOKENS * stride, 1), *x = zeroed(TOKENS * stride * sizeof *x);
  memcpy(x, before, TOKENS * stride * sizeof *x);
  float *angles = zeroed(TOKENS * rope_dims * sizeof *angles);
  double *frequency = zeroed(pairs * sizeof *frequency);
  for (size_t i = 0; i < pairs; i++)
    frequency[i] = pow(10000.0, -2.0 * (double)i / (double)rope_dims);
  zh_rope_angles(angles, frequency, pairs, 1, position, 0, 3);
  zh_rope_angles(angles, frequency, pairs, 1, position, 3, TOKENS);
  k->rope(x, stride, HEADS, head_dim, rope_dims, interleaved, angles, 0, 2);
  k->rope(x, stride, HEADS, head_dim, rope_dims, interleaved, angles, 2, TOKENS);
  double worst = 0;
  for (size_t t = 0; t < TOKENS; t++)
    for (size_t h = 0; h < HEADS; h++)
      for (size_t i = 0; i < pairs; i++) {
        size_t at = t * stride + h * head_dim, first = at + (interleaved ? 2 * i : i);
        size_t second = interleaved ? first + 1 : first + pairs;
        long double angle =
            position[t] * powl(10000.0L, -2.0L * (long double)i / (long double)rope_dims);
        double c = (double)cosl(angle), s = (double)sinl(angle), a = before[first],
               b = before[second];
        double size = fabs(a) + fabs(b), bound = size * (3 * u + position[t] * 0x1p-51);
        worst = worse(worst, x[first], a * c - b * s, bound);
        worst = worse(worst, x[second], a * s + b * c, bound);
        before[first] = x[first];
        before[second] = x[second];
      }
  worst =
      unless_equal(worst, before, x, TOKENS * stride * sizeof *x); /* nothing else was touched */
  char shape[64];
  snprintf(shape, sizeof shape, "head %zu, %zu turned, %s", head_dim, rope_dims,
           interleaved ? "interleaved" : "halves");
  check_report("rope", k->name, shape, worst);
  free(frequency);
  free(angles);
  free(before);
  free(x);
}

/* exp within 4u (lanes_avx512.h), 1 + exp, quotient and product round: below 8u. Beyond |x| = 88.7
 * exp(-x) leaves fp32 and the result becomes 0 instead of at most 88.8 exp(-88.7) < 2^-121. */
static void check_silu(const zh_kernels *k, size_t count, float span) {
  float *gate = zeroed(count * sizeof *gate), *up = normal_floats(count, 1),
        *y = zeroed((count + 1) * sizeof *y);
  for (size_t i = 0; i < count; i++) gate[i] = span * (2 * ((float)i + 0.5f) / (float)count - 1);
  y[count] = 42;
  k->silu_multiply(y, gate, up, 0, count / 3);
  k->silu_multiply(y, gate, up, count / 3, count);
  double worst = y[count] == 42 ? 0 : INFINITY;
  for (size_t i = 0; i < count; i++) {
    double g = gate[i], exact = g / (1 + exp(-g)) * up[i];
    double bound =
        (k->fp64_sums ? 1.001 : 8) * u * fabs(exact) + 0x1p-121 * fabs((double)up[i]) + 0x1p-149;
    worst = worse(worst, y[i], exact, bound);
  }
  char shape[64];
  snprintf(shape, sizeof shape, "%zu values in +-%g", count, (double)span);
  check_report("silu_multiply", k->name, shape, worst);
  free(gate);
  free(up);
  free(y);
}

/* erf form: the polynomial is within 1.5e-7 of erfc, halved, and its steps, exp and the argument of
 * exp (z^2 u, below 0.2 of what exp(-z^2) leaves) round by less than 16u of a half; 1 - tail, and
 * the products, by 4u: |error| <= |gate up| (0.75e-7 + 12u). Tanh form: the argument of exp rounds
 * by 5u of itself, exp by 4u, 1 + exp, quotient, product: 8u + 5u |argument| of the result. Beyond
 * 88.7 exp leaves fp32, and what should be below 2^-100 may become 0. */
static void check_gelu(const zh_kernels *k, size_t count, float span, bool tanh_form) {
  float *gate = zeroed(count * sizeof *gate), *up = normal_floats(count, 1),
        *y = zeroed((count + 1) * sizeof *y);
  void (*multiply)(float *, const float *, const float *, size_t, size_t) =
      tanh_form ? k->gelu_tanh_multiply : k->gelu_multiply;
  for (size_t i = 0; i < count; i++) gate[i] = span * (2 * ((float)i + 0.5f) / (float)count - 1);
  y[count] = 42;
  multiply(y, gate, up, 0, count / 3);
  multiply(y, gate, up, count / 3, count);
  double worst = y[count] == 42 ? 0 : INFINITY;
  for (size_t i = 0; i < count; i++) {
    double g = gate[i], z = sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g);
    double exact = (tanh_form ? g / (1 + exp(-2 * z)) : 0.5 * g * erfc(-g / sqrt(2))) * up[i];
    double bound = tanh_form ? (8 + 10 * fabs(z)) * u * fabs(exact) + 0x1p-100 * fabs((double)up[i])
                             : (0.75e-7 + 12 * u) * fabs(g * up[i]);
    if (k->fp64_sums) bound = 1.001 * u * fabs(exact);
    worst = worse(worst, y[i], exact, bound + 0x1p-149);
  }
  char shape[64];
  snprintf(shape, sizeof shape, "%zu values in +-%g", count, (double)span);
  check_report(tanh_form ? "gelu_tanh" : "gelu_erf", k->name, shape, worst);
  free(gate);
  free(up);
  free(y);
}

static void check_add(const zh_kernels *k, size_t count) {
  float *x = normal_floats(count, 1), *y = normal_floats(count, 3), *z = zeroed(count * sizeof *z);
  for (size_t i = 0; i < count; i++) z[i] = x[i] + y[i];
  k->add(y, x, 0, count / 2);
  k->add(y, x, count / 2, count);
  char shape[64];
  snprintf(shape, sizeof shape, "%zu values", count);
  check_report("add", k->name, shape, unless_equal(0, y, z, count * sizeof *z));
  free(x);
  free(y);
  free(z);
}

static double argmax_is(const zh_kernels *k, const float *x, size_t count, size_t expected) {
  return k->argmax(x, count) == expected ? 0 : INFINITY;
}

void check_argmax(const zh_kernels *k) {
  double worst = 0;
  for (size_t count = 1; count < 80; count++) {
    float *x = normal_floats(count, 1);
    size_t expected = 0;
    for (size_t i = 1; i < count; i++)
      if (x[i] > x[expected]) expected = i;
    worst = fmax(worst, argmax_is(k, x, count, expected));
    x[count - 1] = x[expected]; /* a tie: the lower index */
    worst = fmax(worst, argmax_is(k, x, count, expected));
    for (size_t nan = 0; nan < count; nan++) {
      float kept = x[nan];
      x[nan] = NAN;
      worst = fmax(worst, argmax_is(k, x, count, SIZE_MAX));
      x[nan] = kept;
    }
    for (size_t i = 0; i < count; i++) x[i] = -INFINITY;
    worst = fmax(worst, argmax_is(k, x, count, 0));
    x[0] = -0.0f;
    x[count - 1] = 0.0f; /* equal to -0 */
    worst = fmax(worst, argmax_is(k, x, count, 0));
    free(x);
  }
  check_report("argmax", k->name, "1 to 79 values, ties, NaN, infinities", worst);
}

void check_logsumexp(const zh_kernels *k) {
  const float none[5] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
              many[20] = {[3] = NAN, [7] = INFINITY}, infinite[20] = {[17] = INFINITY};
  double worst = isnan(k->logsumexp(many, 20)) && k->logsumexp(none, 5) == -INFINITY &&
                         k->logsumexp(infinite, 20) == INFINITY
                     ? 0
                     : INFINITY;
  for (size_t count = 1; count < 3000; count = count * 3 + 1) {
    float *x = normal_floats(count, 20);
    long double sum = 0;
    for (size_t i = 0; i < count; i++) sum += expl((long double)x[i]);
    double exact = (double)logl(sum);
    worst = worse(worst, k->logsumexp(x, count), exact, 1e-13 * (1 + fabs(exact)));
    free(x);
  }
  check_report("logsumexp", k->name, "1 to 1093 values", worst);
}

void check_rmsnorms(const zh_kernels *k) {
  static const size_t columns[] = {1, 5, 16, 63, 64, 576, 1031};
  for (size_t i = 0; i < 7; i++) check_rmsnorm(k, columns[i]);
}

void check_ropes(const zh_kernels *k) {
  for (int interleaved = 0; interleaved < 2; interleaved++) {
    check_rope(k, 64, 64, interleaved);
    check_rope(k, 80, 20, interleaved);
    check_rope(k, 6, 6, interleaved);
  }
}

void check_silus(const zh_kernels *k) {
  check_silu(k, 100003, 20);
  check_silu(k, 100003, 200);
  check_silu(k, 5, 1);
}

static void check_gelu_form(const zh_kernels *k, bool tanh_form) {
  check_gelu(k, 100003, 6, tanh_form);
  check_gelu(k, 100003, 40, tanh_form);
  check_gelu(k, 5, 1, tanh_form);
}
void check_gelus(const zh_kernels *k) {
  check_gelu_form(k, false);
}
void check_gelu_tanhs(const zh_kernels *k) {
  check_gelu_form(k, true);
}

void check_adds(const zh_kernels *k) {
  check_add(k, 77);
}
