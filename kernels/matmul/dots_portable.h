/* Sums of 32 columns of quanta by bytes, four rows to a vector: in plain C, or with the dot
 * products of NEON where a file is compiled for them. */
#ifndef ZH_KERNELS_MATMUL_DOTS_PORTABLE_H
#define ZH_KERNELS_MATMUL_DOTS_PORTABLE_H

#include "kernels/vector_portable.h"

#include "core/dtype.h"

ALWAYS_INLINE words four_bytes(const uint8_t *x) {
  int word;
  memcpy(&word, x, sizeof word);
  return words_set(word);
}

#ifdef __ARM_FEATURE_DOTPROD
ALWAYS_INLINE words dot(const words *w, const uint8_t *x, zh_dtype type, const int count) {
  (void)type; /* unsigned quanta are below 32: signed bytes too */
  int32x4_t sum = vdupq_n_s32(0);
  for (int j = 0; j < count; j++)
    sum = vdotq_s32(sum, (int8x16_t)w[j], (int8x16_t)four_bytes(x + 4 * j));
  return (words)sum;
}
#else
typedef int16_t halves __attribute__((vector_size(16)));
typedef uint16_t unsigned_halves __attribute__((vector_size(16)));

ALWAYS_INLINE halves even_bytes(halves v) {
  return (halves)((unsigned_halves)v << 8) >> 8;
}

/* Even and odd bytes as 16-bit numbers; products of two stay within 16 bits and so do sums of one
 * of each, 2 * 128 * 127 = 32512. */
ALWAYS_INLINE words dot(const words *w, const uint8_t *x, zh_dtype type, const int count) {
  (void)type;
  words sum = words_set(0);
  for (int j = 0; j < count; j++) {
    halves a = (halves)w[j], b = (halves)four_bytes(x + 4 * j);
    halves even = even_bytes(a) * even_bytes(b);
    words pairs = (words)(even + (a >> 8) * (b >> 8));
    sum += (words_left(pairs, 16) >> 16) + (pairs >> 16);
  }
  return sum;
}
#endif

#endif
