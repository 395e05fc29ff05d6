/* Greedy generation without the host between tokens: one step of all sequences - a pass, the
 * choice, the next position - is a graph, or (of small models) one kernel, made once for a number
 * of sequences and launched for each step; answers are copied behind it, and read when all are
 * there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"

bool zh_engine_generates(const zh_engine *engine) {
  return engine->device && engine->sequences <= engine->device->logit_rows && !engine->observer &&
         engine->tamper.kind == ZH_TAMPER_NONE;
}

static zh_status admit(zh_engine *e, uint32_t position, size_t sequences, size_t steps,
                       zh_error *err) {
  if (sequences == 0 || sequences > e->sequences || sequences > e->device->logit_rows)
    return zh_fail(err, ZH_ERR_ARG, "%zu sequences were asked for; the engine holds %" PRIu32,
                   sequences, e->sequences);
  if (position + steps > e->context)
    return zh_fail(err, ZH_ERR_ARG,
                   "%zu tokens from position %" PRIu32 " on are outside the context of %" PRIu32
                   " positions",
                   steps, position, e->context);
  for (size_t s = 0; s < sequences; ++s)
    if (e->length[s] != position)
      return zh_fail(err, ZH_ERR_ARG,
                     "sequence %zu is at position %" PRIu32 ", so position %" PRIu32
                     " cannot come next",
                     s, e->length[s], position);
  return ZH_OK;
}

static zh_status send_first(const zh_device_engine *d, const uint32_t *first, uint32_t position,
                            size_t sequences, zh_error *err) {
  uint32_t *at = (uint32_t *)(void *)d->staging;
  size_t bytes = sequences * sizeof *at;
  uint32_t *to[] = {d->tokens.token, d->tokens.position, d->tokens.sequence, d->tokens.wanted};
  for (size_t s = 0; s < sequences; ++s) {
    at[s] = first[s];
    at[sequences + s] = position;
    at[2 * sequences + s] = at[3 * sequences + s] = (uint32_t)s;
  }
  for (size_t i = 0; i < 4; ++i)
    ZH_TRY(d->api->upload(d->device, to[i], at + i * sequences, bytes, err));
  return d->api->wait(d->device, err);
}

/* What a step is, from the tokens on the device to the next ones. */
static zh_status enqueue_step(zh_engine *e, size_t sequences, zh_error *err) {
  zh_device_engine *d = e->device;
  zh_device_pass p = {.e = e,
                      .d = d,
                      .tokens = sequences,
                      .wanted = zh_engine_has_head(e) ? sequences : 0,
                      .way = zh_way_of(sequences),
                      .expert_way = zh_expert_way(&e->architecture, sequences)};
  ZH_TRY(zh_device_enqueue(&p, err));
  d->api->mark(d->device, "choice", -1);
  if (p.wanted > 0)
    ZH_TRY(d->api->answer(d->device, d->answer, zh_device_chosen(e, sequences),
                          d->value[ZH_VALUE_LOGITS], sequences, e->architecture.vocab, err));
  ZH_TRY(zh_device_share_answers(e, sequences, err));
  return d->api->advance(d->device, d->tokens.position, sequences, err);
}

/* --- a graph, or one kernel that stays --- */

/* Boundaries between the kernels of a graph are about a tenth of a step at this size, and less
 * beyond. */
static const uint64_t PERSISTS_PARAMETERS = 8500000000;
enum { PERSISTS_SEQUENCES = 8 };

typedef enum zh_decode_form { DECODE_CHOSEN, DECODE_GRAPH, DECODE_PERSISTENT } zh_decode_form;

static zh_status form_asked_for(zh_decode_form *out, zh_error *err) {
  const char *asked = getenv("ZH_GPU_DECODE");
  *out = DECODE_CHOSEN;
  if (!asked || !*asked) return ZH_OK;
  if (strcmp(asked, "graph") == 0)
    *out = DECODE_GRAPH;
  else if (strcmp(asked, "persistent") == 0)
    *out = DECODE_PERSISTENT;
  else
    return zh_fail(err, ZH_ERR_ARG, "ZH_GPU_DECODE is '%s'; it may be 'graph' or 'persistent'",
                   asked);
  return ZH_OK;
}

static bool is_small(const zh_engine *e, size_t sequences) {
  uint64_t parameters = 0;
  for (size_t i = 0; i < zh_weights_count(&e->weights); ++i)
    parameters += zh_weights_at(&e->weights, i)->tensor->elements;
  return sequences <= PERSISTS_SEQUENCES && parameters <= PERSISTS_PARAMETERS;
}

static zh_status capture_as(zh_engine *e, size_t sequences, bool persists, zh_error *err) {
  zh_device_engine *d = e->device;
  zh_error ending = ZH_ERROR_INIT; /* a capture that failed is ended, too */
  ZH_TRY(persists ? d->api->begin_program(d->device, err) : d->api->begin_graph(d->device, err));
  zh_status status = enqueue_step(e, sequences, err);
  zh_status ended = persists ? d->api->end_program(d->device, &d->graph, &ending)
                             : d->api->end_graph(d->device, &d->graph, &ending);
  if (status == ZH_OK && ended != ZH_OK) return zh_fail(err, ended, "%s", ending.message);
  if (status == ZH_OK) return ZH_OK;
  d->api->release_graph(d->device, d->graph);
  d->graph = NULL;
  return status;
}

/* What has no place in one kernel, or a device that cannot: then the graph, unless the kernel was
 * asked for. */
