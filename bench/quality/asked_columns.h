/* Which columns of an item a task asks with: what a template names, and the options that stand
 * behind letters. Data are looked at by these, since a prompt of a broken item still has words. */
#ifndef ZH_BENCH_QUALITY_ASKED_COLUMNS_H
#define ZH_BENCH_QUALITY_ASKED_COLUMNS_H

#include "bench/quality/quality.h"

typedef struct zh_asked {
  bool letters;     /* the options are single letters */
  json_t *options;  /* what the letters stand for, [value]: columns called by the letters, or a list
                       of as many; NULL: not known */
  json_t *question; /* names of the columns of doc_to_text that are no options */
  const json_t *answer; /* the one column that doc_to_target names; NULL: none, or several */
  json_t *held;
} zh_asked;

/* doc: an item of the task; options: what doc_to_choice gives, or NULL. */
void zh_asked_find(zh_asked *out, const zh_exam_task *task, const json_t *doc,
                   const json_t *options);
void zh_asked_clear(zh_asked *asked);

#endif
