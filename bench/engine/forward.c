/* The forward pass: one parallel region a micro-batch, rows of each product divided over the
 * threads, eight barriers a layer, ten with packed weights. Shapes: T tokens of the micro-batch, D
 * hidden, F ffn.
 *
 *   x[T][D] = embedding[token]
 *   each layer:  n = rmsnorm(x);  q, k, v = Wq n, Wk n, Wv n;  rope(q), rope(k);  k, v -> cache
 *                x += Wo attention(q, cache)
 *                n = rmsnorm(x);  x += Wdown (silu(Wgate n) * Wup n)
 *   logits = Whead rmsnorm(x), for wanted tokens only */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench/engine/engine.h"
#include "bench/engine/inside.h"

/* Outputs of two threads never share a cache line; packed rows and prepared tokens come in groups.
 */
enum { ROW_GRAIN = ZH_PACKED_ROWS, TOKEN_GRAIN = 16 };

typedef struct pass {
  zh_engine *e;
  const uint32_t *token, *position, *sequence; /* [tokens] */
  size_t tokens;
  zh_way way;       /* of all products */
  const bool *want; /* [tokens]; NULL: the last token where `ends` */
  bool ends;        /* the call's last micro-batch */
  size_t wanted;
  float *logits; /* [wanted][vocab] */
} pass;

typedef struct worker {
  const pass *p;
  int thread, threads;
  void *scratch;
} worker;

static bool wants(const pass *p, size_t t) {
  return p->want ? p->want[t] : p->ends && t + 1 == p->tokens;
}

static void barrier(const worker *w) {
  zh_threads_barrier(w->p->e->threads);
}

/* --- rows changed for one sequence: kernels give an element the same bits whatever the range, so
 * this equals a pass over a model that holds the changed row --- */

static void tokens_of(const pass *p, uint32_t sequence, size_t *begin, size_t *end) {
  size_t t = 0;
  while (t < p->tokens && p->sequence[t] != sequence) ++t;
  *begin = t;
  while (t < p->tokens && p->sequence[t] == sequence) ++t;
  *end = t;
}

