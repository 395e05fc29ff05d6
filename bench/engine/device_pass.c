/* A pass on a device: the program's instructions (order.h) one after the other, each a call or few
 * of the table. Values are where device_buffers.c put them, [tokens][width]. */
#include <inttypes.h>
#include <string.h>

#include "bench/engine/device_engine.h"

/* What the calls of one instruction need. */
typedef struct call {
  zh_device_pass *p;
  zh_device_engine *d;
  const zh_architecture *a;
  const zh_instruction *is;
  int layer;               /* -1 outside the layers */
  const zh_weight *weight; /* of the layer; NULL outside */
  float *in, *second, *out;
  size_t in_stride, second_stride; /* of rows, where they are not the widths */
  size_t in_width, out_width;
  zh_error *err;
} call;

static const zh_weight *weight_of(const call *c) {
  return zh_order_weight(c->is, c->layer, &c->p->e->weights);
}

static const float *values_of(const zh_weight *w) {
  return w && w->tensor ? w->laid->matrix.numbers : NULL;
}

/* --- rows --- */

static zh_status embed(const call *c) {
  const zh_device_engine *d = c->d;
  zh_device_matrix rows = weight_of(c)->laid->matrix;
  rows.first_row = (uint32_t)weight_of(c)->first_row; /* other ranks have the others */
  return d->api->embed(d->device, c->out, &rows, d->tokens.token, c->p->tokens,
                       zh_factor(c->a->embedding_scale), c->err);
}

/* heads parts of `columns` numbers in each row. */
static zh_status norm(const call *c, const float *x, size_t columns, size_t heads, size_t stride,
                      size_t rows, float eps) {
  zh_device_norm work = {.y = c->out,
                         .x = x,
                         .gain = values_of(weight_of(c)),
                         .y_stride = stride,
                         .x_stride = stride,
                         .columns = columns,
                         .heads = heads,
                         .tokens = rows,
                         .eps = eps};
  return c->d->api->norm(c->d->device, &work, c->err);
}

static zh_status norm_rows(const call *c) {
  size_t rows = c->layer < 0 ? c->p->wanted : c->p->tokens;
  const float *x = c->layer < 0 ? c->d->last : c->in;
  return norm(c, x, c->in_width, 1, c->in_width, rows, c->a->norm_eps);
}

static zh_status norm_heads(const call *c) {
  size_t d = c->a->head_dim;
  return norm(c, c->in, d, c->in_width / d, c->in_width, c->p->tokens, c->a->norm_eps);
}

/* Of as many numbers as there are gains; the rest is copied. */
static zh_status norm_latents(const call *c) {
  size_t normed = weight_of(c)->matrix.columns, width = c->in_width;
  if (normed < width) {
    zh_device_slices rest = {c->out + normed, c->in + normed, width,
                             width,           width - normed, c->p->tokens};
    ZH_TRY(c->d->api->slices(c->d->device, &rest, c->err));
  }
  return norm(c, c->in, normed, 1, width, c->p->tokens, ZH_LATENT_NORM_EPS);
}

static zh_status turn(const call *c) {
  const zh_architecture *a = c->a;
  uint32_t layer = (uint32_t)c->layer;
  const zh_rope *rope = zh_layer_rope(a, layer);
  bool latent = a->attention == ZH_ATTENTION_LATENT;
  if (!zh_layer_turns(a, layer)) return ZH_OK;
  zh_device_rope work = {.x = c->out,
                         .x_stride = c->out_width,
                         .heads = c->out_width / zh_key_dim(a),
                         .head_dim = zh_key_dim(a),
                         .dims = rope->dims,
                         .tokens = c->p->tokens,
                         .offset = latent ? a->latent.kv_rank : 0,
                         .interleaved = rope->kind == ZH_ROPE_PAIRS,
                         .frequency = c->d->frequency[rope - a->rope],
                         .factor = rope->attention_factor == 0 ? 1 : rope->attention_factor,
                         .position = c->d->tokens.position};
  return c->d->api->rope(c->d->device, &work, c->err);
}

