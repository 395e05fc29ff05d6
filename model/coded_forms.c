#include "model/coded_forms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/halves.h"
#include "core/text.h"

/* --- what every form has to say of its parts --- */

static zh_status wrong(const zh_coding *c, const zh_tensor *t, const char *what, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' %s", c->model->path, t->name, what);
}

static zh_status missing(const zh_coding *c, const zh_tensor *codes, const char *what,
                         zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' is packed, but its %s missing", c->model->path,
                 codes->name, what);
}

static zh_status expect_shape(const zh_coding *c, const zh_tensor *t, uint64_t rows,
                              uint64_t columns, const zh_tensor *codes, zh_error *err) {
  if (t->dims == 2 && t->shape[0] == rows && t->shape[1] == columns) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: tensor '%s' should have the shape [%" PRIu64 ", %" PRIu64
                 "] to go with '%s', not [%" PRIu64 ", %" PRIu64 "]%s",
                 c->model->path, t->name, rows, columns, codes->name, t->dims > 1 ? t->shape[0] : 1,
                 t->dims > 0 ? t->shape[t->dims - 1] : 1, t->dims > 2 ? " and more" : "");
}

static zh_status expect_type(const zh_coding *c, const zh_tensor *t, zh_dtype type, zh_error *err) {
  if (t->type == type) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' is of type %s, where %s is packed",
                 c->model->path, t->name, zh_dtype_find((uint32_t)t->type)->name,
                 zh_dtype_find((uint32_t)type)->name);
}

static bool is_real(zh_dtype type) {
  return type == ZH_F16 || type == ZH_BF16 || type == ZH_F32;
}

static zh_status expect_scales(const zh_coding *c, const zh_tensor *t, zh_error *err) {
  if (is_real(t->type)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' holds scales, and %s is no type of theirs",
                 c->model->path, t->name, zh_dtype_find((uint32_t)t->type)->name);
}

/* The name without `end`, with another; in the model's arena. */
static zh_status name_it(zh_coded *w, const zh_coding *c, const char *end, const char *new_end,
                         zh_error *err) {
  const char *name = w->codes->name;
  w->tensor.name =
      zh_arena_printf(c->model->arena, "%.*s%s", (int)(strlen(name) - strlen(end)), name, new_end);
  if (w->tensor.name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (packed weights)");
  return ZH_OK;
}

/* --- groups of columns --- */

/* `groups` are there: how long is each, and does config.json agree. */
static zh_status set_groups(zh_coded *w, const zh_coding *c, uint64_t groups, zh_error *err) {
  const zh_declared *d = &c->declared;
  uint64_t columns = w->tensor.shape[1], size = groups > 0 ? (columns + groups - 1) / groups : 0;
  w->groups = groups;
  if (groups > 1 && d->group_columns > 0) size = d->group_columns;
  if (groups == 0 || (columns + size - 1) / size != groups ||
      (groups == 1 && d->group_columns > 0 && d->group_columns < columns) ||
      (groups > 1 && d->whole_rows))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has %" PRIu64 " groups for %" PRIu64
                   " columns, which does not fit config.json's group_size",
                   c->model->path, w->scales->name, groups, columns);
  w->group_columns = size;
  return ZH_OK;
}

/* Groups of each column that are not simply one after the other. */
static zh_status set_order(zh_coded *w, const zh_coding *c, const zh_tensor *order, zh_error *err) {
  bool simple = true;
  int32_t group;
  if (order == NULL) return ZH_OK;
  ZH_TRY(expect_type(c, order, ZH_I32, err));
  if (order->dims != 1 || order->shape[0] != w->tensor.shape[1])
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have %" PRIu64 " elements, one for each column",
                   c->model->path, order->name, w->tensor.shape[1]);
  for (uint64_t i = 0; i < order->shape[0]; i++) {
    memcpy(&group, (const unsigned char *)order->data + 4 * i, sizeof group);
    if (group < 0 || (uint64_t)group >= w->groups)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: tensor '%s': column %" PRIu64 " is said to be of group %" PRId32
                     ", and there are %" PRIu64,
                     c->model->path, order->name, i, group, w->groups);
    simple &= (uint64_t)group == i / w->group_columns;
  }
  if (!simple) w->order = order;
  return ZH_OK;
}

static zh_status expect_bits(const zh_coding *c, const zh_coded *w, zh_error *err) {
  if (c->declared.bits != 0 && c->declared.bits != w->bits)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: tensor '%s' has %u bits a weight by its shape, and config.json says %" PRIu64,
        c->model->path, w->codes->name, w->bits, c->declared.bits);
  if (w->bits == 4 || w->bits == 8) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: tensor '%s' has %u bits a weight; 4 and 8 are read in this form",
                 c->model->path, w->codes->name, w->bits);
}

