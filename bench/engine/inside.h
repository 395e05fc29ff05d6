/* The engine from inside, for the self-check: what each operator read and wrote, and faults to be
 * caught. */
#ifndef ZH_BENCH_ENGINE_INSIDE_H
#define ZH_BENCH_ENGINE_INSIDE_H

#include "bench/engine/engine.h"
#include "bench/engine/reduce.h"
#include "bench/engine/weights.h"

typedef enum zh_operator {
  ZH_OP_EMBEDDING,
  ZH_OP_RMSNORM,
  ZH_OP_MATMUL,
  ZH_OP_ROPE,
  ZH_OP_ATTENTION,
  ZH_OP_SILU,
  ZH_OP_ADD,
  ZH_OP_SUM, /* over the ranks of a node */
  ZH_OPERATORS
} zh_operator;

/* One operator, just computed, with the inputs that it really had. Borrowed for the call. */
typedef struct zh_operation {
  zh_operator op;
  int layer;               /* -1 outside the layers */
  const char *name;        /* "q", "attention", "ffn residual" */
  const zh_weight *weight; /* of embedding, norms and matrices; NULL elsewhere */
  size_t tokens, in_width, out_width;
  zh_way way; /* of a product */
  const float *input; /* [tokens][in_width]; for in-place operators a copy taken before */
  const float
      *second; /* [tokens][in_width]: the second addend, or `up` of SwiGLU; NULL elsewhere */
  const float *output;                         /* [tokens][out_width] */
  const uint32_t *token, *position, *sequence; /* [tokens]; NULL for the head's gathered rows */
  const float *k_cache, *v_cache; /* attention: this layer's, sequences cache_stride apart */
  size_t cache_stride;
  size_t output_stride;          /* of tokens, where it is not out_width: 0 else */
  size_t addends, addend_stride; /* sums over ranks: input holds [addends], so far apart */
} zh_operation;

typedef void (*zh_observer)(void *user, const zh_operation *operation);

/* What an injected activation fault flips: one bit of the residual stream. */
typedef struct zh_flip {
  bool armed; /* for the next forward pass only */
  uint32_t layer;
  size_t element; /* of [tokens][hidden], of the pass's first micro-batch */
  unsigned bit;
} zh_flip;

/* One sequence computes with one row of one tensor changed, as if the file held it so; the weights
 * themselves are not touched. A tied head is changed with its embedding. */
typedef struct zh_patch {
  const zh_tensor *tensor;
  uint32_t sequence;
  size_t row;
  const void *bytes; /* [row_bytes] and 64 bytes to spare, which kernels may read */
  const float *gain; /* norms: the changed values; NULL for matrices */
} zh_patch;

/* Called on thread 0 while the others wait, with the hidden states [tokens][hidden] that enter a
 * layer, or the output norm (layer == layers); may change them. */
typedef void (*zh_entrance)(void *user, uint32_t layer, float *x, size_t tokens);

struct zh_engine {
  zh_architecture architecture;
  zh_weights weights;
  zh_part part;      /* of the model */
  zh_reduce *reduce; /* what ties the parts together; NULL: all of the model is here */
  const zh_kernels *kernels;
  zh_threads *threads;
  uint32_t sequences, context, micro_batch;
  uint32_t *length;     /* [sequences]: positions held */
  float *keys, *values; /* [layers][sequences][context][kv_heads][head_dim] */
  size_t cache_floats;  /* of each */
  /* Activations of a micro-batch, [micro_batch][width]. */
  float *activations;
  size_t activation_floats;
  float *x, *normed, *q, *k, *v, *attended, *delta, *gate, *up, *inner;
  float *last;            /* [micro_batch][hidden]: rows whose logits are wanted */
  unsigned char *scratch; /* [threads][scratch_bytes] */
  size_t scratch_bytes;
  void *prepared[ZH_ROUNDINGS]; /* the input of products with packed weights, by zh_rounding */
  size_t prepared_bytes[ZH_ROUNDINGS];
  bool way_is_set; /* packed weights are multiplied `way`; else as the number of tokens of the call
                      suggests */
  zh_way way;
  zh_observer observer; /* called on thread 0, between barriers; NULL while timing */
  void *observer_user;
  float
      *before; /* [micro_batch][max(hidden, q + k)]: inputs of in-place operators, while observed */
  zh_flip flip;
  /* Probes (bench/liveness.h): need every token's logits wanted, in one micro-batch, the tokens of
   * a sequence beside each other. */
  const zh_patch *patches; /* [patch_count] */
  size_t patch_count;
  uint32_t first_layer; /* layers before it are left out: `enter` then gives the states */
  zh_entrance enter;    /* NULL: none */
  void *enter_user;
};

/* What the bounds of the checks depend on. */
typedef struct zh_arithmetic {
  bool fp64_sums; /* of the kernels */
  zh_roundings rounds; /* of products; all none where weights are not packed */
} zh_arithmetic;
zh_arithmetic zh_engine_arithmetic(const zh_engine *engine);
/* Of products with many tokens: how most of their operations round. */
zh_rounding zh_engine_rounding(const zh_engine *engine);

/* observer NULL detaches. */
ZH_MUST_CHECK zh_status zh_engine_observe(zh_engine *engine, zh_observer observer, void *user,
                                          zh_error *err);
/* Forgets a sequence and fills its cache with NaN, so that nothing of an earlier pass can be read
 * unseen. */
void zh_engine_poison(zh_engine *engine, uint32_t sequence);

/* Sum of the bits of the values as unsigned integers, modulo 2^64: any single change shows. */
uint64_t zh_sum_of_bits(const float *values, size_t count);

#endif
