/* A conversion as a whole: which tensors it has, and whether what was written is the same model. */
#include "model/conversion.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/coded.h"
#include "model/conversion_room.h"

/* Of a standard model no file states it. */
static void describe_standard(zh_described *d, const zh_architecture *a) {
  zh_layer_pattern *p = &d->pattern;
  *p = (zh_layer_pattern){.sparse_every = 1, .sparse_last = UINT32_MAX};
  while (a->experts != 0 && p->dense_first < a->layers &&
         !zh_layer_is(a, p->dense_first, ZH_LAYER_EXPERTS))
    p->dense_first++;
  if (a->attention == ZH_ATTENTION_LATENT) d->latent_rope_dims = a->rope[0].dims;
}

/* The description with its pattern of layers, which the files state. */
static zh_status describe(zh_conversion *c, zh_error *err) {
  zh_described *d = &c->described;
  zh_architecture checked;
  ZH_TRY(zh_model_architecture(&checked, c->model, err));
  ZH_TRY(zh_family_named(&c->family, checked.family, err));
  if (strcmp(c->model->format, "standard") != 0)
    ZH_TRY(zh_fields_read(d, c->model, c->family, err));
  else
    describe_standard(d, &checked);
  d->a = checked;
  if (c->container == ZH_CONTAINER_GGUF) return ZH_OK;
  ZH_TRY(zh_family_told_apart(&c->family, c->family, d, err));
  snprintf(d->a.family, sizeof d->a.family, "%s", c->family->name);
  return ZH_OK;
}

/* Layers that predict further tokens, images' parts, tables of positions. (GGUF's factors of
 * positions are numbers of config.json.) */
static zh_status note_left_behind(zh_conversion *c, zh_error *err) {
  uint64_t had = 0, left = 0;
  for (size_t i = 0; i < c->model->tensor_count; i++) {
    const zh_tensor *t = &c->model->tensors[i];
    had += t->elements;
    if (!c->used[i] && !zh_coded_is_part(c->model, t) && !zh_tensor_is_idle_bias(c->model, t) &&
        strncmp(t->name, "rope_f", 6) != 0)
      left += t->elements;
  }
  if (left == 0) return ZH_OK;
  const char *sentence =
      zh_arena_printf(c->arena,
                      "%" PRIu64 " of the model's %" PRIu64
                      " numbers stay behind: they are no weights that answers are computed with",
                      left, had);
  if (sentence == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  zh_conversion_add_note(c, sentence);
  return ZH_OK;
}

/* MXFP4 is kept, not made. */
static zh_status expect_packed(const zh_conversion *c, zh_error *err) {
  bool any = c->keeps_packed;
  if (c->wanted == NULL || c->wanted->type != ZH_MXFP4) return ZH_OK;
  for (size_t i = 0; !any && i < c->count; i++) any = c->tensors[i].as.type == ZH_MXFP4;
  if (any) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s holds no MXFP4 weights to be kept, and none are made: say another --type",
                 c->model->path);
}

static zh_status add_all(zh_conversion *c, zh_error *err) {
  const char *same = c->container == ZH_CONTAINER_GGUF ? "gguf" : "safetensors";
  c->anew = strcmp(c->model->format, same) != 0;
  if (c->anew) {
    ZH_TRY(describe(c, err));
    ZH_TRY(zh_conversion_take_weights(c, err));
    ZH_TRY(note_left_behind(c, err));
  } else {
    ZH_TRY(zh_conversion_copy_tensors(c, err));
  }
  ZH_TRY(expect_packed(c, err));
  ZH_TRY(zh_conversion_describe(c, err));
  ZH_TRY(zh_conversion_carry_tokenizer(c, err));
  return zh_conversion_rehearse(c, err);
}

zh_status zh_conversion_create(zh_conversion **out, const zh_model *model, zh_container container,
                               const zh_dtype_info *type, zh_error *err) {
  *out = NULL;
  zh_conversion *c = calloc(1, sizeof *c);
  if (c == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  c->model = model;
  c->container = container;
  c->wanted = type;
  zh_status status = zh_arena_create(&c->arena, 0, err);
  if (status == ZH_OK) status = add_all(c, err);
  if (status == ZH_OK)
    *out = c;
  else
    zh_conversion_free(c);
  return status;
}

/* What was done to the weights need not be said of them. Of Baichuan2 config.json says it once
 * more, which rows of length one do not mind. */
static zh_architecture as_written(const zh_conversion *c, const zh_architecture *found) {
  zh_architecture a = c->described.a;
  if (c->unit_head || found->normalised_head) a.normalised_head = found->normalised_head;
  return a;
}

zh_status zh_conversion_compare(const zh_conversion *c, const zh_model *model, zh_error *err) {
  zh_architecture a;
  ZH_TRY(zh_model_architecture(&a, model, err));
  zh_architecture wanted = as_written(c, &a);
  const char *lost = zh_architecture_difference(&wanted, &a);
  if (lost == NULL) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s cannot become %s: what it says of itself would not say the same there (%s)",
                 c->model->name, zh_conversion_format(c), lost);
}

zh_status zh_conversion_check(const zh_conversion *c, const char *path, zh_error *err) {
  zh_model *model = NULL;
  if (!zh_conversion_is_compared(c)) return ZH_OK;
  ZH_TRY(zh_model_open(&model, path, err));
  zh_status status = zh_conversion_compare(c, model, err);
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
