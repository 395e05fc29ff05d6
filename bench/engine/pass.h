/* One micro-batch on its way through the model, as its threads see it: what the files of the
 * forward pass share. Every function is called by all threads of the pass; each does its share. */
#ifndef ZH_BENCH_ENGINE_PASS_H
#define ZH_BENCH_ENGINE_PASS_H

#include "bench/engine/engine.h"
#include "bench/engine/inside.h"

/* Outputs of two threads share no cache line; packed rows and prepared tokens come in groups. */
enum { ZH_ROW_GRAIN = ZH_PACKED_ROWS, ZH_TOKEN_GRAIN = 16 };

typedef struct zh_pass {
  zh_engine *e;
  const uint32_t *token, *position, *sequence; /* [tokens] */
  size_t tokens;
  zh_way way;        /* of all products … */
  zh_way expert_way; /* … but experts' */
  const bool *want;  /* [tokens]; NULL: the last token where `ends` */
  bool ends;         /* the call's last micro-batch */
  size_t wanted;
  float *logits;  /* [wanted][vocab] */
  bool counted;   /* by stages */
  uint64_t began; /* in ticks */
} zh_pass;

typedef struct zh_worker {
  const zh_pass *p;
  int thread, threads;
  void *scratch;
  zh_spent *spent; /* this thread's; NULL: not counted */
} zh_worker;

/* Whether an injected fault strikes here. */
static inline bool zh_pass_is_tampered(const zh_engine *e, zh_tamper_kind kind, int layer) {
  return e->tamper.kind == kind && e->tamper.layer == (uint32_t)layer;
}

/* What this thread did since the last mark was `stage`'s. */
static inline void zh_pass_mark(const zh_worker *w, zh_stage stage) {
  if (w->spent) zh_spent_mark(w->spent, stage);
}

static inline void zh_pass_barrier(const zh_worker *w) {
  zh_threads_barrier(w->p->e->threads);
}

/* The same behind work of `stage`. */
static inline void zh_pass_meet(const zh_worker *w, zh_stage stage) {
  zh_pass_mark(w, stage);
  zh_pass_barrier(w);
  zh_pass_mark(w, ZH_STAGE_WAITING);
}

/* products.c. y[tokens][rows] of weight and x[tokens][columns]: this thread's rows. */
void zh_pass_product(const zh_worker *w, float *y, const zh_weight *weight, const float *x,
                     size_t tokens);
void zh_pass_product_into(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                          const float *x, size_t tokens);
/* What weight's packed product makes of x [tokens][columns], which other threads wrote: a barrier
 * stands before the call; where the product needs one behind it, it is here. */
void zh_pass_prepare(const zh_worker *w, const zh_weight *weight, const float *x);
/* The norm of x [tokens][hidden], and of it the input of the `count` matrices that read it, in the
 * same way. Where each thread has its own, the result is in a place of its own. */
const float *zh_pass_norm(const zh_worker *w, const float *x, const zh_weight *weight,
                          const zh_weight *readers, size_t count, size_t tokens);
/* x += factor * delta, each thread the rows that it has just computed: no barrier between product
 * and addition. */
void zh_pass_add_own_rows(const zh_worker *w, float *x, const float *delta, float factor);
/* y[t][r] += bias[r] of the rows that this thread has just computed; an empty slot adds nothing. */
void zh_pass_add_bias(const zh_worker *w, float *y, const zh_weight *bias, size_t tokens);
/* Where a product goes of which this rank has a part; and the sum over the ranks' parts into
 * e->delta, behind which each thread has the rows that it computes next. names: of the product and
 * of the sum. Where the model is not divided the first is `whole`, the second does nothing. */
float *zh_pass_part_or(const zh_engine *e, zh_reduce_slot slot, float *whole);
void zh_pass_sum_over_ranks(const zh_worker *w, int layer, const char *const names[2],
                            zh_reduce_slot slot, const zh_weight *weight, const zh_weight *bias,
                            const float *input);