static void patch_products(const worker *w, float *y, const zh_weight *weight, const float *x,
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

static void patch_norms(const worker *w, float *y, const float *x, const zh_weight *weight,
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

static const void *embedding_row(const worker *w, size_t t) {
  const pass *p = w->p;
  const zh_engine *e = p->e;
  const zh_weight *embedding = &e->weights.whole[ZH_EMBEDDING];
  for (size_t i = 0; i < e->patch_count; ++i) {
    const zh_patch *patch = &e->patches[i];
    if (patch->tensor == embedding->tensor && patch->row == p->token[t] &&
        patch->sequence == p->sequence[t])
      return patch->bytes;
  }
  size_t row = p->token[t] - embedding->first_row;
  if (!embedding->matrix.data) return zh_weight_row(embedding, row, w->scratch);
  return (const unsigned char *)embedding->matrix.data + row * embedding->matrix.row_bytes;
}

/* Thread 0 alone, while the others wait. */
static void enter(const worker *w, uint32_t layer) {
  zh_engine *e = w->p->e;
  if (!e->enter) return;
  if (w->thread == 0) e->enter(e->enter_user, layer, e->x, w->p->tokens);
  barrier(w);
}

/* Of input x for `count` matrices that follow each other, this thread's tokens. */
static void prepare(const worker *w, const zh_weight *weight, size_t count, const float *x,
                    size_t tokens) {
  zh_engine *e = w->p->e;
  bool done[ZH_PREPARATIONS] = {false};
  size_t begin, end;
  zh_share(&begin, &end, tokens, TOKEN_GRAIN, w->thread, w->threads);
  for (size_t i = 0; i < count && begin < end; ++i) {
    const zh_packed *m = &weight[i].packed;
    int kind = zh_preparation(m->type, w->p->way);
    if (!m->data || done[kind]) continue;
    done[kind] = true;
    e->kernels->prepare(e->prepared[kind], m->type, w->p->way, x, m->columns, m->columns, tokens,
                        begin, end);
  }
}

/* The same where other threads' tokens or columns come in: all wait before and after. */
static void prepare_shared(const worker *w, const zh_weight *weight, const float *x) {
  if (!weight->packed.data) return;
  prepare(w, weight, 1, x, w->p->tokens);
  barrier(w);
}

static void product_into(const worker *w, float *y, size_t y_stride, const zh_weight *weight,
                         const float *x, size_t tokens) {
  const zh_matrix *m = &weight->matrix;
  const zh_engine *e = w->p->e;
  size_t begin, end;
  zh_share(&begin, &end, m->rows, ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  if (weight->packed.data) {
    zh_way way = w->p->way;
    e->kernels->multiply(y, y_stride, &weight->packed, way,
                         e->prepared[zh_preparation(m->type, way)], tokens, begin, end, w->scratch);
    return;
  }
  e->kernels->matmul(y, y_stride, m, x, m->columns, tokens, begin, end, w->scratch);
  patch_products(w, y, weight, x, begin, end);
}

static void product(const worker *w, float *y, const zh_weight *weight, const float *x,
                    size_t tokens) {
  product_into(w, y, weight->matrix.rows, weight, x, tokens);
}

/* And, of the `count` matrices that read its result, the input. */
static void norm(const worker *w, float *y, const float *x, const zh_weight *weight,
                 const zh_weight *readers, size_t count, size_t tokens) {
  const zh_engine *e = w->p->e;
  size_t begin, end;
  zh_share(&begin, &end, tokens, TOKEN_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  e->kernels->rmsnorm(y, x, weight->gain, e->architecture.hidden, e->architecture.norm_eps, begin,
                      end);
  patch_norms(w, y, x, weight, begin, end);
  prepare(w, readers, count, y, tokens);
}

/* x += delta, each thread the rows that it has just computed: no barrier between product and
 * addition. */
static void add_own_rows(const worker *w, float *x, const float *delta) {
  const zh_engine *e = w->p->e;
  size_t begin, end, hidden = e->architecture.hidden;
  zh_share(&begin, &end, hidden, ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  for (size_t t = 0; t < w->p->tokens; ++t)
    e->kernels->add(x + t * hidden, delta + t * hidden, begin, end);
}

/* --- observation: all threads come; thread 0 reports while the others wait --- */

static void report(const worker *w, zh_operation operation) {
  zh_engine *e = w->p->e;
  if (!e->observer) return;
  if (w->thread == 0) {
    operation.token = w->p->token;
    operation.position = w->p->position;
    operation.sequence = w->p->sequence;
    e->observer(e->observer_user, &operation);
  }
  barrier(w);
}

static void report_product(const worker *w, int layer, const char *name, const zh_weight *weight,
                           const float *input, const float *output, size_t tokens) {
  report(w, (zh_operation){.op = ZH_OP_MATMUL,
                           .layer = layer,
                           .name = name,
                           .weight = weight,
                           .tokens = tokens,
                           .way = w->p->way,
                           .in_width = weight->matrix.columns,
                           .out_width = weight->matrix.rows,
                           .input = input,
                           .output = output});
}

static void report_norm(const worker *w, int layer, const char *name, const zh_weight *weight,
                        const float *input, const float *output, size_t tokens) {
  size_t hidden = w->p->e->architecture.hidden;
  report(w, (zh_operation){.op = ZH_OP_RMSNORM,
                           .layer = layer,
                           .name = name,
                           .weight = weight,
                           .tokens = tokens,
                           .in_width = hidden,
                           .out_width = hidden,
                           .input = input,
                           .output = output});
}

static void report_rows(const worker *w, zh_operator op, int layer, const char *name, size_t width,
                        const float *input, const float *second, const float *output) {
  report(w, (zh_operation){.op = op,
                           .layer = layer,
                           .name = name,
                           .tokens = w->p->tokens,
                           .in_width = width,
                           .out_width = width,
                           .input = input,
                           .second = second,
                           .output = output});
}

/* --- one model over several ranks: no more than these three --- */

/* Where a product goes of which this rank has a part. */
static float *part_or(const zh_engine *e, zh_reduce_slot slot, float *whole) {
  return e->reduce ? zh_reduce_mine(e->reduce, slot) : whole;
}

static void sum_over_ranks(const worker *w, int layer, const char *const names[2],
                           zh_reduce_slot slot, const zh_weight *weight, const float *input) {
  zh_engine *e = w->p->e;
  size_t tokens = w->p->tokens, hidden = e->architecture.hidden, stride = 0;
  if (!e->reduce) return;
  if (e->observer) barrier(w);
  report_product(w, layer, names[0], weight, input, zh_reduce_mine(e->reduce, slot), tokens);
  zh_reduce_sum(e->reduce, e->threads, w->thread, slot, e->delta, tokens * hidden);
  const float *parts = zh_reduce_parts(e->reduce, slot, &stride);
  if (!parts) return;
  report(w, (zh_operation){.op = ZH_OP_SUM,
                           .layer = layer,
                           .name = names[1],
                           .tokens = tokens,
                           .in_width = hidden,
                           .out_width = hidden,
                           .input = parts,
                           .addends = (size_t)e->part.parts,
                           .addend_stride = stride,
                           .output = e->delta});
}

/* Rows of the vocabulary that another rank holds come from there. */
static void embed_part(const worker *w, float *out, size_t t) {
  const zh_matrix *m = &w->p->e->weights.whole[ZH_EMBEDDING].matrix;
  size_t row = w->p->token[t] - w->p->e->weights.whole[ZH_EMBEDDING].first_row;
  if (row < m->rows)
    zh_dequantize_row(out, embedding_row(w, t), m->type, m->columns);
  else
    memset(out, 0, m->columns * sizeof *out);
}

/* Copies what an in-place operator is about to change. */
static void keep(const worker *w, size_t at, const float *from, size_t floats) {
  zh_engine *e = w->p->e;
  if (!e->observer) return;
  if (w->thread == 0) memcpy(e->before + at, from, floats * sizeof(float));
  barrier(w);
}

/* --- the pass --- */

static void embed(const worker *w) {
  const pass *p = w->p;
  zh_engine *e = p->e;
  const zh_weight *embedding = &e->weights.whole[ZH_EMBEDDING];
  size_t begin, end, hidden = e->architecture.hidden;
  zh_share(&begin, &end, p->tokens, 1, w->thread, w->threads);
  float *x = part_or(e, ZH_REDUCE_EMBEDDING, e->x);
  for (size_t t = begin; t < end; ++t) embed_part(w, x + t * hidden, t);
  barrier(w);
  if (e->reduce)
    zh_reduce_sum(e->reduce, e->threads, w->thread, ZH_REDUCE_EMBEDDING, e->x, p->tokens * hidden);
  report(w, (zh_operation){.op = ZH_OP_EMBEDDING,
                           .layer = -1,
                           .name = "embedding",
                           .weight = embedding,
                           .tokens = p->tokens,
                           .in_width = hidden,
                           .out_width = hidden,
                           .output = e->x});
}

/* Query and key heads are divided together, so that one token keeps all threads busy. */
static void rotate(const worker *w, size_t head_begin, size_t head_end, float *x, size_t first_head,
                   size_t heads) {
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

static void store_keys_and_values(const worker *w, size_t layer) {
  const pass *p = w->p;
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

static void attend(const worker *w, int layer) {
  const pass *p = w->p;
  zh_engine *e = p->e;
  const zh_architecture *a = &e->architecture;
  size_t q_width = (size_t)a->heads * a->head_dim, k_width = (size_t)a->kv_heads * a->head_dim;
  size_t stride = e->context * k_width, begin, end;
  keep(w, 0, e->q, e->observer ? p->tokens * q_width : 0);
  keep(w, p->tokens * q_width, e->k, e->observer ? p->tokens * k_width : 0);
  zh_share(&begin, &end, (size_t)a->heads + a->kv_heads, 1, w->thread, w->threads);
  rotate(w, begin, end, e->q, 0, a->heads);
  rotate(w, begin, end, e->k, a->heads, a->kv_heads);
  barrier(w);
  report_rows(w, ZH_OP_ROPE, layer, "rope q", q_width, e->before, NULL, e->q);
  report_rows(w, ZH_OP_ROPE, layer, "rope k", k_width,
              e->before ? e->before + p->tokens * q_width : NULL, NULL, e->k);
  store_keys_and_values(w, (size_t)layer);
  barrier(w);
  const float *k = cache_at(e, e->keys, (size_t)layer, 0, 0),
              *v = cache_at(e, e->values, (size_t)layer, 0, 0);
  zh_share(&begin, &end, p->tokens * a->heads, 1, w->thread, w->threads);
  if (begin < end) {
    e->kernels->attention(e->attended, e->q, k, v, stride, a->heads, a->kv_heads, a->head_dim,
                          p->position, p->sequence, 1.0f / sqrtf((float)a->head_dim), begin, end,
                          w->scratch);
  }
  barrier(w);
  report(w, (zh_operation){.op = ZH_OP_ATTENTION,
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

/* Strikes the first element from the drawn one on that is not smaller than its row's mean: one bit
 * of a number next to nothing is rounded away in the next sum, and so changes no result. */
static void flip_activation(zh_engine *e, int layer) {
  if (!e->flip.armed || e->flip.layer != (uint32_t)layer) return;
  size_t hidden = e->architecture.hidden, at = e->flip.element % hidden;
  float *row = e->x + (e->flip.element - at);
  double mean = 0;
  for (size_t i = 0; i < hidden; ++i) mean += fabs((double)row[i]) / (double)hidden;
  for (size_t i = 0; i < hidden && fabs((double)row[at]) < mean; ++i) at = (at + 1) % hidden;
  uint32_t bits;
  memcpy(&bits, &row[at], sizeof bits);
  bits ^= UINT32_C(1) << e->flip.bit;
  memcpy(&row[at], &bits, sizeof bits);
  e->flip.armed = false;
}

static void attention_block(const worker *w, int layer, const zh_weight *weight) {
  const pass *p = w->p;
  zh_engine *e = p->e;
  size_t tokens = p->tokens, hidden = e->architecture.hidden;
  norm(w, e->normed, e->x, &weight[ZH_ATTN_NORM], &weight[ZH_ATTN_Q], 3, tokens);
  barrier(w);
  report_norm(w, layer, "attention norm", &weight[ZH_ATTN_NORM], e->x, e->normed, tokens);
  product(w, e->q, &weight[ZH_ATTN_Q], e->normed, tokens);
  product(w, e->k, &weight[ZH_ATTN_K], e->normed, tokens);
  product(w, e->v, &weight[ZH_ATTN_V], e->normed, tokens);
  if (w->thread == 0) flip_activation(e, layer); /* nobody reads x here */
  barrier(w);
  report_product(w, layer, "q", &weight[ZH_ATTN_Q], e->normed, e->q, tokens);
  report_product(w, layer, "k", &weight[ZH_ATTN_K], e->normed, e->k, tokens);
  report_product(w, layer, "v", &weight[ZH_ATTN_V], e->normed, e->v, tokens);
  attend(w, layer);
  keep(w, 0, e->x, tokens * hidden);
  prepare_shared(w, &weight[ZH_ATTN_OUTPUT], e->attended);
  float *delta = part_or(e, ZH_REDUCE_ATTENTION, e->delta);
  product(w, delta, &weight[ZH_ATTN_OUTPUT], e->attended, tokens);
  sum_over_ranks(w, layer, (const char *const[]){"attention output", "attention sum"},
                 ZH_REDUCE_ATTENTION, &weight[ZH_ATTN_OUTPUT], e->attended);
  add_own_rows(w, e->x, e->delta);
  barrier(w);
  if (!e->reduce)
    report_product(w, layer, "attention output", &weight[ZH_ATTN_OUTPUT], e->attended, e->delta,
                   tokens);
  report_rows(w, ZH_OP_ADD, layer, "attention residual", hidden, e->before, e->delta, e->x);
}

static void multiply_own_rows(const worker *w) {
  zh_engine *e = w->p->e;
  size_t begin, end, ffn = e->architecture.ffn;
  zh_share(&begin, &end, ffn, ROW_GRAIN, w->thread, w->threads);
  if (begin >= end) return;
  for (size_t t = 0; t < w->p->tokens; ++t)
    e->kernels->silu_multiply(e->inner + t * ffn, e->gate + t * ffn, e->up + t * ffn, begin, end);
}

static void ffn_block(const worker *w, int layer, const zh_weight *weight) {
  const pass *p = w->p;
  zh_engine *e = p->e;
  size_t tokens = p->tokens, hidden = e->architecture.hidden;
  norm(w, e->normed, e->x, &weight[ZH_FFN_NORM], &weight[ZH_FFN_GATE], 2, tokens);
  barrier(w);
  report_norm(w, layer, "ffn norm", &weight[ZH_FFN_NORM], e->x, e->normed, tokens);
  product(w, e->gate, &weight[ZH_FFN_GATE], e->normed, tokens);
  product(w, e->up, &weight[ZH_FFN_UP], e->normed, tokens);
  multiply_own_rows(w);
  barrier(w);
  report_product(w, layer, "gate", &weight[ZH_FFN_GATE], e->normed, e->gate, tokens);
  report_product(w, layer, "up", &weight[ZH_FFN_UP], e->normed, e->up, tokens);
  report_rows(w, ZH_OP_SILU, layer, "silu", e->architecture.ffn, e->gate, e->up, e->inner);
  keep(w, 0, e->x, tokens * hidden);
  prepare_shared(w, &weight[ZH_FFN_DOWN], e->inner);
  float *delta = part_or(e, ZH_REDUCE_FFN, e->delta);
  product(w, delta, &weight[ZH_FFN_DOWN], e->inner, tokens);
  sum_over_ranks(w, layer, (const char *const[]){"down", "ffn sum"}, ZH_REDUCE_FFN,
                 &weight[ZH_FFN_DOWN], e->inner);
  add_own_rows(w, e->x, e->delta);
  barrier(w);
  if (!e->reduce)
    report_product(w, layer, "down", &weight[ZH_FFN_DOWN], e->inner, e->delta, tokens);
  report_rows(w, ZH_OP_ADD, layer, "ffn residual", hidden, e->before, e->delta, e->x);
}

static void head(const worker *w) {
  const pass *p = w->p;
  zh_engine *e = p->e;
  size_t hidden = e->architecture.hidden, rows = 0;
  const zh_weight *output_norm = &e->weights.whole[ZH_OUTPUT_NORM],
                  *matrix = &e->weights.whole[ZH_HEAD];
  for (size_t t = 0; w->thread == 0 && t < p->tokens; ++t) {
    if (wants(p, t)) memcpy(e->last + rows++ * hidden, e->x + t * hidden, hidden * sizeof(float));
  }
  barrier(w);
  norm(w, e->normed, e->last, output_norm, matrix, 1, p->wanted);
  barrier(w);
  report_norm(w, -1, "output norm", output_norm, e->last, e->normed, p->wanted);
  size_t vocab = e->architecture.vocab;
  float *logits = p->logits + matrix->first_row;
  product_into(w, logits, vocab, matrix, e->normed, p->wanted);
  barrier(w);
  if (e->reduce) zh_reduce_gather(e->reduce, e->threads, w->thread, p->logits, p->wanted);
  report(w, (zh_operation){.op = ZH_OP_MATMUL,
                           .layer = -1,
                           .name = "head",
                           .weight = matrix,
                           .way = w->p->way,
                           .tokens = p->wanted,
                           .in_width = hidden,
                           .out_width = matrix->matrix.rows,
                           .output_stride = vocab,
                           .input = e->normed,
                           .output = logits});
}

static void run_pass(void *user, int thread, int threads) {
  const pass *p = user;
  zh_engine *e = p->e;
  worker w = {p, thread, threads, e->scratch + (size_t)thread * e->scratch_bytes};
  if (e->first_layer == 0) embed(&w);
  for (uint32_t layer = e->first_layer; layer < e->architecture.layers; ++layer) {
    const zh_weight *weight = &e->weights.layer[(size_t)layer * ZH_LAYER_SLOTS];
    enter(&w, layer);
    attention_block(&w, (int)layer, weight);
    ffn_block(&w, (int)layer, weight);
  }
  enter(&w, e->architecture.layers);
  if (p->logits && p->wanted > 0) head(&w);
}

/* Nothing is computed unless every token fits; lengths are put back on failure. */
static zh_status admit(zh_engine *e, const uint32_t *token, const uint32_t *position,
                       const uint32_t *sequence, size_t count, zh_error *err) {
  const zh_architecture *a = &e->architecture;
  size_t i = 0;
  for (; i < count; ++i) {
    if (token[i] >= a->vocab || sequence[i] >= e->sequences || position[i] >= e->context ||
        position[i] != e->length[sequence[i]])
      break;
    ++e->length[sequence[i]];
  }
  if (i == count) return ZH_OK;
  uint32_t length = sequence[i] < e->sequences ? e->length[sequence[i]] : 0;
  for (size_t k = 0; k < i; ++k) --e->length[sequence[k]];
  if (token[i] >= a->vocab) {
    return zh_fail(err, ZH_ERR_ARG,
                   "token %" PRIu32 " is outside the vocabulary of %" PRIu32 " tokens", token[i],
                   a->vocab);
  }
  if (sequence[i] >= e->sequences) {
    return zh_fail(err, ZH_ERR_ARG,
                   "sequence %" PRIu32 " does not exist; the engine holds %" PRIu32, sequence[i],
                   e->sequences);
  }
  if (position[i] >= e->context) {
    return zh_fail(err, ZH_ERR_ARG,
                   "position %" PRIu32 " is outside the context of %" PRIu32 " positions",
                   position[i], e->context);
  }
  return zh_fail(err, ZH_ERR_ARG,
                 "sequence %" PRIu32 " is at position %" PRIu32 ", so position %" PRIu32
                 " cannot come next",
                 sequence[i], length, position[i]);
}

zh_status zh_engine_forward(zh_engine *e, const uint32_t *token, const uint32_t *position,
                            const uint32_t *sequence, size_t count, const bool *want, float *logits,
                            zh_error *err) {
  if (count == 0) return zh_fail(err, ZH_ERR_ARG, "a forward pass needs at least one token");
  ZH_TRY(admit(e, token, position, sequence, count, err));
  for (size_t at = 0; at < count; at += e->micro_batch) {
    size_t tokens = count - at < e->micro_batch ? count - at : e->micro_batch;
    pass p = {.e = e,
              .token = token + at,
              .position = position + at,
              .sequence = sequence + at,
              .tokens = tokens,
              .way = e->way_is_set ? e->way : zh_way_of(count),
              .want = want ? want + at : NULL,
              .ends = at + tokens == count,
              .logits = logits};
    for (size_t t = 0; t < tokens; ++t) p.wanted += wants(&p, t);
    zh_threads_run(e->threads, run_pass, &p);
    if (e->reduce) ZH_TRY(zh_reduce_error(e->reduce, err));
    if (logits) logits += p.wanted * e->architecture.vocab;
  }
  return ZH_OK;
}
