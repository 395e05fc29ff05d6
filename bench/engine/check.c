/* Notation: u = 2^-24, the unit roundoff of fp32; v = 2^-53, of fp64; r is v for kernels that sum
 * in fp64, else u. g(n) bounds the relative error of a sum of n terms in any order: n r / (1 - n r)
 * always (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); and 8 sqrt(n) r but for a
 * chance below 2 n exp(-32), where roundings are independent of each other (Higham and Mary, SIAM
 * J. Sci. Comput. 41, 2019). The smaller one counts: it is tight enough to notice activations that
 * were rounded to bf16 on the way. Every bound is TAU times what the comments below derive: TAU = 2
 * covers sums factored by block scale, d (q·x) + m (1·x), whose terms are larger than |W||x|'s. */
#include "bench/engine/check.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/check_whole.h"
#include "bench/engine/order.h"
#include "bench/engine/route.h"
#include "core/philox.h"

enum { KINDS = 48, TOKENS = 2, ROWS = 4, ELEMENTS = 16 };
static const double TAU = 2, LAMBDA = 8, U = 0x1p-24, V = 0x1p-53;
/* Of bf16; what the tiles' powers of two stop short; of their weights in words, 2^-7.28
 * (kernels/attention/attention_amx.c). */
static const double HALF = 0x1p-8, POWER = 0x1p-13, WORD = 0x1.a6p-8;

/* The sample of one operator kind that came nearest to its bound. */
typedef struct kind {
  const char *name;
  char what[128];
  double bound, error, ratio;
  uint64_t samples;
} kind;

struct zh_check {
  zh_engine *engine; /* NULL where operations are handed in */
  zh_order *order;
  zh_whole *whole;              /* NULL where operations are handed in */
  zh_architecture architecture; /* of this part */
  uint32_t first_layer;         /* of the model, in this part */
  const zh_weights *weights;
  zh_arithmetic arithmetic;
  size_t rows; /* of each product of each token */
  uint64_t seed, drawn, samples;
  kind kinds[KINDS];
  size_t kind_count;
  char name[KINDS][32]; /* of kinds that other ranks alone saw */
  bool failed;
  char failure[512];
  float *row;            /* [longest row]: a weight row, dequantised */
  float *rounded;        /* [longest row]: activations as packed weights multiply them */
  unsigned char *source; /* a standard model's row as its type has it */
  double *weighted;      /* [2][experts used] */
  float *router;         /* [2][experts]: its biases */
  double *score;         /* [context] */
  double *frequency[2];  /* of rope[0] and rope[1] */
  float *slopes;         /* [heads] of the whole model: of ALiBi; NULL: none */
  float *keys, *values;  /* [context][head_dim]: of one head, as the cache holds them */
};

static double growth(const zh_check *check, double n) {
  double r = check->arithmetic.fp64_sums ? V : U;
  return fmin(n * r / (1 - n * r), LAMBDA * sqrt(n) * r);
}

static size_t draw(zh_check *check, size_t below) {
  uint32_t bits;
  zh_random_fill(&bits, 1, check->seed, UINT64_C(0x636865636b), check->drawn++);
  return bits % below;
}

static kind *kind_of(zh_check *check, const char *name) {
  for (size_t i = 0; i < check->kind_count; ++i)
    if (strcmp(check->kinds[i].name, name) == 0) return &check->kinds[i];
  if (check->kind_count == KINDS) return &check->kinds[KINDS - 1];
  check->kinds[check->kind_count] = (kind){.name = name, .ratio = -1};
  return &check->kinds[check->kind_count++];
}

/* Element `row` of token `t`. A NaN on either side fails: the comparison below is then false. */
static void judge(zh_check *check, const zh_operation *o, size_t t, size_t row, double computed,
                  double expected, double bound) {
  kind *k = kind_of(check, o->name);
  double error = fabs(computed - expected);
  bool passed = error <= bound;
  double ratio = passed ? (bound > 0 ? error / bound : 0) : INFINITY;
  ++k->samples;
  ++check->samples;
  if (ratio <= k->ratio || (check->failed && !passed)) return;
  const char *where = o->weight ? o->weight->tensor->name : o->name;
  if (o->layer >= 0 && !o->weight)
    snprintf(k->what, sizeof k->what, "%s of layer %d, row %zu, token %zu", where, o->layer, row,
             t);
  else
    snprintf(k->what, sizeof k->what, "%s, row %zu, token %zu", where, row, t);
  k->bound = bound;
  k->error = error;
  k->ratio = ratio;
  if (passed) return;
  check->failed = true;
  snprintf(check->failure, sizeof check->failure,
           "operator '%s' (%s): computed %.9g where %.9g was expected; the error %.3g is over the "
           "bound %.3g",
           o->name, k->what, computed, expected, error, bound);
}

/* Row r of a weight by its definition, not as the engine holds it. */
static float *source_row(zh_check *check, const zh_weight *w, size_t r) {
  if (w->matrix.type == ZH_F8_E4M3) {
    zh_weight_fp8_values(check->row, w, r);
    return check->row;
  }
  const void *bytes = zh_weight_source_row(w, r, check->source);
  zh_dequantize_row(check->row, bytes, w->tensor->type, w->matrix.columns);
  return check->row;
}

