/* A layer with experts. For T tokens, each with its `used` choices:
 *
 *   s = Wrouter n;  choices and their weights from s (route.h);  tokens gathered by expert
 *   of each expert:  o = Wdown (act(Wgate n) * Wup n) for its tokens
 *   delta = sum over the choices of weight * o, and the shared experts' output
 *
 * Barriers: after the router, after the activation of gate and up, after the inputs of down, after
 * down; two more where there are several tokens (after the inputs of gate and up) or more than
 * ZH_TOKEN_GRAIN (after routing). A token's sum is in the order of its choices, so that neither
 * threads nor other tokens change a bit. */
#include "bench/engine/experts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a thread sees of a layer's experts. */
typedef struct view {
  const zh_worker *w;
  zh_experts *x;
  const zh_architecture *a;
  uint32_t layer;
  size_t tokens;
  zh_way way;           /* of the experts' products */
  uint32_t *choice;     /* [tokens][used] */
  float *weight;        /* the same */
  uint32_t first, end;  /* the experts that are here; tokens may have gone to others */
  zh_assignment placed; /* this thread's own lists */
  float *scratch;       /* of the router */
} view;

static const zh_weight *weights_of(const view *v, uint32_t expert) {
  return zh_weights_expert(&v->w->p->e->weights, v->layer, expert);
}

static bool is_here(const view *v, uint32_t expert) {
  return expert >= v->first && expert < v->end;
}

static size_t tokens_of(const view *v, uint32_t expert) {
  return v->placed.first[expert + 1] - v->placed.first[expert];
}

/* Few tokens: each thread finds all choices for itself, and nobody waits. */
static bool each_for_itself(size_t tokens) {
  return tokens <= ZH_TOKEN_GRAIN;
}

zh_way zh_expert_way(const zh_architecture *a, size_t tokens) {
  size_t each = a->experts ? tokens * a->experts_used / a->experts : 0;
  return zh_way_of(each > 0 ? each : 1);
}

static view look(const zh_worker *w, uint32_t layer) {
  zh_experts *x = w->p->e->experts;
  const zh_weights *weights = &w->p->e->weights;
  const zh_architecture *a = &w->p->e->architecture;
  view v = {.w = w,
            .x = x,
            .a = a,
            .layer = layer,
            .tokens = w->p->tokens,
            .way = w->p->expert_way,
            .choice = x->choice,
            .weight = x->weight,
            .first = weights->first_expert,
            .end = weights->first_expert + weights->experts_here};
  uint32_t *own = (uint32_t *)(void *)(x->own + (size_t)w->thread * x->own_bytes);
  size_t few = (size_t)ZH_TOKEN_GRAIN * a->experts_used;
  v.placed = (zh_assignment){own, own + a->experts + 1, own + a->experts + 1 + x->most};
  uint32_t *after = v.placed.place + x->most;
  v.scratch = (float *)(void *)after;
  if (each_for_itself(v.tokens)) {
    v.choice = after + zh_route_scratch_floats(a->experts);
    v.weight = (float *)(void *)(v.choice + few);
  }
  return v;
}

/* --- which expert --- */

static void route_tokens(const view *v) {
  const zh_weight *weight = zh_weights_layer(&v->w->p->e->weights, v->layer);
  zh_routing routing = {
      .router = &v->a->router, .experts = v->a->experts, .used = v->a->experts_used};
  size_t begin = 0, end = v->tokens;
  bool own = each_for_itself(v->tokens);
  if (!own) zh_share(&begin, &end, v->tokens, 1, v->w->thread, v->w->threads);
  bool lost = zh_pass_is_tampered(v->w->p->e, ZH_TAMPER_EXPERT, (int)v->layer);
  for (size_t t = begin; t < end; ++t) {
    float *of_token = v->weight + t * routing.used;
    routing.bias = zh_pass_vector(v->w, &weight[ZH_ROUTER_BIAS], t);
    routing.selection_bias = zh_pass_vector(v->w, &weight[ZH_ROUTER_SELECTION_BIAS], t);
    zh_route(v->choice + t * routing.used, of_token, &routing, v->x->logits + t * v->a->experts,
             v->scratch);
    if (lost) of_token[routing.used - 1] = 0;
  }
  if (!own) zh_pass_meet(v->w, ZH_STAGE_ROWS);
  zh_assign((zh_assignment *)&v->placed, v->choice, v->tokens, routing.used, routing.experts);
}