static zh_status activate(const call *c) {
  static const zh_device_activation kinds[] = {[ZH_ACTIVATION_SILU] = ZH_DEVICE_SILU,
                                               [ZH_ACTIVATION_GELU] = ZH_DEVICE_GELU,
                                               [ZH_ACTIVATION_GELU_TANH] = ZH_DEVICE_GELU_TANH,
                                               [ZH_ACTIVATION_CLAMPED] = ZH_DEVICE_CLAMPED};
  zh_device_activate work = {.y = c->out,
                             .gate = c->in,
                             .up = c->second,
                             .columns = c->in_width,
                             .tokens = zh_device_rows_of(c->p, c->is->in),
                             .gate_stride = c->in_stride,
                             .up_stride = c->second_stride,
                             .kind = kinds[c->a->activation],
                             .limit = c->a->activation_limit};
  if (zh_value_is_of_choices(c->is->in) && c->p->e->weights.whole_experts) {
    work.lists = c->d->lists; /* of what other ranks compute nothing is here */
    work.experts = c->p->e->weights.experts_here;
  }
  return c->d->api->activate(c->d->device, &work, c->err);
}

static zh_status add(const call *c) {
  return c->d->api->add(c->d->device, c->out, c->second, zh_factor(c->a->residual_scale),
                        c->p->tokens * c->out_width, c->err);
}

/* --- products --- */

static zh_status multiply(const call *c, float *y, const zh_weight *w, const zh_weight *bias,
                          const float *x, size_t tokens) {
  const float *biases[] = {values_of(bias)};
  zh_device_product work = {.y = y,
                            .y_stride = w->matrix.rows,
                            .matrices = &w->laid->matrix,
                            .biases = biases[0] ? biases : NULL,
                            .count = 1,
                            .x = x,
                            .x_stride = w->matrix.columns,
                            .tokens = tokens,
                            .factor = 1,
                            .way = c->p->way};
  return c->d->api->product(c->d->device, &work, c->err);
}

/* Each choice of a token by its own expert, where that is here. */
static zh_status multiply_choices(const call *c) {
  const zh_weights *weights = &c->p->e->weights;
  bool down = c->is->out == ZH_VALUE_EXPERT;
  zh_expert_slot slot = down                                 ? ZH_EXPERT_DOWN
                        : c->is->out == ZH_VALUE_EXPERT_GATE ? ZH_EXPERT_GATE
                                                             : ZH_EXPERT_UP;
  const zh_weight *first = zh_weights_own_experts(weights, (uint32_t)c->layer);
  zh_device_matrix all = first[slot].laid->matrix;
  all.rows *= weights->experts_here;
  bool biased = !down || zh_device_adds_expert_bias(c->p->e);
  const float *biases[] = {biased ? values_of(&first[slot + (ZH_EXPERT_GATE_BIAS - ZH_EXPERT_GATE)])
                                  : NULL};
  zh_device_grouped work = {.y = c->out,
                            .y_stride = c->out_width,
                            .matrices = &all,
                            .biases = biases[0] ? biases : NULL,
                            .count = 1,
                            .x = c->in,
                            .x_stride = c->in_width,
                            .spread = !down,
                            .tokens = c->p->tokens,
                            .experts = weights->experts_here,
                            .used = c->a->experts_used,
                            .lists = c->d->lists,
                            .way = c->p->expert_way};
  return c->d->api->grouped(c->d->device, &work, c->err);
}