/* A copy: nothing is rounded, so the bound is 0; u where it is scaled. The row may be another
 * rank's. */
static void check_embedding(zh_check *check, const zh_operation *o, size_t t) {
  const float *row = source_row(check, o->weight, o->token[t] - o->weight->first_row),
              *computed = o->output + t * o->out_width;
  double factor = (double)zh_factor(check->architecture.embedding_scale), u = factor == 1 ? 0 : U;
  for (size_t i = 0; i < o->out_width; ++i) {
    double expected = factor * row[i];
    judge(check, o, t, i, computed[i], expected, u * fabs(expected) + (u > 0 ? FLT_MIN : 0));
  }
}

/* Element i of a vector, as the engine adds it to a product. */
static double element_of(zh_check *check, const zh_weight *vector, size_t i) {
  return vector ? source_row(check, vector, 0)[i] : 0;
}

/* What a logit is multiplied by: row, before it is rounded, is its row of the head. */
static double logit_factor(const zh_check *check, const float *row, size_t columns) {
  const zh_architecture *a = &check->architecture;
  double squares = 0;
  for (size_t i = 0; a->normalised_head && i < columns; ++i) squares += (double)row[i] * row[i];
  return (double)zh_factor(a->logit_scale) / (a->normalised_head ? sqrt(squares) : 1);
}

/* What the architecture does to a logit: its factors round it by 3 u at most, the cap's division,
 * tanh and product by 4 u, and its slope is 1 at most. */
static double shaped_logit(const zh_check *check, double factor, double logit, double *bound) {
  double cap = (double)check->architecture.logit_softcap;
  if (factor != 1) *bound = *bound * factor + 3 * U * fabs(logit * factor);
  logit *= factor;
  if (cap == 0) return logit;
  *bound += 4 * U * fabs(logit);
  return cap * tanh(logit / cap);
}

static size_t output_stride(const zh_operation *o) {
  return o->output_stride ? o->output_stride : o->out_width;
}

/* Matrices of one row are held as vectors, which are never rounded; nor is what is not packed. */
static zh_rounding rounding_of(const zh_check *check, const zh_operation *o) {
  if (o->weight->tensor->dims == 1 || o->weight->head_rows % ZH_PACKED_ROWS) return ZH_ROUND_NONE;
  return zh_weight_rounding(o->weight, &check->arithmetic.rounds, o->way);
}

typedef struct dot {
  double sum, magnitude;
} dot;

static dot dot_of(const float *w, const float *x, size_t columns) {
  dot d = {0, 0};
  for (size_t i = 0; i < columns; ++i) {
    double term = (double)w[i] * x[i];
    d.sum += term;
    d.magnitude += fabs(term);
  }
  return d;
}

/* |y - ŷ| <= g(K + 4) |W||x| + u |ŷ|: K products and sums (4 more roundings for scales of blocks),
 * one rounding of the result to fp32. Where the columns lay over p ranks, p u |W||x| more: each
 * part rounded to fp32, and p - 1 additions. What tensor cores lose of E4M3: zh_rounding_loss. */
static void check_dot(zh_check *check, const zh_operation *o, size_t t, size_t r, const float *x,
                      size_t columns, double computed) {
  double bias = element_of(check, o->bias, r);
  float *w = source_row(check, o->weight, r);
  double factor = o->layer < 0 ? logit_factor(check, w, columns) : 1;
  zh_rounded_weights(w, rounding_of(check, o), columns);
  dot d = dot_of(w, x, columns);
  double parts = o->addends > 1 ? (double)o->addends : 0, sum = d.sum;
  double bound = (growth(check, (double)columns + 4) + parts * U) * d.magnitude + U * fabs(sum) +
                 (double)FLT_MIN;
  bound += zh_rounding_loss(rounding_of(check, o), w, x, columns);
  sum += bias;
  bound += bias == 0 ? 0 : U * (fabs(bias) + fabs(sum));
  if (o->layer < 0) sum = shaped_logit(check, factor, sum, &bound);
  judge(check, o, t, r, computed, sum, TAU * bound);
}

static void check_product_row(zh_check *check, const zh_operation *o, size_t t, size_t r,
                              const float *x) {
  check_dot(check, o, t, r, x, o->in_width, o->output[t * output_stride(o) + r]);
}

/* Packed weights multiply rounded activations, and may be rounded themselves: the oracle gets the
 * same values, so that the bound stays as tight as it is. */
static void check_product(zh_check *check, const zh_operation *o, size_t t) {
  float *x = check->rounded;
  zh_rounded(x, rounding_of(check, o), o->input + t * o->in_width, o->in_width);
  for (size_t i = 0; i < check->rows; ++i)
    check_product_row(check, o, t, draw(check, o->out_width), x);
  if (strcmp(o->name, "head") != 0) return;
  size_t best = zh_kernels_reference()->argmax(o->output + t * output_stride(o), o->out_width);
  if (best < o->out_width) check_product_row(check, o, t, best, x); /* the answer itself */
}

