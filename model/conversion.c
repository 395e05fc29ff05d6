/* Which tensors a converted model has, and what they are made of. */
#include "model/conversion.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/coded.h"
#include "model/conversion_room.h"

enum { GGUF_DIMS = 4 };

/* --- types --- */

/* The next larger type whose blocks divide the rows. */
static zh_dtype fitting(zh_dtype type, uint64_t columns) {
  if (columns % zh_dtype_find((uint32_t)type)->block_elements == 0) return type;
  return columns % 32 == 0 ? ZH_Q5_0 : ZH_F16;
}

/* exact: gains, biases and routers, whose few numbers are not worth rounding. */
static zh_status choose_type(zh_dtype *out, const zh_conversion *c, const zh_tensor *t, bool exact,
                             uint64_t columns, const zh_dtype_info *wanted, zh_error *err) {
  const zh_dtype_info *has = zh_dtype_find((uint32_t)t->type);
  *out = t->type;
  if (!zh_dtype_is_weight(t->type)) {
    if (has->block_elements == 1 && has->type < ZH_U8) return ZH_OK; /* integers, as they are */
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has the type %s, which is not converted",
                   t->file, t->name, has->name);
  }
  if (wanted != NULL || exact) *out = exact ? ZH_F32 : fitting(wanted->type, columns);
  if (c->container == ZH_CONTAINER_GGUF || zh_dtype_find((uint32_t)*out)->block_elements == 1)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "safetensors folders hold no %s; say --type f32, f16 or bf16",
                 wanted != NULL ? wanted->name : has->name);
}

/* --- tensors --- */

static zh_status next_tensor(zh_converted **out, zh_conversion *c, zh_error *err) {
  if (c->count == c->capacity) {
    size_t capacity = c->capacity == 0 ? 256 : 2 * c->capacity;
    zh_converted *grown = realloc(c->tensors, capacity * sizeof *grown);
    if (grown == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
    c->tensors = grown;
    c->capacity = capacity;
  }
  *out = &c->tensors[c->count];
  **out = (zh_converted){.experts = 1, .held = 1, .groups = 1};
  return ZH_OK;
}

/* Shape and type are set: measures it and takes it in. */
static zh_status finish(zh_conversion *c, zh_converted *t, zh_error *err) {
  if (!zh_tensor_measure(&t->as) || t->as.elements == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is too large, or has no elements",
                   c->model->path, t->as.name);
  t->columns = t->as.dims > 0 ? t->as.shape[t->as.dims - 1] : 1;
  t->rows = t->as.elements / t->columns;
  c->count++;
  return ZH_OK;
}

static zh_status add_whole(zh_conversion *c, const zh_tensor *from, const zh_dtype_info *wanted,
                           zh_error *err) {
  zh_converted *t;
  const zh_coded *coded;
  ZH_TRY(zh_coded_find(&coded, c->model, from->name, err));
  if (zh_coded_is_part(c->model, from))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' belongs to packed weights, which are not converted",
                   from->file, from->name);
  ZH_TRY(next_tensor(&t, c, err));
  if (c->container == ZH_CONTAINER_GGUF && from->dims > GGUF_DIMS)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has more than %d lengths", from->file,
                   from->name, GGUF_DIMS);
  bool exact = from->dims < 2 || zh_tensor_role_of(from) == ZH_ROLE_NORM ||
               zh_tensor_role_of(from) == ZH_ROLE_ROUTER;
  t->as = *from;
  t->as.data = NULL;
  t->whole = from;
  uint64_t columns = from->dims > 0 ? from->shape[from->dims - 1] : 1;
  ZH_TRY(choose_type(&t->as.type, c, from, exact, columns, wanted, err));
  ZH_TRY(finish(c, t, err));
  t->row_bytes = from->bytes / t->rows;
  return ZH_OK;
}