/* The head, as many rows at once as there is room for; and what the architecture does to logits. */
static zh_status compute_logits(const call *c) {
  zh_device_pass *p = c->p;
  size_t vocab = c->a->vocab, part = weight_of(c)->matrix.rows, most = c->d->logit_rows;
  float scale = zh_factor(c->a->logit_scale), cap = c->a->logit_softcap;
  for (size_t first = 0; first < p->wanted; first += most) {
    size_t rows = p->wanted - first < most ? p->wanted - first : most;
    float *mine = zh_device_part_of_logits(p, rows);
    ZH_TRY(multiply(c, mine, weight_of(c), NULL, c->in + first * c->in_width, rows));
    if (c->d->head_factor)
      ZH_TRY(c->d->api->scale_columns(c->d->device, mine, c->d->head_factor, rows, part, c->err));
    if (scale != 1 || cap != 0)
      ZH_TRY(c->d->api->shape_logits(c->d->device, mine, rows, part, scale, cap, c->err));
    ZH_TRY(zh_device_gather_logits(p, rows, c->err));
    if (p->logits)
      ZH_TRY(c->d->api->download(c->d->device, p->logits + first * vocab, c->out,
                                 rows * vocab * sizeof(float), c->err));
  }
  return ZH_OK;
}

static zh_status multiply_any(const call *c) {
  if (c->layer < 0) return compute_logits(c);
  if (zh_value_is_of_choices(c->is->out)) return multiply_choices(c);
  return multiply(c, c->out, weight_of(c), zh_device_bias(c->p, c->is, c->layer), c->in,
                  c->p->tokens);
}

/* Each head its own rows, by what its part of the input begins with; where the output has more
 * room, the rest of the input is copied there. */
static zh_status multiply_heads(const call *c) {
  const zh_weight *w = weight_of(c);
  size_t heads = c->a->heads, each = w->head_rows, columns = w->matrix.columns,
         from = c->in_width / heads, to = c->out_width / heads;
  zh_device_head_product work = {.y = c->out,
                                 .y_stride = c->out_width,
                                 .y_head = to,
                                 .matrix = w->laid->matrix,
                                 .x = c->in,
                                 .x_stride = c->in_width,
                                 .x_head = from,
                                 .heads = heads,
                                 .tokens = c->p->tokens,
                                 .way = c->p->way};
  ZH_TRY(c->d->api->head_product(c->d->device, &work, c->err));
  if (to == each) return ZH_OK;
  zh_device_slices rest = {c->out + each, c->in + columns, to,
                           from,          to - each,       c->p->tokens * heads};
  return c->d->api->slices(c->d->device, &rest, c->err);
}

/* --- experts --- */

static zh_status route(const call *c) {
  const zh_router *r = &c->a->router;
  const zh_weights *weights = &c->p->e->weights;
  static const zh_device_score scores[] = {[ZH_ROUTER_SOFTMAX] = ZH_DEVICE_SOFTMAX,
                                           [ZH_ROUTER_SIGMOID] = ZH_DEVICE_SIGMOID,
                                           [ZH_ROUTER_SOFTMAX_CHOSEN] = ZH_DEVICE_SOFTMAX_CHOSEN};
  zh_device_route work = {.choice = c->d->choice,
                          .weight = c->out,
                          .lists = c->d->lists,
                          .logits = c->in,
                          .tokens = c->p->tokens,
                          .experts = c->a->experts,
                          .used = c->a->experts_used,
                          .first = weights->first_expert,
                          .here = weights->experts_here,
                          .ranks = zh_device_expert_ranks(c->p->e),
                          .groups = r->groups,
                          .groups_used = r->groups_used,
                          .score = scores[r->score],
                          .best_two = r->group_score == ZH_GROUP_BEST_TWO,
                          .renormalise = r->renormalise,
                          .scale = r->scale,
                          .bias = values_of(&c->weight[ZH_ROUTER_BIAS]),
                          .selection_bias = values_of(&c->weight[ZH_ROUTER_SELECTION_BIAS]),
                          .counted = c->d->counted + ZH_COUNTS * (size_t)c->layer};
  ZH_TRY(c->d->api->route(c->d->device, &work, c->err));
  return zh_device_lose_choices(c->p, c->layer, c->err);
}

