#include "bench/engine/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE, SPARSE };

/* Operators as forward.c and attention.c report them. */
static const zh_instruction FIRST = {"embedding", ZH_OP_EMBEDDING, ZH_EMBEDDING, -1,
                                     ZH_VALUE_X,  ZH_VALUE_X,      ZH_VALUE_X};
static const zh_instruction LAST[] = {
    {"output norm", ZH_OP_RMSNORM, ZH_OUTPUT_NORM, -1, ZH_VALUE_X, ZH_VALUE_X, ZH_VALUE_NORMED},
    {"head", ZH_OP_MATMUL, ZH_HEAD, -1, ZH_VALUE_NORMED, ZH_VALUE_X, ZH_VALUE_LOGITS},
};
enum { LAST_LENGTH = sizeof LAST / sizeof LAST[0] };

typedef struct writing {
  zh_program *program;
  const zh_architecture *a;
  int kind;
  bool divided; /* zh_program_shown */
} writing;

static void put(writing *w, zh_instruction is) {
  w->program->list[w->kind][w->program->length[w->kind]++] = is;
}

static void put_norm(writing *w, const char *name, int slot, zh_value in) {
  put(w, (zh_instruction){name, ZH_OP_RMSNORM, slot, -1, in, ZH_VALUE_X, ZH_VALUE_NORMED});
}

static void put_product(writing *w, const char *name, int slot, int bias, zh_value in,
                        zh_value out) {
  put(w, (zh_instruction){name, ZH_OP_MATMUL, slot, bias, in, ZH_VALUE_X, out});
}

static void put_rows(writing *w, const char *name, zh_operator op, int slot, zh_value in,
                     zh_value second, zh_value out) {
  put(w, (zh_instruction){name, op, slot, -1, in, second, out});
}

static int if_there(bool there, int slot) {
  return there ? slot : -1;
}

/* What turns query and key into what attends. */
static void put_heads(writing *w) {
  static const struct {
    const char *names[2];
    zh_operator op;
    int slots[2];
  } norm = {{"q norm", "k norm"}, ZH_OP_HEAD_NORM, {ZH_ATTN_Q_NORM, ZH_ATTN_K_NORM}},
    rope = {{"rope q", "rope k"}, ZH_OP_ROPE, {-1, -1}};
  static const zh_value given[2] = {ZH_VALUE_QUERY, ZH_VALUE_KEY},
                        last[2] = {ZH_VALUE_FINAL_QUERY, ZH_VALUE_FINAL_KEY};
  zh_head_norm where = w->a->head_norm;
  int steps = where == ZH_HEAD_NORM_NONE ? 1 : 2;
  for (int step = 0; step < steps; ++step) {
    bool norms = steps == 2 && (step == 0) == (where == ZH_HEAD_NORM_BEFORE_ROPE);
    for (int i = 0; i < 2; ++i)
      put_rows(w, norms ? norm.names[i] : rope.names[i], norms ? norm.op : rope.op,
               norms ? norm.slots[i] : rope.slots[i], given[i], ZH_VALUE_X,
               step + 1 == steps ? last[i] : given[i]);
  }
}

/* A block's output goes into the stream, normed first where the architecture says so. */
static void put_residual(writing *w, const char *norm, int slot, bool normed, const char *name) {
  if (normed) put_norm(w, norm, slot, ZH_VALUE_DELTA);
  put_rows(w, name, ZH_OP_ADD, -1, ZH_VALUE_X, normed ? ZH_VALUE_NORMED : ZH_VALUE_DELTA,
           ZH_VALUE_X);
}