/* --- the type of the rows --- */

static bool fits_half(const zh_tensor *scales) {
  for (uint64_t i = 0; scales->type != ZH_F16 && i < scales->elements; i++) {
    float value = zh_scale_value(scales, i);
    if (zh_f16_to_f32(zh_f32_to_f16(value)) != value) return false;
  }
  return true;
}

static void range_of_zeros(int *least, int *most, const zh_coded *w) {
  *least = *most = zh_coded_zero(w, 0, 0);
  for (uint64_t group = 0; w->zero_layout != ZH_ZERO_NONE && group < w->groups; group++)
    for (uint64_t row = 0; row < w->tensor.shape[0]; row++) {
      int zero = zh_coded_zero(w, row, group);
      if (zero < *least) *least = zero;
      if (zero > *most) *most = zero;
    }
}

/* A type of 32-column blocks where it holds scale and steps as they are. Else what the scales' own
 * type makes of the product, as the formats' reference implementations do; of fp32 scales BF16,
 * which moves 4-bit values by 1/32 of a step at most; 8-bit ones it would move by half a step. */
static zh_dtype type_of_rows(const zh_coded *w) {
  int least, most, middle = 1 << (w->bits - 1);
  bool blocks = w->order == NULL && w->tensor.shape[1] % 32 == 0 &&
                (w->groups == 1 || w->group_columns % 32 == 0);
  if (blocks && fits_half(w->scales)) {
    range_of_zeros(&least, &most, w);
    if (least == middle && most == middle) return w->bits == 4 ? ZH_Q4_0 : ZH_Q8_0;
    if (w->bits == 4 && least >= 0 && most <= 16) return ZH_Q5_0;
  }
  if (w->scales->type != ZH_F32) return w->scales->type;
  return w->bits == 4 ? ZH_BF16 : ZH_F32;
}

static zh_status finish(zh_coded *w, const zh_coding *c, zh_dtype type, zh_error *err) {
  w->tensor.type = type;
  w->tensor.file = w->codes->file;
  w->tensor.data = NULL;
  if (zh_tensor_measure(&w->tensor)) return ZH_OK;
  return wrong(c, w->codes, "stands for more weights than can be counted", err);
}

static zh_status finish_integers(zh_coded *w, const zh_coding *c, zh_error *err) {
  w->slice_rows = w->tensor.shape[0];
  w->block_rows = 1;
  return finish(w, c, type_of_rows(w), err);
}

/* --- GPTQ and AWQ --- */

static zh_status describe_words(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *t = w->codes, *scales = zh_model_sibling(c->model, t->name, "qweight", "scales"),
                  *zeros = zh_model_sibling(c->model, t->name, "qweight", "qzeros"),
                  *order = zh_model_sibling(c->model, t->name, "qweight", "g_idx");
  if (scales == NULL) return missing(c, t, "scales are", err);
  if (zeros == NULL) return missing(c, t, "zero points (qzeros) are", err);
  ZH_TRY(expect_type(c, t, ZH_I32, err));
  ZH_TRY(expect_type(c, zeros, ZH_I32, err));
  ZH_TRY(expect_scales(c, scales, err));
  if (t->dims != 2 || scales->dims != 2 || zeros->dims != 2 || t->elements == 0)
    return wrong(c, t, "and its scales and zero points should be matrices that are not empty", err);
  uint64_t outputs = scales->shape[1], groups = scales->shape[0], words = zeros->shape[1];
  bool across = t->shape[1] != outputs;
  if (outputs == 0 || words > outputs || 32 * words % outputs != 0)
    return wrong(c, zeros, "does not fit its scales", err);
  w->bits = (unsigned)(32 * words / outputs);
  w->scales = scales;
  w->zeros = zeros;
  w->layout = across ? ZH_CODE_ACROSS : ZH_CODE_DOWN;
  w->zero_layout = ZH_ZERO_ACROSS;
  ZH_TRY(expect_bits(c, w, err));
  unsigned per = 32 / w->bits;
  if (across && (w->bits != 4 || t->shape[1] != words))
    return wrong(c, t, "is packed neither as GPTQ nor as AWQ (gemm) does it", err);
  if ((across && strcmp(c->declared.method, "gptq") == 0) ||
      (!across && strcmp(c->declared.method, "awq") == 0))
    return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' is packed as %s, and config.json says %s",
                   c->model->path, t->name, across ? "AWQ" : "GPTQ", c->declared.method);
  w->tensor.dims = 2;
  w->tensor.shape[0] = outputs;
  w->tensor.shape[1] = across ? t->shape[0] : t->shape[0] * per;
  w->scale_down = 1;
  w->scale_across = outputs;
  if (!across && !c->declared.zeros_as_they_are)
    w->zero_added = w->bits == 4 ? 0x11111111u : 0x01010101u;
  ZH_TRY(set_groups(w, c, groups, err));
  ZH_TRY(expect_shape(c, zeros, groups, outputs / per, t, err));
  if (!across) ZH_TRY(set_order(w, c, order, err));
  ZH_TRY(name_it(w, c, "qweight", "weight", err));
  return finish_integers(w, c, err);
}

