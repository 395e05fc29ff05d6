/* What packed quanta (packed.h) of each type are made of, whatever vectors take them. Included by
 * quanta.h and quanta_avx512.h, after what says ALWAYS_INLINE. */
#ifndef ZH_KERNELS_MATMUL_QUANTA_TYPES_H
#define ZH_KERNELS_MATMUL_QUANTA_TYPES_H

#include "kernels/dequantize/tables.h"
#include "kernels/matmul/packed.h"

#define EACH_QUANTISED(one)                                                                        \
  one(Q8_0) one(Q4_0) one(Q4_1) one(Q5_0) one(Q5_1) one(Q4_K) one(Q5_K) one(Q6_K) one(IQ4_NL)      \
      one(MXFP4)

/* Rows of one block of 32 columns: where its parts lie. */
typedef struct quanta_block {
  const uint8_t *quanta; /* bytes, or nibbles; four columns of a row to a word */
  const uint8_t *fifths; /* NULL where there are none; Q6_K: the upper pairs of bits */
  int run; /* K-quants: the place within the block of 256, which says where nibbles and pairs of
              bits stand in their bytes */
} quanta_block;

ALWAYS_INLINE bool has_minimum(zh_dtype type) {
  return type == ZH_Q4_1 || type == ZH_Q5_1 || type == ZH_Q4_K || type == ZH_Q5_K;
}
ALWAYS_INLINE bool is_k(zh_dtype type) {
  return type == ZH_Q4_K || type == ZH_Q5_K || type == ZH_Q6_K;
}
/* Nibbles that stand for values of a table. */
ALWAYS_INLINE bool is_looked_up(zh_dtype type) {
  return type == ZH_IQ4_NL || type == ZH_MXFP4;
}
ALWAYS_INLINE bool has_fifths(zh_dtype type) {
  return type == ZH_Q5_0 || type == ZH_Q5_1 || type == ZH_Q5_K;
}
/* Bytes before the quanta, or fifth bits, of a block of 32 columns. */
ALWAYS_INLINE size_t scale_bytes(zh_dtype type) {
  return type == ZH_MXFP4 ? 16 : has_minimum(type) ? 64 : 32;
}
/* Bytes of sixteen rows of 32 columns. */
ALWAYS_INLINE size_t block_bytes(zh_dtype type) {
  switch (type) {
  case ZH_F32:
    return 2048;
  case ZH_F16:
  case ZH_BF16:
    return 1024;
  case ZH_Q8_0:
    return 544;
  case ZH_Q4_1:
    return 320;
  case ZH_Q5_0:
  case ZH_Q5_K:
    return 352;
  case ZH_Q5_1:
    return 384;
  case ZH_Q6_K:
    return 420;
  case ZH_MXFP4:
    return 272;
  default: /* Q4_0, Q4_K, IQ4_NL */
    return 288;
  }
}

#endif
