/* Another folder or file of the same format: every tensor under its own name, whatever the model
 * is; what is packed becomes what it stands for. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "model/coded.h"
#include "model/conversion_room.h"

enum { GGUF_DIMS = 4 };

static bool is_exact(const zh_tensor *t) {
  return t->dims < 2 || zh_tensor_role_of(t) == ZH_ROLE_NORM ||
         zh_tensor_role_of(t) == ZH_ROLE_ROUTER;
}

/* raw: bit for bit, whatever it is. */
static zh_status add_whole(zh_conversion *c, const zh_tensor *from, bool raw, zh_error *err) {
  zh_converted *t;
  ZH_TRY(zh_converted_begin(&t, c, err));
  if (c->container == ZH_CONTAINER_GGUF && from->dims > GGUF_DIMS)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has more than %d lengths", from->file,
                   from->name, GGUF_DIMS);
  t->as = *from;
  t->as.data = NULL;
  t->whole = from;
  uint64_t columns = from->dims > 0 ? from->shape[from->dims - 1] : 1;
  if (!raw) ZH_TRY(zh_converted_choose_type(&t->as.type, c, from, is_exact(from), columns, err));
  ZH_TRY(zh_converted_end(c, t, err));
  t->row_bytes = from->bytes / t->rows;
  return ZH_OK;
}

/* --- packed weights of safetensors --- */

/* gpt-oss: codes "x_blocks" and scales "x_scales" of a tensor x, which lies turned round where it
 * is not packed. */
static bool is_blocks(const zh_coded *w) {
  return w->layout == ZH_CODE_BLOCKS && w->tensor.dims == 3 &&
         zh_ends_in(w->tensor.name, "_blocks");
}

/* All of it as one matrix, or one of its slices; vectors as they are. */
static zh_status set_source(zh_source *out, const zh_coded *w, uint64_t slice, uint64_t slices,
                            zh_error *err) {
  const zh_tensor *from = &w->tensor;
  uint64_t columns = from->dims > 1 ? from->shape[from->dims - 1] : 1,
           rows = from->elements / columns / slices;
  *out = (zh_source){.tensor = *from, .stored = w->codes, .coded = w, .step = 1};
  out->first = slice * rows;
  out->run = out->stride = rows;
  out->tensor.dims = from->dims > 1 ? 2 : 1;
  out->tensor.shape[0] = rows;
  out->tensor.shape[1] = columns;
  return zh_tensor_measure(&out->tensor)
             ? ZH_OK
             : zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is too large", from->file,
                       from->name);
}

/* [slices][rows][columns], packed, becomes [slices][columns][rows]. */
static void set_blocks_shape(zh_converted *t, const zh_tensor *from) {
  t->experts = from->shape[0];
  t->across = 1;
  t->as.shape[1] = from->shape[2];
  t->as.shape[2] = from->shape[1];
}

static zh_status add_coded(zh_conversion *c, const zh_coded *w, zh_error *err) {
  zh_converted *t;
  const zh_tensor *from = &w->tensor;
  if (from->elements == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has no elements", from->file,
                   from->name);
  bool blocks = is_blocks(w);
  int length = (int)strlen(from->name) - (blocks ? (int)strlen("_blocks") : 0);
  ZH_TRY(zh_converted_begin(&t, c, err));
  t->as = *from;
  t->as.name = zh_arena_printf(c->arena, "%.*s", length, from->name);
  if (blocks) set_blocks_shape(t, from);
  zh_source *parts = zh_arena_alloc(c->arena, t->experts, sizeof *parts);
  if (parts == NULL || t->as.name == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  for (uint64_t i = 0; i < t->experts; i++) ZH_TRY(set_source(&parts[i], w, i, t->experts, err));
  t->parts = parts;
  uint64_t columns = t->as.dims > 0 ? t->as.shape[t->as.dims - 1] : 1;
  ZH_TRY(zh_converted_choose_type(&t->as.type, c, from, is_exact(from), columns, err));
  ZH_TRY(zh_converted_end(c, t, err));
  t->row_bytes = parts[0].tensor.dims == 1 ? parts[0].tensor.elements * sizeof(float)
                                           : parts[0].tensor.bytes / parts[0].tensor.shape[0];
  c->unpacked |= w->layout != ZH_CODE_F64;
  return ZH_OK;
}

/* The packed weight of each tensor of codes. */
static zh_status find_codes(const zh_coded ***out, zh_conversion *c, zh_error *err) {
  const zh_coded *w;
  *out = zh_arena_alloc(c->arena, c->model->tensor_count + 1, sizeof **out);
  if (*out == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  for (size_t i = 0;; i++) {
    ZH_TRY(zh_coded_item(&w, c->model, i, err));
    if (w == NULL) return ZH_OK;
    (*out)[w->codes - c->model->tensors] = w;
    c->packed |= w->layout != ZH_CODE_F64;
  }
}

/* Scales of activations and of the KV cache, which nothing computes with that is not packed. */
static bool is_of_packing(const zh_conversion *c, const zh_tensor *t) {
  static const char *const ends[] = {".input_scale", ".output_scale",       ".k_scale",
                                     ".v_scale",     ".input_global_scale", ".input_zero_point"};
  for (size_t i = 0; c->packed && i < sizeof ends / sizeof ends[0]; i++)
    if (zh_ends_in(t->name, ends[i])) return true;
  return false;
}

/* What the model needs of its tensors, where it is known how it computes. */
static void mark_used(zh_conversion *c) {
  zh_architecture *a = &c->described.a;
  if (!c->packed || zh_model_architecture(a, c->model, NULL) != ZH_OK) return;
  c->used = zh_arena_alloc(c->arena, c->model->tensor_count + 1, sizeof *c->used);
  if (c->used != NULL && zh_sources_mark(c->used, c->model, a, NULL) != ZH_OK) c->used = NULL;
}

static zh_status add_tensor(zh_conversion *c, const zh_tensor *t, const zh_coded *w,
                            zh_error *err) {
  bool part = zh_coded_is_part(c->model, t) || is_of_packing(c, t),
       as_is = c->wanted == NULL && (c->packed || w != NULL),
       keeps = c->wanted != NULL && c->wanted->type == ZH_MXFP4;
  if (as_is) return add_whole(c, t, true, err);
  if (keeps && ((w != NULL && is_blocks(w)) || (part && zh_ends_in(t->name, "_proj_scales")))) {
    c->keeps_packed = true;
    return add_whole(c, t, true, err);
  }
  if (w != NULL) return add_coded(c, w, err);
  if (part) return ZH_OK;
  if (c->used != NULL && !c->used[t - c->model->tensors] && zh_tensor_is_idle_bias(c->model, t))
    return ZH_OK;
  return add_whole(c, t, false, err);
}

zh_status zh_conversion_copy_tensors(zh_conversion *c, zh_error *err) {
  const zh_coded **codes;
  ZH_TRY(find_codes(&codes, c, err));
  mark_used(c);
  for (size_t i = 0; i < c->model->tensor_count; i++)
    ZH_TRY(add_tensor(c, &c->model->tensors[i], codes[i], err));
  return ZH_OK;
}
