/* Accelerators beside the CPU: a table of functions that a module fills in
 * (libzhiheng-cuda.so, kernels/cuda/), opened at run time and never needed. Like kernels.h it knows
 * no model: memory, streams of work, timing, and the operators of a transformer.
 *
 * A device has one stream. Functions that enqueue return at once; results may be read after
 * `wait`. Device addresses are void * that the host never follows. Nothing in the hot path
 * allocates, and nothing waits for the host.
 *
 * The same sources are compiled once more for the host (tests/shim) as libzhiheng-shim.so: the same
 * table, on which kernelcheck and the engine's tests run where no GPU is. */
#ifndef ZH_KERNELS_DEVICE_H
#define ZH_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/status.h"
#include "kernels/drawing.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_DEVICE_ABI = 3 };

typedef struct zh_device zh_device; /* one accelerator and its stream */
typedef struct zh_device_graph zh_device_graph;
typedef struct zh_device_event zh_device_event;

typedef struct zh_device_facts {
  char name[128];         /* "NVIDIA H200" */
  char uuid[64], bus[32]; /* "GPU-…" or "MIG-…", "0000:17:00.0" */
  int major, minor;       /* compute capability */
  uint64_t memory_bytes,
      free_bytes;                  /* free: now, of the device that was opened last; 0 of others */
  uint64_t l2_bytes, shared_bytes; /* shared: of a block, at most */
  uint32_t multiprocessors;
  uint32_t clock_khz, memory_clock_khz; /* highest; 0: not said */
  uint32_t bus_bits;
  bool ecc, mig;
  char driver[32], runtime[32]; /* "13.0" */
} zh_device_facts;

/* --- weights as they lie on a device --- */

/* Two planes, 256-byte aligned: numbers, and what scales them. Rows of numbers are
 * zh_device_number_bytes(form, 1, columns) apart, with zeros at their ends; scales of a row alike.
 * zh_device_lay brings rows of a file's type there and rounds nothing. In the Q forms columns have
 * an order of their own (kernels/device_forms.c): four threads that read sixteen bytes each have
 * eight columns each of every block of 32. */
typedef enum zh_device_form {
  ZH_FORM_F32,
  ZH_FORM_F16,
  ZH_FORM_BF16,
  ZH_FORM_E4M3, /* bytes; scales: f32, one for each block of scale_rows x scale_columns, without
                   gaps; scale_columns is a multiple of 64, or at least the columns. The bytes 0x7F
                   and 0xFF, which are no numbers, count as 480 and -480: readers refuse them */
  ZH_FORM_Q8,   /* signed bytes; scales: f16, one for 32 columns of a row: Q8_0 */
  ZH_FORM_Q4,   /* halves of bytes; scales: f16 d, one for 32 columns: d (n - 8). Q4_0 */
  ZH_FORM_Q4_1, /* the same; scales: f16 d, f16 m beside each other: d n + m. Q4_1 */
  ZH_FORM_Q4_K, /* the same; scales: 16 bytes for 256 columns, Q4_K's d, dmin and twelve bytes */
  ZH_FORMS
} zh_device_form;
extern const char *const zh_device_form_names[ZH_FORMS + 1]; /* "f32" … "q4_k", NULL */

typedef struct zh_device_matrix {
  zh_device_form form;
  uint32_t rows, columns;
  uint32_t scale_rows, scale_columns; /* of E4M3's blocks; 0 in other forms */
  void *numbers, *scales;             /* on the device; scales NULL where there are none */
  uint32_t first_row; /* `embed` counts ids from here on: of a part of a matrix; 0 else */
} zh_device_matrix;

/* The form that holds a file's type as it is, or ZH_FORM_F32: its exact values
 * (kernels/device_forms.c). Of Q8 a row may have whole multiples of an f16 scale in other types:
 * Q5_0, IQ4_NL; and MXFP4, where zh_device_holds. */
zh_device_form zh_device_form_of(zh_dtype type);
bool zh_device_holds(zh_device_form form, zh_dtype type, const void *row, size_t columns);
size_t zh_device_number_bytes(zh_device_form form, size_t rows, size_t columns);
size_t zh_device_scale_bytes(const zh_device_matrix *shape);
size_t zh_device_scale_row_bytes(zh_device_form form, size_t columns); /* 0 of E4M3 */
/* On the host: `count` rows of a file's type, row_bytes apart, into a row's numbers and scales. Of
 * E4M3 (type F8_E4M3) its bytes alone: scales are the reader's. */
