/* Sixteen rows of packed quanta (packed.h), a part of them to a vector: PARTS vectors of LANES
 * rows. Written once over the names of vector_*.h, one of which is included before. */
#ifndef ZH_KERNELS_MATMUL_QUANTA_H
#define ZH_KERNELS_MATMUL_QUANTA_H

#include <string.h>

#include "kernels/matmul/packed.h"

enum { GROUP = ZH_PACKED_ROWS, PARTS = GROUP / LANES, STEP = 32, STEP_WORDS = STEP / 4 };

/* Rows `part` of one block of 32 columns. */
typedef struct quanta_block {
  const uint8_t *quanta; /* bytes, or nibbles; four columns of a row to a word */
  const uint8_t *fifths; /* NULL where there are none */
  int shift;             /* K-quants: which nibbles are this run's */
} quanta_block;

typedef struct row_factors {
  lanes scale, minimum; /* a weight is scale * quantum + minimum */
} row_factors;

ALWAYS_INLINE bool has_minimum(zh_dtype type) {
  return type == ZH_Q4_1 || type == ZH_Q5_1 || type == ZH_Q4_K || type == ZH_Q5_K;
}
ALWAYS_INLINE bool is_k(zh_dtype type) {
  return type == ZH_Q4_K || type == ZH_Q5_K;
}
ALWAYS_INLINE bool has_fifths(zh_dtype type) {
  return type == ZH_Q5_0 || type == ZH_Q5_1 || type == ZH_Q5_K;
}
/* What is subtracted from a quantum that is stored unsigned, as a power of two; 0: nothing. Bytes
 * of Q8_0 are signed. */
ALWAYS_INLINE int bias_bits(zh_dtype type) {
  return type == ZH_Q5_0 ? 4 : type == ZH_Q4_0 ? 3 : 0;
}
/* Bytes of sixteen rows of 32 columns. */
ALWAYS_INLINE size_t block_bytes(zh_dtype type) {
  switch (type) {
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
  default: /* Q4_0, Q4_K */
    return 288;
  }
}

ALWAYS_INLINE void prefetch_block(const uint8_t *group, zh_dtype type, size_t b, size_t ahead) {
  for (size_t i = 0; i < block_bytes(type); i += 64)
    __builtin_prefetch(group + block_bytes(type) * b + ahead + i, 0, 2);
}

/* 6-bit scales and minima of run `run`: zh_k_scale_minimum for the rows of a part. */
ALWAYS_INLINE row_factors k_factors(const uint8_t *block, int run, int part) {
  const uint8_t *s = block + 64 + LANES * part;
  const words six = words_set(63), four = words_set(15), two = words_set(48);
  words scale, minimum, last = words_of_u8(s + GROUP * (run + 4));
  if (run < 4) {
    scale = words_and(words_of_u8(s + GROUP * run), six);
    minimum = words_and(last, six);
  } else {
    words a = words_and(words_right(words_of_u8(s + GROUP * (run - 4)), 2), two);
    words b = words_and(words_right(words_of_u8(s + GROUP * run), 2), two);
    scale = words_or(words_and(last, four), a);
    minimum = words_or(words_right(last, 4), b);
  }
  const uint8_t *d = block + 2 * LANES * part;
  lanes m = lanes_mul(lanes_of_f16(d + 32), lanes_of_words(minimum));
  return (row_factors){lanes_mul(lanes_of_f16(d), lanes_of_words(scale)),
                       lanes_sub(lanes_set(0), m)};
}

ALWAYS_INLINE row_factors factors_of(const uint8_t *group, zh_dtype type, size_t b, int part) {
  if (is_k(type)) return k_factors(group + 8 * block_bytes(type) * (b / 8), (int)(b % 8), part);
  const uint8_t *d = group + block_bytes(type) * b + 2 * LANES * part;
  return (row_factors){lanes_of_f16(d), has_minimum(type) ? lanes_of_f16(d + 32) : lanes_set(0)};
}

ALWAYS_INLINE quanta_block block_at(const uint8_t *group, zh_dtype type, size_t b, int part) {
  const int at = 4 * LANES * part, fifth = LANES / 2 * part; /* bytes of the parts before */
  if (is_k(type)) {
    size_t run = b % 8;
    const uint8_t *p = group + 8 * block_bytes(type) * (b / 8),
                  *fifths = has_fifths(type) ? p + 256 + 64 * run + fifth : NULL;
    p += has_fifths(type) ? 768 : 256;
    return (quanta_block){p + 512 * (run / 2) + at, fifths, 4 * (int)(run & 1)};
  }
  const uint8_t *p = group + block_bytes(type) * b + (has_minimum(type) ? 64 : 32);
  if (has_fifths(type)) return (quanta_block){p + 64 + at, p + fifth, 0};
  return (quanta_block){p + at, NULL, 0};
}

/* Columns 4 j … 4 j + 3 of the block as bytes: unsigned, with the bias in them; of Q8_0 signed. */
ALWAYS_INLINE words quanta_of(const quanta_block *q, zh_dtype type, int j) {
  if (type == ZH_Q8_0) return words_load(q->quanta + 64 * j);
  words v;
  if (is_k(type))
    v = words_right(words_load(q->quanta + 64 * j), q->shift);
  else
    v = words_right(words_load(q->quanta + 64 * (j & 3)), j >= 4 ? 4 : 0);
  v = words_and(v, words_set(0x0f0f0f0f));
  return has_fifths(type) ? words_or(v, words_of_fifths(q->fifths + 8 * j)) : v;
}

/* Byte i of each word as a number. */
ALWAYS_INLINE lanes column_of(words quanta, zh_dtype type, int i) {
  if (type == ZH_Q8_0) return lanes_of_words(words_signed_byte(quanta, i));
  words q = words_and(words_right(quanta, 8 * i), words_set(255));
  return lanes_of_words(bias_bits(type) ? words_sub(q, words_set(1 << bias_bits(type))) : q);
}

#endif
