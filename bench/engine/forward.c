/* The forward pass: one parallel region a micro-batch, rows of each product divided over the
 * threads. Shapes: T tokens of the micro-batch, D hidden, F ffn. Barriers a layer: six for up to
 * 16 tokens (after q k v, rotation into the cache, attention, its output, SwiGLU, down), one more
 * where attention is shared by blocks of keys; two more for more tokens (after the norms), four
 * with packed weights (after rounding attention and SwiGLU).
 *
 *   x[T][D] = embedding[token]
 *   each layer:  n = rmsnorm(x);  q, k, v = Wq n, Wk n, Wv n;  rope(q), rope(k);  k, v -> cache
 *                x += Wo attention(q, cache)
 *                n = rmsnorm(x);  x += Wdown (silu(Wgate n) * Wup n)
 *   logits = Whead rmsnorm(x), for wanted tokens only
 *
 * and what the architecture says beyond it (model/architecture.h): biases are added by whoever
 * computed the rows; a norm behind a block costs a barrier. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/pass.h"

static bool wants(const zh_pass *p, size_t t) {
  return p->want ? p->want[t] : p->ends && t + 1 == p->tokens;
}

/* Thread 0 alone, while the others wait. */
static void enter(const zh_worker *w, uint32_t layer) {
  zh_engine *e = w->p->e;
  if (!e->enter) return;
  if (w->thread == 0) e->enter(e->enter_user, layer, e->x, w->p->tokens);
  zh_pass_barrier(w);
}

/* --- one model over several ranks: no more than these three --- */

float *zh_pass_part_or(const zh_engine *e, zh_reduce_slot slot, float *whole) {
  return e->reduce ? zh_reduce_mine(e->reduce, slot) : whole;
}

static void sum_parts(const zh_worker *w, int layer, const char *name, zh_reduce_slot slot) {
  zh_engine *e = w->p->e;
  size_t tokens = w->p->tokens, hidden = e->architecture.hidden, stride = 0;
  zh_reduce_sum(e->reduce, e->threads, w->thread, slot, e->delta, tokens, hidden);
  zh_pass_mark(w, ZH_STAGE_SUMS);
  if (e->observer) zh_pass_barrier(w);
  const float *parts = zh_reduce_parts(e->reduce, slot, &stride);
  if (!parts) return;
  zh_pass_report(w, (zh_operation){.op = ZH_OP_SUM,
                                   .layer = layer,
                                   .name = name,
                                   .tokens = tokens,
                                   .in_width = hidden,
                                   .out_width = hidden,
                                   .input = parts,
                                   .addends = (size_t)e->stages.part.parts,
                                   .addend_stride = stride,
                                   .output = e->delta});
}

void zh_pass_sum_over_ranks(const zh_worker *w, int layer, const char *const names[2],
                            zh_reduce_slot slot, const zh_weight *weight, const zh_weight *bias,
                            const float *input) {
  zh_engine *e = w->p->e;
  if (!e->reduce) return;
  zh_pass_mark(w, ZH_STAGE_PRODUCTS);
  if (e->observer) zh_pass_barrier(w);
  zh_pass_report_product(w, layer, names[0], weight, bias, input, zh_reduce_mine(e->reduce, slot),
                         w->p->tokens);
  sum_parts(w, layer, names[1], slot);
}

/* Rows of the vocabulary that another rank holds come from there. */
static void embed_part(const zh_worker *w, float *out, size_t t) {
  const zh_matrix *m = &w->p->e->weights.whole[ZH_EMBEDDING].matrix;
  size_t row = w->p->token[t] - w->p->e->weights.whole[ZH_EMBEDDING].first_row;
  if (row < m->rows)
    zh_dequantize_row(out, zh_pass_embedding_row(w, t), m->type, m->columns);
  else
    memset(out, 0, m->columns * sizeof *out);
  float factor = zh_factor(w->p->e->architecture.embedding_scale);
  for (size_t i = 0; factor != 1 && i < m->columns; ++i) out[i] *= factor;
}

/* --- the pass --- */

