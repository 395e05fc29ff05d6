/* Sixteen rows of packed quanta (packed.h), a part of them to a vector: PARTS vectors of LANES
 * rows. Written once over the names of vector_*.h, one of which is included before. */
#ifndef ZH_KERNELS_MATMUL_QUANTA_H
#define ZH_KERNELS_MATMUL_QUANTA_H

#include <string.h>

#include "kernels/matmul/quanta_types.h"

enum { GROUP = ZH_PACKED_ROWS, PARTS = GROUP / LANES, STEP = 32, STEP_WORDS = STEP / 4 };

typedef struct row_factors {
  lanes scale, minimum; /* a weight is scale * quantum + minimum */
} row_factors;

ALWAYS_INLINE bool has_signed_quanta(zh_dtype type) {
  return type == ZH_Q8_0 || type == ZH_Q6_K || is_looked_up(type);
}
/* What is subtracted from a quantum that is stored unsigned, as a power of two; 0: nothing. */
ALWAYS_INLINE int bias_bits(zh_dtype type) {
  return type == ZH_Q5_0 ? 4 : type == ZH_Q4_0 ? 3 : 0;
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

/* zh_e8m0_half of the rows of a part. */
ALWAYS_INLINE lanes halved_powers(const uint8_t *exponents) {
  words e = words_of_u8(exponents),
        subnormal = words_sub(words_set(0), words_right(words_sub(e, words_set(2)), 31));
  words small = words_left(words_add(e, words_set(1)), 21),
        large = words_left(words_sub(e, words_set(1)), 23);
  return lanes_choose(subnormal, lanes_of_bits(small), lanes_of_bits(large));
}

/* Of the block's first or second sixteen columns; only Q6_K has two of each. */
ALWAYS_INLINE row_factors factors_of(const uint8_t *group, zh_dtype type, size_t b, int half,
                                     int part) {
  if (type == ZH_Q6_K) {
    const uint8_t *block = group + 8 * block_bytes(type) * (b / 8),
                  *scales = block + 32 + GROUP * (2 * (b % 8) + (size_t)half) + LANES * part;
    lanes scale = lanes_of_words(words_signed_byte(words_of_u8(scales), 0));
    return (row_factors){lanes_mul(lanes_of_f16(block + 2 * LANES * part), scale), lanes_set(0)};
  }
  if (type == ZH_MXFP4)
    return (row_factors){halved_powers(group + block_bytes(type) * b + LANES * part), lanes_set(0)};
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
    if (type == ZH_Q6_K)
      return (quanta_block){p + 288 + 1024 * (run / 4) + 512 * (run & 1) + at,
                            p + 2336 + 512 * (run / 4) + at, (int)run};
    p += has_fifths(type) ? 768 : 256;
    return (quanta_block){p + 512 * (run / 2) + at, fifths, (int)run};
  }
  const uint8_t *p = group + block_bytes(type) * b + scale_bytes(type);
  if (has_fifths(type)) return (quanta_block){p + 64 + at, p + fifth, 0};
  return (quanta_block){p + at, NULL, 0};
}

/* Q6_K: nibbles are low ones in a half block's first two runs, pairs of bits go up by two a run. 32
 * is taken from each byte: with its highest bit set there is nothing to borrow. */
ALWAYS_INLINE words sixes_of(const quanta_block *q, int j) {
  int r = q->run & 3;
  words low = words_load(q->quanta + 64 * j), high = words_load(q->fifths + 64 * j);
  low = words_and(r >= 2 ? words_right(low, 4) : low, words_set(0x0f0f0f0f));
  high = r < 2 ? words_left(high, 4 - 2 * r) : words_right(high, 2 * r - 4);
  words v = words_or(low, words_and(high, words_set(0x30303030)));
  v = words_sub(words_or(v, words_set((int)0x80808080)), words_set(0x20202020));
  return words_xor(v, words_set((int)0x80808080));
}

/* Columns 4 j … 4 j + 3 of the block as bytes: signed, or unsigned with the bias in them. */
ALWAYS_INLINE words quanta_of(const quanta_block *q, zh_dtype type, int j) {
  if (type == ZH_Q8_0) return words_load(q->quanta + 64 * j);
  if (type == ZH_Q6_K) return sixes_of(q, j);
  words v;
  if (is_k(type))
    v = words_right(words_load(q->quanta + 64 * j), 4 * (q->run & 1));
  else
    v = words_right(words_load(q->quanta + 64 * (j & 3)), j >= 4 ? 4 : 0);
  v = words_and(v, words_set(0x0f0f0f0f));
  if (is_looked_up(type)) {
    static const int8_t iq4[16] = {ZH_IQ4_VALUES}, mxfp4[16] = {ZH_MXFP4_VALUES};
    return words_look_up(type == ZH_MXFP4 ? mxfp4 : iq4, v);
  }
  return has_fifths(type) ? words_or(v, words_of_fifths(q->fifths + 8 * j)) : v;
}

/* Byte i of each word as a number. */
ALWAYS_INLINE lanes column_of(words quanta, zh_dtype type, int i) {
  if (has_signed_quanta(type)) return lanes_of_words(words_signed_byte(quanta, i));
  words q = words_and(words_right(quanta, 8 * i), words_set(255));
  return lanes_of_words(bias_bits(type) ? words_sub(q, words_set(1 << bias_bits(type))) : q);
}

#endif
