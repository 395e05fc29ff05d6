/* Numbers as devices hold them. E4M3: OCP 8-bit floating point, 1 sign, 4 exponent (bias 7) and 3
 * mantissa bits, no infinity, largest 448. */
#include <math.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "core/halves.h"

enum { E4M3_BIAS = 7, E4M3_LARGEST = 448 };

size_t zh_number_bytes(zh_device_number number) {
  switch (number) {
  case ZH_NUMBER_F64:
    return 8;
  case ZH_NUMBER_F32:
  case ZH_NUMBER_TF32:
    return 4;
  case ZH_NUMBER_BF16:
  case ZH_NUMBER_F16:
    return 2;
  default:
    return 1;
  }
}

static uint8_t e4m3_of(double value) {
  uint8_t sign = signbit(value) ? 0x80 : 0;
  double size = fmin(fabs(value), E4M3_LARGEST);
  int exponent = 0;
  if (size == 0) return sign;
  (void)frexp(size, &exponent); /* size in [2^(exponent - 1), 2^exponent) */
  int lowest = 1 - E4M3_BIAS, unit = (exponent - 1 < lowest ? lowest : exponent - 1) - 3;
  int steps = (int)rint(ldexp(size, -unit)); /* 8 to 16, less below the normal numbers */
  return (uint8_t)(sign + (unit - lowest + 3) * 8 + steps);
}

static double e4m3_value(uint8_t bits) {
  int exponent = bits >> 3 & 15, mantissa = bits & 7;
  double size = exponent > 0 ? ldexp(8 + mantissa, exponent - E4M3_BIAS - 3)
                             : ldexp(mantissa, 1 - E4M3_BIAS - 3);
  return bits & 0x80 ? -size : size;
}

void zh_number_put(void *out, size_t i, zh_device_number number, double value) {
  switch (number) {
  case ZH_NUMBER_F64:
    ((double *)out)[i] = value;
    break;
  case ZH_NUMBER_F32:
  case ZH_NUMBER_TF32: /* the unit itself takes what it holds of a float */
    ((float *)out)[i] = (float)value;
    break;
  case ZH_NUMBER_BF16:
    ((uint16_t *)out)[i] = zh_f32_to_bf16((float)value);
    break;
  case ZH_NUMBER_F16:
    ((uint16_t *)out)[i] = zh_f32_to_f16((float)value);
    break;
  case ZH_NUMBER_E4M3:
    ((uint8_t *)out)[i] = e4m3_of(value);
    break;
  case ZH_NUMBER_INT8:
    ((int8_t *)out)[i] = (int8_t)fmax(-127, fmin(127, rint(value)));
    break;
  }
}

double zh_number_at(const void *in, size_t i, zh_device_number number) {
  switch (number) {
  case ZH_NUMBER_F64:
    return ((const double *)in)[i];
  case ZH_NUMBER_F32:
  case ZH_NUMBER_TF32:
    return (double)((const float *)in)[i];
  case ZH_NUMBER_BF16:
    return (double)zh_bf16_to_f32(((const uint16_t *)in)[i]);
  case ZH_NUMBER_F16:
    return (double)zh_f16_to_f32(((const uint16_t *)in)[i]);
  case ZH_NUMBER_E4M3:
    return e4m3_value(((const uint8_t *)in)[i]);
  case ZH_NUMBER_INT8:
    return ((const int8_t *)in)[i];
  }
  return NAN;
}
