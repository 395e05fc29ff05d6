/* Weights rearranged, byte for byte and bit for bit: packed.h describes the layouts. Plain C. */
#include "kernels/matmul/packed.h"

#include <string.h>

/* Where the parts of a group's block lie: offset in the source block (-1: not there), offset in the
 * packed block. */
typedef struct layout {
  zh_dtype type;
  int elements, source_bytes;
  int unit; /* bytes of a row that stay together, of unquantised weights; else 0 */
  int d, minimum, scales, scale_count; /* scales: bytes kept as [scale][row] */
  int fifths, quanta;
  int packed_scales, packed_fifths, packed_quanta; /* d at 0, minimum at 32 */
} layout;

static const layout layouts[] = {
    {ZH_F32, 32, 128, 4, -1, -1, -1, 0, -1, 0, 0, 0, 0},
    {ZH_F16, 32, 64, 2, -1, -1, -1, 0, -1, 0, 0, 0, 0},
    {ZH_BF16, 32, 64, 4, -1, -1, -1, 0, -1, 0, 0, 0, 0},
    {ZH_Q8_0, 32, 34, 0, 0, -1, -1, 0, -1, 2, 0, 0, 32},
    {ZH_IQ4_NL, 32, 18, 0, 0, -1, -1, 0, -1, 2, 0, 0, 32},
    {ZH_MXFP4, 32, 17, 0, -1, -1, 0, 1, -1, 1, 0, 0, 16}, /* a scale is a byte */
    {ZH_Q4_0, 32, 18, 0, 0, -1, -1, 0, -1, 2, 0, 0, 32},
    {ZH_Q4_1, 32, 20, 0, 0, 2, -1, 0, -1, 4, 0, 0, 64},
    {ZH_Q5_0, 32, 22, 0, 0, -1, -1, 0, 2, 6, 0, 32, 96},
    {ZH_Q5_1, 32, 24, 0, 0, 2, -1, 0, 4, 8, 0, 64, 128},
    {ZH_Q4_K, 256, 144, 0, 0, 2, 4, 12, -1, 16, 64, 0, 256},
    {ZH_Q5_K, 256, 176, 0, 0, 2, 4, 12, 16, 48, 64, 256, 768},
    {ZH_Q6_K, 256, 210, 0, 208, -1, 192, 16, -1, 0, 32, 0, 288},
};

static const layout *layout_of(zh_dtype type) {
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
    if (layouts[i].type == type) return &layouts[i];
  return NULL;
}

bool zh_packs(zh_dtype type) {
  return layout_of(type) != NULL;
}

static size_t blocks_of(const layout *l, size_t columns) {
  return (columns + (size_t)l->elements - 1) / (size_t)l->elements;
}

size_t zh_packed_group_bytes(zh_dtype type, size_t columns) {
  const layout *l = layout_of(type);
  return ZH_PACKED_ROWS * blocks_of(l, columns) * (size_t)l->source_bytes;
}

size_t zh_packed_bytes(zh_dtype type, size_t rows, size_t columns) {
  return (rows + ZH_PACKED_ROWS - 1) / ZH_PACKED_ROWS * zh_packed_group_bytes(type, columns);
}

/* Fifth bits of a run as one word, bit i for element i. */
static uint32_t fifths_of(const layout *l, const uint8_t *block, int run) {
  uint32_t word = 0;
  if (l->elements == 32)
    memcpy(&word, block + l->fifths, sizeof word);
  else
    for (int i = 0; i < 32; i++) word |= (uint32_t)(block[l->fifths + i] >> run & 1) << i;
  return word;
}

static int quanta_bytes(const layout *l) {
  return l->type == ZH_Q8_0 ? 32 : l->type == ZH_Q6_K ? 192 : l->elements / 2;
}

static void pack_units(uint8_t *out, const layout *l, const uint8_t *const block[]) {
  for (int r = 0; r < ZH_PACKED_ROWS; r++)
    if (l->unit == 4)
      for (int i = 0; i < l->source_bytes; i += 4)
        memcpy(out + ZH_PACKED_ROWS * i + 4 * r, block[r] + i, 4);
    else
      for (int i = 0; i < l->source_bytes; i += 2)
        memcpy(out + ZH_PACKED_ROWS * i + 2 * r, block[r] + i, 2);
}

