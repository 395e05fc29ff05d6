/* The engine from inside, for the self-check: what each operator read and wrote, and faults to be
 * caught. */
#ifndef ZH_BENCH_ENGINE_INSIDE_H
#define ZH_BENCH_ENGINE_INSIDE_H

#include <stdatomic.h>

#include "bench/engine/engine.h"
#include "bench/engine/reduce.h"
#include "bench/engine/spent.h"
#include "bench/engine/stages.h"
#include "bench/engine/weights.h"

typedef enum zh_operator {
  ZH_OP_EMBEDDING,
  ZH_OP_RMSNORM,
  ZH_OP_HEAD_NORM, /* of each head by itself */
  ZH_OP_MATMUL,
  ZH_OP_ROPE,
  ZH_OP_ATTENTION,
  ZH_OP_ACTIVATION,
  ZH_OP_ADD,
  ZH_OP_SUM, /* over the ranks of a node */
  ZH_OP_ROUTE,
  ZH_OP_COMBINE, /* what experts made of a token */
  /* Of latent attention; the rest of the input is copied behind what they make. */
  ZH_OP_LATENT_NORM, /* of as many numbers as there are gains */
  ZH_OP_HEAD_MATMUL, /* each head its own rows of the weight, by its own part of the input */
  ZH_OPERATORS
} zh_operator;

/* Where tokens went in a layer with experts. A choice is one of `used` of a token, number t used +
 * k. What is computed by choice is there of those alone whose expert is here; other rows hold
 * nothing. */
typedef struct zh_mixture {
  uint32_t used;
  const uint32_t *choice; /* [tokens][used]: experts */
  const float *weight;    /* [tokens][used] */
  const uint32_t *place;  /* [tokens][used]: row of what is computed by choice */
  const float *shared;    /* [tokens]: how much of the shared experts, before sigmoid; NULL: all */
  uint32_t first, here;   /* experts that are here: so many from `first` on */
} zh_mixture;
static inline bool zh_mixture_has(const zh_mixture *m, size_t choice) {
  return m->choice[choice] - m->first < m->here;
}

/* One operator, just computed, with the inputs that it really had. Borrowed for the call. */
typedef struct zh_operation {
  zh_operator op;
  int layer;               /* of the model; -1 outside the layers */
  const char *name;        /* "q", "attention", "ffn residual" */
  const zh_weight *weight; /* of embedding, norms and matrices; NULL elsewhere */
  const zh_weight *bias;   /* of a product: added to it; NULL: none */
  size_t tokens, in_width, out_width;
  zh_way way;         /* of a product */
  const float *input; /* [tokens][in_width]; for in-place operators a copy taken before */
  const float
      *second; /* [tokens][in_width]: the second addend, or `up` of SwiGLU; NULL elsewhere */
  const float *output;                         /* [tokens][out_width] */
  const uint32_t *token, *position, *sequence; /* [tokens] */
  const zh_kv *kv;                             /* attention: this layer's */
  size_t output_stride;                        /* of tokens, where it is not out_width: 0 else */
  const zh_mixture *mixture;                   /* of experts' operators; NULL elsewhere */
  const zh_weight *const *each, *const *each_bias; /* [tokens]: instead of weight and bias, where
                                                      tokens are choices; rows of second and output
                                                      are then by place, those of input too … */
  bool spread;                   /* … unless all choices of a token read the token's row */
  size_t addends, addend_stride; /* sums over ranks: input holds [addends], so far apart. A product
                                    whose columns lay over ranks: how many parts were added up */
} zh_operation;

/* Whether its i-th token, or choice, was computed here. */
static inline bool zh_operation_has(const zh_operation *o, size_t i) {
  return !o->each || zh_mixture_has(o->mixture, i);
}
/* Row i of each. */
static inline size_t zh_operation_place(const zh_operation *o, size_t i) {
  return o->each ? o->mixture->place[i] : i;
}
static inline const float *zh_operation_input(const zh_operation *o, size_t i) {
  size_t row = o->spread ? i / o->mixture->used : zh_operation_place(o, i);
  return o->input + row * o->in_width;
}
static inline const float *zh_operation_second(const zh_operation *o, size_t i) {
  return o->second + zh_operation_place(o, i) * o->in_width;
}
static inline const float *zh_operation_output(const zh_operation *o, size_t i) {
  size_t stride = o->output_stride ? o->output_stride : o->out_width;
  return o->output + zh_operation_place(o, i) * stride;
}

/* What the FFN's activation is called among operators: "silu", "gelu". */
const char *zh_activation_name(const zh_architecture *a);

typedef void (*zh_observer)(void *user, const zh_operation *operation);

