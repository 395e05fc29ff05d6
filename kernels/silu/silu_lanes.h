/* SiLU times a second factor, and sums, LANES numbers at a time; the file that includes this
 * defines LANES and NAME(x). */
#include "kernels/lanes.h"
#include "kernels/variants.h"

ALWAYS_INLINE void multiply(float *y, const float *gate, const float *up) {
  vf g = load_f32(gate);
  store_f32(y, g / (1.0f + exp_lanes(-g)) * load_f32(up));
}

void NAME(zh_silu_multiply)(float *y, const float *gate, const float *up, size_t begin,
                            size_t end) {
  size_t i = begin;
  for (; i + LANES <= end; i += LANES) multiply(y + i, gate + i, up + i);
  if (i == end) return;
  float g[LANES] = {0}, u[LANES] = {0};
  memcpy(g, gate + i, (end - i) * sizeof *g);
  memcpy(u, up + i, (end - i) * sizeof *u);
  multiply(g, g, u);
  memcpy(y + i, g, (end - i) * sizeof *g);
}

void NAME(zh_add)(float *y, const float *x, size_t begin, size_t end) {
  size_t i = begin;
  for (; i + LANES <= end; i += LANES) store_f32(y + i, load_f32(y + i) + load_f32(x + i));
  for (; i < end; i++) y[i] += x[i];
}