/* A token, or choice, that was computed here: the first from a drawn one on; o->tokens: none was.
 */
static size_t draw_token(zh_check *check, const zh_operation *o) {
  size_t first = draw(check, o->tokens);
  for (size_t i = 0; i < o->tokens; ++i)
    if (zh_operation_has(o, (first + i) % o->tokens)) return (first + i) % o->tokens;
  return o->tokens;
}

/* --- whole products: check_whole.h --- */

typedef struct whole_of {
  zh_check *check;
  const zh_operation *o;
  zh_rounding rounding;
  size_t token[ZH_WHOLE_TOKENS]; /* of the operation */
} whole_of;

static void whole_biases(void *user, double *out, size_t first, size_t count) {
  const whole_of *w = user;
  const float *bias = w->o->bias ? source_row(w->check, w->o->bias, 0) : NULL;
  for (size_t i = 0; i < count; ++i) out[i] = bias ? (double)bias[first + i] : 0;
}

static const float *whole_row(void *user, size_t r) {
  const whole_of *w = user;
  float *row = source_row(w->check, w->o->weight, r);
  zh_rounded_weights(row, w->rounding, w->o->in_width);
  return row;
}

static void whole_input(void *user, float *out, size_t t) {
  const whole_of *w = user;
  zh_rounded(out, w->rounding, zh_operation_input(w->o, w->token[t]), w->o->in_width);
}

static const float *whole_output(void *user, size_t t) {
  const whole_of *w = user;
  return zh_operation_output(w->o, w->token[t]);
}

static double whole_loss(void *user, const float *row, const float *x) {
  const whole_of *w = user;
  return TAU * zh_rounding_loss(w->rounding, row, x, w->o->in_width);
}

static void judge_whole(void *user, size_t t, size_t row, double computed, double expected,
                        double bound) {
  const whole_of *w = user;
  zh_operation named = *w->o;
  named.name = "whole product";
  judge(w->check, &named, w->token[t], row, computed, expected, bound);
}

/* All tokens, or drawn ones; of choices those that have the same weight. */
static size_t draw_tokens(whole_of *w) {
  const zh_operation *o = w->o;
  size_t count = 0, all = 0;
  for (size_t i = 0; i < o->tokens; ++i) {
    if (!zh_operation_has(o, i) || (o->each && o->each[i] != o->weight)) continue;
    if (all++ < ZH_WHOLE_TOKENS)
      w->token[count++] = i;
    else
      w->token[draw(w->check, ZH_WHOLE_TOKENS)] = i;
  }
  return count;
}

static void check_whole(zh_check *check, const zh_operation *o) {
  const zh_architecture *a = &check->architecture;
  bool head = o->layer < 0, shaped = head && (a->normalised_head || a->logit_softcap != 0);
  if (!check->whole || o->op != ZH_OP_MATMUL || o->addends > 1 || o->tokens == 0 || shaped) return;
  zh_operation one = *o;
  if (o->each) {
    size_t choice = draw_token(check, o);
    if (choice == o->tokens) return;
    one.weight = o->each[choice];
    one.bias = o->each_bias ? o->each_bias[choice] : NULL;
  }
  const zh_matrix *m = &one.weight->matrix;
  if (!zh_whole_takes(check->whole, o->name, (int)o->way, (uint64_t)m->rows * m->columns)) return;
  whole_of user = {.check = check, .o = &one, .rounding = rounding_of(check, &one)};
  zh_whole_product product = {.rows = one.out_width,
                              .columns = one.in_width,
                              .tokens = draw_tokens(&user),
                              .relative = TAU * growth(check, (double)one.in_width + 4),
                              .rounding = TAU * U,
                              .factor = head ? (double)zh_factor(a->logit_scale) : 1,
                              .user = &user,
                              .biases = whole_biases,
                              .row = whole_row,
                              .input = whole_input,
                              .output = whole_output,
                              .loss = user.rounding == ZH_ROUND_E4M3_INPUTS ? whole_loss : NULL,
                              .judge = judge_whole};
  zh_whole_check(check->whole, &product);
}

/* Relative: half of g(K + 2) from the sum of squares under the root, then root, division and two
 * products: 5 u; one more where 1 is added to the gain. x: a row of `count` numbers, from element
 * `from` of the operator on. */
static void check_norm_row(zh_check *check, const zh_operation *o, size_t t, size_t from,
                           size_t count) {
  const float *gain = source_row(check, o->weight, 0), *x = o->input + t * o->in_width + from;
  double squares = 0, one = check->architecture.norm == ZH_NORM_RMS_PLUS_ONE ? 1 : 0,
         eps = (double)(o->op == ZH_OP_LATENT_NORM ? ZH_LATENT_NORM_EPS
                                                   : check->architecture.norm_eps);
  for (size_t i = 0; i < count; ++i) squares += (double)x[i] * x[i];
  double root = sqrt(squares / (double)count + eps);
  double relative = growth(check, (double)count + 2) / 2 + (5 + one) * U;
  for (int k = 0; k < ELEMENTS; ++k) {
    size_t i = draw(check, count);
    double expected = (gain[i] + one) * (x[i] / root),
           size = (fabs((double)gain[i]) + one) * fabs(x[i] / root);
    judge(check, o, t, from + i, o->output[t * o->out_width + from + i], expected,
          TAU * (relative * size + (double)FLT_MIN));
  }
}

