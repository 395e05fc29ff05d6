/* How much room weights, keys, values and lists take on a device, and what it rounds. Compiled into
 * the programs and into the modules. */
#include "kernels/device.h"
#include "kernels/device_layout.h"

const char *const zh_device_form_names[ZH_FORMS + 1] = {"f32", "f16",  "bf16", "e4m3", "q8",
                                                        "q4",  "q4_1", "q4_k", NULL};

static size_t rounded_up(size_t n, size_t unit) {
  return (n + unit - 1) / unit * unit;
}

zh_rounding zh_device_rounding_of(const zh_roundings *table, zh_device_form form, zh_way way) {
  if (form == ZH_FORM_F32 || form == ZH_FORM_F16) return ZH_ROUND_NONE;
  if (form == ZH_FORM_BF16) return table->bf16;
  return way == ZH_FEW ? table->few : way == ZH_MANY ? table->many : table->fine;
}

bool zh_device_even_groups(size_t scale_columns, size_t columns) {
  return scale_columns > 0 && (scale_columns % ZH_E4M3_GROUP == 0 || scale_columns >= columns);
}

bool zh_rounds_e4m3(const zh_roundings *table, size_t scale_columns, size_t columns, zh_way way) {
  return way == ZH_MANY && table->e4m3 != ZH_ROUND_NONE &&
         zh_device_even_groups(scale_columns, columns);
}

zh_rounding zh_device_matrix_rounding(const zh_roundings *table, const zh_device_matrix *matrix,
                                      zh_way way) {
  bool e4m3 = matrix->form == ZH_FORM_E4M3 &&
              zh_rounds_e4m3(table, matrix->scale_columns, matrix->columns, way);
  return e4m3 ? table->e4m3 : zh_device_rounding_of(table, matrix->form, way);
}

zh_roundings zh_device_rounds(const zh_device_api *api, const zh_device *device) {
  return api->device_rounds ? api->device_rounds(device) : api->rounds;
}

bool zh_device_attention_rounds(const zh_roundings *table, const zh_device_attention *work) {
  const zh_device_kv *kv = &work->kv;
  return table->attention != ZH_ROUND_NONE && work->way == ZH_MANY && work->softcap == 0 &&
         !work->slopes && kv->type != ZH_DEVICE_KV_F32 && kv->key_dim % ZH_DEVICE_BLOCK == 0 &&
         kv->value_dim % ZH_DEVICE_BLOCK == 0;
}

size_t zh_device_number_bytes(zh_device_form form, size_t rows, size_t columns) {
  size_t bytes = (columns + 1) / 2;
  if (form == ZH_FORM_F32) bytes = columns * 4;
  if (form == ZH_FORM_F16 || form == ZH_FORM_BF16) bytes = columns * 2;
  if (form == ZH_FORM_E4M3 || form == ZH_FORM_Q8) bytes = columns;
  return rows * rounded_up(bytes, ZH_DEVICE_PIECE);
}

size_t zh_device_scale_row_bytes(zh_device_form form, size_t columns) {
  switch (form) {
  case ZH_FORM_Q8:
  case ZH_FORM_Q4:
    return rounded_up(zh_device_blocks(columns, ZH_DEVICE_BLOCK) * 2, ZH_DEVICE_ROW_UNIT);
  case ZH_FORM_Q4_1:
    return rounded_up(zh_device_blocks(columns, ZH_DEVICE_BLOCK) * 4, ZH_DEVICE_ROW_UNIT);
  case ZH_FORM_Q4_K:
    return zh_device_blocks(columns, ZH_DEVICE_SUPER) * ZH_DEVICE_ROW_UNIT;
  default:
    return 0;
  }
}

size_t zh_device_scale_bytes(const zh_device_matrix *shape) {
  if (shape->form == ZH_FORM_E4M3)
    return zh_device_blocks(shape->rows, shape->scale_rows) *
           zh_device_blocks(shape->columns, shape->scale_columns) * sizeof(float);
  return shape->rows * zh_device_scale_row_bytes(shape->form, shape->columns);
}

size_t zh_device_kv_row_bytes(zh_device_kv_type type, size_t dim) {
  if (type == ZH_DEVICE_KV_E4M3) return ZH_DEVICE_ROW_UNIT + rounded_up(dim, ZH_DEVICE_ROW_UNIT);
  return rounded_up(dim * (type == ZH_DEVICE_KV_F32 ? 4 : 2), ZH_DEVICE_ROW_UNIT);
}

size_t zh_device_kv_bytes(const zh_device_kv *kv, bool values) {
  size_t bytes = zh_device_kv_row_bytes(kv->type, values ? kv->value_dim : kv->key_dim);
  const size_t counts[] = {kv->sequences, kv->kv_heads, kv->capacity};
  for (int i = 0; i < 3; ++i)
    if (__builtin_mul_overflow(bytes, counts[i], &bytes)) return SIZE_MAX;
  return bytes;
}

/* How many experts have choices, which, where the choices of each begin and the last ones end, the
 * choices. */
size_t zh_device_list_words(size_t tokens, uint32_t experts, uint32_t used) {
  return 1 + (size_t)experts + experts + 1 + tokens * used;
}
