/* Log-likelihoods: groups of several items beside each other, what they share computed once. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/quality/examinee.h"

enum { SEQUENCES = 16, LEAST_WANTS = 64, LOGITS_BYTES = 128 << 20 };
static const double CACHE_BYTES = 2e9;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
}

/* ---- the engine and what stands beside it ---- */

/* As many sequences as a cache of CACHE_BYTES holds. */
static uint32_t sequences_for(const zh_architecture *a, size_t positions) {
  double bytes = 2.0 * 4 * a->layers * a->kv_heads * (double)zh_key_dim(a) * (double)positions;
  double fit = bytes > 0 ? CACHE_BYTES / bytes : SEQUENCES;
  return fit < 1 ? 1 : fit > SEQUENCES ? SEQUENCES : (uint32_t)fit;
}

static zh_status make_room(zh_examinee *e, zh_error *err) {
  zh_feed *f = &e->feed;
  e->feed_tokens = ZH_FEED_TOKENS;
  e->feed_wants = LOGITS_BYTES / (sizeof(float) * (size_t)e->vocab);
  if (e->feed_wants < LEAST_WANTS) e->feed_wants = LEAST_WANTS;
  if (e->feed_wants > ZH_FEED_TOKENS) e->feed_wants = ZH_FEED_TOKENS;
  if (e->feed_wants < e->sequences) e->feed_wants = e->sequences;
  f->token = calloc(e->feed_tokens, sizeof *f->token);
  f->position = calloc(e->feed_tokens, sizeof *f->position);
  f->sequence = calloc(e->feed_tokens, sizeof *f->sequence);
  f->want = calloc(e->feed_tokens, sizeof *f->want);
  e->logits = malloc(e->feed_wants * (size_t)e->vocab * sizeof *e->logits);
  e->slots = calloc(e->sequences, sizeof *e->slots);
  bool whole = f->token && f->position && f->sequence && f->want && e->logits && e->slots;
  for (uint32_t s = 0; whole && s < e->sequences; s++) {
    e->slots[s].cached = malloc(e->positions * sizeof *e->slots[s].cached);
    whole = e->slots[s].cached != NULL;
  }
  return whole ? ZH_OK : no_memory(err);
}

zh_status zh_examinee_create(zh_examinee **out, zh_model *model, zh_threads *threads,
                             const zh_speech *speech, size_t positions,
                             const zh_examinee_options *options, zh_error *err) {
  zh_architecture architecture;
  *out = NULL;
  ZH_TRY(zh_model_architecture(&architecture, model, err));
  zh_examinee *e = calloc(1, sizeof *e);
  if (!e) return no_memory(err);
  e->speech = *speech;
  e->vocab = architecture.vocab;
  e->positions = positions < architecture.context ? positions : architecture.context;
  if (e->positions == 0) e->positions = 1;
  e->sequences = options->batch ? options->batch : sequences_for(&architecture, e->positions);
  zh_engine_options chosen = {.precision = options->precision,
                              .sequences = e->sequences,
                              .context = (uint32_t)e->positions,
                              .micro_batch = ZH_FEED_TOKENS,
                              .unpacked = options->unrounded,
                              .kv = options->unrounded ? ZH_KV_F32 : options->kv,
                              .packed_cache = options->packed_cache,
                              .device = options->device};
  zh_status status = zh_engine_create(&e->engine, model, threads, &chosen, err);
  if (status == ZH_OK) status = make_room(e, err);
  if (status != ZH_OK) {
    zh_examinee_free(e);
    return status;
  }
  *out = e;
  return ZH_OK;
}

void zh_examinee_free(zh_examinee *e) {
  if (!e) return;
  zh_engine_free(e->engine);
  for (uint32_t s = 0; e->slots && s < e->sequences; s++) free(e->slots[s].cached);
  free(e->slots);
  free(e->feed.token);
  free(e->feed.position);
  free(e->feed.sequence);
  free(e->feed.want);
  free(e->logits);
  free(e);
}

void zh_slot_keep(zh_examinee *e, uint32_t slot, size_t length) {
  if (length >= e->slots[slot].count) return;
  e->slots[slot].count = length;
  zh_engine_truncate(e->engine, slot, (uint32_t)length);
}

void zh_examinee_gather(zh_examinee *e, uint32_t slot, uint32_t token, bool want) {
  zh_feed *f = &e->feed;
  zh_slot *s = &e->slots[slot];
  f->token[f->count] = token;
  f->position[f->count] = (uint32_t)s->count;
  f->sequence[f->count] = slot;
  f->want[f->count] = want;
  f->wanted += want;
  f->count++;
  s->cached[s->count++] = token;
}