static void put_latent(writing *w) {
  bool ranked = w->a->latent.q_rank != 0;
  if (ranked)
    put_product(w, "q down", ZH_LATENT_Q_DOWN, -1, ZH_VALUE_NORMED, ZH_VALUE_Q_DOWN);
  else
    put_product(w, "q", ZH_ATTN_Q, -1, ZH_VALUE_NORMED, ZH_VALUE_QUERY);
  put_product(w, "kv down", ZH_LATENT_KV_DOWN, -1, ZH_VALUE_NORMED, ZH_VALUE_LATENT);
  if (ranked)
    put_rows(w, "q latent norm", ZH_OP_LATENT_NORM, ZH_LATENT_Q_NORM, ZH_VALUE_Q_DOWN, ZH_VALUE_X,
             ZH_VALUE_Q_NORMED);
  put_rows(w, "kv latent norm", ZH_OP_LATENT_NORM, ZH_LATENT_KV_NORM, ZH_VALUE_LATENT, ZH_VALUE_X,
           ZH_VALUE_KEY);
  put_rows(w, "rope k", ZH_OP_ROPE, -1, ZH_VALUE_KEY, ZH_VALUE_X, ZH_VALUE_FINAL_KEY);
  if (ranked) put_product(w, "q up", ZH_LATENT_Q_UP, -1, ZH_VALUE_Q_NORMED, ZH_VALUE_QUERY);
  put_rows(w, "latent query", ZH_OP_HEAD_MATMUL, ZH_LATENT_K_UP, ZH_VALUE_QUERY, ZH_VALUE_X,
           ZH_VALUE_ABSORBED);
  put_rows(w, "rope q", ZH_OP_ROPE, -1, ZH_VALUE_ABSORBED, ZH_VALUE_X, ZH_VALUE_FINAL_QUERY);
  put_rows(w, "attention", ZH_OP_ATTENTION, -1, ZH_VALUE_FINAL_QUERY, ZH_VALUE_X, ZH_VALUE_SEEN);
  put_rows(w, "latent value", ZH_OP_HEAD_MATMUL, ZH_LATENT_V_UP, ZH_VALUE_SEEN, ZH_VALUE_X,
           ZH_VALUE_ATTENDED);
}

static void put_grouped(writing *w) {
  const zh_architecture *a = w->a;
  put_product(w, "q", ZH_ATTN_Q, if_there(a->qkv_bias, ZH_ATTN_Q_BIAS), ZH_VALUE_NORMED,
              ZH_VALUE_QUERY);
  put_product(w, "k", ZH_ATTN_K, if_there(a->qkv_bias, ZH_ATTN_K_BIAS), ZH_VALUE_NORMED,
              ZH_VALUE_KEY);
  put_product(w, "v", ZH_ATTN_V, if_there(a->qkv_bias, ZH_ATTN_V_BIAS), ZH_VALUE_NORMED,
              ZH_VALUE_VALUE);
  put_heads(w);
  put_rows(w, "attention", ZH_OP_ATTENTION, if_there(a->sinks, ZH_ATTN_SINKS), ZH_VALUE_FINAL_QUERY,
           ZH_VALUE_X, ZH_VALUE_ATTENDED);
}

static void put_attention(writing *w) {
  const zh_architecture *a = w->a;
  put_norm(w, "attention norm", ZH_ATTN_NORM, ZH_VALUE_X);
  if (a->attention == ZH_ATTENTION_LATENT)
    put_latent(w);
  else
    put_grouped(w);
  put_product(w, "attention output", ZH_ATTN_OUTPUT, if_there(a->output_bias, ZH_ATTN_OUTPUT_BIAS),
              ZH_VALUE_ATTENDED, ZH_VALUE_DELTA);
  put_residual(w, "attention post norm", ZH_ATTN_POST_NORM, a->norm_after.attention,
               "attention residual");
}

static void put_dense(writing *w) {
  bool bias = w->a->ffn_bias;
  put_norm(w, "ffn norm", ZH_FFN_NORM, ZH_VALUE_X);
  put_product(w, "gate", ZH_FFN_GATE, if_there(bias, ZH_FFN_GATE_BIAS), ZH_VALUE_NORMED,
              ZH_VALUE_GATE);
  put_product(w, "up", ZH_FFN_UP, if_there(bias, ZH_FFN_UP_BIAS), ZH_VALUE_NORMED, ZH_VALUE_UP);
  put_rows(w, zh_activation_name(w->a), ZH_OP_ACTIVATION, -1, ZH_VALUE_GATE, ZH_VALUE_UP,
           ZH_VALUE_INNER);
  put_product(w, "down", ZH_FFN_DOWN, if_there(bias, ZH_FFN_DOWN_BIAS), ZH_VALUE_INNER,
              ZH_VALUE_DELTA);
  put_residual(w, "ffn post norm", ZH_FFN_POST_NORM, w->a->norm_after.ffn, "ffn residual");
}

