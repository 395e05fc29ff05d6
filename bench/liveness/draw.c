#include "bench/liveness/draw.h"

#include "core/philox.h"

enum { STREAM_PROBES = 0x6c697665 };

uint64_t zh_liveness_scalars(const zh_weights *weights) {
  uint64_t all = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    all += zh_weights_at(weights, i)->tensor->elements;
  return all;
}

static uint64_t slice_begin(uint64_t all, size_t slice, size_t count) {
  return (uint64_t)((unsigned __int128)all * slice / count);
}

static bool feeds(const zh_liveness_texts *texts, uint64_t token) {
  for (uint32_t t = 0; t < ZH_LIVENESS_TEXTS; ++t)
    for (uint32_t i = 0; i < texts->length; ++i)
      if (texts->token[t][i] == token) return true;
  return false;
}

/* Where its change first shows: a tied row that no text feeds shows in the head alone. */
static void place(zh_probe *probe, const zh_engine *e, const zh_liveness_texts *texts) {
  const zh_weight *w = probe->weight;
  bool tied = e->architecture.tied_head;
  if (w->layer >= 0) {
    probe->first_layer = (uint32_t)w->layer;
  } else if (w == &e->weights.whole[ZH_EMBEDDING] && (!tied || feeds(texts, probe->row))) {
    probe->lone = !tied;
    probe->first_layer = 0;
  } else {
    probe->first_layer = e->architecture.layers;
  }
}

/* Whose the scalar is, and on which texts it can show itself. */
static void assign(zh_probe *probe, const zh_weights *weights, const zh_reach *reach) {
  const zh_weight *w = probe->weight;
  size_t experts = reach->experts;
  probe->expert = -1;
  if (experts == 0 || w->layer < 0) return;
  const zh_weight *layer = zh_weights_layer(weights, (uint32_t)w->layer),
                  *own = zh_weights_expert(weights, (uint32_t)w->layer, 0);
  probe->sent = w >= own && w < own + experts * ZH_EXPERT_SLOTS;
  if (probe->sent)
    probe->expert = (w - own) / ZH_EXPERT_SLOTS;
  else if (w == &layer[ZH_ROUTER])
    probe->expert = (int64_t)probe->row;
  else if (w == &layer[ZH_ROUTER_BIAS] || w == &layer[ZH_ROUTER_SELECTION_BIAS])
    probe->expert = (int64_t)probe->column;
  if (probe->expert >= 0)
    probe->reached_by = reach->first[(size_t)w->layer * experts + (size_t)probe->expert];
}

void zh_liveness_draw(zh_liveness *out, const zh_engine *engine, const zh_reach *reach) {
  const zh_weights *weights = &engine->weights;
  size_t weight = 0;
  uint64_t before = 0; /* scalars of the weights before this one */
  for (size_t i = 0; i < out->count; ++i) {
    uint32_t bits[2];
    uint64_t begin = slice_begin(out->population, i, out->count);
    uint64_t size = slice_begin(out->population, i + 1, out->count) - begin;
    zh_random_fill(bits, 2, out->seed, STREAM_PROBES, 2 * i);
    uint64_t random = (uint64_t)bits[0] << 32 | bits[1];
    uint64_t at = begin + (uint64_t)((unsigned __int128)random * size >> 64);
    while (at - before >= zh_weights_at(weights, weight)->tensor->elements)
      before += zh_weights_at(weights, weight++)->tensor->elements;
    const zh_weight *w = zh_weights_at(weights, weight);
    zh_probe *probe = &out->probes[i];
    *probe = (zh_probe){.weight = w,
                        .row = (at - before) / w->matrix.columns,
                        .column = (at - before) % w->matrix.columns,
                        .outcome = ZH_PROBE_UNCHANGED};
    place(probe, engine, &out->texts);
    assign(probe, weights, reach);
  }
}

/* zh_source's rule, backwards; weights that codes stand for have no other place than their own. */
zh_probe_place zh_probe_place_of(const zh_probe *probe) {
  const zh_source *s = probe->weight->source;
  const zh_tensor *stored = s->stored;
  bool vector = probe->weight->tensor->dims == 1;
  uint64_t r = vector ? probe->column : probe->row, c = vector ? 0 : probe->column;
  bool several = probe->sent && (s->coded || stored->dims == (vector ? 2 : 3));
  zh_probe_place at = {several ? probe->expert : -1, probe->row, probe->column};
  if (s->coded) return at;
  uint64_t row = s->first + r / s->run * s->stride, step = r % s->run * s->step;
  if (s->turned) {
    at.row = row + c;
    at.column = s->from + step;
  } else {
    at.row = row + step;
    at.column = c;
  }
  if (vector) { /* elements stood for rows */
    uint64_t width = stored->shape[stored->dims - 1];
    at.column = at.row % width;
    at.row = stored->dims > 1 && !several ? at.row / width : 0;
  } else if (several) {
    at.row %= stored->shape[1];
  }
  return at;
}
