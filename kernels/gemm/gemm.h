/* Inside kernels/: the matrix products that zh_gemm_best chooses from. */
#ifndef ZH_KERNELS_GEMM_GEMM_H
#define ZH_KERNELS_GEMM_GEMM_H

#include "kernels/kernels.h"

#define ZH_DECLARE_GEMM(name)                                                                      \
  void zh_gemm_##name(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,         \
                      size_t begin, size_t end);

ZH_DECLARE_GEMM(fp32_ref)
ZH_DECLARE_GEMM(bf16_ref)
ZH_DECLARE_GEMM(int8_ref)
ZH_DECLARE_GEMM(fp32_avx512)
ZH_DECLARE_GEMM(bf16_avx512_bf16)
ZH_DECLARE_GEMM(int8_avx512_vnni)

#endif
