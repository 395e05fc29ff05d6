/* Latent attention, absorbed. For T tokens, with R = kv_rank, P = rope dims, L = R + P:
 *
 *   q = Wq_up norm(Wq_down n), or Wq n;  (c, k) = Wkv_down n;  c = norm(c)
 *   key = (c, RoPE(k)) -> cache, for all heads one, whose first part c is the value
 *   of each head h:  (Wk_up_h q_h's first part, RoPE(its last P)) attends;  o_h = Wv_up_h of what
 * it saw of c
 *
 * Barriers beyond those of other attention: after the inner norms, after q's second product, after
 * the heads' values. A head's two products have an input of its own: whoever has the head prepares
 * it for itself. */
#include "bench/engine/latent.h"

#include <stdlib.h>
#include <string.h>

static size_t turned_dims(const zh_architecture *a) {
  return a->rope[0].dims;
}

/* --- down to the latents --- */

void zh_pass_latent_project(const zh_worker *w, const zh_weight *weight, const float *normed) {
  zh_latents *x = w->p->e->latents;
  size_t tokens = w->p->tokens;
  if (weight[ZH_ATTN_Q].tensor)
    zh_pass_product(w, x->query, &weight[ZH_ATTN_Q], normed, tokens);
  else
    zh_pass_product(w, x->q_down, &weight[ZH_LATENT_Q_DOWN], normed, tokens);
  zh_pass_product(w, x->latent, &weight[ZH_LATENT_KV_DOWN], normed, tokens);
}

static void report_projections(const zh_worker *w, int layer, const zh_weight *weight,
                               const float *normed) {
  const zh_latents *x = w->p->e->latents;
  size_t tokens = w->p->tokens;
  if (weight[ZH_ATTN_Q].tensor)
    zh_pass_report_product(w, layer, "q", &weight[ZH_ATTN_Q], NULL, normed, x->query, tokens);
  else
    zh_pass_report_product(w, layer, "q down", &weight[ZH_LATENT_Q_DOWN], NULL, normed, x->q_down,
                           tokens);
  zh_pass_report_product(w, layer, "kv down", &weight[ZH_LATENT_KV_DOWN], NULL, normed, x->latent,
                         tokens);
}

/* --- norms, keys and the cache --- */

static void report_norm(const zh_worker *w, int layer, const char *name, const zh_weight *weight,
                        size_t width, const float *input, const float *output) {
  zh_pass_report(w, (zh_operation){.op = ZH_OP_LATENT_NORM,
                                   .layer = layer,
                                   .name = name,
                                   .weight = weight,
                                   .tokens = w->p->tokens,
                                   .in_width = width,
                                   .out_width = width,
                                   .input = input,
                                   .output = output});
}

static void report_turn(const zh_worker *w, int layer, const char *name, size_t heads,
                        const float *output) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  zh_pass_report(w, (zh_operation){.op = ZH_OP_ROPE,
                                   .layer = layer,
                                   .name = name,
                                   .tokens = w->p->tokens,
                                   .in_width = heads * zh_key_dim(a),
                                   .out_width = heads * zh_key_dim(a),
                                   .input = e->before,
                                   .output = output});
}

/* The last dims of `heads` heads, of tokens [begin, end). */
static void turn(const zh_worker *w, int layer, float *x, size_t stride, size_t heads, size_t begin,
                 size_t end) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  const zh_rope *rope = zh_layer_rope(a, (uint32_t)layer);
  if (!zh_layer_turns(a, (uint32_t)layer)) return;
  e->kernels->rope(x + a->latent.kv_rank, stride, heads, zh_key_dim(a), rope->dims,
                   rope->kind == ZH_ROPE_PAIRS, e->angles[rope - a->rope], begin, end);
}

static void norm_tokens(const zh_worker *w, const zh_weight *weight, size_t begin, size_t end) {
  zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  const zh_latents *x = e->latents;
  size_t rank = a->latent.kv_rank, width = zh_key_dim(a);
  for (size_t t = begin; t < end; ++t) {
    if (a->latent.q_rank)
      e->kernels->rmsnorm(x->q_normed, x->q_down, zh_pass_vector(w, &weight[ZH_LATENT_Q_NORM], t),
                          a->latent.q_rank, ZH_LATENT_NORM_EPS, t, t + 1);
    e->kernels->rmsnorm(e->k + t * width, x->latent + t * width,
                        zh_pass_vector(w, &weight[ZH_LATENT_KV_NORM], t), rank, ZH_LATENT_NORM_EPS,
                        0, 1);
    memcpy(e->k + t * width + rank, x->latent + t * width + rank, turned_dims(a) * sizeof(float));
  }
}

static void store(const zh_worker *w, int layer, size_t begin, size_t end) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  zh_kv kv = zh_engine_kv(e, (size_t)layer);
  size_t width = kv.head_dim;
  bool stale = zh_pass_is_tampered(e, ZH_TAMPER_STALE, layer);
  for (size_t t = begin; t < end; ++t) {
    if (stale && t == e->tamper.element % p->tokens) continue;
    zh_kv_store(&kv, p->sequence[t], p->position[t], 0, 1, e->k + t * width, NULL);
  }
}