/* What an injected fault does to one layer of the next forward pass's first micro-batch. */
typedef enum zh_tamper_kind {
  ZH_TAMPER_NONE,
  ZH_TAMPER_RESIDUAL, /* flips a bit of element `element` of [tokens][hidden] */
  ZH_TAMPER_CACHE,    /* flips a bit of a key or value, of a position that the pass reads */
  ZH_TAMPER_STALE,    /* does not write token `element` (modulo tokens) into the cache */
  ZH_TAMPER_LAYER,    /* leaves the layer out */
  ZH_TAMPER_EXPERT,   /* takes nothing of each token's last choice */
  ZH_TAMPER_TILE      /* leaves out ZH_TILE_LOST rows of what attention gives the last token */
} zh_tamper_kind;
enum { ZH_TILE_LOST = 64 }; /* a block of a grid that did not run: zeros are left */
typedef struct zh_tamper {
  zh_tamper_kind kind;
  uint32_t layer;
  size_t element;
  unsigned bit;
} zh_tamper;

/* One sequence computes with one row of one weight changed, as if the file held it so; the weights
 * themselves are not touched. A tied head is changed with its embedding. */
typedef struct zh_patch {
  const zh_tensor *tensor; /* the weight's own: of experts in one tensor, one expert's */
  uint32_t sequence;
  size_t row;
  const void *bytes; /* [row_bytes] and 64 bytes to spare, which kernels may read */
  const float *gain; /* vectors: the changed values; NULL for matrices */
  float head_factor; /* zh_head_factor of a changed row of the head */
} zh_patch;

/* Called on thread 0 while the others wait, with the hidden states [tokens][hidden] that enter a
 * layer, or the output norm (layer == layers); may change them. */
typedef void (*zh_entrance)(void *user, uint32_t layer, float *x, size_t tokens);

typedef struct zh_experts zh_experts;
typedef struct zh_latents zh_latents;
typedef struct zh_device_engine zh_device_engine;

struct zh_engine {
  zh_architecture architecture;
  zh_weights weights;
  zh_stages stages;         /* this rank's part of the model, and its neighbours */
  zh_reduce *reduce;        /* what ties the parts together; NULL: all of the model is here */
  zh_device_engine *device; /* where all of it is computed; NULL: by the CPU */
  const zh_kernels *kernels;
  float *head_factor; /* [rows of the head]: by which each logit is multiplied; NULL: none */
  zh_threads *threads;
  uint32_t sequences, context, micro_batch;
  uint32_t *length; /* [sequences]: positions held */
  zh_kv kv;         /* of layer 0 */
  zh_kv_type kept;  /* what keys and values are rounded to: kv.type, but where a device has them
                       otherwise and kv mirrors their values */
  size_t kv_layer;  /* bytes from a layer's keys to the next one's; of values the same */
  /* Of rope[0] and rope[1]; where both are the same, the same. */
  double *frequency[2]; /* [dims / 2] */
  float *slopes;        /* [heads]: of ALiBi; NULL: none */
  float *angles[2];     /* [micro_batch][dims]: zh_rope_angles of the pass */
  float *parts;         /* of attention, where few tokens share the threads; NULL: never */
  size_t part_tokens, part_bytes; /* that parts has room for */
  atomic_size_t next_item;        /* of attention: whoever is free takes it */
  /* Activations of a micro-batch, [micro_batch][width]. */
  float *activations;
  size_t activation_floats;
  float *x, *normed, *q, *k, *v, *attended, *delta, *gate, *up, *inner;
  float *last;            /* [micro_batch][hidden]: rows whose logits are wanted */
  zh_experts *experts;    /* NULL: a dense model */
  zh_latents *latents;    /* NULL: keys and values are the model's own */
  unsigned char *scratch; /* [threads][scratch_bytes] */
  size_t scratch_bytes;
  void *prepared[ZH_ROUNDINGS]; /* the input of products with packed weights, by zh_rounding */
  size_t prepared_bytes[ZH_ROUNDINGS];
  /* Threads but the first, for up to ZH_TOKEN_GRAIN tokens: normed values, then prepared inputs. */
  unsigned char *own; /* [threads - 1][own_bytes] */
  size_t own_bytes, own_prepared[ZH_ROUNDINGS];
  bool way_is_set; /* packed weights are multiplied `way`; else as the number of tokens of the call
                      suggests */
  zh_way way, expert_way; /* of experts' products: zh_expert_way */
  zh_observer observer;   /* called on thread 0, between barriers; NULL while timing */
  void *observer_user;
  float
      *before; /* [micro_batch][max(hidden, q + k)]: inputs of in-place operators, while observed */
  uint32_t *gathered; /* [3][micro_batch], while observed: token, position and sequence of the rows
                         whose logits are wanted */
  zh_tamper tamper;
  uint32_t layers_left_out; /* the last so many are never computed: an injected fault */
  /* Probes (bench/liveness.h): need every token's logits wanted, in one micro-batch, the tokens of
   * a sequence beside each other. */
  const zh_patch *patches; /* [patch_count] */
  size_t patch_count;
  uint32_t first_layer; /* layers before it are left out: `enter` then gives the states */
  zh_entrance enter;    /* NULL: none */
  void *enter_user;
  zh_spent *spent; /* [threads], and one more for what is done between passes; NULL: not counted */
  uint32_t counted_every, passes; /* of passes of up to ZH_TOKEN_GRAIN tokens; longer ones are all
                                     counted */
  uint64_t uncounted;             /* ticks of the passes that were not counted */
  int64_t counted_since_ns;
  uint64_t counted_since_ticks;
};

