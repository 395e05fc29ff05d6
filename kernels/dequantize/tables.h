/* What quanta and scales of the types stand for that look them up. Source: ggml-common.h and
 * ggml-quants.c; MXFP4 also in the OCP Microscaling Formats specification 1.0. */
#ifndef ZH_KERNELS_DEQUANTIZE_TABLES_H
#define ZH_KERNELS_DEQUANTIZE_TABLES_H

#include <stdint.h>
#include <string.h>

/* IQ4_NL, IQ4_XS; MXFP4 (E2M1, doubled: its scale is halved). */
#define ZH_IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define ZH_MXFP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* 2^(e - 128): half of E8M0's 2^(e - 127), subnormal for 0 and 1. */
static inline float zh_e8m0_half(uint8_t e) {
  uint32_t bits = e < 2 ? UINT32_C(0x00200000) << e : (uint32_t)(e - 1) << 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Of sixteen columns, j of 16: four low bits, then two high ones, less 32. */
static inline int zh_q3_scale(const uint8_t *packed, int j) {
  int low = packed[j & 7] >> 4 * (j / 8) & 15, high = packed[8 + (j & 3)] >> 2 * (j / 4) & 3;
  return (low | high << 4) - 32;
}

/* Of run r of 32 columns, in a block of IQ4_XS. */
static inline int zh_iq4_xs_scale(const uint8_t *block, int r) {
  int low = block[4 + r / 2] >> 4 * (r & 1) & 15, high = block[2 + r / 4] >> 2 * (r & 3) & 3;
  return (low | high << 4) - 32;
}

#endif
