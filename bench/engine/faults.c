#include "bench/engine/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/inside.h"
#include "core/philox.h"

/* Philox streams; workloads use small numbers, trial.c those from 1000 on. */
enum { STREAM_WEIGHT = 2000, STREAM_STRIKE, STREAM_STRUCK, STREAM_PLACE };

bool zh_fault_strikes_here(const zh_trial *trial) {
  const zh_job *job = trial->job;
  /* A choice that is lost is lost where its expert is, on whichever rank. */
  bool shared_out = trial->engine->weights.whole_experts && job->fault == ZH_FAULT_EXPERT;
  bool everywhere = job->fault == ZH_FAULT_TOKEN || job->fault == ZH_FAULT_LAYER ||
                    job->fault == ZH_FAULT_LAYERS || job->fault == ZH_FAULT_EXPERTS || shared_out;
  if (!zh_job_is_parallel(job) || everywhere) return true;
  return zh_trial_draw(trial, STREAM_STRUCK) % (uint32_t)job->comm->size ==
         (uint32_t)job->comm->rank;
}

/* --- from the beginning --- */

static zh_status say(zh_trial *trial, json_t *what, zh_error *err) {
  return zh_trial_fact(trial, "injected", what, err);
}

static zh_status flip_weight(zh_trial *trial, zh_error *err) {
  char what[128];
  uint64_t seed = trial->job->seed ^ zh_trial_draw(trial, STREAM_WEIGHT);
  if (trial->engine->device)
    ZH_TRY(zh_device_flip_weight(trial->engine, seed, what, sizeof what, err));
  else
    ZH_TRY(zh_weights_flip(&trial->engine->weights, seed, what, sizeof what, err));
  return say(trial, json_sprintf("weight: %s", what), err);
}

/* A quarter of the layers, one at least, is never computed. */
static zh_status leave_out_layers(zh_trial *trial, zh_error *err) {
  uint32_t layers = trial->engine->architecture.layers;
  trial->engine->layers_left_out = layers >= 8 ? layers / 4 : 1;
  return say(trial,
             json_sprintf("layers: the last %u of %u", trial->engine->layers_left_out, layers),
             err);
}

static bool has_experts(const zh_architecture *a) {
  for (uint32_t layer = 0; layer < a->layers; ++layer)
    if (zh_layer_is(a, layer, ZH_LAYER_EXPERTS)) return true;
  return false;
}

static zh_status need_experts(const zh_trial *trial, zh_error *err) {
  const char *model = zh_model_name(trial->model);
  if (!has_experts(&trial->engine->weights.total.architecture))
    return zh_fail(err, ZH_ERR_INPUT, "%s: a dense model has no experts that could be left out",
                   model);
  if (trial->engine->architecture.experts_used > 1) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: each token goes to one expert alone, so none can be left out", model);
}

/* Every token goes to one expert fewer. */
static zh_status leave_out_experts(zh_trial *trial, zh_error *err) {
  ZH_TRY(need_experts(trial, err));
  uint32_t used = trial->engine->architecture.experts_used--;
  return say(trial, json_sprintf("experts: %u of a token, not %u", used - 1, used), err);
}

/* The same matrix of another layer, or NULL: layers may be of several kinds. first: of the others,
 * where to begin. */
static const zh_weight *counterpart(const zh_weights *weights, const zh_weight *w, uint32_t first) {
  uint32_t layers = weights->architecture.layers, layer = (uint32_t)w->layer;
  bool expert =
      weights->expert && w >= weights->expert && w < zh_weights_expert(weights, layers, 0);
  size_t place = (size_t)(expert ? w - zh_weights_expert(weights, layer, 0)
                                 : w - zh_weights_layer(weights, layer));
  for (uint32_t i = 0; i + 1 < layers; ++i) {
    uint32_t other = (layer + 1 + (first + i) % (layers - 1)) % layers;
    const zh_weight *from = expert ? zh_weights_expert(weights, other, 0) + place
                                   : zh_weights_layer(weights, other) + place;
    if (from->tensor && from->matrix.rows == w->matrix.rows &&
        from->matrix.columns == w->matrix.columns)
      return from;
  }
  return NULL;
}

