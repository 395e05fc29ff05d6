/* Rows of converted tensors: from one tensor, or from the weights that one holds, in its order. */
#include <string.h>

#include "core/halves.h"
#include "model/conversion_room.h"

/* Row r of a turned weight in the order of the other format. */
static uint64_t turned_row(const zh_converted *t, uint64_t r) {
  uint64_t head = r / t->head_rows * t->head_rows + t->first_turned, at = r % t->head_rows,
           half = t->turned / 2;
  if (at < t->first_turned || at >= t->first_turned + t->turned) return r;
  at -= t->first_turned;
  return head + (t->to_pairs ? at % 2 * half + at / 2 : at % half * 2 + at / half);
}

uint64_t zh_converted_part_rows(const zh_converted *t, uint64_t i) {
  const zh_tensor *w = &t->parts[i].tensor;
  if (t->across >> i & 1) return w->shape[1] * t->groups;
  return w->dims == 1 ? w->elements : w->shape[0];
}

/* A row of the result in the weight that it belongs to. */
typedef struct place {
  const zh_source *source;
  uint64_t which, row; /* of those held; of the weight, all groups counted */
} place;

/* Weights that take turns in columns all have each row. */
static place place_of(const zh_converted *t, uint64_t row) {
  bool in_columns = t->alternating && t->across != 0;
  uint64_t total = 0, which = 0, r = 0;
  for (uint64_t i = 0; i < (in_columns ? 1 : t->held); i++) total += zh_converted_part_rows(t, i);
  uint64_t expert = row / total, at = row % total, width = total / t->groups;
  if (in_columns) {
    r = at;
  } else if (t->alternating) {
    which = at % t->held;
    r = at / t->held;
  } else {
    uint64_t group = at / width, run;
    at %= width;
    while (at >= (run = zh_converted_part_rows(t, which) / t->groups)) {
      at -= run;
      which++;
    }
    r = group * run + at;
  }
  if (t->turns >> which & 1) r = turned_row(t, r);
  return (place){&t->parts[expert * t->held + which], which, r};
}

/* --- rows that are columns --- */

uint64_t zh_converted_across(const zh_converted *t, uint64_t row, uint64_t most) {
  if (t->across == 0) return 0;
  place p = place_of(t, row);
  uint64_t columns = p.source->tensor.shape[1], left = columns - p.row % columns;
  if ((t->across >> p.which & 1) == 0) return 0;
  return left < most ? left : most;
}

zh_dtype zh_converted_column(void *out, uint64_t *at, const zh_converted *t, uint64_t row,
                             uint64_t column) {
  place p = place_of(t, row);
  const zh_tensor *w = &p.source->tensor;
  uint64_t group = p.row / w->shape[1], held = t->alternating ? t->held : 1;
  *at = p.row % w->shape[1];
  p.source += column % held;
  zh_source_rows(out, p.source, group * (w->shape[0] / t->groups) + column / held, 1);
  return p.source->tensor.type;
}

/* --- vectors --- */

/* Of a vector that no arithmetic packs. */
static float element(const zh_source *s, uint64_t r) {
  uint64_t at = s->first + r / s->run * s->stride + r % s->run * s->step;
  const unsigned char *bytes = s->stored->data;
  float value;
  double wide;
  uint16_t half;
  switch (s->stored->type) {
  case ZH_F64:
    memcpy(&wide, bytes + at * sizeof wide, sizeof wide);
    return (float)wide;
  case ZH_F16:
  case ZH_BF16:
    memcpy(&half, bytes + at * sizeof half, sizeof half);
    return s->stored->type == ZH_F16 ? zh_f16_to_f32(half) : zh_bf16_to_f32(half);
  default:
    memcpy(&value, bytes + at * sizeof value, sizeof value);
    return value;
  }
}

bool zh_converted_takes_elements(const zh_source *s) {
  zh_dtype type = s->stored->type;
  return s->stored->data != NULL &&
         (type == ZH_F32 || type == ZH_F16 || type == ZH_BF16 || type == ZH_F64);
}

/* A row is one of an expert, or the only one: element by element, or as the model has it. */
static zh_dtype vector_row(unsigned char *out, const zh_converted *t, uint64_t row) {
  if (!zh_converted_takes_elements(&t->parts[0])) {
    zh_source_rows(out, &t->parts[row], 0, 1);
    return t->parts[row].tensor.type;
  }
  for (uint64_t i = 0; i < t->columns; i++) {
    place p = place_of(t, row * t->columns + i);
    float value = element(p.source, p.row);
    memcpy(out + i * sizeof value, &value, sizeof value);
  }
  return ZH_F32;
}

/* --- MXFP4's two tensors --- */

/* ggml's block: the scale, then elements 0 … 15 in the lower halves of 16 bytes, 16 … 31 in the
 * upper ones; published are neighbours in a byte. */
static void take_codes(unsigned char *out, const unsigned char *row, uint64_t blocks) {
  for (uint64_t b = 0; b < blocks; b++, row += 17, out += 16)
    for (int i = 0; i < 8; i++) {
      out[i] = (unsigned char)((row[1 + 2 * i] & 15) | (row[2 + 2 * i] & 15) << 4);
      out[i + 8] = (unsigned char)(row[1 + 2 * i] >> 4 | (row[2 + 2 * i] & 240));
    }
}

/* The row of the model's stands behind what is made of it. */
static zh_dtype packed_row(unsigned char *out, const zh_converted *t, const place *p) {
  uint64_t blocks = p->source->tensor.shape[1] / 32;
  unsigned char *row = out + 16 * blocks;
  zh_source_rows(row, p->source, p->row, 1);
  if (t->bytes == ZH_MXFP4_CODES) take_codes(out, row, blocks);
  for (uint64_t b = 0; t->bytes == ZH_MXFP4_SCALES && b < blocks; b++) out[b] = row[17 * b];
  return ZH_U8;
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
  place p = place_of(t, row);
  if (t->bytes != ZH_NO_BYTES) return packed_row(out, t, &p);
  zh_source_rows(out, p.source, p.row, 1);
  return p.source->tensor.type;
}
