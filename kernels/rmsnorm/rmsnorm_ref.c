#include "kernels/variants.h"

#include <math.h>

void zh_rmsnorm_ref(float *y, const float *x, const float *gain, size_t columns, float eps,
                    size_t begin, size_t end) {
  for (size_t t = begin; t < end; t++) {
    const float *in = x + t * columns;
    float *out = y + t * columns;
    double squares = 0;
    for (size_t i = 0; i < columns; i++) squares += (double)in[i] * in[i];
    double scale = 1 / sqrt(squares / (double)columns + (double)eps);
    for (size_t i = 0; i < columns; i++) out[i] = (float)(gain[i] * (in[i] * scale));
  }
}
