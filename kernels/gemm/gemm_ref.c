/* C[m][n] = sum over k of A[m][k] B[n][k], plainly: fp64 sums of fp32 and bf16 products (which are
 * exact in fp64), 64-bit sums of int8 products (exact; the caller's k keeps them in 32 bits: k <
 * 2^17). */
#include "kernels/gemm/gemm.h"

void zh_gemm_fp32_ref(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                      size_t begin, size_t end) {
  (void)m;
  for (size_t i = begin; i < end; i++)
    for (size_t j = 0; j < n; j++) {
      const float *x = (const float *)a + i * k, *y = (const float *)b + j * k;
      double sum = 0;
      for (size_t p = 0; p < k; p++) sum += (double)x[p] * y[p];
      ((float *)c)[i * n + j] = (float)sum;
    }
}

void zh_gemm_bf16_ref(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                      size_t begin, size_t end) {
  (void)m;
  for (size_t i = begin; i < end; i++)
    for (size_t j = 0; j < n; j++) {
      const uint16_t *x = (const uint16_t *)a + i * k, *y = (const uint16_t *)b + j * k;
      double sum = 0;
      for (size_t p = 0; p < k; p++) sum += (double)zh_bf16_to_f32(x[p]) * zh_bf16_to_f32(y[p]);
      ((float *)c)[i * n + j] = (float)sum;
    }
}

void zh_gemm_int8_ref(void *c, const void *a, const void *b, size_t m, size_t n, size_t k,
                      size_t begin, size_t end) {
  (void)m;
  for (size_t i = begin; i < end; i++)
    for (size_t j = 0; j < n; j++) {
      const int8_t *x = (const int8_t *)a + i * k, *y = (const int8_t *)b + j * k;
      int64_t sum = 0;
      for (size_t p = 0; p < k; p++) sum += x[p] * y[p];
      ((int32_t *)c)[i * n + j] = (int32_t)sum;
    }
}
