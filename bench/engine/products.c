/* Products and norms of a pass: each thread its own rows of a matrix, its own tokens of a norm. */
#include "bench/engine/pass.h"

/* Of input x for `count` matrices that follow each other, this thread's tokens. */
static void prepare(const zh_worker *w, const zh_weight *weight, size_t count, const float *x,
                    size_t tokens) {
  zh_engine *e = w->p->e;
  bool done[ZH_ROUNDINGS] = {false};
  size_t begin, end;
  zh_share(&begin, &end, tokens, ZH_TOKEN_GRAIN, w->thread, w->threads);
  for (size_t i = 0; i < count && begin < end; ++i) {
    const zh_packed *m = &weight[i].packed;
    zh_rounding kind = zh_rounding_of(&e->kernels->rounds, m->type, w->p->way);
    if (!m->data || done[kind]) continue;
    done[kind] = true;
    e->kernels->prepare(e->prepared[kind], m->type, w->p->way, x, m->columns, m->columns, tokens,
                        begin, end);
  }
}

void zh_pass_prepare_shared(const zh_worker *w, const zh_weight *weight, const float *x) {
  if (!weight->packed.data) return;
  prepare(w, weight, 1, x, w->p->tokens);
  zh_pass_barrier(w);
}

void zh_pass_product_into(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                          const float *x, size_t tokens) {
  const zh_matrix *m = &weight->matrix;
  const zh_engine *e = w->p->e;
  size_t begin, end;
  zh_share(&begin, &end, m->rows, ZH_ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  if (weight->packed.data) {
    zh_way way = w->p->way;
    const void *prepared = e->prepared[zh_rounding_of(&e->kernels->rounds, m->type, way)];
    e->kernels->multiply(y, y_stride, &weight->packed, way, prepared, tokens, begin, end,
                         w->scratch);
    return;
  }
  e->kernels->matmul(y, y_stride, m, x, m->columns, tokens, begin, end, w->scratch);
  zh_pass_patch_products(w, y, weight, x, begin, end);
}

void zh_pass_product(const zh_worker *w, float *y, const zh_weight *weight, const float *x,
                     size_t tokens) {
  zh_pass_product_into(w, y, weight->matrix.rows, weight, x, tokens);
}

void zh_pass_norm(const zh_worker *w, float *y, const float *x, const zh_weight *weight,
                  const zh_weight *readers, size_t count, size_t tokens) {
  const zh_engine *e = w->p->e;
  size_t begin, end;
  zh_share(&begin, &end, tokens, ZH_TOKEN_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  e->kernels->rmsnorm(y, x, weight->gain, e->architecture.hidden, e->architecture.norm_eps, begin,
                      end);
  zh_pass_patch_norms(w, y, x, weight, begin, end);
  prepare(w, readers, count, y, tokens);
}

void zh_pass_add_own_rows(const zh_worker *w, float *x, const float *delta) {
  const zh_engine *e = w->p->e;
  size_t begin, end, hidden = e->architecture.hidden;
  zh_share(&begin, &end, hidden, ZH_ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  for (size_t t = 0; t < w->p->tokens; ++t)
    e->kernels->add(x + t * hidden, delta + t * hidden, begin, end);
}