static void embed(const zh_worker *w) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  const zh_weight *embedding = &e->weights.whole[ZH_EMBEDDING];
  size_t begin, end, hidden = e->architecture.hidden;
  zh_share(&begin, &end, p->tokens, 1, w->thread, w->threads);
  float *x = zh_pass_part_or(e, ZH_REDUCE_EMBEDDING, e->x);
  for (size_t t = begin; t < end; ++t) embed_part(w, x + t * hidden, t);
  if (e->reduce) {
    zh_reduce_sum(e->reduce, e->threads, w->thread, ZH_REDUCE_EMBEDDING, e->x, p->tokens, hidden);
    zh_pass_mark(w, ZH_STAGE_SUMS);
  }
  zh_pass_meet(w, ZH_STAGE_ROWS);
  zh_pass_report(w, (zh_operation){.op = ZH_OP_EMBEDDING,
                                   .layer = -1,
                                   .name = "embedding",
                                   .weight = embedding,
                                   .tokens = p->tokens,
                                   .in_width = hidden,
                                   .out_width = hidden,
                                   .output = e->x});
}

/* Strikes the first element from the drawn one on that is not smaller than its row's mean: one bit
 * of a number next to nothing is rounded away in the next sum, and so changes no result. */
static void flip_activation(zh_engine *e, int layer) {
  if (!zh_pass_is_tampered(e, ZH_TAMPER_RESIDUAL, layer)) return;
  size_t hidden = e->architecture.hidden, at = e->tamper.element % hidden;
  float *row = e->x + (e->tamper.element - at);
  double mean = 0;
  for (size_t i = 0; i < hidden; ++i) mean += fabs((double)row[i]) / (double)hidden;
  for (size_t i = 0; i < hidden && fabs((double)row[at]) < mean; ++i) at = (at + 1) % hidden;
  uint32_t bits;
  memcpy(&bits, &row[at], sizeof bits);
  bits ^= UINT32_C(1) << e->tamper.bit;
  memcpy(&row[at], &bits, sizeof bits);
}

/* Of part [tokens][hidden], the rows that this thread has just computed. */
static void lose_tile(const zh_worker *w, int layer, float *part) {
  const zh_engine *e = w->p->e;
  if (!zh_pass_is_tampered(e, ZH_TAMPER_TILE, layer)) return;
  size_t hidden = e->architecture.hidden, begin, end;
  size_t first = e->tamper.element % hidden / ZH_TILE_LOST * ZH_TILE_LOST,
         last = first + ZH_TILE_LOST < hidden ? first + ZH_TILE_LOST : hidden;
  float *row = part + e->tamper.element / hidden * hidden;
  zh_share(&begin, &end, hidden, ZH_ROW_GRAIN, w->thread, w->threads);
  for (size_t r = begin > first ? begin : first; r < end && r < last; ++r) row[r] = 0;
}

/* What a product whose columns lie over the ranks adds, once. */
static const zh_weight *bias_of_sum(const zh_engine *e, const zh_weight *bias) {
  static const zh_weight none;
  return e->stages.part.index == 0 ? bias : &none;
}

typedef struct block_names {
  const char *product, *sum, *post_norm, *residual;
} block_names;

/* A block's last product, of `input`, which other threads wrote: into the stream, normed first
 * where there is a norm. */
/* x += delta, which the architecture may norm first; returns what was added. */
static const float *add_block(const zh_worker *w, const zh_weight *norm) {
  zh_engine *e = w->p->e;
  const float *added = e->delta;
  if (norm->tensor) {
    zh_pass_meet(w, ZH_STAGE_PRODUCTS);
    added = zh_pass_norm(w, e->delta, norm, NULL, 0, w->p->tokens);
  }
  zh_pass_add_own_rows(w, e->x, added, zh_factor(e->architecture.residual_scale));
  zh_pass_meet(w, ZH_STAGE_ROWS);
  return added;
}

