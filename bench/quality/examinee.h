/* The model that answers: requests become tokens, tokens of several items are computed together,
 * what contexts share is computed once. Which items stand beside each other changes no bit of an
 * answer: products are always computed one way (prompts as many tokens, generated ones as few). */
#ifndef ZH_BENCH_QUALITY_EXAMINEE_H
#define ZH_BENCH_QUALITY_EXAMINEE_H

#include "bench/engine/engine.h"
#include "bench/quality/quality.h"

typedef struct zh_examinee zh_examinee;

/* One request as tokens. tokens[scored …] are what is looked for; the last is never fed. */
typedef struct zh_ask {
  size_t request; /* number in its list */
  uint32_t *tokens;
  size_t count, scored;
  double logprob;
  bool greedy, answered;
  double *each; /* NULL, or [count - scored] for the log-probability of each token; borrowed */
} zh_ask;

/* Asks whose tokens begin alike, beside each other. */
typedef struct zh_ask_group {
  size_t first, count;
} zh_ask_group;

typedef struct zh_asks {
  zh_ask *at;
  size_t count, capacity;
  zh_ask_group *groups;
  size_t group_count, group_capacity;
  size_t longest;  /* positions that one needs, what it generates included */
  uint64_t tokens; /* all that have to be fed, were nothing shared */
} zh_asks;

/* What an examinee needs to know of a model's tokens. */
typedef struct zh_speech {
  const zh_tokenizer *tokenizer;
  int64_t start; /* stands before texts without context: BOS, else EOS */
  int64_t end;
  bool add_start;
  size_t longest;
} zh_speech;
ZH_MUST_CHECK zh_status zh_speech_of(zh_speech *out, const zh_model *model, uint32_t longest,
                                     zh_error *err);

/* asks.c */
ZH_MUST_CHECK zh_status zh_asks_make(zh_asks *out, const zh_speech *speech,
                                     const zh_exam_task *task, zh_requests *requests,
                                     zh_error *err);
void zh_asks_free(zh_asks *asks);
static inline size_t zh_ask_fed(const zh_ask *ask) {
  return ask->count > 0 ? ask->count - 1 : 0;
}
/* Tokens that a group's asks all begin with, of those that are fed. */
size_t zh_asks_shared(const zh_asks *asks, size_t group);
/* Tokens that a group begins with as `before` does (SIZE_MAX: none). */
size_t zh_asks_before(const zh_asks *asks, size_t group, size_t before);
/* Tokens that have to be fed for a group behind `before`: what it shares with it and within itself
 * once. */
uint64_t zh_asks_needed(const zh_asks *asks, size_t group, size_t before);

/* Sequences to make an engine with: so many as a cache of reasonable size holds, or `batch`. */
uint32_t zh_examinee_sequences(const zh_architecture *a, size_t positions, uint32_t batch);
/* engine: borrowed; all of its sequences are used, from nothing on. */
ZH_MUST_CHECK zh_status zh_examinee_create(zh_examinee **out, zh_engine *engine,
                                           const zh_speech *speech, zh_error *err);
void zh_examinee_free(zh_examinee *examinee); /* NULL is safe */
/* Forgets all that was computed. */
void zh_examinee_forget(zh_examinee *examinee);

/* Called when requests[request] is answered. */
typedef zh_status (*zh_answered)(void *user, size_t request, zh_error *err);
/* skip[g]: group g is left alone. Requests are answered in no particular order. */
ZH_MUST_CHECK zh_status zh_examinee_answer(zh_examinee *examinee, const zh_exam_task *task,
                                           zh_requests *requests, zh_asks *asks, const bool *skip,
                                           zh_answered answered, void *user, zh_error *err);

/* --- inside --- */

typedef struct zh_slot {
  uint32_t *cached; /* tokens that the engine has, or that are on their way to it */
  size_t count, computed;
} zh_slot;

/* Tokens on their way into a pass. */
typedef struct zh_pass_tokens {
  uint32_t *token, *position, *sequence;
  bool *want;
  size_t count, wanted;
} zh_pass_tokens;

struct zh_examinee {
  zh_engine *engine;
  zh_speech speech;
  uint32_t vocab, sequences;
  size_t positions;
  zh_slot *slots;
  zh_pass_tokens pass;
  size_t pass_tokens, pass_wants; /* room */
  float *logits;                  /* [pass_wants][vocab] */
  uint64_t fed, made;             /* tokens computed; of them generated */
};

/* Keeps the first `length` cached tokens of a slot. */
void zh_slot_keep(zh_examinee *e, uint32_t slot, size_t length);
/* As many tokens of `tokens` as the slot begins with. */
size_t zh_slot_common(const zh_slot *slot, const uint32_t *tokens, size_t count);
/* The slot gets what another has computed of these tokens, where that is more; how many it has. */
size_t zh_slot_borrow(zh_examinee *e, uint32_t slot, const uint32_t *tokens, size_t count);
/* Feeds what is gathered; logits of the wanted are then in e->logits, in order. */
ZH_MUST_CHECK zh_status zh_examinee_feed(zh_examinee *e, zh_way way, zh_error *err);
/* Gathers a token; the caller looks that there is room. */
void zh_examinee_gather(zh_examinee *e, uint32_t slot, uint32_t token, bool want);
/* generate.c */
ZH_MUST_CHECK zh_status zh_examinee_generate(zh_examinee *e, const zh_exam_task *task,
                                             zh_requests *requests, const zh_asks *asks,
                                             const bool *skip, zh_answered answered, void *user,
                                             zh_error *err);

#endif
