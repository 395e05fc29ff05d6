/* The operators of a forward pass in their order, and which of them reads what which has written:
 * what the self-check holds a running engine to, and a certificate. */
#ifndef ZH_BENCH_ENGINE_ORDER_H
#define ZH_BENCH_ENGINE_ORDER_H

#include "bench/engine/inside.h"

typedef enum zh_value {
  ZH_VALUE_X, /* the residual stream */
  ZH_VALUE_NORMED,
  ZH_VALUE_QUERY, /* turned and normed in place, until … */
  ZH_VALUE_KEY,
  ZH_VALUE_VALUE,
  ZH_VALUE_FINAL_QUERY, /* … it is what attends, or what the cache holds */
  ZH_VALUE_FINAL_KEY,
  ZH_VALUE_Q_DOWN, /* of latent attention */
  ZH_VALUE_Q_NORMED,
  ZH_VALUE_LATENT,
  ZH_VALUE_ABSORBED,
  ZH_VALUE_SEEN,
  ZH_VALUE_ATTENDED,
  ZH_VALUE_DELTA,
  ZH_VALUE_GATE,
  ZH_VALUE_UP,
  ZH_VALUE_INNER,
  ZH_VALUE_SCORES, /* of the router */
  ZH_VALUE_ROUTED, /* weights of the choices */
  ZH_VALUE_SHARED_GATE,
  ZH_VALUE_SHARED_UP,
  ZH_VALUE_SHARED_INNER,
  ZH_VALUE_SHARED,
  ZH_VALUE_SHARED_SCORE,
  ZH_VALUE_EXPERT_GATE, /* of each choice, and what follows */
  ZH_VALUE_EXPERT_UP,
  ZH_VALUE_EXPERT_INNER,
  ZH_VALUE_EXPERT,
  ZH_VALUE_LOGITS,
  ZH_VALUES
} zh_value;
size_t zh_value_width(const zh_architecture *a, zh_value value);

/* Whether a token has one of it for each of its choices of experts. */
bool zh_value_is_of_choices(zh_value value);
/* Floats of it that a certificate shows of a token: of all choices; of the routed ones their
 * weights, then their experts. */
size_t zh_value_shown(const zh_architecture *a, zh_value value);

typedef struct zh_instruction {
  const char *name; /* as zh_operation has it */
  zh_operator op;
  int weight; /* zh_layer_slot, or zh_model_slot outside the layers; -1: none, or of experts */
  int bias;   /* of a product: what is added to it; -1: none */
  zh_value in, second, out;
} zh_instruction;

/* The operators of an architecture's pass: an embedding, of each layer those of its kind, norm and
 * head. A value. */
enum { ZH_PROGRAM_KINDS = 2, ZH_PROGRAM_LENGTH = 32 };
typedef struct zh_program {
  uint32_t layers;
  zh_instruction list[ZH_PROGRAM_KINDS][ZH_PROGRAM_LENGTH];
  size_t length[ZH_PROGRAM_KINDS];
  uint8_t kind[ZH_MAX_LAYERS];
  size_t begin[ZH_MAX_LAYERS + 1]; /* of each layer, and behind the last */
} zh_program;
/* a: of the whole model. */
void zh_program_of(zh_program *out, const zh_architecture *a);
/* What of it a certificate shows where the columns of products lay over so many ranks: of experts'
 * last products each rank had parts alone, and `experts` stands for all of them, summed. */
void zh_program_shown(zh_program *out, const zh_architecture *a, size_t ranks);

/* Operators of a token's pass, up to the last layer's end or the logits. */
size_t zh_program_length(const zh_program *program, bool logits);
/* The i-th, i below that length with logits; *layer is -1 outside the layers. */
const zh_instruction *zh_program_at(const zh_program *program, size_t i, int *layer);

/* Of a product or a norm, or of the embedding, its weight, and the bias of a product; else NULL.
 * weights: of the whole model. */
zh_weight *zh_order_weight(const zh_instruction *is, int layer, const zh_weights *weights);
const zh_weight *zh_order_bias(const zh_instruction *is, int layer, const zh_weights *weights);

/* The place of an operator in that order, or SIZE_MAX: sums over ranks are in no such order. */
size_t zh_program_find(const zh_program *program, const zh_operation *operation);

/* Follows a running engine: its operators must come in this order, each with what the one before
 * gave, bit for bit; and the cache must hold the keys and values that were computed. All tokens are
 * followed. */
typedef struct zh_order zh_order;
ZH_MUST_CHECK zh_status zh_order_create(zh_order **out, const zh_engine *engine, zh_error *err);
void zh_order_free(zh_order *order); /* NULL is safe */
/* False where something does not follow; `failure` then says what, in one sentence. */
bool zh_order_visit(zh_order *order, const zh_operation *operation, char *failure, size_t capacity);
/* Whether the last pass came to its end. */
bool zh_order_ended(const zh_order *order);

#endif