static void check_norm(zh_check *check, const zh_operation *o, size_t t) {
  check_norm_row(check, o, t, 0, o->in_width);
}

/* Behind the norm the rest is copied. */
static void check_latent_norm(zh_check *check, const zh_operation *o, size_t t) {
  size_t count = o->weight->matrix.columns;
  check_norm_row(check, o, t, 0, count);
  for (size_t i = count; i < o->in_width; ++i)
    judge(check, o, t, i, o->output[t * o->out_width + i], o->input[t * o->in_width + i], 0);
}

/* One head's product, of what its part of the input begins with; behind it the rest is copied,
 * where there is room for it. */
static void check_head_product(zh_check *check, const zh_operation *o, size_t t) {
  const zh_weight *w = o->weight;
  size_t heads = check->architecture.heads, each = w->head_rows, columns = w->matrix.columns,
         from = o->in_width / heads, to = o->out_width / heads;
  for (size_t i = 0; i < check->rows; ++i) {
    size_t head = draw(check, heads), row = draw(check, each);
    const float *input = o->input + t * o->in_width + head * from,
                *output = o->output + t * o->out_width + head * to;
    zh_rounded(check->rounded, rounding_of(check, o), input, columns);
    check_dot(check, o, t, head * each + row, check->rounded, columns, output[row]);
    for (size_t k = each; k < to; ++k)
      judge(check, o, t, head * to + k, output[k], input[columns + k - each], 0);
  }
}

/* A drawn head of it. */
static void check_head_norm(zh_check *check, const zh_operation *o, size_t t) {
  size_t d = check->architecture.head_dim, head = draw(check, o->in_width / d);
  check_norm_row(check, o, t, head * d, d);
}

/* a cos - b sin: the functions (times the attention factor) rounded to fp32, two products, one sum:
 * 3 u (|a| + |b|) of what is multiplied. */
static void check_rope(zh_check *check, const zh_operation *o, size_t t) {
  const zh_architecture *a = &check->architecture;
  const zh_rope *rope = zh_layer_rope(a, (uint32_t)o->layer - check->first_layer);
  const double *frequency = check->frequency[rope - a->rope];
  size_t half = rope->dims / 2, width = zh_key_dim(a),
         skipped = a->attention == ZH_ATTENTION_LATENT ? a->latent.kv_rank : 0;
  double factor = rope->attention_factor == 0 ? 1 : rope->attention_factor;
  bool pairs = rope->kind == ZH_ROPE_PAIRS,
       turns = zh_layer_turns(a, (uint32_t)o->layer - check->first_layer);
  for (int k = 0; k < ELEMENTS; ++k) {
    size_t i = draw(check, o->in_width), d = i % width;
    const float *x = o->input + t * o->in_width + i - d, *y = o->output + t * o->out_width;
    if (d < skipped || d >= skipped + rope->dims || !turns) {
      judge(check, o, t, i, y[i], x[d], 0);
      continue;
    }
    x += skipped;
    d -= skipped;
    bool second = pairs ? d % 2 == 1 : d >= half;
    size_t pair = pairs ? d / 2 : d % half;
    double p = factor * x[pairs ? 2 * pair : pair],
           q = factor * x[pairs ? 2 * pair + 1 : pair + half];
    double angle = o->position[t] * frequency[pair];
    double expected = second ? p * sin(angle) + q * cos(angle) : p * cos(angle) - q * sin(angle);
    judge(check, o, t, i, y[i], expected, TAU * (3 * U * (fabs(p) + fabs(q)) + (double)FLT_MIN));
  }
}

/* What weights p that are off by up to a part each, independently, make of values v, stride apart,
 * counted from `middle`: that part of it. */
static double spread(const double *p, const float *v, size_t stride, size_t n, double middle) {
  double absolute = 0, squares = 0;
  for (size_t j = 0; j < n; ++j) {
    double term = p[j] * (v[j * stride] - middle);
    absolute += fabs(term);
    squares += term * term;
  }
  return fmin(absolute, LAMBDA * sqrt(squares));
}

/* The first position that token t sees. */
static size_t first_seen(const zh_check *check, const zh_operation *o, size_t t) {
  const zh_architecture *a = &check->architecture;
  bool slides = zh_layer_is(a, (uint32_t)o->layer - check->first_layer, ZH_LAYER_SLIDING);
  size_t end = (size_t)o->position[t] + 1;
  return slides && end > a->window ? end - a->window : 0;
}

static float sink_of(const zh_check *check, int layer, size_t head) {
  const zh_weight *sinks =
      &zh_weights_layer(check->weights, (uint32_t)layer - check->first_layer)[ZH_ATTN_SINKS];
  return source_row((zh_check *)check, sinks, 0)[head];
}

