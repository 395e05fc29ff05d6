/* Log-likelihoods. Each of the engine's sequences is a seat: a group of asks sits down, what they
 * share is fed with the first ask's own tokens behind it, then the others' own, each taken back
 * before the next. A pass takes from all seats what they have to say next, so that it is full
 * whether options are long or a single letter. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/quality/examinee.h"

enum { WORTH_WAITING = 32 };

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
}

typedef struct seat {
  bool taken;
  size_t group;
  size_t shared; /* tokens that all of its asks begin with, of those that are fed */
  size_t first;  /* the first position whose logits are looked at */
  size_t ask;    /* of the group: whose tokens are being fed */
} seat;

/* Whose logits the gathered tokens will have. */
typedef struct wanted {
  size_t group, ask; /* ask SIZE_MAX: all of the group's */
  size_t position;   /* of the token that was fed */
  double sum;        /* log of the sum of the exponentials of the logits */
  size_t likeliest;
} wanted;

typedef struct hall {
  zh_examinee *e;
  zh_asks *asks;
  zh_requests *requests;
  const bool *skip;
  zh_answered answered;
  void *user;
  seat *seats;    /* [sequences] */
  wanted *wanted; /* [pass_wants] */
  size_t wanted_count, next_group, taken;
  uint32_t turn; /* the seat that the next pass begins with */
} hall;

static const zh_ask *ask_of(const hall *h, const seat *s) {
  return &h->asks->at[h->asks->groups[s->group].first + s->ask];
}

/* ---- sitting down ---- */

static size_t next_group(const hall *h) {
  size_t g = h->next_group;
  while (g < h->asks->group_count && h->skip && h->skip[g]) g++;
  return g;
}

/* The free seat that has most of the group's beginning already. */
static uint32_t choose_seat(const hall *h, const uint32_t *tokens, size_t count) {
  uint32_t chosen = UINT32_MAX;
  size_t best = 0;
  for (uint32_t i = 0; i < h->e->sequences; i++) {
    if (h->seats[i].taken) continue;
    size_t common = zh_slot_common(&h->e->slots[i], tokens, count);
    if (chosen != UINT32_MAX && common <= best) continue;
    chosen = i;
    best = common;
  }
  return chosen;
}

static size_t first_looked_at(const zh_asks *asks, size_t group) {
  const zh_ask_group *g = &asks->groups[group];
  size_t first = SIZE_MAX;
  for (size_t a = g->first; a < g->first + g->count; a++)
    if (asks->at[a].scored - 1 < first) first = asks->at[a].scored - 1;
  return first;
}

/* Whether another, who sat down for this pass, is about to compute what could be copied then. */
static bool better_waits(const hall *h, const uint32_t *tokens, size_t count, size_t has) {
  for (uint32_t i = 0; zh_engine_copies(h->e->engine) && i < h->e->sequences; i++) {
    const seat *s = &h->seats[i];
    if (!s->taken || s->ask > 0 || h->e->slots[i].computed >= s->shared) continue;
    const zh_ask *ask = ask_of(h, s);
    size_t most = s->shared < count ? s->shared : count, same = 0;
    while (same < most && ask->tokens[same] == tokens[same]) same++;
    if (same >= has + WORTH_WAITING) return true;
  }
  return false;
}

/* Whether a group sat down. */
static bool seat_next(hall *h) {
  size_t group = next_group(h);
  if (group == h->asks->group_count || h->taken == h->e->sequences) return false;
  const zh_ask *ask = &h->asks->at[h->asks->groups[group].first];
  size_t shared = zh_asks_shared(h->asks, group), first = first_looked_at(h->asks, group),
         usable = shared < first ? shared : first;
  uint32_t at = choose_seat(h, ask->tokens, usable);
  size_t has = zh_slot_borrow(h->e, at, ask->tokens, usable);
  if (better_waits(h, ask->tokens, usable, has)) return false;
  zh_slot_keep(h->e, at, has);
  h->seats[at] = (seat){.taken = true, .group = group, .shared = shared, .first = first};
  h->taken++;
  h->next_group = group + 1;
  return true;
}

/* ---- a pass ---- */

/* The token's logits say something to all asks where all begin with it, else to its own. */
static bool wants(const hall *h, const seat *s, size_t position) {
  return position >= (position < s->shared ? s->first : ask_of(h, s)->scored - 1);
}

/* What a seat has to say next, as far as there is room. */
static void speak(hall *h, uint32_t at) {
  const seat *s = &h->seats[at];
  zh_examinee *e = h->e;
  const zh_ask *ask = ask_of(h, s);
  size_t end = zh_ask_fed(ask);
  for (size_t p = e->slots[at].count; p < end && e->pass.count < e->pass_tokens; p++) {
    bool want = wants(h, s, p);
    if (want && h->wanted_count == e->pass_wants) return;
    zh_examinee_gather(e, at, ask->tokens[p], want);
    if (want)
      h->wanted[h->wanted_count++] =
          (wanted){.group = s->group, .ask = p < s->shared ? SIZE_MAX : s->ask, .position = p};
  }
}

static void read_logits(void *user, int thread, int threads) {
  hall *h = user;
  const zh_kernels *k = h->e->engine->kernels;
  size_t begin, end;
  zh_share(&begin, &end, h->wanted_count, 1, thread, threads);
  for (size_t i = begin; i < end; i++) {
    const float *logits = h->e->logits + i * h->e->vocab;
    h->wanted[i].sum = k->logsumexp(logits, h->e->vocab);
    h->wanted[i].likeliest = k->argmax(logits, h->e->vocab);
  }
}