static uint64_t larger(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* Of every rank's share of the experts; there is one where none are shared out. */
static void count_shares(const view *v) {
  const zh_engine *e = v->w->p->e;
  uint64_t *counted = v->x->counted[v->layer], most = 0, most_busy = 0;
  int parts = e->weights.whole_experts ? e->stages.part.parts : 1;
  for (int i = 0; i < parts; ++i) {
    zh_expert_share share = zh_expert_share_of(v->a->experts, i, parts);
    uint64_t busy = 0, choices = 0;
    for (uint32_t x = share.first; x < share.first + share.count; ++x) {
      busy += tokens_of(v, x) > 0;
      choices += tokens_of(v, x);
    }
    most = larger(most, choices);
    most_busy = larger(most_busy, busy);
    counted[ZH_COUNT_BUSY] += busy;
    counted[ZH_COUNT_CHOICES] += choices;
  }
  counted[ZH_COUNT_MOST] += most;
  counted[ZH_COUNT_MOST_BUSY] += most_busy;
  counted[ZH_COUNT_PASSES] += 1;
  counted[ZH_COUNT_HERE] += v->placed.first[v->end] - v->placed.first[v->first];
}

/* Thread 0 counts for all: everyone sees the same lists. */
static void count_pass(const view *v) {
  if (v->w->thread != 0) return;
  const uint64_t *bytes = v->x->bytes + (size_t)v->layer * v->a->experts;
  for (uint32_t e = 0; e < v->a->experts; ++e) {
    v->x->offered += bytes[e];
    if (tokens_of(v, e) > 0) v->x->read += bytes[e];
  }
  count_shares(v);
}

/* --- the inputs of products, by place --- */

/* Where an expert's prepared inputs begin: groups of 16 places. */
static void places_of(unsigned char *place[ZH_ROUNDINGS], const view *v, size_t groups,
                      size_t columns) {
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    place[kind] = v->x->prepared[kind]
                      ? v->x->prepared[kind] +
                            groups * zh_prepared_bytes((zh_rounding)kind, columns, ZH_TOKEN_GRAIN)
                      : NULL;
}

static void gather(const view *v, size_t first, size_t end, const float *normed) {
  size_t hidden = v->a->hidden;
  for (size_t p = first; p < end; ++p)
    memcpy(v->x->input + p * hidden, normed + v->placed.token[p] * hidden, hidden * sizeof(float));
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Groups of 16 places go round the threads. normed: gathered first; NULL: `from` is filled. */
static void prepare_places(const view *v, zh_expert_slot slot, size_t count, const float *from,
                           size_t columns, const float *normed) {
  size_t groups = 0;
  for (uint32_t e = v->first; e < v->end; ++e) {
    size_t tokens = tokens_of(v, e), first = v->placed.first[e];
    unsigned char *place[ZH_ROUNDINGS];
    places_of(place, v, groups, columns);
    for (size_t t = 0; t < tokens; t += ZH_TOKEN_GRAIN, ++groups) {
      if (groups % (size_t)v->w->threads != (size_t)v->w->thread) continue;
      size_t end = smaller(t + ZH_TOKEN_GRAIN, tokens);
      if (normed) gather(v, first + t, first + end, normed);
      zh_pass_prepare_at(v->w, place, &weights_of(v, e)[slot], count, v->way,
                         from + first * columns, tokens, t, end);
    }
  }
  zh_pass_meet(v->w, ZH_STAGE_ROWS);
}

/* --- products of the experts --- */

/* Of the ranks that have a part of a sum each, one adds its bias: who has the whole expert, or the
 * first. */
static bool adds_bias(const view *v, zh_expert_slot slot) {
  const zh_engine *e = v->w->p->e;
  return slot != ZH_EXPERT_DOWN || e->weights.whole_experts || e->stages.part.index == 0;
}

/* How the threads share the rows of all experts here that have tokens, laid end to end, each as
 * long as its work: a thread reads few long pieces instead of a short one of every matrix, whose
 * beginnings and ends cost waiting for memory. */
typedef struct sweep {
  double begin, end; /* this thread's part of the line */
  double at;         /* where the next expert begins */
} sweep;

/* Of an expert: to read its weights takes as long as to multiply READING tokens more. */
static double work_of(const view *v, uint32_t expert) {
  enum { READING = 16 };
  size_t tokens = tokens_of(v, expert);
  return tokens ? (double)(tokens + READING) : 0;
}

static sweep begin_sweep(const view *v) {
  double all = 0;
  for (uint32_t e = v->first; e < v->end; ++e) all += work_of(v, e);
  return (sweep){all * v->w->thread / v->w->threads, all * (v->w->thread + 1) / v->w->threads, 0};
}

static size_t row_at(double part, size_t rows) {
  size_t groups = (rows + ZH_ROW_GRAIN - 1) / ZH_ROW_GRAIN;
  double group = part <= 0 ? 0 : part >= 1 ? (double)groups : part * (double)groups + 0.5;
  return smaller((size_t)group * ZH_ROW_GRAIN, rows);
}

/* This thread's rows of the next expert's matrices. */
static void next_rows(sweep *s, const view *v, uint32_t expert, size_t rows, size_t *begin,
                      size_t *end) {
  double work = work_of(v, expert);
  *begin = work > 0 ? row_at((s->begin - s->at) / work, rows) : 0;
  *end = work > 0 ? row_at((s->end - s->at) / work, rows) : 0;
  s->at += work;
}

/* Rows of an expert's weight, for all its tokens. */
static void multiply(const view *v, float *to, uint32_t expert, zh_expert_slot slot,
                     const float *from, unsigned char *const place[ZH_ROUNDINGS], size_t begin,
                     size_t end) {
  const zh_weight *weight = &weights_of(v, expert)[slot],
                  *bias = &weights_of(v, expert)[slot + (ZH_EXPERT_GATE_BIAS - ZH_EXPERT_GATE)];
  size_t tokens = tokens_of(v, expert), rows = weight->matrix.rows;
  const uint32_t *token = v->placed.token + v->placed.first[expert];
  zh_product product = {to, from, rows, weight->matrix.columns, tokens, token};
  zh_pass_product_at(v->w, to, rows, weight, v->way, from, place, tokens, begin, end);
  zh_pass_patch_products(v->w, weight, &product, begin, end);
  if (!adds_bias(v, slot) || begin >= end) return;
  for (size_t t = 0; bias->gain && t < tokens; ++t)
    v->w->p->e->kernels->add(to + t * rows, zh_pass_vector(v->w, bias, token[t]), begin, end);
}

static void activate(const view *v, size_t first, size_t tokens, size_t begin, size_t end) {
  size_t ffn = v->a->expert_ffn;
  for (size_t p = first; p < first + tokens; ++p)
    zh_pass_activate(v->w, v->x->inner + p * ffn, v->x->gate + p * ffn, v->x->up + p * ffn, begin,
                     end);
}

/* One token's own input serves all its experts. */
static void prepare_own(const view *v, unsigned char *place[ZH_ROUNDINGS], const float *normed) {
  uint32_t k = 0;
  zh_pass_own_places(v->w, place);
  while (k < v->a->experts_used && !is_here(v, v->choice[k])) ++k;
  if (k == v->a->experts_used) return; /* other ranks have all of them */
  zh_pass_prepare_at(v->w, place, &weights_of(v, v->choice[k])[ZH_EXPERT_GATE], 2, v->way, normed,
                     1, 0, 1);
}

static size_t groups_of(size_t tokens) {
  return (tokens + ZH_TOKEN_GRAIN - 1) / ZH_TOKEN_GRAIN;
}

static void gates_and_ups(const view *v, const float *normed) {
  const zh_experts *x = v->x;
  size_t groups = 0, ffn = v->a->expert_ffn, begin, end;
  bool one = v->tokens == 1;
  unsigned char *place[ZH_ROUNDINGS];
  sweep s = begin_sweep(v);
  if (one) prepare_own(v, place, normed);
  for (uint32_t e = v->first; e < v->end; ++e) {
    size_t tokens = tokens_of(v, e), first = v->placed.first[e];
    const float *from = one ? normed : x->input + first * v->a->hidden;
    next_rows(&s, v, e, ffn, &begin, &end);
    if (begin < end) {
      if (!one) places_of(place, v, groups, v->a->hidden);
      multiply(v, x->gate + first * ffn, e, ZH_EXPERT_GATE, from, place, begin, end);
      multiply(v, x->up + first * ffn, e, ZH_EXPERT_UP, from, place, begin, end);
      activate(v, first, tokens, begin, end);
    }
    groups += groups_of(tokens);
  }
}

static void downs(const view *v) {
  size_t groups = 0, ffn = v->a->expert_ffn, hidden = v->a->hidden, begin, end;
  sweep s = begin_sweep(v);
  for (uint32_t e = v->first; e < v->end; ++e) {
    size_t first = v->placed.first[e];
    unsigned char *place[ZH_ROUNDINGS];
    next_rows(&s, v, e, hidden, &begin, &end);
    if (begin < end) {
      places_of(place, v, groups, ffn);
      multiply(v, v->x->output + first * hidden, e, ZH_EXPERT_DOWN, v->x->inner + first * ffn,
               place, begin, end);
    }
    groups += groups_of(tokens_of(v, e));
  }
}

/* --- what all tokens share, and the sum --- */

/* delta = the shared experts' part, and weight * output of each choice here: this thread's rows. */
static void combine(const view *v, float *delta) {
  size_t hidden = v->a->hidden, used = v->a->experts_used, begin, end;
  zh_share(&begin, &end, hidden, ZH_ROW_GRAIN, v->w->thread, v->w->threads);
  for (size_t t = 0; begin < end && t < v->tokens; ++t) {
    float *to = delta + t * hidden;
    const float *common = v->x->common + t * hidden;
    float share = v->a->shared_gated ? 1 / (1 + expf(-v->x->shared[t])) : 1;
    for (size_t i = begin; i < end; ++i) to[i] = v->a->shared_ffn ? share * common[i] : 0;
    for (size_t k = 0; k < used; ++k) {
      if (!is_here(v, v->choice[t * used + k])) continue;
      const float *from = v->x->output + v->placed.place[t * used + k] * hidden;
      float weight = v->weight[t * used + k];
      for (size_t i = begin; i < end; ++i) to[i] += weight * from[i];
    }
  }
}

static void shared_up(const view *v, const zh_weight *weight, const float *normed) {
  zh_engine *e = v->w->p->e;
  if (v->a->shared_ffn == 0) return;
  zh_pass_product(v->w, e->gate, &weight[ZH_SHARED_GATE], normed, v->tokens);
  zh_pass_product(v->w, e->up, &weight[ZH_SHARED_UP], normed, v->tokens);
  if (v->a->shared_gated)
    zh_pass_product(v->w, v->x->shared, &weight[ZH_SHARED_SCORE], normed, v->tokens);
  zh_pass_activate_own_rows(v->w, v->a->shared_ffn);
}

/* --- what observers see --- */

static void report_choices(const view *v, const char *name, zh_operator op, zh_expert_slot slot,
                           const zh_mixture *mixture, const float *input, const float *second,
                           const float *output, size_t in_width, size_t out_width) {
  const zh_weight **each = v->x->each, **bias = each + v->x->most;
  bool product = op == ZH_OP_MATMUL, biased = product && v->a->ffn_bias && adds_bias(v, slot);
  size_t choices = v->tokens * v->a->experts_used;
  for (size_t i = 0; v->w->thread == 0 && i < choices; ++i) {
    const zh_weight *weight = weights_of(v, v->choice[i]);
    each[i] = product ? &weight[slot] : NULL;
    bias[i] = &weight[slot + (ZH_EXPERT_GATE_BIAS - ZH_EXPERT_GATE)];
  }
  zh_way way =
      product ? zh_weight_way(&weights_of(v, v->first)[slot], &v->w->p->e->kernels->rounds, v->way)
              : v->way;
  zh_pass_report(v->w, (zh_operation){.op = op,
                                      .layer = (int)v->layer,
                                      .name = name,
                                      .tokens = choices,
                                      .in_width = in_width,
                                      .out_width = out_width,
                                      .way = way,
                                      .input = input,
                                      .second = second,
                                      .output = output,
                                      .mixture = mixture,
                                      .each = each,
                                      .each_bias = biased ? bias : NULL,
                                      .spread = product && slot != ZH_EXPERT_DOWN});
}

static void report_shared(const view *v, const zh_weight *weight, const float *normed) {
  const zh_worker *w = v->w;
  const zh_engine *e = w->p->e;
  int layer = (int)v->layer;
  zh_pass_report_product(w, layer, "shared gate", &weight[ZH_SHARED_GATE], NULL, normed, e->gate,
                         v->tokens);
  zh_pass_report_product(w, layer, "shared up", &weight[ZH_SHARED_UP], NULL, normed, e->up,
                         v->tokens);
  zh_pass_report_rows(w, ZH_OP_ACTIVATION, layer, "shared activation", v->a->shared_ffn, e->gate,
                      e->up, e->inner);
  zh_pass_report_product(w, layer, "shared down", &weight[ZH_SHARED_DOWN], NULL, e->inner,
                         v->x->common, v->tokens);
  if (v->a->shared_gated)
    zh_pass_report_product(w, layer, "shared score", &weight[ZH_SHARED_SCORE], NULL, normed,
                           v->x->shared, v->tokens);
}

static void report(const view *v, const zh_weight *weight, const float *normed,
                   const float *delta) {
  const zh_worker *w = v->w;
  zh_experts *x = v->x;
  size_t hidden = v->a->hidden, ffn = v->a->expert_ffn;
  zh_mixture mixture = {v->a->experts_used,
                        v->choice,
                        v->weight,
                        v->placed.place,
                        v->a->shared_gated ? x->shared : NULL,
                        v->first,
                        v->end - v->first};
  zh_pass_barrier(w);
  zh_pass_report_norm(w, (int)v->layer, "ffn norm", &weight[ZH_FFN_NORM], w->p->e->x, normed,
                      v->tokens);
  zh_pass_report_product(w, (int)v->layer, "router", &weight[ZH_ROUTER], NULL, normed, x->logits,
                         v->tokens);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_ROUTE,
                                   .layer = (int)v->layer,
                                   .name = "route",
                                   .way = v->way,
                                   .tokens = v->tokens,
                                   .in_width = v->a->experts,
                                   .out_width = v->a->experts_used,
                                   .input = x->logits,
                                   .output = v->weight,
                                   .mixture = &mixture});
  if (v->a->shared_ffn) report_shared(v, weight, normed);
  report_choices(v, "expert gate", ZH_OP_MATMUL, ZH_EXPERT_GATE, &mixture, normed, NULL, x->gate,
                 hidden, ffn);
  report_choices(v, "expert up", ZH_OP_MATMUL, ZH_EXPERT_UP, &mixture, normed, NULL, x->up, hidden,
                 ffn);
  report_choices(v, "expert activation", ZH_OP_ACTIVATION, ZH_EXPERT_GATE, &mixture, x->gate, x->up,
                 x->inner, ffn, ffn);
  report_choices(v, "expert down", ZH_OP_MATMUL, ZH_EXPERT_DOWN, &mixture, x->inner, NULL,
                 x->output, ffn, hidden);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_COMBINE,
                                   .layer = (int)v->layer,
                                   .name = "experts",
                                   .tokens = v->tokens,
                                   .in_width = hidden,
                                   .out_width = hidden,
                                   .input = x->output,
                                   .second = v->a->shared_ffn ? x->common : NULL,
                                   .output = delta,
                                   .mixture = &mixture});
}

