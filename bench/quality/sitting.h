/* An examination held: every task's requests put to one model, answers kept as they come, so that
 * an interrupted one goes on where it stood. */
#ifndef ZH_BENCH_QUALITY_SITTING_H
#define ZH_BENCH_QUALITY_SITTING_H

#include "bench/quality/examinee.h"
#include "bench/quality/results.h"

typedef struct zh_sitting_options {
  zh_examinee_options examinee;
  const char *journal; /* file of answers; NULL: none is kept */
  uint64_t seed;       /* of made items, to be found in the journal again */
} zh_sitting_options;

/* How far it is; figure: the running mean of the task's first metric, NaN where it has none. */
typedef struct zh_sitting_news {
  size_t task, tasks;
  const zh_exam_task *of;
  size_t items, items_all;     /* of this task */
  uint64_t tokens, tokens_all; /* of all tasks; all: were nothing shared or kept */
  const char *metric;
  double figure;
  size_t kept; /* requests of this task answered before an interruption */
} zh_sitting_news;
typedef void (*zh_sitting_tell)(void *user, const zh_sitting_news *news);

typedef struct zh_sitting_facts {
  uint64_t fed;   /* tokens computed */
  uint64_t asked; /* tokens, were nothing shared */
  double seconds; /* of answering */
  uint32_t sequences;
  size_t positions;
  char plan[ZH_DIGEST_HEX]; /* SM3 of all requests and of how they are answered */
} zh_sitting_facts;

/* marks: [exam->task_count], each zh_marks_free'd by the caller, also after a failure. */
ZH_MUST_CHECK zh_status zh_sitting_hold(zh_marks *marks, zh_sitting_facts *facts, zh_exam *exam,
                                        zh_model *model, zh_threads *threads,
                                        const zh_sitting_options *options, zh_sitting_tell tell,
                                        void *user, zh_error *err);

#endif