/* A matrix of one layer computes with another layer's weights. */
static zh_status swap_weights(zh_trial *trial, zh_error *err) {
  zh_weights *weights = &trial->engine->weights;
  uint32_t random[2];
  zh_random_fill(random, 2, trial->job->seed, STREAM_PLACE, 0);
  size_t count = zh_weights_count(weights);
  for (size_t i = 0; i < count; ++i) {
    zh_weight *w = zh_weights_at(weights, (random[0] + i) % count);
    const zh_weight *from = w->layer >= 0 && !w->gain ? counterpart(weights, w, random[1]) : NULL;
    if (!from) continue;
    if (trial->engine->device) {
      ZH_TRY(zh_device_swap_weight(trial->engine, w, from, err));
    } else {
      w->matrix = from->matrix;
      w->packed = from->packed;
    }
    return say(trial, json_sprintf("swap: %s is %s", w->tensor->name, from->tensor->name), err);
  }
  return zh_fail(err, ZH_ERR_INPUT, "%s: no layer that is computed here has another one like it",
                 zh_model_name(trial->model));
}

/* Where the values of a block lie, and which of their bits are kept: half of them, or the upper
 * half of the fraction. */
static void coarsen_block(unsigned char *block, zh_dtype type) {
  static const struct {
    zh_dtype type;
    size_t first, step, end;
    unsigned char mask;
  } parts[] = {
      {ZH_F32, 0, 4, 4, 0x00},      {ZH_F32, 1, 4, 4, 0x00},     {ZH_F16, 0, 2, 2, 0x00},
      {ZH_BF16, 0, 2, 2, 0xf0},     {ZH_Q8_0, 2, 1, 34, 0xf0},   {ZH_Q4_0, 2, 1, 18, 0xcc},
      {ZH_Q4_1, 4, 1, 20, 0xcc},    {ZH_Q5_0, 6, 1, 22, 0xcc},   {ZH_Q5_1, 8, 1, 24, 0xcc},
      {ZH_Q4_K, 16, 1, 144, 0xcc},  {ZH_Q5_K, 48, 1, 176, 0xcc}, {ZH_Q6_K, 0, 1, 128, 0x88},
      {ZH_Q2_K, 16, 1, 80, 0xaa},   {ZH_Q3_K, 32, 1, 96, 0xaa},  {ZH_IQ4_NL, 2, 1, 18, 0xcc},
      {ZH_IQ4_XS, 8, 1, 136, 0xcc}, {ZH_MXFP4, 1, 1, 17, 0xcc}};
  for (size_t p = 0; p < sizeof parts / sizeof parts[0]; ++p)
    for (size_t i = parts[p].first; parts[p].type == type && i < parts[p].end; i += parts[p].step)
      block[i] &= parts[p].mask;
}

/* One matrix computes with weights of half the bits. */
static zh_status coarsen_weights(zh_trial *trial, zh_error *err) {
  zh_weights *weights = &trial->engine->weights;
  size_t count = zh_weights_count(weights), i = zh_trial_draw(trial, STREAM_PLACE) % count;
  while (zh_weights_at(weights, i)->gain ||
         zh_weights_at(weights, i) == &weights->whole[ZH_EMBEDDING])
    i = (i + 1) % count;
  zh_weight *w = zh_weights_at(weights, i);
  if (trial->engine->device) {
    ZH_TRY(zh_device_coarsen_weight(trial->engine, w, err));
    return say(trial, json_sprintf("precision: half of the bits of %s", w->tensor->name), err);
  }
  const zh_dtype_info *type = zh_dtype_find((uint32_t)w->matrix.type);
  size_t bytes = zh_weight_row_bytes(w), rows = w->matrix.rows;
  ZH_TRY(zh_packed_writable(weights, err));
  ZH_TRY(zh_weights_alter(weights, rows * bytes, err));
  unsigned char *held = weights->altered;
  for (size_t r = 0; r < rows; ++r) {
    unsigned char *row = held + r * bytes;
    memcpy(row, zh_weight_row(w, r, row), bytes);
    for (size_t b = 0; b < bytes; b += type->block_bytes) coarsen_block(row + b, w->matrix.type);
  }
  if (w->packed.data) {
    ZH_TRY(zh_packed_writable(weights, err));
    zh_pack_rows((unsigned char *)(uintptr_t)w->packed.data, w->matrix.type, held, rows, bytes,
                 w->matrix.columns);
  } else {
    w->matrix.data = held;
    w->matrix.row_bytes = bytes;
  }
  return say(trial, json_sprintf("precision: half of the bits of %s", w->tensor->name), err);
}

