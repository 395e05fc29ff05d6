/* The same items in several orders, as requests to a model: of a model that has never seen them,
 * the published order is one among the others (docs/metrics.md, "Contamination"). */
#ifndef ZH_BENCH_QUALITY_CONTAMINATION_VARIANTS_H
#define ZH_BENCH_QUALITY_CONTAMINATION_VARIANTS_H

#include "bench/quality/decision.h"
#include "bench/quality/examinee.h"

/* Rows of requests; of each row the first is as it was published. */
typedef struct zh_variants {
  zh_requests requests;
  size_t *first; /* [rows + 1] number of each row's first request */
  size_t *item;  /* [rows] the row's item, or its first one */
  size_t rows, capacity;
  size_t left_out; /* items of which no row could be made */
} zh_variants;
void zh_variants_free(zh_variants *variants);

typedef struct zh_variant_options {
  size_t others; /* orders beside the published one, at most */
  size_t window; /* tokens of a row of items */
  uint64_t seed;
  uint32_t number; /* of the task: tasks draw apart */
} zh_variant_options;

/* Its name in tables of scores. */
ZH_MUST_CHECK zh_status zh_item_name(char out[ZH_ITEM_NAME], const zh_exam_task *task, size_t item,
                                     zh_error *err);

/* What an item says: the question and the options, or the question and the answer. Appended. */
ZH_MUST_CHECK zh_status zh_item_text(zh_text *out, const zh_exam_task *task, size_t item,
                                     zh_error *err);

/* One request an item: its text. */
ZH_MUST_CHECK zh_status zh_variants_of_none(zh_variants *out, const zh_exam_task *task,
                                            zh_error *err);
/* Rows of two items or more that fill a window, each in `others` orders beside the file's. Items
 * longer than the window are left out. */
ZH_MUST_CHECK zh_status zh_variants_of_items(zh_variants *out, const zh_exam_task *task,
                                             const zh_speech *speech,
                                             const zh_variant_options *options, zh_error *err);
/* Each item with its options in other orders: all of them where they are few. Left out are items
 * without options, with equal ones, with numbers in order, and such as speak of "the above". */
ZH_MUST_CHECK zh_status zh_variants_of_options(zh_variants *out, const zh_exam_task *task,
                                               const zh_variant_options *options, zh_error *err);

/* --- inside --- */

ZH_MUST_CHECK zh_status zh_variants_begin(zh_variants *variants, size_t item, zh_error *err);
ZH_MUST_CHECK zh_status zh_variants_add(zh_variants *variants, const char *context,
                                        size_t context_length, const char *text, size_t length,
                                        zh_error *err);
/* A permutation of [count], from the seed, the task, the row and the number of the order. */
void zh_variant_shuffle(uint32_t *order, size_t count, const zh_variant_options *options,
                        size_t row, size_t number);

#endif
