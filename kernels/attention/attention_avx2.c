#include "kernels/lanes_avx2.h"
#include "kernels/variants.h"

#include <math.h>

ALWAYS_INLINE __m256 load_dims(const float *p, size_t i, size_t head_dim) {
  return i + 8 <= head_dim ? _mm256_loadu_ps(p + i)
                           : _mm256_maskload_ps(p + i, lanes8(head_dim - i));
}

/* score[j] = scale q·k[j], four keys at once; returns the largest. Each dot product has one vector
 * of sums. */
static float score_keys(float *score, const float *q, const float *k, size_t k_stride,
                        size_t head_dim, size_t count, float scale) {
  float largest = -INFINITY;
  for (size_t j = 0; j < count; j += 4) {
    size_t now = count - j < 4 ? count - j : 4;
    const float *key = k + j * k_stride;
    __m256 sum[4];
    for (size_t n = 0; n < 4; n++) sum[n] = _mm256_setzero_ps();
    for (size_t i = 0; i < head_dim; i += 8) {
      __m256 value = load_dims(q, i, head_dim);
      for (size_t n = 0; n < 4;
           n++) /* past the end the last key once more: its score is not kept */
        sum[n] = _mm256_fmadd_ps(
            value, load_dims(key + (n < now ? n : now - 1) * k_stride, i, head_dim), sum[n]);
    }
    float scores[4];
    _mm_storeu_ps(scores, _mm_mul_ps(sum4(sum[0], sum[1], sum[2], sum[3]), _mm_set1_ps(scale)));
    for (size_t n = 0; n < now; n++) {
      score[j + n] = scores[n];
      if (scores[n] > largest) largest = scores[n];
    }
  }
  return largest;
}

/* score[j] = exp(score[j] - largest); returns their sum. */
static float exponentials(float *score, size_t count, float largest) {
  __m256 total = _mm256_setzero_ps();
  for (size_t j = 0; j < count; j += 8) {
    __m256i mask = lanes8(count - j);
    __m256 e = exp8(_mm256_sub_ps(_mm256_maskload_ps(score + j, mask), _mm256_set1_ps(largest)));
    _mm256_maskstore_ps(score + j, mask, e);
    total = _mm256_add_ps(total, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
  }
  return sum1(total);
}

/* out[i] = sum over j of weight[j] v[j][i] / total, 64 elements at once. */
static void mix_values(float *out, const float *weight, const float *v, size_t v_stride,
                       size_t head_dim, size_t count, float total) {
  for (size_t first = 0; first < head_dim; first += 64) {
    __m256 sum[8];
    for (size_t n = 0; n < 8; n++) sum[n] = _mm256_setzero_ps();
    for (size_t j = 0; j < count; j++)
      for (size_t n = 0; n < 8 && first + 8 * n < head_dim; n++) {
        __m256 value = load_dims(v + j * v_stride, first + 8 * n, head_dim);
        sum[n] = _mm256_fmadd_ps(_mm256_set1_ps(weight[j]), value, sum[n]);
      }
    for (size_t n = 0; n < 8 && first + 8 * n < head_dim; n++) {
      size_t i = first + 8 * n;
      __m256 all = _mm256_div_ps(sum[n], _mm256_set1_ps(total));
      _mm256_maskstore_ps(out + i, lanes8(head_dim - i), all);
    }
  }
}

void zh_attention_avx2(float *out, const float *q, const float *k_cache, const float *v_cache,
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