/* By how much a key one position back scores less: of a head of this part. */
static double slope_of(const zh_check *check, size_t head) {
  const zh_weight *output = &zh_weights_layer(check->weights, 0)[ZH_ATTN_OUTPUT];
  size_t first = output->first_column / check->architecture.value_dim;
  return check->slopes ? (double)check->slopes[first + head] : 0;
}

/* Keys and values are those that the cache holds, rounded once when they were stored. Scores s_j =
 * q·k_j / sqrt(d) are off by at most e = (g(d + 2) + 4 u) A, A the largest of |q|·|k_j| / sqrt(d);
 * so weights exp(s_j - max) by a factor within exp(2 e), and by 4 u of the exponential; their sum
 * by g(n), the weighted sum of values by g(n) again, division and rounding 3 u, and each merge of a
 * block of keys 8 u. All relative to sum_j p_j |v_j|. By tiles (zh_attention_rounds) q is rounded
 * first, powers of two stop 2^-13 short, scores round four times more, and each weight is rounded
 * to bf16 by itself: no more than 2^-8 of the whole, and by lambda = 8 roots of the sum of
 * squares. Or weights are words, within 2^-7.28, and so is their sum: what all have in common
 * cancels, and values count by how far they are from their mean. A slope's part of a score is off
 * by 8 u of itself, in the score, its distance from the largest and merges: of each key by itself,
 * for what is large there has next to no weight. */
static void check_attention_head(zh_check *check, const zh_operation *o, size_t t, size_t h,
                                 const float *k, const float *v) {
  const zh_architecture *a = &check->architecture;
  size_t d = zh_key_dim(a), dims = zh_seen_dim(a), n = o->position[t] + (size_t)1,
         first = first_seen(check, o, t);
  const float *q = o->input + t * o->in_width + h * d;
  bool tiles =
      a->attention_softcap == 0 && !a->alibi &&
      zh_attention_rounds(&check->arithmetic.rounds, check->arithmetic.kv, d, dims, o->way);
  double slope = slope_of(check, h), slanted = 0, cap = (double)a->attention_softcap,
         sink = a->sinks ? (double)sink_of(check, o->layer, h) : -INFINITY;
  double largest = sink, magnitude = 0, total = 0, scale = (double)a->attention_scale;
  for (size_t j = first; j < n; ++j) {
    double s = 0, m = 0;
    for (size_t i = 0; i < d; ++i) {
      double term = (double)(tiles ? zh_bf16_to_f32(zh_f32_to_bf16(q[i])) : q[i]) * k[j * d + i];
      s += term;
      m += fabs(term);
    }
    check->score[j] = cap == 0 ? s * scale : cap * tanh(s * scale / cap);
    check->score[j] -= slope * (double)(n - 1 - j);
    if (check->score[j] > largest) largest = check->score[j];
    if (m * scale > magnitude) magnitude = m * scale;
  }
  for (size_t j = first; j < n; ++j) total += check->score[j] = exp(check->score[j] - largest);
  if (a->sinks) total += exp(sink - largest);
  double merges = (double)(n / ZH_ATTENTION_BLOCK + 2);
  double score_error = (growth(check, (double)d + 2) + (tiles      ? 8
                                                        : cap != 0 ? 12
                                                                   : 4) *
                                                           U) *
                       magnitude;
  double relative = expm1(2 * score_error) + 2 * growth(check, (double)n) + 7 * U + 8 * merges * U;
  if (tiles) relative += 2 * POWER;
  for (size_t j = first; j < n; ++j) {
    check->score[j] /= total;
    slanted += check->score[j] * 8 * U * slope * (double)(n - 1 - j);
  }
  const double *weights = check->score + first;
  const float *seen = v + first * dims;
  for (int e = 0; e < ELEMENTS; ++e) {
    size_t i = draw(check, dims);
    double sum = 0, absolute = 0, rounded = 0;
    for (size_t j = first; j < n; ++j) {
      double term = check->score[j] * v[j * dims + i];
      sum += term;
      absolute += fabs(term);
      rounded += fabs(term) * (8 * U * slope * (double)(n - 1 - j) + slanted);
    }
    if (tiles)
      rounded = fmax(HALF * spread(weights, seen + i, dims, n - first, 0),
                     WORD * spread(weights, seen + i, dims, n - first, a->sinks ? 0 : sum));
    judge(check, o, t, h * dims + i, o->output[t * o->out_width + h * dims + i], sum,
          TAU * (relative * absolute + rounded + (double)FLT_MIN));
  }
}