/* --- compressed-tensors: integers --- */

static zh_status set_row_scales(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *s = w->scales;
  uint64_t outputs = w->tensor.shape[0];
  ZH_TRY(expect_scales(c, s, err));
  if (s->elements == 1 && s->dims <= 2) return set_groups(w, c, 1, err);
  if (s->dims == 1 && s->shape[0] == outputs) {
    w->scale_down = 1;
    return set_groups(w, c, 1, err);
  }
  if (s->dims != 2 || s->shape[0] != outputs || s->shape[1] == 0)
    return expect_shape(c, s, outputs, 1, w->codes, err);
  w->scale_down = s->shape[1];
  w->scale_across = 1;
  return set_groups(w, c, s->shape[1], err);
}

static zh_status set_row_zeros(zh_coded *w, const zh_coding *c, zh_error *err) {
  uint64_t outputs = w->tensor.shape[0], per = 32 / w->bits;
  if (w->zeros == NULL) return ZH_OK;
  if (w->zeros->type == ZH_I8) {
    w->zero_layout = ZH_ZERO_BYTES;
    if (w->groups == 1 && w->zeros->dims == 1 && w->zeros->shape[0] == outputs) return ZH_OK;
    return expect_shape(c, w->zeros, outputs, w->groups, w->codes, err);
  }
  w->zero_layout = ZH_ZERO_DOWN;
  ZH_TRY(expect_type(c, w->zeros, ZH_I32, err));
  return expect_shape(c, w->zeros, (outputs + per - 1) / per, w->groups, w->codes, err);
}

static zh_status read_shape(uint64_t shape[2], const zh_coding *c, const zh_tensor *t,
                            zh_error *err) {
  bool wide = t->type == ZH_I64;
  if (t->elements != 2 || (!wide && t->type != ZH_I32))
    return wrong(c, t, "should be two integers, rows and columns", err);
  for (int i = 0; i < 2; i++) {
    const unsigned char *bytes = (const unsigned char *)t->data + (wide ? 8 : 4) * i;
    int64_t length;
    int32_t narrow;
    memcpy(&narrow, bytes, sizeof narrow);
    length = narrow;
    if (wide) memcpy(&length, bytes, sizeof length);
    if (length <= 0) return wrong(c, t, "states a shape without elements", err);
    shape[i] = (uint64_t)length;
  }
  return ZH_OK;
}

static zh_status describe_packed(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *t = w->codes, *order, *shape;
  w->scales = zh_model_sibling(c->model, t->name, "_packed", "_scale");
  w->zeros = zh_model_sibling(c->model, t->name, "_packed", "_zero_point");
  shape = zh_model_sibling(c->model, t->name, "_packed", "_shape");
  order = zh_model_sibling(c->model, t->name, "_packed", "_g_idx");
  if (w->scales == NULL) return missing(c, t, "scales (weight_scale) are", err);
  if (shape == NULL) return missing(c, t, "shape (weight_shape) is", err);
  ZH_TRY(read_shape(w->tensor.shape, c, shape, err));
  w->tensor.dims = 2;
  uint64_t columns = w->tensor.shape[1];
  if (t->dims != 2 || t->elements == 0 || t->shape[0] != w->tensor.shape[0] ||
      columns > 8 * t->shape[1] || columns <= (t->shape[1] - 1))
    return wrong(c, t, "does not fit its weight_shape", err);
  /* 4 or 8 bits, whichever needs so many words */
  w->bits = (columns + 7) / 8 == t->shape[1] ? 4 : (columns + 3) / 4 == t->shape[1] ? 8 : 0;
  if (columns <= 4 && c->declared.bits == 8) w->bits = 8;
  if (w->bits == 0) return wrong(c, t, "has neither 4 nor 8 bits a weight by its shape", err);
  ZH_TRY(expect_bits(c, w, err));
  w->layout = ZH_CODE_ALONG;
  ZH_TRY(set_row_scales(w, c, err));
  ZH_TRY(set_row_zeros(w, c, err));
  ZH_TRY(set_order(w, c, order, err));
  ZH_TRY(name_it(w, c, "_packed", "", err));
  return finish_integers(w, c, err);
}