void zh_pass_experts(const zh_worker *w, uint32_t layer, const zh_weight *weight, float *delta) {
  zh_engine *e = w->p->e;
  view v = look(w, layer);
  const float *normed = zh_pass_norm(w, e->x, &weight[ZH_FFN_NORM], &weight[ZH_ROUTER],
                                     ZH_SHARED_SCORE - ZH_ROUTER + 1, v.tokens);
  zh_pass_product(w, v.x->logits, &weight[ZH_ROUTER], normed, v.tokens);
  shared_up(&v, weight, normed);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  route_tokens(&v);
  count_pass(&v);
  if (v.tokens > 1) prepare_places(&v, ZH_EXPERT_GATE, 2, v.x->input, v.a->hidden, normed);
  zh_pass_mark(w, ZH_STAGE_ROWS);
  gates_and_ups(&v, normed);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  if (v.a->shared_ffn) zh_pass_prepare(w, &weight[ZH_SHARED_DOWN], e->inner);
  prepare_places(&v, ZH_EXPERT_DOWN, 1, v.x->inner, v.a->expert_ffn, NULL);
  if (v.a->shared_ffn) zh_pass_product(w, v.x->common, &weight[ZH_SHARED_DOWN], e->inner, v.tokens);
  downs(&v);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  combine(&v, delta);
  if (e->observer) report(&v, weight, normed, delta);
}