void zh_device_lay(zh_device_form form, void *numbers, void *scales, zh_dtype type,
                   const void *rows, size_t count, size_t row_bytes, size_t columns);
/* A row back as values, by the host: what checks compute with. */
void zh_device_row_values(float *y, const zh_device_matrix *shape, const void *numbers,
                          const void *scales, size_t row);

/* --- operators; all addresses are the device's; [tokens] arrays are contiguous --- */

/* What the operands of a product with weights of a form become: none for F32 and F16; of E4M3 where
 * groups are not even. */
zh_rounding zh_device_rounding_of(const zh_roundings *table, zh_device_form form, zh_way way);
/* Whether the ZH_E4M3_GROUP columns of any group have weights of one scale; whether such weights of
 * E4M3 take inputs as table->e4m3 says: groups must be even; and what a matrix takes. */
bool zh_device_even_groups(size_t scale_columns, size_t columns);
bool zh_rounds_e4m3(const zh_roundings *table, size_t scale_columns, size_t columns, zh_way way);
zh_rounding zh_device_matrix_rounding(const zh_roundings *table, const zh_device_matrix *matrix,
                                      zh_way way);

/* y[t][r] = sum_c W[r][c] x[t][c] (+ bias[r]) (* factor, added to y where `adds`). Operands are
 * rounded as zh_device_matrix_rounding says, sums are fp32's. Fastest where x is 16-byte aligned
 * and x_stride a multiple of 4. */
typedef struct zh_device_product {
  float *y;
  size_t y_stride;
  const zh_device_matrix
      *matrices;              /* [count]: products of one input, y of one behind the other's */
  const float *const *biases; /* [count]; NULL: none */
  size_t count;
  const float *x;
  size_t x_stride;
  size_t tokens;
  bool adds;    /* y += factor * product */
  float factor; /* 1 unless adds */
  zh_way way;   /* ZH_FEW or ZH_MANY, of any number of tokens: within one a token alone equals the
                   same token among others */
} zh_device_product;

/* Each head its own rows of the weight, by its own part of the input (latent attention):
 * y[t y_stride + h y_head + r] = sum_c W[h rows + r][c] x[t x_stride + h x_head + c], where rows is
 * the matrix's rows / heads. */
typedef struct zh_device_head_product {
  float *y;
  size_t y_stride, y_head;
  zh_device_matrix matrix; /* scale_rows divides rows / heads, or is 1 */
  const float *x;
  size_t x_stride, x_head;
  size_t heads, tokens;
  zh_way way;
} zh_device_head_product;

/* Which experts tokens go to: bench/engine/route.h. The names are model/architecture.h's. */
typedef enum zh_device_score {
  ZH_DEVICE_SOFTMAX,
  ZH_DEVICE_SIGMOID,
  ZH_DEVICE_SOFTMAX_CHOSEN
} zh_device_score;
typedef struct zh_device_route {
  uint32_t *choice;    /* [tokens][used], the best first (ties: the lower number) */
  float *weight;       /* the same */
  uint32_t *lists;     /* zh_device_list_words: choices by expert, for grouped products */
  const float *logits; /* [tokens][experts] */
  size_t tokens;
  uint32_t experts, used;       /* at most ZH_DEVICE_EXPERTS_MAX, ZH_DEVICE_USED_MAX */
  uint32_t first, here;         /* of these `lists` has those from `first` on, which it numbers from
                                   0 on: a rank's; here 0: all */
  uint32_t ranks;               /* whose shares of the experts `counted` knows, as even as can be,
                                   the first ones larger; 0: 1 */
  uint32_t groups, groups_used; /* 0 or 1: no groups; at most ZH_DEVICE_GROUPS_MAX */
  zh_device_score score;
  bool best_two; /* a group's score is the sum of its two best, else its best */
  bool renormalise;
  double scale;                       /* 0: 1 */
  const float *bias, *selection_bias; /* [experts], or NULL */
  uint64_t *counted;                  /* [ZH_COUNTS], to which is added; NULL: nothing is counted */
} zh_device_route;
/* What is counted of each pass, in this order. */
typedef enum zh_expert_count {
  ZH_COUNT_BUSY,      /* experts that have choices */
  ZH_COUNT_PASSES,    /* 1 */
  ZH_COUNT_MOST_BUSY, /* of one rank's experts, of the rank where most have any */
  ZH_COUNT_MOST,      /* choices, of the rank that has most */
  ZH_COUNT_CHOICES,   /* of all ranks */
  ZH_COUNT_HERE,      /* that `lists` has */
  ZH_COUNTS
} zh_expert_count;
enum { ZH_DEVICE_EXPERTS_MAX = 1024, ZH_DEVICE_USED_MAX = 32, ZH_DEVICE_GROUPS_MAX = 64 };
size_t zh_device_list_words(size_t tokens, uint32_t experts, uint32_t used);

