/* The operators of a forward pass in their order, and which of them reads what which has written:
 * what the self-check holds a running engine to, and a certificate. */
#ifndef ZH_BENCH_ENGINE_ORDER_H
#define ZH_BENCH_ENGINE_ORDER_H

#include "bench/engine/inside.h"

typedef enum zh_value {
  ZH_VALUE_X, /* the residual stream */
  ZH_VALUE_NORMED,
  ZH_VALUE_QUERY,
  ZH_VALUE_KEY,
  ZH_VALUE_VALUE,
  ZH_VALUE_ROTATED_QUERY,
  ZH_VALUE_ROTATED_KEY,
  ZH_VALUE_ATTENDED,
  ZH_VALUE_DELTA,
  ZH_VALUE_GATE,
  ZH_VALUE_UP,
  ZH_VALUE_INNER,
  ZH_VALUE_LOGITS,
  ZH_VALUES
} zh_value;
size_t zh_value_width(const zh_architecture *a, zh_value value);

typedef struct zh_instruction {
  const char *name; /* as zh_operation has it */
  zh_operator op;
  int weight; /* zh_layer_slot, or zh_model_slot outside the layers; -1: none */
  zh_value in, second, out;
} zh_instruction;

/* Operators of a token's pass, up to the last layer's end or the logits. */
size_t zh_order_length(uint32_t layers, bool logits);
/* The i-th, i below that length with logits; *layer is -1 outside the layers. */
const zh_instruction *zh_order_at(size_t i, uint32_t layers, int *layer);

/* Of a product or a norm, or of the embedding, its weight; else NULL. */
zh_weight *zh_order_weight(const zh_instruction *is, int layer, const zh_weights *weights);

/* The place of an operator in that order, or SIZE_MAX: sums over ranks are in no such order. */
size_t zh_order_find(const zh_operation *operation, uint32_t layers);

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
