/* The arithmetic of a transformer on the CPU. Knows no model.
 *
 * One table of functions. `zh_kernels_reference()` is the specification: plain loops, fp32 values,
 * fp64 sums. `zh_kernels_best()` starts from it and overrides what this CPU can do faster (_avx2,
 * _avx512, _vnni, _amx); every variant is checked against the reference and against fp64 in
 * tests/kernelcheck. Calls work on a range of output rows, so the caller divides work over threads.
 *
 * Within one table an output element is always summed in the same order: neither the range, nor the
 * number of threads, nor the number of tokens in the call changes a bit of it. Products of packed
 * weights go several ways (zh_way), for few tokens or for many; within each a token alone equals
 * the same token among others, between two it need not. kernelcheck holds this for every
 * table, weight type and shape it tries. */
#ifndef ZH_KERNELS_KERNELS_H
#define ZH_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/halves.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- conversions: exact, by formula of the format --- */

/* y[i] = value of element i of a row; elements must be whole blocks. Types: zh_dtype_is_weight. The
 * formulas are ggml's (ggml-quants.c); tests compare with PyPI gguf. */
void zh_dequantize_row(float *y, const void *row, zh_dtype type, size_t elements);
/* The same bits, with the widest vectors that may be used here. */
void zh_dequantize_row_fast(float *y, const void *row, zh_dtype type, size_t elements);

/* The other way: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 by ggml's reference quantisers, bit for bit,
 * Q4_K by least squares. False: a value that is no number (but in F32, F16, BF16) or beyond what
 * the type's scale holds. */
bool zh_quantizes(zh_dtype type);
bool zh_quantize_row(void *out, const float *x, zh_dtype type, size_t elements);

/* A weight matrix W[rows][columns], row-major, in any weight type; rows are row_bytes apart. */
typedef struct zh_matrix {
  const void *data;
  zh_dtype type;
  size_t rows, columns, row_bytes;
} zh_matrix;

/* The same weights rearranged for zh_kernels.multiply: the bits of a matrix in other places (but
 * rows are filled up to ZH_PACKED_ROWS with zeros, and unquantised ones to 32 columns), so packed
 * weights can stand instead of the matrix. */
enum {
  ZH_PACKED_ROWS = 16,
  ZH_PACKED_VERSION = 1 /* of the arrangement: raised with every change of where a byte lies */
};
typedef struct zh_packed {
  const void *data; /* 64-byte aligned, zh_packed_bytes */
  zh_dtype type;
  size_t rows, columns;
} zh_packed;
bool zh_packs(zh_dtype type); /* whether there is such an arrangement */
size_t zh_packed_bytes(zh_dtype type, size_t rows, size_t columns);
/* `count` rows, row_bytes apart, into the place of the first of them; a multiple of ZH_PACKED_ROWS
 * but for the matrix's last. */
void zh_pack_rows(void *out, zh_dtype type, const void *rows, size_t count, size_t row_bytes,
                  size_t columns);
/* Row r as it was before. */
void zh_unpack_row(void *out, const zh_packed *w, size_t r);

/* How packed weights are multiplied. Who computes chooses, by zh_way_of where nothing speaks
 * against it; each way takes any number of tokens. */
typedef enum zh_way {
  ZH_FEW,  /* the fastest for up to ZH_FEW_TOKENS: weights as they are, read once */
  ZH_MANY, /* for more: weights are unpacked once and used for all tokens */
  ZH_FINE  /* for products that must lose less than activations in bytes do: they take two */
} zh_way;
enum { ZH_FEW_TOKENS = 8 };
zh_way zh_way_of(size_t tokens);

/* --- keys and values that later tokens attend to --- */

typedef enum zh_kv_type {
  ZH_KV_F32,
  ZH_KV_BF16, /* rounded to nearest even: what tile products take, and the range of fp32 */
  ZH_KV_Q8,   /* bytes n s, one scale s for a head of a position: the largest magnitude / 127,
                 rounded up to bf16, so that n s is exact in fp32 */
  ZH_KV_E4M3, /* eight-bit floats n s: kernels/device.h. Only accelerators keep them so */
  ZH_KV_TYPES
} zh_kv_type;
enum { ZH_KV_CPU_TYPES = ZH_KV_E4M3 };                 /* those before it have a zh_kv */
bool zh_kv_find(zh_kv_type *out, const char *name);    /* false: no such name, or NULL */
extern const char *const zh_kv_names[ZH_KV_TYPES + 1]; /* "f32", "bf16", "q8", "e4m3", NULL */