/* The same with what packed products make of inputs in places of the caller's, by zh_rounding, and
 * a way and rows that the caller chooses: tokens [begin, end) of them, begin a multiple of
 * ZH_TOKEN_GRAIN, row_begin one of ZH_ROW_GRAIN. */
void zh_pass_prepare_at(const zh_worker *w, unsigned char *const place[ZH_ROUNDINGS],
                        const zh_weight *weight, size_t count, zh_way way, const float *x,
                        size_t tokens, size_t begin, size_t end);
void zh_pass_product_at(const zh_worker *w, float *y, size_t y_stride, const zh_weight *weight,
                        zh_way way, const float *x, unsigned char *const place[ZH_ROUNDINGS],
                        size_t tokens, size_t row_begin, size_t row_end);
/* Places that are this thread's alone, for one token. */
void zh_pass_own_places(const zh_worker *w, unsigned char *place[ZH_ROUNDINGS]);

/* y = act(gate) * up, elements [begin, end). */
void zh_pass_activate(const zh_worker *w, float *y, const float *gate, const float *up,
                      size_t begin, size_t end);
/* The same of all tokens, e->inner from e->gate and e->up, [tokens][width]: the rows that this
 * thread has just computed. */
void zh_pass_activate_own_rows(const zh_worker *w, size_t width);
/* experts.c. The FFN of a layer with experts, from its norm on: this thread's rows of delta
 * [tokens][hidden]. */
void zh_pass_experts(const zh_worker *w, uint32_t layer, const zh_weight *weight, float *delta);

/* patches.c: what a changed row changes in the thread's share just computed. */
typedef struct zh_product {
  float *y;       /* row r of input t: y[t * y_stride + r] */
  const float *x; /* x[t * x_stride] */
  size_t y_stride, x_stride, count;
  const uint32_t *token; /* [count]: of the pass, whose input t is; NULL: t */
} zh_product;
void zh_pass_patch_products(const zh_worker *w, const zh_weight *weight, const zh_product *product,
                            size_t row_begin, size_t row_end);
void zh_pass_patch_norms(const zh_worker *w, float *y, const float *x, const zh_weight *weight,
                         size_t token_begin, size_t token_end);
/* Behind a barrier; where anything is changed, another one stands behind it. */
void zh_pass_patch_attention(const zh_worker *w, const zh_attention *work, const zh_weight *sinks);
/* Of token t: its change of a weight, or NULL; a vector's values; its row of the embedding. */
const zh_patch *zh_pass_patch_of(const zh_worker *w, const zh_weight *weight, size_t t);
const float *zh_pass_vector(const zh_worker *w, const zh_weight *vector, size_t t);
const void *zh_pass_embedding_row(const zh_worker *w, size_t t);

/* attention.c. q, k and v are computed; leaves `attended`, and a barrier behind it. */
void zh_pass_attend(const zh_worker *w, int layer, const zh_weight *weight);
/* The same where the threads have just turned q, and stored keys and values. */
void zh_pass_see(const zh_worker *w, int layer, const zh_weight *weight);
/* latent.c. Products of the norm; behind a barrier the rest, up to what the output's product reads,
 * and a barrier behind it. */
void zh_pass_latent_project(const zh_worker *w, const zh_weight *weight, const float *normed);
const float *zh_pass_latent(const zh_worker *w, int layer, const zh_weight *weight,
                            const float *normed);

/* observe.c: nothing where nobody observes. */
void zh_pass_report(const zh_worker *w, zh_operation operation);
void zh_pass_report_product(const zh_worker *w, int layer, const char *name,
                            const zh_weight *weight, const zh_weight *bias, const float *input,
                            const float *output, size_t tokens);
void zh_pass_report_norm(const zh_worker *w, int layer, const char *name, const zh_weight *weight,
                         const float *input, const float *output, size_t tokens);
void zh_pass_report_rows(const zh_worker *w, zh_operator op, int layer, const char *name,
                         size_t width, const float *input, const float *second,
                         const float *output);
/* Copies what an in-place operator is about to change into `before`. */
void zh_pass_keep(const zh_worker *w, size_t at, const float *from, size_t floats);

#endif
