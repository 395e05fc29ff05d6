/* Another format: the weights of the family's description, where files of that format keep them. */
#include <stdio.h>
#include <string.h>

#include "model/conversion_room.h"

/* --- what becomes of the values --- */

/* The part of each head that a turned weight's rows belong to. */
static void set_head(zh_converted *t, const zh_architecture *a, const zh_rope *rope, int slot) {
  bool latent = a->attention == ZH_ATTENTION_LATENT;
  t->head_rows = a->head_dim;
  t->first_turned = latent ? a->latent.nope_dims : 0;
  if (slot == ZH_LATENT_KV_DOWN) {
    t->first_turned = a->latent.kv_rank;
    t->head_rows = (uint64_t)a->latent.kv_rank + rope->dims;
  }
  t->turned = rope->dims;
}

static bool turns(zh_weight_place place) {
  if (place.layer < 0 || place.expert >= 0) return false;
  return place.slot == ZH_ATTN_Q || place.slot == ZH_ATTN_K || place.slot == ZH_ATTN_Q_BIAS ||
         place.slot == ZH_ATTN_K_BIAS || place.slot == ZH_LATENT_Q_UP ||
         place.slot == ZH_LATENT_KV_DOWN;
}

/* Rows of q and k stand in another order where the formats pair them otherwise. */
static void set_turns(zh_converted *t, const zh_conversion *c, const zh_home *home) {
  const zh_architecture *a = &c->described.a;
  const zh_rope *rope =
      zh_layer_rope(a, (uint32_t)(home->holds[0].layer < 0 ? 0 : home->holds[0].layer));
  const char *other = zh_field_constant(c->family, "rope", zh_conversion_form(c));
  bool to_pairs = other != NULL && strcmp(other, "pairs") == 0;
  if (other == NULL || rope->kind == ZH_ROPE_NONE || (rope->kind == ZH_ROPE_PAIRS) == to_pairs)
    return;
  for (int i = 0; i < home->count; i++) {
    if (!turns(home->holds[i])) continue;
    t->turns |= 1u << i;
    set_head(t, a, rope, home->holds[i].slot);
  }
  t->to_pairs = to_pairs;
}

/* What is added to a norm's gains on the way. */
static float norm_step(const zh_conversion *c) {
  const char *other = zh_field_constant(c->family, "norm", zh_conversion_form(c));
  bool plus_one = c->described.a.norm == ZH_NORM_RMS_PLUS_ONE,
       other_plus_one = other != NULL && strcmp(other, "rms_plus_one") == 0;
  if (other == NULL || plus_one == other_plus_one) return 0;
  return plus_one ? 1 : -1;
}

/* A head that is normalised whenever it is used, in files that hold it so. */
static bool is_made_unit(const zh_conversion *c, zh_weight_place place) {
  const char *other = zh_field_constant(c->family, "normalised_head", zh_conversion_form(c));
  return place.layer < 0 && place.slot == ZH_HEAD && c->described.a.normalised_head &&
         other != NULL && strcmp(other, "false") == 0;
}

/* --- what it is made of --- */

static zh_status take_part(zh_converted *t, zh_conversion *c, zh_source *part,
                           zh_weight_place place, zh_error *err) {
  ZH_TRY(zh_model_source(part, c->model, &c->described.a, place, err));
  bool vector = part->tensor.dims == 1;
  uint64_t rows = vector ? 1 : part->tensor.shape[0], bytes = part->tensor.bytes / rows;
  if (vector && bytes < t->held * part->tensor.elements * sizeof(float))
    bytes = t->held * part->tensor.elements * sizeof(float);
  if (bytes > t->row_bytes) t->row_bytes = bytes;
  if (c->used != NULL) c->used[part->stored - c->model->tensors] = true;
  return ZH_OK;
}

