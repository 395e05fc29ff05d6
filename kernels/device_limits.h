/* The limits of an accelerator itself, part of a module's table (device.h): memory traffic,
 * arithmetic from registers, vendor's matrix products, copies, launches. bench/workloads/gpu_*.c
 * measure with it.
 *
 * What is computed can be checked exactly: 32-bit words that add up modulo 2^32, small whole
 * numbers whose products and sums every type holds, and IEEE multiply-adds. Nothing here has an own
 * clock: the caller records events around what is enqueued, but for copies, which start together.
 */
#ifndef ZH_KERNELS_DEVICE_LIMITS_H
#define ZH_KERNELS_DEVICE_LIMITS_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- memory --- */

typedef enum zh_device_flow {
  ZH_FLOW_READ,  /* *sum += all words of b */
  ZH_FLOW_WRITE, /* a[i] = zh_flow_word(key, i) */
  ZH_FLOW_COPY,  /* a = b */
  ZH_FLOW_TRIAD  /* a = b + 3 c */
} zh_device_flow;

/* All modulo 2^32. Arrays of `words`, a multiple of 4, 16-byte aligned. */
typedef struct zh_device_traffic {
  zh_device_flow flow;
  uint32_t *a;
  const uint32_t *b, *c;
  size_t words;
  uint32_t *sum; /* READ; the caller sets it to 0 */
  uint32_t key;  /* WRITE */
} zh_device_traffic;

/* Word i of an array: a hash of i within blocks of 2^20, shifted from block to block, so that the
 * host can add up terabytes by adding up one block. */
enum { ZH_FLOW_BLOCK = 1 << 20 };
static inline uint32_t zh_flow_word(uint32_t key, uint64_t i) {
  uint32_t x = ((uint32_t)i & (ZH_FLOW_BLOCK - 1)) * 0x9E3779B1u + key;
  x ^= x >> 15;
  x *= 0x85EBCA77u;
  x ^= x >> 13;
  return x + (uint32_t)(i / ZH_FLOW_BLOCK) * 0xC2B2AE3Du;
}

/* --- arithmetic --- */

/* Arithmetic on registers and, where the instruction takes its operands from there, shared memory.
 * Every thread gives back one word for all its rounds; sums are modulo 2^32.
 *
 * FMA loops (rows 0): ZH_PEAK_CHAINS chains a thread, of which a round makes ZH_PEAK_REPEATS times
 * x = x + h y, y = y - h x, each fused; they neither converge nor grow. Given back is, of the bits
 * of the numbers in the end, sum over chains c of (2 c + 1) word(x_c) + (2 c + 2) word(y_c), word
 * of 8 bytes: both halves added. IEEE 754 says what it must be.
 *
 * Matrix loops: a round adds up, ZH_PEAK_REPEATS times, `steps` products of a[rows][depth] and
 * b[depth][columns]. The operands are whole numbers so small that all sums d are exact. A thread
 * then adds sum over its elements e of (2 e + 1) d_e, `copies` times, to its word. Its elements
 * are, of thread t of those that share a product, rows 16 (t / 32) + t % 32 / 4 + 8 (e / 2 % 2),
 * columns 8 (e / 4) + 2 (t % 4) + e % 2 (PTX ISA, matrix fragments of mma.m16n8 and wgmma.m64). */
enum { ZH_PEAK_CHAINS = 8, ZH_PEAK_LANES = 32, ZH_PEAK_REPEATS = 16, ZH_PEAK_ROW_BYTES = 32 };
typedef enum zh_device_number {
  ZH_NUMBER_F64,
  ZH_NUMBER_F32,
  ZH_NUMBER_TF32,
  ZH_NUMBER_BF16,
  ZH_NUMBER_F16,
  ZH_NUMBER_E4M3,
  ZH_NUMBER_INT8
} zh_device_number;

typedef struct zh_device_peak {
  const char *metric;  /* "bf16_tensor" */
  const char *variant; /* "wgmma.m64n128k16", "mma.m16n8k16", "fma" */
  const char *unit;    /* "FLOP/s", "OP/s" */
  zh_device_number number;
  uint32_t rows, columns,
      depth; /* depth elements are ZH_PEAK_ROW_BYTES bytes, but of fp64's m16n8k16 */
  uint32_t steps, copies;
  uint32_t threads; /* that share one product */
  uint32_t block_threads, blocks_per_multiprocessor;
} zh_device_peak;

/* Operands on the device. FMA: x and y, [2][ZH_PEAK_CHAINS][ZH_PEAK_LANES] numbers, then h,
 * [ZH_PEAK_LANES]. Matrices: [steps] of a, row by row, then [steps] of b, column by column. */
typedef struct zh_device_peak_run {
  const void *operands;
  uint32_t *sums; /* [blocks * block_threads] */
  uint32_t blocks;
  uint64_t rounds;
} zh_device_peak_run;

/* --- vendor's matrix products --- */

