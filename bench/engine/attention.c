/* Attention of a pass: rotated queries and keys, the cache, and what each query sees of it. */
#include <math.h>
#include <string.h>

#include "bench/engine/pass.h"

/* Query and key heads are divided together, so that one token keeps all threads busy. */
static void rotate(const zh_worker *w, size_t head_begin, size_t head_end, float *x,
                   size_t first_head, size_t heads) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  size_t begin = head_begin > first_head ? head_begin - first_head : 0;
  size_t end = head_end > first_head ? head_end - first_head : 0;
  if (end > heads) end = heads;
  if (begin >= end) return;
  e->kernels->rope(x + begin * a->head_dim, heads * a->head_dim, end - begin, a->head_dim,
                   a->rope_dims, a->rope_interleaved, a->rope_theta, w->p->position, 0,
                   w->p->tokens);
}

static float *cache_at(const zh_engine *e, float *cache, size_t layer, size_t sequence,
                       size_t position) {
  size_t width = (size_t)e->architecture.kv_heads * e->architecture.head_dim;
  return cache + ((layer * e->sequences + sequence) * e->context + position) * width;
}

static void store_keys_and_values(const zh_worker *w, size_t layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  size_t begin, end, width = (size_t)e->architecture.kv_heads * e->architecture.head_dim;
  zh_share(&begin, &end, p->tokens, 1, w->thread, w->threads);
  for (size_t t = begin; t < end; ++t) {
    memcpy(cache_at(e, e->keys, layer, p->sequence[t], p->position[t]), e->k + t * width,
           width * sizeof(float));
    memcpy(cache_at(e, e->values, layer, p->sequence[t], p->position[t]), e->v + t * width,
           width * sizeof(float));
  }
}

void zh_pass_attend(const zh_worker *w, int layer) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  size_t q_width = (size_t)a->heads * a->head_dim, k_width = (size_t)a->kv_heads * a->head_dim;
  size_t stride = e->context * k_width, begin, end;
  zh_pass_keep(w, 0, e->q, e->observer ? p->tokens * q_width : 0);
  zh_pass_keep(w, p->tokens * q_width, e->k, e->observer ? p->tokens * k_width : 0);
  zh_share(&begin, &end, (size_t)a->heads + a->kv_heads, 1, w->thread, w->threads);
  rotate(w, begin, end, e->q, 0, a->heads);
  rotate(w, begin, end, e->k, a->heads, a->kv_heads);
  zh_pass_barrier(w);
  zh_pass_report_rows(w, ZH_OP_ROPE, layer, "rope q", q_width, e->before, NULL, e->q);
  zh_pass_report_rows(w, ZH_OP_ROPE, layer, "rope k", k_width,
                      e->before ? e->before + p->tokens * q_width : NULL, NULL, e->k);
  store_keys_and_values(w, (size_t)layer);
  zh_pass_barrier(w);
  const float *k = cache_at(e, e->keys, (size_t)layer, 0, 0),
              *v = cache_at(e, e->values, (size_t)layer, 0, 0);
  zh_share(&begin, &end, p->tokens * a->heads, 1, w->thread, w->threads);
  if (begin < end) {
    e->kernels->attention(e->attended, e->q, k, v, stride, a->heads, a->kv_heads, a->head_dim,
                          p->position, p->sequence, 1.0f / sqrtf((float)a->head_dim), begin, end,
                          w->scratch);
  }
  zh_pass_barrier(w);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_ATTENTION,
                                   .layer = layer,
                                   .name = "attention",
                                   .tokens = p->tokens,
                                   .in_width = q_width,
                                   .out_width = q_width,
                                   .input = e->q,
                                   .output = e->attended,
                                   .k_cache = k,
                                   .v_cache = v,
                                   .cache_stride = stride});
}