/* Each choice of a token by the matrix of its expert; an expert's weights are read once. Choice i
 * is number i % used of token i / used. */
typedef struct zh_device_grouped {
  float *y; /* [tokens used] rows of all matrices, one behind the other */
  size_t y_stride;
  const zh_device_matrix *matrices; /* [count]: the rows of all experts, expert by expert;
                                       scale_rows divides an expert's rows, or is 1 */
  const float *const *biases;       /* [count] of [experts][rows of one]; NULL: none */
  size_t count;
  const float *x;
  size_t x_stride;
  bool spread; /* all choices of a token read its row; else each choice has its own */
  size_t tokens;
  uint32_t experts, used; /* experts: that the lists have */
  const uint32_t *lists;  /* of route; rows of y of choices that it has not stay as they are */
  zh_way way;
} zh_device_grouped;

/* y[t] = share shared[t] + sum over k of weight[t][k] x[t used + k], in this order; share: 1, or
 * 1 / (1 + exp(-score[t])). */
typedef struct zh_device_combine {
  float *y;            /* [tokens][columns] */
  const float *x;      /* [tokens used][columns] */
  const float *weight; /* [tokens][used] */
  const float *shared; /* [tokens][columns]; NULL: none */
  const float *score;  /* [tokens]; NULL: share is 1 */
  size_t columns, tokens;
  uint32_t used;
  const uint32_t *choice; /* [tokens][used]; only those of experts [first, first + here) count.
                             NULL: all do */
  uint32_t first, here;
} zh_device_combine;

/* to[r to_stride + i] = from[r from_stride + i], i < width. */
typedef struct zh_device_slices {
  float *to;
  const float *from;
  size_t to_stride, from_stride, width, rows;
} zh_device_slices;

/* y[t] = norm(x[t]) by gain, as zh_kernels.rmsnorm, of each of `heads` parts of a row by itself;
 * bias NULL: RMS; else LayerNorm. */
typedef struct zh_device_norm {
  float *y;
  const float *x, *gain, *bias;
  size_t y_stride, x_stride;
  size_t columns, heads, tokens; /* columns of a part */
  float eps;
} zh_device_norm;

typedef struct zh_device_rope {
  float *x;
  size_t x_stride, heads, head_dim, dims, tokens;
  size_t
      offset; /* where in a head the turned numbers begin (latent attention: behind the others) */
  bool interleaved;
  const double *frequency;  /* [dims / 2]; angles in fp64, then rounded, as zh_rope_angles does */
  double factor;            /* of cosines and sines */
  const uint32_t *position; /* [tokens] */
} zh_device_rope;

/* Of one layer: keys [sequences][kv_heads][capacity][key_dim], values the same with value_dim.
 * Latent attention: one head; values are the first value_dim of the keys, and `values` is NULL. */
typedef enum zh_device_kv_type {
  ZH_DEVICE_KV_F32,
  ZH_DEVICE_KV_BF16,
  ZH_DEVICE_KV_E4M3
} zh_device_kv_type;
typedef struct zh_device_kv {
  zh_device_kv_type type; /* E4M3: numbers n s, where the f32 scale s (the largest magnitude / 448,
                             rounded up to bf16, so that n s is exact) lies in front of a position's
                             numbers, which begin 16 bytes behind it */
  uint32_t sequences, kv_heads, capacity, key_dim, value_dim;
  void *keys, *values;
} zh_device_kv;
size_t zh_device_kv_bytes(const zh_device_kv *kv, bool values); /* SIZE_MAX: that is too much */
/* From a position to the next one's: a multiple of 16. */
size_t zh_device_kv_row_bytes(zh_device_kv_type type, size_t dim);
/* On the host: a row of the cache as values, and what values become in the cache. */
void zh_device_kv_values(float *y, zh_device_kv_type type, const void *row, size_t dim);
void zh_device_kv_round(float *row, zh_device_kv_type type, size_t dim);
uint8_t zh_f32_to_e4m3(float value); /* to nearest even, at most 448 (or -448); NaN: 0x7F */
float zh_e4m3_to_f32(uint8_t bits);  /* 0x7F and 0xFF: NaN */

