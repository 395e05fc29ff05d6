/* A suite, read and checked. Format: docs/architecture.md, "Suites". */
#ifndef ZH_BENCH_SUITE_H
#define ZH_BENCH_SUITE_H

#include "bench/bench.h"
#include "core/digest.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_repeats {
  int min, max;
  double relative_stdev; /* stop once the samples' standard deviation is below this part of their mean */
} zh_repeats;

typedef struct zh_criterion {
  const char *metric;
  bool at_least;    /* else: at most */
  double threshold; /* in the base unit */
  const char *unit; /* base unit */
} zh_criterion;

typedef struct zh_step {
  const char *name;
  const zh_workload *workload;
  double deadline_s;
  int warmup;
  zh_repeats repeats;
  int ranks;          /* 0: as the command line says */
  const char *device; /* "gpu"; NULL: as the command line says */
  json_t *parameters; /* all, with defaults */
  zh_criterion *criteria;
  size_t criterion_count;
} zh_step;

/* Strings live as long as the suite. */
struct zh_suite {
  zh_yaml_doc *doc;
  char *text; /* the file, byte for byte */
  size_t text_length;
  char sm3[ZH_DIGEST_HEX];
  const char *name, *summary_zh, *summary_en;
  bool seed_fresh;
  uint64_t seed;
  const char **models;
  size_t model_count;
  size_t *peaks; /* indices of steps */
  size_t peak_count;
  zh_step *steps;
  size_t step_count;
};

/* Reads from memory; `path` stands in messages and gives the name the suite must have ("" gives none). */
ZH_MUST_CHECK zh_status zh_suite_parse(zh_suite **out, const char *text, size_t length, const char *path,
                                       zh_error *err);

/* One value of --set: "step.parameter=value", or "parameter=value" for every step that has it. */
ZH_MUST_CHECK zh_status zh_suite_set(zh_suite *suite, const char *setting, zh_error *err);

/* "GB/s" into the base unit and its factor ("B/s", 1e9); false when unknown. */
bool zh_unit_find(const char **base, double *factor, const char *unit);

#ifdef __cplusplus
}
#endif
#endif
