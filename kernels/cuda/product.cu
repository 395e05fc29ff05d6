/* Products, by heads and by experts too: which kernel does them. */
#include "product_many.cuh"

static bool is_wide(const void *x, size_t x_stride, size_t x_part) {
  return (uintptr_t)x % 16 == 0 && x_stride % 4 == 0 && x_part % 4 == 0;
}

static zh_status refuse(const zh_device_matrix *m, zh_error *err) {
  return zh_fail(err, ZH_ERR_ARG,
                 "a product's matrices have %u columns in blocks of %u x %u, form %d: scales of E4M3 need blocks of a "
                 "multiple of 64 columns, or of all, and rows of %d columns at most",
                 m->columns, m->scale_rows, m->scale_columns, (int)m->form, (int)ZH_SCALED_COLUMNS);
}

static bool is_possible(const zh_device_matrix *m, uint32_t columns) {
  if (m->columns != columns || columns == 0 || m->form < 0 || m->form >= ZH_FORMS) return false;
  if (m->form != ZH_FORM_E4M3) return true;
  return m->scale_rows > 0 && m->scale_columns > 0 && columns <= ZH_SCALED_COLUMNS &&
         (m->scale_columns % 64 == 0 || m->scale_columns >= columns);
}

/* Of one form, and rounded alike: then one kernel has them. */
static bool are_alike(const zh_device_matrix *a, const zh_device_matrix *b) {
  if (a->form != b->form || a->form != ZH_FORM_E4M3) return a->form == b->form;
  return zh_device_even_groups(a->scale_columns, a->columns) == zh_device_even_groups(b->scale_columns, b->columns);
}

/* The whole of a product, before its matrices. */
static zh_status enqueue(zh_device *device, zh_product_view *v, float *out, const zh_device_matrix *matrices,
                         const float *const *biases, size_t count, zh_way way, zh_error *err) {
  zh_product_matrices known = {};
  size_t y = 0;
  known.y = out;
  v->y = zh_at<float>(out);
  if (v->tokens == 0 || count == 0) return ZH_OK;
  v->columns = matrices[0].columns;
  for (size_t i = 0; i < count;) {
    zh_device_form form = known.form = matrices[i].form;
    const zh_device_matrix *first = &matrices[i];
    for (v->sides = 0; v->sides < ZH_SIDES && i < count && are_alike(&matrices[i], first); ++i) {
      zh_product_side *s = &v->side[v->sides++];
      if (!is_possible(&matrices[i], v->columns)) return refuse(&matrices[i], err);
      known.matrix[v->sides - 1] = &matrices[i];
      s->w = zh_view_of(&matrices[i]);
      s->bias = zh_at<const float>(biases ? biases[i] : nullptr);
      s->rows = v->kind == ZH_PRODUCT_GROUPED ? matrices[i].rows / v->experts
                : v->kind == ZH_PRODUCT_HEADS ? matrices[i].rows / v->parts
                                              : matrices[i].rows;
      s->y = y;
      y += s->rows;
    }
    bool plain = form == ZH_FORM_F32 || form == ZH_FORM_F16;
    zh_status status = plain            ? zh_cuda_product_plain(device, v, form, err)
                       : way == ZH_MANY ? zh_cuda_product_many(device, v, &known, err)
                                        : zh_cuda_product_few(device, v, form, err);
    if (status != ZH_OK) return status;
  }
  return ZH_OK;
}

zh_status zh_cuda_product(zh_device *device, const zh_device_product *work, zh_error *err) {
  zh_product_view v = {};
  v.kind = ZH_PRODUCT_WHOLE;
  v.parts = 1;
  v.tokens = (uint32_t)work->tokens;
  v.x = zh_at<const float>(work->x);
  v.y_stride = work->y_stride;
  v.x_stride = work->x_stride;
  v.wide = is_wide(work->x, work->x_stride, 0);
  v.adds = work->adds;
  v.factor = work->factor;
  return enqueue(device, &v, work->y, work->matrices, work->biases, work->count, work->way, err);
}

zh_status zh_cuda_head_product(zh_device *device, const zh_device_head_product *work, zh_error *err) {
  zh_product_view v = {};
  v.kind = ZH_PRODUCT_HEADS;
  v.parts = (uint32_t)work->heads;
  v.tokens = (uint32_t)work->tokens;
  v.x = zh_at<const float>(work->x);
  v.y_stride = work->y_stride;
  v.x_stride = work->x_stride;
  v.y_part = work->y_head;
  v.x_part = work->x_head;
  v.wide = is_wide(work->x, work->x_stride, work->x_head);
  return enqueue(device, &v, work->y, &work->matrix, nullptr, work->heads ? 1 : 0, work->way, err);
}

zh_status zh_cuda_grouped(zh_device *device, const zh_device_grouped *work, zh_error *err) {
  zh_product_view v = {};
  size_t choices = work->tokens * work->used;
  v.kind = ZH_PRODUCT_GROUPED;
  v.parts = (uint32_t)(choices < work->experts ? choices : work->experts);
  v.tokens = (uint32_t)work->tokens;
  v.x = zh_at<const float>(work->x);
  v.y_stride = work->y_stride;
  v.x_stride = work->x_stride;
  v.wide = is_wide(work->x, work->x_stride, 0);
  v.lists = zh_at<const uint32_t>(work->lists);
  v.experts = work->experts;
  v.used = work->used;
  v.spread = work->spread;
  return enqueue(device, &v, work->y, work->matrices, work->biases, work->count, work->way, err);
}
