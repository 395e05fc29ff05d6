/* The model that answers: requests become tokens, tokens of several items are computed together,
 * what contexts share is computed once. Which items stand beside each other changes no bit of an
 * answer: products are always computed one way (prompts as many tokens, generated ones as few). */
#ifndef ZH_BENCH_QUALITY_EXAMINEE_H
#define ZH_BENCH_QUALITY_EXAMINEE_H

#include "bench/engine/engine.h"
#include "bench/quality/quality.h"

typedef struct zh_examinee zh_examinee;

typedef struct zh_examinee_options {
  zh_precision precision;
  bool unrounded; /* fast kernels, but weights as the file has them and fp32 values */
  zh_kv_type kv;
  uint32_t batch;   /* sequences held at once; 0: as memory allows, 16 at most */
  uint32_t longest; /* tokens of context and continuation; 0: the model's context */
  const char *packed_cache;
  int device;
} zh_examinee_options;

/* One request as tokens. tokens[scored …] are what is looked for; the last is never fed. */
typedef struct zh_ask {
  size_t request; /* number in its list */
  uint32_t *tokens;
  size_t count, scored;
  double logprob;
  bool greedy;
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
                                     const zh_exam_task *task, const zh_requests *requests,
                                     zh_error *err);
void zh_asks_free(zh_asks *asks);

ZH_MUST_CHECK zh_status zh_examinee_create(zh_examinee **out, zh_model *model, zh_threads *threads,
                                           const zh_speech *speech, size_t positions,
                                           const zh_examinee_options *options, zh_error *err);
void zh_examinee_free(zh_examinee *examinee); /* NULL is safe */

/* Called when groups [first, first + count) are answered, in requests[]. tokens: fed for them. */
typedef zh_status (*zh_answered)(void *user, size_t first, size_t count, uint64_t tokens,
                                 zh_error *err);
/* done[g]: group g is answered already, and left alone. */
ZH_MUST_CHECK zh_status zh_examinee_answer(zh_examinee *examinee, const zh_exam_task *task,
                                           zh_requests *requests, zh_asks *asks, const bool *done,
                                           zh_answered answered, void *user, zh_error *err);

/* --- inside --- */

typedef struct zh_slot {
  uint32_t *cached; /* tokens whose keys and values the engine has */
  size_t count;
} zh_slot;

/* Tokens on their way into a pass. */
typedef struct zh_feed {
  uint32_t *token, *position, *sequence;
  bool *want;
  size_t count, wanted;
} zh_feed;

enum { ZH_FEED_TOKENS = 512 };

struct zh_examinee {
  zh_engine *engine;
  zh_speech speech;
  uint32_t vocab, sequences;
  size_t positions;
  zh_slot *slots;
  zh_feed feed;
  size_t feed_tokens, feed_wants; /* room */
  float *logits;                  /* [feed_wants][vocab] */
  uint64_t fed;
};

/* Keeps the first `length` cached tokens of a slot. */
void zh_slot_keep(zh_examinee *e, uint32_t slot, size_t length);
/* Feeds what is gathered; logits of the wanted are then in e->logits, in order. */
ZH_MUST_CHECK zh_status zh_examinee_feed(zh_examinee *e, zh_way way, zh_error *err);
/* Gathers a token; the caller looks that there is room. */
void zh_examinee_gather(zh_examinee *e, uint32_t slot, uint32_t token, bool want);
/* generate.c */
ZH_MUST_CHECK zh_status zh_examinee_generate(zh_examinee *e, const zh_exam_task *task,
                                             zh_requests *requests, const zh_asks *asks,
                                             const size_t *groups, size_t count, zh_error *err);

#endif
