/* How a token is drawn from logits, in arithmetic that every machine and device does alike: weights
 * and their sums are integers, so that neither the order of a sum nor who computes it changes what
 * is drawn. kernels/logits/drawing.c is the rule; kernels/cuda/draw.cu does the same. */
#ifndef ZH_KERNELS_DRAWING_H
#define ZH_KERNELS_DRAWING_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define ZH_RULE __device__ __forceinline__
#else
#define ZH_RULE static inline
#endif

enum { ZH_DRAW_STREAM = 7, ZH_DRAW_BITS = 40 };

/* Tokens in the order of their logits, the largest first, ties by the lower id. Of these the first
 * top_k stay; of those the fewest first ones that have the share top_p of the sum of their weights,
 * one at least; of those the ones whose weight is min_p of the largest's at least. One is drawn by
 * inversion of the distribution function in the order of ids, with the 32 bits of Philox number
 * `index` of `seed`. */
typedef struct zh_draw_rule {
  double
      rate; /* log2(e) / temperature: a weight is 2^((z - largest) rate); 0: the largest is taken */
  uint64_t seed, index;
  uint64_t min_p; /* in 2^-40ths; 0: any */
  uint32_t top_k; /* 0: all */
  uint32_t top_p; /* in 2^-32nds; 0: all */
} zh_draw_rule;

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

#ifndef __CUDACC__
#ifdef __cplusplus
extern "C" {
#endif
/* largest: the lowest id of the largest logit; no logit is NaN. */
size_t zh_draw_token(const float *logits, size_t count, size_t largest, const zh_draw_rule *how);
#ifdef __cplusplus
}
#endif
#endif

#endif