zh_status zh_fault_install(zh_trial *trial, zh_error *err) {
  trial->fault_done = !zh_fault_strikes_here(trial);
  if (trial->fault_done) return ZH_OK;
  switch (trial->job->fault) {
  case ZH_FAULT_WEIGHT:
    return flip_weight(trial, err);
  case ZH_FAULT_LAYERS:
    return leave_out_layers(trial, err);
  case ZH_FAULT_SWAP:
    return swap_weights(trial, err);
  case ZH_FAULT_PRECISION:
    return coarsen_weights(trial, err);
  case ZH_FAULT_EXPERT:
    return need_experts(trial, err);
  case ZH_FAULT_EXPERTS:
    return leave_out_experts(trial, err);
  default:
    return ZH_OK;
  }
}

/* --- once --- */

/* Bits of a number next to its row's mean that no rounding of activations takes away: of fp32 all
 * that matter, of bf16 the upper 7 of the fraction, of bytes what is more than several steps of a
 * block whose largest is some times the mean, of E4M3 what is two steps. */
static unsigned lowest_flipped_bit(const zh_engine *e) {
  if (e->device && e->kernels->rounds.e4m3 != ZH_ROUND_NONE) return 21;
  if (e->device) return e->kernels->rounds.bf16 == ZH_ROUND_NONE ? 8 : 18;
  return e->prepared[ZH_ROUND_BYTES] ? 21 : e->prepared[ZH_ROUND_BF16] ? 18 : 8;
}

void zh_fault_strike(zh_trial *trial, size_t tokens, bool any_bit) {
  static const zh_tamper_kind kinds[] = {
      [ZH_FAULT_ACTIVATION] = ZH_TAMPER_RESIDUAL, [ZH_FAULT_CACHE] = ZH_TAMPER_CACHE,
      [ZH_FAULT_STALE] = ZH_TAMPER_STALE,         [ZH_FAULT_LAYER] = ZH_TAMPER_LAYER,
      [ZH_FAULT_EXPERT] = ZH_TAMPER_EXPERT,       [ZH_FAULT_TILE] = ZH_TAMPER_TILE};
  zh_engine *e = trial->engine;
  zh_tamper_kind kind = kinds[trial->job->fault];
  if (trial->fault_done || kind == ZH_TAMPER_NONE) return;
  trial->fault_done = true;
  if (kind == ZH_TAMPER_EXPERT && !has_experts(&e->architecture)) return; /* a stage without any */
  uint32_t random[4], layers = e->architecture.layers, hidden = e->architecture.hidden;
  zh_random_fill(random, 4, trial->job->seed, STREAM_STRIKE, 0);
  if (tokens > e->micro_batch) tokens = e->micro_batch;
  e->tamper = (zh_tamper){.kind = kind, .layer = random[0] % layers, .element = random[1]};
  e->tamper.bit = random[3] % 32;
  /* What the last layer adds for a token that is not the last one is never read: there nothing is
   * changed. */
  bool of_stream = kind == ZH_TAMPER_RESIDUAL || kind == ZH_TAMPER_TILE;
  size_t t = kind == ZH_TAMPER_RESIDUAL && layers > 1 ? random[1] % tokens : tokens - 1;
  if (of_stream) {
    e->tamper.layer = layers > 1 ? random[0] % (layers - 1) : 0;
    e->tamper.element = t * hidden + random[2] % hidden;
  }
  while (kind == ZH_TAMPER_EXPERT &&
         !zh_layer_is(&e->architecture, e->tamper.layer, ZH_LAYER_EXPERTS))
    e->tamper.layer = (e->tamper.layer + 1) % layers;
  unsigned lowest = lowest_flipped_bit(e);
  if (kind == ZH_TAMPER_RESIDUAL || !any_bit) e->tamper.bit = lowest + random[3] % (32 - lowest);
}
