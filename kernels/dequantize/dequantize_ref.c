/* Weight rows to fp32, by the formulas of ggml's block formats (ggml-quants.c).
 *
 * A scale is an f16 (11 significant bits), a quantum at most 8 bits, a K-quant's sub-scale at most
 * 7 bits beside quanta of at most 5 significant bits (IQ4_XS: 6 beside 7): every product below has
 * at most 24 significant bits and is exact in fp32; MXFP4's scales are powers of two. Only the
 * addition of a minimum rounds, once. So any order of the products, fused or not, gives the same
 * bits, and variants must equal this file bit for bit. */
#include "kernels/dequantize/tables.h"
#include "kernels/kernels.h"
#include "kernels/variants.h"

#include <assert.h>
#include <string.h>

static uint16_t u16_at(const uint8_t *p) {
  uint16_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static uint32_t u32_at(const uint8_t *p) {
  uint32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static float scale_at(const uint8_t *p) {
  return zh_f16_to_f32(u16_at(p));
}

static void block_f32(float *y, const uint8_t *p) {
  memcpy(y, p, sizeof *y);
}
static void block_f16(float *y, const uint8_t *p) {
  *y = zh_f16_to_f32(u16_at(p));
}
static void block_bf16(float *y, const uint8_t *p) {
  *y = zh_bf16_to_f32(u16_at(p));
}

/* 18 bytes: f16 d; 16 bytes of nibbles, low ones first elements */
static void block_q4_0(float *y, const uint8_t *p) {
  float d = scale_at(p);
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)((p[2 + i] & 15) - 8);
    y[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
  }
}

/* 20 bytes: f16 d, f16 minimum; nibbles */
static void block_q4_1(float *y, const uint8_t *p) {
  float d = scale_at(p), minimum = scale_at(p + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)(p[4 + i] & 15) + minimum;
    y[i + 16] = d * (float)(p[4 + i] >> 4) + minimum;
  }
}

/* 22 bytes: f16 d; 32 fifth bits, bit i for element i; nibbles */
static void block_q5_0(float *y, const uint8_t *p) {
  float d = scale_at(p);
  uint32_t high = u32_at(p + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)((int)((p[6 + i] & 15u) | (high >> i & 1u) << 4) - 16);
    y[i + 16] = d * (float)((int)(p[6 + i] >> 4 | (high >> (i + 16) & 1u) << 4) - 16);
  }
}

/* 24 bytes: f16 d, f16 minimum; 32 fifth bits; nibbles */
static void block_q5_1(float *y, const uint8_t *p) {
  float d = scale_at(p), minimum = scale_at(p + 2);
  uint32_t high = u32_at(p + 4);
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)((p[8 + i] & 15u) | (high >> i & 1u) << 4) + minimum;
    y[i + 16] = d * (float)(p[8 + i] >> 4 | (high >> (i + 16) & 1u) << 4) + minimum;
  }
}

/* 34 bytes: f16 d; 32 signed bytes */
static void block_q8_0(float *y, const uint8_t *p) {
  float d = scale_at(p);
  for (int i = 0; i < 32; i++) y[i] = d * (float)(int8_t)p[2 + i];
}

void zh_k_scale_minimum(uint8_t *scale, uint8_t *minimum, const uint8_t *s, int i) {
  if (i < 4) {
    *scale = s[i] & 63;
    *minimum = s[i + 4] & 63;
  } else {
    *scale = (uint8_t)((s[i + 4] & 15) | (s[i - 4] >> 6) << 4);
    *minimum = (uint8_t)(s[i + 4] >> 4 | (s[i] >> 6) << 4);
  }
}

/* 144 bytes: f16 d, f16 dmin; 12 bytes of packed 6-bit scales and minima of 8 runs of 32; 4 times
 * 32 bytes of nibbles: low ones of bytes g are run 2g, high ones run 2g + 1 */
static void block_q4_k(float *y, const uint8_t *p) {
  float d = scale_at(p), dmin = scale_at(p + 2);
  for (int run = 0; run < 8; run++) {
    uint8_t s, m;
    zh_k_scale_minimum(&s, &m, p + 4, run);
    const uint8_t *q = p + 16 + 32 * (run / 2);
    float scale = d * (float)s, minimum = dmin * (float)m;
    int shift = 4 * (run & 1);
    for (int i = 0; i < 32; i++) y[32 * run + i] = scale * (float)(q[i] >> shift & 15) - minimum;
  }
}

/* 176 bytes: as Q4_K with 32 bytes before the nibbles whose bit r is the fifth bit of run r */
static void block_q5_k(float *y, const uint8_t *p) {
  float d = scale_at(p), dmin = scale_at(p + 2);
  for (int run = 0; run < 8; run++) {
    uint8_t s, m;
    zh_k_scale_minimum(&s, &m, p + 4, run);
    const uint8_t *high = p + 16, *q = p + 48 + 32 * (run / 2);
    float scale = d * (float)s, minimum = dmin * (float)m;
    int shift = 4 * (run & 1);
    for (int i = 0; i < 32; i++) {
      int quantum = (q[i] >> shift & 15) | (high[i] >> run & 1) << 4;
      y[32 * run + i] = scale * (float)quantum - minimum;
    }
  }
}

