/* How weights lie on a device: planes of numbers and of what scales them. And keys and values.
 *
 * A row of numbers is a row of 64-byte pieces, which a matrix kernel's four threads read together,
 * 16 bytes each, thread c from byte 16 c on. Of each block of 32 columns thread c must have columns
 * 8 c … 8 c + 7, so that a block's sum is one of its own and meets its scale: hence in Q8 a piece
 * holds two blocks, eight bytes of each for each thread, and in the forms of halves of bytes four
 * blocks, a word of each for each thread. In a word the halves of column 8 c + i stand at place
 * i / 2 + 4 (i % 2): one shift and mask makes a pair of columns beside each other. */
#include <math.h>
#include <string.h>

#include "core/halves.h"
#include "kernels/dequantize/tables.h"
#include "kernels/device.h"
#include "kernels/device_layout.h"
#include "kernels/variants.h"

zh_device_form zh_device_form_of(zh_dtype type) {
  switch (type) {
  case ZH_F16:
    return ZH_FORM_F16;
  case ZH_BF16:
    return ZH_FORM_BF16;
  case ZH_Q8_0:
  case ZH_Q5_0:
  case ZH_IQ4_NL:
    return ZH_FORM_Q8;
  case ZH_Q4_0:
    return ZH_FORM_Q4;
  case ZH_Q4_1:
    return ZH_FORM_Q4_1;
  case ZH_Q4_K:
    return ZH_FORM_Q4_K;
  default:
    return ZH_FORM_F32;
  }
}

/* --- where a column lies --- */

static size_t byte_of_q8(size_t column) {
  size_t block = column / ZH_DEVICE_BLOCK, i = column % ZH_DEVICE_BLOCK;
  return block / 2 * ZH_DEVICE_PIECE + i / 8 * 16 + block % 2 * 8 + i % 8;
}

/* Its byte, and by how much that is to be shifted. */
static size_t byte_of_half(unsigned *shift, size_t column) {
  size_t block = column / ZH_DEVICE_BLOCK, i = column % 8, place = i / 2 + i % 2 * 4;
  *shift = (unsigned)(place % 2 * 4);
  return block / 4 * ZH_DEVICE_PIECE + column % ZH_DEVICE_BLOCK / 8 * 16 + block % 4 * 4 +
         place / 2;
}

static void put_half(uint8_t *numbers, size_t column, unsigned n) {
  unsigned shift;
  size_t at = byte_of_half(&shift, column);
  numbers[at] = (uint8_t)(numbers[at] | n << shift);
}

static unsigned half_at(const uint8_t *numbers, size_t column) {
  unsigned shift;
  size_t at = byte_of_half(&shift, column);
  return numbers[at] >> shift & 15u;
}

/* --- a row of a file's type into a form --- */

/* A block of 32 columns: its scale, and by how many of it each column is. */
typedef struct steps {
  uint16_t scale; /* f16 */
  int8_t of[ZH_DEVICE_BLOCK];
} steps;

static void put_looked_up(steps *out, const uint8_t *nibbles, const int8_t values[16]) {
  for (size_t i = 0; i < ZH_DEVICE_BLOCK / 2; ++i) {
    out->of[i] = values[nibbles[i] & 15u];
    out->of[ZH_DEVICE_BLOCK / 2 + i] = values[nibbles[i] >> 4];
  }
}

