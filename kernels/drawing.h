/* How a token is drawn from logits, in arithmetic that every machine and device does alike: weights
 * and their sums are integers, so that neither the order of a sum nor who computes it changes what
 * is drawn (drawing_rule.h). kernels/logits/drawing.c does it; kernels/cuda/draw.cu does the same.
 */
#ifndef ZH_KERNELS_DRAWING_H
#define ZH_KERNELS_DRAWING_H

#include <stddef.h>
#include <stdint.h>

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

#ifdef __cplusplus
extern "C" {
#endif
/* largest: the lowest id of the largest logit; no logit is NaN. */
size_t zh_draw_token(const float *logits, size_t count, size_t largest, const zh_draw_rule *how);
#ifdef __cplusplus
}
#endif

#endif
