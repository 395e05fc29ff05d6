/* Rotation, and attention of one head. */
#include <float.h>
#include <math.h>

#include "bench/engine/check_inside.h"

/* Of bf16; what the tiles' powers of two stop short; of their weights in words, 2^-7.28
 * (kernels/attention/attention_amx.c). */
static const double HALF = 0x1p-8, POWER = 0x1p-13, WORD = 0x1.a6p-8;

/* a cos - b sin: the functions (times the attention factor) rounded to fp32, two products, one sum:
 * 3 u (|a| + |b|) of what is multiplied. */
void zh_check_rope(zh_check *check, const zh_operation *o, size_t t) {
  const zh_architecture *a = &check->architecture;
  const zh_rope *rope = zh_layer_rope(a, (uint32_t)o->layer - check->first_layer);
  const double *frequency = check->frequency[rope - a->rope];
  size_t half = rope->dims / 2, width = zh_key_dim(a),
         skipped = a->attention == ZH_ATTENTION_LATENT ? a->latent.kv_rank : 0;
  double factor = rope->attention_factor == 0 ? 1 : rope->attention_factor;
  bool pairs = rope->kind == ZH_ROPE_PAIRS,
       turns = zh_layer_turns(a, (uint32_t)o->layer - check->first_layer);
  for (int k = 0; k < ZH_CHECK_ELEMENTS; ++k) {
    size_t i = zh_check_draw(check, o->in_width), d = i % width;
    const float *x = o->input + t * o->in_width + i - d, *y = o->output + t * o->out_width;
    if (d < skipped || d >= skipped + rope->dims || !turns) {
      zh_check_judge(check, o, t, i, y[i], x[d], 0);
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
    zh_check_judge(check, o, t, i, y[i], expected,
                   TAU * (3 * U * (fabs(p) + fabs(q)) + (double)FLT_MIN));
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
  return zh_check_source_row((zh_check *)check, sinks, 0)[head];
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
  double score_error = (zh_check_growth(check, (double)d + 2) + (tiles      ? 8
                                                                 : cap != 0 ? 12
                                                                            : 4) *
                                                                    U) *
                       magnitude;
  double relative =
      expm1(2 * score_error) + 2 * zh_check_growth(check, (double)n) + 7 * U + 8 * merges * U;
  if (tiles) relative += 2 * POWER;
  for (size_t j = first; j < n; ++j) {
    check->score[j] /= total;
    slanted += check->score[j] * 8 * U * slope * (double)(n - 1 - j);
  }
  const double *weights = check->score + first;
  const float *seen = v + first * dims;
  for (int e = 0; e < ZH_CHECK_ELEMENTS; ++e) {
    size_t i = zh_check_draw(check, dims);
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
    zh_check_judge(check, o, t, h * dims + i, o->output[t * o->out_width + h * dims + i], sum,
                   TAU * (relative * absolute + rounded + (double)FLT_MIN));
  }
}

/* A drawn head of it. */
void zh_check_attention(zh_check *check, const zh_operation *o, size_t t) {
  const zh_architecture *a = &check->architecture;
  size_t h = zh_check_draw(check, a->heads), head = h / (a->heads / a->kv_heads),
         end = (size_t)o->position[t] + 1;
  zh_kv_keys(check->keys, o->kv, o->sequence[t], head, 0, end);
  zh_kv_values(check->values, o->kv, o->sequence[t], head, 0, end);
  check_attention_head(check, o, t, h, check->keys, check->values);
}

void zh_check_attention_head(zh_check *check, const zh_operation *operation, size_t head,
                             const float *keys, const float *values) {
  check_attention_head(check, operation, 0, head, keys, values);
}
