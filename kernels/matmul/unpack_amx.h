/* Packed quanta (packed.h) as right tiles of bf16: each weight is what zh_dequantize_row gives,
 * rounded to nearest even. Included only by *_amx.c of this folder. */
#ifndef ZH_KERNELS_MATMUL_UNPACK_AMX_H
#define ZH_KERNELS_MATMUL_UNPACK_AMX_H

#include "kernels/matmul/quanta_avx512.h"

enum { UNPACK_AHEAD = 8192 };

/* Two columns of sixteen rows: a pair of words to a row. */
ALWAYS_INLINE __m512i pairs_of(__m512 even, __m512 odd) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* Byte `i` of each row's four. scale * quantum is exact in fp32, so the fused step rounds once, as
 * zh_dequantize_row does. Quanta without a minimum are put into the fraction of 256.0, which costs
 * no conversion: (256 + q) * scale - (256 + bias) * scale, all of it exact too. */
ALWAYS_INLINE __m512 column_of(__m512i quanta, zh_dtype type, const row_factors *f,
                               const unsigned i) {
  const __m512i byte = _mm512_set1_epi32(0xff << 15), magic = _mm512_set1_epi32(0x43800000);
  if (has_minimum(type)) {
    __m512i q = i == 3 ? _mm512_srli_epi32(quanta, 24)
                       : _mm512_and_si512(_mm512_srli_epi32(quanta, 8 * i), _mm512_set1_epi32(255));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(q), f->scale, f->minimum);
  }
  __m512i q = i < 2 ? _mm512_slli_epi32(quanta, 15 - 8 * i) : _mm512_srli_epi32(quanta, 8 * i - 15);
  q = _mm512_ternarylogic_epi32(q, byte, magic, 0xea); /* (q & byte) | magic */
  return _mm512_fmadd_ps(_mm512_castsi512_ps(q), f->scale, f->minimum);
}

/* Steps [at, at + steps) of a group of rows. */
ALWAYS_INLINE void unpack_tiles(uint8_t *out, const uint8_t *group, zh_dtype type, size_t at,
                                size_t steps) {
  for (size_t b = at; b < at + steps; b++, out += 1024) {
    for (size_t i = 0; i < block_bytes(type); i += 64)
      _mm_prefetch((const char *)group + block_bytes(type) * b + UNPACK_AHEAD + i, _MM_HINT_T1);
    quanta_block q = block_at(group, type, b);
    row_factors halves[2] = {factors_of(group, type, b, 0), factors_of(group, type, b, 1)};
    for (int h = 0; h < 2 && !has_minimum(type); h++)
      halves[h].minimum =
          _mm512_mul_ps(halves[h].scale, _mm512_set1_ps(-(float)(256 + (1 << bias_bits(type)))));
    for (int j = 0; j < 8; j++) {
      const row_factors *f = &halves[j / 4];
      __m512i v = quanta_of(&q, type, j);
      __m512 c0 = column_of(v, type, f, 0), c1 = column_of(v, type, f, 1),
             c2 = column_of(v, type, f, 2), c3 = column_of(v, type, f, 3);
      _mm512_store_si512(out + 128 * j, pairs_of(c0, c1));
      _mm512_store_si512(out + 128 * j + 64, pairs_of(c2, c3));
    }
  }
}

#endif