/* 210 bytes: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales of 16
 * elements, f16 d. Within each half of 128 elements, run r of 32 takes nibbles from bytes 32 (r &
 * 1), low for r < 2, and bit pair r. */
static void block_q6_k(float *y, const uint8_t *p) {
  float d = scale_at(p + 208);
  for (int run = 0; run < 8; run++) {
    int half = run / 4, r = run & 3;
    const uint8_t *low = p + 64 * half + 32 * (r & 1), *high = p + 128 + 32 * half;
    for (int i = 0; i < 32; i++) {
      int quantum = ((low[i] >> 4 * (r / 2) & 15) | (high[i] >> 2 * r & 3) << 4) - 32;
      int8_t scale = (int8_t)p[192 + 2 * run + i / 16];
      y[32 * run + i] = d * (float)scale * (float)quantum;
    }
  }
}

/* 84 bytes: 16 bytes of a 4-bit scale and a 4-bit minimum of 16 elements; 2 times 32 bytes of bit
 * pairs: pair s of byte i is element 32 s + i of the half block; f16 d, f16 dmin */
static void block_q2_k(float *y, const uint8_t *p) {
  float d = scale_at(p + 80), dmin = scale_at(p + 82);
  for (int run = 0; run < 8; run++) {
    const uint8_t *q = p + 16 + 32 * (run / 4);
    for (int i = 0; i < 32; i++) {
      uint8_t s = p[2 * run + i / 16];
      float scale = d * (float)(s & 15), minimum = dmin * (float)(s >> 4);
      y[32 * run + i] = scale * (float)(q[i] >> 2 * (run & 3) & 3) - minimum;
    }
  }
}

/* 110 bytes: 32 bytes whose bit r, where it is not set, takes 4 from run r; bit pairs as Q2_K; 12
 * bytes of packed 6-bit scales of 16 elements; f16 d */
static void block_q3_k(float *y, const uint8_t *p) {
  float d = scale_at(p + 108);
  for (int run = 0; run < 8; run++) {
    const uint8_t *q = p + 32 + 32 * (run / 4);
    for (int i = 0; i < 32; i++) {
      float scale = d * (float)zh_q3_scale(p + 96, 2 * run + i / 16);
      int quantum = (q[i] >> 2 * (run & 3) & 3) - (p[i] >> run & 1 ? 0 : 4);
      y[32 * run + i] = scale * (float)quantum;
    }
  }
}

static void look_up(float *y, const uint8_t *nibbles, const int8_t *values, float scale) {
  for (int i = 0; i < 16; i++) {
    y[i] = scale * (float)values[nibbles[i] & 15];
    y[i + 16] = scale * (float)values[nibbles[i] >> 4];
  }
}

static const int8_t iq4_values[16] = {ZH_IQ4_VALUES}, mxfp4_values[16] = {ZH_MXFP4_VALUES};

/* 18 bytes: f16 d; nibbles */
static void block_iq4_nl(float *y, const uint8_t *p) {
  look_up(y, p + 2, iq4_values, scale_at(p));
}

/* 136 bytes: f16 d; 2 bytes of upper and 4 of lower bits of the scales of 8 runs; nibbles of each
 * run as in Q4_0 */
static void block_iq4_xs(float *y, const uint8_t *p) {
  for (int run = 0; run < 8; run++)
    look_up(y + 32 * run, p + 8 + 16 * run, iq4_values,
            scale_at(p) * (float)zh_iq4_xs_scale(p, run));
}

/* 17 bytes: exponent of the scale; nibbles */
static void block_mxfp4(float *y, const uint8_t *p) {
  look_up(y, p + 1, mxfp4_values, zh_e8m0_half(*p));
}

void zh_dequantize_row(float *y, const void *row, zh_dtype type, size_t elements) {
  void (*block)(float *, const uint8_t *) = NULL;
  switch (type) {
  case ZH_F32:
    block = block_f32;
    break;
  case ZH_F16:
    block = block_f16;
    break;
  case ZH_BF16:
    block = block_bf16;
    break;
  case ZH_Q4_0:
    block = block_q4_0;
    break;
  case ZH_Q4_1:
    block = block_q4_1;
    break;
  case ZH_Q5_0:
    block = block_q5_0;
    break;
  case ZH_Q5_1:
    block = block_q5_1;
    break;
  case ZH_Q8_0:
    block = block_q8_0;
    break;
  case ZH_Q2_K:
    block = block_q2_k;
    break;
  case ZH_Q3_K:
    block = block_q3_k;
    break;
  case ZH_Q4_K:
    block = block_q4_k;
    break;
  case ZH_Q5_K:
    block = block_q5_k;
    break;
  case ZH_Q6_K:
    block = block_q6_k;
    break;
  case ZH_IQ4_NL:
    block = block_iq4_nl;
    break;
  case ZH_IQ4_XS:
    block = block_iq4_xs;
    break;
  case ZH_MXFP4:
    block = block_mxfp4;
    break;
  default:
    assert(!"not a weight type");
    return;
  }
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  assert(elements % info->block_elements == 0);
  const uint8_t *p = row;
  for (size_t i = 0; i < elements; i += info->block_elements, p += info->block_bytes)
    block(y + i, p);
}
