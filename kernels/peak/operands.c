#include "kernels/peak/peak.h"

#include "core/philox.h"

#include <math.h>

void zh_fma_state(float *x, float *y, float *h, size_t count, uint64_t seed, uint64_t block) {
  zh_normal_fill(x, count, seed, 3 * block, 0, 1.0f);
  zh_normal_fill(y, count, seed, 3 * block + 1, 0, 1.0f);
  zh_normal_fill(h, count, seed, 3 * block + 2, 0, 0.2f);
  for (size_t i = 0; i < count; i++) h[i] = 0.5f + fabsf(h[i]);
}

double zh_fma_fold(const float *x, const float *y, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)(i + 1) * ((double)x[i] + 2 * (double)y[i]);
  return sum;
}

static int16_t on_grid(float normal, float scale, int limit) {
  long steps = lrintf(normal * scale);
  if (steps > limit) steps = limit;
  if (steps < -limit) steps = -limit;
  return (int16_t)steps;
}

void zh_bf16_operands(int16_t *left, size_t steps, size_t left_count, int16_t *right,
                      size_t right_count, uint64_t seed) {
  float z;
  size_t half = steps / 2 * left_count;
  for (size_t i = 0; i < half; i++) {
    zh_normal_fill(&z, 1, seed, 0, i, 1.0f);
    left[i] = on_grid(z, 64, 254);
    left[half + i] = (int16_t)(1 - left[i]);
  }
  for (size_t i = 0; i < right_count; i++) {
    zh_normal_fill(&z, 1, seed, 1, i, 1.0f);
    right[i] = on_grid(z, 64, 255);
  }
}

uint16_t zh_bf16_of_grid(int16_t steps) {
  return zh_f32_to_bf16((float)steps * 0x1p-6f);
}

void zh_bf16_fold(uint64_t *checksum, const float *sums, size_t count) {
  for (size_t i = 0; i < count; i++) *checksum += (i + 1) * (uint64_t)(int64_t)(sums[i] * 0x1p12f);
}

void zh_int8_operands(int8_t *out, size_t count, uint64_t seed, uint64_t stream,
                      bool non_negative) {
  float z;
  for (size_t i = 0; i < count; i++) {
    zh_normal_fill(&z, 1, seed, stream, i, 1.0f);
    out[i] = (int8_t)on_grid(non_negative ? fabsf(z) : z, 32, 127);
  }
}

void zh_int8_fold(uint64_t *checksum, const int32_t *sums, size_t count) {
  for (size_t i = 0; i < count; i++) *checksum += (i + 1) * (uint64_t)(uint32_t)sums[i];
}

double zh_checksum_value(uint64_t checksum) {
  return (double)(checksum & ((1ull << 53) - 1));
}