static void report_block(const zh_worker *w, int layer, const block_names *names,
                         const zh_weight *norm, const float *added) {
  zh_engine *e = w->p->e;
  if (norm->tensor)
    zh_pass_report_norm(w, layer, names->post_norm, norm, e->delta, added, w->p->tokens);
  zh_pass_report_rows(w, ZH_OP_ADD, layer, names->residual, e->architecture.hidden, e->before,
                      added, e->x);
}

static void finish_block(const zh_worker *w, int layer, const block_names *names,
                         zh_reduce_slot slot, const zh_weight *weight, const zh_weight *bias,
                         const zh_weight *norm, const float *input) {
  zh_engine *e = w->p->e;
  size_t tokens = w->p->tokens, hidden = e->architecture.hidden;
  zh_pass_keep(w, 0, e->x, tokens * hidden);
  zh_pass_prepare(w, weight, input);
  float *part = zh_pass_part_or(e, slot, e->delta);
  bias = bias_of_sum(e, bias);
  zh_pass_product(w, part, weight, input, tokens);
  zh_pass_add_bias(w, part, bias, tokens);
  if (slot == ZH_REDUCE_ATTENTION) lose_tile(w, layer, part);
  zh_pass_sum_over_ranks(w, layer, (const char *const[]){names->product, names->sum}, slot, weight,
                         bias, input);
  zh_pass_mark(w, ZH_STAGE_PRODUCTS);
  const float *added = add_block(w, norm);
  if (!e->reduce)
    zh_pass_report_product(w, layer, names->product, weight, bias, input, e->delta, tokens);
  report_block(w, layer, names, norm, added);
}

static void project(const zh_worker *w, const zh_weight *weight, const float *normed) {
  zh_engine *e = w->p->e;
  size_t tokens = w->p->tokens;
  zh_pass_product(w, e->q, &weight[ZH_ATTN_Q], normed, tokens);
  zh_pass_product(w, e->k, &weight[ZH_ATTN_K], normed, tokens);
  zh_pass_product(w, e->v, &weight[ZH_ATTN_V], normed, tokens);
  zh_pass_add_bias(w, e->q, &weight[ZH_ATTN_Q_BIAS], tokens);
  zh_pass_add_bias(w, e->k, &weight[ZH_ATTN_K_BIAS], tokens);
  zh_pass_add_bias(w, e->v, &weight[ZH_ATTN_V_BIAS], tokens);
}

static void attend(const zh_worker *w, int layer, const zh_weight *weight, const float *normed) {
  zh_engine *e = w->p->e;
  size_t tokens = w->p->tokens;
  zh_pass_report_product(w, layer, "q", &weight[ZH_ATTN_Q], &weight[ZH_ATTN_Q_BIAS], normed, e->q,
                         tokens);
  zh_pass_report_product(w, layer, "k", &weight[ZH_ATTN_K], &weight[ZH_ATTN_K_BIAS], normed, e->k,
                         tokens);
  zh_pass_report_product(w, layer, "v", &weight[ZH_ATTN_V], &weight[ZH_ATTN_V_BIAS], normed, e->v,
                         tokens);
  zh_pass_attend(w, layer, weight);
}

static void attention_block(const zh_worker *w, int layer, const zh_weight *weight) {
  static const block_names names = {"attention output", "attention sum", "attention post norm",
                                    "attention residual"};
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  size_t tokens = p->tokens;
  const float *normed = zh_pass_norm(w, e->x, &weight[ZH_ATTN_NORM], &weight[ZH_ATTN_Q],
                                     ZH_LATENT_KV_DOWN - ZH_ATTN_Q + 1, tokens);
  const float *attended = e->attended;
  zh_pass_report_norm(w, layer, "attention norm", &weight[ZH_ATTN_NORM], e->x, normed, tokens);
  if (e->latents)
    zh_pass_latent_project(w, weight, normed);
  else
    project(w, weight, normed);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  if (w->thread == 0) flip_activation(e, layer); /* nobody reads x here */
  if (e->latents)
    attended = zh_pass_latent(w, layer, weight, normed);
  else
    attend(w, layer, weight, normed);
  finish_block(w, layer, &names, ZH_REDUCE_ATTENTION, &weight[ZH_ATTN_OUTPUT],
               &weight[ZH_ATTN_OUTPUT_BIAS], &weight[ZH_ATTN_POST_NORM], attended);
}

