/* Rows of coded weights, made tile by tile: codes that lie side by side in the file are of
 * different rows in some layouts, of different columns in others. */
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/halves.h"
#include "model/coded.h"

enum {
  TILE = 32,  /* rows and columns; a block of every type made here is as long */
  PANEL = 256 /* rows made together: in some layouts they lie side by side */
};

typedef struct tile {
  const zh_coded *w;
  uint64_t row, column;
  unsigned rows, columns;
  uint64_t group; /* of the first column */
  bool one_group;
  int16_t step[TILE][TILE]; /* code - zero point */
} tile;

static uint32_t word_at(const zh_tensor *t, uint64_t i) {
  uint32_t word;
  memcpy(&word, (const unsigned char *)t->data + 4 * i, sizeof word);
  return word;
}

/* Which of the eight codes of a word is output r's. */
static unsigned place_across(uint64_t r) {
  static const unsigned char places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  return places[r % 8];
}

/* --- scales, zero points, groups --- */

float zh_scale_value(const zh_tensor *scales, uint64_t i) {
  const unsigned char *bytes = scales->data;
  float value;
  uint16_t half;
  switch (scales->type) {
  case ZH_F32:
    memcpy(&value, bytes + 4 * i, sizeof value);
    return value;
  case ZH_F16:
  case ZH_BF16:
    memcpy(&half, bytes + 2 * i, sizeof half);
    return scales->type == ZH_F16 ? zh_f16_to_f32(half) : zh_bf16_to_f32(half);
  default: /* a power of two, OCP Microscaling 1.0: E8M0 */
    return bytes[i] == 255 ? NAN : ldexpf(1, bytes[i] - 127);
  }
}

float zh_coded_scale(const zh_coded *w, uint64_t row, uint64_t group) {
  uint64_t slice = 0;
  if (row >= w->slice_rows) {
    slice = row / w->slice_rows;
    row %= w->slice_rows;
  }
  if (w->block_rows > 1) row /= w->block_rows;
  return zh_scale_value(w->scales,
                        slice * w->scale_slice + row * w->scale_down + group * w->scale_across);
}

int zh_coded_zero(const zh_coded *w, uint64_t row, uint64_t group) {
  unsigned bits = w->bits, log_per = bits == 4 ? 3 : 2,
           place = (unsigned)row & ((1u << log_per) - 1);
  uint32_t mask = (1u << bits) - 1, word;
  switch (w->zero_layout) {
  case ZH_ZERO_ACROSS:
    word = word_at(w->zeros, group * w->zeros->shape[1] + (row >> log_per)) + w->zero_added;
    if (w->layout == ZH_CODE_ACROSS) place = place_across(row);
    return (int)(word >> bits * place & mask);
  case ZH_ZERO_DOWN:
    return (int)(word_at(w->zeros, (row >> log_per) * w->groups + group) >> bits * place & mask);
  case ZH_ZERO_BYTES:
    return ((const signed char *)w->zeros->data)[row * w->groups + group] + (1 << (bits - 1));
  default:
    return 1 << (bits - 1);
  }
}

uint64_t zh_coded_group(const zh_coded *w, uint64_t column) {
  return w->order != NULL ? word_at(w->order, column) : column / w->group_columns;
}

/* --- codes --- */

/* The codes of a word, lowest bits first: four to eight bytes at a time. */
static inline void spread(int16_t *out, uint32_t word, unsigned bits) {
  uint64_t four[2], w = word;
  if (bits == 8) {
    four[0] = (w & 0xff) | (w & 0xff00) << 8 | (w & 0xff0000) << 16 | (w & 0xff000000) << 24;
    memcpy(out, four, sizeof four[0]);
    return;
  }
  four[0] = (w & 0xf) | (w & 0xf0) << 12 | (w & 0xf00) << 24 | (w & 0xf000) << 36;
  w >>= 16;
  four[1] = (w & 0xf) | (w & 0xf0) << 12 | (w & 0xf00) << 24 | (w & 0xf000) << 36;
  memcpy(out, four, sizeof four);
}

static inline void read_down(tile *t, unsigned bits) {
  const zh_coded *w = t->w;
  unsigned per = 32 / bits;
  uint64_t outputs = w->codes->shape[1];
  for (unsigned c = 0; c < t->columns; c += per)
    for (unsigned r = 0; r < t->rows; r++)
      spread(&t->step[r][c], word_at(w->codes, (t->column + c) / per * outputs + t->row + r), bits);
}

static void read_across(tile *t) {
  const zh_tensor *codes = t->w->codes;
  for (unsigned c = 0; c < t->columns; c++) {
    uint64_t at = (t->column + c) * codes->shape[1];
    uint32_t word = 0;
    for (unsigned r = 0; r < t->rows; r++) {
      uint64_t row = t->row + r;
      if (r == 0 || row % 8 == 0) word = word_at(codes, at + row / 8);
      t->step[r][c] = (int16_t)(word >> 4 * place_across(row) & 15);
    }
  }
}

