#include "kernels/variants.h"

#include <math.h>

enum {
  CHUNK = 64
}; /* output elements summed at once, so that no memory is needed for their fp64 sums */

/* weight[j] = exp(scale q·k[j] - largest), j < count; returns their sum. k rows are k_stride apart.
 */
static double softmax_weights(float *weight, const float *q, const float *k, size_t k_stride,
                              size_t head_dim, size_t count, float scale) {
  float largest = -INFINITY;
  for (size_t j = 0; j < count; j++) {
    double dot = 0;
    for (size_t i = 0; i < head_dim; i++) dot += (double)q[i] * k[j * k_stride + i];
    weight[j] = (float)(dot * scale);
    if (weight[j] > largest) largest = weight[j];
  }
  double total = 0;
  for (size_t j = 0; j < count; j++) {
    weight[j] = (float)exp((double)weight[j] - largest);
    total += weight[j];
  }
  return total;
}

void zh_attention_ref(float *out, const float *q, const float *k_cache, const float *v_cache,
                      size_t cache_stride, size_t heads, size_t kv_heads, size_t head_dim,
                      const uint32_t *position, const uint32_t *sequence, float scale, size_t begin,
                      size_t end, float *scratch) {
  size_t row = kv_heads * head_dim; /* of the caches: [capacity][kv_heads][head_dim] */
  for (size_t item = begin; item < end; item++) {
    size_t t = item / heads, h = item % heads, count = (size_t)position[t] + 1;
    size_t offset = sequence[t] * cache_stride + h / (heads / kv_heads) * head_dim;
    const float *v = v_cache + offset;
    double total = softmax_weights(scratch, q + item * head_dim, k_cache + offset, row, head_dim,
                                   count, scale);
    for (size_t first = 0; first < head_dim; first += CHUNK) {
      size_t width = head_dim - first < CHUNK ? head_dim - first : CHUNK;
      double sum[CHUNK] = {0};
      for (size_t j = 0; j < count; j++)
        for (size_t i = 0; i < width; i++) sum[i] += (double)scratch[j] * v[j * row + first + i];
      for (size_t i = 0; i < width; i++) out[item * head_dim + first + i] = (float)(sum[i] / total);
    }
  }
}
