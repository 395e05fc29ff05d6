/* The certificate of a decode or prefill run: some of the timed tokens computed once more, with
 * everything that each operator gave for them, so that a machine without the engine can check them
 * against the model. Which tokens, nobody can know before the run has ended: they follow from the
 * chain of all answers and the laboratory's nonce. What it proves: docs/certificate.md.
 *
 * A JSONL file. Line 1 says what was run; every further line holds one operator's output for one
 * followed token, fp32 little-endian in base64, in the order of the forward pass. It is the same
 * for one rank and for several that hold the model together. */
#ifndef ZH_BENCH_ENGINE_CERTIFICATE_H
#define ZH_BENCH_ENGINE_CERTIFICATE_H

#include "bench/engine/trial.h"

enum { ZH_FOLLOWED_MAX = 8 };

/* `steps` tokens of each sequence, from position `start` on. */
typedef struct zh_certified {
  const char *step, *model, *model_sm3, *nonce, *kernels;
  zh_arithmetic arithmetic;
  size_t ranks;   /* whose parts add up to a product: 1 where none is divided */
  bool is_prompt; /* prefill: the last token of each sequence alone is answered */
  size_t steps, sequences, start;
  const zh_answer *answers; /* [steps][sequences]; of a prompt [sequences] */
  const uint64_t *marks;    /* of a prompt: [sequences][steps], zh_trial_cache_marks; else NULL */
} zh_certified;
size_t zh_certified_answers(const zh_certified *run);

/* A followed token. Of a decode run any timed ones; of a prompt drawn ones of a drawn sequence, and
 * that sequence's last. */
typedef struct zh_followed {
  size_t step, sequence;
} zh_followed;
typedef struct zh_challenge {
  uint64_t seed; /* the first 64 bits of SM3 of step, chain, marks and nonce */
  zh_followed token[ZH_FOLLOWED_MAX];
  size_t count;
} zh_challenge;
/* chain: SM3 of the answers (zh_trial_chain); marks_sm3: of the marks, "" where there are none. */
ZH_MUST_CHECK zh_status zh_challenge_draw(zh_challenge *out, const zh_certified *run,
                                          const char *chain, const char *marks_sm3, zh_error *err);
/* Which key-value head of a layer is shown, or -1: where contexts are long, some layers' alone. */
int64_t zh_challenge_head(const zh_challenge *challenge, const zh_architecture *architecture,
                          uint32_t layer, size_t positions);

/* SM3 of the nonce with a fixed word before it: what may be published before the run. */
ZH_MUST_CHECK zh_status zh_nonce_commitment(char out[ZH_DIGEST_HEX], const char *nonce,
                                            zh_error *err);
/* SM3 of the marks, 8 bytes each, little-endian. */
ZH_MUST_CHECK zh_status zh_marks_digest(char out[ZH_DIGEST_HEX], const uint64_t *marks,
                                        size_t count, zh_error *err);

/* Writes the job's certificate.jsonl and its digest into the facts; nothing where no nonce was
 * given. `again` computes the timed tokens once more, in the cache that the timed run left, and
 * holds the answers against the timed ones. Collective where ranks hold one model together; else
 * rank 0 does it. Of `run` the caller fills what is from `is_prompt` on. */
ZH_MUST_CHECK zh_status zh_certify(zh_trial *trial, const zh_certified *run,
                                   zh_status (*again)(void *user, zh_error *err), void *user,
                                   zh_error *err);

/* --- checking it --- */

typedef struct zh_recheck {
  size_t tokens, operators; /* followed; checked */
  uint64_t samples;         /* values computed again in fp64 */
  double nearest;           /* the largest error ÷ bound */
  char where[160];          /* of that */
  char nonce[256];
} zh_recheck;
/* A certificate, and what the bundle says of its step. */
typedef struct zh_certificate_claim {
  const char *path;
  const char *step, *workload, *chain_sm3, *model_sm3;
  const char *marks_sm3;  /* of the keys and values of a prompt; "" elsewhere */
  uint64_t seed;          /* the step's, from which prompts follow */
  const char *commitment; /* to the nonce, published before the run */
  const zh_model *model;  /* the one that is claimed to have run */
} zh_certificate_claim;
/* Checks it against the model alone. `rows` of each product are drawn by `seed`, which whoever
 * computed could not know. ZH_ERR_CHECK names the first thing that does not hold. */
ZH_MUST_CHECK zh_status zh_certificate_recheck(zh_recheck *out, const zh_certificate_claim *claim,
                                               uint64_t seed, size_t rows, zh_error *err);

#endif