static void ffn_block(const zh_worker *w, int layer, const zh_weight *weight) {
  static const block_names names = {"down", "ffn sum", "ffn post norm", "ffn residual"};
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  size_t tokens = p->tokens;
  const float *normed =
      zh_pass_norm(w, e->x, &weight[ZH_FFN_NORM], &weight[ZH_FFN_GATE], 2, tokens);
  zh_pass_report_norm(w, layer, "ffn norm", &weight[ZH_FFN_NORM], e->x, normed, tokens);
  zh_pass_product(w, e->gate, &weight[ZH_FFN_GATE], normed, tokens);
  zh_pass_product(w, e->up, &weight[ZH_FFN_UP], normed, tokens);
  zh_pass_add_bias(w, e->gate, &weight[ZH_FFN_GATE_BIAS], tokens);
  zh_pass_add_bias(w, e->up, &weight[ZH_FFN_UP_BIAS], tokens);
  zh_pass_mark(w, ZH_STAGE_PRODUCTS);
  zh_pass_activate_own_rows(w, e->architecture.ffn);
  zh_pass_meet(w, ZH_STAGE_ROWS);
  zh_pass_report_product(w, layer, "gate", &weight[ZH_FFN_GATE], &weight[ZH_FFN_GATE_BIAS], normed,
                         e->gate, tokens);
  zh_pass_report_product(w, layer, "up", &weight[ZH_FFN_UP], &weight[ZH_FFN_UP_BIAS], normed, e->up,
                         tokens);
  zh_pass_report_rows(w, ZH_OP_ACTIVATION, layer, zh_activation_name(&e->architecture),
                      e->architecture.ffn, e->gate, e->up, e->inner);
  finish_block(w, layer, &names, ZH_REDUCE_FFN, &weight[ZH_FFN_DOWN], &weight[ZH_FFN_DOWN_BIAS],
               &weight[ZH_FFN_POST_NORM], e->inner);
}

static void expert_block(const zh_worker *w, int layer, const zh_weight *weight) {
  static const block_names names = {NULL, "ffn sum", "ffn post norm", "ffn residual"};
  zh_engine *e = w->p->e;
  zh_pass_keep(w, 0, e->x, w->p->tokens * e->architecture.hidden);
  zh_pass_experts(w, (uint32_t)layer, weight, zh_pass_part_or(e, ZH_REDUCE_FFN, e->delta));
  if (e->reduce) {
    sum_parts(w, layer, names.sum, ZH_REDUCE_FFN);
    zh_pass_mark(w, ZH_STAGE_PRODUCTS);
  }
  const float *added = add_block(w, &weight[ZH_FFN_POST_NORM]);
  report_block(w, layer, &names, &weight[ZH_FFN_POST_NORM], added);
}

/* Of a token's logits z, rows [begin, end). */
static void normalise(const zh_worker *w, float *z, size_t t, size_t begin, size_t end) {
  const zh_engine *e = w->p->e;
  const zh_patch *patch = zh_pass_patch_of(w, &e->weights.whole[ZH_HEAD], t);
  bool mine = patch && patch->row >= begin && patch->row < end;
  float changed = mine ? z[patch->row] * patch->head_factor : 0;
  for (size_t r = begin; r < end; ++r) z[r] *= e->head_factor[r];
  if (mine) z[patch->row] = changed;
}

/* What the architecture does to logits, of the rows that this thread has just computed. */
static void shape_own_logits(const zh_worker *w, float *logits, size_t rows) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  float scale = zh_factor(a->logit_scale), cap = a->logit_softcap;
  size_t begin, end;
  if (scale == 1 && cap == 0 && !e->head_factor) return;
  zh_share(&begin, &end, rows, ZH_ROW_GRAIN, w->thread, w->threads);
  for (size_t t = 0; t < w->p->wanted; ++t) {
    float *z = logits + t * a->vocab;
    if (e->head_factor) normalise(w, z, t, begin, end);
    for (size_t r = begin; scale != 1 && r < end; ++r) z[r] *= scale;
    for (size_t r = begin; cap != 0 && r < end; ++r) z[r] = cap * tanhf(z[r] / cap);
  }
}

