/* A plan: the suite's steps times its models, peaks first and again at the end, every value decided. Its digest keys
 * the journal, so that a run is never resumed as another. */
#ifndef ZH_BENCH_PLAN_H
#define ZH_BENCH_PLAN_H

#include "bench/suite.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model of the run, as run.json shows it. Zero-terminated strings are owned by the array's owner. */
typedef struct zh_plan_model {
  const char *source; /* as zh_model_open takes it */
  json_t *entry;      /* {"name","format","path","bytes","sm3","sha256"}; borrowed */
  uint32_t context;   /* positions that it holds */
} zh_plan_model;

typedef struct zh_plan_options {
  int ranks, threads;   /* 0: the suite's, else 1 rank; all allowed CPUs divided among the ranks */
  const char *device;   /* of steps that run a model: zh_device_word; NULL: the step's own, else the CPU */
  const char *launcher; /* NULL: by rule */
  const char *inject;   /* NULL: none */
  const char *commitment; /* to the nonce of certificates; NULL: none are asked for */
  uint64_t seed;        /* drawn by the caller, or the suite's */
  const char *node;     /* hostname and CPU: a run is resumed where it began */
} zh_plan_options;

/* {"schema","suite","seed","node","version","threads","fault","models":[…],"steps":[{"key","step","workload","model",
 *  "source","model_sm3","content_sm3","when","ranks","threads","launcher","deadline_s","warmup","repeats","parameters","criteria"}]} */
ZH_MUST_CHECK zh_status zh_plan_make(json_t **out, const zh_suite *suite, const zh_plan_model *models,
                                     size_t model_count, const zh_plan_options *options, zh_error *err);
/* Over how many ranks a step of a plan runs, with how many threads each (0: the CPUs divided among them), by which
 * launcher (NULL: by rule). */
ZH_MUST_CHECK zh_status zh_plan_set_ranks(json_t *step, int ranks, int threads, const char *launcher, zh_error *err);
/* SM3 of the canonical text: keys sorted, no blanks. */
ZH_MUST_CHECK zh_status zh_plan_digest(char out[ZH_DIGEST_HEX], const json_t *plan, zh_error *err);
/* A step's own seed, "0x…", the same for its opening and its closing run. */
ZH_MUST_CHECK zh_status zh_step_seed(char out[32], const char *run_seed, const char *step, zh_error *err);
/* First difference in words ("ranks: 1, now 2"), for a refused --resume. */
void zh_plan_difference(char *out, size_t capacity, const json_t *before, const json_t *now);

#ifdef __cplusplus
}
#endif
#endif
