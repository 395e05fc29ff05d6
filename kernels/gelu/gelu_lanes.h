/* GELU times a second factor, LANES numbers at a time; the file that includes this defines LANES
 * and NAME(x). */
#include "kernels/lanes.h"
#include "kernels/variants.h"

/* x times the normal distribution's share below x. With z = |x| / sqrt(2), t = 1 / (1 + 0.3275911
 * z), erfc(z) = t (a1 + t (a2 + …)) exp(-z^2) within 1.5e-7 (Abramowitz and Stegun 7.1.26); below 0
 * the share is half of that, above 0 what it leaves of 1. */
ALWAYS_INLINE vf gelu(vf x) {
  vf magnitude = (vf)((vi)x & 0x7fffffff);
  vf t = 1.0f / (1.0f + magnitude * (0.3275911f * 0.70710678f));
  vf p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  vf tail = 0.5f * (p * t) * exp_lanes(x * x * -0.5f);
  return x * select_f32(x > 0.0f, 1.0f - tail, tail);
}

ALWAYS_INLINE vf gelu_tanh(vf x) {
  vf twice = x * -1.5957691216f * (1.0f + 0.044715f * (x * x));
  return x / (1.0f + exp_lanes(twice));
}

ALWAYS_INLINE void multiply(float *y, const float *gate, const float *up, bool tanh_form) {
  vf g = load_f32(gate), activated = tanh_form ? gelu_tanh(g) : gelu(g);
  store_f32(y, activated * load_f32(up));
}

ALWAYS_INLINE void multiply_all(float *y, const float *gate, const float *up, size_t begin,
                                size_t end, bool tanh_form) {
  size_t i = begin;
  for (; i + LANES <= end; i += LANES) multiply(y + i, gate + i, up + i, tanh_form);
  if (i == end) return;
  float g[LANES] = {0}, u[LANES] = {0};
  memcpy(g, gate + i, (end - i) * sizeof *g);
  memcpy(u, up + i, (end - i) * sizeof *u);
  multiply(g, g, u, tanh_form);
  memcpy(y + i, g, (end - i) * sizeof *g);
}

void NAME(zh_gelu_multiply)(float *y, const float *gate, const float *up, size_t begin,
                            size_t end) {
  multiply_all(y, gate, up, begin, end, false);
}

void NAME(zh_gelu_tanh_multiply)(float *y, const float *gate, const float *up, size_t begin,
                                 size_t end) {
  multiply_all(y, gate, up, begin, end, true);
}
