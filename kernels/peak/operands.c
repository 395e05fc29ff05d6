#include "kernels/peak/peak.h"

#include "core/philox.h"

#include <math.h>

void zh_fma_state(float *x, float *y, float *h, size_t count, uint64_t seed, uint64_t block) {
  zh_normal_fill(x, count, seed, 3 * block, 0, 1.0f);
  zh_normal_fill(y, count, seed, 3 * block + 1, 0, 1.0f);
  zh_normal_fill(h, count, seed, 3 * block + 2, 0, 0.2f);
  for (size_t i = 0; i < count; i++) h[i] = 0.5f + fabsf(h[i]);
}

void zh_fma_mirrors_state(zh_fma_mirrors *m, size_t count, size_t turns, uint64_t seed,
                          uint64_t block) {
  zh_fma_state(m->x, m->far, m->there, count, seed, block);
  for (size_t i = 0; i < count; i++) {
    m->back[i] = 1 / m->there[i];
    m->near[i] = m->far[i] / m->there[i % turns];
  }
}

double zh_fma_fold(const float *x, const float *y, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)(i + 1) * ((double)x[i] + 2 * (double)y[i]);
  return sum;
}

static int on_grid(float normal, float scale, int limit) {
  long steps = lrintf(normal * scale);
  return steps > limit ? limit : steps < -limit ? -limit : (int)steps;
}

/* out[i] = round(scale z), within +-limit */
static void grid_fill(int16_t *out, size_t count, uint64_t seed, uint64_t stream, float scale,
                      int limit) {
  float z[256];
  for (size_t first = 0; first < count; first += 256) {
    size_t now = count - first < 256 ? count - first : 256;
    zh_normal_fill(z, now, seed, stream, first, 1.0f);
    for (size_t i = 0; i < now; i++) out[first + i] = (int16_t)on_grid(z[i], scale, limit);
  }
}

void zh_bf16_operands(int16_t *left, size_t steps, size_t left_count, int16_t *right,
                      size_t right_count, uint64_t seed) {
  size_t half = steps / 2 * left_count;
  grid_fill(left, half, seed, 0, 64, 254);
  for (size_t i = 0; i < half; i++) left[half + i] = (int16_t)(1 - left[i]);
  grid_fill(right, right_count, seed, 1, 64, 255);
}

uint16_t zh_bf16_of_grid(int16_t steps) {
  return zh_f32_to_bf16((float)steps * 0x1p-6f);
}

void zh_bf16_fold(uint64_t *checksum, const float *sums, size_t count) {
  for (size_t i = 0; i < count; i++) *checksum += (i + 1) * (uint64_t)(int64_t)(sums[i] * 0x1p12f);
}

void zh_int8_operands(int8_t *out, size_t count, uint64_t seed, uint64_t stream,
                      bool non_negative) {
  int16_t wide[2048];
  for (size_t first = 0; first < count; first += 2048) {
    size_t now = count - first < 2048 ? count - first : 2048;
    grid_fill(wide, now, seed, stream, 32, 127);
    for (size_t i = 0; i < now; i++)
      out[first + i] = (int8_t)(non_negative && wide[i] < 0 ? -wide[i] : wide[i]);
  }
}

void zh_int8_fold(uint64_t *checksum, const int32_t *sums, size_t count) {
  for (size_t i = 0; i < count; i++) *checksum += (i + 1) * (uint64_t)(uint32_t)sums[i];
}

double zh_checksum_value(uint64_t checksum) {
  return (double)(checksum & ((1ull << 53) - 1));
}