zh_status zh_examinee_feed(zh_examinee *e, zh_way way, zh_error *err) {
  zh_feed *f = &e->feed;
  if (f->count == 0) return ZH_OK;
  e->engine->way_is_set = true;
  e->engine->way = e->engine->expert_way = way;
  zh_status status = zh_engine_forward(e->engine, f->token, f->position, f->sequence, f->count,
                                       f->want, e->logits, err);
  e->engine->way_is_set = false;
  e->fed += f->count;
  f->count = f->wanted = 0;
  return status;
}

/* ---- groups ---- */

/* A group in its slot. */
typedef struct place {
  size_t group;
  uint32_t slot;
  size_t shared; /* tokens that all of its asks begin with, of those that are fed */
  size_t first;  /* the first position whose logits are looked at */
} place;

typedef struct batch {
  zh_examinee *e;
  zh_asks *asks;
  place *places;
  size_t count;
  /* Whose logits the gathered tokens will have: [feed_wants]. */
  struct wanted {
    const place *of;
    size_t ask;      /* SIZE_MAX: all of the group's */
    size_t position; /* of the token that was fed */
  } * wanted;
  size_t wanted_count;
} batch;

static size_t fed_count(const zh_ask *ask) {
  return ask->count > 0 ? ask->count - 1 : 0;
}

static size_t common(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count) {
  size_t n = 0, most = a_count < b_count ? a_count : b_count;
  while (n < most && a[n] == b[n]) n++;
  return n;
}

static void measure_group(place *out, const zh_asks *asks, size_t group) {
  const zh_ask_group *g = &asks->groups[group];
  const zh_ask *ask = &asks->at[g->first];
  *out = (place){.group = group, .shared = fed_count(ask), .first = SIZE_MAX};
  for (size_t i = 0; i < g->count; i++) {
    out->shared = common(ask->tokens, out->shared, ask[i].tokens, fed_count(&ask[i]));
    if (ask[i].scored - 1 < out->first) out->first = ask[i].scored - 1;
  }
}

/* The free slot that has most of the group's beginning already. */
static void choose_slots(batch *b) {
  for (size_t i = 0; i < b->count; i++) {
    const zh_ask *ask = &b->asks->at[b->asks->groups[b->places[i].group].first];
    size_t best = 0;
    bool found = false;
    for (uint32_t s = 0; s < b->e->sequences; s++) {
      bool taken = false;
      for (size_t k = 0; k < i; k++) taken |= b->places[k].slot == s;
      if (taken) continue;
      const zh_slot *slot = &b->e->slots[s];
      size_t same = common(slot->cached, slot->count, ask->tokens, b->places[i].shared);
      if (found && same <= best) continue;
      found = true;
      best = same;
      b->places[i].slot = s;
    }
    size_t kept = best < b->places[i].first ? best : b->places[i].first;
    zh_slot_keep(b->e, b->places[i].slot, kept);
  }
}

static zh_status take_logits(zh_ask *ask, size_t position, const zh_examinee *e,
                             const float *logits, size_t likeliest, double sum, zh_error *err) {
  uint32_t next = ask->tokens[position + 1];
  if (next >= e->vocab)
    return zh_fail(err, ZH_ERR_INPUT, "token %" PRIu32 " of a text is none of the model's %" PRIu32,
                   next, e->vocab);
  ask->logprob += (double)logits[next] - sum;
  if (ask->each) ask->each[position + 1 - ask->scored] = (double)logits[next] - sum;
  ask->greedy = ask->greedy && likeliest == next;
  return ZH_OK;
}

/* Feeds what is gathered and gives each ask its part. */
static zh_status flush(batch *b, zh_error *err) {
  zh_examinee *e = b->e;
  const zh_kernels *k = e->engine->kernels;
  ZH_TRY(zh_examinee_feed(e, ZH_MANY, err));
  for (size_t i = 0; i < b->wanted_count; i++) {
    const struct wanted *w = &b->wanted[i];
    const float *logits = e->logits + i * e->vocab;
    const zh_ask_group *g = &b->asks->groups[w->of->group];
    double sum = k->logsumexp(logits, e->vocab);
    size_t likeliest = k->argmax(logits, e->vocab);
    if (!isfinite(sum))
      return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not finite", w->position);
    for (size_t a = g->first; a < g->first + g->count; a++) {
      zh_ask *ask = &b->asks->at[a];
      bool concerned = w->ask == SIZE_MAX ? w->position + 1 >= ask->scored : w->ask == a;
      if (concerned && w->position + 1 < ask->count)
        ZH_TRY(take_logits(ask, w->position, e, logits, likeliest, sum, err));
    }
  }
  b->wanted_count = 0;
  return ZH_OK;
}

