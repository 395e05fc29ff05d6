#include "bench/engine/weights.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/clock.h"

static bool ties_head(const zh_weights *weights) {
  return weights->architecture.tied_head && weights->whole[ZH_EMBEDDING].tensor &&
         weights->whole[ZH_HEAD].tensor;
}

static bool is_apart(const zh_weights *weights, int slot) {
  return weights->whole[slot].tensor && !(slot == ZH_HEAD && ties_head(weights));
}

size_t zh_weights_count(const zh_weights *weights) {
  size_t count = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot) count += is_apart(weights, slot);
  return count;
}

zh_weight *zh_weights_at(const zh_weights *weights, size_t i) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  if (i < in_layers) return &weights->layer[i];
  int slot = 0;
  for (size_t left = i - in_layers; !is_apart(weights, slot) || left-- > 0;) ++slot;
  return (zh_weight *)&weights->whole[slot];
}

void zh_weights_tie_head(zh_weights *weights) {
  if (ties_head(weights)) weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
}

zh_way zh_weight_way(const zh_weight *w, const zh_roundings *rounds, zh_way way) {
  bool bytes = zh_rounding_of(rounds, w->matrix.type, way) == ZH_ROUND_BYTES;
  return w->fine && bytes ? ZH_FINE : way;
}

/* --- a row and its place in the whole tensor --- */

static size_t bytes_of(const zh_weight *w, uint64_t columns) {
  uint64_t bytes = 0;
  (void)zh_dtype_bytes(&bytes, w->tensor->type, columns); /* whole blocks: held when described */
  return (size_t)bytes;
}

size_t zh_weight_row_bytes(const zh_weight *w) {
  return bytes_of(w, w->matrix.columns);
}

uint64_t zh_weight_bytes(const zh_weight *w) {
  return (uint64_t)w->matrix.rows * zh_weight_row_bytes(w);
}

size_t zh_weight_whole_row_bytes(const zh_weight *w) {
  return bytes_of(w, w->tensor->shape[w->tensor->dims - 1]);
}

uint64_t zh_weight_offset(const zh_weight *w, size_t r) {
  return (uint64_t)(w->first_row + r) * zh_weight_whole_row_bytes(w) + bytes_of(w, w->first_column);
}

const void *zh_weight_source_row(const zh_weight *w, size_t r, void *buffer) {
  if (w->tensor->data) return (const unsigned char *)w->tensor->data + zh_weight_offset(w, r);
  zh_standard_rows(buffer, w->tensor, w->first_row + r, 1);
  return (unsigned char *)buffer + bytes_of(w, w->first_column);
}

/* --- norms as fp32, copied: a read of a mapped file brings many pages around it into memory --- */

static bool is_norm(const zh_weights *weights, size_t i) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  if (i >= in_layers) return zh_weights_at(weights, i) == &weights->whole[ZH_OUTPUT_NORM];
  return i % ZH_LAYER_SLOTS == ZH_ATTN_NORM || i % ZH_LAYER_SLOTS == ZH_FFN_NORM;
}

zh_status zh_weights_set_gains(zh_weights *weights, zh_error *err) {
  size_t hidden = weights->architecture.hidden,
         norms = 2 * (size_t)weights->architecture.layers + 1, used = 0;
  if (!weights->gains) weights->gains = malloc(norms * hidden * sizeof(float));
  if (!weights->gains) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu norms", norms);
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    if (!is_norm(weights, i)) continue;
    zh_weight *w = zh_weights_at(weights, i);
    float *copy = weights->gains + used++ * hidden;
    zh_dequantize_row(copy, w->matrix.data, w->matrix.type, hidden);
    w->gain = copy;
  }
  return ZH_OK;
}

zh_status zh_weights_open(zh_weights *out, const zh_model *model, zh_part part, zh_threads *threads,
                          zh_error *err) {
  ZH_TRY(zh_weights_describe(out, model, err));
  zh_status status = zh_weights_cut(out, part, err);
  if (status == ZH_OK && !out->layer[0].tensor->data) {
    int64_t begun = zh_now_ns();
    status = zh_weights_generate(out, threads, err);
    out->load.generate_s = (double)(zh_now_ns() - begun) / 1e9;
  }
  if (status == ZH_OK) status = zh_weights_set_gains(out, err);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}

void zh_weights_close(zh_weights *weights) {
  free(weights->layer);
  free(weights->gains);
  free(weights->digests);
  if (weights->generated) zh_big_free(weights->generated, weights->generated_bytes);
  if (weights->cached.data)
    zh_unmap(&weights->cached);
  else if (weights->packed)
    zh_big_free(weights->packed, weights->packed_bytes);
  if (weights->altered) munmap(weights->altered, weights->altered_bytes);
  *weights = (zh_weights){0};
}