static zh_status combine(const call *c) {
  zh_device_combine work = {.y = c->out,
                            .x = c->in,
                            .weight = c->d->value[ZH_VALUE_ROUTED],
                            .shared = c->a->shared_ffn ? c->second : NULL,
                            .score = c->a->shared_gated ? c->d->value[ZH_VALUE_SHARED_SCORE] : NULL,
                            .columns = c->out_width,
                            .tokens = c->p->tokens,
                            .used = c->a->experts_used};
  if (c->p->e->weights.whole_experts) {
    work.choice = c->d->choice;
    work.first = c->p->e->weights.first_expert;
    work.here = c->p->e->weights.experts_here;
  }
  return c->d->api->combine(c->d->device, &work, c->err);
}

/* --- attention --- */

/* Tokens [first, end) into the cache. */
static zh_status store_some(const call *c, size_t first, size_t end) {
  const zh_device_engine *d = c->d;
  size_t k_stride, v_stride;
  const float *k = zh_device_value_at(c->p, ZH_VALUE_KEY, &k_stride),
              *v = zh_device_value_at(c->p, ZH_VALUE_VALUE, &v_stride);
  if (first >= end) return ZH_OK;
  zh_device_store work = {.kv = zh_device_cache_of(c->p->e, (size_t)c->layer),
                          .k = k + first * k_stride,
                          .k_stride = k_stride,
                          .v_stride = v_stride,
                          .tokens = end - first,
                          .position = d->tokens.position + first,
                          .sequence = d->tokens.sequence + first};
  if (work.kv.values) work.v = v + first * v_stride;
  return d->api->store(d->device, &work, c->err);
}

/* By an injected fault one token is not stored. */
static zh_status store(const call *c) {
  const zh_tamper *t = &c->p->e->tamper;
  size_t tokens = c->p->tokens, lost = tokens;
  if (t->kind == ZH_TAMPER_STALE && t->layer == (uint32_t)c->layer) lost = t->element % tokens;
  ZH_TRY(store_some(c, 0, lost));
  return store_some(c, lost + 1, tokens);
}

static zh_status attend(const call *c) {
  zh_device_attention work = zh_device_attention_of(c->p->e, (size_t)c->layer, c->p->tokens);
  ZH_TRY(store(c));
  ZH_TRY(zh_device_flip_cached(c->p, c->layer, c->err));
  work.out = c->out;
  work.q = c->in;
  work.position = c->d->tokens.position;
  work.sequence = c->d->tokens.sequence;
  work.sinks = values_of(&c->weight[ZH_ATTN_SINKS]);
  work.slopes = c->d->slopes;
  work.scratch = c->d->scratch;
  work.way = zh_attention_way(c->a, c->p->way);
  return c->d->api->attention(c->d->device, &work, c->err);
}

/* --- the list --- */

zh_status zh_device_run_instruction(zh_device_pass *p, const zh_instruction *is, int layer,
                                    zh_error *err) {
  static zh_status (*const does[ZH_OPERATORS])(const call *) = {[ZH_OP_EMBEDDING] = embed,
                                                                [ZH_OP_RMSNORM] = norm_rows,
                                                                [ZH_OP_HEAD_NORM] = norm_heads,
                                                                [ZH_OP_MATMUL] = multiply_any,
                                                                [ZH_OP_ROPE] = turn,
                                                                [ZH_OP_ATTENTION] = attend,
                                                                [ZH_OP_ACTIVATION] = activate,
                                                                [ZH_OP_ADD] = add,
                                                                [ZH_OP_ROUTE] = route,
                                                                [ZH_OP_COMBINE] = combine,
                                                                [ZH_OP_LATENT_NORM] = norm_latents,
                                                                [ZH_OP_HEAD_MATMUL] =
                                                                    multiply_heads};
  const zh_architecture *a = &p->e->architecture;
  call c = {.p = p,
            .d = p->d,
            .a = a,
            .is = is,
            .layer = layer,
            .weight = layer < 0 ? NULL : zh_weights_layer(&p->e->weights, (uint32_t)layer),
            .in_width = zh_value_width(a, is->in),
            .out_width = zh_value_width(a, is->out),
            .err = err};
  size_t unused;
  c.in = zh_device_value_at(p, is->in, &c.in_stride);
  c.second = zh_device_value_at(p, is->second, &c.second_stride);
  c.out = zh_device_value_at(p, is->out, &unused);
  p->d->api->mark(p->d->device, is->name, zh_device_layer_of_model(p, layer));
  ZH_TRY(does[is->op](&c));
  bool struck = layer >= 0 && is->weight == ZH_ATTN_OUTPUT;
  return struck ? zh_device_lose_tile(p, layer, err) : ZH_OK;
}

