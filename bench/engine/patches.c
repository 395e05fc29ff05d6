/* Rows changed for one sequence: kernels give an element the same bits whatever the range, so this
 * equals a pass over a model that holds the changed row. */
#include "bench/engine/pass.h"

static void tokens_of(const zh_pass *p, uint32_t sequence, size_t *begin, size_t *end) {
  size_t t = 0;
  while (t < p->tokens && p->sequence[t] != sequence) ++t;
  *begin = t;
  while (t < p->tokens && p->sequence[t] == sequence) ++t;
  *end = t;
}

static bool is_of(const zh_pass *p, const zh_product *product, size_t t, uint32_t sequence) {
  return p->sequence[product->token ? product->token[t] : t] == sequence;
}

/* One row, for the inputs of the patch's sequence. */
static void patch_row(const zh_worker *w, const zh_patch *patch, const zh_weight *weight,
                      const zh_product *product) {
  zh_matrix one = weight->matrix;
  one.data = patch->bytes;
  one.rows = 1;
  for (size_t t = 0, end; t < product->count; t = end) {
    end = t + 1;
    if (!is_of(w->p, product, t, patch->sequence)) continue;
    while (end < product->count && is_of(w->p, product, end, patch->sequence)) ++end;
    w->p->e->kernels->matmul(product->y + t * product->y_stride + patch->row, product->y_stride,
                             &one, product->x + t * product->x_stride, product->x_stride, end - t,
                             0, 1, w->scratch);
  }
}

void zh_pass_patch_products(const zh_worker *w, const zh_weight *weight, const zh_product *product,
                            size_t row_begin, size_t row_end) {
  const zh_engine *e = w->p->e;
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor == weight->tensor && patch->row >= row_begin && patch->row < row_end)
      patch_row(w, patch, weight, product);
  }
}

void zh_pass_patch_norms(const zh_worker *w, float *y, const float *x, const zh_weight *weight,
                         size_t token_begin, size_t token_end) {
  const zh_engine *e = w->p->e;
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    size_t begin, end;
    if (patch->tensor != weight->tensor) continue;
    tokens_of(w->p, patch->sequence, &begin, &end);
    if (begin < token_begin) begin = token_begin;
    if (end > token_end) end = token_end;
    if (begin < end)
      e->kernels->rmsnorm(y, x, patch->gain, e->architecture.hidden, e->architecture.norm_eps,
                          begin, end);
  }
}

/* The attention of one sequence once more, with its own sinks. */
static void attend_again(const zh_worker *w, const zh_attention *work, const zh_patch *patch) {
  size_t first, last, begin, end;
  tokens_of(w->p, patch->sequence, &begin, &end);
  if (begin == end) return;
  zh_attention own = *work;
  own.out += begin * work->heads * zh_kv_value_dim(work->kv);
  own.q += begin * work->heads * work->kv->head_dim;
  own.position += begin;
  own.sequence += begin;
  own.tokens = end - begin;
  own.sinks = patch->gain;
  own.parts = NULL;
  zh_share(&first, &last, zh_attention_items(&own), 1, w->thread, w->threads);
  if (first < last) w->p->e->kernels->attention(&own, first, last, w->scratch);
}

void zh_pass_patch_attention(const zh_worker *w, const zh_attention *work, const zh_weight *sinks) {
  const zh_engine *e = w->p->e;
  if (e->patch_count == 0 || !sinks->tensor) return;
  for (size_t i = 0; i < e->patch_count; ++i)
    if (e->patches[i].tensor == sinks->tensor) attend_again(w, work, &e->patches[i]);
  zh_pass_meet(w, ZH_STAGE_ATTENTION);
}

const zh_patch *zh_pass_patch_of(const zh_worker *w, const zh_weight *weight, size_t t) {
  const zh_engine *e = w->p->e;
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor == weight->tensor && patch->sequence == w->p->sequence[t]) return patch;
  }
  return NULL;
}

const float *zh_pass_vector(const zh_worker *w, const zh_weight *vector, size_t t) {
  const zh_patch *patch = zh_pass_patch_of(w, vector, t);
  return patch ? patch->gain : vector->gain;
}

const void *zh_pass_embedding_row(const zh_worker *w, size_t t) {
  const zh_weight *embedding = &w->p->e->weights.whole[ZH_EMBEDDING];
  const zh_patch *patch = zh_pass_patch_of(w, embedding, t);
  if (patch && patch->row == w->p->token[t]) return patch->bytes;
  return zh_weight_row(embedding, w->p->token[t] - embedding->first_row, w->scratch);
}
