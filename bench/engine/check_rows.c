/* What is done to rows of activations: embedding, norms, activation, sums, routing. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "bench/engine/check_inside.h"
#include "bench/engine/route.h"

/* A copy: nothing is rounded, so the bound is 0; u where it is scaled. The row may be another
 * rank's. */
void zh_check_embedding(zh_check *check, const zh_operation *o, size_t t) {
  const float *row = zh_check_source_row(check, o->weight, o->token[t] - o->weight->first_row),
              *computed = o->output + t * o->out_width;
  double factor = (double)zh_factor(check->architecture.embedding_scale), u = factor == 1 ? 0 : U;
  for (size_t i = 0; i < o->out_width; ++i) {
    double expected = factor * row[i];
    zh_check_judge(check, o, t, i, computed[i], expected,
                   u * fabs(expected) + (u > 0 ? FLT_MIN : 0));
  }
}

/* Relative: half of g(K + 2) from the sum of squares under the root, then root, division and two
 * products: 5 u; one more where 1 is added to the gain. x: a row of `count` numbers, from element
 * `from` of the operator on. */
static void check_norm_row(zh_check *check, const zh_operation *o, size_t t, size_t from,
                           size_t count) {
  const float *gain = zh_check_source_row(check, o->weight, 0),
              *x = o->input + t * o->in_width + from;
  double squares = 0, one = check->architecture.norm == ZH_NORM_RMS_PLUS_ONE ? 1 : 0,
         eps = (double)(o->op == ZH_OP_LATENT_NORM ? ZH_LATENT_NORM_EPS
                                                   : check->architecture.norm_eps);
  for (size_t i = 0; i < count; ++i) squares += (double)x[i] * x[i];
  double root = sqrt(squares / (double)count + eps);
  double relative = zh_check_growth(check, (double)count + 2) / 2 + (5 + one) * U;
  for (int k = 0; k < ZH_CHECK_ELEMENTS; ++k) {
    size_t i = zh_check_draw(check, count);
    double expected = (gain[i] + one) * (x[i] / root),
           size = (fabs((double)gain[i]) + one) * fabs(x[i] / root);
    zh_check_judge(check, o, t, from + i, o->output[t * o->out_width + from + i], expected,
                   TAU * (relative * size + (double)FLT_MIN));
  }
}

void zh_check_norm(zh_check *check, const zh_operation *o, size_t t) {
  check_norm_row(check, o, t, 0, o->in_width);
}

/* Behind the norm the rest is copied. */
void zh_check_latent_norm(zh_check *check, const zh_operation *o, size_t t) {
  size_t count = o->weight->matrix.columns;
  check_norm_row(check, o, t, 0, count);
  for (size_t i = count; i < o->in_width; ++i)
    zh_check_judge(check, o, t, i, o->output[t * o->out_width + i], o->input[t * o->in_width + i],
                   0);
}

/* A drawn head of it. */
void zh_check_head_norm(zh_check *check, const zh_operation *o, size_t t) {
  size_t d = check->architecture.head_dim, head = zh_check_draw(check, o->in_width / d);
  check_norm_row(check, o, t, head * d, d);
}

/* gate / (1 + exp(-gate)) * up: exponential 4 u, sum, division and product 3 u, and u |gate| where
 * the exponent's argument was rounded before. */
static double silu_of(double gate, double up, double *bound) {
  double expected = gate / (1 + exp(-gate)) * up;
  *bound = (7 + fabs(gate)) * U * fabs(expected);
  return expected;
}

/* gate times the normal distribution's share below it, times up. The kernels' share is within
 * 1.5e-7 of it (kernels/gelu), half of that and 3 u for its products, and as much relative to the
 * tail. */
static double gelu_of(double gate, double up, double *bound) {
  double expected = gate * erfc(-gate * sqrt(0.5)) / 2 * up;
  *bound = (1.5e-7 + 8 * U) * fabs(gate * up);
  return expected;
}

/* gate / (1 + exp(-2 z)) up with z = sqrt(2 / pi) (gate + 0.044715 gate^3), which rounds 6 times.
 */
static double gelu_tanh_of(double gate, double up, double *bound) {
  double z = sqrt(2 / acos(-1)) * (gate + 0.044715 * gate * gate * gate);
  double expected = gate / (1 + exp(-2 * z)) * up;
  *bound = (8 + 12 * fabs(z)) * U * fabs(expected);
  return expected;
}

/* gpt-oss: g / (1 + exp(-1.702 g)) (u + 1), clamped first. */
static double clamped_of(double gate, double up, double limit, double *bound) {
  double g = fmin(gate, limit), u = fmin(fmax(up, -limit), limit);
  double expected = g / (1 + exp(-1.702 * g)) * (u + 1);
  *bound = (10 + 3 * fabs(g)) * U * fabs(g / (1 + exp(-1.702 * g))) * (fabs(u) + 1);
  return expected;
}