static void put_shared(writing *w) {
  put_product(w, "shared gate", ZH_SHARED_GATE, -1, ZH_VALUE_NORMED, ZH_VALUE_SHARED_GATE);
  put_product(w, "shared up", ZH_SHARED_UP, -1, ZH_VALUE_NORMED, ZH_VALUE_SHARED_UP);
  put_rows(w, "shared activation", ZH_OP_ACTIVATION, -1, ZH_VALUE_SHARED_GATE, ZH_VALUE_SHARED_UP,
           ZH_VALUE_SHARED_INNER);
  if (!w->divided)
    put_product(w, "shared down", ZH_SHARED_DOWN, -1, ZH_VALUE_SHARED_INNER, ZH_VALUE_SHARED);
  if (w->a->shared_gated)
    put_product(w, "shared score", ZH_SHARED_SCORE, -1, ZH_VALUE_NORMED, ZH_VALUE_SHARED_SCORE);
}

/* Of a token's choices all together. */
static void put_sparse(writing *w) {
  put_norm(w, "ffn norm", ZH_FFN_NORM, ZH_VALUE_X);
  put_product(w, "router", ZH_ROUTER, -1, ZH_VALUE_NORMED, ZH_VALUE_SCORES);
  put_rows(w, "route", ZH_OP_ROUTE, -1, ZH_VALUE_SCORES, ZH_VALUE_X, ZH_VALUE_ROUTED);
  if (w->a->shared_ffn) put_shared(w);
  put_product(w, "expert gate", -1, -1, ZH_VALUE_NORMED, ZH_VALUE_EXPERT_GATE);
  put_product(w, "expert up", -1, -1, ZH_VALUE_NORMED, ZH_VALUE_EXPERT_UP);
  put_rows(w, "expert activation", ZH_OP_ACTIVATION, -1, ZH_VALUE_EXPERT_GATE, ZH_VALUE_EXPERT_UP,
           ZH_VALUE_EXPERT_INNER);
  if (!w->divided) put_product(w, "expert down", -1, -1, ZH_VALUE_EXPERT_INNER, ZH_VALUE_EXPERT);
  put_rows(w, "experts", ZH_OP_COMBINE, -1, w->divided ? ZH_VALUE_EXPERT_INNER : ZH_VALUE_EXPERT,
           w->divided ? ZH_VALUE_SHARED_INNER : ZH_VALUE_SHARED, ZH_VALUE_DELTA);
  put_residual(w, "ffn post norm", ZH_FFN_POST_NORM, w->a->norm_after.ffn, "ffn residual");
}

const char *zh_activation_name(const zh_architecture *a) {
  static const char *const names[] = {[ZH_ACTIVATION_SILU] = "silu",
                                      [ZH_ACTIVATION_GELU] = "gelu",
                                      [ZH_ACTIVATION_GELU_TANH] = "gelu",
                                      [ZH_ACTIVATION_CLAMPED] = "swiglu"};
  return names[a->activation];
}

static void write_program(zh_program *out, const zh_architecture *a, bool divided) {
  *out = (zh_program){.layers = a->layers, .begin = {1}};
  writing w = {out, a, DENSE, divided};
  put_attention(&w);
  put_dense(&w);
  w.kind = SPARSE;
  put_attention(&w);
  put_sparse(&w);
  for (uint32_t l = 0; l < a->layers; ++l) {
    out->kind[l] = zh_layer_is(a, l, ZH_LAYER_EXPERTS) ? SPARSE : DENSE;
    out->begin[l + 1] = out->begin[l] + out->length[out->kind[l]];
  }
}

void zh_program_of(zh_program *out, const zh_architecture *a) {
  write_program(out, a, false);
}

void zh_program_shown(zh_program *out, const zh_architecture *a, size_t ranks) {
  write_program(out, a, ranks > 1);
}

size_t zh_value_width(const zh_architecture *a, zh_value value) {
  switch (value) {
  case ZH_VALUE_QUERY:
    return (size_t)a->heads * a->head_dim;
  case ZH_VALUE_FINAL_QUERY:
  case ZH_VALUE_ABSORBED:
    return (size_t)a->heads * zh_key_dim(a);
  case ZH_VALUE_SEEN:
    return (size_t)a->heads * zh_seen_dim(a);
  case ZH_VALUE_Q_DOWN:
  case ZH_VALUE_Q_NORMED:
    return a->latent.q_rank;
  case ZH_VALUE_LATENT:
    return zh_key_dim(a);
  case ZH_VALUE_ATTENDED:
    return (size_t)a->heads * a->value_dim;
  case ZH_VALUE_KEY:
  case ZH_VALUE_FINAL_KEY:
    return (size_t)a->kv_heads * zh_key_dim(a);
  case ZH_VALUE_VALUE:
    return (size_t)a->kv_heads * a->value_dim;
  case ZH_VALUE_GATE:
  case ZH_VALUE_UP:
  case ZH_VALUE_INNER:
    return a->ffn;
  case ZH_VALUE_SCORES:
    return a->experts;
  case ZH_VALUE_ROUTED:
    return a->experts_used;
  case ZH_VALUE_SHARED_GATE:
  case ZH_VALUE_SHARED_UP:
  case ZH_VALUE_SHARED_INNER:
    return a->shared_ffn;
  case ZH_VALUE_SHARED_SCORE:
    return 1;
  case ZH_VALUE_EXPERT_GATE:
  case ZH_VALUE_EXPERT_UP:
  case ZH_VALUE_EXPERT_INNER:
    return a->expert_ffn;
  case ZH_VALUE_LOGITS:
    return a->vocab;
  default:
    return a->hidden;
  }
}

