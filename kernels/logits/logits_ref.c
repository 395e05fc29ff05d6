#include "kernels/variants.h"

#include <math.h>

size_t zh_argmax_ref(const float *x, size_t count) {
  size_t best = 0;
  for (size_t i = 0; i < count; i++) {
    if (isnan(x[i])) return SIZE_MAX;
    if (x[i] > x[best]) best = i;
  }
  return count ? best : SIZE_MAX;
}

double zh_logsumexp_ref(const float *x, size_t count) {
  float largest = -INFINITY;
  for (size_t i = 0; i < count; i++) {
    if (isnan(x[i])) return NAN;
    if (x[i] > largest) largest = x[i];
  }
  if (isinf(largest)) return largest; /* every term zero, or one without bound */
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += exp((double)x[i] - largest);
  return log(sum) + largest;
}
