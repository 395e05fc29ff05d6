/* Standard models in fp8: numbers of type E4M3 (arXiv:2209.05433), and a scale for each block of
 * 128 rows and columns, as DeepSeek-V3's files have them (arXiv:2412.19437, 3.3). Scales are powers
 * of two, the smallest that keeps every element of the rule's normal numbers in range, or twice
 * that, as drawn for the block: so number times scale has few bits, and BF16 holds it exactly. */
#include <math.h>

#include "core/philox.h"
#include "model/model.h"
#include "model/room.h"

/* |z| of zh_normal_fill is below 6.34; E4M3 ends at 448. */
static const double NORMAL_MOST = 6.34, E4M3_MOST = 448;

static uint64_t blocks_of(uint64_t count) {
  return (count + ZH_STANDARD_BLOCK - 1) / ZH_STANDARD_BLOCK;
}

/* Of the block in which the element lies. */
static float scale_at(const zh_tensor *t, uint64_t row, uint64_t column) {
  uint64_t blocks = blocks_of(t->shape[t->dims - 1]),
           index = row / ZH_STANDARD_BLOCK * blocks + column / ZH_STANDARD_BLOCK;
  int exponent = (int)ceil(log2(NORMAL_MOST * (double)t->scale / E4M3_MOST));
  uint32_t bits;
  zh_random_fill(&bits, 1, zh_standard_seed() + 1, t->stream, index);
  return ldexpf(1, exponent + (int)(bits & 1));
}

void zh_standard_scales_of(float *scales, const zh_tensor *t, uint64_t first, uint64_t rows,
                           uint64_t first_column, uint64_t columns) {
  for (uint64_t r = 0; r < rows; r += ZH_STANDARD_BLOCK)
    for (uint64_t c = 0; c < columns; c += ZH_STANDARD_BLOCK)
      *scales++ = scale_at(t, first + r, first_column + c);
}

void zh_standard_scales(float *scales, const zh_tensor *t, uint64_t first, uint64_t rows) {
  zh_standard_scales_of(scales, t, first, rows, 0, t->shape[t->dims - 1]);
}

/* To nearest, ties to even: in steps of an eighth of the power of two below it, and of 2^-9 below
 * 2^-6. */
static float rounded_e4m3(float x) {
  int exponent = x == 0 ? -6 : ilogbf(x);
  float step = ldexpf(1, (exponent < -6 ? -6 : exponent) - 3), y = rintf(x / step) * step;
  return fabsf(y) > (float)E4M3_MOST ? copysignf((float)E4M3_MOST, y) : y;
}

void zh_standard_round(float *values, size_t count, const zh_tensor *t, uint64_t index) {
  uint64_t columns = t->shape[t->dims - 1];
  float scale = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t row = (index + i) / columns, column = (index + i) % columns;
    if (scale == 0 || column % ZH_STANDARD_BLOCK == 0) scale = scale_at(t, row, column);
    values[i] = rounded_e4m3(values[i] / scale) * scale;
  }
}
