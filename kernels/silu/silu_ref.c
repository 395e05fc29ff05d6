#include "kernels/variants.h"

#include <math.h>

void zh_silu_multiply_ref(float *y, const float *gate, const float *up, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++)
    y[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

void zh_add_ref(float *y, const float *x, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) y[i] += x[i];
}