/* --- room --- */

static void cut_floats(zh_experts *x, const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  enum { UNIT = 16 };
  struct {
    float **at;
    size_t floats;
  } pieces[] = {{&x->logits, (size_t)engine->micro_batch * a->experts},
                {&x->shared, engine->micro_batch},
                {&x->weight, x->most},
                {&x->input, x->most * a->hidden},
                {&x->gate, x->most * a->expert_ffn},
                {&x->up, x->most * a->expert_ffn},
                {&x->inner, x->most * a->expert_ffn},
                {&x->output, x->most * a->hidden},
                {&x->common, a->shared_ffn ? (size_t)engine->micro_batch * a->hidden : 0}};
  size_t total = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; ++i) {
    *pieces[i].at = x->floats ? x->floats + total : NULL;
    total += (pieces[i].floats + UNIT - 1) / UNIT * UNIT;
  }
  x->choice = (uint32_t *)(void *)(x->floats ? x->floats + total : NULL);
  x->floats_bytes = (total + x->most) * sizeof(float);
}

/* An expert that another rank has is as large as the first one here. */
static void add_up_bytes(zh_experts *x, const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  const zh_weights *weights = &engine->weights;
  for (uint32_t l = 0; l < a->layers; ++l)
    for (uint32_t e = 0; e < a->experts; ++e) {
      const zh_weight *weight = zh_weights_have_expert(weights, e)
                                    ? zh_weights_expert(weights, l, e)
                                    : zh_weights_own_experts(weights, l);
      for (int slot = 0; slot < ZH_EXPERT_SLOTS; ++slot)
        if (weight[slot].tensor) x->bytes[(size_t)l * a->experts + e] += weight[slot].tensor->bytes;
    }
}

