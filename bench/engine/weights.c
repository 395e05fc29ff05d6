#include "bench/engine/weights.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/clock.h"
#include "kernels/device.h"

static bool ties_head(const zh_weights *weights) {
  return weights->architecture.tied_head && weights->whole[ZH_EMBEDDING].tensor &&
         weights->whole[ZH_HEAD].tensor;
}

static bool is_apart(const zh_weights *weights, int slot) {
  return weights->whole[slot].tensor && !(slot == ZH_HEAD && ties_head(weights));
}

size_t zh_weights_count(const zh_weights *weights) {
  size_t count = weights->in_layers;
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot) count += is_apart(weights, slot);
  return count;
}

zh_weight *zh_weights_at(const zh_weights *weights, size_t i) {
  if (i < weights->in_layers) return weights->here[i];
  int slot = 0;
  for (size_t left = i - weights->in_layers; !is_apart(weights, slot) || left-- > 0;) ++slot;
  return (zh_weight *)&weights->whole[slot];
}

static void add_here(zh_weights *weights, zh_weight *w, int layer) {
  if (!w->tensor) return;
  w->layer = layer;
  weights->here[weights->in_layers++] = w;
}

zh_status zh_weights_list(zh_weights *weights, zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  size_t experts = weights->expert ? (size_t)a->experts * ZH_EXPERT_SLOTS : 0;
  free(weights->here);
  weights->in_layers = 0;
  weights->here = calloc(a->layers * (ZH_LAYER_SLOTS + experts), sizeof(zh_weight *));
  if (!weights->here) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tensor table");
  for (uint32_t l = 0; l < a->layers; ++l) {
    for (int slot = 0; slot < ZH_LAYER_SLOTS; ++slot)
      add_here(weights, &zh_weights_layer(weights, l)[slot], (int)l);
    for (size_t e = 0; e < experts; ++e)
      add_here(weights, &zh_weights_expert(weights, l, 0)[e], (int)l);
  }
  return ZH_OK;
}

void zh_weights_tie_head(zh_weights *weights) {
  if (ties_head(weights)) weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
}

zh_way zh_weight_way(const zh_weight *w, const zh_roundings *rounds, zh_way way) {
  bool bytes = zh_rounding_of(rounds, w->matrix.type, way) == ZH_ROUND_BYTES;
  return w->fine && bytes ? ZH_FINE : way;
}

zh_rounding zh_weight_rounding(const zh_weight *w, const zh_roundings *rounds, zh_way way) {
  bool e4m3 = w->fp8.rows > 0 && zh_rounds_e4m3(rounds, w->fp8.columns, w->matrix.columns, way);
  return e4m3 ? rounds->e4m3 : zh_rounding_of(rounds, w->matrix.type, way);
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

/* Turned rows of a tensor in blocks: each block is taken apart once for all wanted rows that run
 * through it. */
static void turn_values(float *out, const zh_source *s, size_t first, size_t count) {
  enum { BLOCK_MOST = 256 };
  const zh_tensor *stored = s->stored;
  const zh_dtype_info *type = zh_dtype_find((uint32_t)stored->type);
  size_t columns = s->tensor.shape[1], width = stored->shape[stored->dims - 1],
         each = type->block_elements, row_bytes = width / each * type->block_bytes;
  for (size_t r = first, many; r < first + count; r += many, out += many * columns) {
    size_t column = s->from + r % s->run, left = s->run - r % s->run;
    many = each - column % each;
    many = many < left ? many : left;
    many = many < first + count - r ? many : first + count - r;
    const unsigned char *from = (const unsigned char *)stored->data +
                                (s->first + r / s->run * s->stride) * row_bytes +
                                column / each * type->block_bytes;
    for (size_t c = 0; c < columns; ++c) {
      float value[BLOCK_MOST];
      zh_dequantize_row_fast(value, from + c * row_bytes, stored->type, each);
      for (size_t i = 0; i < many; ++i) out[i * columns + c] = value[column % each + i];
    }
  }
}

void zh_weight_make_rows(void *out, const zh_source *source, size_t first, size_t count) {
  if (source->valued)
    turn_values(out, source, first, count);
  else
    zh_source_rows(out, source, first, count);
}

const void *zh_weight_source_row(const zh_weight *w, size_t r, void *buffer) {
  if (w->tensor->data) return (const unsigned char *)w->tensor->data + zh_weight_offset(w, r);
  zh_weight_make_rows(buffer, w->source, w->first_row + r, 1);
  return (unsigned char *)buffer + bytes_of(w, w->first_column);
}

/* --- vectors as fp32, copied: a read of a mapped file brings many pages around it into memory ---
 */

/* Norms that add 1 to their gains (zh_norm_kind) have it added here. */
void zh_weight_vector(float *out, const zh_weights *weights, const zh_weight *w) {
  bool plus_one = w->is_norm && weights->architecture.norm == ZH_NORM_RMS_PLUS_ONE;
  zh_dequantize_row(out, w->matrix.data, w->matrix.type, w->matrix.columns);
  for (size_t i = 0; plus_one && i < w->matrix.columns; ++i) out[i] += 1;
}

static bool is_vector(const zh_weight *w) {
  return w->tensor->dims == 1;
}

zh_status zh_weights_set_gains(zh_weights *weights, zh_error *err) {
  size_t floats = 0, used = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (is_vector(zh_weights_at(weights, i))) floats += zh_weights_at(weights, i)->matrix.columns;
  if (!weights->gains) weights->gains = malloc(floats * sizeof(float) + 1);
  if (!weights->gains)
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu values of norms", floats);
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (!is_vector(w)) continue;
    float *copy = weights->gains + used;
    used += w->matrix.columns;
    zh_weight_vector(copy, weights, w);
    w->gain = copy;
  }
  return ZH_OK;
}

zh_status zh_weights_open(zh_weights *out, const zh_model *model, zh_part part, zh_threads *threads,
                          zh_error *err) {
  ZH_TRY(zh_weights_describe(out, model, err));
  zh_status status = zh_weights_cut(out, part, err);
  if (status == ZH_OK) {
    int64_t begun = zh_now_ns();
    status = zh_weights_generate(out, threads, err);
    if (out->generated) out->load.generate_s = (double)(zh_now_ns() - begun) / 1e9;
  }
  if (status == ZH_OK) status = zh_weights_set_gains(out, err);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}

void zh_weights_close(zh_weights *weights) {
  free(weights->layer);
  free(weights->expert);
  free(weights->here);
  free(weights->sources);
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
