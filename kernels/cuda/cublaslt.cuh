/* cuBLASLt, looked up at run time and never needed. Its few functions and numbers are declared here, as its public
 * reference gives them, so that no header is needed either.
 *
 * cuBLAS counts columns first: our rows without gaps are its columns. d[m][n] = a[m][k] b[n][k] is its D (n x m) =
 * transposed (k x n matrix b) times (k x m matrix a): TN, the only order that fp8 has on Hopper. */
#ifndef ZH_KERNELS_CUDA_CUBLASLT_CUH
#define ZH_KERNELS_CUDA_CUBLASLT_CUH

#include "device.cuh"
#include "kernels/device_limits.h"

typedef void *lt_object;
struct lt_algorithm {
  uint64_t data[8];
};
struct lt_proposal {
  lt_algorithm algorithm;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};
enum { LT_R_32F = 0, LT_R_64F = 1, LT_R_16F = 2, LT_R_8I = 3, LT_R_32I = 10, LT_R_16BF = 14, LT_R_8F_E4M3 = 28 };
enum { LT_COMPUTE_32F = 68, LT_COMPUTE_64F = 70, LT_COMPUTE_32I = 72, LT_COMPUTE_32F_FAST_TF32 = 77 };
enum { LT_TRANSPOSE_A = 3, LT_A_SCALE_POINTER = 17, LT_B_SCALE_POINTER = 18, LT_FAST_ACCUMULATION = 25 };
enum { LT_MAX_WORKSPACE_BYTES = 1, LT_REDUCTION_SCHEMES = 3, LT_ALIGNMENT_C = 7, LT_ALIGNMENT_D = 8 };
enum { LT_OP_T = 1 };
enum { LT_NOT_INITIALIZED = 1, LT_ALLOC_FAILED = 3, LT_INVALID_VALUE = 7, LT_ARCH_MISMATCH = 8 };
enum { LT_EXECUTION_FAILED = 13, LT_INTERNAL_ERROR = 14, LT_NOT_SUPPORTED = 15 };

struct lt_library {
  int (*create)(lt_object *);
  size_t (*version)(void);
  int (*product_create)(lt_object *, int compute, int scale);
  int (*product_destroy)(lt_object);
  int (*product_set)(lt_object, int attribute, const void *, size_t);
  int (*layout_create)(lt_object *, int type, uint64_t rows, uint64_t columns, int64_t leading);
  int (*layout_destroy)(lt_object);
  int (*preference_create)(lt_object *);
  int (*preference_destroy)(lt_object);
  int (*preference_set)(lt_object, int attribute, const void *, size_t);
  int (*propose)(lt_object, lt_object product, lt_object a, lt_object b, lt_object c, lt_object d, lt_object preference,
                 int wanted, lt_proposal *, int *found);
  int (*multiply)(lt_object, lt_object product, const void *alpha, const void *a, lt_object, const void *b, lt_object,
                  const void *beta, const void *c, lt_object, void *d, lt_object, const lt_algorithm *, void *workspace,
                  size_t workspace_bytes, cudaStream_t);
  const char *missing; /* what it lacks; NULL: whole */
};

/* Loaded once and kept. */
const lt_library *zh_lt_library(void);
zh_status zh_lt_need(zh_error *err); /* ZH_ERR_LACKING with one sentence */
/* A handle is a device's: made when it is first needed, and kept. 0, or a status of the library. */
int zh_lt_start(int index);

/* --- one product --- */

union lt_factor {
  double f64;
  float f32;
  int32_t i32;
};
struct lt_matrix {
  const void *at;
  int64_t leading; /* elements from a row to the next */
};
/* d[m][n] = alpha sum_k a[m][k] b[n][k] + beta d. */
struct lt_product {
  const char *name; /* of its type, for sentences */
  size_t m, n, k;
  int in, out, compute, scale;
  lt_matrix a, b, d;
  lt_factor alpha, beta;
  void *workspace;
  size_t workspace_bytes;
  uint32_t alignment; /* of d, where it is less than 256; else 0 */
  bool in_order;      /* no sums of parts: the same bits each time */
  lt_object product, layout_a, layout_b, layout_d;
  lt_algorithm algorithm;
};

/* While a product is chosen. */
zh_status zh_lt_status(int status, const char *what, const lt_product *p, zh_error *err);
zh_status zh_lt_describe(zh_device *device, lt_product *p, zh_error *err);
/* The fastest of so many proposals, each run a few times; or, where nothing may run now, the first: `wanted` 0. */
zh_status zh_lt_choose(zh_device *device, lt_product *p, int wanted, zh_device_gemm_facts *facts, zh_error *err);
zh_status zh_lt_multiply(zh_device *device, const lt_product *p, zh_error *err);
void zh_lt_release(lt_product *p);

#endif