/* tokens[from, to) of a group into its slot; logits from position `first` on. */
static zh_status gather(batch *b, const place *p, size_t ask, const uint32_t *tokens, size_t from,
                        size_t to, size_t first, zh_error *err) {
  for (size_t at = from; at < to; at++) {
    bool want = at >= first;
    if (b->e->feed.count == b->e->feed_tokens || b->wanted_count + want > b->e->feed_wants)
      ZH_TRY(flush(b, err));
    zh_examinee_gather(b->e, p->slot, tokens[at], want);
    if (want) b->wanted[b->wanted_count++] = (struct wanted){p, ask, at};
  }
  return ZH_OK;
}

static zh_status feed_shared(batch *b, zh_error *err) {
  for (size_t i = 0; i < b->count; i++) {
    const place *p = &b->places[i];
    const zh_ask *ask = &b->asks->at[b->asks->groups[p->group].first];
    ZH_TRY(
        gather(b, p, SIZE_MAX, ask->tokens, b->e->slots[p->slot].count, p->shared, p->first, err));
  }
  return flush(b, err);
}

/* What the n-th ask of each group has behind the shared tokens. */
static zh_status feed_own(batch *b, size_t n, bool *any, zh_error *err) {
  *any = false;
  for (size_t i = 0; i < b->count; i++) {
    const place *p = &b->places[i];
    const zh_ask_group *g = &b->asks->groups[p->group];
    if (n >= g->count) continue;
    *any = true;
    size_t number = g->first + n;
    const zh_ask *ask = &b->asks->at[number];
    if (fed_count(ask) <= p->shared) continue;
    zh_slot_keep(b->e, p->slot, p->shared);
    size_t first = ask->scored - 1 > p->shared ? ask->scored - 1 : p->shared;
    ZH_TRY(gather(b, p, number, ask->tokens, p->shared, fed_count(ask), first, err));
  }
  return flush(b, err);
}

static zh_status answer_batch(batch *b, zh_requests *requests, zh_error *err) {
  bool any = true;
  choose_slots(b);
  ZH_TRY(feed_shared(b, err));
  for (size_t n = 0; any; n++) ZH_TRY(feed_own(b, n, &any, err));
  for (size_t i = 0; i < b->count; i++) {
    const zh_ask_group *g = &b->asks->groups[b->places[i].group];
    for (size_t a = g->first; a < g->first + g->count; a++) {
      const zh_ask *ask = &b->asks->at[a];
      zh_request *r = &requests->at[ask->request];
      bool begins = a == 0 || b->asks->at[a - 1].request != ask->request;
      r->logprob = begins ? ask->logprob : r->logprob + ask->logprob; /* windows of one text */
      r->greedy = begins ? ask->greedy : r->greedy && ask->greedy;
    }
  }
  return ZH_OK;
}

zh_status zh_examinee_answer(zh_examinee *e, const zh_exam_task *task, zh_requests *requests,
                             zh_asks *asks, const bool *done, zh_answered answered, void *user,
                             zh_error *err) {
  batch b = {.e = e, .asks = asks};
  size_t *groups = malloc(e->sequences * sizeof *groups);
  b.places = malloc(e->sequences * sizeof *b.places);
  b.wanted = malloc(e->feed_wants * sizeof *b.wanted);
  zh_status status = groups && b.places && b.wanted ? ZH_OK : no_memory(err);
  for (size_t at = 0; status == ZH_OK && at < asks->group_count;) {
    size_t first = at;
    uint64_t fed = e->fed;
    for (b.count = 0; at < asks->group_count && b.count < e->sequences; at++) {
      if (done && done[at]) continue;
      groups[b.count] = at;
      measure_group(&b.places[b.count++], asks, at);
    }
    if (task->output == ZH_OUTPUT_GENERATE) {
      status = zh_examinee_generate(e, task, requests, asks, groups, b.count, err);
    } else {
      status = answer_batch(&b, requests, err);
    }
    if (status == ZH_OK && answered) status = answered(user, first, at - first, e->fed - fed, err);
  }
  free(groups);
  free(b.places);
  free(b.wanted);
  return status;
}