/* A drawn head of it. */
static void check_attention(zh_check *check, const zh_operation *o, size_t t) {
  const zh_architecture *a = &check->architecture;
  size_t h = draw(check, a->heads), head = h / (a->heads / a->kv_heads),
         end = (size_t)o->position[t] + 1;
  zh_kv_keys(check->keys, o->kv, o->sequence[t], head, 0, end);
  zh_kv_values(check->values, o->kv, o->sequence[t], head, 0, end);
  check_attention_head(check, o, t, h, check->keys, check->values);
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

static void check_activation(zh_check *check, const zh_operation *o, size_t t) {
  static double (*const forms[])(double, double,
                                 double *) = {[ZH_ACTIVATION_SILU] = silu_of,
                                              [ZH_ACTIVATION_GELU] = gelu_of,
                                              [ZH_ACTIVATION_GELU_TANH] = gelu_tanh_of};
  for (int k = 0; k < ELEMENTS; ++k) {
    size_t i = draw(check, o->in_width);
    double gate = o->input[t * o->in_width + i], up = o->second[t * o->in_width + i], bound = 0;
    zh_activation form = check->architecture.activation;
    double expected =
        form == ZH_ACTIVATION_CLAMPED
            ? clamped_of(gate, up, (double)check->architecture.activation_limit, &bound)
            : forms[form](gate, up, &bound);
    judge(check, o, t, i, o->output[t * o->out_width + i], expected,
          TAU * (bound + (double)FLT_MIN * (1 + fabs(up))));
  }
}

/* One addition: u |ŷ|, without TAU; of a scaled addend u |s d| more. */
static void check_addition(zh_check *check, const zh_operation *o, size_t t) {
  double factor = (double)zh_factor(check->architecture.residual_scale);
  for (int k = 0; k < ELEMENTS; ++k) {
    size_t i = draw(check, o->in_width);
    double added = factor * o->second[t * o->in_width + i];
    double expected = (double)o->input[t * o->in_width + i] + added;
    double bound = U * fabs(expected) + (factor == 1 ? 0 : TAU * U * fabs(added) + (double)FLT_MIN);
    judge(check, o, t, i, o->output[t * o->out_width + i], expected, bound);
  }
}

/* Partial products of n ranks, added in their order: (n - 1) u of their magnitudes. */
static void check_sum(zh_check *check, const zh_operation *o, size_t t) {
  for (int k = 0; k < ELEMENTS; ++k) {
    size_t i = draw(check, o->in_width);
    double sum = 0, magnitude = 0;
    for (size_t n = 0; n < o->addends; ++n) {
      double addend = o->input[n * o->addend_stride + t * o->in_width + i];
      sum += addend;
      magnitude += fabs(addend);
    }
    double bound = (double)(o->addends - 1) * U * magnitude;
    judge(check, o, t, i, o->output[t * o->out_width + i], sum, TAU * bound);
  }
}

/* A vector's values by their definition, in `room`; NULL where there is none. */
static const float *source_vector(zh_check *check, const zh_weight *w, float *room) {
  if (!w->tensor) return NULL;
  return memcpy(room, source_row(check, w, 0), w->matrix.columns * sizeof *room);
}

/* A token's choices, and how much it takes of each: route_judge.c. */
static void check_route(zh_check *check, const zh_operation *o, size_t t) {
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
    judge(check, o, t, k, o->output[t * o->out_width + k], chosen ? expected[k] : NAN,
          TAU * bound[k]);
}

/* The shared experts' part times sigmoid (4 u of it), and that of each choice here times its
 * weight: a product and a sum each, in fp32. */
static void check_combination(zh_check *check, const zh_operation *o, size_t t) {
  const zh_mixture *m = o->mixture;
  double share = m->shared ? 1 / (1 + exp(-(double)m->shared[t])) : 1;
  for (int n = 0; n < ELEMENTS; ++n) {
    size_t i = draw(check, o->out_width);
    double sum = o->second ? share * o->second[t * o->in_width + i] : 0, magnitude = fabs(sum);
    for (size_t k = t * m->used; k < (t + 1) * m->used; ++k) {
      if (!zh_mixture_has(m, k)) continue;
      double term = (double)m->weight[k] * o->input[m->place[k] * o->in_width + i];
      sum += term;
      magnitude += fabs(term);
    }
    judge(check, o, t, i, o->output[t * o->out_width + i], sum,
          TAU * ((m->used + 6) * U * magnitude + (double)FLT_MIN));
  }
}

/* Row r of one of the products that are summed, times `share`: of the sum, and of its bound without
 * what summing rounds. */
static dot addend_of(zh_check *check, const zh_weight *w, const zh_weight *bias, zh_way way,
                     size_t r, const float *x, double share, double *bound) {
  size_t columns = w->matrix.columns;
  zh_operation product = {.weight = w, .way = way};
  zh_rounding rounding = rounding_of(check, &product);
  zh_rounded(check->rounded, rounding, x, columns);
  float *row = source_row(check, w, r);
  zh_rounded_weights(row, rounding, columns);
  dot d = dot_of(row, check->rounded, columns);
  double added = element_of(check, bias, r);
  *bound += fabs(share) * (growth(check, (double)columns + 4) * d.magnitude +
                           zh_rounding_loss(rounding, row, check->rounded, columns));
  return (dot){share * (d.sum + added), fabs(share) * (d.magnitude + fabs(added))};
}

/* Of each rank's part of a product: g(K + 4) of it, one rounding to fp32 and one with its bias;
 * then, times its weight, it is added to the others' parts (check_combination), and the ranks' sums
 * are added up: used + 6 and p - 1 roundings. All of them relative to what is added, without signs.
 */
void zh_check_experts_sum(zh_check *check, const zh_operation *o, const zh_weight *shared,
                          zh_way shared_way) {
  const zh_mixture *m = o->mixture;
  double share = m->shared ? 1 / (1 + exp(-(double)m->shared[0])) : 1;
  double roundings = (double)m->used + 7 + (double)o->addends;
  for (size_t i = 0; i < check->rows; ++i) {
    size_t r = draw(check, o->out_width);
    double bound = (double)FLT_MIN * roundings, sum = 0, magnitude = 0;
    for (size_t k = 0; k <= m->used; ++k) {
      bool routed = k < m->used;
      if (!routed && !shared) break;
      dot d = routed ? addend_of(check, o->each[k], o->each_bias ? o->each_bias[k] : NULL, o->way,
                                 r, o->input + k * o->in_width, (double)m->weight[k], &bound)
                     : addend_of(check, shared, NULL, shared_way, r, o->second, share, &bound);
      sum += d.sum;
      magnitude += d.magnitude;
    }
    judge(check, o, 0, r, o->output[r], sum, TAU * (bound + roundings * U * magnitude));
  }
}

/* One choice by itself. */
static zh_operation of_choice(const zh_operation *o, size_t i) {
  zh_operation one = *o;
  one.weight = o->each[i];
  one.bias = o->each_bias ? o->each_bias[i] : NULL;
  one.input = zh_operation_input(o, i);
  one.second = o->second ? zh_operation_second(o, i) : NULL;
  one.output = zh_operation_output(o, i);
  one.each = NULL;
  one.spread = false;
  return one;
}

static void check_token(zh_check *check, const zh_operation *o, size_t t) {
  static void (*const checkers[ZH_OPERATORS])(zh_check *, const zh_operation *, size_t) = {
      [ZH_OP_EMBEDDING] = check_embedding,
      [ZH_OP_RMSNORM] = check_norm,
      [ZH_OP_HEAD_NORM] = check_head_norm,
      [ZH_OP_MATMUL] = check_product,
      [ZH_OP_ROPE] = check_rope,
      [ZH_OP_ATTENTION] = check_attention,
      [ZH_OP_ACTIVATION] = check_activation,
      [ZH_OP_ADD] = check_addition,
      [ZH_OP_SUM] = check_sum,
      [ZH_OP_ROUTE] = check_route,
      [ZH_OP_COMBINE] = check_combination,
      [ZH_OP_LATENT_NORM] = check_latent_norm,
      [ZH_OP_HEAD_MATMUL] = check_head_product,
  };
  if (o->each) {
    zh_operation one = of_choice(o, t);
    checkers[o->op](check, &one, 0);
  } else {
    checkers[o->op](check, o, t);
  }
}

static void observe(void *user, const zh_operation *o) {
  zh_check *check = user;
  if (!check->failed)
    check->failed = !zh_order_visit(check->order, o, check->failure, sizeof check->failure);
  for (int i = 0; i < TOKENS; ++i) {
    size_t t = draw_token(check, o);
    if (t < o->tokens) check_token(check, o, t);
  }
  check_whole(check, o);
}

void zh_check_operation(zh_check *check, const zh_operation *operation) {
  for (size_t t = 0; t < operation->tokens; ++t) check_token(check, operation, t);
}

void zh_check_attention_head(zh_check *check, const zh_operation *operation, size_t head,
                             const float *keys, const float *values) {
  check_attention_head(check, operation, 0, head, keys, values);
}

static bool set_slopes(zh_check *check, const zh_weights *weights) {
  uint32_t heads = weights->total.architecture.heads;
  if (!check->architecture.alibi) return true;
  check->slopes = malloc(heads * sizeof *check->slopes);
  if (check->slopes) zh_alibi_slopes(check->slopes, heads);
  return check->slopes != NULL;
}

zh_status zh_check_create_for(zh_check **out, const zh_weights *weights, zh_arithmetic arithmetic,
                              size_t context, size_t rows, uint64_t seed, zh_error *err) {
  zh_check *check = calloc(1, sizeof *check);
  if (!check) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
  check->architecture = weights->architecture;
  check->first_layer = weights->first_layer;
  check->weights = weights;
  check->arithmetic = arithmetic;
  check->rows = rows;
  check->seed = seed;
  size_t longest = 1, bytes = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_matrix *m = &zh_weights_at(weights, i)->matrix;
    if (m->columns > longest) longest = m->columns;
    size_t row_bytes = zh_weight_whole_row_bytes(zh_weights_at(weights, i));
    if (row_bytes > bytes) bytes = row_bytes;
  }
  check->row = malloc(longest * sizeof *check->row);
  check->rounded = malloc(longest * sizeof *check->rounded);
  check->source = malloc(bytes);
  check->weighted = malloc((2 * (size_t)check->architecture.experts_used + 1) * sizeof(double));
  check->router = malloc((2 * (size_t)check->architecture.experts + 1) * sizeof(float));
  check->score = malloc(context * sizeof *check->score);
  check->keys = malloc(context * zh_key_dim(&weights->architecture) * sizeof *check->keys);
  check->values = malloc(context * zh_key_dim(&weights->architecture) * sizeof *check->values);
  bool turns = set_slopes(check, weights);
  for (int i = 0; i < 2; ++i) {
    const zh_rope *rope = &check->architecture.rope[i];
    check->frequency[i] = calloc(rope->dims / 2 + 1, sizeof *check->frequency[i]);
    turns = turns && check->frequency[i];
    if (check->frequency[i]) zh_rope_frequencies(check->frequency[i], rope, arithmetic.context);
  }
  if (!turns || !check->weighted || !check->router || !check->row || !check->rounded ||
      !check->source || !check->score || !check->keys || !check->values) {
    zh_check_free(check);
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
  }
  *out = check;
  return ZH_OK;
}