static void head(const zh_worker *w) {
  const zh_pass *p = w->p;
  zh_engine *e = p->e;
  size_t hidden = e->architecture.hidden, rows = 0;
  const zh_weight *output_norm = &e->weights.whole[ZH_OUTPUT_NORM],
                  *matrix = &e->weights.whole[ZH_HEAD];
  for (size_t t = 0; w->thread == 0 && t < p->tokens; ++t) {
    if (!wants(p, t)) continue;
    if (e->observer) {
      e->gathered[rows] = p->token[t];
      e->gathered[e->micro_batch + rows] = p->position[t];
      e->gathered[2 * (size_t)e->micro_batch + rows] = p->sequence[t];
    }
    memcpy(e->last + rows++ * hidden, e->x + t * hidden, hidden * sizeof(float));
  }
  zh_pass_meet(w, ZH_STAGE_ROWS);
  const float *normed = zh_pass_norm(w, e->last, output_norm, matrix, 1, p->wanted);
  zh_pass_report_norm(w, -1, "output norm", output_norm, e->last, normed, p->wanted);
  size_t vocab = e->architecture.vocab;
  float *logits = p->logits + matrix->first_row;
  zh_pass_product_into(w, logits, vocab, matrix, normed, p->wanted);
  shape_own_logits(w, logits, matrix->matrix.rows);
  zh_pass_meet(w, ZH_STAGE_PRODUCTS);
  if (e->reduce) {
    zh_reduce_gather(e->reduce, e->threads, w->thread, p->logits, p->wanted);
    zh_pass_mark(w, ZH_STAGE_SUMS);
  }
  zh_pass_report(w, (zh_operation){.op = ZH_OP_MATMUL,
                                   .layer = -1,
                                   .name = "head",
                                   .weight = matrix,
                                   .way = zh_weight_way(matrix, &e->kernels->rounds, p->way),
                                   .tokens = p->wanted,
                                   .in_width = hidden,
                                   .out_width = matrix->matrix.rows,
                                   .output_stride = vocab,
                                   .input = normed,
                                   .output = logits});
}

/* By an injected fault. */
static bool is_left_out(const zh_engine *e, uint32_t layer) {
  return layer >= e->architecture.layers - e->layers_left_out ||
         zh_pass_is_tampered(e, ZH_TAMPER_LAYER, (int)layer);
}

static void run_pass(void *user, int thread, int threads) {
  const zh_pass *p = user;
  zh_engine *e = p->e;
  zh_worker w = {p, thread, threads, e->scratch + (size_t)thread * e->scratch_bytes,
                 p->counted ? &e->spent[thread] : NULL};
  if (w.spent) w.spent->last = thread == 0 ? p->began : zh_ticks();
  size_t begin, end;
  zh_share(&begin, &end, p->tokens, 1, thread, threads);
  for (int i = 0; i < (e->angles[1] == e->angles[0] ? 1 : 2); ++i) {
    const zh_rope *rope = &e->architecture.rope[i];
    zh_rope_angles(e->angles[i], e->frequency[i], rope->dims / 2,
                   rope->attention_factor == 0 ? 1 : rope->attention_factor, p->position, begin,
                   end);
  }
  if (e->first_layer == 0 && e->weights.whole[ZH_EMBEDDING].tensor) embed(&w);
  for (uint32_t layer = e->first_layer; layer < e->architecture.layers; ++layer) {
    if (is_left_out(e, layer)) continue;
    const zh_weight *weight = &e->weights.layer[(size_t)layer * ZH_LAYER_SLOTS];
    enter(&w, layer);
    attention_block(&w, (int)layer, weight);
    if (zh_layer_is(&e->architecture, layer, ZH_LAYER_EXPERTS))
      expert_block(&w, (int)layer, weight);
    else
      ffn_block(&w, (int)layer, weight);
  }
  enter(&w, e->architecture.layers);
  if (p->logits && p->wanted > 0 && zh_engine_has_head(e)) head(&w);
}

