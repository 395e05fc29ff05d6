/* RMSNorm, LANES numbers at a time; the file that includes this defines LANES and NAME(x). */
#include "kernels/lanes.h"
#include "kernels/variants.h"

/* Four vectors of partial sums, for the latency of a fused step. */
static float sum_of_squares(const float *x, size_t columns) {
  vf sum[4] = {{0}};
  float rest[LANES] = {0};
  size_t i = 0;
  for (; i + 4 * LANES <= columns; i += 4 * LANES)
    for (size_t k = 0; k < 4; k++) {
      vf v = load_f32(x + i + k * LANES);
      sum[k] = v * v + sum[k];
    }
  for (; i + LANES <= columns; i += LANES) {
    vf v = load_f32(x + i);
    sum[0] = v * v + sum[0];
  }
  memcpy(rest, x + i, (columns - i) * sizeof *rest);
  vf v = load_f32(rest);
  return sum_of_lanes((sum[0] + sum[1]) + (sum[2] + (v * v + sum[3])));
}

void NAME(zh_rmsnorm)(float *y, const float *x, const float *gain, size_t columns, float eps,
                      size_t begin, size_t end) {
  for (size_t t = begin; t < end; t++) {
    const float *in = x + t * columns;
    float *out = y + t * columns,
          scale = 1 / sqrtf(sum_of_squares(in, columns) / (float)columns + eps);
    size_t i = 0;
    for (; i + LANES <= columns; i += LANES)
      store_f32(out + i, load_f32(in + i) * scale * load_f32(gain + i));
    for (; i < columns; i++) out[i] = in[i] * scale * gain[i];
  }
}
