/* Packed quanta (packed.h) as right tiles of bf16: each weight is what zh_dequantize_row gives,
 * rounded to nearest even. Included only by *_amx.c of this folder.
 *
 * A row of a right tile holds two columns of sixteen rows, a pair of words to a row. Conversion
 * takes two vectors and sets their words side by side, so a vector here is two columns of eight
 * rows, a pair of lanes to a row, and nothing needs to be interleaved afterwards: one permutation
 * of bytes takes a quantum from its row's word to its lane, into the fraction of a power of two,
 * which saves the conversion to fp32 too. */
#ifndef ZH_KERNELS_MATMUL_UNPACK_AMX_H
#define ZH_KERNELS_MATMUL_UNPACK_AMX_H

#include "kernels/matmul/quanta_avx512.h"

enum { UNPACK_AHEAD = 8192, QUARTERS = 4 };

/* A step of a group of rows. After the group come others of as many bytes: what is fetched ahead
 * skips `beyond` bytes at its end. */
typedef struct packed_step {
  const uint8_t *group;
  size_t step, group_bytes, beyond;
} packed_step;

/* Of eight rows, in pairs of lanes. */
typedef struct lane_factors {
  __m512 scale, minimum;
} lane_factors;

/* A tile that is being unpacked. */
typedef struct unpacking {
  lane_factors low[2], high[2]; /* of both halves of the rows; high: of columns from 16 on, where
                                   these have scales of their own or are high nibbles */
  quanta_block quanta;
  uint8_t *out;
} unpacking;

ALWAYS_INLINE __m512 in_pairs(__m512 rows, const int half) {
  const __m512i order = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return _mm512_permutexvar_ps(_mm512_add_epi32(order, _mm512_set1_epi32(8 * half)), rows);
}

/* Bytes 2 pair and 2 pair + 1 of the words of eight rows, each to all bytes of a lane. */
ALWAYS_INLINE __m512i lane_bytes(const int half, const int pair) {
  const __m512i first =
      _mm512_setr_epi32(0x00000000, 0x01010101, 0x04040404, 0x05050505, 0x08080808, 0x09090909,
                        0x0c0c0c0c, 0x0d0d0d0d, 0x10101010, 0x11111111, 0x14141414, 0x15151515,
                        0x18181818, 0x19191919, 0x1c1c1c1c, 0x1d1d1d1d);
  return _mm512_add_epi8(first, _mm512_set1_epi8((char)(32 * half + 2 * pair)));
}

/* 2^15 with a byte in bits 8 … 15 of its fraction is 2^15 + byte; 2^11 with a nibble in bits 12 …
 * 15 is 2^11 + nibble. */
enum { BYTE_BASE = 1 << 15, HIGH_BASE = 1 << 11 };

/* A scale of f16 times base + bias is exact (11 bits by 13 at most); those of K-quants have more
 * bits, and minima would round it; those of MXFP4 can be too large for it. */
ALWAYS_INLINE bool base_goes_first(zh_dtype type) {
  return has_minimum(type) || is_k(type) || type == ZH_MXFP4;
}
ALWAYS_INLINE float base_and_bias(zh_dtype type, const int base) {
  return (float)(base + (bias_bits(type) ? 1 << bias_bits(type) : 0));
}

/* base + quantum becomes a weight; the fused step rounds once, as zh_dequantize_row does. */
ALWAYS_INLINE __m512 weight_of(__m512i quantum, zh_dtype type, const lane_factors *f,
                               const int base) {
  __m512 q = _mm512_castsi512_ps(quantum);
  if (base_goes_first(type)) q = _mm512_sub_ps(q, _mm512_set1_ps(base_and_bias(type, base)));
  return _mm512_fmadd_ps(q, f->scale, f->minimum);
}

ALWAYS_INLINE lane_factors factors_in_pairs(const row_factors *f, zh_dtype type, const int half,
                                            const int base) {
  lane_factors l = {in_pairs(f->scale, half), in_pairs(f->minimum, half)};
  if (!base_goes_first(type))
    l.minimum = _mm512_mul_ps(l.scale, _mm512_set1_ps(-base_and_bias(type, base)));
  return l;
}

ALWAYS_INLINE void store_pairs(uint8_t *out, __m512 first_rows, __m512 last_rows) {
  _mm512_store_si512(out, (__m512i)_mm512_cvtne2ps_pbh(last_rows, first_rows));
}

/* Quanta that are bytes, or were made bytes. */
ALWAYS_INLINE void unpack_bytes(const unpacking *u, zh_dtype type, const int quarter) {
  const __m512i base = (__m512i)_mm512_set1_ps((float)BYTE_BASE);
  const __mmask64 second_byte = 0x2222222222222222;
  for (int j = 2 * quarter; j < 2 * quarter + 2; j++) {
    __m512i v = quanta_of(&u->quanta, type, j);
    for (int pair = 0; pair < 2; pair++) {
      __m512 w[2];
      for (int half = 0; half < 2; half++) {
        __m512i lanes = _mm512_mask_permutexvar_epi8(base, second_byte, lane_bytes(half, pair), v);
        const lane_factors *f = type == ZH_Q6_K && quarter >= 2 ? &u->high[half] : &u->low[half];
        w[half] = weight_of(lanes, type, f, BYTE_BASE);
      }
      store_pairs(u->out + 128 * j + 64 * pair, w[0], w[1]);
    }
  }
}