static zh_status allocate(zh_experts *x, const zh_engine *engine, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  size_t threads = (size_t)zh_threads_count(engine->threads),
         columns = a->hidden > a->expert_ffn ? a->hidden : a->expert_ffn,
         groups = x->most / ZH_TOKEN_GRAIN + smaller(a->experts, x->most),
         few = (size_t)ZH_TOKEN_GRAIN * a->experts_used;
  cut_floats(x, engine);
  x->floats = zh_big_alloc(x->floats_bytes);
  if (x->floats) cut_floats(x, engine);
  x->own_bytes = (a->experts + 1 + 2 * x->most + zh_route_scratch_floats(a->experts) + 2 * few) *
                 sizeof(uint32_t);
  x->own_bytes = (x->own_bytes + 4095) / 4096 * 4096;
  x->own_bytes_all = x->own_bytes * threads;
  x->own = zh_big_alloc(x->own_bytes_all);
  x->each = calloc(2 * x->most, sizeof *x->each);
  x->bytes_all = (size_t)a->layers * a->experts * sizeof *x->bytes;
  x->bytes = calloc(1, x->bytes_all);
  x->counted = calloc(a->layers, sizeof *x->counted);
  bool all = x->floats && x->own && x->each && x->bytes && x->counted;
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind) {
    if (!engine->prepared[kind]) continue;
    x->prepared_bytes[kind] =
        groups * zh_prepared_bytes((zh_rounding)kind, columns, ZH_TOKEN_GRAIN);
    x->prepared[kind] = zh_big_alloc(x->prepared_bytes[kind]);
    all = all && x->prepared[kind];
  }
  if (all) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY,
                 "%u tokens for %u experts each need more memory than there is; ask for a smaller "
                 "micro-batch",
                 engine->micro_batch, a->experts_used);
}

