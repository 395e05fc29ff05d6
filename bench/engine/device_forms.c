/* In which form each weight lies on a device: one whose products round as the type's do, and that
 * holds its values as they are, where there is one. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench/engine/device_engine.h"

enum { ALIGNMENT = 256 };

static bool is_standard(const zh_weight *w) {
  return w->source->stored->data == NULL;
}

static bool is_rounded_alike(const zh_device_engine *d, zh_device_form form, zh_dtype type) {
  const zh_roundings *rounds = &d->api->rounds;
  for (int way = ZH_FEW; way <= ZH_MANY; ++way)
    if (zh_device_rounding_of(rounds, form, (zh_way)way) !=
        zh_rounding_of(rounds, type, (zh_way)way))
      return false;
  return true;
}

/* Rows of a weight, looked at by all threads. */
typedef struct look {
  const zh_weight *w;
  zh_device_form form;
  unsigned char *room; /* [threads][each] */
  size_t each;
  atomic_bool differs;
} look;

static void look_share(void *user, int thread, int threads) {
  look *l = user;
  size_t begin, end;
  zh_share(&begin, &end, l->w->matrix.rows, 1, thread, threads);
  for (size_t r = begin; r < end && !l->differs; ++r) {
    const void *row = zh_weight_source_row(l->w, r, l->room + (size_t)thread * l->each);
    if (!zh_device_holds(l->form, l->w->tensor->type, row, l->w->matrix.columns)) l->differs = true;
  }
}

static zh_status look_at(bool *holds, const zh_engine *engine, const zh_weight *w, zh_error *err) {
  look l = {.w = w,
            .form = ZH_FORM_Q8,
            .each = (zh_weight_whole_row_bytes(w) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT};
  l.room = aligned_alloc(ALIGNMENT, l.each * (size_t)zh_threads_count(engine->threads));
  if (!l.room) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for rows of weights");
  zh_threads_run(engine->threads, look_share, &l);
  free(l.room);
  zh_source_leave(w->source);
  *holds &= !l.differs;
  return ZH_OK;
}

/* MXFP4 in bytes over f16 scales: all of a model's, unless one of its own is out of their range. */
static zh_status holds_mxfp4(bool *out, const zh_engine *engine, zh_error *err) {
  *out = true;
  for (size_t i = 0; *out && i < zh_weights_count(&engine->weights); ++i) {
    const zh_weight *w = zh_weights_at(&engine->weights, i);
    if (w->matrix.type == ZH_MXFP4 && !w->gain) ZH_TRY(look_at(out, engine, w, err));
  }
  return ZH_OK;
}

zh_laid *zh_device_laid_of(const zh_device_engine *d, const zh_weight *w) {
  return d->laid + (w->laid - d->laid);
}

/* A form whose products round as the type's do; ZH_FORMS: none keeps to its roundings. */
static zh_device_form form_of(const zh_device_engine *d, const zh_weight *w, zh_device_form own) {
  zh_dtype type = w->matrix.type;
  /* Matrices whose heads are no whole groups of rows are never rounded. */
  if (w->gain || w->head_rows % ZH_PACKED_ROWS != 0) return ZH_FORM_F32;
  if (w->fp8.rows > 0) return ZH_FORM_E4M3;
  const zh_device_form tried[] = {own, ZH_FORM_F32, ZH_FORM_BF16};
  for (size_t i = 0; i < sizeof tried / sizeof tried[0]; ++i)
    if (is_rounded_alike(d, tried[i], type)) return tried[i];
  return ZH_FORMS;
}

/* Groups of inputs are rounded together, on each rank for itself: they must be the whole's. */
static bool cuts_a_group(const zh_device_engine *d, const zh_weight *w) {
  uint64_t all = w->tensor->shape[1];
  bool whole = zh_device_even_groups(w->fp8.columns, all);
  bool divided = w->matrix.columns < all && d->kernels.rounds.e4m3 != ZH_ROUND_NONE;
  return divided && (!whole || w->first_column % ZH_E4M3_GROUP != 0);
}

/* Weights of a type without a form are held as bf16, to which their products then round them; but
 * what is looked up is held as it is, in fp32. matrix.type says so to checks and certificates. */
static zh_status choose_form(zh_engine *engine, zh_weight *w, bool mxfp4, zh_error *err) {
  const zh_device_engine *d = engine->device;
  zh_device_form own = zh_device_form_of(w->matrix.type);
  zh_device_matrix *m = &zh_device_laid_of(d, w)->matrix;
  bool looked_up = w == &engine->weights.whole[ZH_EMBEDDING];
  if (w->matrix.type == ZH_MXFP4 && mxfp4) own = ZH_FORM_Q8;
  *m = (zh_device_matrix){.rows = (uint32_t)w->matrix.rows, .columns = (uint32_t)w->matrix.columns};
  m->form = form_of(d, w, own);
  if (m->form == ZH_FORMS) {
    w->matrix.type = looked_up ? ZH_F32 : ZH_BF16;
    m->form = form_of(d, w, zh_device_form_of(w->matrix.type));
  }
  if (m->form != ZH_FORM_E4M3) return ZH_OK;
  if (cuts_a_group(d, w))
    return zh_fail(err, ZH_ERR_LACKING,
                   "%s: columns of tensor '%s' are divided from %zu on, within a group of %d that "
                   "products by '%s' round together; leave ZH_GPU_PRODUCT away, or divide it among "
                   "fewer ranks",
                   zh_model_name(engine->weights.model), w->tensor->name, w->first_column,
                   ZH_E4M3_GROUP, d->api->product_variant(d->device));
  if (!is_standard(w)) w->matrix.type = ZH_F8_E4M3;
  m->scale_rows = w->first_row % w->fp8.rows == 0 ? w->fp8.rows : 1;
  m->scale_columns = w->fp8.columns;
  if (w->first_column % w->fp8.columns == 0 || w->fp8.columns >= w->tensor->shape[1]) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING,
                 "%s: columns of tensor '%s' are divided from %zu on, within a block of %" PRIu32
                 " that has one scale; divide it among fewer ranks",
                 zh_model_name(engine->weights.model), w->tensor->name, w->first_column,
                 w->fp8.columns);
}

