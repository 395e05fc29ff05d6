#include "bench/engine/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operator as forward.c and attention.c report it. */
static const zh_instruction FIRST = {"embedding", ZH_OP_EMBEDDING, ZH_EMBEDDING,
                                     ZH_VALUE_X,  ZH_VALUE_X,      ZH_VALUE_X};
#define MATRIX(name, slot, in, out)                                                                \
  { name, ZH_OP_MATMUL, slot, ZH_VALUE_##in, ZH_VALUE_X, ZH_VALUE_##out }
#define NORM(name, slot)                                                                           \
  { name, ZH_OP_RMSNORM, slot, ZH_VALUE_X, ZH_VALUE_X, ZH_VALUE_NORMED }
#define ROW(name, op, in, second, out)                                                             \
  { name, op, -1, ZH_VALUE_##in, ZH_VALUE_##second, ZH_VALUE_##out }
static const zh_instruction LAYER[] = {
    NORM("attention norm", ZH_ATTN_NORM),
    MATRIX("q", ZH_ATTN_Q, NORMED, QUERY),
    MATRIX("k", ZH_ATTN_K, NORMED, KEY),
    MATRIX("v", ZH_ATTN_V, NORMED, VALUE),
    ROW("rope q", ZH_OP_ROPE, QUERY, X, ROTATED_QUERY),
    ROW("rope k", ZH_OP_ROPE, KEY, X, ROTATED_KEY),
    ROW("attention", ZH_OP_ATTENTION, ROTATED_QUERY, X, ATTENDED),
    MATRIX("attention output", ZH_ATTN_OUTPUT, ATTENDED, DELTA),
    ROW("attention residual", ZH_OP_ADD, X, DELTA, X),
    NORM("ffn norm", ZH_FFN_NORM),
    MATRIX("gate", ZH_FFN_GATE, NORMED, GATE),
    MATRIX("up", ZH_FFN_UP, NORMED, UP),
    ROW("silu", ZH_OP_SILU, GATE, UP, INNER),
    MATRIX("down", ZH_FFN_DOWN, INNER, DELTA),
    ROW("ffn residual", ZH_OP_ADD, X, DELTA, X),
};
static const zh_instruction LAST[] = {
    NORM("output norm", ZH_OUTPUT_NORM),
    MATRIX("head", ZH_HEAD, NORMED, LOGITS),
};
enum { LAYER_LENGTH = sizeof LAYER / sizeof LAYER[0], LAST_LENGTH = sizeof LAST / sizeof LAST[0] };

size_t zh_value_width(const zh_architecture *a, zh_value value) {
  switch (value) {
  case ZH_VALUE_QUERY:
  case ZH_VALUE_ROTATED_QUERY:
  case ZH_VALUE_ATTENDED:
    return (size_t)a->heads * a->head_dim;
  case ZH_VALUE_KEY:
  case ZH_VALUE_VALUE:
  case ZH_VALUE_ROTATED_KEY:
    return (size_t)a->kv_heads * a->head_dim;
  case ZH_VALUE_GATE:
  case ZH_VALUE_UP:
  case ZH_VALUE_INNER:
    return a->ffn;
  case ZH_VALUE_LOGITS:
    return a->vocab;
  default:
    return a->hidden;
  }
}

size_t zh_order_length(uint32_t layers, bool logits) {
  return 1 + (size_t)layers * LAYER_LENGTH + (logits ? (size_t)LAST_LENGTH : 0);
}

const zh_instruction *zh_order_at(size_t i, uint32_t layers, int *layer) {
  size_t in_layers = (size_t)layers * LAYER_LENGTH;
  *layer = -1;
  if (i == 0) return &FIRST;
  if (i > in_layers) return &LAST[i - 1 - in_layers];
  *layer = (int)((i - 1) / LAYER_LENGTH);
  return &LAYER[(i - 1) % LAYER_LENGTH];
}

zh_weight *zh_order_weight(const zh_instruction *is, int layer, const zh_weights *weights) {
  if (is->weight < 0) return NULL;
  if (layer < 0) return (zh_weight *)&weights->whole[is->weight];
  return &weights->layer[(size_t)layer * ZH_LAYER_SLOTS + (size_t)is->weight];
}

static size_t find_in(const zh_instruction *list, size_t count, const char *name) {
  size_t i = 0;
  while (i < count && strcmp(list[i].name, name) != 0) ++i;
  return i;
}

size_t zh_order_find(const zh_operation *o, uint32_t layers) {
  size_t in_layers = (size_t)layers * LAYER_LENGTH, i;
  if (o->layer < 0) {
    if (o->op == FIRST.op) return 0;
    i = find_in(LAST, LAST_LENGTH, o->name);
    return i < LAST_LENGTH ? 1 + in_layers + i : SIZE_MAX;
  }
  i = find_in(LAYER, LAYER_LENGTH, o->name);
  return i < LAYER_LENGTH ? 1 + (size_t)o->layer * LAYER_LENGTH + i : SIZE_MAX;
}

/* --- following an engine --- */

struct zh_order {
  const zh_engine *engine;
  size_t first, end;   /* of this rank's operators in the order of the model's, up to the head's */
  uint32_t layers;     /* the model's */
  size_t next, tokens; /* operator to come; tokens of the pass at hand */
  uint64_t *sum[ZH_VALUES]; /* [micro_batch]: of the bits of each value; of rotated keys and of
                               values as the cache holds them */
  bool known[ZH_VALUES];    /* false where what made it is not shown: sums between nodes */
  float *row;               /* one position's keys or values */
};

zh_status zh_order_create(zh_order **out, const zh_engine *engine, zh_error *err) {
  zh_order *order = calloc(1, sizeof *order);
  bool whole = order != NULL;
  for (int v = 0; whole && v < ZH_VALUES; ++v) {
    order->sum[v] = calloc(engine->micro_batch, sizeof *order->sum[v]);
    whole = order->sum[v] != NULL;
  }
  if (whole) {
    size_t width = zh_value_width(&engine->architecture, ZH_VALUE_KEY);
    order->row = malloc(width * sizeof *order->row);
    whole = order->row != NULL;
  }
  if (!whole) {
    zh_order_free(order);
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the self-check");
  }
  const zh_weights *w = &engine->weights;
  order->engine = engine;
  order->layers = w->total.layers;
  order->first = w->whole[ZH_EMBEDDING].tensor && w->first_layer == 0
                     ? 0
                     : zh_order_length(w->first_layer, false);
  order->end = zh_order_length(w->first_layer + engine->architecture.layers, false);
  order->next = order->first;
  *out = order;
  return ZH_OK;
}

void zh_order_free(zh_order *order) {
  if (!order) return;
  for (int v = 0; v < ZH_VALUES; ++v) free(order->sum[v]);
  free(order->row);
  free(order);
}

/* Odd factors, so that any single change shows, and two values in each other's place as well. */
static uint64_t sum_of(const float *values, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    sum += bits * (2 * (uint64_t)i + 1);
  }
  return sum;
}

static bool is_same(const zh_order *order, zh_value value, const float *rows, size_t width,
                    size_t tokens) {
  for (size_t t = 0; order->known[value] && t < tokens; ++t)
    if (sum_of(rows + t * width, width) != order->sum[value][t]) return false;
  return true;
}

/* Rows whose logits are wanted are gathered before the last norm: some of X, in their order. */
static bool is_gathered(const zh_order *order, const zh_operation *o) {
  size_t t = 0;
  for (size_t i = 0; i < o->tokens; ++i, ++t) {
    uint64_t sum = sum_of(o->input + i * o->in_width, o->in_width);
    while (t < order->tokens && order->sum[ZH_VALUE_X][t] != sum) ++t;
    if (t == order->tokens) return false;
  }
  return true;
}

/* Of a position's keys or values, all heads. */
static uint64_t sum_of_cached(const zh_order *order, const zh_operation *o, size_t t,
                              bool is_value) {
  const zh_kv *kv = o->kv;
  size_t position = o->position[t];
  for (size_t h = 0; h < kv->kv_heads; ++h)
    (is_value ? zh_kv_values : zh_kv_keys)(order->row + h * kv->head_dim, kv, o->sequence[t], h,
                                           position, position + 1);
  return sum_of(order->row, kv->kv_heads * kv->head_dim);
}

static bool cache_holds(const zh_order *order, const zh_operation *o) {
  for (size_t t = 0; t < o->tokens; ++t)
    if (sum_of_cached(order, o, t, false) != order->sum[ZH_VALUE_ROTATED_KEY][t] ||
        sum_of_cached(order, o, t, true) != order->sum[ZH_VALUE_VALUE][t])
      return false;
  return true;
}

static uint64_t sum_when_cached(const zh_order *order, const float *values, size_t width) {
  size_t d = order->engine->architecture.head_dim;
  memcpy(order->row, values, width * sizeof *values);
  for (size_t at = 0; at < width; at += d) zh_kv_round(order->row + at, order->engine->kv.type, d);
  return sum_of(order->row, width);
}

static void keep(zh_order *order, zh_value value, const zh_operation *o) {
  size_t stride = o->output_stride ? o->output_stride : o->out_width;
  bool cached = value == ZH_VALUE_ROTATED_KEY || value == ZH_VALUE_VALUE;
  for (size_t t = 0; t < o->tokens; ++t)
    order->sum[value][t] = (cached ? sum_when_cached(order, o->output + t * stride, o->out_width)
                                   : sum_of(o->output + t * stride, o->out_width));
  order->known[value] = true;
}

static bool inputs_follow(const zh_order *order, const zh_operation *o, const zh_instruction *now) {
  if (now->op == ZH_OP_EMBEDDING) return true;
  if (now->weight == ZH_OUTPUT_NORM && o->layer < 0 && now->op == ZH_OP_RMSNORM)
    return is_gathered(order, o);
  bool two = now->op == ZH_OP_ADD || now->op == ZH_OP_SILU;
  return is_same(order, now->in, o->input, o->in_width, o->tokens) &&
         (!two || is_same(order, now->second, o->second, o->in_width, o->tokens));
}

/* Where a pass may end: with its last layer, or with the logits. */
static bool is_end(const zh_order *order, size_t place) {
  return place == order->end ||
         (zh_engine_has_head(order->engine) && place == zh_order_length(order->layers, true));
}

static void begin_pass(zh_order *order, const zh_operation *o) {
  if (zh_order_find(o, order->layers) != order->first || !zh_order_ended(order)) return;
  order->next = order->first;
  order->tokens = o->tokens;
  memset(order->known, 0, sizeof order->known); /* hidden states may come from another rank */
}

static bool fail(char *failure, size_t capacity, const char *what, const zh_operation *o) {
  snprintf(failure, capacity, "order: %s (operator '%s' of layer %d)", what, o->name, o->layer);
  return false;
}

bool zh_order_visit(zh_order *order, const zh_operation *o, char *failure, size_t capacity) {
  int layer = -1;
  if (o->op == ZH_OP_SUM) { /* of the parts of all ranks */
    keep(order, ZH_VALUE_DELTA, o);
    return true;
  }
  begin_pass(order, o);
  bool more = order->next < zh_order_length(order->layers, true);
  const zh_instruction *now = more ? zh_order_at(order->next, order->layers, &layer) : NULL;
  if (!now || strcmp(now->name, o->name) != 0 || layer != o->layer) {
    snprintf(failure, capacity,
             "order: operator '%s' of layer %d was computed where %s%s%s of layer %d should be",
             o->name, o->layer, now ? "'" : "the end", now ? now->name : "", now ? "'" : "", layer);
    return false;
  }
  if (!inputs_follow(order, o, now))
    return fail(failure, capacity, "an input is not what the operator before it gave", o);
  if (now->op == ZH_OP_ATTENTION && !cache_holds(order, o))
    return fail(failure, capacity, "the cache does not hold the key and value just computed", o);
  keep(order, now->out, o);
  if (order->engine->reduce && now->out == ZH_VALUE_DELTA)
    order->known[ZH_VALUE_DELTA] = false; /* a part alone, until the sum over the ranks */
  ++order->next;
  return true;
}

bool zh_order_ended(const zh_order *order) {
  return order->next == order->first || is_end(order, order->next);
}