typedef struct zh_device_store {
  zh_device_kv kv;
  const float *k, *v; /* [tokens] rows, strides apart */
  size_t k_stride, v_stride, tokens;
  const uint32_t *position, *sequence;
} zh_device_store;

/* As zh_attention. `longest`: what no position + 1 exceeds, for the host's choice of parts; what
 * lies behind the last position of a sequence's tokens is never read. Many: q and weights of values
 * are rounded to bf16 where zh_device_attention_rounds. scratch: zh_device_api.attention_scratch.
 */
typedef struct zh_device_attention {
  float *out;     /* [tokens][heads][value_dim] */
  const float *q; /* [tokens][heads][key_dim] */
  zh_device_kv kv;
  size_t heads, tokens, window, longest;
  const uint32_t *position, *sequence;
  float scale, softcap;
  const float *sinks;  /* [heads], or NULL */
  const float *slopes; /* [heads], or NULL: a key n positions back scores n slopes less (ALiBi) */
  void *scratch;
  zh_way way;
} zh_device_attention;
bool zh_device_attention_rounds(const zh_roundings *table, const zh_device_attention *work);

typedef enum zh_device_activation {
  ZH_DEVICE_SILU,
  ZH_DEVICE_GELU,
  ZH_DEVICE_GELU_TANH,
  ZH_DEVICE_CLAMPED /* gpt-oss, with `limit`; model/architecture.h */
} zh_device_activation;

/* Rows [tokens][columns], contiguous. */
typedef struct zh_device_activate {
  float *y;
  const float *gate, *up;
  size_t columns, tokens, gate_stride, up_stride;
  zh_device_activation kind;
  float limit;
  const uint32_t *lists; /* of route, which has so many experts: rows are choices, and those alone
                            that it has are computed. NULL: all rows */
  uint32_t experts;
} zh_device_activate;

/* What a row of logits answers: as argmax, the bits of that logit, and the sum of the bits of all
 * as unsigned integers, modulo 2^64. */
typedef struct zh_device_answer {
  uint32_t chosen, logit_bits;
  uint64_t bits_sum;
} zh_device_answer;

/* Tokens drawn instead of the largest (kernels/drawing.h), which `answer` has put into out and
 * chosen. */
typedef struct zh_device_draw {
  zh_device_answer *out; /* [tokens]: chosen and logit_bits become those of what is drawn */
  uint32_t *chosen;      /* the same once more */
  zh_draw_rule *how;     /* [tokens]; index += 1, drawn or not */
  const float *z;        /* [tokens][vocab] */
  uint64_t *weights;     /* the same: room */
  size_t tokens, vocab;
} zh_device_draw;

/* --- the table --- */