static inline void read_along(tile *t, unsigned bits) {
  const zh_coded *w = t->w;
  unsigned per = 32 / bits;
  uint64_t words = w->codes->shape[1];
  for (unsigned r = 0; r < t->rows; r++)
    for (unsigned c = 0; c < t->columns; c += per)
      spread(&t->step[r][c], word_at(w->codes, (t->row + r) * words + (t->column + c) / per), bits);
}

static void read_bytes(tile *t) {
  const signed char *codes = t->w->codes->data;
  uint64_t columns = t->w->codes->shape[1];
  for (unsigned r = 0; r < t->rows; r++)
    for (unsigned c = 0; c < t->columns; c++)
      t->step[r][c] = (int16_t)(codes[(t->row + r) * columns + t->column + c] + 128);
}

/* --- what becomes of them --- */

static void put_half(unsigned char *out, uint16_t half) {
  memcpy(out, &half, sizeof half);
}

/* Blocks of 32 as kernels.h has them: the f16 scale, then steps. */
static void put_block(unsigned char *out, zh_dtype type, const int16_t step[TILE], float scale) {
  uint32_t fifth = 0;
  put_half(out, zh_f32_to_f16(scale));
  out += 2;
  if (type == ZH_Q8_0) {
    for (int i = 0; i < TILE; i++) out[i] = (unsigned char)step[i];
    return;
  }
  int added = type == ZH_Q4_0 ? 8 : 16;
  for (int i = 0; i < TILE; i++) fifth |= (uint32_t)((step[i] + added) >> 4 & 1) << i;
  if (type == ZH_Q5_0) {
    memcpy(out, &fifth, sizeof fifth);
    out += sizeof fifth;
  }
  for (int i = 0; i < 16; i++)
    out[i] = (unsigned char)(((step[i] + added) & 15) | ((step[i + 16] + added) & 15) << 4);
}

static void put_value(unsigned char *out, zh_dtype type, float value) {
  if (type == ZH_F32)
    memcpy(out, &value, sizeof value);
  else
    put_half(out, type == ZH_F16 ? zh_f32_to_f16(value) : zh_f32_to_bf16(value));
}

/* Blocks, of which each has one scale. */
static void put_blocks(unsigned char *out, const tile *t, uint64_t row_bytes) {
  for (unsigned r = 0; r < t->rows; r++)
    put_block(out + r * row_bytes, t->w->tensor.type, t->step[r],
              zh_coded_scale(t->w, t->row + r, t->group));
}

/* Values by themselves. Products of a scale and a step are exact in fp32 unless the scale is fp32
 * itself; so what a type of 16 bits holds is rounded once. */
static void put_values(unsigned char *out, const tile *t, uint64_t row_bytes, size_t size) {
  const zh_coded *w = t->w;
  float scale[TILE] = {0};
  for (unsigned c = 0; c < t->columns; c++) {
    uint64_t group = t->one_group ? t->group : zh_coded_group(w, t->column + c);
    for (unsigned r = 0; r < t->rows; r++) {
      if (c == 0 || !t->one_group) scale[r] = zh_coded_scale(w, t->row + r, group);
      put_value(out + r * row_bytes + c * size, w->tensor.type, scale[r] * (float)t->step[r][c]);
    }
  }
}

static void subtract_zeros(tile *t) {
  const zh_coded *w = t->w;
  for (unsigned r = 0; t->one_group && r < t->rows; r++) {
    int zero = zh_coded_zero(w, t->row + r, t->group);
    for (unsigned c = 0; c < TILE; c++) t->step[r][c] = (int16_t)(t->step[r][c] - zero);
  }
  for (unsigned c = 0; !t->one_group && c < t->columns; c++) {
    uint64_t group = zh_coded_group(w, t->column + c);
    for (unsigned r = 0; r < t->rows; r++)
      t->step[r][c] = (int16_t)(t->step[r][c] - zh_coded_zero(w, t->row + r, group));
  }
}

static void read_tile(tile *t) {
  const zh_coded *w = t->w;
  t->group = zh_coded_group(w, t->column);
  t->one_group = w->order == NULL && zh_coded_group(w, t->column + t->columns - 1) == t->group;
  if (w->layout == ZH_CODE_DOWN && w->bits == 4)
    read_down(t, 4);
  else if (w->layout == ZH_CODE_DOWN)
    read_down(t, 8);
  else if (w->layout == ZH_CODE_ACROSS)
    read_across(t);
  else if (w->layout == ZH_CODE_ALONG && w->bits == 4)
    read_along(t, 4);
  else if (w->layout == ZH_CODE_ALONG)
    read_along(t, 8);
  else
    read_bytes(t);
  subtract_zeros(t);
}

static unsigned at_most_tile(uint64_t count) {
  return count < TILE ? (unsigned)count : TILE;
}