static void pack_block(uint8_t *out, const layout *l, const uint8_t *const block[]) {
  for (int r = 0; r < ZH_PACKED_ROWS; r++) {
    const uint8_t *p = block[r];
    if (l->d >= 0) memcpy(out + 2 * r, p + l->d, 2);
    if (l->minimum >= 0) memcpy(out + 32 + 2 * r, p + l->minimum, 2);
    for (int s = 0; s < l->scale_count; s++)
      out[l->packed_scales + ZH_PACKED_ROWS * s + r] = p[l->scales + s];
    for (int run = 0; l->fifths >= 0 && run < l->elements / 32; run++) {
      uint32_t word = fifths_of(l, p, run);
      uint8_t *to = out + l->packed_fifths + 64 * run + r / 2;
      for (int j = 0; j < 8; j++, to += 8, word >>= 4)
        *to = (uint8_t)(r & 1 ? (*to & 15u) | (word & 15) << 4 : word & 15);
    }
    uint8_t *to = out + l->packed_quanta + 4 * r;
    for (int j = 0; j < quanta_bytes(l); j += 4, to += 64) memcpy(to, p + l->quanta + j, 4);
  }
}

void zh_pack_rows_ref(void *out, zh_dtype type, const void *rows, size_t count, size_t row_bytes,
                      size_t columns) {
  static const uint8_t zeros[256];
  const layout *l = layout_of(type);
  size_t size = (size_t)l->source_bytes;
  uint8_t *to = out, tail[ZH_PACKED_ROWS][128];
  for (size_t first = 0; first < count; first += ZH_PACKED_ROWS)
    for (size_t b = 0; b < blocks_of(l, columns); b++, to += ZH_PACKED_ROWS * size) {
      const uint8_t *block[ZH_PACKED_ROWS];
      for (size_t r = 0; r < ZH_PACKED_ROWS; r++) {
        block[r] =
            first + r < count ? (const uint8_t *)rows + (first + r) * row_bytes + b * size : zeros;
        if (block[r] == zeros || (b + 1) * (size_t)l->elements <= columns) continue;
        memset(tail[r], 0, size); /* an unquantised row that ends within the block */
        memcpy(tail[r], block[r], columns % 32 * (size / 32));
        block[r] = tail[r];
      }
      (l->unit ? pack_units : pack_block)(to, l, block);
    }
}

/* --- and back: one row --- */

static void unpack_block(uint8_t *row, const layout *l, const uint8_t *in, int r) {
  if (l->d >= 0) memcpy(row + l->d, in + 2 * r, 2);
  if (l->minimum >= 0) memcpy(row + l->minimum, in + 32 + 2 * r, 2);
  for (int s = 0; s < l->scale_count; s++)
    row[l->scales + s] = in[l->packed_scales + ZH_PACKED_ROWS * s + r];
  if (l->fifths >= 0) memset(row + l->fifths, 0, 32 * (size_t)(l->elements == 256) + 4);
  for (int run = 0; l->fifths >= 0 && run < l->elements / 32; run++) {
    uint32_t word = 0;
    for (int j = 0; j < 8; j++)
      word |= (uint32_t)(in[l->packed_fifths + 64 * run + 8 * j + r / 2] >> 4 * (r & 1) & 15)
              << 4 * j;
    if (l->elements == 32) memcpy(row + l->fifths, &word, sizeof word);
    for (int i = 0; i < 32 && l->elements == 256; i++)
      row[l->fifths + i] = (uint8_t)(row[l->fifths + i] | (word >> i & 1) << run);
  }
  const uint8_t *from = in + l->packed_quanta + 4 * r;
  for (int j = 0; j < quanta_bytes(l); j += 4, from += 64) memcpy(row + l->quanta + j, from, 4);
}

/* The last unit of a row of bf16 may be half there. */
static void unpack_units(uint8_t *row, const layout *l, const uint8_t *in, size_t r,
                         size_t columns) {
  size_t unit = (size_t)l->unit, element = (size_t)l->source_bytes / 32,
         end = (columns < 32 ? columns : 32) * element;
  for (size_t i = 0; i < end; i += unit)
    memcpy(row + i, in + ZH_PACKED_ROWS * i + unit * r, end - i < unit ? end - i : unit);
}

void zh_unpack_row(void *out, const zh_packed *w, size_t r) {
  const layout *l = layout_of(w->type);
  size_t size = (size_t)l->source_bytes, bytes = ZH_PACKED_ROWS * size, row = r % ZH_PACKED_ROWS;
  const uint8_t *in =
      (const uint8_t *)w->data + r / ZH_PACKED_ROWS * zh_packed_group_bytes(w->type, w->columns);
  for (size_t b = 0; b < blocks_of(l, w->columns); b++, in += bytes) {
    if (l->unit)
      unpack_units((uint8_t *)out + b * size, l, in, row, w->columns - b * 32);
    else
      unpack_block((uint8_t *)out + b * size, l, in, (int)row);
  }
}
