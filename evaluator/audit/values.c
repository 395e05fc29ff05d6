/* Values of a row as fp32, for every element type that stands for numbers by itself. */
#include <math.h>
#include <string.h>

#include "evaluator/audit/audit.h"
#include "evaluator/audit/dense.h"

bool zh_values_known(zh_dtype type) {
  return zh_dtype_is_weight(type) || type == ZH_F64 || type == ZH_F8_E4M3 || type == ZH_F8_E5M2;
}

/* OCP 8-bit floating point: E4M3 (bias 7, no infinity) and E5M2 (bias 15). */
static float f8_value(unsigned char bits, int mantissa_bits, int bias) {
  int exponent = (bits & 0x7f) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
  float sign = bits & 0x80 ? -1.0f : 1.0f, one = (float)(1 << mantissa_bits);
  if (exponent == 0) return sign * ldexpf((float)mantissa / one, 1 - bias);
  return sign * ldexpf(1.0f + (float)mantissa / one, exponent - bias);
}

static void plain_row(float *out, const zh_grid *unit, uint64_t row) {
  const unsigned char *bytes = unit->data + row * unit->row_bytes;
  zh_dtype type = unit->tensor->type;
  if (type == ZH_F32) {
    memcpy(out, bytes, (size_t)unit->columns * sizeof *out);
    return;
  }
  if (type == ZH_BF16) {
    zh_dense_choose()->bf16(out, bytes, (size_t)unit->columns);
    return;
  }
  if (zh_dtype_is_weight(type)) {
    zh_dequantize_row_fast(out, bytes, type, (size_t)unit->columns);
    return;
  }
  for (uint64_t i = 0; i < unit->columns; i++) {
    double wide = 0;
    if (type == ZH_F64) memcpy(&wide, bytes + 8 * i, sizeof wide);
    out[i] = type == ZH_F64       ? (float)wide
             : type == ZH_F8_E4M3 ? f8_value(bytes[i], 3, 7)
                                  : f8_value(bytes[i], 2, 15);
  }
}

void zh_values_row(float *out, const zh_grid *unit, uint64_t row) {
  if (unit->packing != ZH_PACK_NONE && unit->packing != ZH_PACK_F8_BLOCKS) {
    zh_packing_row(out, unit, row);
    return;
  }
  plain_row(out, unit, row);
  if (unit->packing == ZH_PACK_F8_BLOCKS) zh_packing_scale_row(out, unit, row);
}
