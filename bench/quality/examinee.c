/* The engine's sequences and passes as an examinee uses them. */
#include "bench/quality/examinee.h"

#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"

enum { SEQUENCES = 32, LEAST_WANTS = 64, LOGITS_BYTES = 128 << 20, WORTH_BORROWING = 8 };
static const double CACHE_BYTES = 2e9;

uint32_t zh_examinee_sequences(const zh_architecture *a, size_t positions, uint32_t batch) {
  double bytes = 2.0 * 4 * a->layers * a->kv_heads * (double)zh_key_dim(a) * (double)positions;
  double fit = bytes > 0 ? CACHE_BYTES / bytes : SEQUENCES;
  if (batch > 0) return batch;
  return fit < 1 ? 1 : fit > SEQUENCES ? SEQUENCES : (uint32_t)fit;
}

static zh_status make_room(zh_examinee *e, zh_error *err) {
  zh_pass_tokens *p = &e->pass;
  e->pass_wants = LOGITS_BYTES / (sizeof(float) * (size_t)e->vocab);
  if (e->pass_wants < LEAST_WANTS) e->pass_wants = LEAST_WANTS;
  if (e->pass_wants > e->pass_tokens) e->pass_wants = e->pass_tokens;
  if (e->pass_wants < e->sequences) e->pass_wants = e->sequences;
  p->token = calloc(e->pass_tokens, sizeof *p->token);
  p->position = calloc(e->pass_tokens, sizeof *p->position);
  p->sequence = calloc(e->pass_tokens, sizeof *p->sequence);
  p->want = calloc(e->pass_tokens, sizeof *p->want);
  e->logits = malloc(e->pass_wants * (size_t)e->vocab * sizeof *e->logits);
  e->slots = calloc(e->sequences, sizeof *e->slots);
  bool whole = p->token && p->position && p->sequence && p->want && e->logits && e->slots;
  for (uint32_t s = 0; whole && s < e->sequences; s++) {
    e->slots[s].cached = malloc(e->positions * sizeof *e->slots[s].cached);
    whole = e->slots[s].cached != NULL;
  }
  return whole ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
}

zh_status zh_examinee_create(zh_examinee **out, zh_engine *engine, const zh_speech *speech,
                             zh_error *err) {
  zh_examinee *e = calloc(1, sizeof *e);
  *out = NULL;
  if (!e) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
  *e = (zh_examinee){.engine = engine,
                     .speech = *speech,
                     .vocab = zh_engine_architecture(engine)->vocab,
                     .sequences = engine->sequences,
                     .positions = engine->context};
  e->pass_tokens = engine->micro_batch > e->sequences ? engine->micro_batch : e->sequences;
  zh_status status = make_room(e, err);
  if (status != ZH_OK) {
    zh_examinee_free(e);
    return status;
  }
  *out = e;
  return ZH_OK;
}

void zh_examinee_free(zh_examinee *e) {
  if (!e) return;
  for (uint32_t s = 0; e->slots && s < e->sequences; s++) free(e->slots[s].cached);
  free(e->slots);
  free(e->pass.token);
  free(e->pass.position);
  free(e->pass.sequence);
  free(e->pass.want);
  free(e->logits);
  free(e);
}

void zh_examinee_forget(zh_examinee *e) {
  e->pass.count = e->pass.wanted = 0;
  for (uint32_t s = 0; s < e->sequences; s++) {
    e->slots[s].count = e->slots[s].computed = 0;
    zh_engine_poison(e->engine, s, 0);
  }
}

void zh_slot_keep(zh_examinee *e, uint32_t slot, size_t length) {
  zh_slot *s = &e->slots[slot];
  if (length >= s->count) return;
  s->count = s->computed = length;
  zh_engine_truncate(e->engine, slot, (uint32_t)length);
}

size_t zh_slot_common(const zh_slot *slot, const uint32_t *tokens, size_t count) {
  size_t n = 0, most = slot->computed < count ? slot->computed : count;
  while (n < most && slot->cached[n] == tokens[n]) n++;
  return n;
}

size_t zh_slot_borrow(zh_examinee *e, uint32_t slot, const uint32_t *tokens, size_t count) {
  zh_slot *to = &e->slots[slot];
  size_t own = zh_slot_common(to, tokens, count), best = own;
  uint32_t from = slot;
  for (uint32_t s = 0; s < e->sequences; s++) {
    size_t common = zh_slot_common(&e->slots[s], tokens, count);
    if (common > best) best = common, from = s;
  }
  if (best < own + WORTH_BORROWING || !zh_engine_copies(e->engine)) return own;
  zh_slot_keep(e, slot, own);
  zh_engine_copy(e->engine, slot, from, (uint32_t)own, (uint32_t)best);
  memcpy(to->cached + own, tokens + own, (best - own) * sizeof *tokens);
  to->count = to->computed = best;
  return best;
}

void zh_examinee_gather(zh_examinee *e, uint32_t slot, uint32_t token, bool want) {
  zh_pass_tokens *p = &e->pass;
  zh_slot *s = &e->slots[slot];
  p->token[p->count] = token;
  p->position[p->count] = (uint32_t)s->count;
  p->sequence[p->count] = slot;
  p->want[p->count] = want;
  p->wanted += want;
  p->count++;
  s->cached[s->count++] = token;
}

zh_status zh_examinee_feed(zh_examinee *e, zh_way way, zh_error *err) {
  zh_pass_tokens *p = &e->pass;
  if (p->count == 0) return ZH_OK;
  e->engine->way_is_set = true;
  e->engine->way = e->engine->expert_way = way;
  zh_status status = zh_engine_forward(e->engine, p->token, p->position, p->sequence, p->count,
                                       p->want, e->logits, err);
  e->engine->way_is_set = false;
  e->fed += p->count;
  for (size_t i = 0; i < p->count; i++) {
    zh_slot *s = &e->slots[p->sequence[i]];
    s->computed = s->count;
  }
  p->count = p->wanted = 0;
  return status;
}
