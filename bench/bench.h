/* The harness: a suite becomes a plan, a plan becomes jobs of zhiheng-rank, their results become a bundle. */
#ifndef ZH_BENCH_BENCH_H
#define ZH_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/workload.h"
#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- suites: YAML in bench/suites/, format in docs/architecture.md --- */
typedef struct zh_suite zh_suite;
/* name of a suite in the data folder, or a path to a YAML file. */
ZH_MUST_CHECK zh_status zh_suite_load(zh_suite **out, const char *name_or_path, zh_error *err);
void zh_suite_free(zh_suite *suite);
const char *zh_suite_name(const zh_suite *suite);
const char *zh_suite_summary(const zh_suite *suite, const char *language); /* "zh" or "en" */
typedef struct zh_suite_entry { char name[64]; char summary_zh[256], summary_en[256]; } zh_suite_entry;
ZH_MUST_CHECK zh_status zh_suite_list(zh_suite_entry **out, size_t *count, zh_error *err); /* free(*out) */

/* --- run --- */
typedef struct zh_run_options {
  const char *suite;
  const char *const *models; size_t model_count; /* as zh_model_open takes them; none: the suite's own */
  const char *out;         /* bundle folder to make; NULL: out/<suite>-<UTC time> */
  const char *resume;      /* unfinished bundle (its staging folder) to go on with; NULL: a new run */
  int ranks, threads;      /* 0: the suite's, else 1 rank; a thread for each of its cores */
  const char *device;      /* of steps that run a model: "cpu", "gpu", "gpu:1", "auto"; NULL: the suite's */
  const char *launcher;    /* "direct", "mpirun", "srun"; NULL: by rule */
  const char *const *settings; size_t setting_count; /* "step.parameter=value" or "parameter=value" */
  const char *inject;      /* "weight", "token", "activation", "clock"; NULL: none */
  const char *nonce;       /* asks for certificates of the decode steps (docs/certificate.md); NULL: none */
  const char *packed_cache; /* folder where rearranged weights are kept between steps and runs; NULL: nowhere */
  const char *const *command; int command_count; /* argv, recorded */
  /* Called once for each model before the first step: the caller (cli) runs the evaluator's audit, because bench may
   * not. Returns the audit object; the harness writes audit.json. */
  zh_status (*audit)(json_t **out, const char *model, void *user, zh_error *err);
  void *audit_user;
} zh_run_options;

typedef struct zh_run_result {
  char bundle[4096];  /* where the bundle is; the staging folder when interrupted */
  bool complete;      /* false: interrupted or failed, can be resumed */
  bool valid;         /* every step's checks and criteria held */
  bool stable;        /* peaks drifted by at most 10 % */
} zh_run_result;
/* ZH_ERR_CHECK when the run finished but a check or criterion failed (the bundle is still written whole);
 * ZH_ERR_INTERRUPTED on SIGINT or SIGTERM, with the sentence that names --resume. */
ZH_MUST_CHECK zh_status zh_run(zh_run_result *out, const zh_run_options *options, zh_error *err);

/* --- bundles, read again --- */
/* The tables of `show`: prints to `out` (a FILE*). language: "zh" or "en", of where the time went and of the memory. */
ZH_MUST_CHECK zh_status zh_bundle_table(void *out_file, const char *bundle, bool colour, const char *language,
                                        zh_error *err);
/* The scores of its examinations alone. run: run.json. */
void zh_bundle_scores(void *out_file, const json_t *run, const char *language);
/* {"run","measurements","times"} */
ZH_MUST_CHECK zh_status zh_bundle_json(json_t **out, const char *bundle, zh_error *err);

/* --- this node --- */
/* {"hostname","cpu":{…},"caches":[…],"numa":[…],"memory":{…},"huge_pages":{…},"gpus":[…],"mpi":{…},"libraries":{…}}
 * as docs/schemas/environment.schema.json; for `doctor` and bundles. */
ZH_MUST_CHECK zh_status zh_machine_describe(json_t **out, zh_error *err);
/* hwloc's XML of this node; the caller frees with free(). */
ZH_MUST_CHECK zh_status zh_machine_hwloc_xml(char **out, zh_error *err);
uint64_t zh_machine_last_level_cache_bytes(void); /* sum over last-level caches; 32 MiB when unknown */
int zh_machine_allowed_cpus(int *out, int capacity); /* logical CPU numbers, first threads of cores first */
int zh_machine_allowed_cores(void);

#ifdef __cplusplus
}
#endif
#endif
