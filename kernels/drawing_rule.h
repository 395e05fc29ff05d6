/* The arithmetic of drawing.h, for C and CUDA: nothing here rounds otherwise on another machine. */
#ifndef ZH_KERNELS_DRAWING_RULE_H
#define ZH_KERNELS_DRAWING_RULE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/drawing.h"

#ifdef __CUDACC__
#define ZH_RULE __device__ __forceinline__
#else
#define ZH_RULE static inline
#endif

/* In 2^-40ths. 2^r by its series up to r^11, which is off by less than 2^-47 of it: |r| <= ln(2)
 * / 2. */
ZH_RULE uint64_t zh_draw_weight(float z, float largest, double rate) {
  double y = ((double)z - (double)largest) * rate, whole, r, sum, scale;
  uint64_t bits;
  if (z == largest) return (uint64_t)1 << ZH_DRAW_BITS;
  if (!(y > -(ZH_DRAW_BITS + 1.0))) return 0; /* what is no number, too */
  whole = floor(y + 0.5);
  r = (y - whole) * 0.69314718055994530942;
  sum = 1.0 / 39916800;
  sum = fma(sum, r, 1.0 / 3628800);
  sum = fma(sum, r, 1.0 / 362880);
  sum = fma(sum, r, 1.0 / 40320);
  sum = fma(sum, r, 1.0 / 5040);
  sum = fma(sum, r, 1.0 / 720);
  sum = fma(sum, r, 1.0 / 120);
  sum = fma(sum, r, 1.0 / 24);
  sum = fma(sum, r, 1.0 / 6);
  sum = fma(sum, r, 0.5);
  sum = fma(sum, r, 1.0);
  sum = fma(sum, r, 1.0);
  bits = (uint64_t)(1023 + ZH_DRAW_BITS + (int)whole) << 52;
  memcpy(&scale, &bits, sizeof scale);
  return (uint64_t)fma(sum, scale, 0.5);
}

/* Larger logits have larger keys; 0 and -0 the same. None is 0. */
ZH_RULE uint32_t zh_draw_key(float z) {
  uint32_t bits;
  z += 0.0f;
  memcpy(&bits, &z, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* total part / 2^32, downwards: a number below `total`, which is below 2^63. */
ZH_RULE uint64_t zh_draw_share(uint64_t total, uint32_t part) {
  return (total >> 32) * part + ((total & 0xFFFFFFFFu) * part >> 32);
}

#endif
