/* What the operands of products become: the meaning of zh_rounding, in plain C. */
#include "kernels/matmul/packed.h"

#include <math.h>
#include <string.h>

static const char *const names[ZH_ROUNDINGS] = {[ZH_ROUND_NONE] = "none",
                                                [ZH_ROUND_BF16] = "bf16",
                                                [ZH_ROUND_BYTES] = "bytes",
                                                [ZH_ROUND_TWO_BYTES] = "bytes2",
                                                [ZH_ROUND_BF16_INPUTS] = "bf16-inputs"};

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

void zh_rounded(float *y, zh_rounding rounding, const float *x, size_t columns) {
  if (rounding == ZH_ROUND_BF16 || rounding == ZH_ROUND_BF16_INPUTS)
    to_bf16(y, x, columns);
  else if (rounding == ZH_ROUND_BYTES)
    to_integers(y, x, columns, 127);
  else if (rounding == ZH_ROUND_TWO_BYTES)
    to_integers(y, x, columns, ZH_TWO_BYTES_MOST);
  else
    memmove(y, x, columns * sizeof *y);
}

void zh_rounded_weights(float *row, zh_rounding rounding, size_t columns) {
  if (rounding == ZH_ROUND_BF16) to_bf16(row, row, columns);
}