/* Both norms, and the key, each thread some tokens. */
static void make_keys(const zh_worker *w, int layer, const zh_weight *weight) {
  zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  const zh_latents *x = e->latents;
  size_t tokens = w->p->tokens, width = zh_key_dim(a), begin, end;
  zh_share(&begin, &end, tokens, 1, w->thread, w->threads);
  norm_tokens(w, weight, begin, end);
  if (e->observer) zh_pass_barrier(w);
  if (a->latent.q_rank)
    report_norm(w, layer, "q latent norm", &weight[ZH_LATENT_Q_NORM], a->latent.q_rank, x->q_down,
                x->q_normed);
  report_norm(w, layer, "kv latent norm", &weight[ZH_LATENT_KV_NORM], width, x->latent, e->k);
  zh_pass_keep(w, 0, e->k, tokens * width);
  turn(w, layer, e->k, width, 1, begin, end);
  store(w, layer, begin, end);
  zh_pass_meet(w, ZH_STAGE_ROWS);
  report_turn(w, layer, "rope k", 1, e->k);
}

/* --- products that each head has for itself --- */

/* Head h: `to` = its rows of the weight times `from`, each its own part of a token's. */
typedef struct head_product {
  const zh_weight *weight;
  const float *from;
  float *to;
  size_t from_head, to_head; /* from a head to the next; of all heads, to the next token */
} head_product;

static void multiply_rows(const zh_worker *w, const head_product *h, size_t head, size_t begin,
                          size_t end) {
  const zh_pass *p = w->p;
  const zh_kernels *kernels = p->e->kernels;
  const zh_latents *x = p->e->latents;
  const zh_weight *weight = h->weight;
  const zh_matrix *m = &weight->matrix;
  size_t heads = p->e->architecture.heads, each = weight->head_rows, first = head * each,
         from_stride = heads * h->from_head, to_stride = heads * h->to_head;
  const float *from = h->from + head * h->from_head;
  float *to = h->to + head * (h->to_head - each); /* row r of the matrix stands at to[r] */
  if (!weight->packed.data) {
    zh_product product = {to, from, to_stride, from_stride, p->tokens, NULL};
    kernels->matmul(to, to_stride, m, from, from_stride, p->tokens, first + begin, first + end,
                    w->scratch);
    zh_pass_patch_products(w, weight, &product, first + begin, first + end);
    return;
  }
  zh_way way = zh_weight_way(weight, &kernels->rounds, p->way);
  zh_rounding kind = zh_rounding_of(&kernels->rounds, m->type, way);
  unsigned char *place = x->own + (size_t)w->thread * x->own_bytes + x->own_prepared[kind];
  kernels->prepare(place, m->type, way, from, from_stride, m->columns, p->tokens, 0, p->tokens);
  kernels->multiply(to, to_stride, &weight->packed, way, place, p->tokens, first + begin,
                    first + end, w->scratch);
}

