/* Products and norms of a pass: each thread its own rows of a matrix, its own tokens of a norm. */
#include "bench/engine/pass.h"

/* Few tokens: each thread makes the whole input of its products for itself, in the time in which
 * one would make it for all and the others wait, and nobody waits. */
static bool is_own(size_t tokens) {
  return tokens <= ZH_TOKEN_GRAIN;
}

static void my_tokens(const zh_worker *w, size_t tokens, size_t *begin, size_t *end) {
  if (is_own(tokens)) {
    *begin = 0;
    *end = tokens;
  } else {
    zh_share(begin, end, tokens, ZH_TOKEN_GRAIN, w->thread, w->threads);
  }
}

/* Thread 0's own ones are those of all. */
static unsigned char *own_place(const zh_worker *w, size_t tokens) {
  const zh_engine *e = w->p->e;
  if (w->thread == 0 || !is_own(tokens)) return NULL;
  return e->own + (size_t)(w->thread - 1) * e->own_bytes;
}

static float *normed_of(const zh_worker *w, size_t tokens) {
  unsigned char *own = own_place(w, tokens);
  return own ? (float *)(void *)own : w->p->e->normed;
}

static void *prepared_of(const zh_worker *w, zh_rounding kind, size_t tokens) {
  unsigned char *own = own_place(w, tokens);
  return own ? own + w->p->e->own_prepared[kind] : w->p->e->prepared[kind];
}

/* The inputs are made: they are one's own, or all wait for all. */
static void inputs_made(const zh_worker *w, size_t tokens) {
  if (is_own(tokens))
    zh_pass_mark(w, ZH_STAGE_ROWS);
  else
    zh_pass_meet(w, ZH_STAGE_ROWS);
}

void zh_pass_own_places(const zh_worker *w, unsigned char *place[ZH_ROUNDINGS]) {
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    place[kind] = prepared_of(w, (zh_rounding)kind, 1);
}

void zh_pass_prepare_at(const zh_worker *w, unsigned char *const place[ZH_ROUNDINGS],
                        const zh_weight *weight, size_t count, zh_way pass, const float *x,
                        size_t tokens, size_t begin, size_t end) {
  const zh_kernels *kernels = w->p->e->kernels;
  bool done[ZH_ROUNDINGS] = {false};
  for (size_t i = 0; i < count && begin < end; ++i) {
    const zh_packed *m = &weight[i].packed;
    zh_way way = zh_weight_way(&weight[i], &kernels->rounds, pass);
    zh_rounding kind = zh_rounding_of(&kernels->rounds, m->type, way);
    if (!m->data || done[kind]) continue;
    done[kind] = true;
    kernels->prepare(place[kind], m->type, way, x, m->columns, m->columns, tokens, begin, end);
  }
}

/* Of input x for `count` matrices that follow each other, this thread's tokens. */
static void prepare(const zh_worker *w, const zh_weight *weight, size_t count, const float *x,
                    size_t tokens) {
  unsigned char *place[ZH_ROUNDINGS];
  size_t begin, end;
  my_tokens(w, tokens, &begin, &end);
  for (int kind = 0; kind < ZH_ROUNDINGS; ++kind)
    place[kind] = prepared_of(w, (zh_rounding)kind, tokens);
  zh_pass_prepare_at(w, place, weight, count, w->p->way, x, tokens, begin, end);
}

void zh_pass_prepare(const zh_worker *w, const zh_weight *weight, const float *x) {
  if (!weight->packed.data) return;
  prepare(w, weight, 1, x, w->p->tokens);
  inputs_made(w, w->p->tokens);
}

/* place: of the inputs that packed products read. */
static void multiply(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                     zh_way pass, const float *x, const void *place, size_t tokens, size_t begin,
                     size_t end) {
  const zh_matrix *m = &weight->matrix;
  const zh_engine *e = w->p->e;
  if (begin >= end) return;
  if (place) {
    zh_way way = zh_weight_way(weight, &e->kernels->rounds, pass);
    e->kernels->multiply(y, y_stride, &weight->packed, way, place, tokens, begin, end, w->scratch);
    return;
  }
  e->kernels->matmul(y, y_stride, m, x, m->columns, tokens, begin, end, w->scratch);
}

static zh_rounding rounding_of(const zh_worker *w, const zh_weight *weight, zh_way pass) {
  const zh_roundings *rounds = &w->p->e->kernels->rounds;
  return zh_rounding_of(rounds, weight->packed.type, zh_weight_way(weight, rounds, pass));
}

void zh_pass_product_at(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                        zh_way pass, const float *x, unsigned char *const place[ZH_ROUNDINGS],
                        size_t tokens, size_t begin, size_t end) {
  bool packed = weight->packed.data != NULL;
  multiply(w, y, y_stride, weight, pass, x, packed ? place[rounding_of(w, weight, pass)] : NULL,
           tokens, begin, end);
}

void zh_pass_product_into(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                          const float *x, size_t tokens) {
  zh_way pass = w->p->way;
  bool packed = weight->packed.data != NULL;
  size_t begin, end;
  zh_share(&begin, &end, weight->matrix.rows, ZH_ROW_GRAIN, w->thread, w->threads);
  multiply(w, y, y_stride, weight, pass, x,
           packed ? prepared_of(w, rounding_of(w, weight, pass), tokens) : NULL, tokens, begin,
           end);
  zh_product product = {
      .y = y, .x = x, .y_stride = y_stride, .x_stride = weight->matrix.columns, .count = tokens};
  zh_pass_patch_products(w, weight, &product, begin, end);
}

void zh_pass_product(const zh_worker *w, float *y, const zh_weight *weight, const float *x,
                     size_t tokens) {
  zh_pass_product_into(w, y, weight->matrix.rows, weight, x, tokens);
}

const float *zh_pass_norm(const zh_worker *w, const float *x, const zh_weight *weight,
                          const zh_weight *readers, size_t count, size_t tokens) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  float *y = normed_of(w, tokens);
  size_t begin, end;
  my_tokens(w, tokens, &begin, &end);
  if (begin < end) {
    e->kernels->rmsnorm(y, x, weight->gain, a->hidden, a->norm_eps, begin, end);
    zh_pass_patch_norms(w, y, x, weight, begin, end);
    prepare(w, readers, count, y, tokens);
  }
  inputs_made(w, tokens);
  return y;
}

void zh_pass_add_own_rows(const zh_worker *w, float *x, const float *delta, float factor) {
  const zh_engine *e = w->p->e;
  size_t begin, end, hidden = e->architecture.hidden;
  zh_share(&begin, &end, hidden, ZH_ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  for (size_t t = 0; t < w->p->tokens; ++t) {
    float *to = x + t * hidden;
    const float *from = delta + t * hidden;
    if (factor == 1)
      e->kernels->add(to, from, begin, end);
    else
      for (size_t i = begin; i < end; ++i) to[i] += factor * from[i];
  }
}

void zh_pass_add_bias(const zh_worker *w, float *y, const zh_weight *bias, size_t tokens) {
  const zh_engine *e = w->p->e;
  if (!bias->tensor) return;
  size_t begin, end, rows = bias->matrix.columns;
  zh_share(&begin, &end, rows, ZH_ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  for (size_t t = 0; t < tokens; ++t)
    e->kernels->add(y + t * rows, zh_pass_vector(w, bias, t), begin, end);
}