/* One layer's cache: for each sequence and head `capacity` positions, in the order that all kernels
 * read (kernels/attention/kv.h): sixteen keys beside each other, values in pairs. Values that are
 * the first numbers of their keys, as those of latent attention, are held once, with the keys. */
typedef struct zh_kv {
  zh_kv_type type;
  size_t sequences, kv_heads, head_dim, capacity;
  unsigned char *keys, *values; /* zh_kv_bytes each, 64-byte aligned */
  size_t shared; /* so many numbers of a key are its value, and `values` is not used; 0: none */
} zh_kv;
size_t zh_kv_bytes(const zh_kv *kv); /* SIZE_MAX where that is too much */
/* Numbers of a value. */
static inline size_t zh_kv_value_dim(const zh_kv *kv) {
  return kv->shared ? kv->shared : kv->head_dim;
}
/* Of keys and values of a position, one layer's: what a decoded token reads for it. */
size_t zh_kv_position_bytes(const zh_kv *kv);
/* Heads [begin, end) of k, v: [kv_heads][head_dim], rounded here and nowhere else; of shared values
 * no v is read. */
void zh_kv_store(const zh_kv *kv, size_t sequence, size_t position, size_t begin, size_t end,
                 const float *k, const float *v);
/* Sum of the bits of all numbers below position `length`, as they are held, modulo 2^64, with odd
 * factors: any single change shows, and two numbers in each other's place do. */
uint64_t zh_kv_sum(const zh_kv *kv, size_t sequence, size_t length);
/* Positions [begin, end) of a sequence as those of another, whose positions before them are the same. */
void zh_kv_copy(const zh_kv *kv, size_t to, size_t from, size_t begin, size_t end);
/* All bits of positions >= first of a sequence set: every number is NaN. */
void zh_kv_poison(const zh_kv *kv, size_t sequence, size_t first);
/* An injected fault: one bit of a number as it is held. */
void zh_kv_flip(const zh_kv *kv, bool values, size_t sequence, size_t head, size_t position,
                size_t dim, unsigned bit);
/* The values that are held: out[end - begin][head_dim], of values [zh_kv_value_dim]. */
void zh_kv_keys(float *out, const zh_kv *kv, size_t sequence, size_t head, size_t begin,
                size_t end);
void zh_kv_values(float *out, const zh_kv *kv, size_t sequence, size_t head, size_t begin,
                  size_t end);
/* A head of a position becomes the values that the cache would hold. */
void zh_kv_round(float *head, zh_kv_type type, size_t head_dim);

/* Attention of `tokens` tokens whose keys and values are stored. Token t attends to positions
 * 0 … position[t] of sequence[t], with a window to the last `window` of these. Positions are taken
 * in blocks of ZH_ATTENTION_BLOCK, each with its own largest score, and blocks are merged in
 * order: neither the tokens of an item, nor who computes it, nor parts change a bit. */
enum { ZH_ATTENTION_BLOCK = 256, ZH_ATTENTION_ROWS = 256 };
typedef struct zh_attention {
  float *out;     /* [tokens][heads][zh_kv_value_dim] */
  const float *q; /* [tokens][heads][head_dim] */
  const zh_kv *kv;
  size_t heads, tokens, window; /* window 0: all */
  const uint32_t *position, *sequence;
  float scale;         /* multiplies q·k: 1 / sqrt(head_dim) */
  float softcap;       /* a score s becomes softcap tanh(s / softcap); 0: it does not */
  const float *sinks;  /* [heads]: a score of each softmax without a value; NULL: none */
  const float *slopes; /* [heads]: a key n positions back scores n slopes less; NULL: it does not */
  zh_way way;    /* many: q and weights of values may be rounded to bf16 (zh_attention_rounds) */
  size_t run;    /* an item is this many tokens of one key head; run * heads / kv_heads at most
                    ZH_ATTENTION_ROWS */
  size_t blocks; /* where there are parts: an item is one block of these, the most a token has */
  float *parts;  /* NULL, or zh_attention_part_floats */
} zh_attention;
size_t zh_attention_items(const zh_attention *work);
size_t zh_attention_part_floats(size_t tokens, size_t heads, size_t value_dim, size_t blocks);
size_t zh_attention_scratch_bytes(size_t head_dim);

