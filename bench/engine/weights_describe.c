/* What a model must hold by its architecture, found in the file: names, shapes and types. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/weights.h"

/* Decided by what rounding costs: docs/performance.md, "Accuracy". */
static bool is_fine(zh_weight_place place) {
  return place.layer >= 0 && place.expert < 0 && place.slot == ZH_ATTN_V;
}

static size_t head_rows(const zh_architecture *a, zh_weight_place place) {
  if (place.layer < 0 || place.expert >= 0) return 0;
  if (place.slot == ZH_LATENT_K_UP) return a->latent.kv_rank;
  return place.slot == ZH_LATENT_V_UP ? a->value_dim : 0;
}

static zh_status describe(zh_weight *out, zh_weights *weights, zh_source **next,
                          zh_weight_place place, zh_error *err) {
  zh_weight_shape shape = zh_weight_shape_of(&weights->architecture, place);
  if (!shape.needed) return ZH_OK;
  zh_source *source = (*next)++;
  ZH_TRY(zh_model_source_or_values(source, weights->model, &weights->architecture, place, err));
  const zh_tensor *t = &source->tensor;
  uint64_t row_bytes = 0;
  (void)zh_dtype_bytes(&row_bytes, t->type, shape.columns); /* whole blocks: the source holds it */
  *out = (zh_weight){.source = source, .tensor = t, .layer = place.layer, .is_norm = shape.is_norm};
  out->fine = is_fine(place);
  out->head_rows = head_rows(&weights->architecture, place);
  out->matrix =
      (zh_matrix){t->data, t->type, (size_t)shape.rows, (size_t)shape.columns, (size_t)row_bytes};
  return ZH_OK;
}

static zh_status describe_layer(zh_weights *weights, zh_source **next, uint32_t layer,
                                zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  zh_weight_place place = {(int)layer, -1, 0};
  for (; place.slot < ZH_LAYER_SLOTS; ++place.slot)
    ZH_TRY(describe(&zh_weights_layer(weights, layer)[place.slot], weights, next, place, err));
  if (!zh_layer_is(a, layer, ZH_LAYER_EXPERTS)) return ZH_OK;
  for (uint32_t e = 0; e < a->experts; ++e) {
    place.expert = (int)e;
    for (place.slot = 0; place.slot < ZH_EXPERT_SLOTS; ++place.slot)
      ZH_TRY(
          describe(&zh_weights_expert(weights, layer, e)[place.slot], weights, next, place, err));
  }
  return ZH_OK;
}

static zh_status describe_all(zh_weights *weights, zh_error *err) {
  zh_source *next = weights->sources;
  for (uint32_t layer = 0; layer < weights->architecture.layers; ++layer)
    ZH_TRY(describe_layer(weights, &next, layer, err));
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot)
    ZH_TRY(describe(&weights->whole[slot], weights, &next, (zh_weight_place){-1, -1, slot}, err));
  if (weights->architecture.tied_head) weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
  return zh_weights_list(weights, err);
}

/* Of experts a token multiplies those it is sent to; which ones a step reads, the step decides. */
static void add_up(zh_weights *weights) {
  const zh_architecture *a = &weights->architecture;
  const zh_weight *first = weights->expert,
                  *end = first ? zh_weights_expert(weights, a->layers, 0) : NULL;
  uint64_t routed = 0;
  weights->total.architecture = *a;
  weights->total.layers = a->layers;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    bool looked_up = w == &weights->whole[ZH_EMBEDDING] && !a->tied_head;
    bool is_routed = first && w >= first && w < end;
    uint64_t less = w->fp8.rows ? w->tensor->bytes - zh_weight_fp8_bytes(w) : 0;
    if (is_routed) {
      weights->total.expert_bytes += w->tensor->bytes;
      weights->total.expert_fp8_less += less;
    } else if (!looked_up) {
      weights->total.step_bytes += w->tensor->bytes;
      weights->total.step_fp8_less += less;
    }
    if (w->layer < 0 || w->tensor->dims != 2) continue;
    if (is_routed)
      routed += 2 * w->tensor->elements;
    else
      weights->total.flops_per_token += 2 * w->tensor->elements;
  }
  if (a->experts) weights->total.flops_per_token += routed / a->experts * a->experts_used;
}

/* What the description may say and the engine does not compute yet. */
static zh_status refuse(const zh_architecture *a, const char *model, zh_error *err) {
  const struct {
    bool is;
    const char *what;
  } missing[] = {{a->norm == ZH_NORM_LAYER, "LayerNorm"},
                 {!a->norm_before.attention || !a->norm_before.ffn, "layers without a norm first"}};
  for (size_t i = 0; i < sizeof missing / sizeof missing[0]; ++i)
    if (missing[i].is)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: the architecture '%s' has %s, which this version does "
                     "not compute",
                     model, a->family, missing[i].what);
  return ZH_OK;
}

/* Bounds the tables by what the file really holds. */
static zh_status allocate(zh_weights *weights, zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  const char *model = zh_model_name(weights->model);
  size_t experts = 0;
  if (a->layers > zh_model_tensor_count(weights->model))
    return zh_fail(err, ZH_ERR_INPUT, "%s: %" PRIu32 " layers but only %zu tensors", model,
                   a->layers, zh_model_tensor_count(weights->model));
  for (uint32_t l = 0; l < a->layers; ++l)
    if (zh_layer_is(a, l, ZH_LAYER_EXPERTS)) experts = (size_t)a->experts * ZH_EXPERT_SLOTS;
  weights->layer = calloc((size_t)a->layers * ZH_LAYER_SLOTS, sizeof *weights->layer);
  if (experts) weights->expert = calloc(a->layers * experts, sizeof *weights->expert);
  weights->sources =
      calloc(a->layers * (ZH_LAYER_SLOTS + experts) + ZH_MODEL_SLOTS, sizeof *weights->sources);
  if (weights->layer && weights->sources && (weights->expert || !experts)) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tensor table");
}

zh_status zh_weights_describe(zh_weights *out, const zh_model *model, zh_error *err) {
  *out = (zh_weights){.model = model};
  ZH_TRY(zh_model_architecture(&out->architecture, model, err));
  ZH_TRY(refuse(&out->architecture, zh_model_name(model), err));
  out->experts_here = out->architecture.experts;
  zh_status status = allocate(out, err);
  if (status == ZH_OK) status = describe_all(out, err);
  if (status == ZH_OK) zh_weights_find_fp8(out);
  if (status == ZH_OK) add_up(out);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}
