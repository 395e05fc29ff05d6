/* GPUs of several ranks that compute one model: the groups (kernels/device_group.h) that they make,
 * and where a pass gives and takes. Ranks that divide heads and columns are tied by sums and
 * gatherings; where layers are divided, all ranks stand in a line of stages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/comm_exchange.h"
#include "bench/engine/device_engine.h"

/* Of a message that goes in one piece, at most. */
static const size_t PIECE = (size_t)16 << 20;

const char *const zh_group_words[] = {"auto", "peer", "nccl", NULL};

/* --- opening --- */

typedef struct wish {
  const zh_comm *comm;
  int nodes; /* over which its ranks lie */
  zh_group_choice choice;
  double patience_s;
} wish;

static size_t piece_of(const zh_engine *engine) {
  size_t floats = (size_t)engine->micro_batch * engine->architecture.hidden,
         bytes = floats * sizeof(float);
  return bytes < PIECE ? bytes : PIECE;
}

static zh_status open_as(zh_device_group **out, const zh_engine *engine, const wish *w,
                         zh_device_group_kind kind, zh_error *err) {
  const zh_device_engine *d = engine->device;
  zh_device_group_plan plan = {.kind = kind,
                               .exchange = zh_comm_exchange(w->comm),
                               .most_bytes = piece_of(engine),
                               .patience_s = w->patience_s};
  return d->api->groups->open(d->device, out, &plan, err);
}

static zh_status say_neither(const wish *w, const zh_error *peer, const zh_error *nccl,
                             zh_error *err) {
  if (w->nodes > 1)
    return zh_fail(err, nccl->status,
                   "GPUs of %d nodes compute one model through NCCL, which is not to be had here: "
                   "%s",
                   w->nodes, nccl->message);
  return zh_fail(
      err, nccl->status,
      "the GPUs of %d ranks reach each other neither directly (%s) nor through NCCL (%s)",
      w->comm->size, peer->message, nccl->message);
}

/* Peer memory where it can be, else NCCL. What fails on one rank fails on all, and so all take the
 * same way. */
static zh_status open_group(zh_device_group **out, zh_device_group_kind *kind, zh_engine *engine,
                            const wish *w, zh_error *err) {
  zh_device_engine *d = engine->device;
  zh_error peer = ZH_ERROR_INIT, nccl = ZH_ERROR_INIT;
  *kind = ZH_GROUP_PEER;
  if (w->choice == ZH_GROUP_BY_PEER) return open_as(out, engine, w, *kind, err);
  if (w->choice == ZH_GROUP_AUTO) {
    zh_status status = open_as(out, engine, w, *kind, &peer);
    if (status == ZH_OK) return ZH_OK;
    if (status != ZH_ERR_LACKING) return zh_fail(err, status, "%s", peer.message);
    snprintf(d->group_why, sizeof d->group_why, "%.500s", peer.message);
  }
  *kind = ZH_GROUP_NCCL;
  if (w->choice == ZH_GROUP_BY_NCCL) return open_as(out, engine, w, *kind, err);
  if (open_as(out, engine, w, *kind, &nccl) == ZH_OK) return ZH_OK;
  return say_neither(w, &peer, &nccl, err);
}

/* What the driver says is free is what is left beside the groups' own. */
static zh_status read_facts(zh_device_engine *d, zh_error *err) {
  return d->api->facts(&d->facts, d->index, err);
}

zh_status zh_device_join(zh_engine *engine, const zh_ranks *ranks, zh_error *err) {
  zh_device_engine *d = engine->device;
  const zh_stages *s = &engine->stages;
  const zh_comm *tied = zh_stages_tied(s);
  if (!s->comm) return ZH_OK;
  if (!d->api->groups)
    return zh_fail(err, ZH_ERR_LACKING,
                   "the module '%s' knows nothing of GPUs that compute together; use the CPU",
                   d->api->backend);
  wish w = {s->comm, s->nodes, ranks->group, ranks->patience_s};
  if (s->part.stages > 1) ZH_TRY(open_group(&d->line, &d->line_by, engine, &w, err));
  w.comm = tied;
  if (s->part.stages > 1) w.nodes = 1;
  if (tied) ZH_TRY(open_group(&d->tied, &d->tied_by, engine, &w, err));
  return read_facts(d, err);
}

void zh_device_leave(zh_device_engine *d) {
  if (d->tied) d->api->groups->close(d->tied);
  if (d->line) d->api->groups->close(d->line);
  d->tied = d->line = NULL;
}

