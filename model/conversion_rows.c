/* Rows of converted tensors: from one tensor, or from the weights that one holds, in its order. */
#include <string.h>

#include "model/conversion_room.h"

/* Row r of a turned weight in the order of the other format. */
static uint64_t turned_row(const zh_converted *t, uint64_t r) {
  uint64_t head = r / t->head_rows * t->head_rows, at = r % t->head_rows, half = t->turned / 2;
  if (at >= t->turned) return r;
  return head + (t->to_pairs ? at % 2 * half + at / 2 : at % half * 2 + at / half);
}

/* Which weight stands at a row of the result, and its row. */
static const zh_source *part_at(const zh_converted *t, uint64_t row, uint64_t *r) {
  uint64_t total = 0, which = 0;
  for (uint64_t i = 0; i < t->held; i++) total += zh_part_rows(&t->parts[i]);
  uint64_t expert = row / total, at = row % total, width = total / t->groups;
  if (t->alternating) {
    which = at % t->held;
    *r = at / t->held;
  } else {
    uint64_t group = at / width, run;
    at %= width;
    while (at >= (run = zh_part_rows(&t->parts[which]) / t->groups)) {
      at -= run;
      which++;
    }
    *r = group * run + at;
  }
  if (t->turns >> which & 1) *r = turned_row(t, *r);
  return &t->parts[expert * t->held + which];
}

/* Of vectors a row is one of an expert, or the only one: element by element. */
static zh_dtype vector_row(unsigned char *out, const zh_converted *t, uint64_t row) {
  zh_dtype type = t->parts[0].tensor.type;
  uint64_t size = zh_dtype_find((uint32_t)type)->block_bytes;
  if (t->parts[0].stored->data == NULL) { /* a standard model's */
    zh_source_rows(out, &t->parts[0], 0, 1);
    return type;
  }
  for (uint64_t i = 0; i < t->columns; i++) {
    uint64_t r;
    const zh_source *s = part_at(t, row * t->columns + i, &r);
    uint64_t at = s->first + r / s->run * s->stride + r % s->run * s->step;
    memcpy(out + i * size, (const unsigned char *)s->stored->data + at * size, (size_t)size);
  }
  return type;
}

zh_dtype zh_converted_row(void *out, const zh_converted *t, uint64_t row) {
  if (t->values != NULL) {
    memcpy(out, t->values + row * t->columns, (size_t)t->columns * sizeof *t->values);
    return ZH_F32;
  }
  if (t->whole != NULL) {
    uint64_t bytes = t->whole->bytes / t->rows;
    memcpy(out, (const char *)t->whole->data + row * bytes, (size_t)bytes);
    return t->whole->type;
  }
  if (t->parts[0].tensor.dims == 1) return vector_row(out, t, row);
  uint64_t r;
  const zh_source *s = part_at(t, row, &r);
  zh_source_rows(out, s, r, 1);
  return s->tensor.type;
}