/* Bytes of two nibbles: columns 4 j + i and 16 + 4 j + i. */
ALWAYS_INLINE void unpack_nibbles(const unpacking *u, zh_dtype type, const int j) {
  const __m512i low = _mm512_set1_epi32(0x0f00), high = _mm512_set1_epi32(0xf000),
                low_base = (__m512i)_mm512_set1_ps((float)BYTE_BASE),
                high_base = (__m512i)_mm512_set1_ps((float)HIGH_BASE);
  __m512i v = _mm512_loadu_si512(u->quanta.quanta + 64 * j);
  for (int pair = 0; pair < 2; pair++) {
    __m512 w[2], x[2];
    for (int half = 0; half < 2; half++) {
      __m512i lanes = _mm512_permutexvar_epi8(lane_bytes(half, pair), v);
      /* 0xea: (lanes & mask) | base */
      w[half] = weight_of(_mm512_ternarylogic_epi32(lanes, low, low_base, 0xea), type,
                          &u->low[half], BYTE_BASE);
      x[half] = weight_of(_mm512_ternarylogic_epi32(lanes, high, high_base, 0xea), type,
                          &u->high[half], HIGH_BASE);
    }
    store_pairs(u->out + 128 * j + 64 * pair, w[0], w[1]);
    store_pairs(u->out + 512 + 128 * j + 64 * pair, x[0], x[1]);
  }
}

ALWAYS_INLINE bool in_nibbles(zh_dtype type) {
  return type == ZH_Q4_0 || type == ZH_Q4_1;
}

ALWAYS_INLINE unpacking unpack_begin(uint8_t *out, const packed_step *from, zh_dtype type) {
  size_t ahead = block_bytes(type) * from->step + UNPACK_AHEAD;
  if (ahead >= from->group_bytes) ahead += from->beyond;
  for (size_t i = 0; i < block_bytes(type); i += 64)
    _mm_prefetch((const char *)from->group + ahead + i, _MM_HINT_T1);
  unpacking u = {.quanta = block_at(from->group, type, from->step), .out = out};
  row_factors f = factors_of(from->group, type, from->step, 0),
              g = type == ZH_Q6_K ? factors_of(from->group, type, from->step, 1) : f;
  for (int half = 0; half < 2; half++) {
    u.low[half] = factors_in_pairs(&f, type, half, BYTE_BASE);
    if (in_nibbles(type)) u.high[half] = factors_in_pairs(&f, type, half, HIGH_BASE);
    if (type == ZH_Q6_K) u.high[half] = factors_in_pairs(&g, type, half, BYTE_BASE);
  }
  return u;
}

ALWAYS_INLINE void unpack_quarter(const unpacking *u, zh_dtype type, const int quarter) {
  if (in_nibbles(type))
    unpack_nibbles(u, type, quarter);
  else
    unpack_bytes(u, type, quarter);
}

typedef void unpack_tile(uint8_t *out, const packed_step *from);
#define UNPACK_OF(type)                                                                            \
  static void unpack_##type(uint8_t *out, const packed_step *from) {                               \
    unpacking u = unpack_begin(out, from, ZH_##type);                                              \
    for (int quarter = 0; quarter < QUARTERS; quarter++) unpack_quarter(&u, ZH_##type, quarter);   \
  }
UNPACK_OF(Q8_0)
UNPACK_OF(Q4_0)
UNPACK_OF(Q4_1)
UNPACK_OF(Q5_0)
UNPACK_OF(Q5_1)
UNPACK_OF(Q4_K)
UNPACK_OF(Q5_K)
UNPACK_OF(Q6_K)
UNPACK_OF(IQ4_NL)
UNPACK_OF(MXFP4)

/* NULL: nothing to be unpacked. */
static unpack_tile *unpack_of(zh_dtype type) {
  switch (type) {
  case ZH_BF16:
    return NULL;
  case ZH_Q8_0:
    return unpack_Q8_0;
  case ZH_Q4_0:
    return unpack_Q4_0;
  case ZH_Q4_1:
    return unpack_Q4_1;
  case ZH_Q5_0:
    return unpack_Q5_0;
  case ZH_Q5_1:
    return unpack_Q5_1;
  case ZH_Q4_K:
    return unpack_Q4_K;
  case ZH_Q5_K:
    return unpack_Q5_K;
  case ZH_IQ4_NL:
    return unpack_IQ4_NL;
  case ZH_MXFP4:
    return unpack_MXFP4;
  default:
    return unpack_Q6_K;
  }
}

#endif