static json_t *group_json(const zh_device_engine *d, zh_device_group_kind kind) {
  char library[64] = "";
  (void)!d->api->groups->library(library, sizeof library, kind, NULL);
  return json_pack("{s:s,s:s}", "kind", zh_device_group_name(kind), "library", library);
}

json_t *zh_engine_group_json(const zh_engine *engine) {
  const zh_device_engine *d = engine->device;
  if (!d || (!d->tied && !d->line)) return NULL;
  json_t *fact = json_object();
  if (d->tied) json_object_set_new(fact, "parts", group_json(d, d->tied_by));
  if (d->line) json_object_set_new(fact, "stages", group_json(d, d->line_by));
  json_object_set_new(fact, "why", json_string(d->group_why));
  return fact;
}

/* --- waiting, and failing together --- */

static zh_status wait_for_ranks(zh_device_engine *d, zh_error *err) {
  if (d->tied) ZH_TRY(d->api->groups->wait(d->tied, err));
  return d->line ? d->api->groups->wait(d->line, err) : ZH_OK;
}

zh_status zh_device_wait(zh_device_engine *d, zh_error *err) {
  if (!d->tied && !d->line) return d->api->wait(d->device, err);
  /* The device's own would wait for ever where one does not come to NCCL's; after this it says whose
   * failure it was. */
  zh_status status = wait_for_ranks(d, err);
  if (status != ZH_OK && d->api->wait(d->device, NULL) == ZH_OK) d->deserted = true;
  return status;
}

/* Of the ranks that failed the one whose error becomes everybody's, by what all of them say: the
 * lowest, but one whose own work failed before all that waited in vain. */
static double loudness(const zh_engine *engine, zh_status mine) {
  const zh_comm *comm = engine->stages.comm;
  if (mine == ZH_OK) return 0;
  return comm->size - comm->rank + (engine->device->deserted ? 0 : comm->size);
}

zh_status zh_device_agree(const zh_engine *engine, zh_status mine, zh_error *err) {
  const zh_comm *comm = engine->stages.comm;
  zh_error shared = err ? *err : (zh_error)ZH_ERROR_INIT;
  if (!comm) return mine;
  double loudest = loudness(engine, mine);
  ZH_TRY(comm->max_f64(comm, &loudest, 1, err));
  if (loudest == 0) return ZH_OK;
  int place = (int)loudest > comm->size ? (int)loudest - comm->size : (int)loudest;
  shared.status = mine;
  shared.rank = comm->rank;
  ZH_TRY(comm->broadcast(comm, &shared, sizeof shared, comm->size - place, err));
  if (err) *err = shared;
  return shared.status;
}

/* --- sums and logits, between the ranks that divide heads and columns --- */

zh_status zh_device_sum_parts(zh_device_pass *p, float *x, int layer, zh_error *err) {
  zh_device_engine *d = p->d;
  if (!d->tied) return ZH_OK;
  d->api->mark(d->device, "sum over ranks", zh_device_layer_of_model(p, layer));
  return d->api->groups->all_reduce(d->tied, x, p->tokens * p->e->architecture.hidden, err);
}

/* Rows of the vocabulary that a rank has. */
typedef struct span {
  size_t begin, count;
} span;

static span span_of(const zh_engine *engine, int index) {
  size_t begin, end;
  zh_share(&begin, &end, engine->architecture.vocab, zh_weights_vocab_grain(&engine->weights),
           index, engine->stages.part.parts);
  return (span){begin, end - begin};
}

size_t zh_device_gathered_floats(const zh_engine *engine) {
  size_t parts = (size_t)engine->stages.part.parts;
  if (parts == 1 || !zh_engine_has_head(engine)) return 0;
  return parts * zh_device_logit_rows(engine) * span_of(engine, 0).count; /* none is wider */
}

/* One row of even parts lies as it is gathered. */
static bool lies_in_order(const zh_engine *engine, size_t rows) {
  size_t parts = (size_t)engine->stages.part.parts;
  return rows == 1 && parts * span_of(engine, 0).count == engine->architecture.vocab;
}

float *zh_device_part_of_logits(const zh_device_pass *p, size_t rows) {
  const zh_engine *e = p->e;
  size_t index = (size_t)e->stages.part.index;
  if (!p->d->tied) return p->d->value[ZH_VALUE_LOGITS];
  if (lies_in_order(e, rows)) return p->d->value[ZH_VALUE_LOGITS] + span_of(e, (int)index).begin;
  return p->d->gathered + index * rows * span_of(e, 0).count;
}

