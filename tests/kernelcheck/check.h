/* kernelcheck: every kernel variant against fp64 with a derived bound, and against itself however
 * work is divided.
 *
 * u = 2^-24 is the unit roundoff of fp32; gamma(k) = k u / (1 - k u) bounds k roundings in a row
 * (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). Data are normal numbers from
 * Philox with a fixed seed. */
#ifndef ZH_TESTS_KERNELCHECK_CHECK_H
#define ZH_TESTS_KERNELCHECK_CHECK_H

#include "kernels/kernels.h"

/* Prints one line and counts a failure where worst > 1. worst: the largest error divided by its
 * bound; for claims of equal bits 0 or infinity. */
void check_report(const char *op, const char *variant, const char *shape, double worst);
int check_failures(void);

double gamma_of(double roundings);
/* The larger of worst and |value - exact| / bound; a NaN that was not asked for is infinitely
 * wrong. */
double worse(double worst, double value, double exact, double bound);
double unless_equal(double worst, const void *a, const void *b, size_t bytes);
/* sum of a b; size: of their magnitudes. */
double exact_dot(double *size, const float *a, const float *b, size_t count);

float *normal_floats(size_t count,
                     float scale); /* the caller frees; exits when there is no memory */
void *random_bytes(size_t bytes);
void *zeroed(size_t bytes); /* 64-byte aligned */
/* `elements` weights of a type with ordinary scales, at p. */
void random_weights(void *p, zh_dtype type, size_t elements);
extern const zh_dtype weight_types[];
extern const size_t weight_type_count;

void check_dequantize(void);
void check_matmul(const zh_kernels *kernels);
void check_multiply(const zh_kernels *kernels);
void check_pack(void);
void check_rmsnorms(const zh_kernels *kernels);
void check_ropes(const zh_kernels *kernels);
void check_silus(const zh_kernels *kernels);
void check_gelus(const zh_kernels *kernels);
void check_gelu_tanhs(const zh_kernels *kernels);
void check_adds(const zh_kernels *kernels);
void check_argmax(const zh_kernels *kernels);
void check_logsumexp(const zh_kernels *kernels);
/* What processors do that lack AVX-VNNI, or dot products, or products of bf16. */
void check_multiply_without(void);
void check_attention(const zh_kernels *kernels);
void check_memory(void);
void check_peaks(void);
void check_gemm(void);
void bench_waiting(int threads); /* 0: as many as CPUs, and twice as many */
void bench_attention(const char *only_type, int threads); /* NULL: all types */
void time_peaks(const char *only_type, int threads);
void time_gemms(const char *only_type, int threads);
void time_memory(const char *only_type, int threads);
void bench_matmul_limits(const char *only_type, int threads); /* NULL: all types */
void bench_packing(const char *only_type);

#endif
