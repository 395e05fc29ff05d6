/* An examination held: every task's requests put to one model, answers kept as they come, so that
 * an interrupted one goes on where it stood, whatever the number of ranks. */
#ifndef ZH_BENCH_QUALITY_SITTING_H
#define ZH_BENCH_QUALITY_SITTING_H

#include "bench/comm.h"
#include "bench/quality/examinee.h"
#include "bench/quality/results.h"
#include "core/digest.h"

typedef struct zh_sitting_options {
  const char *how;     /* whatever changes an answer besides the texts: model, precision, device */
  const char *folder;  /* where answers are kept while it goes on; NULL: nowhere */
  const zh_comm *comm; /* ranks with a copy of the model each share out the items … */
  bool together;       /* … unless they hold one model together */
  uint32_t longest;    /* tokens of context and continuation; 0: the model's context */
} zh_sitting_options;

/* How far this rank is. */
typedef struct zh_sitting_news {
  size_t task, tasks;
  const zh_exam_task *of;
  size_t items, items_all; /* of this task, this rank's */
  double cost, cost_all;   /* of all tasks, in tokens of prompts; what was kept is none of it */
  const char *metric;      /* the task's first, where it is a mean; else NULL */
  double sum;              /* of it, over `scored` items */
  size_t scored;
} zh_sitting_news;
typedef void (*zh_sitting_tell)(void *user, const zh_sitting_news *news);

/* Tokens of prompts: asked, were nothing shared; needed, with what is common to neighbours once. */
typedef struct zh_sitting_count {
  uint64_t asked, needed, computed, generated;
  double seconds;
} zh_sitting_count;

typedef struct zh_sitting zh_sitting;
/* Requests and tokens of all tasks. exam, model and options outlive it. */
ZH_MUST_CHECK zh_status zh_sitting_open(zh_sitting **out, zh_exam *exam, const zh_model *model,
                                        const zh_sitting_options *options, zh_error *err);
void zh_sitting_free(zh_sitting *sitting); /* NULL is safe */
/* Of the engine that it needs. */
size_t zh_sitting_positions(const zh_sitting *sitting);
/* Where what has to be computed begins, of this rank's part: the mean over its tokens of what
 * stands before their question and is had from another, examples that all share. After
 * zh_sitting_share. */
size_t zh_sitting_depth(const zh_sitting *sitting);
const zh_speech *zh_sitting_speech(const zh_sitting *sitting);
const char *zh_sitting_plan(const zh_sitting *sitting); /* SM3 of all requests and of `how` */

/* Collective: takes up what was kept, and shares out the rest. */
ZH_MUST_CHECK zh_status zh_sitting_share(zh_sitting *sitting, zh_error *err);
/* This rank's part. */
ZH_MUST_CHECK zh_status zh_sitting_hold(zh_sitting *sitting, zh_examinee *examinee,
                                        zh_sitting_tell tell, void *user, zh_error *err);
/* Collective: rank 0 has all answers then. */
ZH_MUST_CHECK zh_status zh_sitting_collect(zh_sitting *sitting, zh_error *err);
/* marks: [exam->task_count], each zh_marks_free'd by the caller, also after a failure. */
ZH_MUST_CHECK zh_status zh_sitting_mark(zh_marks *marks, zh_sitting *sitting, zh_error *err);
/* Of a task, this rank's part of it. */
zh_sitting_count zh_sitting_counted(const zh_sitting *sitting, size_t task);

/* --- for the self-check: the first thing that this rank has to ask, by itself --- */

/* Its log-likelihoods, one of each ask; of a generating task that of its prompt's end. Nothing of
 * it is kept. *count 0: this rank has nothing to ask. free(*logprobs). */
ZH_MUST_CHECK zh_status zh_sitting_probe(double **logprobs, size_t *count, zh_sitting *sitting,
                                         zh_examinee *examinee, zh_error *err);
/* Whether it generates, so that only another probe tells what the sitting found for it. */
bool zh_sitting_first_generates(const zh_sitting *sitting);
void zh_sitting_probed(double *logprobs, size_t count, const zh_sitting *sitting);
/* The last token that is fed of its first ask, to be changed by an injected fault; NULL: none. */
uint32_t *zh_sitting_first_token(zh_sitting *sitting);

#endif