static zh_status watch_engine(zh_check *check, zh_engine *engine, uint64_t seed, zh_error *err) {
  size_t longest = 1;
  uint64_t elements = 0;
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_matrix *m = &zh_weights_at(&engine->weights, i)->matrix;
    if (m->columns > longest) longest = m->columns;
    elements += (uint64_t)m->rows * m->columns;
  }
  check->engine = engine;
  ZH_TRY(zh_order_create(&check->order, engine, err));
  return zh_whole_create(&check->whole, longest, elements, seed, err);
}

zh_status zh_check_create(zh_check **out, zh_engine *engine, uint64_t seed, zh_error *err) {
  ZH_TRY(zh_check_create_for(out, &engine->weights, zh_engine_arithmetic(engine), engine->context,
                             ROWS, seed, err));
  zh_status status = watch_engine(*out, engine, seed, err);
  if (status == ZH_OK) return ZH_OK;
  zh_check_free(*out);
  *out = NULL;
  return status;
}

void zh_check_free(zh_check *check) {
  if (!check) return;
  zh_order_free(check->order);
  zh_whole_free(check->whole);
  for (int i = 0; i < 2; ++i) free(check->frequency[i]);
  free(check->slopes);
  free(check->row);
  free(check->rounded);
  free(check->source);
  free(check->weighted);
  free(check->router);
  free(check->score);
  free(check->keys);
  free(check->values);
  free(check);
}

