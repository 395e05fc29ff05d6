/* Weights of a file that are E4M3 bytes and scales of blocks, for devices that hold them so
 * (kernels/device.h): which they are, and what they stand for there, number times scale in fp32. */
#include "bench/engine/weights.h"
#include "kernels/device.h"

enum { COLUMNS = 64 }; /* a block's are a multiple of so many */

/* All rows of a head, or of an expert, begin with a block. */
static bool divides(const zh_weight *w, bool expert, uint64_t rows) {
  return (!expert || w->matrix.rows % rows == 0) && (w->head_rows == 0 || w->head_rows % rows == 0);
}

static zh_fp8 blocks_of(const zh_weight *w, bool expert) {
  const zh_tensor *stored = w->source->stored;
  zh_fp8_blocks b = {ZH_STANDARD_BLOCK, ZH_STANDARD_BLOCK};
  bool standard = stored->data == NULL && stored->type == ZH_F8_E4M3;
  if (w->tensor->dims != 2 || w->head_rows % ZH_PACKED_ROWS != 0) return (zh_fp8){0};
  if (!standard && !zh_source_fp8(&b, w->source)) return (zh_fp8){0};
  if (!standard && !divides(w, expert, b.rows)) b.rows = 1;
  if (b.columns < w->matrix.columns && b.columns % COLUMNS != 0) return (zh_fp8){0};
  return (zh_fp8){(uint32_t)b.rows, (uint32_t)b.columns};
}

/* Experts of a slot are multiplied as one matrix: all of them, or none. */
static void find_of_experts(zh_weights *weights, uint32_t layer, int slot) {
  uint32_t experts = weights->architecture.experts;
  zh_weight *first = &zh_weights_expert(weights, layer, 0)[slot];
  bool alike = first->tensor != NULL;
  for (uint32_t e = 0; first->tensor && e < experts; ++e) {
    zh_weight *w = &zh_weights_expert(weights, layer, e)[slot];
    w->fp8 = blocks_of(w, true);
    alike &= w->fp8.rows == first->fp8.rows && w->fp8.columns == first->fp8.columns;
  }
  for (uint32_t e = 0; !alike && e < experts; ++e)
    zh_weights_expert(weights, layer, e)[slot].fp8 = (zh_fp8){0};
}

void zh_weights_find_fp8(zh_weights *weights) {
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    w->fp8 = blocks_of(w, false);
  }
  for (uint32_t layer = 0; weights->expert && layer < weights->architecture.layers; ++layer)
    for (int slot = 0; slot < ZH_EXPERT_SLOTS; ++slot) find_of_experts(weights, layer, slot);
  /* Lengths are those of rows in bf16. */
  if (weights->architecture.normalised_head) weights->whole[ZH_HEAD].fp8 = (zh_fp8){0};
  if (weights->architecture.normalised_head && weights->architecture.tied_head)
    weights->whole[ZH_EMBEDDING].fp8 = (zh_fp8){0};
  zh_weights_tie_head(weights);
}

uint64_t zh_weight_fp8_bytes(const zh_weight *w) {
  uint64_t rows = w->tensor->shape[0], columns = w->tensor->shape[1],
           down = (rows + w->fp8.rows - 1) / w->fp8.rows,
           across = (columns + w->fp8.columns - 1) / w->fp8.columns;
  return rows * columns + down * across * sizeof(float);
}

void zh_weight_fp8_scales(float *out, const zh_weight *w, size_t scale_rows) {
  for (size_t r = 0; r < w->matrix.rows; r += scale_rows)
    for (size_t c = 0; c < w->matrix.columns; c += w->fp8.columns)
      *out++ = zh_source_fp8_scale(w->source, w->first_row + r, w->first_column + c);
}

const uint8_t *zh_weight_fp8_row(const zh_weight *w, size_t r) {
  return zh_source_fp8_bytes(w->source, w->first_row + r) + w->first_column;
}

void zh_weight_fp8_values(float *out, const zh_weight *w, size_t r) {
  const uint8_t *bytes = zh_weight_fp8_row(w, r);
  for (size_t c = 0; c < w->matrix.columns;) {
    size_t end = c + w->fp8.columns < w->matrix.columns ? c + w->fp8.columns : w->matrix.columns;
    float scale = zh_source_fp8_scale(w->source, w->first_row + r, w->first_column + c);
    for (; c < end; ++c) out[c] = scale * zh_e4m3_to_f32(bytes[c]);
  }
}
