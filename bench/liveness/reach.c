#include "bench/liveness/reach.h"

#include <stdlib.h>

#include "bench/engine/inside.h"

enum { LENGTH = ZH_LIVENESS_LENGTH, SEQUENCES = ZH_LIVENESS_SEQUENCES };

typedef struct survey {
  zh_reach *reach;
  zh_liveness_experts *count;
  uint32_t first_text; /* of the batch: sequence s is text first_text + s */
} survey;

static void note(void *user, const zh_operation *o) {
  survey *s = user;
  if (o->op != ZH_OP_ROUTE) return;
  const zh_mixture *m = o->mixture;
  for (size_t i = 0; i < o->tokens * m->used; ++i) {
    uint32_t text = s->first_text + o->sequence[i / m->used],
             *first = &s->reach->first[(size_t)o->layer * s->reach->experts + m->choice[i]];
    if (*first == ZH_NOT_REACHED) ++s->count->reached;
    if (text < *first) *first = text;
  }
}

static zh_status look_at(const survey *s, zh_engine *engine, const zh_liveness_texts *texts,
                         uint32_t count, zh_error *err) {
  uint32_t token[SEQUENCES * LENGTH], position[SEQUENCES * LENGTH], sequence[SEQUENCES * LENGTH];
  uint32_t vocab = engine->architecture.vocab;
  for (uint32_t i = 0; i < count; ++i) {
    size_t at = (size_t)i * texts->length;
    zh_engine_truncate(engine, i, 0);
    zh_liveness_text(token + at, texts, s->first_text + i, vocab);
    for (uint32_t k = 0; k < texts->length; ++k) {
      position[at + k] = k;
      sequence[at + k] = i;
    }
  }
  return zh_engine_forward(engine, token, position, sequence, (size_t)count * texts->length, NULL,
                           NULL, err);
}

static zh_status look(survey *s, zh_engine *engine, const zh_liveness_texts *texts, zh_error *err) {
  ZH_TRY(look_at(s, engine, texts, ZH_LIVENESS_TEXTS, err));
  s->count->by_texts = s->count->reached;
  s->first_text = ZH_LIVENESS_TEXTS;
  while (s->count->reached < s->count->all && s->count->drawn < ZH_REACH_TEXTS) {
    ZH_TRY(look_at(s, engine, texts, SEQUENCES, err));
    s->first_text += SEQUENCES;
    s->count->drawn += SEQUENCES;
  }
  return ZH_OK;
}

zh_status zh_reach_find(zh_reach *out, zh_liveness_experts *count, zh_engine *engine,
                        const zh_liveness_texts *texts, zh_error *err) {
  const zh_architecture *a = &engine->architecture;
  *out = (zh_reach){0};
  *count = (zh_liveness_experts){0};
  for (uint32_t l = 0; l < a->layers; ++l)
    if (zh_layer_is(a, l, ZH_LAYER_EXPERTS)) count->all += a->experts;
  if (count->all == 0) return ZH_OK;
  size_t slots = (size_t)a->layers * a->experts;
  out->experts = a->experts;
  out->first = malloc(slots * sizeof *out->first);
  if (!out->first) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the list of experts");
  for (size_t i = 0; i < slots; ++i) out->first[i] = ZH_NOT_REACHED;
  survey s = {.reach = out, .count = count};
  ZH_TRY(zh_engine_observe(engine, note, &s, err));
  zh_status status = look(&s, engine, texts, err);
  (void)!zh_engine_observe(engine, NULL, NULL, NULL);
  return status;
}

void zh_reach_free(zh_reach *reach) {
  free(reach->first);
  *reach = (zh_reach){0};
}
