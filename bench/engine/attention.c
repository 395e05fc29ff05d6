/* Attention of a pass: rotated queries and keys, the cache, and what each query sees of it. */
#include "bench/engine/pass.h"

/* Heads [begin, end) of query and key heads together: their part of x, which starts at first. */
static void rotate(const zh_worker *w, int layer, size_t begin, size_t end, float *x, size_t first,
                   size_t heads, size_t token_begin, size_t token_end) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  begin = begin > first ? begin - first : 0;
  end = end > first ? end - first : 0;
  if (end > heads) end = heads;
  if (begin >= end) return;
  const zh_rope *rope = zh_layer_rope(a, (uint32_t)layer);
  if (!zh_layer_turns(a, (uint32_t)layer)) return;
  e->kernels->rope(x + begin * a->head_dim, heads * a->head_dim, end - begin, a->head_dim,
                   rope->dims, rope->kind == ZH_ROPE_PAIRS, e->angles[rope - a->rope], token_begin,
                   token_end);
}

/* Many tokens are divided as they are; few by query and key heads together, so that one token
 * keeps all threads busy. Who rotates a key stores it. */
static void rotate_and_store(const zh_worker *w, const zh_kv *kv, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  size_t heads = e->architecture.heads, kv_heads = kv->kv_heads, all = heads + kv_heads;
  size_t begin = 0, end = all, token_begin = 0, token_end = p->tokens;
  bool stale = zh_pass_is_tampered(e, ZH_TAMPER_STALE, layer);
  if (p->tokens >= 8 * (size_t)w->threads)
    zh_share(&token_begin, &token_end, p->tokens, 1, w->thread, w->threads);
  else
    zh_share(&begin, &end, all, 1, w->thread, w->threads);
  rotate(w, layer, begin, end, e->q, 0, heads, token_begin, token_end);
  rotate(w, layer, begin, end, e->k, heads, kv_heads, token_begin, token_end);
  size_t kv_begin = begin > heads ? begin - heads : 0, kv_end = end > heads ? end - heads : 0;
  for (size_t t = token_begin; t < token_end && kv_begin < kv_end; ++t) {
    if (stale && t == e->tamper.element % p->tokens) continue;
    size_t at = t * kv_heads * kv->head_dim;
    zh_kv_store(kv, p->sequence[t], p->position[t], kv_begin, kv_end, e->k + at, e->v + at);
  }
}

/* An injected fault: one bit of what the drawn token is about to read. */
static void flip_cached_bit(const zh_worker *w, const zh_kv *kv, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  if (!zh_pass_is_tampered(e, ZH_TAMPER_CACHE, layer)) return;
  size_t at = e->tamper.element, t = at % p->tokens,
         number = at / 7 % (kv->kv_heads * kv->head_dim);
  if (w->thread == 0)
    zh_kv_flip(kv, at / 2 % 2 == 0, p->sequence[t], number / kv->head_dim,
               at / 4 % (p->position[t] + 1), number % kv->head_dim, e->tamper.bit);
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
                       .way = p->way,
                       .run = wanted < 1      ? 1
                              : wanted < most ? wanted
                                              : most};
  for (size_t t = 0; t < p->tokens; ++t)
    deepest = deepest > p->position[t] ? deepest : p->position[t];
  work.blocks = deepest / ZH_ATTENTION_BLOCK + 1;
  if (e->parts && p->tokens <= e->part_tokens && work.blocks > 1) work.parts = e->parts;
  return work;
}

static void attend(const zh_worker *w, const zh_attention *work) {
  zh_engine *e = w->p->e;
  size_t items = zh_attention_items(work), begin, end, some = items / (8 * (size_t)w->threads);
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

void zh_pass_attend(const zh_worker *w, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  size_t q_width = (size_t)a->heads * a->head_dim, k_width = (size_t)a->kv_heads * a->head_dim;
  zh_kv kv = zh_engine_kv(e, (size_t)layer);
  zh_pass_keep(w, 0, e->q, e->observer ? p->tokens * q_width : 0);
  zh_pass_keep(w, p->tokens * q_width, e->k, e->observer ? p->tokens * k_width : 0);
  if (w->thread == 0) atomic_store(&e->next_item, 0);
  rotate_and_store(w, &kv, layer);
  zh_pass_meet(w, ZH_STAGE_ATTENTION);
  zh_pass_report_rows(w, ZH_OP_ROPE, layer, "rope q", q_width, e->before, NULL, e->q);
  zh_pass_report_rows(w, ZH_OP_ROPE, layer, "rope k", k_width,
                      e->before ? e->before + p->tokens * q_width : NULL, NULL, e->k);
  flip_cached_bit(w, &kv, layer);
  zh_attention work = work_of(w, &kv, (uint32_t)layer);
  attend(w, &work);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_ATTENTION,
                                   .layer = layer,
                                   .name = "attention",
                                   .tokens = p->tokens,
                                   .way = p->way,
                                   .in_width = q_width,
                                   .out_width = q_width,
                                   .input = e->q,
                                   .output = e->attended,
                                   .kv = &kv});
}