/* By an injected fault. */
bool zh_device_is_left_out(const zh_engine *e, int layer) {
  return layer >= 0 && ((uint32_t)layer >= e->architecture.layers - e->layers_left_out ||
                        (e->tamper.kind == ZH_TAMPER_LAYER && e->tamper.layer == (uint32_t)layer));
}

/* Rows whose logits are wanted, before the last norm. */
static zh_status gather(zh_device_pass *p, zh_error *err) {
  zh_device_engine *d = p->d;
  d->api->mark(d->device, "gathering", -1);
  return d->api->gather(d->device, d->last, d->value[ZH_VALUE_X], d->tokens.wanted, p->wanted,
                        p->e->architecture.hidden, err);
}

/* The operator and its layer are in the message already. */
static zh_status say_shape(const zh_device_pass *p, const zh_instruction *is, size_t rows,
                           zh_status status, zh_error *err) {
  const zh_architecture *a = &p->e->architecture;
  if (status != ZH_OK)
    zh_error_prefix(err, "%s, %zu rows of %zu numbers to %zu", is->name, rows,
                    zh_value_width(a, is->in), zh_value_width(a, is->out));
  return status;
}

/* What the ranks that divide heads and columns add up behind an instruction. */
static zh_status sum_over_ranks(zh_device_pass *p, const zh_instruction *is, int layer,
                                zh_error *err) {
  bool sums = is->op == ZH_OP_EMBEDDING || is->out == ZH_VALUE_DELTA;
  return sums ? zh_device_sum_parts(p, p->d->value[is->out], layer, err) : ZH_OK;
}

static zh_status run_unobserved(zh_device_pass *p, size_t i, size_t *taken, zh_error *err) {
  int layer;
  const zh_instruction *is = zh_program_at(&p->d->program, i, &layer);
  ZH_TRY(zh_device_run_joined(p, i, taken, err));
  return *taken == 1 ? sum_over_ranks(p, is, layer, err) : ZH_OK;
}

zh_status zh_device_enqueue(zh_device_pass *p, zh_error *err) {
  const zh_program *program = &p->d->program;
  bool looks_up = p->e->weights.whole[ZH_EMBEDDING].tensor != NULL; /* not where states come in */
  size_t end = zh_program_length(program, p->wanted > 0), head = program->begin[program->layers];
  ZH_TRY(zh_device_take_states(p, err));
  for (size_t i = looks_up ? 0 : 1, taken; i < end; i += taken) {
    int layer;
    const zh_instruction *is = zh_program_at(program, i, &layer);
    taken = 1;
    if (zh_device_is_left_out(p->e, layer)) continue;
    if (i == head) ZH_TRY(gather(p, err));
    zh_status status = p->e->observer ? zh_device_run_observed(p, is, layer, err)
                                      : run_unobserved(p, i, &taken, err);
    ZH_TRY(say_shape(p, is, i < head ? zh_device_rows_of(p, is->out) : p->wanted, status, err));
    if (is->weight == ZH_ATTN_NORM && layer >= 0) /* nobody reads x here */
      ZH_TRY(zh_device_flip_activation(p, layer, err));
  }
  return zh_device_give_states(p, err);
}

/* --- a call --- */

static bool wants(const zh_device_pass *p, size_t t) {
  return p->want ? p->want[t] : p->ends && t + 1 == p->tokens;
}

