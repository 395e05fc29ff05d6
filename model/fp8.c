/* Weights that a folder keeps as E4M3 bytes and scales, byte by byte and scale by scale: for who
 * holds them so instead of making values of them. */
#include "model/coded.h"

/* The file's row that is row r of the weight. */
static uint64_t stored_row(const zh_source *s, uint64_t r) {
  return s->first + r / s->run * s->stride + r % s->run * s->step;
}

/* Whether the weight's blocks of so many rows are the file's. */
static bool begins_in_blocks(const zh_source *s, uint64_t block) {
  uint64_t first = s->first % s->coded->slice_rows, rows = s->tensor.shape[0];
  if (s->step != 1 || first % block != 0) return false;
  return s->run >= rows || (s->run % block == 0 && s->stride % block == 0);
}

bool zh_source_fp8(zh_fp8_blocks *out, const zh_source *s) {
  const zh_coded *w = s->coded;
  if (w == NULL || w->layout != ZH_CODE_FLOATS || w->codes->type != ZH_F8_E4M3 || s->turned ||
      s->tensor.dims != 2)
    return false;
  *out = (zh_fp8_blocks){s->tensor.shape[0], s->tensor.shape[1]};
  if (w->scales == NULL || w->scales->elements == 1) return true;
  out->rows = begins_in_blocks(s, w->block_rows) ? w->block_rows : 1;
  if (w->group_columns < out->columns) out->columns = w->group_columns;
  return true;
}

const uint8_t *zh_source_fp8_bytes(const zh_source *s, uint64_t row) {
  const zh_tensor *codes = s->coded->codes;
  return (const uint8_t *)codes->data + stored_row(s, row) * codes->shape[codes->dims - 1];
}

float zh_source_fp8_scale(const zh_source *s, uint64_t row, uint64_t column) {
  const zh_coded *w = s->coded;
  return w->scales == NULL ? 1 : zh_coded_scale(w, stored_row(s, row), column / w->group_columns);
}
