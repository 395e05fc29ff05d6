/* Inside kernels/: the functions that the tables are made of. `_ref` is plain C; `_avx2` needs
 * AVX2, FMA and F16C;
 * `_avx512` needs F, BW, DQ and VL besides. Signatures and meanings are those of kernels.h. */
#ifndef ZH_KERNELS_VARIANTS_H
#define ZH_KERNELS_VARIANTS_H

#include "kernels/kernels.h"

#define ZH_DECLARE_KERNELS(isa)                                                                    \
  void zh_matmul_##isa(float *y, size_t y_stride, const zh_matrix *w, const float *x,              \
                       size_t x_stride, size_t tokens, size_t begin, size_t end, void *scratch);   \
  void zh_rmsnorm_##isa(float *y, const float *x, const float *gain, size_t columns, float eps,    \
                        size_t begin, size_t end);                                                 \
  void zh_rope_##isa(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,   \
                     bool interleaved, const float *angles, size_t begin, size_t end);             \
  void zh_attention_##isa(const zh_attention *work, size_t begin, size_t end, void *scratch);      \
  void zh_attention_merge_##isa(const zh_attention *work, size_t begin, size_t end,                \
                                void *scratch);                                                    \
  void zh_gelu_multiply_##isa(float *y, const float *gate, const float *up, size_t begin,          \
                              size_t end);                                                         \
  void zh_gelu_tanh_multiply_##isa(float *y, const float *gate, const float *up, size_t begin,     \
                                   size_t end);                                                    \
  void zh_silu_multiply_##isa(float *y, const float *gate, const float *up, size_t begin,          \
                              size_t end);                                                         \
  void zh_add_##isa(float *y, const float *x, size_t begin, size_t end);                           \
  size_t zh_argmax_##isa(const float *x, size_t count);                                            \
  double zh_logsumexp_##isa(const float *x, size_t count);

ZH_DECLARE_KERNELS(ref)
ZH_DECLARE_KERNELS(portable)
ZH_DECLARE_KERNELS(avx2)
ZH_DECLARE_KERNELS(avx512)

/* Of what is written with the compiler's vectors, for CPUs without any of these sets. */
void zh_rope_portable(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,
                      bool interleaved, const float *angles, size_t begin, size_t end);
void zh_attention_portable(const zh_attention *work, size_t begin, size_t end, void *scratch);
void zh_attention_merge_portable(const zh_attention *work, size_t begin, size_t end, void *scratch);
void zh_gelu_multiply_portable(float *y, const float *gate, const float *up, size_t begin,
                               size_t end);
void zh_gelu_tanh_multiply_portable(float *y, const float *gate, const float *up, size_t begin,
                                    size_t end);
double zh_logsumexp_portable(const float *x, size_t count);
/* By tiles: q and weights of values rounded to bf16, caches of bf16 and q8, heads of whole 32. */
void zh_attention_amx(const zh_attention *work, size_t begin, size_t end, void *scratch);

/* zh_dequantize_row with vectors, bit for bit the same. */
void zh_dequantize_row_avx2(float *y, const void *row, zh_dtype type, size_t elements);
void zh_dequantize_row_avx512(float *y, const void *row, zh_dtype type, size_t elements);

/* `call` with a weight type as a constant, so that each type has its own loop. */
#define ZH_FOR_WEIGHT_TYPE(type, call)                                                             \
  switch (type) {                                                                                  \
  case ZH_F32:                                                                                     \
    call(ZH_F32);                                                                                  \
    break;                                                                                         \
  case ZH_F16:                                                                                     \
    call(ZH_F16);                                                                                  \
    break;                                                                                         \
  case ZH_BF16:                                                                                    \
    call(ZH_BF16);                                                                                 \
    break;                                                                                         \
  case ZH_Q4_0:                                                                                    \
    call(ZH_Q4_0);                                                                                 \
    break;                                                                                         \
  case ZH_Q4_1:                                                                                    \
    call(ZH_Q4_1);                                                                                 \
    break;                                                                                         \
  case ZH_Q5_0:                                                                                    \
    call(ZH_Q5_0);                                                                                 \
    break;                                                                                         \
  case ZH_Q5_1:                                                                                    \
    call(ZH_Q5_1);                                                                                 \
    break;                                                                                         \
  case ZH_Q8_0:                                                                                    \
    call(ZH_Q8_0);                                                                                 \
    break;                                                                                         \
  case ZH_Q4_K:                                                                                    \
    call(ZH_Q4_K);                                                                                 \
    break;                                                                                         \
  case ZH_Q5_K:                                                                                    \
    call(ZH_Q5_K);                                                                                 \
    break;                                                                                         \
  case ZH_Q6_K:                                                                                    \
    call(ZH_Q6_K);                                                                                 \
    break;                                                                                         \
  case ZH_Q2_K:                                                                                    \
    call(ZH_Q2_K);                                                                                 \
    break;                                                                                         \
  case ZH_Q3_K:                                                                                    \
    call(ZH_Q3_K);                                                                                 \
    break;                                                                                         \
  case ZH_IQ4_NL:                                                                                  \
    call(ZH_IQ4_NL);                                                                               \
    break;                                                                                         \
  case ZH_IQ4_XS:                                                                                  \
    call(ZH_IQ4_XS);                                                                               \
    break;                                                                                         \
  case ZH_MXFP4:                                                                                   \
    call(ZH_MXFP4);                                                                                \
    break;                                                                                         \
  default:                                                                                         \
    break;                                                                                         \
  }

/* The 6-bit scale and minimum of run i (of 8) in the 12 packed bytes of Q4_K and Q5_K. */
void zh_k_scale_minimum(uint8_t *scale, uint8_t *minimum, const uint8_t *packed, int i);

/* Rows of a weight matrix that variants dequantise at once: a multiple of 4 in [4, 32], within 512
 * KiB where it can be, so that the rows stay in a second-level cache while every token passes by.
 */
size_t zh_matmul_block_rows(size_t columns);

typedef struct zh_memory_loops {
  const char *variant;
  double (*read)(const double *a, size_t begin, size_t end);
  void (*copy)(double *b, const double *a, size_t begin, size_t end);
  void (*triad)(double *a, const double *b, const double *c, double s, size_t begin, size_t end);
} zh_memory_loops;
extern const zh_memory_loops zh_memory_portable, zh_memory_avx2, zh_memory_avx512;

#endif