/* Heads in parts, where they are few for the threads. */
static size_t parts_of(const zh_worker *w, const head_product *h) {
  size_t most = (h->weight->head_rows + ZH_ROW_GRAIN - 1) / ZH_ROW_GRAIN,
         wanted = 4 * (size_t)w->threads / w->p->e->architecture.heads;
  return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

static void multiply_heads(const zh_worker *w, const head_product *h) {
  size_t parts = parts_of(w, h), first, last, begin, end;
  zh_share(&first, &last, w->p->e->architecture.heads * parts, 1, w->thread, w->threads);
  for (size_t i = first; i < last; ++i) {
    zh_share(&begin, &end, h->weight->head_rows, ZH_ROW_GRAIN, (int)(i % parts), (int)parts);
    if (begin < end) multiply_rows(w, h, i / parts, begin, end);
  }
}

static void report_heads(const zh_worker *w, int layer, const char *name, const head_product *h) {
  const zh_engine *e = w->p->e;
  size_t heads = e->architecture.heads;
  zh_pass_report(w, (zh_operation){.op = ZH_OP_HEAD_MATMUL,
                                   .layer = layer,
                                   .name = name,
                                   .weight = h->weight,
                                   .tokens = w->p->tokens,
                                   .way = zh_weight_way(h->weight, &e->kernels->rounds, w->p->way),
                                   .in_width = heads * h->from_head,
                                   .out_width = heads * h->to_head,
                                   .input = h->from,
                                   .output = h->to});
}

/* --- queries and values --- */

static void finish_query(const zh_worker *w, int layer, const zh_weight *weight) {
  const zh_latents *x = w->p->e->latents;
  const zh_weight *up = &weight[ZH_LATENT_Q_UP];
  if (!up->tensor) return;
  zh_pass_prepare(w, up, x->q_normed);
  zh_pass_product(w, x->query, up, x->q_normed, w->p->tokens);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  zh_pass_report_product(w, layer, "q up", up, NULL, x->q_normed, x->query, w->p->tokens);
}

/* What is turned of this thread's heads goes beside their products. */
static void copy_turned(const zh_worker *w, size_t begin, size_t end) {
  zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  size_t width = zh_key_dim(a), rank = a->latent.kv_rank, nope = a->latent.nope_dims;
  for (size_t t = 0; t < w->p->tokens; ++t)
    for (size_t h = begin; h < end; ++h)
      memcpy(e->q + (t * a->heads + h) * width + rank,
             e->latents->query + (t * a->heads + h) * a->head_dim + nope,
             turned_dims(a) * sizeof(float));
}

static void absorb(const zh_worker *w, int layer, const zh_weight *weight) {
  zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  size_t width = zh_key_dim(a), begin, end;
  head_product product = {.weight = &weight[ZH_LATENT_K_UP],
                          .from = e->latents->query,
                          .to = e->q,
                          .from_head = a->head_dim,
                          .to_head = width};
  zh_share(&begin, &end, a->heads, 1, w->thread, w->threads);
  copy_turned(w, begin, end);
  multiply_heads(w, &product);
  zh_pass_mark(w, ZH_STAGE_PRODUCTS);
  if (e->observer) zh_pass_barrier(w);
  report_heads(w, layer, "latent query", &product);
  zh_pass_keep(w, 0, e->q, w->p->tokens * a->heads * width);
  if (begin < end)
    turn(w, layer, e->q + begin * width, a->heads * width, end - begin, 0, w->p->tokens);
  if (e->observer) zh_pass_barrier(w);
  report_turn(w, layer, "rope q", a->heads, e->q);
}

const float *zh_pass_latent(const zh_worker *w, int layer, const zh_weight *weight,
                            const float *normed) {
  zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  report_projections(w, layer, weight, normed);
  make_keys(w, layer, weight);
  finish_query(w, layer, weight);
  absorb(w, layer, weight);
  zh_pass_see(w, layer, weight);
  head_product values = {.weight = &weight[ZH_LATENT_V_UP],
                         .from = e->attended,
                         .to = e->latents->value,
                         .from_head = zh_seen_dim(a),
                         .to_head = a->value_dim};
  multiply_heads(w, &values);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  report_heads(w, layer, "latent value", &values);
  return e->latents->value;
}

/* --- room --- */

static void cut_floats(zh_latents *x, const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  enum { UNIT = 16 };
  struct {
    float **at;
    size_t width;
  } pieces[] = {{&x->q_down, a->latent.q_rank},
                {&x->q_normed, a->latent.q_rank},
                {&x->query, (size_t)a->heads * a->head_dim},
                {&x->latent, zh_key_dim(a)},
                {&x->value, (size_t)a->heads * a->value_dim}};
  size_t total = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; ++i) {
    *pieces[i].at = x->floats ? x->floats + total : NULL;
    total += (pieces[i].width * engine->micro_batch + UNIT - 1) / UNIT * UNIT;
  }
  x->floats_bytes = total * sizeof(float);
}

static zh_status allocate(zh_latents *x, const zh_engine *engine, zh_error *err) {
  enum { LINE = 64, PAGE = 4096 };
  const zh_latent *l = &engine->architecture.latent;
  size_t columns = l->kv_rank > l->nope_dims ? l->kv_rank : l->nope_dims;
  cut_floats(x, engine);
  x->floats = zh_big_alloc(x->floats_bytes);
  if (x->floats) cut_floats(x, engine);
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind) {
    x->own_prepared[kind] = x->own_bytes;
    if (!engine->prepared[kind]) continue;
    size_t bytes = zh_prepared_bytes((zh_rounding)kind, columns, engine->micro_batch);
    x->own_bytes += (bytes + LINE - 1) / LINE * LINE;
  }
  x->own_bytes = (x->own_bytes + PAGE - 1) / PAGE * PAGE;
  x->own_bytes_all = x->own_bytes * (size_t)zh_threads_count(engine->threads);
  if (x->own_bytes_all) x->own = zh_big_alloc(x->own_bytes_all);
  if (x->floats && (x->own || !x->own_bytes_all)) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY,
                 "latent attention of %u tokens needs more memory than there is; ask for a smaller "
                 "micro-batch",
                 engine->micro_batch);
}

zh_status zh_latents_create(zh_latents **out, const zh_engine *engine, zh_error *err) {
  *out = NULL;
  if (engine->architecture.attention != ZH_ATTENTION_LATENT) return ZH_OK;
  zh_latents *x = calloc(1, sizeof *x);
  if (!x) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for latent attention");
  *out = x;
  return allocate(x, engine, err);
}

void zh_latents_free(zh_latents *x) {
  if (!x) return;
  if (x->floats) zh_big_free(x->floats, x->floats_bytes);
  if (x->own) zh_big_free(x->own, x->own_bytes_all);
  free(x);
}

uint64_t zh_latents_bytes(const zh_latents *x) {
  return x ? x->floats_bytes + x->own_bytes_all : 0;
}
