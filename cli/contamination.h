/* What the parts of `zhiheng contamination` share. */
#ifndef ZH_CLI_CONTAMINATION_H
#define ZH_CLI_CONTAMINATION_H

#include "bench/quality/contamination/overlap.h"
#include "cli/task_words.h"
#include "kernels/kernels.h"
#include "model/model.h"

enum { ZH_SEARCH_CORPORA = 256 };

typedef struct zh_search_arguments {
  const char *model, *reference, *corpora[ZH_SEARCH_CORPORA], *field, *signs, *device, *out;
  size_t corpus_count;
  zh_task_words words;
  uint64_t run, orders, window, threads;
  double share, alpha;
  bool json;
} zh_search_arguments;

typedef struct zh_search {
  const zh_search_arguments *given;
  zh_model *model;
  zh_threads *threads;
  zh_exam *exam, *reference;
  json_t *measured, *measured_reference, *result;
  zh_overlap_corpus corpus;
} zh_search;

/* contamination_measure.c: names of items, then what corpora and the model say of them, as
 * evaluator/leading/contamination.h takes it. */
ZH_MUST_CHECK zh_status zh_search_begin(json_t **measured, const zh_exam *exam, zh_error *err);
ZH_MUST_CHECK zh_status zh_search_corpora(zh_search *s, zh_error *err);
ZH_MUST_CHECK zh_status zh_search_model(zh_search *s, zh_error *err);

/* contamination_print.c */
ZH_MUST_CHECK zh_status zh_search_print(const json_t *result, zh_error *err);
/* task,item of the listed: what a protocol names as `contaminated`. */
ZH_MUST_CHECK zh_status zh_search_write(const json_t *result, const char *path, zh_error *err);

#endif