static zh_status take_logits(zh_ask *ask, const wanted *w, const zh_examinee *e,
                             const float *logits, zh_error *err) {
  uint32_t next = ask->tokens[w->position + 1];
  if (next >= e->vocab)
    return zh_fail(err, ZH_ERR_INPUT, "token %" PRIu32 " of a text is none of the model's %" PRIu32,
                   next, e->vocab);
  ask->logprob += (double)logits[next] - w->sum;
  if (ask->each) ask->each[w->position + 1 - ask->scored] = (double)logits[next] - w->sum;
  ask->greedy = ask->greedy && w->likeliest == next;
  return ZH_OK;
}

/* Gives each ask its part of the pass's logits. */
static zh_status give_logits(hall *h, zh_error *err) {
  zh_threads_run(h->e->engine->threads, read_logits, h);
  for (size_t i = 0; i < h->wanted_count; i++) {
    const wanted *w = &h->wanted[i];
    const zh_ask_group *g = &h->asks->groups[w->group];
    if (!isfinite(w->sum))
      return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not finite", w->position);
    for (size_t a = 0; a < g->count; a++) {
      zh_ask *ask = &h->asks->at[g->first + a];
      bool concerned = w->ask == SIZE_MAX ? w->position + 1 >= ask->scored : w->ask == a;
      if (concerned && w->position + 1 < ask->count)
        ZH_TRY(take_logits(ask, w, h->e, h->e->logits + i * h->e->vocab, err));
    }
  }
  h->wanted_count = 0;
  return ZH_OK;
}

/* ---- standing up ---- */

/* A request's asks stand beside each other: windows of one text, in groups of their own, are added
 * up in their order when all are answered. */
static zh_status close_request(const hall *h, size_t at, zh_error *err) {
  const zh_ask *asks = h->asks->at;
  size_t begin = at, end = at, request = asks[at].request;
  while (begin > 0 && asks[begin - 1].request == request) begin--;
  while (end < h->asks->count && asks[end].request == request) end++;
  zh_request *r = &h->requests->at[request];
  for (size_t a = begin; a < end; a++)
    if (!asks[a].answered) return ZH_OK;
  r->logprob = 0;
  r->greedy = true;
  for (size_t a = begin; a < end; a++) {
    r->logprob += asks[a].logprob;
    r->greedy = r->greedy && asks[a].greedy;
  }
  return h->answered ? h->answered(h->user, request, err) : ZH_OK;
}

static zh_status stand_up(hall *h, seat *s, zh_error *err) {
  const zh_ask_group *g = &h->asks->groups[s->group];
  s->taken = false;
  h->taken--;
  for (size_t a = g->first; a < g->first + g->count; a++) h->asks->at[a].answered = true;
  for (size_t a = g->first; a < g->first + g->count; a++)
    if (a == g->first || h->asks->at[a].request != h->asks->at[a - 1].request)
      ZH_TRY(close_request(h, a, err));
  return ZH_OK;
}

/* The seat's next ask that has tokens of its own, or its end. */
static zh_status go_on(hall *h, uint32_t at, zh_error *err) {
  seat *s = &h->seats[at];
  const zh_ask_group *g = &h->asks->groups[s->group];
  if (h->e->slots[at].count < zh_ask_fed(ask_of(h, s))) return ZH_OK;
  do s->ask++;
  while (s->ask < g->count && zh_ask_fed(ask_of(h, s)) <= s->shared);
  if (s->ask == g->count) return stand_up(h, s, err);
  zh_slot_keep(h->e, at, s->shared);
  return ZH_OK;
}

static zh_status hold_pass(hall *h, zh_error *err) {
  uint32_t all = h->e->sequences;
  while (seat_next(h)) continue;
  for (uint32_t i = 0; i < all && h->e->pass.count < h->e->pass_tokens; i++) {
    uint32_t at = (h->turn + i) % all;
    if (h->seats[at].taken) speak(h, at);
  }
  h->turn = (h->turn + 1) % all;
  ZH_TRY(zh_examinee_feed(h->e, ZH_MANY, err));
  ZH_TRY(give_logits(h, err));
  for (uint32_t i = 0; i < all; i++)
    if (h->seats[i].taken) ZH_TRY(go_on(h, i, err));
  return ZH_OK;
}

static void clear_asks(const hall *h) {
  for (size_t a = 0; a < h->asks->count; a++) {
    h->asks->at[a].logprob = 0;
    h->asks->at[a].greedy = true;
    h->asks->at[a].answered = false;
  }
}

zh_status zh_examinee_answer(zh_examinee *e, const zh_exam_task *task, zh_requests *requests,
                             zh_asks *asks, const bool *skip, zh_answered answered, void *user,
                             zh_error *err) {
  if (task->output == ZH_OUTPUT_GENERATE)
    return zh_examinee_generate(e, task, requests, asks, skip, answered, user, err);
  hall h = {.e = e,
            .asks = asks,
            .requests = requests,
            .skip = skip,
            .answered = answered,
            .user = user,
            .seats = calloc(e->sequences, sizeof *h.seats),
            .wanted = calloc(e->pass_wants, sizeof *h.wanted)};
  zh_status status = h.seats && h.wanted ? ZH_OK : no_memory(err);
  clear_asks(&h);
  while (status == ZH_OK && (h.taken > 0 || next_group(&h) < asks->group_count))
    status = hold_pass(&h, err);
  free(h.seats);
  free(h.wanted);
  return status;
}
