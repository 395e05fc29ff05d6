/* Attention of a pass: rotated queries and keys, the cache, and what each query sees of it. */
#include "bench/engine/pass.h"

/* Many tokens are divided as they are; few by query and key heads together, so that one token
 * keeps all threads busy. Who has a head of a token does all to it, up to storing it. */
typedef struct share {
  size_t begin, end; /* of query heads, then key heads */
  size_t token_begin, token_end;
} share;

static share my_share(const zh_worker *w) {
  const zh_pass *p = w->p;
  const zh_architecture *a = &p->e->architecture;
  size_t all = a->heads + a->kv_heads;
  share s = {0, all, 0, p->tokens};
  if (p->tokens >= 8 * (size_t)w->threads)
    zh_share(&s.token_begin, &s.token_end, p->tokens, 1, w->thread, w->threads);
  else
    zh_share(&s.begin, &s.end, all, 1, w->thread, w->threads);
  return s;
}

/* Of that the heads of x, which has `heads` from number `first` on. */
static bool part_of(share *s, size_t first, size_t heads) {
  s->begin = s->begin > first ? s->begin - first : 0;
  s->end = s->end > first ? s->end - first : 0;
  if (s->end > heads) s->end = heads;
  return s->begin < s->end;
}

static void rotate(const zh_worker *w, int layer, share s, float *x, size_t first, size_t heads) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  const zh_rope *rope = zh_layer_rope(a, (uint32_t)layer);
  if (!part_of(&s, first, heads) || !zh_layer_turns(a, (uint32_t)layer)) return;
  e->kernels->rope(x + s.begin * a->head_dim, heads * a->head_dim, s.end - s.begin, a->head_dim,
                   rope->dims, rope->kind == ZH_ROPE_PAIRS, e->angles[rope - a->rope],
                   s.token_begin, s.token_end);
}

static void norm_heads(const zh_worker *w, const zh_weight *norm, share s, float *x, size_t first,
                       size_t heads) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  if (!part_of(&s, first, heads)) return;
  for (size_t t = s.token_begin; t < s.token_end; ++t)
    e->kernels->rmsnorm(x, x, zh_pass_vector(w, norm, t), a->head_dim, a->norm_eps,
                        t * heads + s.begin, t * heads + s.end);
}

/* One thing done to the heads of q and k in place: all threads that observe it wait for each
 * other. */
typedef enum head_step { NORM, TURN } head_step;

static void change_heads(const zh_worker *w, int layer, const zh_weight *weight, share s,
                         head_step step) {
  static const char *const names[][2] = {{"q norm", "k norm"}, {"rope q", "rope k"}};
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  size_t q_width = (size_t)a->heads * a->head_dim, k_width = (size_t)a->kv_heads * a->head_dim,
         heads[2] = {a->heads, a->kv_heads}, width[2] = {q_width, k_width};
  float *x[2] = {e->q, e->k};
  const zh_weight *norm[2] = {&weight[ZH_ATTN_Q_NORM], &weight[ZH_ATTN_K_NORM]};
  zh_pass_keep(w, 0, e->q, p->tokens * q_width);
  zh_pass_keep(w, p->tokens * q_width, e->k, p->tokens * k_width);
  for (int i = 0; i < 2; ++i) {
    if (step == NORM)
      norm_heads(w, norm[i], s, x[i], i * heads[0], heads[i]);
    else
      rotate(w, layer, s, x[i], i * heads[0], heads[i]);
  }
  if (!e->observer) return;
  zh_pass_barrier(w);
  for (int i = 0; i < 2; ++i)
    zh_pass_report(w, (zh_operation){.op = step == NORM ? ZH_OP_HEAD_NORM : ZH_OP_ROPE,
                                     .layer = layer,
                                     .name = names[step][i],
                                     .weight = step == NORM ? norm[i] : NULL,
                                     .tokens = p->tokens,
                                     .in_width = width[i],
                                     .out_width = width[i],
                                     .input = e->before + i * p->tokens * q_width,
                                     .output = x[i]});
}

static void store(const zh_worker *w, share s, const zh_kv *kv, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  bool stale = zh_pass_is_tampered(e, ZH_TAMPER_STALE, layer);
  if (!part_of(&s, e->architecture.heads, kv->kv_heads)) return;
  for (size_t t = s.token_begin; t < s.token_end; ++t) {
    if (stale && t == e->tamper.element % p->tokens) continue;
    size_t at = t * kv->kv_heads * kv->head_dim;
    zh_kv_store(kv, p->sequence[t], p->position[t], s.begin, s.end, e->k + at, e->v + at);
  }
}

static void prepare_heads(const zh_worker *w, int layer, const zh_weight *weight, const zh_kv *kv) {
  zh_head_norm norm = w->p->e->architecture.head_norm;
  share s = my_share(w);
  if (norm == ZH_HEAD_NORM_BEFORE_ROPE) change_heads(w, layer, weight, s, NORM);
  change_heads(w, layer, weight, s, TURN);
  if (norm == ZH_HEAD_NORM_AFTER_ROPE) change_heads(w, layer, weight, s, NORM);
  store(w, s, kv, layer);
}

