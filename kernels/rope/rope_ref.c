#include "kernels/variants.h"

#include <math.h>

void zh_rope_angles(float *angles, const double *frequency, size_t pairs, double factor,
                    const uint32_t *position, size_t begin, size_t end) {
  for (size_t i = 0; i < pairs; i++)
    for (size_t t = begin; t < end; t++) {
      double angle = position[t] * frequency[i];
      angles[t * 2 * pairs + i] = (float)(factor * cos(angle));
      angles[t * 2 * pairs + pairs + i] = (float)(factor * sin(angle));
    }
}

void zh_rope_ref(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,
                 bool interleaved, const float *angles, size_t begin, size_t end) {
  size_t pairs = rope_dims / 2;
  for (size_t t = begin; t < end; t++)
    for (size_t h = 0; h < heads; h++)
      for (size_t i = 0; i < pairs; i++) {
        size_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + pairs;
        double cosine = angles[t * 2 * pairs + i], sine = angles[t * 2 * pairs + pairs + i];
        float *head = x + t * x_stride + h * head_dim;
        double a = head[first], b = head[second];
        head[first] = (float)(a * cosine - b * sine);
        head[second] = (float)(a * sine + b * cosine);
      }
}