typedef enum zh_device_gemm_type {
  ZH_GEMM_FP64,
  ZH_GEMM_FP32,
  ZH_GEMM_TF32,
  ZH_GEMM_BF16,
  ZH_GEMM_FP16,
  ZH_GEMM_FP8,      /* e4m3 with a scale for each matrix; sums promoted to fp32 as they grow */
  ZH_GEMM_FP8_FAST, /* the same with the tensor cores' own, shorter sums */
  ZH_GEMM_INT8,
  ZH_GEMM_TYPES
} zh_device_gemm_type;
static inline const char *zh_device_gemm_name(zh_device_gemm_type type) {
  static const char *const names[ZH_GEMM_TYPES] = {"fp64", "fp32", "tf32",     "bf16",
                                                   "fp16", "fp8",  "fp8_fast", "int8"};
  return names[type];
}

/* d[m][n] = sum_k a[m][k] b[n][k], rows without gaps: fp64 and fp32 stay, int8 gives int32, bf16
 * and fp8 give bf16, fp16 gives fp16. m, n, k multiples of 16. scales: two floats on the device, of
 * a and b, for fp8. */
typedef struct zh_device_gemm_work {
  zh_device_gemm_type type;
  size_t m, n, k;
  const void *a, *b;
  void *d;
  const float *scales;
  void *workspace;
  size_t workspace_bytes;
} zh_device_gemm_work;
typedef struct zh_device_gemm zh_device_gemm; /* a chosen algorithm for one work */
typedef struct zh_device_gemm_facts {
  int candidates; /* that the library proposed and that ran */
  int chosen;     /* its place among the proposals */
  double best_s, first_s;
  size_t workspace_bytes;
  uint64_t library_version;
} zh_device_gemm_facts;

/* --- copies --- */

typedef enum zh_device_copy_kind {
  ZH_COPY_TO_DEVICE,
  ZH_COPY_FROM_DEVICE,
  ZH_COPY_LOCAL,
  ZH_COPY_PEER_WRITE, /* by this device, from its memory into the other's */
  ZH_COPY_PEER_READ   /* by this device, out of the other's memory into its own */
} zh_device_copy_kind;
/* `warmups` and then `count` copies of `bytes`, of which the latter are timed by events. Nothing
 * starts before everything is enqueued. against_*: a copy the other way that goes on meanwhile on a
 * stream of its own, twice as often and not timed; NULL: none. */
typedef struct zh_device_copies {
  zh_device_copy_kind kind;
  void *to;
  const void *from;
  size_t bytes;
  int warmups, count;
  void *against_to;
  const void *against_from;
} zh_device_copies;

/* --- the table --- */

typedef struct zh_device_limits {
  /* out[i] = pool[zh_flow_word(key, i) mod pool_count], elements of 1, 2, 4 or 8 bytes; pool_count
   * a power of two: random numbers drawn from a pool that the host made, too. */
  zh_status (*spread)(zh_device *device, void *out, const void *pool, size_t pool_count,
                      size_t element_bytes, size_t count, uint32_t key, zh_error *err);
  zh_status (*traffic)(zh_device *device, const zh_device_traffic *work, zh_error *err);

  /* Those that this device can run, NULL-terminated; of one metric the best comes first, the
   * plainest last. Until the thread's next call. */
  const zh_device_peak *const *(*peaks)(const zh_device *device);
  zh_status (*peak)(zh_device *device, const zh_device_peak *peak, const zh_device_peak_run *run,
                    zh_error *err);

  /* ZH_ERR_LACKING where the library is not there or has nothing for this type and device. Asks it
   * for `proposals` algorithms, runs each (not inside a graph) and keeps the fastest. */
  zh_status (*gemm_choose)(zh_device *device, zh_device_gemm **out, const zh_device_gemm_work *work,
                           int proposals, zh_device_gemm_facts *facts, zh_error *err);
  zh_status (*gemm)(zh_device *device, zh_device_gemm *gemm, zh_error *err);
  void (*release_gemm)(zh_device_gemm *gemm); /* NULL is safe */
  /* "cuBLASLt 13.0.2", or ZH_ERR_LACKING with one sentence. */
  zh_status (*gemm_library)(char *out, size_t capacity, zh_error *err);

  /* Waits until done. other: the peer, else NULL. */
  zh_status (*copies)(zh_device *device, zh_device *other, const zh_device_copies *work,
                      double *seconds, zh_error *err);
  /* Whether one reaches the other's memory; switches it on. */
  bool (*peers)(zh_device *device, zh_device *other);

  /* A kernel of one thread that does nothing. */
  zh_status (*empty)(zh_device *device, zh_error *err);
  /* A kernel of 256 threads a block, two blocks a multiprocessor, in which all wait for each other
   * `count` times and do nothing else. word: 4 bytes of the device, 0 before the first call. */
  zh_status (*meetings)(zh_device *device, void *word, uint32_t count, zh_error *err);
} zh_device_limits;

#ifdef __cplusplus
}
#endif
#endif