/* Types whose values are whole multiples of an f16 scale, -128 to 127 of it. */
static steps steps_of(zh_dtype type, const uint8_t *block) {
  static const int8_t iq4[16] = {ZH_IQ4_VALUES}, mxfp4[16] = {ZH_MXFP4_VALUES};
  static const int8_t five[16] = {-16, -15, -14, -13, -12, -11, -10, -9,
                                  -8,  -7,  -6,  -5,  -4,  -3,  -2,  -1};
  static const int8_t four[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  steps s;
  uint32_t fifth;
  memcpy(&s.scale, block, sizeof s.scale);
  switch (type) {
  case ZH_Q4_0:
    put_looked_up(&s, block + 2, four);
    break;
  case ZH_Q5_0:
    memcpy(&fifth, block + 2, sizeof fifth);
    put_looked_up(&s, block + 6, five);
    for (size_t i = 0; i < ZH_DEVICE_BLOCK; ++i)
      s.of[i] = (int8_t)(s.of[i] + 16 * (int)(fifth >> i & 1u));
    break;
  case ZH_IQ4_NL:
    put_looked_up(&s, block + 2, iq4);
    break;
  case ZH_MXFP4:
    s.scale = zh_f32_to_f16(zh_e8m0_half(block[0]));
    put_looked_up(&s, block + 1, mxfp4);
    break;
  default:
    memcpy(s.of, block + 2, ZH_DEVICE_BLOCK);
  }
  return s;
}

static void lay_q8(uint8_t *numbers, uint8_t *scales, zh_dtype type, const uint8_t *row,
                   size_t columns) {
  size_t bytes = zh_dtype_find((uint32_t)type)->block_bytes;
  for (size_t b = 0; b < columns / ZH_DEVICE_BLOCK; ++b, row += bytes) {
    steps s = steps_of(type, row);
    memcpy(scales + 2 * b, &s.scale, 2);
    for (size_t i = 0; i < ZH_DEVICE_BLOCK; ++i)
      numbers[byte_of_q8(b * ZH_DEVICE_BLOCK + i)] = (uint8_t)s.of[i];
  }
}

/* Of MXFP4 an f16 holds the scales from 2^-24 to 2^15, in halves of the file's. */
bool zh_device_holds(zh_device_form form, zh_dtype type, const void *row, size_t columns) {
  const uint8_t *block = row;
  if (form != ZH_FORM_Q8 || type != ZH_MXFP4) return true;
  for (size_t b = 0; b < columns / ZH_DEVICE_BLOCK; ++b, block += 17) {
    float scale = zh_e8m0_half(block[0]);
    if (zh_f16_to_f32(zh_f32_to_f16(scale)) != scale) return false;
  }
  return true;
}

/* scale: bytes of d, or of d and m. */
static void lay_halves(uint8_t *numbers, uint8_t *scales, const uint8_t *row, size_t columns,
                       size_t scale) {
  for (size_t b = 0; b < columns / ZH_DEVICE_BLOCK; ++b, row += scale + ZH_DEVICE_BLOCK / 2) {
    memcpy(scales + scale * b, row, scale);
    for (size_t i = 0; i < ZH_DEVICE_BLOCK / 2; ++i) {
      put_half(numbers, b * ZH_DEVICE_BLOCK + i, row[scale + i] & 15u);
      put_half(numbers, b * ZH_DEVICE_BLOCK + ZH_DEVICE_BLOCK / 2 + i, row[scale + i] >> 4);
    }
  }
}

static void lay_q4_k(uint8_t *numbers, uint8_t *scales, const uint8_t *row, size_t columns) {
  for (size_t b = 0; b < columns / ZH_DEVICE_SUPER; ++b, row += 144) {
    memcpy(scales + 16 * b, row, 16);
    for (size_t i = 0; i < ZH_DEVICE_SUPER; ++i) {
      size_t run = i / ZH_DEVICE_BLOCK;
      unsigned byte = row[16 + run / 2 * ZH_DEVICE_BLOCK + i % ZH_DEVICE_BLOCK];
      put_half(numbers, b * ZH_DEVICE_SUPER + i, byte >> run % 2 * 4 & 15u);
    }
  }
}

static void lay_row(zh_device_form form, uint8_t *numbers, uint8_t *scales, zh_dtype type,
                    const uint8_t *row, size_t columns) {
  switch (form) {
  case ZH_FORM_F32:
    zh_dequantize_row((float *)(void *)numbers, row, type, columns);
    break;
  case ZH_FORM_F16:
  case ZH_FORM_BF16:
    memcpy(numbers, row, columns * 2);
    break;
  case ZH_FORM_E4M3:
    memcpy(numbers, row, columns);
    break;
  case ZH_FORM_Q8:
    lay_q8(numbers, scales, type, row, columns);
    break;
  case ZH_FORM_Q4:
    lay_halves(numbers, scales, row, columns, 2);
    break;
  case ZH_FORM_Q4_1:
    lay_halves(numbers, scales, row, columns, 4);
    break;
  default:
    lay_q4_k(numbers, scales, row, columns);
  }
}

void zh_device_lay(zh_device_form form, void *numbers, void *scales, zh_dtype type,
                   const void *rows, size_t count, size_t row_stride, size_t columns) {
  size_t number_bytes = zh_device_number_bytes(form, 1, columns),
         scale_bytes = zh_device_scale_row_bytes(form, columns);
  memset(numbers, 0, count * number_bytes);
  if (scale_bytes) memset(scales, 0, count * scale_bytes);
  for (size_t r = 0; r < count; ++r)
    lay_row(form, (uint8_t *)numbers + r * number_bytes,
            scale_bytes ? (uint8_t *)scales + r * scale_bytes : NULL, type,
            (const uint8_t *)rows + r * row_stride, columns);
}

/* --- and back --- */

static float f16_at(const uint8_t *p) {
  uint16_t bits;
  memcpy(&bits, p, sizeof bits);
  return zh_f16_to_f32(bits);
}

static float float_at(const uint8_t *p, size_t i) {
  float value;
  memcpy(&value, p + 4 * i, sizeof value);
  return value;
}

static float half_word_value(zh_device_form form, const uint8_t *numbers, size_t column) {
  uint16_t bits;
  memcpy(&bits, numbers + 2 * column, sizeof bits);
  return form == ZH_FORM_F16 ? zh_f16_to_f32(bits) : zh_bf16_to_f32(bits);
}

static float q4_k_value(const uint8_t *numbers, const uint8_t *scales, size_t column) {
  const uint8_t *s = scales + column / ZH_DEVICE_SUPER * 16;
  uint8_t scale, minimum;
  zh_k_scale_minimum(&scale, &minimum, s + 4, (int)(column % ZH_DEVICE_SUPER / ZH_DEVICE_BLOCK));
  float d = f16_at(s) * (float)scale, m = f16_at(s + 2) * (float)minimum;
  return d * (float)half_at(numbers, column) - m;
}

/* Without those two that are no numbers. */
static float e4m3_number(uint8_t bits) {
  int exponent = bits >> 3 & 15, mantissa = bits & 7;
  float size =
      exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
  return bits & 0x80 ? -size : size;
}

static float value_at(const zh_device_matrix *shape, const uint8_t *numbers, const uint8_t *scales,
                      size_t row, size_t column) {
  size_t block = column / ZH_DEVICE_BLOCK;
  switch (shape->form) {
  case ZH_FORM_F32:
    return float_at(numbers, column);
  case ZH_FORM_F16:
  case ZH_FORM_BF16:
    return half_word_value(shape->form, numbers, column);
  case ZH_FORM_E4M3:
    return float_at(scales, row / shape->scale_rows *
                                    zh_device_blocks(shape->columns, shape->scale_columns) +
                                column / shape->scale_columns) *
           e4m3_number(numbers[column]);
  case ZH_FORM_Q8:
    return f16_at(scales + 2 * block) * (float)(int8_t)numbers[byte_of_q8(column)];
  case ZH_FORM_Q4:
    return f16_at(scales + 2 * block) * (float)((int)half_at(numbers, column) - 8);
  case ZH_FORM_Q4_1:
    return f16_at(scales + 4 * block) * (float)half_at(numbers, column) +
           f16_at(scales + 4 * block + 2);
  default:
    return q4_k_value(numbers, scales, column);
  }
}

void zh_device_row_values(float *y, const zh_device_matrix *shape, const void *numbers,
                          const void *scales, size_t row) {
  const uint8_t *n = (const uint8_t *)numbers +
                     zh_device_number_bytes(shape->form, row, shape->columns),
                *s = scales;
  if (s) s += row * zh_device_scale_row_bytes(shape->form, shape->columns); /* 0 apart in E4M3 */
  for (size_t i = 0; i < shape->columns; ++i) y[i] = value_at(shape, n, s, row, i);
}

/* --- eight-bit floating point, as OCP's E4M3 without infinities --- */

float zh_e4m3_to_f32(uint8_t bits) {
  return (bits & 0x7F) == 0x7F ? NAN : e4m3_number(bits);
}

uint8_t zh_f32_to_e4m3(float value) {
  uint32_t bits, sign;
  memcpy(&bits, &value, sizeof bits);
  sign = bits >> 24 & 0x80u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return 0x7F;
  if (bits >= 0x43E00000u) return (uint8_t)(sign | 0x7E); /* 448 and more */
  if (bits < 0x3C800000u)                                 /* below 2^-6: steps of 2^-9 */
    return (uint8_t)(sign | (uint32_t)rintf(fabsf(value) * 512));
  bits += 0x7FFFFu + (bits >> 20 & 1u);
  return (uint8_t)(sign | ((bits >> 20) - (120u << 3)));
}

/* --- keys and values --- */

void zh_device_kv_values(float *y, zh_device_kv_type type, const void *row, size_t dim) {
  const uint8_t *bytes = row;
  for (size_t i = 0; i < dim; ++i)
    y[i] = type == ZH_DEVICE_KV_F32 ? float_at(bytes, i)
           : type == ZH_DEVICE_KV_BF16
               ? half_word_value(ZH_FORM_BF16, bytes, i)
               : float_at(bytes, 0) * e4m3_number(bytes[ZH_DEVICE_ROW_UNIT + i]);
}

/* The largest magnitude / 448, up to the next bf16; NaN where there is one. */
static float kv_scale(const float *row, size_t dim) {
  uint32_t most = 0, bits;
  for (size_t i = 0; i < dim; ++i) {
    memcpy(&bits, &row[i], sizeof bits);
    bits &= 0x7FFFFFFFu;
    most = bits > most ? bits : most;
  }
  float scale;
  memcpy(&scale, &most, sizeof scale);
  scale /= 448;
  memcpy(&bits, &scale, sizeof bits);
  if (bits < 0x7F800000u) bits = (bits + 0xFFFFu) & 0xFFFF0000u;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

void zh_device_kv_round(float *row, zh_device_kv_type type, size_t dim) {
  if (type == ZH_DEVICE_KV_F32) return;
  float scale = type == ZH_DEVICE_KV_E4M3 ? kv_scale(row, dim) : 0;
  for (size_t i = 0; i < dim; ++i)
    row[i] = type == ZH_DEVICE_KV_BF16 ? zh_bf16_to_f32(zh_f32_to_bf16(row[i]))
             : scale == 0              ? 0
                                       : scale * e4m3_number(zh_f32_to_e4m3(row[i] / scale));
}
