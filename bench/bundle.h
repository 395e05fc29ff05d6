/* The bundle's files, made from the plan and the steps' outcomes. Layout: docs/architecture.md, "Bundles". */
#ifndef ZH_BENCH_BUNDLE_H
#define ZH_BENCH_BUNDLE_H

#include <stdbool.h>

#include "bench/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ZH_DRIFT_LIMIT 0.10
/* A figure over this fraction of its peak tells that the peak was disturbed. */
#define ZH_BEYOND_PEAK 1.02

typedef struct zh_bundle_run {
  const char *folder;   /* the staging folder */
  const char *id;
  const char *plan_sm3;
  const json_t *plan;
  const json_t *command; /* array of words */
  const char *started_utc, *finished_utc;
  uint64_t cache_bytes; /* of the last-level caches */
  json_t *outcomes; /* array, one a step of the plan (zh_supervise); statuses of unmet criteria are set here */
} zh_bundle_run;

/* Writes samples/, measurements.jsonl and run.json. */
ZH_MUST_CHECK zh_status zh_bundle_write(bool *valid, bool *stable, zh_bundle_run *run, zh_error *err);

/* The figures of a step: none after a failed check. Borrowed. */
json_t *zh_bundle_figures(const json_t *outcome);
/* What a file's name should not hold becomes '_'. */
void zh_bundle_clean_name(char *name);

/* (last - first) / first */
double zh_drift(double first, double last);

#ifdef __cplusplus
}
#endif
#endif
