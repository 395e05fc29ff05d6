#include "core/halves.h"

#include <string.h>

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

float zh_f16_to_f32(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u;
  uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24, exact in fp32 */
    float magnitude = (float)mantissa * 0x1p-24f;
    return float_of_bits(sign | bits_of_float(magnitude));
  }
  if (exponent == 31) /* infinity; NaN is made quiet, as F16C does */
    return float_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
  return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t zh_f32_to_f16(float value) {
  uint32_t bits = bits_of_float(value), magnitude = bits & 0x7fffffffu;
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round up */
  if (magnitude < 0x38800000u) { /* below 2^-14: 0.5 has an ulp of 2^-24, so the sum rounds there */
    float shifted = float_of_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (bits_of_float(shifted) - 0x3f000000u));
  }
  magnitude += 0xfffu + (magnitude >> 13 & 1u); /* to nearest, ties to even */
  return (uint16_t)(sign | (magnitude - 0x38000000u) >> 13);
}

float zh_bf16_to_f32(uint16_t bits) {
  return float_of_bits((uint32_t)bits << 16);
}

uint16_t zh_f32_to_bf16(float value) {
  uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