static zh_status take_parts(zh_converted *t, zh_conversion *c, const zh_home *home, zh_error *err) {
  t->experts = home->every_expert ? c->described.a.experts : 1;
  t->held = (uint64_t)home->count;
  t->groups = home->groups;
  t->alternating = home->alternating;
  t->across = home->turned;
  zh_source *parts = zh_arena_alloc(c->arena, t->experts * t->held, sizeof *parts);
  if (parts == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  t->parts = parts;
  for (uint64_t i = 0; i < t->experts * t->held; i++) {
    zh_weight_place place = home->holds[i % t->held];
    if (home->every_expert) place.expert = (int)(i / t->held);
    ZH_TRY(take_part(t, c, &parts[i], place, err));
  }
  return ZH_OK;
}

/* Vectors whose elements are put together, or in another order, must be plain numbers. */
static zh_status check_elements(const zh_converted *t, const zh_conversion *c, zh_error *err) {
  bool vector = t->parts[0].tensor.dims == 1, simple = t->held == 1 && t->turns == 0;
  for (uint64_t i = 0; vector && i < t->experts * t->held; i++) {
    bool same =
        zh_converted_takes_elements(&t->parts[i]) == zh_converted_takes_elements(&t->parts[0]);
    if (same && (simple || zh_converted_takes_elements(&t->parts[i]))) continue;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: elements of the vector '%s' of type %s cannot be put into '%s'",
                   c->model->path, t->parts[i].stored->name,
                   zh_dtype_find((uint32_t)t->parts[i].tensor.type)->name, t->as.name);
  }
  return ZH_OK;
}

/* --- its shape --- */

/* A vector that publishers give as a matrix of one row. */
static bool is_row(const zh_conversion *c, const zh_home *home) {
  bool shared = home->holds[0].layer >= 0 && home->holds[0].expert < 0 &&
                home->holds[0].slot == ZH_SHARED_SCORE;
  return c->container == ZH_CONTAINER_SAFETENSORS &&
         (shared || strstr(home->name, ".moe_statics.") != NULL); /* of ERNIE */
}

static void add_length(zh_converted *t, uint64_t length) {
  t->as.shape[t->as.dims++] = length;
}

/* GGUF has a length for the groups of a weight by itself: attn_k_b is [heads][kv_rank][nope]. */
static void set_shape(zh_converted *t, const zh_conversion *c, const zh_home *home) {
  const zh_tensor *first = &t->parts[0].tensor;
  bool turns_in_columns = t->alternating && t->across != 0,
       apart = c->container == ZH_CONTAINER_GGUF && t->groups > 1 && t->held == 1;
  uint64_t rows = 0;
  for (uint64_t i = 0; i < (turns_in_columns ? 1 : t->held); i++)
    rows += zh_converted_part_rows(t, i);
  t->as.dims = 0;
  if (is_row(c, home)) add_length(t, 1);
  if (home->every_expert) add_length(t, t->experts);
  if (apart) add_length(t, t->groups);
  add_length(t, apart ? rows / t->groups : rows);
  if (first->dims == 1) return;
  uint64_t columns = t->across & 1 ? first->shape[0] / t->groups : first->shape[1];
  add_length(t, turns_in_columns ? columns * t->held : columns);
}

