#include "kernels/variants.h"

#include <math.h>

void zh_gelu_multiply_ref(float *y, const float *gate, const float *up, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++)
    y[i] = (float)(gate[i] * 0.5 * erfc(-(double)gate[i] * 0x1.6a09e667f3bcdp-1) * up[i]);
}

/* (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)). */
void zh_gelu_tanh_multiply_ref(float *y, const float *gate, const float *up, size_t begin,
                               size_t end) {
  for (size_t i = begin; i < end; i++) {
    double x = gate[i], z = 0x1.9884533d43651p-1 * (x + 0.044715 * x * x * x); /* sqrt(2 / pi) */
    y[i] = (float)(x / (1 + exp(-2 * z)) * up[i]);
  }
}
