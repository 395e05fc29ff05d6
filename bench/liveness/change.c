#include "bench/liveness/change.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

enum { RUN = 32, BLOCK_ELEMENTS_MAX = 256 };

static double rms_of(const float *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += (double)values[i] * (double)values[i];
  return sqrt(sum / (double)count);
}

static void store(unsigned char *at, zh_dtype type, float value) {
  uint16_t half = type == ZH_F16 ? zh_f32_to_f16(value) : zh_f32_to_bf16(value);
  if (type == ZH_F32)
    memcpy(at, &value, sizeof value);
  else
    memcpy(at, &half, sizeof half);
}

static zh_change_result change_float(unsigned char *row, const zh_dtype_info *type, size_t columns,
                                     size_t column, float *was, float *is) {
  float group[RUN];
  size_t first = column / RUN * RUN, count = columns - first < RUN ? columns - first : RUN;
  zh_dequantize_row(group, row + first * type->block_bytes, type->type, count);
  double rms = rms_of(group, count);
  *was = *is = group[column - first];
  if (rms == 0) return ZH_CHANGE_ALL_ZERO;
  unsigned char *at = row + column * type->block_bytes;
  store(at, type->type, (float)((double)*was - copysign(rms, (double)*was)));
  zh_dequantize_row(is, at, type->type, 1);
  return isfinite(*is) && *is != *was ? ZH_CHANGED : ZH_CHANGE_STUCK;
}

/* How far a flipped bit is from the aim, as a ratio; infinite where it changes another scalar too
 * or leaves this one as it is. */
static double judge(const float *before, const float *after, size_t count, size_t at, double aim) {
  for (size_t i = 0; i < count; ++i)
    if (i != at && memcmp(&before[i], &after[i], sizeof *before) != 0) return INFINITY;
  double step = fabs((double)after[at] - (double)before[at]);
  return step > 0 && isfinite(step) ? fabs(log(step / aim)) : INFINITY;
}

/* The formats' layouts are not told here: each bit of the block is tried, and the kernels say which
 * values it changes. */
static zh_change_result change_code(unsigned char *block, const zh_dtype_info *type, size_t at,
                                    float *was, float *is) {
  float before[BLOCK_ELEMENTS_MAX], after[BLOCK_ELEMENTS_MAX];
  size_t count = type->block_elements, best_bit = 0;
  zh_dequantize_row(before, block, type->type, count);
  double rms = rms_of(before, count), best = INFINITY;
  *was = *is = before[at];
  if (rms == 0) return ZH_CHANGE_ALL_ZERO;
  for (size_t bit = 0; bit < (size_t)type->block_bytes * 8; ++bit) {
    unsigned char mask = (unsigned char)(1u << (bit % 8));
    block[bit / 8] ^= mask;
    zh_dequantize_row(after, block, type->type, count);
    block[bit / 8] ^= mask;
    double distance = judge(before, after, count, at, rms);
    if (distance >= best) continue;
    best = distance;
    best_bit = bit;
    *is = after[at];
  }
  if (!isfinite(best)) return ZH_CHANGE_STUCK;
  block[best_bit / 8] ^= (unsigned char)(1u << (best_bit % 8));
  return ZH_CHANGED;
}

zh_change_result zh_change_scalar(unsigned char *row, zh_dtype type, size_t columns, size_t column,
                                  float *was, float *is) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  if (info->block_elements == 1) return change_float(row, info, columns, column, was, is);
  size_t block = column / info->block_elements;
  return change_code(row + block * info->block_bytes, info, column % info->block_elements, was, is);
}