typedef struct zh_device_api {
  uint32_t abi;
  const char *backend; /* "cuda", "shim" */
  const char *build;   /* "CUDA 13.0, sm_90a sm_80" */
  zh_roundings rounds; /* of products and attention: what bounds and certificates use; a device may
                          have others: zh_device_rounds */
  uint32_t few_tokens; /* up to so many tokens ZH_FEW is the faster way */

  /* How many there are; ZH_ERR_LACKING with one sentence where there is no driver, one too old, or
   * no device. */
  zh_status (*count)(int *out, zh_error *err);
  zh_status (*facts)(zh_device_facts *out, int index, zh_error *err);
  /* ZH_ERR_LACKING: busy (exclusive), or an architecture that this build has no code for. */
  zh_status (*open)(zh_device **out, int index, zh_error *err);
  void (*close)(zh_device *device); /* NULL is safe */

  /* ZH_ERR_MEMORY says what was asked for `what`, and what is free. 256-byte aligned. */
  zh_status (*alloc)(zh_device *device, void **out, size_t bytes, const char *what, zh_error *err);
  void (*release)(zh_device *device, void *address); /* NULL is safe */
  /* Host memory that copies at full speed. */
  zh_status (*alloc_host)(zh_device *device, void **out, size_t bytes, zh_error *err);
  void (*release_host)(zh_device *device, void *address);

  /* Enqueued in order with everything else; host memory stays as it is until `wait`. */
  zh_status (*upload)(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
  zh_status (*download)(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
  zh_status (*copy)(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
  zh_status (*fill)(zh_device *device, void *to, uint8_t byte, size_t bytes, zh_error *err);
  /* Until all that was enqueued is done. Errors of kernels come to light here, and name the last
   * `mark`: ZH_ERR_IO, as of a lost device; ZH_ERR_LACKING is what a machine never had. */
  zh_status (*wait)(zh_device *device, zh_error *err);
  /* What is enqueued from here on belongs to: "attention", 17. Costs nothing. */
  void (*mark)(zh_device *device, const char *name, int layer);

  zh_status (*event)(zh_device *device, zh_device_event **out, zh_error *err);
  void (*release_event)(zh_device *device, zh_device_event *event);
  zh_status (*record)(zh_device *device, zh_device_event *event, zh_error *err);
  /* Between two that have been recorded; waits for the second. */
  zh_status (*elapsed_s)(zh_device *device, double *out, zh_device_event *first,
                         zh_device_event *second, zh_error *err);

  /* What is enqueued between the two is kept instead of done, to be launched any number of times.
   */
  zh_status (*begin_graph)(zh_device *device, zh_error *err);
  zh_status (*end_graph)(zh_device *device, zh_device_graph **out, zh_error *err);
  zh_status (*launch)(zh_device *device, zh_device_graph *graph, zh_error *err);
  void (*release_graph)(zh_device *device, zh_device_graph *graph);
  /* As begin_graph and end_graph, launched and released like a graph, with the same bits; but one
   * kernel goes through all calls: its blocks stay on the device, wait for each other where one
   * call needs what another makes, and ask for the next weights meanwhile. ZH_ERR_LACKING where the
   * device cannot, or of a call that has no place in such a kernel: copies, ZH_MANY, generate,
   * sum_of_bits, argmax. A program that was begun is ended, whatever failed. NULL: there are none.
   */
  zh_status (*begin_program)(zh_device *device, zh_error *err);
  zh_status (*end_program)(zh_device *device, zh_device_graph **out, zh_error *err);

  /* Operators. */
  /* out[t] = values of row id[t], times factor; ids that the matrix has not give zeros. */
  zh_status (*embed)(zh_device *device, float *out, const zh_device_matrix *matrix,
                     const uint32_t *id, size_t tokens, float factor, zh_error *err);
  zh_status (*norm)(zh_device *device, const zh_device_norm *work, zh_error *err);
  zh_status (*product)(zh_device *device, const zh_device_product *work, zh_error *err);
  zh_status (*rope)(zh_device *device, const zh_device_rope *work, zh_error *err);
  zh_status (*store)(zh_device *device, const zh_device_store *work, zh_error *err);
  size_t (*attention_scratch)(const zh_device *device, const zh_device_attention *most);
  zh_status (*attention)(zh_device *device, const zh_device_attention *work, zh_error *err);
  zh_status (*activate)(zh_device *device, const zh_device_activate *work, zh_error *err);
  /* y[i] += factor x[i] */
  zh_status (*add)(zh_device *device, float *y, const float *x, float factor, size_t count,
                   zh_error *err);
  /* out[i][...] = x[row[i]][...] of `width` floats. */
  zh_status (*gather)(zh_device *device, float *out, const float *x, const uint32_t *row,
                      size_t rows, size_t width, zh_error *err);
  /* In place: z *= scale, then z = cap tanh(z / cap) where cap is not 0. */
  zh_status (*shape_logits)(zh_device *device, float *z, size_t tokens, size_t vocab, float scale,
                            float cap, zh_error *err);
  /* Of each row the index of the largest, ties to the lowest; UINT32_MAX where there is a NaN. */
  zh_status (*argmax)(zh_device *device, uint32_t *out, const float *z, size_t tokens, size_t vocab,
                      zh_error *err);
  /* position[i] += 1: the next step of a graph. */
  zh_status (*advance)(zh_device *device, uint32_t *position, size_t count, zh_error *err);
  /* Sum of the bits of the 32-bit words, modulo 2^64, with the odd factors that the engine's checks
   * use: out on the device. Fastest where words are 16-byte aligned. */
  zh_status (*sum_of_bits)(zh_device *device, uint64_t *out, const void *words, size_t count,
                           zh_error *err);
  /* A standard model's weights in place: rows [first_row, first_row + rows) of tensor `stream`,
   * columns [first_column, + columns) of whole_columns, values zh_normal_fill(seed, stream, index,
   * scale) rounded to the form (F32, F16, BF16: to nearest even; E4M3: over the block's scale,
   * which is there; Q8, Q4, Q4_1: scales are made, too, as zh_quantize_row does). */
  zh_status (*generate)(zh_device *device, const zh_device_matrix *out, uint64_t seed,
                        uint64_t stream, uint64_t first_row, uint64_t first_column,
                        uint64_t whole_columns, float scale, zh_error *err);

  zh_status (*head_product)(zh_device *device, const zh_device_head_product *work, zh_error *err);
  zh_status (*route)(zh_device *device, const zh_device_route *work, zh_error *err);
  zh_status (*grouped)(zh_device *device, const zh_device_grouped *work, zh_error *err);
  zh_status (*combine)(zh_device *device, const zh_device_combine *work, zh_error *err);
  zh_status (*slices)(zh_device *device, const zh_device_slices *work, zh_error *err);
  /* Of each row; chosen: the same tokens once more, for the next step. */
  zh_status (*answer)(zh_device *device, zh_device_answer *out, uint32_t *chosen, const float *z,
                      size_t tokens, size_t vocab, zh_error *err);
  zh_status (*draw)(zh_device *device, const zh_device_draw *work, zh_error *err);
  /* z[r][i] *= factor[i] */
  zh_status (*scale_columns)(zh_device *device, float *z, const float *factor, size_t rows,
                             size_t columns, zh_error *err);

  /* Products of many tokens (ZH_MANY) come in variants. Those that this device can run, the
   * preferred one first, NULL-terminated, until the thread's next call: "wgmma" (Hopper), "mma",
   * "cublaslt" where that library is; "wgmma-e4m3" (Hopper) and "mma-e4m3" (an FP8 unit on sm_89
   * and from sm_120 on, made of f16's between them), which round the inputs of weights of E4M3 to
   * E4M3 and do all other products as the preferred one. */
  const char *const *(*product_variants)(const zh_device *device);
  const char *(*product_variant)(const zh_device *device); /* which is taken */
  /* From here on: one of them, "e4m3" for the one that has a unit of its own, or NULL: as after
   * `open`, what ZH_GPU_PRODUCT names, else the preferred one. What a variant cannot do the
   * preferred one does. With cublaslt a token's sums may depend on how many there are.
   * ZH_ERR_USAGE: there is no such name; ZH_ERR_LACKING. */
  zh_status (*choose_product)(zh_device *device, const char *variant, zh_error *err);
  /* Bytes of memory that the variant needs beside operands, for products with up to `inputs` rows
   * of inputs (grouped: choices; by heads: heads times tokens) of so many columns. The caller lends
   * it until the device is closed or something else is lent (NULL, 0: nothing); a product that
   * needs more allocates it, unless a graph is being made. */
  size_t (*product_room)(const zh_device *device, size_t inputs, size_t columns);
  void (*lend_product_room)(zh_device *device, void *at, size_t bytes);

  /* What products of this device round, with the variant that is taken; NULL: as `rounds` says. */
  zh_roundings (*device_rounds)(const zh_device *device);

  /* The machine's own limits (kernels/device_limits.h); NULL in a module without them. */
  const struct zh_device_limits *limits;
  /* Ranks that compute together (kernels/device_group.h); NULL in a module without them. */
  const struct zh_device_groups *groups;
} zh_device_api;

zh_roundings zh_device_rounds(const zh_device_api *api, const zh_device *device);

/* Opens libzhiheng-cuda.so (zh_module_path; ZH_DEVICE_MODULE names another file). ZH_ERR_LACKING
 * with one sentence where there is none, or one of another ABI. Opened once and never closed. */
ZH_MUST_CHECK zh_status zh_device_open_module(const zh_device_api **out, zh_error *err);
/* What a module exports. */
const zh_device_api *zh_device_module(void);

#ifdef __cplusplus
}
#endif
#endif
