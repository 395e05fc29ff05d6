/* A model cut for several ranks.
 *
 * Into parts, so that two sums a layer tie them together: rows of q, k, v, gate and up (whole
 * heads, columns of the FFN), and the columns of attn_output and ffn_down that multiply them. The
 * vocabulary is divided by rows, of the embedding as of the head. Of latent attention each rank
 * makes all latents, and has the rows of its heads. Experts are divided like that, or whole ones go
 * to the ranks (expert_shares.h); the router stays whole, what all tokens share is always divided:
 * every token needs it, so that no rank has more of it than another.
 *
 * Into stages: layers that follow each other, so many that the stages read about the same bytes. */
#include <inttypes.h>
#include <string.h>

#include "bench/engine/expert_shares.h"

static zh_status check_columns(const char *model, const char *what, uint32_t columns,
                               uint32_t parts, zh_error *err) {
  if (columns % parts == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: %" PRIu32 " columns of %s cannot be divided evenly among %" PRIu32
                 " ranks; take a number of ranks that divides them",
                 model, columns, what, parts);
}

/* Rows of the vocabulary are shared out in whole groups of packed rows; on a device in whole blocks
 * that have one scale. */
size_t zh_weights_vocab_grain(const zh_weights *weights) {
  const zh_weight *w = &weights->whole[weights->whole[ZH_HEAD].tensor ? ZH_HEAD : ZH_EMBEDDING];
  bool blocks = weights->elsewhere && w->tensor && w->source->stored->type == ZH_F8_E4M3;
  return blocks ? ZH_STANDARD_BLOCK : ZH_PACKED_ROWS;
}

static zh_status check_experts(const char *model, const zh_architecture *a, zh_part part,
                               bool whole, zh_error *err) {
  if (a->experts == 0) return ZH_OK;
  if (!whole) return check_columns(model, "each expert", a->expert_ffn, (uint32_t)part.parts, err);
  if (a->experts >= (uint32_t)part.parts) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: %" PRIu32
                 " experts cannot be shared out whole among %d ranks; take no more ranks than "
                 "experts, or experts: columns",
                 model, a->experts, part.parts);
}

/* Divides unless some part would end inside a head that several share. */
static zh_status check_heads(const char *model, const zh_architecture *a, zh_part part,
                             bool whole_experts, size_t vocab_grain, zh_error *err) {
  uint32_t parts = (uint32_t)part.parts;
  if (a->heads % parts != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %" PRIu32 " query heads cannot be divided evenly among %" PRIu32
                   " ranks; take a number of ranks that divides them",
                   model, a->heads, parts);
  }
  if (a->kv_heads % parts != 0 && parts % a->kv_heads != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %" PRIu32 " key heads and %" PRIu32
                   " ranks: one of the two numbers must divide the other",
                   model, a->kv_heads, parts);
  }
  ZH_TRY(check_columns(model, "the feed-forward layer", a->ffn, parts, err));
  ZH_TRY(check_experts(model, a, part, whole_experts, err));
  ZH_TRY(check_columns(model, "the shared experts", a->shared_ffn, parts, err));
  if (a->vocab / vocab_grain < parts) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: a vocabulary of %" PRIu32 " tokens is too small for %" PRIu32 " ranks",
                   model, a->vocab, parts);
  }
  return ZH_OK;
}

/* Slots that are empty stay so. */
static void cut_rows(zh_weight *w, size_t first, size_t rows) {
  if (!w->tensor) return;
  w->first_row = first;
  w->matrix.rows = rows;
  if (w->tensor->data)
    w->matrix.data = (const unsigned char *)w->tensor->data + zh_weight_offset(w, 0);
}

static zh_status cut_columns(zh_weight *w, const char *model, size_t first, size_t columns,
                             zh_part part, zh_error *err) {
  if (!w->tensor) return ZH_OK;
  const zh_dtype_info *type = zh_dtype_find((uint32_t)w->tensor->type);
  if (columns % type->block_elements != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' cut for %d ranks would have %zu columns, which are no whole "
                   "blocks of %" PRIu32 " of its type %s",
                   model, w->tensor->name, part.parts, columns, type->block_elements, type->name);
  }
  w->first_column = first;
  w->matrix.columns = columns;
  if (w->tensor->data)
    w->matrix.data = (const unsigned char *)w->tensor->data + zh_weight_offset(w, 0);
  return ZH_OK;
}

typedef struct cut {
  size_t query, query_first, key, key_first, attended, attended_first, ffn, ffn_first, heads,
      heads_first;
  size_t expert, expert_first, shared, shared_first; /* columns of their FFN */
} cut;

/* What is added to rows is divided as they are; what is added to a sum over the ranks stays whole,
 * and the first of them adds it. */
