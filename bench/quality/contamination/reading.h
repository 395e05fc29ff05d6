/* What a model makes of the items of tasks that it should never have seen: log-likelihoods of
 * orders, and of an item's least likely tokens. What follows from them is decided elsewhere
 * (evaluator/leading/contamination.h). */
#ifndef ZH_BENCH_QUALITY_CONTAMINATION_READING_H
#define ZH_BENCH_QUALITY_CONTAMINATION_READING_H

#include "bench/quality/contamination/variants.h"

typedef enum zh_reading_kind {
  ZH_READ_ORDER,   /* rows of items, in the published order and in others */
  ZH_READ_OPTIONS, /* each item, its options in the published order and in others */
  ZH_READ_LEAST,   /* each item: mean log-probability of its least likely tokens */
  ZH_READ_KINDS
} zh_reading_kind;

/* What was read of one task, in one way. */
typedef struct zh_reading {
  bool asked;
  size_t rows, left_out;
  size_t *item;   /* [rows] */
  size_t *first;  /* [rows + 1] into values; the published order is the first of a row */
  double *values; /* [first[rows]] */
  uint64_t tokens;
} zh_reading;

typedef struct zh_reading_options {
  int device; /* zh_engine_options.device */
  bool kinds[ZH_READ_KINDS];
  size_t item_orders, option_orders; /* beside the published one */
  size_t window; /* tokens of a row of items; 0: 1024, or what the model holds */
  double least;  /* share of an item's tokens, 0.2 */
  uint64_t seed;
} zh_reading_options;

typedef struct zh_reading_news {
  const zh_exam_task *task;
  zh_reading_kind kind;
  size_t step, steps;
  uint64_t tokens, tokens_all;
} zh_reading_news;
typedef void (*zh_reading_tell)(void *user, const zh_reading_news *news);

/* readings: [exam->task_count][ZH_READ_KINDS], each zh_reading_free'd by the caller, also after a
 * failure. */
ZH_MUST_CHECK zh_status zh_readings_take(zh_reading (*readings)[ZH_READ_KINDS], const zh_exam *exam,
                                         zh_model *model, zh_threads *threads,
                                         const zh_reading_options *options, zh_reading_tell tell,
                                         void *user, zh_error *err);
void zh_reading_free(zh_reading *reading);

#endif