/* Cosines, then sines, of position[t] frequency[i], times factor: angles[t][2][pairs], t in
 * [begin, end); in fp64, then rounded. */
void zh_rope_angles(float *angles, const double *frequency, size_t pairs, double factor,
                    const uint32_t *position, size_t begin, size_t end);

/* What the operands of a product of packed weights become before they are multiplied. Sums are
 * fp32's. */
typedef enum zh_rounding {
  ZH_ROUND_NONE,  /* nothing else: fp32 activations by weights as zh_dequantize_row gives them */
  ZH_ROUND_BF16,  /* both bf16, to nearest even */
  ZH_ROUND_BYTES, /* activations bytes, in blocks of 32 columns a scale, the largest magnitude /
                     127;    weights stay exact */
  ZH_ROUND_TWO_BYTES, /* the same with the largest magnitude / 16256: a byte, and 128th parts of it
                       */
  ZH_ROUND_BF16_INPUTS, /* activations bf16; weights stay exact */
  ZH_ROUND_E4M3_INPUTS  /* activations n s in groups of ZH_E4M3_GROUP columns, n E4M3, s the largest
                           magnitude / 448 up to the next bf16, so that n s is exact; weights, of
                           E4M3, stay exact. Sums of a group are a tensor core's:
                           zh_rounding_loss */
} zh_rounding;
enum { ZH_ROUNDINGS = 6, ZH_E4M3_GROUP = 128 };
/* How a table rounds: weights of bf16 in all ways, quantised ones by few tokens, by many, and where
 * finer rounding is asked for. F32 and F16 are never rounded. Certificates carry it, so that a
 * machine with other kernels can check them. */
typedef struct zh_roundings {
  zh_rounding bf16, few, many, fine;
  zh_rounding
      attention;    /* of q and of the weights of values, where zh_attention_rounds; else none */
  zh_rounding e4m3; /* of weights of E4M3 by many tokens, where zh_rounds_e4m3 (device.h);
                       none: as `many` */
} zh_roundings;
/* Whatever these say, scores with a softcap or slopes are not. */
bool zh_attention_rounds(const zh_roundings *table, zh_kv_type type, size_t head_dim,
                         size_t value_dim, zh_way way);
zh_rounding zh_rounding_of(const zh_roundings *table, zh_dtype type, zh_way way);
const char *zh_rounding_name(zh_rounding rounding);        /* "none", "bf16", "bytes", "bytes2",
                                                              "bf16-inputs",        "e4m3-inputs" */
bool zh_rounding_find(zh_rounding *out, const char *name); /* false: no such name, or NULL */
/* The values that a token's activations become. */
void zh_rounded(float *y, zh_rounding rounding, const float *x, size_t columns);
/* A dequantised row becomes the values that are multiplied. */
void zh_rounded_weights(float *row, zh_rounding rounding, size_t columns);
/* What a sum of products w x, both as above, may lose beside the roundings of fp32: 0 but of
 * E4M3_INPUTS, whose groups are summed by instructions of 32 columns that keep 13 bits below the
 * largest term (docs/metrics.md). */
double zh_rounding_loss(zh_rounding rounding, const float *w, const float *x, size_t columns);

