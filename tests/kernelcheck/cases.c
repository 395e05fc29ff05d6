#include "tests/kernelcheck/cases.h"

#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include <stddef.h>
#include <string.h>

#define WEIGHTS                                                                                    \
  {                                                                                                \
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q2_K",  \
        "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4"                                                        \
  }

static void time_products(const char *name, const char *only_type, int threads) {
  (void)name;
  bench_matmul_limits(only_type, threads);
}
static void time_attention(const char *name, const char *only_type, int threads) {
  (void)name;
  bench_attention(only_type, threads);
}
static void time_packing(const char *name, const char *only_type, int threads) {
  (void)name, (void)threads;
  bench_packing(only_type);
}
static void time_waiting(const char *name, const char *only_type, int threads) {
  (void)name, (void)only_type;
  bench_waiting(threads);
}
static void time_limits(const char *name, const char *only_type, int threads) {
  if (strcmp(name, "memory") == 0) time_memory(only_type, threads);
  if (strcmp(name, "gemm") == 0) time_gemms(only_type, threads);
  if (strcmp(name, "peak") == 0) time_peaks(only_type, threads);
}

/* Both have code for AVX2 and AVX-512 F, BW, DQ, VL, and plain C. */
static const char *vectors_name(const char *type, size_t i) {
  (void)type;
  const char *best = zh_kernels_best()->name;
  if (i > 0) return NULL;
  if (strcmp(best, "vnni") == 0 || strcmp(best, "amx") == 0) return "avx512";
  return strcmp(best, "portable") == 0 ? "ref" : best;
}
static const char *memory_name(const char *type, size_t i) {
  (void)type;
  return i == 0 ? zh_memory_variant() : NULL;
}
static const char *gemm_name(const char *type, size_t i) {
  for (const zh_gemm *gemm = zh_gemm_all(); gemm->type; gemm++)
    if (strcmp(gemm->type, type) == 0 && i-- == 0) return gemm->variant;
  return NULL;
}
static const char *peak_name(const char *type, size_t i) {
  for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++)
    if (strcmp(loop->metric, type) == 0 && i-- == 0) return loop->variant;
  return NULL;
}

static const char *threads_name(const char *type, size_t i) {
  (void)type;
  return i == 0 ? "portable" : NULL;
}

#define MEMBER(field) .member = offsetof(zh_kernels, field)
#define OUTSIDE .member = SIZE_MAX

const kernel_case kernel_cases[] = {
    {.name = "multiply",
     .about = "products of packed weights, by few tokens and by many",
     .types = WEIGHTS,
     .check_table = check_multiply,
     .check = check_multiply_without,
     .time = time_products,
     MEMBER(multiply)},
    {.name = "matmul",
     .about = "products of weights as they lie in files; timed where they are not packed",
     .types = WEIGHTS,
     .check_table = check_matmul,
     .time = time_products,
     MEMBER(matmul)},
    {.name = "attention",
     .about = "queries by a cache of keys and values; timed for decoding and for prompts",
     .types = {"f32", "bf16", "q8"},
     .check_table = check_attention,
     .time = time_attention,
     MEMBER(attention)},
    {.name = "rmsnorm",
     .about = "root-mean-square norm",
     .types = {"F32"},
     .check_table = check_rmsnorms,
     .time = time_simple,
     MEMBER(rmsnorm)},
    {.name = "rope",
     .about = "rotary positions",
     .types = {"F32"},
     .check_table = check_ropes,
     .time = time_simple,
     MEMBER(rope)},
    {.name = "silu",
     .about = "silu(gate) * up",
     .types = {"F32"},
     .check_table = check_silus,
     .time = time_simple,
     MEMBER(silu_multiply)},
    {.name = "gelu",
     .about = "gelu(gate) * up, by erf",
     .types = {"F32"},
     .check_table = check_gelus,
     .time = time_simple,
     MEMBER(gelu_multiply)},
    {.name = "gelu_tanh",
     .about = "gelu(gate) * up, its tanh form",
     .types = {"F32"},
     .check_table = check_gelu_tanhs,
     .time = time_simple,
     MEMBER(gelu_tanh_multiply)},
    {.name = "add",
     .about = "y + x",
     .types = {"F32"},
     .check_table = check_adds,
     .time = time_simple,
     MEMBER(add)},
    {.name = "argmax",
     .about = "index of the largest",
     .types = {"F32"},
     .check_table = check_argmax,
     .time = time_simple,
     MEMBER(argmax)},
    {.name = "logsumexp",
     .about = "log of the sum of exponentials",
     .types = {"F32"},
     .check_table = check_logsumexp,
     .time = time_simple,
     MEMBER(logsumexp)},
    {.name = "dequantize",
     .about = "weights to fp32",
     .types = WEIGHTS,
     .check = check_dequantize,
     .time = time_simple,
     OUTSIDE,
     .variant = vectors_name},
    {.name = "packing",
     .about = "weights rearranged for multiply, beside a plain copy",
     .types = WEIGHTS,
     .check = check_pack,
     .time = time_packing,
     OUTSIDE,
     .variant = vectors_name},
    {.name = "memory",
     .about = "passes over memory: the limit of what is bound by it",
     .types = {"read", "copy", "triad"},
     .check = check_memory,
     .time = time_limits,
     OUTSIDE,
     .variant = memory_name},
    {.name = "gemm",
     .about = "square matrix products of the workload gemm",
     .types = {"fp32", "bf16", "int8"},
     .check = check_gemm,
     .time = time_limits,
     OUTSIDE,
     .variant = gemm_name},
    {.name = "peak",
     .about = "register loops: the limit of what is bound by arithmetic",
     .types = {"fp32_fma", "bf16_dot", "int8_dot"},
     .check = check_peaks,
     .time = time_limits,
     OUTSIDE,
     .variant = peak_name},
    {.name = "barrier",
     .about = "what it costs that THREADS wait for each other",
     .types = {"threads"},
     .time = time_waiting,
     OUTSIDE,
     .variant = threads_name},
};
const size_t kernel_case_count = sizeof kernel_cases / sizeof *kernel_cases;

const kernel_case *kernel_case_find(const char *name) {
  for (size_t i = 0; i < kernel_case_count; i++)
    if (strcmp(kernel_cases[i].name, name) == 0) return &kernel_cases[i];
  return NULL;
}
