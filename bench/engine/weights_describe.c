/* What a model must hold by its architecture, found in the file: names, shapes and types. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/weights.h"

/* Which side of a matrix has which size. */
typedef enum size_of { HIDDEN, QUERY, KEY, FFN, VOCAB, ONE } size_of;
typedef struct expected {
  const char *name;
  size_of rows, columns;
} expected;

static const expected layer_tensors[ZH_LAYER_SLOTS] = {
    [ZH_ATTN_NORM] = {"attn_norm.weight", ONE, HIDDEN},
    [ZH_ATTN_Q] = {"attn_q.weight", QUERY, HIDDEN},
    [ZH_ATTN_K] = {"attn_k.weight", KEY, HIDDEN},
    [ZH_ATTN_V] = {"attn_v.weight", KEY, HIDDEN},
    [ZH_ATTN_OUTPUT] = {"attn_output.weight", HIDDEN, QUERY},
    [ZH_FFN_NORM] = {"ffn_norm.weight", ONE, HIDDEN},
    [ZH_FFN_GATE] = {"ffn_gate.weight", FFN, HIDDEN},
    [ZH_FFN_UP] = {"ffn_up.weight", FFN, HIDDEN},
    [ZH_FFN_DOWN] = {"ffn_down.weight", HIDDEN, FFN},
};
/* zh_weight's: chosen by what rounding costs, docs/performance.md, "Accuracy". */
static const bool is_fine[ZH_LAYER_SLOTS] = {[ZH_ATTN_V] = true};
static const expected model_tensors[ZH_MODEL_SLOTS] = {
    [ZH_EMBEDDING] = {"token_embd.weight", VOCAB, HIDDEN},
    [ZH_OUTPUT_NORM] = {"output_norm.weight", ONE, HIDDEN},
    [ZH_HEAD] = {"output.weight", VOCAB, HIDDEN},
};

static uint64_t extent(const zh_architecture *a, size_of size) {
  switch (size) {
  case HIDDEN:
    return a->hidden;
  case QUERY:
    return (uint64_t)a->heads * a->head_dim;
  case KEY:
    return (uint64_t)a->kv_heads * a->head_dim;
  case FFN:
    return a->ffn;
  case VOCAB:
    return a->vocab;
  default:
    return 1;
  }
}

static zh_status describe(zh_weight *out, const zh_weights *weights, const char *name,
                          const expected *want, zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  const char *model = zh_model_name(weights->model);
  const zh_tensor *t = zh_model_find(weights->model, name);
  if (!t) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' is missing; a llama model of %" PRIu32 " layers has one", model,
                   name, a->layers);
  }
  uint64_t rows = extent(a, want->rows), columns = extent(a, want->columns);
  bool vector = want->rows == ONE;
  bool fits = vector ? t->dims == 1 && t->shape[0] == columns
                     : t->dims == 2 && t->shape[0] == rows && t->shape[1] == columns;
  if (!fits && vector) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have %" PRIu64 " elements, as the architecture says",
                   model, name, columns);
  }
  if (!fits) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have %" PRIu64 " rows of %" PRIu64
                   " columns, as the architecture says",
                   model, name, rows, columns);
  }
  uint64_t row_bytes = 0;
  if (!zh_dtype_is_weight(t->type) || !zh_dtype_bytes(&row_bytes, t->type, columns)) {
    const zh_dtype_info *type = zh_dtype_find((uint32_t)t->type);
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has type %s, in which rows of %" PRIu64 " cannot be computed",
                   model, name, type ? type->name : "unknown", columns);
  }
  out->tensor = t;
  out->matrix = (zh_matrix){t->data, t->type, (size_t)rows, (size_t)columns, (size_t)row_bytes};
  return ZH_OK;
}

static zh_status describe_all(zh_weights *weights, zh_error *err) {
  char name[64];
  for (uint32_t layer = 0; layer < weights->architecture.layers; ++layer) {
    for (int slot = 0; slot < ZH_LAYER_SLOTS; ++slot) {
      snprintf(name, sizeof name, "blk.%" PRIu32 ".%s", layer, layer_tensors[slot].name);
      zh_weight *out = &weights->layer[(size_t)layer * ZH_LAYER_SLOTS + (size_t)slot];
      ZH_TRY(describe(out, weights, name, &layer_tensors[slot], err));
      out->fine = is_fine[slot];
    }
  }
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot) {
    if (slot == ZH_HEAD && weights->architecture.tied_head) {
      weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
    } else {
      ZH_TRY(describe(&weights->whole[slot], weights, model_tensors[slot].name,
                      &model_tensors[slot], err));
    }
  }
  return ZH_OK;
}

static void add_up(zh_weights *weights) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  weights->total.layers = weights->architecture.layers;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    bool looked_up = w == &weights->whole[ZH_EMBEDDING] && !weights->architecture.tied_head;
    if (!looked_up) weights->total.step_bytes += w->tensor->bytes;
    if (i < in_layers && w->tensor->dims == 2)
      weights->total.flops_per_token += 2 * w->tensor->elements;
  }
}

zh_status zh_weights_describe(zh_weights *out, const zh_model *model, zh_error *err) {
  *out = (zh_weights){.model = model};
  ZH_TRY(zh_model_architecture(&out->architecture, model, err));
  const zh_architecture *a = &out->architecture;
  if (a->layers == 0 || a->hidden == 0 || a->heads == 0 || a->kv_heads == 0 || a->head_dim == 0 ||
      a->ffn == 0 || a->vocab == 0 || a->context == 0) {
    return zh_fail(err, ZH_ERR_INPUT, "%s: its architecture has a size of 0", zh_model_name(model));
  }
  if (strcmp(a->family, "llama") != 0 || a->experts != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: architecture '%s'%s is not supported yet; this version runs dense llama",
                   zh_model_name(model), a->family, a->experts ? " with experts" : "");
  }
  if (a->heads % a->kv_heads != 0 || a->rope_dims > a->head_dim || a->rope_dims % 2 != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %" PRIu32 " query heads over %" PRIu32 " key heads with %" PRIu32
                   " of %" PRIu32 " dimensions rotated cannot be computed",
                   zh_model_name(model), a->heads, a->kv_heads, a->rope_dims, a->head_dim);
  }
  if (a->layers >
      zh_model_tensor_count(model)) { /* bounds the table below by what the file really holds */
    return zh_fail(err, ZH_ERR_INPUT, "%s: %" PRIu32 " layers but only %zu tensors",
                   zh_model_name(model), a->layers, zh_model_tensor_count(model));
  }
  out->layer = calloc((size_t)a->layers * ZH_LAYER_SLOTS, sizeof *out->layer);
  zh_status status =
      out->layer ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tensor table");
  if (status == ZH_OK) status = describe_all(out, err);
  if (status == ZH_OK) add_up(out);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}
