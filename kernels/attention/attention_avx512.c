#include "kernels/lanes_avx512.h"
#include "kernels/variants.h"

#include <math.h>

ALWAYS_INLINE __m512 load_dims(const float *p, size_t i, size_t head_dim) {
  return _mm512_maskz_loadu_ps(lanes16(head_dim - i), p + i);
}

/* score[j] = scale q·k[j], four keys at once; returns the largest. Each dot product has one vector
 * of sums. */
static float score_keys(float *score, const float *q, const float *k, size_t k_stride,
                        size_t head_dim, size_t count, float scale) {
  float largest = -INFINITY;
  for (size_t j = 0; j < count; j += 4) {
    size_t now = count - j < 4 ? count - j : 4;
    const float *key = k + j * k_stride;
    __m512 sum[4];
    for (size_t n = 0; n < 4; n++) sum[n] = _mm512_setzero_ps();
    for (size_t i = 0; i < head_dim; i += 16) {
      __m512 value = load_dims(q, i, head_dim);
      for (size_t n = 0; n < 4;
           n++) /* past the end the last key once more: its score is not kept */
        sum[n] = _mm512_fmadd_ps(
            value, load_dims(key + (n < now ? n : now - 1) * k_stride, i, head_dim), sum[n]);
    }
    __m128 scores = _mm_mul_ps(sum4(sum[0], sum[1], sum[2], sum[3]), _mm_set1_ps(scale));
    _mm_mask_storeu_ps(score + j, (__mmask8)((1u << now) - 1), scores);
    for (size_t n = 0; n < now; n++)
      if (score[j + n] > largest) largest = score[j + n];
  }
  return largest;
}

/* score[j] = exp(score[j] - largest); returns their sum. */
static float exponentials(float *score, size_t count, float largest) {
  __m512 total = _mm512_setzero_ps();
  for (size_t j = 0; j < count; j += 16) {
    __mmask16 mask = lanes16(count - j);
    __m512 e =
        exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, score + j), _mm512_set1_ps(largest)));
    _mm512_mask_storeu_ps(score + j, mask, e);
    total = _mm512_mask_add_ps(total, mask, total, e);
  }
  return sum1(total);
}

/* out[i] = sum over j of weight[j] v[j][i] / total, 64 elements at once; even and odd keys apart,
 * for the latency. */
static void mix_values(float *out, const float *weight, const float *v, size_t v_stride,
                       size_t head_dim, size_t count, float total) {
  for (size_t first = 0; first < head_dim; first += 64) {
    __m512 sum[2][4];
    __mmask16 mask[4];
    for (size_t n = 0; n < 4; n++) {
      size_t i = first + 16 * n;
      mask[n] = i < head_dim ? lanes16(head_dim - i) : 0;
      sum[0][n] = sum[1][n] = _mm512_setzero_ps();
    }
    size_t j = 0;
    for (; j + 2 <= count; j += 2)
      for (size_t odd = 0; odd < 2; odd++)
        for (size_t n = 0; n < 4; n++) {
          __m512 value = _mm512_maskz_loadu_ps(mask[n], v + (j + odd) * v_stride + first + 16 * n);
          sum[odd][n] = _mm512_fmadd_ps(_mm512_set1_ps(weight[j + odd]), value, sum[odd][n]);
        }
    for (size_t n = 0; n < 4; n++) {
      if (j < count) {
        __m512 value = _mm512_maskz_loadu_ps(mask[n], v + j * v_stride + first + 16 * n);
        sum[0][n] = _mm512_fmadd_ps(_mm512_set1_ps(weight[j]), value, sum[0][n]);
      }
      __m512 all = _mm512_div_ps(_mm512_add_ps(sum[0][n], sum[1][n]), _mm512_set1_ps(total));
      _mm512_mask_storeu_ps(out + first + 16 * n, mask[n], all);
    }
  }
}

void zh_attention_avx512(float *out, const float *q, const float *k_cache, const float *v_cache,
                         size_t cache_stride, size_t heads, size_t kv_heads, size_t head_dim,
                         const uint32_t *position, const uint32_t *sequence, float scale,
                         size_t begin, size_t end, float *scratch) {
  size_t row = kv_heads * head_dim; /* of the caches: [capacity][kv_heads][head_dim] */
  for (size_t item = begin; item < end; item++) {
    size_t t = item / heads, h = item % heads, count = (size_t)position[t] + 1;
    size_t offset = sequence[t] * cache_stride + h / (heads / kv_heads) * head_dim;
    float largest =
        score_keys(scratch, q + item * head_dim, k_cache + offset, row, head_dim, count, scale);
    float total = exponentials(scratch, count, largest);
    mix_values(out + item * head_dim, scratch, v_cache + offset, row, head_dim, count, total);
  }
}