zh_status zh_conversion_add_values(zh_conversion *c, const char *name, const float *values,
                                   uint64_t count, zh_error *err) {
  zh_converted *t;
  ZH_TRY(next_tensor(&t, c, err));
  t->as = (zh_tensor){.name = name, .type = ZH_F32, .dims = 1, .shape = {count}};
  t->values = values;
  t->row_bytes = count * sizeof *values;
  return finish(c, t, err);
}

/* --- weights by the family's description --- */

static bool turns(zh_weight_place place) {
  return place.layer >= 0 && place.expert < 0 &&
         (place.slot == ZH_ATTN_Q || place.slot == ZH_ATTN_K || place.slot == ZH_ATTN_Q_BIAS ||
          place.slot == ZH_ATTN_K_BIAS);
}

/* Rows of q and k stand in another order where the formats pair them otherwise. */
static void set_turns(zh_converted *t, const zh_conversion *c, const zh_home *home) {
  const zh_rope *rope = zh_layer_rope(
      &c->described.a, (uint32_t)(home->holds[0].layer < 0 ? 0 : home->holds[0].layer));
  const char *other = zh_field_constant(c->family, "rope", zh_conversion_form(c));
  bool to_pairs = other != NULL && strcmp(other, "pairs") == 0;
  if (other == NULL || rope->kind == ZH_ROPE_NONE || (rope->kind == ZH_ROPE_PAIRS) == to_pairs)
    return;
  for (int i = 0; i < home->count; i++)
    if (turns(home->holds[i])) t->turns |= 1u << i;
  t->head_rows = c->described.a.head_dim;
  t->turned = rope->dims;
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

static zh_status take_parts(zh_converted *t, const zh_conversion *c, const zh_home *home,
                            zh_error *err) {
  t->experts = home->every_expert ? c->described.a.experts : 1;
  t->held = (uint64_t)home->count;
  t->groups = home->groups;
  t->alternating = home->alternating;
  zh_source *parts = zh_arena_alloc(c->arena, t->experts * t->held, sizeof *parts);
  if (parts == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  t->parts = parts;
  for (uint64_t i = 0; i < t->experts * t->held; i++) {
    zh_weight_place place = home->holds[i % t->held];
    if (home->every_expert) place.expert = (int)(i / t->held);
    ZH_TRY(zh_model_source(&parts[i], c->model, &c->described.a, place, err));
    uint64_t rows = parts[i].tensor.dims == 1 ? 1 : parts[i].tensor.shape[0],
             bytes = parts[i].tensor.bytes / rows;
    if (parts[i].tensor.dims == 1) bytes *= t->held;
    if (bytes > t->row_bytes) t->row_bytes = bytes;
    if (parts[i].tensor.dims == 1 && parts[i].tensor.type != parts[0].tensor.type)
      return zh_fail(err, ZH_ERR_INPUT, "%s: vectors of several types would stand in '%s'",
                     c->model->path, t->as.name);
  }
  return ZH_OK;
}

static void set_shape(zh_converted *t, const zh_home *home, zh_container container) {
  uint64_t rows = 0;
  bool vector = t->parts[0].tensor.dims == 1;
  for (uint64_t i = 0; i < t->held; i++) rows += zh_part_rows(&t->parts[i]);
  uint64_t lengths[3] = {t->experts, rows, vector ? 0 : t->parts[0].tensor.shape[1]};
  t->as.dims = 0;
  bool shared = home->holds[0].layer >= 0 && home->holds[0].expert < 0 &&
                home->holds[0].slot == ZH_SHARED_SCORE;
  bool row = container == ZH_CONTAINER_SAFETENSORS &&
             (shared || strstr(home->name, ".moe_statics.") != NULL); /* of ERNIE */
  if (row) t->as.shape[t->as.dims++] = 1; /* a matrix of one row, as published */
  for (int i = home->every_expert ? 0 : 1; i < (vector ? 2 : 3); i++)
    t->as.shape[t->as.dims++] = lengths[i];
}

static zh_status add_home(zh_conversion *c, const zh_home *home, const zh_dtype_info *wanted,
                          zh_error *err) {
  zh_converted *t;
  zh_weight_shape shape = zh_weight_shape_of(&c->described.a, home->holds[0]);
  ZH_TRY(next_tensor(&t, c, err));
  t->as.name = zh_arena_strdup(c->arena, home->name);
  if (t->as.name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  if (home->turned)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' would be turned round, which this version does not write",
                   c->model->path, t->as.name);
  ZH_TRY(take_parts(t, c, home, err));
  set_shape(t, home, c->container);
  set_turns(t, c, home);
  if (shape.is_norm) t->added = norm_step(c);
  bool exact = shape.is_vector || home->holds[0].slot == ZH_ROUTER;
  exact = exact && home->holds[0].layer >= 0 ? exact : shape.is_vector;
  ZH_TRY(choose_type(&t->as.type, c, &t->parts[0].tensor, exact, shape.columns, wanted, err));
  return finish(c, t, err);
}

static bool same_place(zh_weight_place a, zh_weight_place b) {
  return a.layer == b.layer && a.expert == b.expert && a.slot == b.slot;
}

/* A tensor that holds several weights comes with the first of them. */
static zh_status add_weight(zh_conversion *c, zh_weight_place place, const zh_dtype_info *wanted,
                            zh_error *err) {
  zh_home home;
  zh_weight_shape shape = zh_weight_shape_of(&c->described.a, place);
  if (!shape.needed) return ZH_OK;
  ZH_TRY(zh_weight_home(&home, &c->described.a, place, zh_conversion_form(c), err));
  if (home.count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' has no place for '%s' in %s",
                   c->model->path, c->described.a.family, shape.name,
                   c->container == ZH_CONTAINER_GGUF ? "GGUF" : "safetensors");
  if (!same_place(home.holds[0], place) || (home.every_expert && place.expert > 0)) return ZH_OK;
  return add_home(c, &home, wanted, err);
}

static zh_status add_layer(zh_conversion *c, int layer, const zh_dtype_info *wanted,
                           zh_error *err) {
  const zh_architecture *a = &c->described.a;
  for (int slot = 0; slot < ZH_LAYER_SLOTS; slot++)
    ZH_TRY(add_weight(c, (zh_weight_place){layer, -1, slot}, wanted, err));
  if (!zh_layer_is(a, (uint32_t)layer, ZH_LAYER_EXPERTS)) return ZH_OK;
  for (int expert = 0; expert < (int)a->experts; expert++)
    for (int slot = 0; slot < ZH_EXPERT_SLOTS; slot++)
      ZH_TRY(add_weight(c, (zh_weight_place){layer, expert, slot}, wanted, err));
  return ZH_OK;
}

static zh_status add_weights(zh_conversion *c, const zh_dtype_info *wanted, zh_error *err) {
  for (int slot = 0; slot < ZH_MODEL_SLOTS; slot++)
    ZH_TRY(add_weight(c, (zh_weight_place){-1, -1, slot}, wanted, err));
  for (uint32_t layer = 0; layer < c->described.a.layers; layer++)
    ZH_TRY(add_layer(c, (int)layer, wanted, err));
  return ZH_OK;
}

/* --- the whole --- */

/* The description with its pattern of layers, which the files state. */
static zh_status describe(zh_conversion *c, zh_error *err) {
  zh_described *d = &c->described;
  zh_architecture checked;
  ZH_TRY(zh_model_architecture(&checked, c->model, err));
  ZH_TRY(zh_family_named(&c->family, checked.family, err));
  if (strcmp(c->model->format, "standard") != 0)
    ZH_TRY(zh_fields_read(d, c->model, c->family, err));
  else
    d->pattern = (zh_layer_pattern){.sparse_every = 1, .sparse_last = UINT32_MAX};
  d->a = checked;
  return ZH_OK;
}

/* Layers that predict further tokens, images' parts, tables of positions. */
static zh_status note_left_behind(zh_conversion *c, zh_error *err) {
  uint64_t had = 0, has = 0;
  char sentence[160];
  for (size_t i = 0; i < c->model->tensor_count; i++) had += c->model->tensors[i].elements;
  for (size_t i = 0; i < c->count; i++) has += c->tensors[i].as.elements;
  if (has >= had) return ZH_OK;
  snprintf(sentence, sizeof sentence,
           "%" PRIu64 " of the model's %" PRIu64
           " numbers stay behind: they are no weights that answers are computed with",
           had - has, had);
  const char *kept = zh_arena_strdup(c->arena, sentence);
  if (kept == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  zh_conversion_add_note(c, kept);
  return ZH_OK;
}

static zh_status add_all(zh_conversion *c, const zh_dtype_info *type, zh_error *err) {
  const char *same = c->container == ZH_CONTAINER_GGUF ? "gguf" : "safetensors";
  c->anew = strcmp(c->model->format, same) != 0;
  if (c->anew) ZH_TRY(describe(c, err));
  if (c->anew) ZH_TRY(add_weights(c, type, err));
  if (c->anew) ZH_TRY(note_left_behind(c, err));
  for (size_t i = 0; !c->anew && i < c->model->tensor_count; i++)
    ZH_TRY(add_whole(c, &c->model->tensors[i], type, err));
  ZH_TRY(zh_conversion_describe(c, err));
  return zh_conversion_carry_tokenizer(c, err);
}

zh_status zh_conversion_create(zh_conversion **out, const zh_model *model, zh_container container,
                               const zh_dtype_info *type, zh_error *err) {
  *out = NULL;
  zh_conversion *c = calloc(1, sizeof *c);
  if (c == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  c->model = model;
  c->container = container;
  zh_status status = zh_arena_create(&c->arena, 0, err);
  if (status == ZH_OK) status = add_all(c, type, err);
  if (status == ZH_OK)
    *out = c;
  else
    zh_conversion_free(c);
  return status;
}

zh_status zh_conversion_check(const zh_conversion *c, const char *path, zh_error *err) {
  zh_model *model = NULL;
  zh_architecture a;
  if (!c->anew) return ZH_OK;
  ZH_TRY(zh_model_open(&model, path, err));
  zh_status status = zh_model_architecture(&a, model, err);
  const char *lost = status == ZH_OK ? zh_architecture_difference(&c->described.a, &a) : NULL;
  if (lost != NULL)
    status =
        zh_fail(err, ZH_ERR_INPUT,
                "%s cannot become %s: what it says of itself would not say the same there (%s)",
                c->model->name, c->container == ZH_CONTAINER_GGUF ? "GGUF" : "safetensors", lost);
  zh_model_free(model);
  return status;
}

void zh_conversion_free(zh_conversion *c) {
  if (c == NULL) return;
  for (size_t i = 0; i < c->side_count; i++) zh_text_free(&c->side[i].bytes);
  zh_text_free(&c->values);
  free(c->tensors);
  zh_arena_free(c->arena);
  free(c);
}

size_t zh_conversion_count(const zh_conversion *c) {
  return c->count;
}

const zh_converted *zh_conversion_tensor(const zh_conversion *c, size_t i) {
  return i < c->count ? &c->tensors[i] : NULL;
}

const char *zh_conversion_note(const zh_conversion *c, size_t i) {
  return i < c->note_count ? c->notes[i] : NULL;
}

const char *zh_conversion_side(const zh_conversion *c, size_t i) {
  return i < c->side_count ? c->side[i].name : NULL;
}

void zh_conversion_add_note(zh_conversion *c, const char *sentence) {
  if (c->note_count < ZH_NOTES_MAX) c->notes[c->note_count++] = sentence;
}

zh_text *zh_conversion_add_side(zh_conversion *c, const char *name) {
  zh_side_file *side = &c->side[c->side_count++];
  side->name = name;
  return &side->bytes;
}