/* Counting of time by stages; an engine is made with it on. */
ZH_MUST_CHECK zh_status zh_engine_count(zh_engine *engine, bool on, zh_error *err);
void zh_engine_restart_count(zh_engine *engine);
zh_times zh_engine_times(const zh_engine *engine); /* since the count was started */
/* What the calling thread, thread 0, did since the last pass or mark was `stage`'s. */
void zh_engine_mark(const zh_engine *engine, zh_stage stage);
void zh_engine_mark_nothing(const zh_engine *engine); /* … was no stage's */
zh_spent *zh_spent_between(const zh_engine *engine);

/* In a call of so many tokens: what kernels do with each expert's depends on how many it has on
 * average, and on nothing else, so that a token's bits do not depend on where others go. */
zh_way zh_expert_way(const zh_architecture *a, size_t tokens);

/* Of latents all query heads share one key: tiles pay for a single token, too. */
static inline zh_way zh_attention_way(const zh_architecture *a, zh_way way) {
  return a->attention == ZH_ATTENTION_LATENT ? ZH_MANY : way;
}

/* Of a call of so many tokens: a micro-batch's. */
size_t zh_engine_tokens_at_once(const zh_engine *engine, size_t count);
/* Whether other ranks have other heads and columns of the layers that are here. */
static inline bool zh_engine_is_divided(const zh_engine *engine) {
  return engine->stages.part.parts > 1;
}

/* What the bounds of the checks depend on. */
typedef struct zh_arithmetic {
  bool fp64_sums;      /* of the kernels */
  zh_roundings rounds; /* of products none where weights are not packed */
  zh_kv_type kv;       /* what keys and values were rounded to */
  uint32_t context;    /* for which RoPE's frequencies were chosen */
} zh_arithmetic;
zh_arithmetic zh_engine_arithmetic(const zh_engine *engine);
/* Of products in a call of so many tokens: how most of their operations round; and the peak that
 * stands for it, "compute/int8_dot_all_cores". */
zh_rounding zh_engine_rounding(const zh_engine *engine, size_t tokens);
const char *zh_engine_peak(const zh_engine *engine, size_t tokens);
/* GPUs over which the model lies, of each of which the peaks are one's; on the CPU 1: peaks are of
 * all ranks together. */
double zh_engine_gpus(const zh_engine *engine);
/* The peak of what reads weights and cache. */
const char *zh_engine_memory_peak(const zh_engine *engine);

/* observer NULL detaches. */
ZH_MUST_CHECK zh_status zh_engine_observe(zh_engine *engine, zh_observer observer, void *user,
                                          zh_error *err);
/* Forgets positions >= length of a sequence and fills their cache with NaN, so that nothing of an
 * earlier pass can be read unseen. */
void zh_engine_poison(zh_engine *engine, uint32_t sequence, uint32_t length);
/* Where a device has the cache: brings its mirror here up to it. Before zh_engine_kv is read by
 * others than observers. */
ZH_MUST_CHECK zh_status zh_engine_fetch_cache(zh_engine *engine, zh_error *err);
/* The weights that the engine reads, as zh_weights_digest and zh_weights_verify do it, wherever
 * they are. */
ZH_MUST_CHECK zh_status zh_engine_digest_weights(char out[ZH_DIGEST_HEX], zh_engine *engine,
                                                 zh_error *err);
ZH_MUST_CHECK zh_status zh_engine_verify_weights(zh_engine *engine, uint64_t seed, zh_error *err);
/* A layer's cache. */
zh_kv zh_engine_kv(const zh_engine *engine, size_t layer);

/* By which a normalised head multiplies the logit of a row: 1 / |row|. */
float zh_head_factor(const float *row, size_t columns);

/* Sum of the bits of the values as unsigned integers, modulo 2^64: any single change shows. */
uint64_t zh_sum_of_bits(const float *values, size_t count);

#endif