/* [experts][rows][columns] of MXFP4 as bytes: [experts][rows][blocks][16], and their scales. */
static zh_status add_packed(zh_conversion *c, const zh_home *home, zh_error *err) {
  zh_converted *t;
  for (int scales = 0; scales < 2; scales++) {
    ZH_TRY(zh_converted_begin(&t, c, err));
    t->as.name = scales ? zh_arena_printf(c->arena, "%.*s_scales",
                                          (int)(strlen(home->name) - strlen("_blocks")), home->name)
                        : zh_arena_strdup(c->arena, home->name);
    if (t->as.name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
    ZH_TRY(take_parts(t, c, home, err));
    for (uint64_t i = 0; i < t->experts * t->held; i++)
      if (t->parts[i].tensor.type != ZH_MXFP4)
        return zh_fail(err, ZH_ERR_INPUT,
                       "%s: '%s' would hold MXFP4, and '%s' is of another type: say --type bf16",
                       c->model->path, home->name, t->parts[i].stored->name);
    set_shape(t, c, home);
    t->as.type = ZH_U8;
    t->as.shape[t->as.dims - 1] /= 32;
    if (!scales) add_length(t, 16);
    t->bytes = scales ? ZH_MXFP4_SCALES : ZH_MXFP4_CODES;
    t->row_bytes = t->parts[0].tensor.shape[1] / 32 * (16 + 17);
    ZH_TRY(zh_converted_end(c, t, err));
  }
  c->keeps_packed = true;
  return ZH_OK;
}

/* --- where it goes --- */

static zh_status add_home(zh_conversion *c, const zh_home *home, zh_error *err) {
  zh_converted *t;
  zh_weight_place place = home->holds[0];
  zh_weight_shape shape = zh_weight_shape_of(&c->described.a, place);
  bool exact = shape.is_vector || (place.layer >= 0 && place.expert < 0 && place.slot == ZH_ROUTER);
  ZH_TRY(zh_converted_begin(&t, c, err));
  t->as.name = zh_arena_strdup(c->arena, home->name);
  if (t->as.name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  ZH_TRY(take_parts(t, c, home, err));
  set_shape(t, c, home);
  set_turns(t, c, home);
  ZH_TRY(check_elements(t, c, err));
  if (shape.is_norm) t->added = norm_step(c);
  t->unit = is_made_unit(c, place);
  c->unit_head |= t->unit;
  uint64_t columns = t->as.shape[t->as.dims - 1];
  ZH_TRY(zh_converted_choose_type(&t->as.type, c, &t->parts[0].tensor, exact, columns, err));
  return zh_converted_end(c, t, err);
}

static bool same_place(zh_weight_place a, zh_weight_place b) {
  return a.layer == b.layer && a.expert == b.expert && a.slot == b.slot;
}

/* Weights in MXFP4 that stay so, in a folder whose family publishes them packed. */
static zh_status find_packed_home(zh_home *home, zh_conversion *c, zh_weight_place place,
                                  zh_error *err) {
  zh_source source;
  home->count = 0;
  if (c->container != ZH_CONTAINER_SAFETENSORS || place.expert < 0 ||
      (c->wanted != NULL && c->wanted->type != ZH_MXFP4))
    return ZH_OK;
  ZH_TRY(zh_model_source(&source, c->model, &c->described.a, place, err));
  if (source.tensor.type != ZH_MXFP4) return ZH_OK;
  return zh_weight_home(home, &c->described.a, place, ZH_FORM_CONFIG, true, err);
}

/* A tensor that holds several weights comes with the first of them. */
static zh_status add_weight(zh_conversion *c, zh_weight_place place, zh_error *err) {
  const zh_architecture *a = &c->described.a;
  zh_home home;
  zh_weight_shape shape = zh_weight_shape_of(a, place);
  if (!shape.needed) return ZH_OK;
  ZH_TRY(find_packed_home(&home, c, place, err));
  bool packed = home.count > 0;
  if (!packed) ZH_TRY(zh_weight_home(&home, a, place, zh_conversion_form(c), false, err));
  if (home.count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' has no place for '%s' in %s",
                   c->model->path, a->family, shape.name, zh_conversion_format(c));
  if (!same_place(home.holds[0], place) || (home.every_expert && place.expert > 0)) return ZH_OK;
  return packed ? add_packed(c, &home, err) : add_home(c, &home, err);
}

static zh_status add_layer(zh_conversion *c, int layer, zh_error *err) {
  const zh_architecture *a = &c->described.a;
  for (int slot = 0; slot < ZH_LAYER_SLOTS; slot++)
    ZH_TRY(add_weight(c, (zh_weight_place){layer, -1, slot}, err));
  if (!zh_layer_is(a, (uint32_t)layer, ZH_LAYER_EXPERTS)) return ZH_OK;
  for (int expert = 0; expert < (int)a->experts; expert++)
    for (int slot = 0; slot < ZH_EXPERT_SLOTS; slot++)
      ZH_TRY(add_weight(c, (zh_weight_place){layer, expert, slot}, err));
  return ZH_OK;
}

zh_status zh_conversion_take_weights(zh_conversion *c, zh_error *err) {
  c->used = zh_arena_alloc(c->arena, c->model->tensor_count + 1, sizeof *c->used);
  if (c->used == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  for (int slot = 0; slot < ZH_MODEL_SLOTS; slot++)
    ZH_TRY(add_weight(c, (zh_weight_place){-1, -1, slot}, err));
  for (uint32_t layer = 0; layer < c->described.a.layers; layer++)
    ZH_TRY(add_layer(c, (int)layer, err));
  return ZH_OK;
}