typedef struct zh_kernels {
  const char *name; /* "ref", "portable", "avx2", "avx512", "vnni", "amx" */
  /* Whether sums are in fp64 (the reference) or fp32: what error bounds use. */
  bool fp64_sums;

  /* y[t][r] = sum_c W[r][c] x[t][c] for r in [begin, end), t < tokens.
   * x: [tokens][columns] f32, row stride x_stride; y: [tokens][rows] f32, row stride y_stride (both
   * in elements). scratch: zh_matmul_scratch_bytes bytes, 64-byte aligned, one for each thread. */
  void (*matmul)(float *y, size_t y_stride, const zh_matrix *w, const float *x, size_t x_stride,
                 size_t tokens, size_t begin, size_t end, void *scratch);

  /* The same product with packed weights, rounded as zh_rounding_of(&rounds, type, way) says; NULL
   * where this CPU has nothing faster than matmul. prepare brings activations into the form that
   * multiply reads, once for any number of products that round alike: tokens [begin, end), begin a
   * multiple of 16; out: zh_prepared_bytes, 64-byte aligned; its layout is the table's. multiply:
   * rows [begin, end), begin a multiple of ZH_PACKED_ROWS, end too or all rows; scratch:
   * zh_multiply_scratch_bytes, 64-byte aligned. */
  zh_roundings rounds;
  void (*prepare)(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                  size_t columns, size_t tokens, size_t begin, size_t end);
  void (*multiply)(float *y, size_t y_stride, const zh_packed *w, zh_way way, const void *prepared,
                   size_t tokens, size_t begin, size_t end, void *scratch);

  /* y[t][i] = gain[i] x[t][i] / sqrt(mean(x[t]^2) + eps), t in [begin, end). arXiv:1910.07467. y
   * may be x. */
  void (*rmsnorm)(float *y, const float *x, const float *gain, size_t columns, float eps,
                  size_t begin, size_t end);

  /* Rotates the first rope_dims of each head in place, t in [begin, end), by the angles of
   * zh_rope_angles. x: [tokens][heads][head_dim], row stride x_stride. interleaved: pairs
   * (2i, 2i + 1), else (i, i + rope_dims / 2). arXiv:2104.09864. */
  void (*rope)(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,
               bool interleaved, const float *angles, size_t begin, size_t end);

  /* Causal grouped-query attention (zh_attention, above), items [begin, end) of
   * zh_attention_items, in any order, each once; scratch: zh_attention_scratch_bytes, 64-byte
   * aligned, one for each thread. Where work has parts, attention_merge must follow when all items
   * are done: query heads t * heads + h in [begin, end). */
  void (*attention)(const zh_attention *work, size_t begin, size_t end, void *scratch);
  void (*attention_merge)(const zh_attention *work, size_t begin, size_t end, void *scratch);

  /* y[i] = silu(gate[i]) * up[i], i in [begin, end); silu(x) = x / (1 + exp(-x)). y may be gate.
   * arXiv:2002.05202. */
  void (*silu_multiply)(float *y, const float *gate, const float *up, size_t begin, size_t end);
  /* The same with gelu(x) = x (1 + erf(x / sqrt(2))) / 2, or its tanh form
   * x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. arXiv:1606.08415. */
  void (*gelu_multiply)(float *y, const float *gate, const float *up, size_t begin, size_t end);
  void (*gelu_tanh_multiply)(float *y, const float *gate, const float *up, size_t begin,
                             size_t end);
  /* y[i] += x[i], i in [begin, end) */
  void (*add)(float *y, const float *x, size_t begin, size_t end);
  /* Index of the largest; ties go to the lowest. NaN anywhere gives SIZE_MAX. */
  size_t (*argmax)(const float *x, size_t count);
  /* log(sum(exp(x[i]))), fp64, with the maximum taken out. */
  double (*logsumexp)(const float *x, size_t count);
} zh_kernels;

const zh_kernels *zh_kernels_reference(void);
/* Chosen once. ZH_CPU=ref|portable|avx2|avx512|vnni|amx asks for one, as a machine without the
 * better ones would run; where this CPU lacks it, the best below it is taken. */
const zh_kernels *zh_kernels_best(void);
/* *missing: what ZH_CPU asks for and this CPU cannot run, else NULL. ZH_ERR_USAGE where it is no
 * such word (zh_kernels_best takes the CPU's best then): programs ask this once, at their start. */
ZH_MUST_CHECK zh_status zh_kernels_asked(const char **missing, zh_error *err);
/* Those this CPU can run, NULL-terminated: the reference, then better and better ones. */
const zh_kernels *const *zh_kernels_all(void);
size_t zh_matmul_scratch_bytes(size_t columns, size_t tokens);
/* Room for prepare's result, of every table. */
size_t zh_prepared_bytes(zh_rounding rounding, size_t columns, size_t tokens);
size_t zh_multiply_scratch_bytes(size_t columns);
/* What this CPU has and the operating system lets it use. */
typedef struct zh_cpu_features {
  bool avx2_fma, f16c, avx512, avx512_vnni, avx512_bf16, avx512_vbmi, avx_vnni, amx_bf16, amx_int8;
  bool arm_dotprod; /* Armv8.2's dot products of bytes */
} zh_cpu_features;
zh_cpu_features zh_cpu_detect(void);