static zh_status describe_bytes(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *t = w->codes;
  w->zeros = zh_model_sibling(c->model, t->name, "", "_zero_point");
  if (t->dims != 2 || t->elements == 0) return wrong(c, t, "should be a matrix", err);
  w->tensor.dims = 2;
  memcpy(w->tensor.shape, t->shape, sizeof t->shape);
  w->bits = 8;
  w->layout = ZH_CODE_BYTES;
  ZH_TRY(expect_bits(c, w, err));
  ZH_TRY(set_row_scales(w, c, err));
  ZH_TRY(set_row_zeros(w, c, err));
  ZH_TRY(name_it(w, c, "", "", err));
  return finish_integers(w, c, err);
}

/* --- floats of 8 bits --- */

/* Rows and columns that share a scale. Published block sizes stand in config.json; `_scale_inv`
 * without one has DeepSeek's 128 x 128, powers of two are of 32 columns (MXFP8). */
static void size_blocks(uint64_t *tall, uint64_t *wide, const zh_coding *c, const zh_tensor *s,
                        const zh_tensor *t) {
  uint64_t rows = t->shape[t->dims - 2], columns = t->shape[t->dims - 1],
           across = s->dims > 1 ? s->shape[s->dims - 1] : 1;
  bool powers = s->type == ZH_U8 || s->type == ZH_F8_E8M0;
  *tall = s->elements == 1 ? rows : 1;
  *wide = columns;
  if (across == 1 && (s->elements == 1 || s->elements == t->elements / columns)) return;
  *tall = c->declared.block_rows;
  *wide = c->declared.block_columns;
  if (*tall > 0) return;
  *tall = powers ? 1 : 128;
  *wide = powers ? 32 : 128;
}

/* One scale, one for each row, or one for each block, of which the last may be cut. */
static zh_status set_block_scales(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *s = w->scales, *t = w->codes;
  uint64_t rows = t->shape[t->dims - 2], columns = t->shape[t->dims - 1],
           slices = t->elements / rows / columns, tall, wide;
  if (s->type != ZH_F8_E8M0 && s->type != ZH_U8) ZH_TRY(expect_scales(c, s, err));
  size_blocks(&tall, &wide, c, s, t);
  uint64_t down = (rows + tall - 1) / tall, across = (columns + wide - 1) / wide;
  if (s->elements != 1 &&
      (s->elements != slices * down * across || (s->dims > 1 && s->shape[s->dims - 1] != across)))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should hold %" PRIu64 " x %" PRIu64
                   " scales, one for each %" PRIu64 " rows and %" PRIu64 " columns of '%s'",
                   c->model->path, s->name, slices * down, across, tall, wide, t->name);
  w->block_rows = tall;
  w->group_columns = wide;
  w->groups = across;
  if (s->elements == 1) return ZH_OK;
  w->scale_slice = down * across;
  w->scale_down = across;
  w->scale_across = 1;
  return ZH_OK;
}

static zh_status describe_floats(zh_coded *w, const zh_coding *c, zh_error *err) {
  const zh_tensor *t = w->codes;
  w->layout = ZH_CODE_FLOATS;
  w->values = t->type == ZH_F8_E4M3 ? c->e4m3 : c->e5m2;
  w->tensor.dims = t->dims;
  memcpy(w->tensor.shape, t->shape, sizeof t->shape);
  if (t->dims < 2 || t->elements == 0) return wrong(c, t, "should be a matrix", err);
  w->scales = zh_model_sibling(c->model, t->name, "", "_scale_inv");
  if (w->scales == NULL) w->scales = zh_model_sibling(c->model, t->name, "", "_scale");
  if (w->scales == NULL && c->declared.root != NULL) return missing(c, t, "scales are", err);
  w->slice_rows = t->shape[t->dims - 2];
  w->group_columns = t->shape[t->dims - 1];
  if (w->scales != NULL) ZH_TRY(set_block_scales(w, c, err));
  ZH_TRY(name_it(w, c, "", "", err));
  return finish(w, c, ZH_BF16, err);
}

/* --- MXFP4 --- */