/* An injected fault: one bit of what the drawn token is about to read. */
static void flip_cached_bit(const zh_worker *w, const zh_kv *kv, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  if (!zh_pass_is_tampered(e, ZH_TAMPER_CACHE, layer)) return;
  const zh_architecture *a = &e->architecture;
  bool is_value = e->tamper.element / 2 % 2 == 0;
  size_t dims = is_value ? zh_kv_value_dim(kv) : kv->head_dim;
  size_t at = e->tamper.element, t = at % p->tokens, seen = p->position[t] + (size_t)1,
         number = at / 7 % (kv->kv_heads * dims);
  if (zh_layer_is(a, (uint32_t)layer, ZH_LAYER_SLIDING) && seen > a->window) seen = a->window;
  if (w->thread == 0)
    zh_kv_flip(kv, is_value, p->sequence[t], number / dims, p->position[t] - at / 4 % seen,
               number % dims, e->tamper.bit);
  zh_pass_barrier(w);
}

/* Four items for each thread at least, so that whoever is free finds one; where tokens and heads
 * are too few for that, blocks of keys, some beside each other at a time, as memory likes it. Which
 * it is changes no bit. */
static zh_attention work_of(const zh_worker *w, const zh_kv *kv, uint32_t layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  size_t most = ZH_ATTENTION_ROWS / (a->heads / a->kv_heads), deepest = 0;
  size_t wanted = p->tokens * a->kv_heads / (4 * (size_t)w->threads);
  zh_attention work = {.out = e->attended,
                       .q = e->q,
                       .kv = kv,
                       .heads = a->heads,
                       .tokens = p->tokens,
                       .position = p->position,
                       .sequence = p->sequence,
                       .window = zh_layer_is(a, layer, ZH_LAYER_SLIDING) ? a->window : 0,
                       .scale = a->attention_scale,
                       .softcap = a->attention_softcap,
                       .slopes = e->slopes,
                       .way = zh_attention_way(a, p->way),
                       .run = wanted < 1      ? 1
                              : wanted < most ? wanted
                                              : most};
  for (size_t t = 0; t < p->tokens; ++t)
    deepest = deepest > p->position[t] ? deepest : p->position[t];
  work.blocks = deepest / ZH_ATTENTION_BLOCK + 1;
  if (e->parts && p->tokens <= e->part_tokens && work.blocks > 1) work.parts = e->parts;
  return work;
}

/* Tiles ask for the block after the one at hand: who has one shall have the next, too. */
static void attend(const zh_worker *w, const zh_attention *work) {
  zh_engine *e = w->p->e;
  size_t shares = work->parts && work->way == ZH_MANY ? 2 : 8, begin, end,
         items = zh_attention_items(work), some = items / (shares * (size_t)w->threads);
  if (some == 0) some = 1;
  while ((begin = atomic_fetch_add(&e->next_item, some)) < items) {
    end = begin + some < items ? begin + some : items;
    e->kernels->attention(work, begin, end, w->scratch);
  }
  zh_pass_meet(w, ZH_STAGE_ATTENTION);
  if (!work->parts) return;
  zh_share(&begin, &end, work->tokens * work->heads, 1, w->thread, w->threads);
  e->kernels->attention_merge(work, begin, end, w->scratch);
  zh_pass_meet(w, ZH_STAGE_ATTENTION);
}

void zh_pass_attend(const zh_worker *w, int layer, const zh_weight *weight) {
  zh_kv kv = zh_engine_kv(w->p->e, (size_t)layer);
  prepare_heads(w, layer, weight, &kv);
  zh_pass_see(w, layer, weight);
}

void zh_pass_see(const zh_worker *w, int layer, const zh_weight *weight) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  zh_kv kv = zh_engine_kv(e, (size_t)layer);
  if (w->thread == 0) atomic_store(&e->next_item, 0);
  zh_pass_meet(w, ZH_STAGE_ATTENTION);
  flip_cached_bit(w, &kv, layer);
  zh_attention work = work_of(w, &kv, (uint32_t)layer);
  work.sinks = weight[ZH_ATTN_SINKS].gain;
  attend(w, &work);
  zh_pass_patch_attention(w, &work, &weight[ZH_ATTN_SINKS]);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_ATTENTION,
                                   .layer = layer,
                                   .name = "attention",
                                   .weight = a->sinks ? &weight[ZH_ATTN_SINKS] : NULL,
                                   .tokens = p->tokens,
                                   .way = work.way,
                                   .in_width = (size_t)a->heads * kv.head_dim,
                                   .out_width = (size_t)a->heads * zh_kv_value_dim(&kv),
                                   .input = e->q,
                                   .output = e->attended,
                                   .kv = &kv});
}