static void integer_rows(unsigned char *out, const zh_coded *w, uint64_t first, uint64_t count,
                         uint64_t row_bytes) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)w->tensor.type);
  uint64_t columns = w->tensor.shape[1];
  size_t size = info->block_elements == 1 ? info->block_bytes : 0; /* of a value by itself */
  tile t = {.w = w}; /* steps beyond the last column are never put */
  for (uint64_t begin = 0; begin < count; begin += PANEL)
    for (t.column = 0; t.column < columns; t.column += t.columns) {
      uint64_t end = count - begin < PANEL ? count : begin + PANEL;
      t.columns = at_most_tile(columns - t.column);
      for (uint64_t r = begin; r < end; r += t.rows) {
        unsigned char *to =
            out + r * row_bytes + t.column / info->block_elements * info->block_bytes;
        t.row = first + r;
        t.rows = at_most_tile(end - r);
        read_tile(&t);
        if (size == 0)
          put_blocks(to, &t, row_bytes);
        else
          put_values(to, &t, row_bytes, size);
      }
    }
}

/* BF16: the product in fp32, rounded once more. */
static void float_row(unsigned char *out, const zh_coded *w, uint64_t row) {
  uint64_t columns = w->tensor.shape[w->tensor.dims - 1];
  const unsigned char *codes = (const unsigned char *)w->codes->data + row * columns;
  for (uint64_t begin = 0; begin < columns; begin += w->group_columns) {
    uint64_t end = columns - begin < w->group_columns ? columns : begin + w->group_columns;
    float scale = w->scales != NULL ? zh_coded_scale(w, row, begin / w->group_columns) : 1;
    for (uint64_t c = begin; c < end; c++)
      put_half(out + 2 * c, zh_f32_to_bf16(w->values[codes[c]] * scale));
  }
}

void zh_coded_column(void *out, const zh_coded *w, uint64_t column, uint64_t first,
                     uint64_t count) {
  uint64_t columns = w->tensor.shape[w->tensor.dims - 1], group = column / w->group_columns;
  const unsigned char *codes = (const unsigned char *)w->codes->data + first * columns + column;
  unsigned char *to = out;
  for (uint64_t r = 0; r < count; r++) {
    float scale = w->scales != NULL ? zh_coded_scale(w, first + r, group) : 1;
    put_half(to + 2 * r, zh_f32_to_bf16(w->values[codes[r * columns]] * scale));
  }
}

/* ggml's MXFP4: the scale's byte, then elements 0 … 15 in the lower halves of 16 bytes, 16 … 31 in
 * the upper ones. */
static void block_row(unsigned char *out, const zh_coded *w, uint64_t row) {
  uint64_t blocks = w->tensor.shape[w->tensor.dims - 1] / 32;
  const unsigned char *codes = (const unsigned char *)w->codes->data + row * blocks * 16,
                      *scales = (const unsigned char *)w->scales->data + row * blocks;
  for (uint64_t b = 0; b < blocks; b++, codes += 16, out += 17) {
    out[0] = scales[b];
    for (int i = 0; i < 8; i++) {
      out[1 + 2 * i] = (unsigned char)((codes[i] & 15) | (codes[i + 8] & 15) << 4);
      out[2 + 2 * i] = (unsigned char)(codes[i] >> 4 | (codes[i + 8] & 240));
    }
  }
}

static void f64_values(unsigned char *out, const zh_coded *w, uint64_t first, uint64_t count) {
  const unsigned char *from = (const unsigned char *)w->codes->data + first * sizeof(double);
  for (uint64_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, from + i * sizeof value, sizeof value);
    float single = (float)value;
    memcpy(out + i * sizeof single, &single, sizeof single);
  }
}

void zh_coded_rows(void *out, const zh_coded *w, uint64_t first, uint64_t count) {
  const zh_tensor *t = &w->tensor;
  uint64_t columns = t->dims > 1 ? t->shape[t->dims - 1] : 1, row_bytes = 0;
  if (t->elements == 0 || count == 0) return;
  row_bytes = t->bytes / (t->elements / columns);
  if (w->layout == ZH_CODE_F64) {
    f64_values(out, w, first * columns, count * columns);
  } else if (w->layout == ZH_CODE_FLOATS || w->layout == ZH_CODE_BLOCKS) {
    for (uint64_t r = 0; r < count; r++) {
      unsigned char *row = (unsigned char *)out + r * row_bytes;
      if (w->layout == ZH_CODE_FLOATS)
        float_row(row, w, first + r);
      else
        block_row(row, w, first + r);
    }
  } else {
    integer_rows(out, w, first, count, row_bytes);
  }
}

void zh_coded_leave(const zh_coded *w) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)w->codes->data + page - 1,
            end = (uintptr_t)w->codes->data + w->codes->bytes;
  begin -= begin % page;
  end -= end % page;
  if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}
