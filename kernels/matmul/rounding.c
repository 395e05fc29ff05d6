/* What the operands of products become: the meaning of zh_rounding, in plain C. */
#include "kernels/matmul/packed.h"

#include <math.h>
#include <string.h>

#include "kernels/device.h"

static const char *const names[ZH_ROUNDINGS] = {[ZH_ROUND_NONE] = "none",
                                                [ZH_ROUND_BF16] = "bf16",
                                                [ZH_ROUND_BYTES] = "bytes",
                                                [ZH_ROUND_TWO_BYTES] = "bytes2",
                                                [ZH_ROUND_BF16_INPUTS] = "bf16-inputs",
                                                [ZH_ROUND_E4M3_INPUTS] = "e4m3-inputs"};

const char *zh_rounding_name(zh_rounding rounding) {
  return names[rounding];
}

bool zh_rounding_find(zh_rounding *out, const char *name) {
  for (int i = 0; name && i < ZH_ROUNDINGS; i++)
    if (strcmp(name, names[i]) == 0) {
      *out = (zh_rounding)i;
      return true;
    }
  return false;
}

zh_rounding zh_rounding_of(const zh_roundings *table, zh_dtype type, zh_way way) {
  bool held = zh_packs(type) || type == ZH_F8_E4M3; /* on accelerators */
  if (type == ZH_F32 || type == ZH_F16 || !held) return ZH_ROUND_NONE;
  if (type == ZH_BF16) return table->bf16;
  return way == ZH_FEW ? table->few : way == ZH_MANY ? table->many : table->fine;
}

static void to_bf16(float *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = zh_bf16_to_f32(zh_f32_to_bf16(x[i]));
}

static void to_integers(float *y, const float *x, size_t columns, float largest) {
  for (size_t first = 0; first < columns; first += 32) {
    size_t end = columns - first < 32 ? columns : first + 32;
    float most = 0;
    for (size_t i = first; i < end; i++) most = fmaxf(most, fabsf(x[i]));
    float inverse = most > 0 ? largest / most : 0, scale = most / largest;
    for (size_t i = first; i < end; i++) y[i] = scale * rintf(x[i] * inverse);
  }
}

static void to_e4m3(float *y, const float *x, size_t columns) {
  memmove(y, x, columns * sizeof *y);
  for (size_t first = 0; first < columns; first += ZH_E4M3_GROUP) {
    size_t left = columns - first;
    zh_device_kv_round(y + first, ZH_DEVICE_KV_E4M3, left < ZH_E4M3_GROUP ? left : ZH_E4M3_GROUP);
  }
}

void zh_rounded(float *y, zh_rounding rounding, const float *x, size_t columns) {
  if (rounding == ZH_ROUND_BF16 || rounding == ZH_ROUND_BF16_INPUTS)
    to_bf16(y, x, columns);
  else if (rounding == ZH_ROUND_BYTES)
    to_integers(y, x, columns, 127);
  else if (rounding == ZH_ROUND_TWO_BYTES)
    to_integers(y, x, columns, ZH_TWO_BYTES_MOST);
  else if (rounding == ZH_ROUND_E4M3_INPUTS)
    to_e4m3(y, x, columns);
  else
    memmove(y, x, columns * sizeof *y);
}

void zh_rounded_weights(float *row, zh_rounding rounding, size_t columns) {
  if (rounding == ZH_ROUND_BF16) to_bf16(row, row, columns);
}

/* An instruction adds 32 products to the sum before it. All of them are cut to 13 bits below the
 * largest, hence by less than a step of 2^-13 of it each: upwards those below zero, downwards those
 * above. So a sum is too small by no more steps than it has products above zero, and too large by
 * no more than it has below; two more for the sum before it and the one behind it. */
double zh_rounding_loss(zh_rounding rounding, const float *w, const float *x, size_t columns) {
  enum { AT_ONCE = 32 };
  double sum = 0, above = 0, below = 0;
  if (rounding != ZH_ROUND_E4M3_INPUTS) return 0;
  for (size_t first = 0; first < columns; first += AT_ONCE) {
    size_t end = columns - first < AT_ONCE ? columns : first + AT_ONCE, positive = 2, negative = 2;
    if (first % ZH_E4M3_GROUP == 0) sum = 0; /* what stood there has gone over to fp32 */
    double most = fabs(sum);
    for (size_t i = first; i < end; i++) {
      double term = (double)w[i] * x[i];
      most = fmax(most, fabs(term));
      sum += term;
      positive += term > 0;
      negative += term < 0;
    }
    most = fmax(most, fabs(sum));
    above += (double)positive * most;
    below += (double)negative * most;
  }
  return 0x1p-13 * fmax(above, below);
}
