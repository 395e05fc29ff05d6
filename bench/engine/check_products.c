/* Products with weights: of sampled rows, by heads, and of experts' parts over ranks. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "bench/engine/check_inside.h"

/* Element i of a vector, as the engine adds it to a product. */
static double element_of(zh_check *check, const zh_weight *vector, size_t i) {
  return vector ? zh_check_source_row(check, vector, 0)[i] : 0;
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
zh_rounding zh_check_rounding(const zh_check *check, const zh_operation *o) {
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
  float *w = zh_check_source_row(check, o->weight, r);
  double factor = o->layer < 0 ? logit_factor(check, w, columns) : 1;
  zh_rounded_weights(w, zh_check_rounding(check, o), columns);
  dot d = dot_of(w, x, columns);
  double parts = o->addends > 1 ? (double)o->addends : 0, sum = d.sum;
  double bound = (zh_check_growth(check, (double)columns + 4) + parts * U) * d.magnitude +
                 U * fabs(sum) + (double)FLT_MIN;
  bound += zh_rounding_loss(zh_check_rounding(check, o), w, x, columns);
  sum += bias;
  bound += bias == 0 ? 0 : U * (fabs(bias) + fabs(sum));
  if (o->layer < 0) sum = shaped_logit(check, factor, sum, &bound);
  zh_check_judge(check, o, t, r, computed, sum, TAU * bound);
}

static void check_product_row(zh_check *check, const zh_operation *o, size_t t, size_t r,
                              const float *x) {
  check_dot(check, o, t, r, x, o->in_width, o->output[t * output_stride(o) + r]);
}

/* Packed weights multiply rounded activations, and may be rounded themselves: the oracle gets the
 * same values, so that the bound stays as tight as it is. */
void zh_check_product(zh_check *check, const zh_operation *o, size_t t) {
  float *x = check->rounded;
  zh_rounded(x, zh_check_rounding(check, o), o->input + t * o->in_width, o->in_width);
  for (size_t i = 0; i < check->rows; ++i)
    check_product_row(check, o, t, zh_check_draw(check, o->out_width), x);
  if (strcmp(o->name, "head") != 0) return;
  size_t best = zh_kernels_reference()->argmax(o->output + t * output_stride(o), o->out_width);
  if (best < o->out_width) check_product_row(check, o, t, best, x); /* the answer itself */
}

/* One head's product, of what its part of the input begins with; behind it the rest is copied,
 * where there is room for it. */
void zh_check_head_product(zh_check *check, const zh_operation *o, size_t t) {
  const zh_weight *w = o->weight;
  size_t heads = check->architecture.heads, each = w->head_rows, columns = w->matrix.columns,
         from = o->in_width / heads, to = o->out_width / heads;
  for (size_t i = 0; i < check->rows; ++i) {
    size_t head = zh_check_draw(check, heads), row = zh_check_draw(check, each);
    const float *input = o->input + t * o->in_width + head * from,
                *output = o->output + t * o->out_width + head * to;
    zh_rounded(check->rounded, zh_check_rounding(check, o), input, columns);
    check_dot(check, o, t, head * each + row, check->rounded, columns, output[row]);
    for (size_t k = each; k < to; ++k)
      zh_check_judge(check, o, t, head * to + k, output[k], input[columns + k - each], 0);
  }
}

/* Row r of one of the products that are summed, times `share`: of the sum, and of its bound without
 * what summing rounds. */
static dot addend_of(zh_check *check, const zh_weight *w, const zh_weight *bias, zh_way way,
                     size_t r, const float *x, double share, double *bound) {
  size_t columns = w->matrix.columns;
  zh_operation product = {.weight = w, .way = way};
  zh_rounding rounding = zh_check_rounding(check, &product);
  zh_rounded(check->rounded, rounding, x, columns);
  float *row = zh_check_source_row(check, w, r);
  zh_rounded_weights(row, rounding, columns);
  dot d = dot_of(row, check->rounded, columns);
  double added = element_of(check, bias, r);
  *bound += fabs(share) * (zh_check_growth(check, (double)columns + 4) * d.magnitude +
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
    size_t r = zh_check_draw(check, o->out_width);
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
    zh_check_judge(check, o, 0, r, o->output[r], sum, TAU * (bound + roundings * U * magnitude));
  }
}