static zh_status check_powers(const zh_coding *c, const zh_tensor *scales, zh_error *err) {
  if (memchr(scales->data, 255, scales->bytes) == NULL) return ZH_OK;
  return wrong(c, scales, "holds a scale that is no number (255)", err);
}

/* blocks: gpt-oss has [experts][outputs][inputs / 32][16] and keeps the name; compressed-tensors
 * [outputs][inputs / 2]. */
static zh_status describe_mxfp4(zh_coded *w, const zh_coding *c, bool blocks, zh_error *err) {
  const zh_tensor *t = w->codes;
  const char *end = blocks ? "_blocks" : "_packed";
  int kept = t->dims - (blocks ? 2 : 1);
  w->layout = ZH_CODE_BLOCKS;
  w->scales = zh_model_sibling(c->model, t->name, end, blocks ? "_scales" : "_scale");
  if (w->scales == NULL) return missing(c, t, "scales are", err);
  ZH_TRY(expect_type(c, t, ZH_U8, err));
  if (kept < 1 || t->elements == 0 || t->elements % 16 != 0 ||
      (blocks ? t->shape[t->dims - 1] != 16 : t->shape[t->dims - 1] % 16 != 0))
    return wrong(c, t, "should hold blocks of 16 bytes", err);
  if ((w->scales->type != ZH_U8 && w->scales->type != ZH_F8_E8M0) ||
      w->scales->elements != t->elements / 16)
    return wrong(c, w->scales, "should hold one byte for each block of 16", err);
  ZH_TRY(check_powers(c, w->scales, err));
  w->tensor.dims = kept + 1;
  memcpy(w->tensor.shape, t->shape, (size_t)kept * sizeof *t->shape);
  w->tensor.shape[kept] = blocks ? 32 * t->shape[kept] : 2 * t->shape[kept];
  w->slice_rows = w->tensor.shape[kept - 1];
  ZH_TRY(name_it(w, c, blocks ? "" : end, "", err));
  return finish(w, c, ZH_MXFP4, err);
}

/* --- which form --- */

static zh_status describe_f64(zh_coded *w, const zh_coding *c, zh_error *err) {
  w->layout = ZH_CODE_F64;
  w->tensor.dims = w->codes->dims;
  memcpy(w->tensor.shape, w->codes->shape, sizeof w->codes->shape);
  ZH_TRY(name_it(w, c, "", "", err));
  return finish(w, c, ZH_F32, err);
}

static bool has(const zh_coding *c, const zh_tensor *t, const char *old_end, const char *new_end) {
  return zh_model_sibling(c->model, t->name, old_end, new_end) != NULL;
}

zh_status zh_coded_describe(zh_coded *out, bool *is, const zh_coding *c, const zh_tensor *t,
                            zh_error *err) {
  zh_coded w = {.codes = t};
  bool small_float = t->type == ZH_F8_E4M3 || t->type == ZH_F8_E5M2,
       weight = zh_ends_in(t->name, ".weight");
  zh_status status = ZH_OK;
  *is = true;
  if (zh_ends_in(t->name, ".qweight")) {
    status = describe_words(&w, c, err);
  } else if (zh_ends_in(t->name, ".weight_packed")) {
    if (t->type == ZH_U8 && !has(c, t, "_packed", "_global_scale"))
      status = describe_mxfp4(&w, c, false, err);
    else if (t->type == ZH_U8)
      status = wrong(c, t, "is packed as NVFP4, which this version does not read", err);
    else
      status = expect_type(c, t, ZH_I32, err);
    if (status == ZH_OK && t->type == ZH_I32) status = describe_packed(&w, c, err);
  } else if (t->type == ZH_U8 && zh_ends_in(t->name, "_blocks")) {
    status = describe_mxfp4(&w, c, true, err);
  } else if (weight && t->type == ZH_U8 && has(c, t, "", "_scale_2")) {
    status = wrong(c, t, "is packed as NVFP4, which this version does not read", err);
  } else if (small_float && !zh_ends_in(t->name, "_scale") && !zh_ends_in(t->name, "_scale_inv")) {
    status = describe_floats(&w, c, err);
  } else if (t->type == ZH_I8 && weight) {
    w.scales = zh_model_sibling(c->model, t->name, "", "_scale");
    status = w.scales != NULL ? describe_bytes(&w, c, err)
                              : missing(c, t, "scales (weight_scale) are", err);
  } else if (t->type == ZH_F64 && zh_tensor_role_of(t) != ZH_ROLE_BUFFER) {
    status = describe_f64(&w, c, err);
  } else {
    *is = false;
  }
  if (status == ZH_OK && *is) *out = w;
  return status;
}