zh_status zh_check_attach(zh_check *check, zh_error *err) {
  return zh_engine_observe(check->engine, observe, check, err);
}

void zh_check_detach(zh_check *check) {
  check->engine->observer = NULL;
  check->engine->observer_user = NULL;
  zh_weights_leave_source(&check->engine->weights);
}

/* Of one operator what a rank found, and the first failure of all ranks. */
typedef struct sighting {
  char name[32];
  kind found;
} sighting;

static void add_sighting(zh_check *check, const sighting *s) {
  kind *k = NULL;
  for (size_t i = 0; i < check->kind_count && !k; ++i)
    if (strcmp(check->kinds[i].name, s->name) == 0) k = &check->kinds[i];
  if (!k && check->kind_count < KINDS) {
    snprintf(check->name[check->kind_count], sizeof check->name[0], "%s", s->name);
    k = kind_of(check, check->name[check->kind_count]);
  }
  if (!k) return;
  uint64_t samples = k->samples + s->found.samples;
  const char *name = k->name;
  if (s->found.ratio > k->ratio) *k = s->found;
  k->name = name;
  k->samples = samples;
  check->samples += s->found.samples;
}

zh_status zh_check_join(zh_check *check, const zh_comm *comm, zh_error *err) {
  sighting mine[KINDS] = {0}, *all = calloc((size_t)comm->size, sizeof mine);
  for (size_t i = 0; i < check->kind_count; ++i) {
    snprintf(mine[i].name, sizeof mine[i].name, "%s", check->kinds[i].name);
    mine[i].found = check->kinds[i];
    mine[i].found.name = NULL;
  }
  zh_status status =
      all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for what the ranks saw");
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, mine, sizeof mine, all, 0, err);
  for (size_t i = KINDS; status == ZH_OK && comm->rank == 0 && i < KINDS * (size_t)comm->size; ++i)
    if (all[i].name[0]) add_sighting(check, &all[i]);
  free(all);
  return status;
}

uint64_t zh_check_samples(const zh_check *check) {
  return check->samples;
}

zh_status zh_check_report(const zh_check *check, json_t *checks, zh_error *err) {
  for (size_t i = 0; checks && i < check->kind_count; ++i) {
    const kind *k = &check->kinds[i];
    json_t *entry = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:b}", "check", "operators",
                              "operator", k->name, "what", k->what, "bound",
                              zh_json_number(k->bound), "error", zh_json_number(k->error),
                              "samples", (json_int_t)k->samples, "passed", k->ratio <= 1);
    if (!entry || json_array_append_new(checks, entry) != 0)
      return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to record the self-check");
  }
  if (check->failed) return zh_fail(err, ZH_ERR_CHECK, "%s", check->failure);
  if (check->samples == 0) return zh_fail(err, ZH_ERR_CHECK, "the self-check saw no operator");
  if (check->order && !zh_order_ended(check->order))
    return zh_fail(err, ZH_ERR_CHECK, "order: the last pass ended before its last operator");
  return ZH_OK;
}
