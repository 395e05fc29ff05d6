/* From bundles to findings: the parameter audit, statistics, and policy rules. Reads nothing but
 * the bundle, the policy and the applicant's file. Never includes MPI, CUDA or anything of bench/.
 */
#ifndef ZH_EVALUATOR_EVALUATOR_H
#define ZH_EVALUATOR_EVALUATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/status.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- parameter audit: definitions in docs/metrics.md, "Parameters" --- */
/* How long the parts of an audit took. */
typedef struct zh_audit_times {
  uint64_t bytes; /* of weights that were scanned */
  double scan_s, values_s, all_s;
  double plain_s; /* a read of the same bytes before the scan, by as many threads; asked for by `plain` */
  bool plain;
  uint64_t anonymous_bytes; /* the most resident memory that was no page of a file */
} zh_audit_times;

/* Processes that share the work, each with the same model open. Rank 0 finds and tells; the others
 * get *out NULL. Every call is made by all, in the same order. */
typedef struct zh_audit_ranks {
  int rank, size;
  void *user;
  zh_status (*send)(void *user, const void *bytes, size_t length, zh_error *err); /* to rank 0 */
  zh_status (*receive)(void *user, int from, void **bytes, size_t *length,
                       zh_error *err); /* free(*bytes) */
  zh_status (*broadcast)(void *user, void *bytes, size_t length, zh_error *err); /* from rank 0 */
} zh_audit_ranks;

/* How deep the audit looks. Zeroed: headers alone. */
typedef struct zh_audit_options {
  bool scan;   /* look at the weights; else unique and effective stay null */
  bool sample; /* of each matrix some rows only: bounded time on any size, a lower confidence */
  uint64_t sample_rows; /* of each matrix; 0: 64 to 1024, by the size of the model */
  uint64_t seed;        /* which rows */
  bool digest; /* SM3 and SHA-256 of the files; else null */
  int threads; /* 0: one for each CPU that the process may use */
  /* NULL, or called now and then: items done of all, bytes read so far. */
  void (*progress)(void *user, const char *stage, size_t done, size_t all, uint64_t bytes);
  void *progress_user;
  zh_audit_times *times; /* NULL, or filled in */
  const struct zh_audit_ranks *ranks; /* NULL: one process */
} zh_audit_options;

/* The audit of one model as JSON (docs/schemas/audit.schema.json): format, architecture, digests,
 * parameters {declared, stored, unique, effective, active}, threshold, groups, layers, findings. */
ZH_MUST_CHECK zh_status zh_audit_with(json_t **out, zh_model *model,
                                      const zh_audit_options *options, zh_error *err);
/* What was measured on one tensor, and on each expert in it; tensor: a name, or a pattern with * and
 * ?: {"model","tensors":[{"tensor","type","shape","role","bytes","matrices":[…]}]}. */
ZH_MUST_CHECK zh_status zh_audit_explain(json_t **out, zh_model *model, const char *tensor,
                                         const zh_audit_options *options, zh_error *err);
/* The same with scan and digest. */
ZH_MUST_CHECK zh_status zh_audit(json_t **out, zh_model *model, zh_error *err);

/* --- policies: YAML in evaluator/policies/ --- */
typedef struct zh_policy zh_policy;
ZH_MUST_CHECK zh_status zh_policy_load(zh_policy **out, const char *name_or_path, zh_error *err);
void zh_policy_free(zh_policy *policy);
typedef struct zh_policy_entry {
  char name[64];
  char title_zh[256], title_en[256];
  char status[16];
} zh_policy_entry;
ZH_MUST_CHECK zh_status zh_policy_list(zh_policy_entry **out, size_t *count,
                                       zh_error *err); /* free(*out) */

/* Whether each clause's quote stands in the published text (docs/adding-a-policy.md): {"policy",
 * "clauses","found","missing":[{"clause","id","quote","line","text"}]}, text with the place in the
 * policy file and a caret. */
ZH_MUST_CHECK zh_status zh_policy_check(json_t **out, const char *name_or_path,
                                        const char *source_path, zh_error *err);
/* The application papers that the policy asks for, and which of them are there. applicant: NULL for
 * the list alone. */
ZH_MUST_CHECK zh_status zh_checklist(json_t **out, const char *policy, const char *applicant,
                                     zh_error *err);

/* An applicant's file for the policy, to be filled in: what it asks for, each with a remark. It
 * loads as it stands. language: "zh" or "en". free(*out). */
ZH_MUST_CHECK zh_status zh_applicant_example(char **out, const char *policy, const char *language,
                                             zh_error *err);

/* --- statistics (evaluator/stats/; formulas and sources: docs/metrics.md, "Leading in China") --- */
/* One test or interval by its name, from key=value words; each result has its own members. */
ZH_MUST_CHECK zh_status zh_statistic(json_t **out, const char *name, const char *const *words,
                                     size_t count, zh_error *err);
/* ZH_OK where a test has that name. */
ZH_MUST_CHECK zh_status zh_statistic_known(const char *name, zh_error *err);
/* [{"name","parameters","zh","en","source"}], in the order of methods.yaml. */
ZH_MUST_CHECK zh_status zh_statistics_list(json_t **out, zh_error *err);

/* --- leading in China (evaluator/leading/; docs/leading.md) --- */
/* Holds one model against its peers under a locked protocol: verdict, what decided it, endpoints, rank
 * sets, tasks (docs/schemas/rank.schema.json). scores: tables item,cluster,task,modality,score[,run],
 * one a model. Input that cannot be compared is no failure: the verdict is 证据不足 and says why.
 * threads: 0 for one each CPU; the same result with any number. */
ZH_MUST_CHECK zh_status zh_rank(json_t **out, const char *protocol, const char *const *scores,
                                size_t count, int threads, zh_error *err);

/* --- registry of published scores (evaluator/registry/README.md) --- */
typedef struct zh_registry_query {
  const char *file;                                /* NULL: the one that comes with the program */
  const char *model, *benchmark, *country, *kind; /* NULL: any; case does not count */
} zh_registry_query;
/* {"schema","count","rows":[{…,"score","line"}],"conflicts":[{"model","benchmark",…,"low","high",
 * "rows"}]}: rows by benchmark, the best first; conflicts are different scores of one model, kind,
 * benchmark, metric, shots, setting and unit, with the source of each. */
ZH_MUST_CHECK zh_status zh_registry_scores(json_t **out, const zh_registry_query *query,
                                           zh_error *err);
/* [{"name","rows"}] of models, or of benchmarks. */
ZH_MUST_CHECK zh_status zh_registry_names(json_t **out, const zh_registry_query *query,
                                          bool models, zh_error *err);
/* {"file","rows","faults":[{"line","model","benchmark","fault"}]} */
ZH_MUST_CHECK zh_status zh_registry_check(json_t **out, const char *file, zh_error *err);

/* --- bundles --- */
/* The manifest, the documents' shape, and that each model that ran is the one that was counted. */
ZH_MUST_CHECK zh_status zh_bundle_check(const char *folder, zh_error *err);

/* --- evaluation --- */
/* Verifies each bundle's manifest, applies the policy's rules, and gives evaluation.json
 * (docs/schemas/evaluation.schema.json). applicant: path of the applicant's YAML, or NULL where
 * there is a bundle; without a bundle, what concerns a model is undetermined.
 * Deterministic: the same inputs give the same bytes (the time of evaluation is the bundle's). */
ZH_MUST_CHECK zh_status zh_evaluate(json_t **out, const char *const *bundles, size_t bundle_count,
                                    const char *policy, const char *applicant, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
