/* Inside zh_run: a run on its way from a suite to a bundle, and how it begins, anew or again. */
#ifndef ZH_BENCH_RUN_H
#define ZH_BENCH_RUN_H

#include "bench/bench.h"
#include "bench/journal.h"
#include "bench/plan.h"
#include "bench/suite.h"
#include "bench/supervise.h"
#include "core/digest.h"

enum { ZH_RUN_PATH_BYTES = 4096, ZH_RUN_MODELS_MAX = 32 };
#define ZH_RUN_STAGING ".partial"

typedef struct zh_runner {
  const zh_run_options *options;
  zh_suite *suite;
  zh_plan_model models[ZH_RUN_MODELS_MAX];
  size_t model_count;
  json_t *audits, *audit_s; /* audit_s: seconds of each, by name */
  json_t *plan, *command, *outcomes, *machine;
  char id[128], started_utc[32];
  char commitment[ZH_DIGEST_HEX]; /* to the nonce; "" where there is none */
  char staging[ZH_RUN_PATH_BYTES], final[ZH_RUN_PATH_BYTES];
  zh_journal journal;
  zh_supervision supervision;
  int lock;
  bool finished; /* the journal says that all files but the manifest are written */
} zh_runner;

/* folder/name, and a path from the root; ZH_ERR_INPUT where it is too long. */
ZH_MUST_CHECK zh_status zh_run_path(char out[ZH_RUN_PATH_BYTES], zh_error *err, const char *folder,
                                    const char *name);
ZH_MUST_CHECK zh_status zh_run_absolute(char out[ZH_RUN_PATH_BYTES], const char *path,
                                        zh_error *err);
void zh_run_cut_slashes(char *path);
/* Where the work folder lies while the bundle is published. */
void zh_run_aside(char out[ZH_RUN_PATH_BYTES], const zh_runner *r);

size_t zh_run_step_count(const zh_runner *r);
ZH_MUST_CHECK zh_status zh_run_describe_node(zh_runner *r, char *out, size_t capacity,
                                             zh_error *err);
/* Needs the suite; opens, digests and audits the models. */
ZH_MUST_CHECK zh_status zh_run_make_plan(zh_runner *r, uint64_t seed, zh_error *err);
/* ZH_ERR_USAGE where another run writes into the staging folder. */
ZH_MUST_CHECK zh_status zh_run_lock(zh_runner *r, zh_error *err);

/* Plan and staging folder made; nothing is left after a failure. */
ZH_MUST_CHECK zh_status zh_run_begin_new(zh_runner *r, zh_error *err);
/* Both taken from options->resume, with the outcomes that still count. */
ZH_MUST_CHECK zh_status zh_run_begin_again(zh_runner *r, zh_error *err);

#endif