/* Tokens, positions, sequences, and the rows that are wanted; [4][tokens] in the staging memory. */
static zh_status send_tokens(zh_device_pass *p, zh_error *err) {
  zh_device_engine *d = p->d;
  size_t bytes = p->tokens * sizeof(uint32_t), wanted = 0;
  uint32_t *at = (uint32_t *)(void *)d->staging, *rows = at + 3 * p->tokens;
  const uint32_t *from[] = {p->token, p->position, p->sequence};
  uint32_t *to[] = {d->tokens.token, d->tokens.position, d->tokens.sequence};
  for (int i = 0; i < 3; ++i) {
    memcpy(at + (size_t)i * p->tokens, from[i], bytes);
    ZH_TRY(d->api->upload(d->device, to[i], at + (size_t)i * p->tokens, bytes, err));
  }
  for (size_t t = 0; t < p->tokens; ++t) d->computed[p->sequence[t]] = p->position[t] + 1;
  for (size_t t = 0; t < p->tokens; ++t)
    if (wants(p, t)) rows[wanted++] = (uint32_t)t;
  p->wanted = p->keeps_logits && zh_engine_has_head(p->e) ? wanted : 0;
  if (wanted == 0) return ZH_OK;
  return d->api->upload(d->device, d->tokens.wanted, rows, wanted * sizeof *rows, err);
}

static zh_status run_pass(zh_device_pass *p, zh_error *err) {
  p->d->api->mark(p->d->device, "copying tokens", -1);
  p->d->exchanged = 0;
  ZH_TRY(send_tokens(p, err));
  ZH_TRY(zh_device_enqueue(p, err));
  return zh_device_wait(p->d, err);
}

/* What failed was this pass: its operator and layer are in the message already. A device that was
 * there and is not is no lack of the machine's, but stops the run, to be resumed. */
static zh_status say_pass(const zh_device_pass *p, zh_status status, zh_error *err) {
  if (status == ZH_OK) return ZH_OK;
  zh_error_prefix(err, "%zu token%s from position %" PRIu32 " on", p->tokens,
                  p->tokens == 1 ? "" : "s", p->position[0]);
  if (status != ZH_ERR_LACKING) return status;
  if (err) err->status = ZH_ERR_IO;
  return ZH_ERR_IO;
}

static zh_status forward_here(zh_engine *e, const uint32_t *token, const uint32_t *position,
                              const uint32_t *sequence, size_t count, const bool *want,
                              float *logits, size_t *done, zh_error *err) {
  zh_device_engine *d = e->device;
  size_t most = zh_engine_tokens_at_once(e, count);
  if (d->late.status != ZH_OK) return zh_fail(err, d->late.status, "%s", d->late.message);
  for (; *done < count; *done += most) {
    size_t at = *done, tokens = count - at < most ? count - at : most;
    zh_device_pass p = {.e = e,
                        .d = d,
                        .token = token + at,
                        .position = position + at,
                        .sequence = sequence + at,
                        .tokens = tokens,
                        .way = e->way_is_set ? e->way : zh_way_of(count),
                        .expert_way =
                            e->way_is_set ? e->expert_way : zh_expert_way(&e->architecture, count),
                        .want = want ? want + at : NULL,
                        .ends = at + tokens == count,
                        .keeps_logits = logits != NULL,
                        .logits = logits};
    ZH_TRY(say_pass(&p, run_pass(&p, err), err));
    e->tamper.kind = ZH_TAMPER_NONE;
    if (logits) logits += p.wanted * e->architecture.vocab;
  }
  return ZH_OK;
}

/* What fails on one rank fails on all that compute the model with it. */
zh_status zh_device_forward(zh_engine *e, const uint32_t *token, const uint32_t *position,
                            const uint32_t *sequence, size_t count, const bool *want, float *logits,
                            zh_error *err) {
  size_t done = 0;
  e->device->exchanged = 0;
  zh_status status = forward_here(e, token, position, sequence, count, want, logits, &done, err);
  if (status != ZH_OK) zh_device_sit_out(e, count - done, zh_engine_tokens_at_once(e, count));
  ZH_TRY(zh_device_agree(e, status, err));
  zh_engine_mark_nothing(e);
  return ZH_OK;
}