static bool fits_q8(zh_dtype type) {
  return type == ZH_Q4_0 || zh_device_form_of(type) == ZH_FORM_Q8;
}

/* All experts of a slot that are here are one matrix on the device. Files pack each by itself,
 * perhaps otherwise than its neighbours. */
static zh_status join_experts(zh_engine *engine, uint32_t layer, int slot, zh_error *err) {
  const zh_weights *weights = &engine->weights;
  uint32_t experts = weights->experts_here;
  const zh_weight *first = &zh_weights_own_experts(weights, layer)[slot];
  bool alike = true, all_q8 = true;
  for (uint32_t e = 0; first->tensor && e < experts; ++e) {
    const zh_weight *w = first + (size_t)e * ZH_EXPERT_SLOTS;
    alike &= w->laid->matrix.form == first->laid->matrix.form;
    all_q8 &= fits_q8(w->matrix.type);
  }
  if (alike) return ZH_OK;
  if (!all_q8)
    return zh_fail(
        err, ZH_ERR_LACKING,
        "%s: the experts of '%s' are packed in different ways, which this version does not "
        "compute on a GPU; run it with --device cpu, or convert it (zhiheng model convert)",
        zh_model_name(weights->model), first->tensor->name);
  for (uint32_t e = 0; e < experts; ++e)
    zh_device_laid_of(engine->device, first + (size_t)e * ZH_EXPERT_SLOTS)->matrix.form =
        ZH_FORM_Q8;
  return ZH_OK;
}

zh_status zh_device_choose_forms(zh_engine *engine, zh_error *err) {
  zh_device_engine *d = engine->device;
  zh_weights *weights = &engine->weights;
  size_t count = zh_weights_count(weights);
  bool mxfp4;
  ZH_TRY(holds_mxfp4(&mxfp4, engine, err));
  d->laid = calloc(count, sizeof *d->laid);
  if (!d->laid) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the weights' places");
  for (size_t i = 0; i < count; ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    w->laid = &d->laid[i];
    ZH_TRY(choose_form(engine, w, mxfp4, err));
  }
  for (uint32_t layer = 0; weights->expert && layer < weights->architecture.layers; ++layer)
    for (int slot = 0; slot < ZH_EXPERT_SLOTS; ++slot)
      ZH_TRY(join_experts(engine, layer, slot, err));
  zh_weights_tie_head(weights);
  return ZH_OK;
}

json_t *zh_device_forms_json(const zh_engine *engine) {
  uint64_t bytes[ZH_FORMS] = {0};
  json_t *forms = json_object();
  for (size_t i = 0; i < zh_weights_count(&engine->weights); ++i) {
    const zh_device_matrix *m = &zh_weights_at(&engine->weights, i)->laid->matrix;
    bytes[m->form] +=
        zh_device_number_bytes(m->form, m->rows, m->columns) + zh_device_scale_bytes(m);
  }
  for (int form = 0; form < ZH_FORMS; ++form)
    if (bytes[form] > 0)
      json_object_set_new(forms, zh_device_form_names[form], json_integer((json_int_t)bytes[form]));
  return forms;
}
