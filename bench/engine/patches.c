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

void zh_pass_patch_products(const zh_worker *w, float *y, const zh_weight *weight, const float *x,
                            size_t row_begin, size_t row_end) {
  const zh_engine *e = w->p->e;
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor != weight->tensor || patch->row < row_begin || patch->row >= row_end)
      continue;
    zh_matrix one = weight->matrix;
    size_t rows = one.rows, begin, end;
    one.data = patch->bytes;
    one.rows = 1;
    tokens_of(w->p, patch->sequence, &begin, &end);
    if (begin < end)
      e->kernels->matmul(y + begin * rows + patch->row, rows, &one, x + begin * one.columns,
                         one.columns, end - begin, 0, 1, w->scratch);
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

const float *zh_pass_vector(const zh_worker *w, const zh_weight *vector, size_t t) {
  const zh_engine *e = w->p->e;
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor == vector->tensor && patch->sequence == w->p->sequence[t]) return patch->gain;
  }
  return vector->gain;
}

const void *zh_pass_embedding_row(const zh_worker *w, size_t t) {
  const zh_pass *p = w->p;
  const zh_engine *e = p->e;
  const zh_weight *embedding = &e->weights.whole[ZH_EMBEDDING];
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor == embedding->tensor && patch->row == p->token[t] &&
        patch->sequence == p->sequence[t])
      return patch->bytes;
  }
  return zh_weight_row(embedding, p->token[t] - embedding->first_row, w->scratch);
}
