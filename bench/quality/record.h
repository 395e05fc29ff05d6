/* An examination's files: lm-evaluation-harness's results and samples, the table of the decision,
 * and what run.json says of it. Formats: docs/eval.md, "What a bundle holds of it". */
#ifndef ZH_BENCH_QUALITY_RECORD_H
#define ZH_BENCH_QUALITY_RECORD_H

#include "bench/quality/results.h"

typedef struct zh_record_about {
  const char *model_name, *model_path, *model_sm3, *precision, *kv, *plan;
  double limit, seconds;
  uint64_t seed;
  uint32_t sequences;
  json_t *tokens; /* {"asked","computed","generated"}; borrowed */
} zh_record_about;

/* Writes results_*.json, samples_*.jsonl and scores.csv into the folder, which is made. *facts:
 * {"results","figures","tasks","without_rows","sources","curves"}, new reference. */
ZH_MUST_CHECK zh_status zh_record_write(json_t **facts, const char *folder, const zh_exam *exam,
                                        const zh_marks *marks, const zh_record_about *about,
                                        zh_error *err);

#endif