zh_status zh_experts_create(zh_experts **out, const zh_engine *engine, zh_error *err) {
  *out = NULL;
  if (!engine->weights.expert) return ZH_OK;
  zh_experts *x = calloc(1, sizeof *x);
  if (!x) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for experts");
  x->most = (size_t)engine->micro_batch * engine->architecture.experts_used;
  x->of_a_token = (double)engine->architecture.experts_used / engine->architecture.experts;
  x->layers = engine->architecture.layers;
  *out = x;
  ZH_TRY(allocate(x, engine, err));
  add_up_bytes(x, engine);
  return ZH_OK;
}

void zh_experts_free(zh_experts *x) {
  if (!x) return;
  if (x->floats) zh_big_free(x->floats, x->floats_bytes);
  if (x->own) zh_big_free(x->own, x->own_bytes_all);
  free(x->each);
  free(x->bytes);
  free(x->counted);
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    if (x->prepared[kind]) zh_big_free(x->prepared[kind], x->prepared_bytes[kind]);
  free(x);
}

double zh_experts_share_read(const zh_experts *x) {
  if (!x) return 0;
  return x->offered ? (double)x->read / (double)x->offered : x->of_a_token;
}

void zh_experts_restart_count(zh_experts *x) {
  if (!x) return;
  x->read = x->offered = 0;
  memset(x->counted, 0, x->layers * sizeof *x->counted);
}

uint64_t zh_experts_bytes(const zh_experts *x) {
  uint64_t bytes = x ? x->floats_bytes + x->own_bytes_all + 2 * x->most * sizeof *x->each +
                           x->bytes_all + x->layers * sizeof *x->counted
                     : 0;
  for (int kind = 0; x && kind < ZH_ROUNDINGS; ++kind) bytes += x->prepared_bytes[kind];
  return bytes;
}