static zh_status cut_vectors(zh_weight *w, const char *model, const cut *c, zh_part part,
                             zh_error *err) {
  const struct {
    zh_layer_slot slot;
    size_t first, count;
  } vectors[] = {
      {ZH_ATTN_Q_BIAS, c->query_first, c->query}, {ZH_ATTN_K_BIAS, c->key_first, c->key},
      {ZH_ATTN_V_BIAS, c->key_first, c->key},     {ZH_ATTN_SINKS, c->heads_first, c->heads},
      {ZH_FFN_GATE_BIAS, c->ffn_first, c->ffn},   {ZH_FFN_UP_BIAS, c->ffn_first, c->ffn}};
  for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; ++i)
    ZH_TRY(cut_columns(&w[vectors[i].slot], model, vectors[i].first, vectors[i].count, part, err));
  return ZH_OK;
}

/* Of latent attention; what leads to the latents stays whole. */
static void cut_heads(zh_weight *w, const cut *c) {
  cut_rows(w, c->heads_first * w->head_rows, c->heads * w->head_rows);
}

static zh_status cut_layer(zh_weight *w, const char *model, const cut *c, zh_part part,
                           zh_error *err) {
  cut_rows(&w[ZH_ATTN_Q], c->query_first, c->query);
  cut_rows(&w[ZH_ATTN_K], c->key_first, c->key);
  cut_rows(&w[ZH_ATTN_V], c->key_first, c->key);
  cut_rows(&w[ZH_FFN_GATE], c->ffn_first, c->ffn);
  cut_rows(&w[ZH_FFN_UP], c->ffn_first, c->ffn);
  cut_rows(&w[ZH_SHARED_GATE], c->shared_first, c->shared);
  cut_rows(&w[ZH_SHARED_UP], c->shared_first, c->shared);
  ZH_TRY(cut_columns(&w[ZH_SHARED_DOWN], model, c->shared_first, c->shared, part, err));
  ZH_TRY(cut_vectors(w, model, c, part, err));
  cut_rows(&w[ZH_LATENT_Q_UP], c->query_first, c->query);
  cut_heads(&w[ZH_LATENT_K_UP], c);
  cut_heads(&w[ZH_LATENT_V_UP], c);
  ZH_TRY(cut_columns(&w[ZH_ATTN_OUTPUT], model, c->attended_first, c->attended, part, err));
  return cut_columns(&w[ZH_FFN_DOWN], model, c->ffn_first, c->ffn, part, err);
}

/* The router stays whole, so that all ranks choose alike. */
static zh_status cut_expert(zh_weight *w, const char *model, const cut *c, zh_part part,
                            zh_error *err) {
  cut_rows(&w[ZH_EXPERT_GATE], c->expert_first, c->expert);
  cut_rows(&w[ZH_EXPERT_UP], c->expert_first, c->expert);
  ZH_TRY(cut_columns(&w[ZH_EXPERT_GATE_BIAS], model, c->expert_first, c->expert, part, err));
  ZH_TRY(cut_columns(&w[ZH_EXPERT_UP_BIAS], model, c->expert_first, c->expert, part, err));
  return cut_columns(&w[ZH_EXPERT_DOWN], model, c->expert_first, c->expert, part, err);
}

/* Those of other ranks are not here. */
static void share_experts(zh_weights *weights, zh_part part) {
  uint32_t experts = weights->architecture.experts;
  zh_expert_share share = zh_expert_share_of(experts, part.index, part.parts);
  weights->whole_experts = true;
  weights->first_expert = share.first;
  weights->experts_here = share.count;
  for (uint32_t layer = 0; layer < weights->architecture.layers; ++layer)
    for (uint32_t e = 0; e < experts; ++e)
      if (!zh_weights_have_expert(weights, e))
        memset(zh_weights_expert(weights, layer, e), 0, ZH_EXPERT_SLOTS * sizeof *weights->expert);
}

static zh_status cut_experts(zh_weights *weights, const cut *c, zh_part part, zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  const char *model = zh_model_name(weights->model);
  for (uint32_t layer = 0; layer < a->layers; ++layer)
    for (uint32_t e = 0; zh_layer_is(a, layer, ZH_LAYER_EXPERTS) && e < a->experts; ++e)
      ZH_TRY(cut_expert(zh_weights_expert(weights, layer, e), model, c, part, err));
  return ZH_OK;
}

/* --- stages --- */

static uint64_t layer_bytes(const zh_weights *weights, uint32_t layer) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (zh_weights_at(weights, i)->layer == (int)layer)
      bytes += zh_weights_at(weights, i)->tensor->bytes;
  return bytes;
}

