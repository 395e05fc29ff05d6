/* The certificate of a decode run: some of the timed tokens computed once more, with everything
 * that each operator gave for them, so that a machine without the engine can check them against the
 * model. Which tokens, nobody can know before the run has ended: they follow from the chain of all
 * answers and the laboratory's nonce. What it proves: docs/certificate.md.
 *
 * A JSONL file. Line 1 says what was run; every further line holds one operator's output for one
 * followed token, fp32 little-endian in base64, in the order of the forward pass. */
#ifndef ZH_BENCH_ENGINE_CERTIFICATE_H
#define ZH_BENCH_ENGINE_CERTIFICATE_H

#include "bench/engine/trial.h"

enum { ZH_FOLLOWED_MAX = 8 };

/* A decode run: token `start + i` of each sequence is the i-th timed one. */
typedef struct zh_certified {
  const char *step, *model, *model_sm3, *nonce, *kernels;
  zh_arithmetic arithmetic;
  size_t steps, sequences, start;
  const zh_answer *answers; /* [steps][sequences] */
} zh_certified;

/* A followed token, and which key-value head is shown of it; the head is one for all tokens. */
typedef struct zh_followed {
  size_t step, sequence;
} zh_followed;
typedef struct zh_challenge {
  uint64_t seed; /* the first 64 bits of SM3 of step, chain and nonce */
  zh_followed token[ZH_FOLLOWED_MAX];
  size_t count;
} zh_challenge;
/* chain: SM3 of the answers (zh_trial_chain). */
ZH_MUST_CHECK zh_status zh_challenge_draw(zh_challenge *out, const zh_certified *run,
                                          const char *chain, zh_error *err);
/* Which key-value head of a layer is shown, or -1: where contexts are long, some layers' alone. */
int64_t zh_challenge_head(const zh_challenge *challenge, const zh_architecture *architecture,
                          uint32_t layer, size_t positions);

/* SM3 of the nonce with a fixed word before it: what may be published before the run. */
ZH_MUST_CHECK zh_status zh_nonce_commitment(char out[ZH_DIGEST_HEX], const char *nonce,
                                            zh_error *err);

typedef struct zh_certificate zh_certificate;
/* Begins the file at `path` and watches the engine. The caller computes the run again; then commit
 * or abandon, either of which stops watching. */
ZH_MUST_CHECK zh_status zh_certificate_begin(zh_certificate **out, const char *path,
                                             const zh_certified *run, zh_engine *engine,
                                             zh_error *err);
ZH_MUST_CHECK zh_status zh_certificate_commit(zh_certificate *certificate, zh_error *err);
void zh_certificate_abandon(zh_certificate *certificate); /* NULL is safe */

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
  const char *step, *chain_sm3, *model_sm3;
  const char *commitment; /* to the nonce, published before the run */
  const zh_model *model;  /* the one that is claimed to have run */
} zh_certificate_claim;
/* Checks it against the model alone. `rows` of each product are drawn by `seed`, which whoever
 * computed could not know. ZH_ERR_CHECK names the first thing that does not hold. */
ZH_MUST_CHECK zh_status zh_certificate_recheck(zh_recheck *out, const zh_certificate_claim *claim,
                                               uint64_t seed, size_t rows, zh_error *err);

#endif
