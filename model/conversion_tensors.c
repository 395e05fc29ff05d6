/* Tensors of a conversion one by one: room for the next, its type, its size. */
#include <inttypes.h>
#include <stdlib.h>

#include "model/conversion_room.h"

/* The next larger type whose blocks divide the rows. */
static zh_dtype fitting(zh_dtype type, uint64_t columns) {
  if (columns % zh_dtype_find((uint32_t)type)->block_elements == 0) return type;
  return columns % 32 == 0 ? ZH_Q5_0 : ZH_F16;
}

zh_status zh_converted_choose_type(zh_dtype *out, const zh_conversion *c, const zh_tensor *t,
                                   bool exact, uint64_t columns, zh_error *err) {
  const zh_dtype_info *has = zh_dtype_find((uint32_t)t->type), *wanted = c->wanted;
  *out = t->type;
  if (!zh_dtype_is_weight(t->type)) {
    if (has->block_elements == 1 && has->type < ZH_U8) return ZH_OK; /* integers, as they are */
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' has the type %s, which is not converted",
                   t->file, t->name, has->name);
  }
  if (exact)
    *out = ZH_F32;
  else if (wanted != NULL && wanted->type == ZH_MXFP4)
    *out = t->type == ZH_MXFP4 ? ZH_MXFP4 : ZH_BF16;
  else if (wanted != NULL)
    *out = fitting(wanted->type, columns);
  if (c->container == ZH_CONTAINER_GGUF || zh_dtype_find((uint32_t)*out)->block_elements == 1)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "safetensors folders hold no %s; say --type f32, f16 or bf16",
                 wanted != NULL ? wanted->name : has->name);
}

zh_status zh_converted_begin(zh_converted **out, zh_conversion *c, zh_error *err) {
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

zh_status zh_converted_end(zh_conversion *c, zh_converted *t, zh_error *err) {
  if (!zh_tensor_measure(&t->as) || t->as.elements == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is too large, or has no elements",
                   c->model->path, t->as.name);
  int last = t->as.dims - 1;
  t->columns = t->as.dims > 0 ? t->as.shape[last] : 1;
  if (t->bytes == ZH_MXFP4_CODES) t->columns *= t->as.shape[last - 1];
  t->rows = t->as.elements / t->columns;
  c->count++;
  return ZH_OK;
}

zh_status zh_conversion_add_values(zh_conversion *c, const char *name, const float *values,
                                   uint64_t count, zh_error *err) {
  zh_converted *t;
  ZH_TRY(zh_converted_begin(&t, c, err));
  t->as = (zh_tensor){.name = name, .type = ZH_F32, .dims = 1, .shape = {count}};
  t->values = values;
  t->row_bytes = count * sizeof *values;
  return zh_converted_end(c, t, err);
}