static void run_counted(zh_pass *p) {
  zh_engine *e = p->e;
  if (e->spent) {
    p->counted = p->tokens > ZH_TOKEN_GRAIN || e->passes++ % e->counted_every == 0;
    p->began = zh_ticks();
  }
  zh_threads_run(e->threads, run_pass, p);
  if (p->counted) zh_spent_mark(&e->spent[0], ZH_STAGE_WAITING);
  if (!e->spent) return;
  uint64_t now = zh_ticks();
  if (!p->counted) e->uncounted += now - p->began;
  zh_spent_between(e)->last = now;
}

/* Hidden states between the stages of a model. */
static zh_status take_states(zh_engine *e, size_t floats, zh_error *err) {
  if (e->stages.before < 0) return ZH_OK;
  zh_engine_mark_nothing(e);
  ZH_TRY(zh_stages_take(&e->stages, e->x, floats, err));
  zh_engine_mark(e, ZH_STAGE_SUMS);
  return ZH_OK;
}

static zh_status give_states(zh_engine *e, size_t floats, zh_error *err) {
  if (e->stages.after < 0) return ZH_OK;
  ZH_TRY(zh_stages_give(&e->stages, e->x, floats, err));
  zh_engine_mark(e, ZH_STAGE_SUMS);
  return ZH_OK;
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

/* Tokens of a micro-batch. Stages work at the same time only where there are several: few enough
 * that the kernels still work at their pace. */
size_t zh_engine_tokens_at_once(const zh_engine *e, size_t count) {
  enum { FEWEST = 128, OF_A_STAGE = 4 };
  size_t batches = OF_A_STAGE * (size_t)e->stages.part.stages;
  if (batches <= OF_A_STAGE) return e->micro_batch;
  size_t tokens = (count + batches - 1) / batches;
  tokens = (tokens + ZH_TOKEN_GRAIN - 1) / ZH_TOKEN_GRAIN * ZH_TOKEN_GRAIN;
  if (tokens < FEWEST) tokens = FEWEST;
  return tokens < e->micro_batch ? tokens : e->micro_batch;
}

zh_status zh_engine_forward(zh_engine *e, const uint32_t *token, const uint32_t *position,
                            const uint32_t *sequence, size_t count, const bool *want, float *logits,
                            zh_error *err) {
  if (count == 0) return zh_fail(err, ZH_ERR_ARG, "a forward pass needs at least one token");
  ZH_TRY(admit(e, token, position, sequence, count, err));
  if (e->device) return zh_device_forward(e, token, position, sequence, count, want, logits, err);
  size_t hidden = e->architecture.hidden, most = zh_engine_tokens_at_once(e, count);
  for (size_t at = 0; at < count; at += most) {
    size_t tokens = count - at < most ? count - at : most;
    zh_pass p = {.e = e,
                 .token = token + at,
                 .position = position + at,
                 .sequence = sequence + at,
                 .tokens = tokens,
                 .way = e->way_is_set ? e->way : zh_way_of(count),
                 .expert_way = e->way_is_set ? e->expert_way
                                             : zh_expert_way(&e->weights.total.architecture, count),
                 .want = want ? want + at : NULL,
                 .ends = at + tokens == count,
                 .logits = logits};
    for (size_t t = 0; t < tokens; ++t) p.wanted += wants(&p, t);
    ZH_TRY(take_states(e, tokens * hidden, err));
    run_counted(&p);
    e->tamper.kind = ZH_TAMPER_NONE;
    if (e->reduce) ZH_TRY(zh_reduce_error(e->reduce, err));
    ZH_TRY(give_states(e, tokens * hidden, err));
    if (logits) logits += p.wanted * e->architecture.vocab;
  }
  return zh_stages_settle(&e->stages, err);
}
