#include "tests/kernelcheck/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct attention_case {
  size_t heads, kv_heads, head_dim, capacity, tokens;
  uint32_t *position, *sequence;
  float *q, *k, *v, *out, *scratch;
  float scale;
} attention_case;

static void run(const zh_kernels *kernels, const attention_case *c, float *out, size_t begin,
                size_t end) {
  size_t stride = c->capacity * c->kv_heads * c->head_dim;
  kernels->attention(out, c->q, c->k, c->v, stride, c->heads, c->kv_heads, c->head_dim, c->position,
                     c->sequence, c->scale, begin, end, c->scratch);
}

/* A score is off by at most s = gamma(head_dim + 2) scale sum |q k| (each fp32 sum, the scaling,
 * the subtraction of the largest is exact to u of a difference below twice the largest score); exp
 * adds 4u. A weight is then off by a factor exp(+-s) (1 +- 4u), so is their sum with gamma(count),
 * and the mix of values has gamma(count) sum p |v| of its own: |out - exact| <= (2 s + 8u + 2
 * gamma(count + 2)) sum p |v| to first order; the factor 1.01 covers the rest. */
static double item_error(const attention_case *c, size_t item) {
  size_t t = item / c->heads, h = item % c->heads, count = (size_t)c->position[t] + 1;
  size_t row = c->kv_heads * c->head_dim;
  size_t offset = c->sequence[t] * c->capacity * row + h / (c->heads / c->kv_heads) * c->head_dim;
  const float *q = c->q + item * c->head_dim;
  double *p = zeroed(count * sizeof *p), largest = -INFINITY, size = 0, total = 0, worst = 0;
  for (size_t j = 0; j < count; j++) {
    double dot = 0, absolute = 0;
    for (size_t i = 0; i < c->head_dim; i++) {
      double product = (double)q[i] * c->k[offset + j * row + i];
      dot += product;
      absolute += fabs(product);
    }
    p[j] = dot * (double)c->scale;
    largest = fmax(largest, p[j]);
    size = fmax(size, absolute * (double)c->scale);
  }
  for (size_t j = 0; j < count; j++) total += p[j] = exp(p[j] - largest);
  double s = gamma_of((double)c->head_dim + 2) * size + 2 * 0x1p-24 * size;
  double factor = 1.01 * (2 * s + 8 * 0x1p-24 + 2 * gamma_of((double)count + 2));
  for (size_t i = 0; i < c->head_dim; i++) {
    double exact = 0, mixed = 0;
    for (size_t j = 0; j < count; j++) {
      double v = c->v[offset + j * row + i];
      exact += p[j] / total * v;
      mixed += p[j] / total * fabs(v);
    }
    worst = worse(worst, c->out[item * c->head_dim + i], exact, factor * mixed);
  }
  free(p);
  return worst;
}

static void check_shape(const zh_kernels *kernels, size_t heads, size_t kv_heads, size_t head_dim,
                        uint32_t depth, float spread) {
  enum { TOKENS = 5, SEQUENCES = 2 };
  uint32_t position[TOKENS] = {0, 1, depth / 2, depth - 1, depth},
           sequence[TOKENS] = {0, 1, 0, 1, 1};
  attention_case c = {heads,
                      kv_heads,
                      head_dim,
                      depth + 1,
                      TOKENS,
                      position,
                      sequence,
                      NULL,
                      NULL,
                      NULL,
                      NULL,
                      NULL,
                      1 / sqrtf((float)head_dim)};
  size_t cache = SEQUENCES * c.capacity * kv_heads * head_dim, items = TOKENS * heads;
  size_t bytes = items * head_dim * sizeof(float);
  c.q = normal_floats(items * head_dim, spread);
  c.k = normal_floats(cache, 1);
  c.v = normal_floats(cache, 1);
  c.out = zeroed(bytes);
  c.scratch = zeroed((c.capacity + 16) * sizeof(float));
  run(kernels, &c, c.out, 0, items);
  double worst = 0;
  for (size_t item = 0; item < items; item++) worst = fmax(worst, item_error(&c, item));
  float *divided = zeroed(bytes);
  for (size_t item = 0; item < items; item++) run(kernels, &c, divided, item, item + 1);
  worst = unless_equal(worst, divided, c.out, bytes);
  char shape[64];
  snprintf(shape, sizeof shape, "%zu/%zu heads of %zu, depth %u, spread %g", heads, kv_heads,
           head_dim, depth, (double)spread);
  check_report("attention", kernels->name, shape, worst);
  free(c.q);
  free(c.k);
  free(c.v);
  free(c.out);
  free(c.scratch);
  free(divided);
}

void check_attention(const zh_kernels *kernels) {
  check_shape(kernels, 9, 3, 64, 100, 1);
  check_shape(kernels, 4, 4, 128, 37, 1);
  check_shape(kernels, 2, 1, 80, 515, 1);
  check_shape(kernels, 3, 1, 5, 18, 1);
  check_shape(kernels, 4, 2, 64, 200, 10); /* weights near one-hot: most exponentials vanish */
}