/* --- threads: persistent, pinned, spinning briefly then sleeping --- */

typedef struct zh_threads zh_threads;
/* count >= 1, the caller is thread 0. cpus: logical CPU of each thread, or NULL to pin to the
 * process's allowed CPUs in order. Pinning that fails is not an error (zh_threads_pinned tells). */
ZH_MUST_CHECK zh_status zh_threads_create(zh_threads **out, int count, const int *cpus,
                                          zh_error *err);
/* Where others need the CPUs as well: not pinned, and waiting sleeps at once. */
ZH_MUST_CHECK zh_status zh_threads_create_crowded(zh_threads **out, int count, zh_error *err);
void zh_threads_free(zh_threads *threads);
/* How often a thread may look before it sleeps; 0 where it has no CPU of its own. */
int zh_threads_spins(const zh_threads *threads);
int zh_threads_count(const zh_threads *threads);
bool zh_threads_pinned(const zh_threads *threads);
/* Runs task(user, thread, threads) on every thread and returns when all are done. */
typedef void (*zh_task)(void *user, int thread, int threads);
void zh_threads_run(zh_threads *threads, zh_task task, void *user);
/* All threads inside one task wait for each other. */
void zh_threads_barrier(zh_threads *threads);
/* Static division: [*begin, *end) of `items`, in multiples of `grain`, for a thread. */
void zh_share(size_t *begin, size_t *end, size_t items, size_t grain, int thread, int threads);

/* --- loops that find the machine's limits; each checks its own result --- */

/* Anonymous memory on 2 MiB pages where the system gives them (madvise). NULL when there is none.
 */
void *zh_big_alloc(size_t bytes);
void zh_big_free(void *p, size_t bytes);

/* One pass over [begin, end) of the arrays; copy and triad (a = b + s c, whose product and sum may
 * round as one or as two) write past the caches where the CPU can; *_bytes of traffic counted as
 * STREAM does (read 8, copy 16, triad 24 a double). read returns the sum (to be checked against the
 * fill), so nothing is optimised away. */
double zh_memory_read(const double *a, size_t begin, size_t end);
void zh_memory_copy(double *b, const double *a, size_t begin, size_t end);
void zh_memory_triad(double *a, const double *b, const double *c, double s, size_t begin,
                     size_t end);
const char *zh_memory_variant(void); /* "avx512" … */

/* A register-resident loop of `rounds` rounds on random normal operands; returns operations done
 * (multiply and add count one each) and writes a checksum that the caller compares with the same
 * loop's reference. The reference of a dot product costs nothing; that of fp32_fma runs the rounds
 * in plain code, some ten times slower than the loop. */
typedef struct zh_peak_loop {
  const char *metric;  /* "fp32_fma", "bf16_dot", "int8_dot" */
  const char *variant; /* "avx512_vnni", "amx", "portable" */
  const char *unit;    /* "FLOP/s" or "OP/s" */
  double (*run)(uint64_t rounds, uint64_t seed, double *checksum);
  double (*reference)(uint64_t rounds, uint64_t seed); /* the checksum, by plain code */
  double
      tolerance; /* relative; 0 for all of ours, which are exact (kernels/peak/peak.h says why) */
} zh_peak_loop;
/* The best variant of each metric on this CPU, then slower ones; NULL-terminated by metric == NULL.
 */
const zh_peak_loop *zh_peak_loops(void);

/* C[m][n] = sum_k A[m][k] B[n][k] (B transposed: weights), rows [begin, end) of m. The reference
 * sums in fp64. f32: f32 in, f32 out; bf16: bf16 bits in, f32 out; int8: signed bytes in, int32
 * out. */
typedef struct zh_gemm {
  const char *type;    /* "fp32", "bf16", "int8" */
  const char *variant; /* "reference", "avx512", … */
  const char *peak;    /* metric of zh_peak_loop it stands against */
  void (*run)(void *c, const void *a, const void *b, size_t m, size_t n, size_t k, size_t begin,
              size_t end);
} zh_gemm;
const zh_gemm *zh_gemm_best(const char *type); /* NULL for an unknown type */
const zh_gemm *zh_gemm_reference(const char *type);
const zh_gemm *zh_gemm_all(void); /* those this CPU can run; ends with type == NULL */

#ifdef __cplusplus
}
#endif
#endif
