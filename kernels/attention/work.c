/* How attention's work is counted. */
#include "kernels/attention/parts.h"

size_t zh_attention_items(const zh_attention *a) {
  size_t items = (a->tokens + a->run - 1) / a->run * a->kv->kv_heads;
  return a->parts ? items * a->blocks : items;
}

size_t zh_attention_part_floats(size_t tokens, size_t heads, size_t value_dim, size_t blocks) {
  return tokens * heads * blocks * part_floats(value_dim);
}

/* States of all rows, and what the tiles' way has beside them: q, two blocks of scores and of
 * weights of a step's rows, its parts, sizes and scales, keys and values of a block in bf16, the
 * last values. */
size_t zh_attention_scratch_bytes(size_t head_dim) {
  size_t d = padded_dims(head_dim), step = ATTENTION_STEP_ROWS;
  size_t floats = (ZH_ATTENTION_ROWS + step) * part_floats(head_dim) +
                  2 * step * ZH_ATTENTION_BLOCK + 3 * ZH_ATTENTION_BLOCK + ZH_ATTENTION_ROWS;
  size_t halves =
      ZH_ATTENTION_ROWS * d + 2 * step * ZH_ATTENTION_BLOCK + 2 * ZH_ATTENTION_BLOCK * d + 32 * d;
  return (floats * 4 + halves * 2 + 63) & ~(size_t)63;
}