/* The layer where a stage begins: the one nearest to its share of the bytes, the head's included,
 * with a layer at least for every stage. */
static uint32_t begin_of(const zh_weights *weights, int stage, int stages) {
  uint32_t layers = weights->total.layers, layer = 0;
  uint64_t total = weights->whole[ZH_HEAD].tensor->bytes, before = 0;
  for (uint32_t l = 0; l < layers; ++l) total += layer_bytes(weights, l);
  if (stage == stages) return layers;
  for (int s = 1; s <= stage; ++s) {
    double wanted = (double)total / stages * s;
    uint32_t least = layer + 1, most = layers - (uint32_t)(stages - s);
    while (layer < most &&
           (layer < least || (double)before + (double)layer_bytes(weights, layer) / 2 < wanted))
      before += layer_bytes(weights, layer++);
  }
  return layer;
}

static zh_status cut_stage(zh_weights *weights, zh_part part, zh_error *err) {
  zh_architecture *a = &weights->architecture;
  if (part.stages <= 1) return ZH_OK;
  if (a->layers < (uint32_t)part.stages) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %" PRIu32 " layers cannot be divided among %d stages; take %" PRIu32
                   " or fewer",
                   zh_model_name(weights->model), a->layers, part.stages, a->layers);
  }
  uint32_t begin = begin_of(weights, part.stage, part.stages),
           end = begin_of(weights, part.stage + 1, part.stages);
  memmove(weights->layer, weights->layer + (size_t)begin * ZH_LAYER_SLOTS,
          (size_t)(end - begin) * ZH_LAYER_SLOTS * sizeof *weights->layer);
  if (weights->expert)
    memmove(zh_weights_expert(weights, 0, 0), zh_weights_expert(weights, begin, 0),
            (size_t)(end - begin) * a->experts * ZH_EXPERT_SLOTS * sizeof *weights->expert);
  memmove(a->layer, a->layer + begin, end - begin);
  weights->first_layer = begin;
  a->layers = end - begin;
  if (part.stage > 0) weights->whole[ZH_EMBEDDING] = (zh_weight){0};
  if (part.stage + 1 == part.stages) return ZH_OK;
  weights->whole[ZH_OUTPUT_NORM] = (zh_weight){0};
  weights->whole[ZH_HEAD] = (zh_weight){0};
  return ZH_OK;
}

static zh_status cut_parts(zh_weights *weights, zh_part part, zh_error *err) {
  zh_architecture *a = &weights->architecture;
  const char *model = zh_model_name(weights->model);
  uint32_t parts = (uint32_t)part.parts, index = (uint32_t)part.index;
  size_t grain = zh_weights_vocab_grain(weights);
  bool whole = zh_experts_lie_whole(weights, part);
  ZH_TRY(check_heads(model, a, part, whole, grain, err));
  uint32_t kv_heads = a->kv_heads > parts ? a->kv_heads / parts : 1;
  size_t key_head = (size_t)index * a->kv_heads / parts;
  a->heads /= parts;
  a->kv_heads = kv_heads;
  a->ffn /= parts;
  if (!whole) a->expert_ffn /= parts;
  a->shared_ffn /= parts;
  cut c = {.query = (size_t)a->heads * a->head_dim,
           .key = (size_t)a->kv_heads * a->head_dim,
           .key_first = key_head * a->head_dim,
           .attended = (size_t)a->heads * a->value_dim,
           .ffn = a->ffn,
           .heads = a->heads,
           .expert = a->expert_ffn,
           .shared = a->shared_ffn};
  c.query_first = index * c.query;
  c.attended_first = index * c.attended;
  c.ffn_first = index * c.ffn;
  c.heads_first = index * c.heads;
  c.expert_first = index * c.expert;
  c.shared_first = index * c.shared;
  for (uint32_t layer = 0; layer < a->layers; ++layer)
    ZH_TRY(cut_layer(zh_weights_layer(weights, layer), model, &c, part, err));
  if (whole)
    share_experts(weights, part);
  else
    ZH_TRY(cut_experts(weights, &c, part, err));
  size_t begin, end;
  zh_share(&begin, &end, a->vocab, grain, part.index, part.parts);
  if (weights->whole[ZH_EMBEDDING].tensor)
    cut_rows(&weights->whole[ZH_EMBEDDING], begin, end - begin);
  if (weights->whole[ZH_HEAD].tensor) cut_rows(&weights->whole[ZH_HEAD], begin, end - begin);
  return ZH_OK;
}

zh_status zh_weights_cut(zh_weights *weights, zh_part part, zh_error *err) {
  ZH_TRY(cut_stage(weights, part, err));
  if (part.parts > 1) ZH_TRY(cut_parts(weights, part, err));
  return zh_weights_list(weights, err);
}