bool zh_value_is_of_choices(zh_value value) {
  return value == ZH_VALUE_EXPERT_GATE || value == ZH_VALUE_EXPERT_UP ||
         value == ZH_VALUE_EXPERT_INNER || value == ZH_VALUE_EXPERT;
}

size_t zh_value_shown(const zh_architecture *a, zh_value value) {
  if (value == ZH_VALUE_ROUTED) return 2 * (size_t)a->experts_used;
  return zh_value_width(a, value) * (zh_value_is_of_choices(value) ? a->experts_used : 1);
}

size_t zh_program_length(const zh_program *p, bool logits) {
  return p->begin[p->layers] + (logits ? (size_t)LAST_LENGTH : 0);
}

/* The layer whose operators hold the i-th, i within the layers. */
static uint32_t layer_of(const zh_program *p, size_t i) {
  uint32_t low = 0, high = p->layers;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (p->begin[middle] <= i)
      low = middle;
    else
      high = middle;
  }
  return low;
}

const zh_instruction *zh_program_at(const zh_program *p, size_t i, int *layer) {
  *layer = -1;
  if (i == 0) return &FIRST;
  if (i >= p->begin[p->layers]) return &LAST[i - p->begin[p->layers]];
  uint32_t l = layer_of(p, i);
  *layer = (int)l;
  return &p->list[p->kind[l]][i - p->begin[l]];
}

static zh_weight *weight_at(int slot, int layer, const zh_weights *weights) {
  if (slot < 0) return NULL;
  if (layer < 0) return (zh_weight *)&weights->whole[slot];
  return &zh_weights_layer(weights, (uint32_t)layer)[slot];
}

zh_weight *zh_order_weight(const zh_instruction *is, int layer, const zh_weights *weights) {
  return weight_at(is->weight, layer, weights);
}

const zh_weight *zh_order_bias(const zh_instruction *is, int layer, const zh_weights *weights) {
  return weight_at(is->bias, layer, weights);
}

static size_t find_in(const zh_instruction *list, size_t count, const char *name) {
  size_t i = 0;
  while (i < count && strcmp(list[i].name, name) != 0) ++i;
  return i;
}

size_t zh_program_find(const zh_program *p, const zh_operation *o) {
  size_t i;
  if (o->layer < 0) {
    if (o->op == FIRST.op) return 0;
    i = find_in(LAST, LAST_LENGTH, o->name);
    return i < LAST_LENGTH ? p->begin[p->layers] + i : SIZE_MAX;
  }
  if ((uint32_t)o->layer >= p->layers) return SIZE_MAX;
  uint8_t kind = p->kind[o->layer];
  i = find_in(p->list[kind], p->length[kind], o->name);
  return i < p->length[kind] ? p->begin[o->layer] + i : SIZE_MAX;
}

/* --- following an engine --- */

struct zh_order {
  const zh_engine *engine;
  zh_program program;       /* the model's */
  size_t first, end;        /* of this rank's operators in that order, up to the head's */
  size_t next, tokens;      /* operator to come; tokens of the pass at hand */
  uint64_t *sum[ZH_VALUES]; /* [micro_batch], of experts [micro_batch][used]: of the bits of each
                               value; of rotated keys and of values as the cache holds them */
  bool known[ZH_VALUES];    /* false where what made it is not shown: sums between nodes */
  float *row;               /* one position's keys or values */
};