void zh_check_activation(zh_check *check, const zh_operation *o, size_t t) {
  static double (*const forms[])(double, double,
                                 double *) = {[ZH_ACTIVATION_SILU] = silu_of,
                                              [ZH_ACTIVATION_GELU] = gelu_of,
                                              [ZH_ACTIVATION_GELU_TANH] = gelu_tanh_of};
  for (int k = 0; k < ZH_CHECK_ELEMENTS; ++k) {
    size_t i = zh_check_draw(check, o->in_width);
    double gate = o->input[t * o->in_width + i], up = o->second[t * o->in_width + i], bound = 0;
    zh_activation form = check->architecture.activation;
    double expected =
        form == ZH_ACTIVATION_CLAMPED
            ? clamped_of(gate, up, (double)check->architecture.activation_limit, &bound)
            : forms[form](gate, up, &bound);
    zh_check_judge(check, o, t, i, o->output[t * o->out_width + i], expected,
                   TAU * (bound + (double)FLT_MIN * (1 + fabs(up))));
  }
}

/* One addition: u |ŷ|, without TAU; of a scaled addend u |s d| more. */
void zh_check_addition(zh_check *check, const zh_operation *o, size_t t) {
  double factor = (double)zh_factor(check->architecture.residual_scale);
  for (int k = 0; k < ZH_CHECK_ELEMENTS; ++k) {
    size_t i = zh_check_draw(check, o->in_width);
    double added = factor * o->second[t * o->in_width + i];
    double expected = (double)o->input[t * o->in_width + i] + added;
    double bound = U * fabs(expected) + (factor == 1 ? 0 : TAU * U * fabs(added) + (double)FLT_MIN);
    zh_check_judge(check, o, t, i, o->output[t * o->out_width + i], expected, bound);
  }
}

/* Partial products of n ranks, added in their order: (n - 1) u of their magnitudes. */
void zh_check_sum(zh_check *check, const zh_operation *o, size_t t) {
  for (int k = 0; k < ZH_CHECK_ELEMENTS; ++k) {
    size_t i = zh_check_draw(check, o->in_width);
    double sum = 0, magnitude = 0;
    for (size_t n = 0; n < o->addends; ++n) {
      double addend = o->input[n * o->addend_stride + t * o->in_width + i];
      sum += addend;
      magnitude += fabs(addend);
    }
    double bound = (double)(o->addends - 1) * U * magnitude;
    zh_check_judge(check, o, t, i, o->output[t * o->out_width + i], sum, TAU * bound);
  }
}

/* A vector's values by their definition, in `room`; NULL where there is none. */
static const float *source_vector(zh_check *check, const zh_weight *w, float *room) {
  if (!w->tensor) return NULL;
  return memcpy(room, zh_check_source_row(check, w, 0), w->matrix.columns * sizeof *room);
}

/* A token's choices, and how much it takes of each: route_judge.c. */
void zh_check_route(zh_check *check, const zh_operation *o, size_t t) {
  const zh_weight *weight =
      zh_weights_layer(check->weights, (uint32_t)o->layer - check->first_layer);
  const zh_mixture *m = o->mixture;
  uint32_t used = m->used;
  zh_routing routing = {.router = &check->architecture.router,
                        .experts = check->architecture.experts,
                        .used = check->architecture.experts_used,
                        .bias = source_vector(check, &weight[ZH_ROUTER_BIAS], check->router),
                        .selection_bias =
                            source_vector(check, &weight[ZH_ROUTER_SELECTION_BIAS],
                                          check->router + check->architecture.experts)};
  double *expected = check->weighted, *bound = expected + used;
  bool chosen =
      routing.used == used &&
      zh_route_judge(expected, bound, &routing, o->input + t * o->in_width, m->choice + t * used);
  for (uint32_t k = 0; k < used; ++k)
    zh_check_judge(check, o, t, k, o->output[t * o->out_width + k], chosen ? expected[k] : NAN,
                   TAU * bound[k]);
}

/* The shared experts' part times sigmoid (4 u of it), and that of each choice here times its
 * weight: a product and a sum each, in fp32. */
void zh_check_combination(zh_check *check, const zh_operation *o, size_t t) {
  const zh_mixture *m = o->mixture;
  double share = m->shared ? 1 / (1 + exp(-(double)m->shared[t])) : 1;
  for (int n = 0; n < ZH_CHECK_ELEMENTS; ++n) {
    size_t i = zh_check_draw(check, o->out_width);
    double sum = o->second ? share * o->second[t * o->in_width + i] : 0, magnitude = fabs(sum);
    for (size_t k = t * m->used; k < (t + 1) * m->used; ++k) {
      if (!zh_mixture_has(m, k)) continue;
      double term = (double)m->weight[k] * o->input[m->place[k] * o->in_width + i];
      sum += term;
      magnitude += fabs(term);
    }
    zh_check_judge(check, o, t, i, o->output[t * o->out_width + i], sum,
                   TAU * ((m->used + 6) * U * magnitude + (double)FLT_MIN));
  }
}