static zh_status capture_any(zh_engine *e, size_t sequences, zh_error *err) {
  zh_device_engine *d = e->device;
  zh_decode_form form;
  ZH_TRY(form_asked_for(&form, err));
  d->persists = form == DECODE_PERSISTENT || (form == DECODE_CHOSEN && is_small(e, sequences));
  bool divided = d->tied || d->line;
  if (d->persists && (divided || !d->api->begin_program)) {
    if (form == DECODE_PERSISTENT && divided)
      return zh_fail(err, ZH_ERR_LACKING,
                     "a model that several ranks hold has no persistent kernel (ZH_GPU_DECODE)");
    if (form == DECODE_PERSISTENT)
      return zh_fail(err, ZH_ERR_LACKING,
                     "the module '%s' has no persistent kernel (ZH_GPU_DECODE)", d->api->backend);
    d->persists = false;
  }
  if (!d->persists || form == DECODE_PERSISTENT) return capture_as(e, sequences, d->persists, err);
  zh_status status = capture_as(e, sequences, true, err);
  if (status != ZH_ERR_LACKING) return status;
  if (err) *err = (zh_error)ZH_ERROR_INIT;
  d->persists = false;
  return capture_as(e, sequences, false, err);
}

const char *zh_device_decode_form(const zh_device_engine *d) {
  return !d->graph ? NULL : d->persists ? "persistent" : "graph";
}

static zh_status capture(zh_engine *e, size_t sequences, zh_error *err) {
  zh_device_engine *d = e->device;
  if (d->graph && d->graph_sequences == sequences && d->graph_left_out == e->layers_left_out)
    return ZH_OK;
  d->api->release_graph(d->device, d->graph);
  d->graph = NULL;
  ZH_TRY(capture_any(e, sequences, err));
  d->graph_sequences = sequences;
  d->graph_left_out = e->layers_left_out;
  return ZH_OK;
}

zh_status zh_device_make_events(zh_device_engine *d, size_t count, zh_error *err) {
  if (count <= d->events) return ZH_OK;
  zh_device_event **grown = realloc(d->event, count * sizeof(zh_device_event *));
  if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for events");
  d->event = grown;
  for (; d->events < count; ++d->events)
    ZH_TRY(d->api->event(d->device, &d->event[d->events], err));
  return ZH_OK;
}

/* As many steps as answers have room in the staging memory. */
static zh_status run_steps(zh_engine *e, size_t sequences, size_t steps, zh_generated *out,
                           double *step_ns, zh_error *err) {
  zh_device_engine *d = e->device;
  size_t bytes = sequences * sizeof(zh_device_answer);
  const zh_device_answer *answers = (const zh_device_answer *)(const void *)d->staging;
  ZH_TRY(d->api->record(d->device, d->event[0], err));
  for (size_t i = 0; i < steps; ++i) {
    ZH_TRY(d->api->launch(d->device, d->graph, err));
    ZH_TRY(d->api->download(d->device, d->staging + i * bytes, d->answer, bytes, err));
    ZH_TRY(d->api->record(d->device, d->event[i + 1], err));
  }
  ZH_TRY(zh_device_wait(d, err));
  for (size_t i = 0; i < steps * sequences; ++i)
    out[i] = (zh_generated){answers[i].chosen, answers[i].logit_bits, answers[i].bits_sum};
  for (size_t i = 0; i < steps; ++i) {
    double seconds = 0;
    ZH_TRY(d->api->elapsed_s(d->device, &seconds, d->event[i], d->event[i + 1], err));
    if (step_ns) step_ns[i] = seconds * 1e9;
  }
  return ZH_OK;
}

static zh_status prepare_here(zh_engine *e, size_t sequences, size_t steps, zh_error *err) {
  zh_device_engine *d = e->device;
  d->steps_at_once = d->staging_bytes / (sequences * sizeof(zh_device_answer));
  if (steps < d->steps_at_once) d->steps_at_once = steps;
  ZH_TRY(zh_device_make_events(d, d->steps_at_once + 1, err));
  return capture(e, sequences, err);
}

zh_status zh_engine_prepare_generation(zh_engine *e, size_t sequences, size_t steps,
                                       zh_error *err) {
  const zh_device_engine *d = e->device;
  if (!d || sequences == 0 || sequences > d->logit_rows) return ZH_OK;
  return zh_device_agree(e, prepare_here(e, sequences, steps, err), err);
}

static zh_status generate_here(zh_engine *e, const uint32_t *first, uint32_t position,
                               size_t sequences, size_t steps, zh_generated *out, double *step_ns,
                               zh_error *err) {
  zh_device_engine *d = e->device;
  if (d->late.status != ZH_OK) return zh_fail(err, d->late.status, "%s", d->late.message);
  ZH_TRY(prepare_here(e, sequences, steps, err));
  d->api->mark(d->device, "generating", -1);
  ZH_TRY(send_first(d, first, position, sequences, err));
  for (size_t done = 0, some; done < steps; done += some) {
    some = steps - done < d->steps_at_once ? steps - done : d->steps_at_once;
    ZH_TRY(run_steps(e, sequences, some, out + done * sequences, step_ns ? step_ns + done : NULL,
                     err));
  }
  for (size_t s = 0; s < sequences; ++s) d->computed[s] = e->length[s] += (uint32_t)steps;
  zh_engine_mark_nothing(e);
  return ZH_OK;
}

zh_status zh_engine_generate(zh_engine *e, const uint32_t *first, uint32_t position,
                             size_t sequences, size_t steps, zh_generated *out, double *step_ns,
                             zh_error *err) {
  ZH_TRY(admit(e, position, sequences, steps, err));
  zh_status status = generate_here(e, first, position, sequences, steps, out, step_ns, err);
  return zh_device_agree(e, status, err);
}