zh_status zh_order_create(zh_order **out, const zh_engine *engine, zh_error *err) {
  zh_order *order = calloc(1, sizeof *order);
  bool whole = order != NULL;
  size_t choices = engine->weights.expert ? engine->architecture.experts_used : 1;
  for (int v = 0; whole && v < ZH_VALUES; ++v) {
    order->sum[v] = calloc(engine->micro_batch * choices, sizeof *order->sum[v]);
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
  zh_program_of(&order->program, &w->total.architecture);
  order->first = w->whole[ZH_EMBEDDING].tensor && w->first_layer == 0
                     ? 0
                     : order->program.begin[w->first_layer];
  order->end = order->program.begin[w->first_layer + engine->architecture.layers];
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

typedef const float *(*row_of)(const zh_operation *o, size_t i);

static bool is_same(const zh_order *order, zh_value value, const zh_operation *o, row_of row) {
  bool one = o->spread && row == zh_operation_input; /* of all choices of a token */
  for (size_t i = 0; order->known[value] && i < o->tokens; ++i)
    if (zh_operation_has(o, i) &&
        sum_of(row(o, i), o->in_width) != order->sum[value][one ? i / o->mixture->used : i])
      return false;
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
    if (sum_of_cached(order, o, t, false) != order->sum[ZH_VALUE_FINAL_KEY][t] ||
        (!o->kv->shared && sum_of_cached(order, o, t, true) != order->sum[ZH_VALUE_VALUE][t]))
      return false;
  return true;
}

static uint64_t sum_when_cached(const zh_order *order, const float *values, size_t width) {
  size_t d = order->engine->kv.head_dim;
  memcpy(order->row, values, width * sizeof *values);
  for (size_t at = 0; at < width; at += d) zh_kv_round(order->row + at, order->engine->kept, d);
  return sum_of(order->row, width);
}

static void keep(zh_order *order, zh_value value, const zh_operation *o) {
  bool cached = value == ZH_VALUE_FINAL_KEY || value == ZH_VALUE_VALUE;
  for (size_t t = 0; t < o->tokens; ++t) {
    const float *row = zh_operation_output(o, t);
    if (!zh_operation_has(o, t)) continue;
    order->sum[value][t] =
        cached ? sum_when_cached(order, row, o->out_width) : sum_of(row, o->out_width);
  }
  order->known[value] = true;
}

/* What is combined: the row of each choice here, its weights, and the shared experts'. */
static bool mixture_follows(const zh_order *order, const zh_operation *o) {
  const zh_mixture *m = o->mixture;
  size_t width = o->in_width, used = m->used;
  for (size_t i = 0; i < o->tokens * used; ++i)
    if (zh_mixture_has(m, i) &&
        sum_of(o->input + m->place[i] * width, width) != order->sum[ZH_VALUE_EXPERT][i])
      return false;
  for (size_t t = 0; t < o->tokens; ++t)
    if (sum_of(m->weight + t * used, used) != order->sum[ZH_VALUE_ROUTED][t] ||
        (m->shared && sum_of(m->shared + t, 1) != order->sum[ZH_VALUE_SHARED_SCORE][t]) ||
        (o->second && sum_of(o->second + t * width, width) != order->sum[ZH_VALUE_SHARED][t]))
      return false;
  return true;
}

static bool inputs_follow(const zh_order *order, const zh_operation *o, const zh_instruction *now) {
  if (now->op == ZH_OP_EMBEDDING) return true;
  if (now->weight == ZH_OUTPUT_NORM && o->layer < 0 && now->op == ZH_OP_RMSNORM)
    return is_gathered(order, o);
  if (now->op == ZH_OP_COMBINE) return mixture_follows(order, o);
  bool two = now->op == ZH_OP_ADD || now->op == ZH_OP_ACTIVATION;
  return is_same(order, now->in, o, zh_operation_input) &&
         (!two || is_same(order, now->second, o, zh_operation_second));
}

/* Where a pass may end: with its last layer, or with the logits. */
static bool is_end(const zh_order *order, size_t place) {
  return place == order->end ||
         (zh_engine_has_head(order->engine) && place == zh_program_length(&order->program, true));
}

static void begin_pass(zh_order *order, const zh_operation *o) {
  if (zh_program_find(&order->program, o) != order->first || !zh_order_ended(order)) return;
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
  bool more = order->next < zh_program_length(&order->program, true);
  const zh_instruction *now = more ? zh_program_at(&order->program, order->next, &layer) : NULL;
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
  if (zh_engine_is_divided(order->engine) && now->out == ZH_VALUE_DELTA)
    order->known[ZH_VALUE_DELTA] = false; /* a part alone, until the sum over the ranks */
  ++order->next;
  return true;
}

bool zh_order_ended(const zh_order *order) {
  return order->next == order->first || is_end(order, order->next);
}
