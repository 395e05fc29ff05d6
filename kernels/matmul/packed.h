/* Inside kernels/: weights rearranged for kernels that take sixteen rows at once, the same bits in
 * other places.
 *
 * Rows come in groups of sixteen, one group after the other; missing rows of the last are zero. A
 * group is a sequence of blocks of 32 columns (K-quants: 256), which hold, for all sixteen rows:
 *
 *   F32, F16         [column][row]; missing columns of the last block are zero
 *   BF16             the same in pairs of columns, [pair][row][2]
 *   Q8_0             f16 d[row]; quanta
 *   IQ4_NL, MXFP4    f16 d[row], or the exponent in a byte; quanta
 *   Q4_0, Q4_1       f16 d[row], f16 minimum[row] (Q4_1); quanta
 *   Q5_0, Q5_1       the same with fifth bits before the quanta
 *   Q4_K, Q5_K       f16 d[row], f16 dmin[row]; the 12 bytes of scales [byte][row]; fifth bits
 *                    [run] (Q5_K), runs of 32 columns; quanta
 *   Q6_K             f16 d[row]; scales [16 columns][row]; quanta, then upper pairs of bits
 *
 * Quanta (and pairs of bits) are the bytes of the row's own block, four at a time: [word][row][4].
 * A vector holds four columns (two times four nibbles) of all rows, as vpdpbusd wants them; pairs
 * are right tiles of AMX. Fifth bits are eight masks of 64 bits for 32 columns, bit 4 row + i of
 * mask j for column 4 j
 * + i.
 */
#ifndef ZH_KERNELS_MATMUL_PACKED_H
#define ZH_KERNELS_MATMUL_PACKED_H

#include "kernels/kernels.h"

size_t zh_packed_group_bytes(zh_dtype type, size_t columns);

/* zh_pack_rows in plain C, and whole groups of sixteen rows with vectors: the same bytes. False:
 * this type, or rows that are not whole blocks, are left to the plain code. */
void zh_pack_rows_ref(void *out, zh_dtype type, const void *rows, size_t count, size_t row_bytes,
                      size_t columns);
bool zh_pack_groups_avx2(void *out, zh_dtype type, const void *rows, size_t groups,
                         size_t row_bytes, size_t columns);
bool zh_pack_groups_avx512(void *out, zh_dtype type, const void *rows, size_t groups,
                           size_t row_bytes, size_t columns);

/* Prepared activations stand in steps of 64 bytes: [tile of tokens][step][token of the tile][64],
 * the last tile with as many tokens as are left, so that a token alone fills whole pages. */
typedef struct zh_token_line {
  int8_t bytes[32];
  float scale, scaled_sum; /* a; a times the sum of the bytes */
  /* What a sum of products starts from where quanta are stored with a bias of 2^3, 2^4 or 2^7 in
   * them, minus the bias times the sum of the bytes; with 2^5 for each half of the line (Q6_K). */
  int32_t start_3, start_4, start_7, start_5[2], unused;
} zh_token_line;
/* Two bytes of an activation: 128 times the first and the second, from -64 to 63. A token then has
 * two lines a step, of the first bytes and of the second; what stands beside these is of both
 * together, and beside the first ones nothing. */
enum { ZH_SECOND_BITS = 7, ZH_TWO_BYTES_MOST = 127 << ZH_SECOND_BITS };
enum { ZH_LINE_TOKENS = 8 }; /* of a tile of bytes */

/* What the tables are made of. */
void zh_add_products_vnni(zh_kernels *table, bool bf16); /* whether there is vdpbf16ps */
void zh_add_products_amx(zh_kernels *table);

void zh_prepare_fp32_avx512(void *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens, size_t begin, size_t end);
void zh_multiply_fp32_avx512(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                             size_t tokens, size_t begin, size_t end);
void zh_prepare_bf16_avx512_bf16(void *out, const float *x, size_t x_stride, size_t columns,
                                 size_t tokens, size_t begin, size_t end);
void zh_multiply_bf16_avx512_bf16(float *y, size_t y_stride, const zh_packed *w,
                                  const void *prepared, size_t tokens, size_t begin, size_t end);
/* Activations in bytes, or in two each. */
void zh_prepare_int8_avx512(void *out, const float *x, size_t x_stride, size_t columns,
                            size_t tokens, size_t begin, size_t end, bool two);
/* Few tokens: AVX-512 VNNI. */
void zh_multiply_int8_vnni(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                           size_t tokens, size_t begin, size_t end, bool two);

/* The same product, faster for more of them. */
/* To be called once, before: how much there is of the first-level data cache. */
void zh_many_int8_vnni_cache(size_t first_level_bytes);
void zh_multiply_many_int8_vnni(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                                size_t tokens, size_t begin, size_t end, void *scratch);

/* AMX; tiles of 16 tokens. */
void zh_prepare_bf16_amx(void *out, const float *x, size_t x_stride, size_t columns, size_t tokens,
                         size_t begin, size_t end);
void zh_multiply_bf16_amx(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                          size_t tokens, size_t begin, size_t end, void *scratch);

/* Of the tables avx2 and portable, as zh_kernels has them: bytes for few tokens by quantised
 * weights, one or two, else nothing is rounded. prepare does not differ between avx2 and avx_vnni,
 * nor between portable and dotprod. */
static const zh_roundings zh_fp32_roundings = {.few = ZH_ROUND_BYTES, .fine = ZH_ROUND_TWO_BYTES};
#define ZH_DECLARE_PRODUCTS(isa)                                                                   \
  void zh_prepare_##isa(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,     \
                        size_t columns, size_t tokens, size_t begin, size_t end);                  \
  void zh_multiply_##isa(float *y, size_t y_stride, const zh_packed *w, zh_way way,                \
                         const void *prepared, size_t tokens, size_t begin, size_t end,            \
                         void *scratch);
ZH_DECLARE_PRODUCTS(avx2)
ZH_DECLARE_PRODUCTS(avx_vnni)
ZH_DECLARE_PRODUCTS(portable)
ZH_DECLARE_PRODUCTS(dotprod)

#endif
