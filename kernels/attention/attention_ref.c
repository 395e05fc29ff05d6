#include "kernels/attention/parts.h"
#include "kernels/variants.h"

#include <math.h>

/* Attention by its definition: scores, then weights and values, all in fp64, a position at a time.
 * sum: [value_dim]; number: [head_dim]. */
static void attend_row(const zh_attention *a, size_t row, double *sum, float *number) {
  const zh_kv *kv = a->kv;
  size_t t = row / a->heads, head = row % a->heads / (a->heads / kv->kv_heads), d = kv->head_dim,
         value_dim = zh_kv_value_dim(kv);
  size_t begin = first_position(a, t), end = (size_t)a->position[t] + 1, sequence = a->sequence[t];
  const float *q = a->q + row * d;
  double largest = a->sinks ? (double)a->sinks[row % a->heads] : -INFINITY, total = 0;
  for (size_t i = 0; i < value_dim; i++) sum[i] = 0;
  for (int pass = 0; pass < 2; pass++)
    for (size_t j = begin; j < end; j++) {
      double score = 0;
      zh_kv_keys(number, kv, sequence, head, j, j + 1);
      for (size_t i = 0; i < d; i++) score += (double)q[i] * number[i];
      score *= (double)a->scale;
      if (a->softcap != 0) score = (double)a->softcap * tanh(score / (double)a->softcap);
      if (a->slopes) score -= (double)a->slopes[row % a->heads] * (double)(end - 1 - j);
      if (pass == 0) {
        largest = score > largest ? score : largest;
        continue;
      }
      double weight = exp(score - largest);
      zh_kv_values(number, kv, sequence, head, j, j + 1);
      for (size_t i = 0; i < value_dim; i++) sum[i] += weight * number[i];
      total += weight;
    }
  if (a->sinks) total += exp((double)a->sinks[row % a->heads] - largest);
  for (size_t i = 0; i < value_dim; i++) a->out[row * value_dim + i] = (float)(sum[i] / total);
}

void zh_attention_merge_ref(const zh_attention *a, size_t begin, size_t end, void *scratch) {
  double *sum = scratch;
  for (size_t row = begin; row < end; row++)
    attend_row(a, row, sum, (float *)(void *)(sum + a->kv->head_dim));
}

/* Where there are parts it needs none: merging does it all. */
void zh_attention_ref(const zh_attention *a, size_t begin, size_t end, void *scratch) {
  size_t kv_heads = a->kv->kv_heads, group = a->heads / kv_heads;
  for (size_t item = begin; item < end && !a->parts; item++) {
    size_t t = item / kv_heads * a->run, until = t + a->run < a->tokens ? t + a->run : a->tokens;
    for (; t < until; t++) {
      size_t row = t * a->heads + item % kv_heads * group;
      zh_attention_merge_ref(a, row, row + group, scratch);
    }
  }
}
