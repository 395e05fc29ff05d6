/* Rows of fp32 as weights of another type. The legacy types are those of ggml's reference
 * quantisers (ggml-quants.c, quantize_row_*_ref), bit for bit as PyPI gguf gives them: a block's
 * scale comes from its largest magnitude (or its range), quanta are rounded from fp32 products. */
#include "kernels/quantize/quantize.h"

#include <math.h>
#include <string.h>

enum { RUN = 32 };

static void put_half(uint8_t *p, float value) {
  uint16_t half = zh_f32_to_f16(value);
  memcpy(p, &half, sizeof half);
}

static bool is_finite_half(float value) {
  return (zh_f32_to_f16(value) & 0x7c00) != 0x7c00;
}

/* 1 / d; what cannot be divided by is a block of zeros. */
static float inverse_of(float d) {
  return d == 0 ? 0 : 1 / d;
}

/* To the nearest, ties away from zero; magnitudes are below 2^22. */
static int rounded(float value) {
  float size = fabsf(value), whole = floorf(size);
  whole += floorf(2 * (size - whole));
  return (int)(value < 0 ? -whole : whole);
}

/* Downwards to 0 … most. A scale so small that its inverse is infinite multiplies nothing. */
static uint8_t quantum(float value, int most) {
  if (!isfinite(value) || value < 0) return 0;
  return value >= (float)most ? (uint8_t)most : (uint8_t)value;
}

/* The first of the largest magnitude, with its sign. */
static float largest(const float *x) {
  float most = x[0];
  for (int i = 1; i < RUN; i++)
    if (fabsf(x[i]) > fabsf(most)) most = x[i];
  return most;
}

/* Fourth bits and below as nibbles, first elements low. */
static void put_nibbles(uint8_t *p, const uint8_t q[RUN]) {
  for (int i = 0; i < RUN / 2; i++) p[i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

static void put_fifths(uint8_t *p, const uint8_t q[RUN]) {
  uint32_t high = 0;
  for (int i = 0; i < RUN; i++) high |= (uint32_t)(q[i] >> 4) << i;
  memcpy(p, &high, sizeof high);
}

static bool block_q8_0(uint8_t *p, const float *x) {
  float d = fabsf(largest(x)) / 127, inverse = inverse_of(d);
  put_half(p, d);
  for (int i = 0; i < RUN; i++) {
    float q = x[i] * inverse;
    p[2 + i] = isfinite(q) ? (uint8_t)(int8_t)rounded(q) : 0;
  }
  return is_finite_half(d);
}

/* Of 4 or 5 bits, centred: the largest becomes the lowest quantum. */
static bool block_centred(uint8_t *p, const float *x, int bits) {
  int half = 1 << (bits - 1), most = 2 * half - 1;
  float d = largest(x) / (float)-half, inverse = inverse_of(d);
  uint8_t q[RUN];
  for (int i = 0; i < RUN; i++) q[i] = quantum(x[i] * inverse + ((float)half + 0.5f), most);
  put_half(p, d);
  if (bits == 5) put_fifths(p + 2, q);
  put_nibbles(p + (bits == 5 ? 6 : 2), q);
  return is_finite_half(d);
}

/* Of 4 or 5 bits, from the least up. */
static bool block_ranged(uint8_t *p, const float *x, int bits) {
  int most = (1 << bits) - 1;
  float low = x[0], high = x[0];
  for (int i = 1; i < RUN; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  float d = (high - low) / (float)most, inverse = inverse_of(d);
  uint8_t q[RUN];
  for (int i = 0; i < RUN; i++) q[i] = quantum((x[i] - low) * inverse + 0.5f, most);
  put_half(p, d);
  put_half(p + 2, low);
  if (bits == 5) put_fifths(p + 4, q);
  put_nibbles(p + (bits == 5 ? 8 : 4), q);
  return is_finite_half(d) && is_finite_half(low);
}

static bool block_of(uint8_t *p, const float *x, zh_dtype type) {
  switch (type) {
  case ZH_Q8_0:
    return block_q8_0(p, x);
  case ZH_Q4_0:
    return block_centred(p, x, 4);
  case ZH_Q5_0:
    return block_centred(p, x, 5);
  case ZH_Q4_1:
    return block_ranged(p, x, 4);
  case ZH_Q5_1:
    return block_ranged(p, x, 5);
  default:
    return zh_quantize_q4_k(p, x);
  }
}

/* Rounding may not make infinity of a number. */
static bool plain_row(void *out, const float *x, zh_dtype type, size_t elements) {
  if (type == ZH_F32) {
    memcpy(out, x, elements * sizeof *x);
    return true;
  }
  bool fits = true;
  uint16_t *halves = out;
  for (size_t i = 0; i < elements; i++) {
    uint16_t exponent = type == ZH_F16 ? 0x7c00 : 0x7f80;
    halves[i] = type == ZH_F16 ? zh_f32_to_f16(x[i]) : zh_f32_to_bf16(x[i]);
    if ((halves[i] & exponent) == exponent && isfinite(x[i])) fits = false;
  }
  return fits;
}

bool zh_quantizes(zh_dtype type) {
  return type == ZH_F32 || type == ZH_F16 || type == ZH_BF16 || type == ZH_Q8_0 ||
         type == ZH_Q4_0 || type == ZH_Q4_1 || type == ZH_Q5_0 || type == ZH_Q5_1 ||
         type == ZH_Q4_K;
}

bool zh_quantize_row(void *out, const float *x, zh_dtype type, size_t elements) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  uint8_t *p = out;
  if (info->block_elements == 1) return plain_row(out, x, type, elements);
  for (size_t i = 0; i < elements; i++)
    if (!isfinite(x[i])) return false;
  bool fits = true;
  for (size_t i = 0; i < elements; i += info->block_elements, p += info->block_bytes)
    fits &= block_of(p, x + i, type);
  return fits;
}