zh_status zh_device_gather_logits(zh_device_pass *p, size_t rows, zh_error *err) {
  const zh_engine *e = p->e;
  zh_device_engine *d = p->d;
  size_t vocab = e->architecture.vocab, each = rows * span_of(e, 0).count;
  float *logits = d->value[ZH_VALUE_LOGITS], *mine = zh_device_part_of_logits(p, rows);
  if (!d->tied) return ZH_OK;
  d->api->mark(d->device, "gathering logits", -1);
  if (lies_in_order(e, rows))
    return d->api->groups->all_gather(d->tied, logits, mine, each * sizeof *mine, err);
  ZH_TRY(d->api->groups->all_gather(d->tied, d->gathered, mine, each * sizeof *mine, err));
  for (int index = 0; index < e->stages.part.parts; ++index) {
    span s = span_of(e, index);
    zh_device_slices part = {.to = logits + s.begin,
                             .from = d->gathered + (size_t)index * each,
                             .to_stride = vocab,
                             .from_stride = s.count,
                             .width = s.count,
                             .rows = rows};
    ZH_TRY(d->api->slices(d->device, &part, err));
  }
  return ZH_OK;
}

/* --- hidden states and answers, along the stages --- */

static zh_status move_states(zh_device_pass *p, int to, int from, zh_error *err) {
  zh_device_engine *d = p->d;
  float *x = d->value[ZH_VALUE_X];
  zh_device_move work = {.out = to < 0 ? NULL : x,
                         .to = to,
                         .in = from < 0 ? NULL : x,
                         .from = from,
                         .bytes = p->tokens * p->e->architecture.hidden * sizeof *x};
  if (to < 0 && from < 0) return ZH_OK;
  d->api->mark(d->device, "hidden states between stages", -1);
  return d->api->groups->move(d->line, &work, err);
}

zh_status zh_device_take_states(zh_device_pass *p, zh_error *err) {
  return move_states(p, -1, p->e->stages.before, err);
}

zh_status zh_device_give_states(zh_device_pass *p, zh_error *err) {
  return move_states(p, p->e->stages.after, -1, err);
}

uint32_t *zh_device_chosen(const zh_engine *engine, size_t sequences) {
  const zh_device_engine *d = engine->device;
  return d->line ? (uint32_t *)(void *)(d->answer + sequences) : d->tokens.token;
}

zh_status zh_device_share_answers(zh_engine *engine, size_t sequences, zh_error *err) {
  zh_device_engine *d = engine->device;
  size_t tokens = sequences * sizeof(uint32_t), bytes = sequences * sizeof *d->answer + tokens;
  if (!d->line) return ZH_OK;
  d->api->mark(d->device, "answers to all stages", -1);
  ZH_TRY(d->api->groups->broadcast(d->line, d->answer, bytes, engine->stages.head, err));
  return d->api->copy(d->device, d->tokens.token, zh_device_chosen(engine, sequences), tokens, err);
}

/* --- for observers, on the host: what the sums are made of, by another way than theirs --- */

zh_status zh_device_show_parts(zh_engine *engine, float *all, const float *mine, size_t floats,
                               zh_error *err) {
  zh_exchange exchange = zh_comm_exchange(zh_stages_tied(&engine->stages));
  ++engine->device->exchanged;
  return exchange.gather(exchange.context, all, mine, floats * sizeof *mine, err);
}

static size_t sums_of_pass(const zh_engine *engine) {
  const zh_program *program = &engine->device->program;
  size_t sums = 0;
  for (size_t i = 1; i < program->begin[program->layers]; ++i) {
    int layer;
    const zh_instruction *is = zh_program_at(program, i, &layer);
    sums += is->out == ZH_VALUE_DELTA && !zh_device_is_left_out(engine, layer);
  }
  return sums;
}

void zh_device_sit_out(zh_engine *engine, size_t tokens, size_t most) {
  zh_device_engine *d = engine->device;
  if (!d->tied || !engine->observer) return;
  size_t sums = sums_of_pass(engine), hidden = engine->architecture.hidden;
  float *zeros = calloc(most * hidden, sizeof *zeros),
        *all = calloc((size_t)engine->stages.part.parts * most * hidden, sizeof *all);
  for (size_t left = tokens, some; zeros && all && left > 0; left -= some) {
    some = left < most ? left : most;
    while (d->exchanged < sums)
      if (zh_device_show_parts(engine, all, zeros, some * hidden, NULL) != ZH_OK) left = some;
    d->exchanged = 0;
  }
  free(zeros);
  free(all);
}
