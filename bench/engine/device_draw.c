/* Tokens drawn on the device, many steps without the host between: a step of one sequence is a
 * graph as a greedy one's, with a draw behind its answer. The rule and its counter lie on the
 * device, so that one graph does for all.
 *
 * Of several ranks each that has the head draws: all of them have gathered all rows of the logits,
 * and what they do with these is made of whole numbers (kernels/drawing.h), so that they draw
 * alike. Where layers are divided the others are told. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"

/* What drawing needs there besides. */
struct zh_device_drawing {
  zh_draw_rule *how;
  uint64_t *weights; /* [vocab] */
  zh_device_graph *graph;
};

bool zh_engine_draws(const zh_engine *e) {
  return zh_engine_generates(e) && e->device->api->draw;
}

void zh_device_end_drawing(zh_device_engine *d) {
  zh_device_drawing *drawing = d->drawing;
  if (!drawing) return;
  d->api->release_graph(d->device, drawing->graph);
  d->api->release(d->device, drawing->weights);
  d->api->release(d->device, drawing->how);
  free(drawing);
  d->drawing = NULL;
}

static zh_status enqueue_step(zh_engine *e, zh_error *err) {
  zh_device_engine *d = e->device;
  const zh_device_drawing *drawing = d->drawing;
  zh_device_pass p = {.e = e,
                      .d = d,
                      .tokens = 1,
                      .wanted = zh_engine_has_head(e),
                      .way = zh_way_of(1),
                      .expert_way = zh_expert_way(&e->architecture, 1)};
  zh_device_draw draw = {.out = d->answer,
                         .chosen = zh_device_chosen(e, 1),
                         .how = drawing->how,
                         .z = d->value[ZH_VALUE_LOGITS],
                         .weights = drawing->weights,
                         .tokens = 1,
                         .vocab = e->architecture.vocab};
  ZH_TRY(zh_device_enqueue(&p, err));
  d->api->mark(d->device, "drawing", -1);
  if (p.wanted > 0) {
    ZH_TRY(d->api->answer(d->device, draw.out, draw.chosen, draw.z, 1, draw.vocab, err));
    ZH_TRY(d->api->draw(d->device, &draw, err));
  }
  ZH_TRY(zh_device_share_answers(e, 1, err));
  return d->api->advance(d->device, d->tokens.position, 1, err);
}

static zh_status prepare(zh_engine *e, size_t events, zh_error *err) {
  zh_device_engine *d = e->device;
  if (d->late.status != ZH_OK) return zh_fail(err, d->late.status, "%s", d->late.message);
  ZH_TRY(zh_device_make_events(d, events, err));
  size_t bytes = e->architecture.vocab * sizeof(uint64_t);
  zh_error ending = ZH_ERROR_INIT; /* a capture that failed is ended, too */
  if (d->drawing && d->drawing->graph) return ZH_OK;
  if (!d->drawing) d->drawing = calloc(1, sizeof *d->drawing);
  if (!d->drawing) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to draw tokens");
  zh_device_drawing *drawing = d->drawing;
  if (!drawing->how)
    ZH_TRY(d->api->alloc(d->device, (void **)&drawing->how, sizeof *drawing->how, "a rule", err));
  if (!drawing->weights)
    ZH_TRY(d->api->alloc(d->device, (void **)&drawing->weights, bytes, "weights of tokens", err));
  ZH_TRY(d->api->begin_graph(d->device, err));
  zh_status status = enqueue_step(e, err),
            ended = d->api->end_graph(d->device, &drawing->graph, &ending);
  if (status != ZH_OK) return status;
  return ended == ZH_OK ? ZH_OK : zh_fail(err, ended, "%s", ending.message);
}

/* The rule, the first token, its position; sequence and row 0. */
static zh_status send_first(zh_device_engine *d, const zh_draw_rule *how, uint32_t first,
                            uint32_t position, zh_error *err) {
  const uint32_t words[] = {first, position, 0, 0};
  uint32_t *to[] = {d->tokens.token, d->tokens.position, d->tokens.sequence, d->tokens.wanted},
           *from = (uint32_t *)(void *)(d->staging + sizeof *how);
  memcpy(d->staging, how, sizeof *how);
  memcpy(from, words, sizeof words);
  ZH_TRY(d->api->upload(d->device, d->drawing->how, d->staging, sizeof *how, err));
  for (size_t i = 0; i < 4; ++i)
    ZH_TRY(d->api->upload(d->device, to[i], from + i, sizeof *words, err));
  return d->api->wait(d->device, err);
}

/* Each token when its step is done, while the device is at the next ones; what `each` fails with
 * ends nothing on the device. */
static zh_status hand_over(zh_device_engine *d, size_t steps, uint32_t *out, zh_token_sink each,
                           void *user, zh_error *err) {
  zh_status status = ZH_OK;
  for (size_t i = 0; each && i < steps && status == ZH_OK; ++i) {
    double seconds;
    ZH_TRY(d->api->elapsed_s(d->device, &seconds, d->event[0], d->event[i + 1], err));
    memcpy(out + i, d->staging + i * sizeof *out, sizeof *out);
    status = each(user, out[i], err);
  }
  ZH_TRY(zh_device_wait(d, status == ZH_OK ? err : NULL));
  memcpy(out, d->staging, steps * sizeof *out);
  return status;
}

static zh_status draw_here(zh_engine *e, const zh_draw_rule *how, uint32_t first, uint32_t position,
                           size_t steps, uint32_t *out, zh_token_sink each, void *user,
                           zh_error *err) {
  zh_device_engine *d = e->device;
  d->api->mark(d->device, "drawing", -1);
  ZH_TRY(send_first(d, how, first, position, err));
  ZH_TRY(d->api->record(d->device, d->event[0], err));
  for (size_t i = 0; i < steps; ++i) {
    ZH_TRY(d->api->launch(d->device, d->drawing->graph, err));
    ZH_TRY(d->api->download(d->device, d->staging + i * sizeof *out, d->tokens.token, sizeof *out,
                            err));
    if (each) ZH_TRY(d->api->record(d->device, d->event[i + 1], err));
  }
  d->computed[0] = e->length[0] += (uint32_t)steps;
  zh_engine_mark_nothing(e);
  return hand_over(d, steps, out, each, user, err);
}

zh_status zh_engine_draw(zh_engine *e, const zh_draw_rule *how, uint32_t first, uint32_t position,
                         size_t steps, uint32_t *out, zh_token_sink each, void *user,
                         zh_error *err) {
  if (e->length[0] != position || position + steps > e->context || steps > ZH_DRAW_STEPS_MAX)
    return zh_fail(err, ZH_ERR_ARG,
                   "%zu tokens from position %" PRIu32
                   " on cannot be drawn: the sequence has %" PRIu32 " of at most %" PRIu32
                   " positions, and %d are drawn at once",
                   steps, position, e->length[0], e->context, ZH_DRAW_STEPS_MAX);
  size_t events = each ? steps + 1 : 1;
  ZH_TRY(zh_device_agree(e, prepare(e, events, err), err)); /* no graph waits in vain */
  return zh_device_agree(e, draw_here(e, how, first, position, steps, out, each, user, err), err);
}
