/* The columns of a table of scores, for all who read one. */
#ifndef ZH_EVALUATOR_LEADING_COLUMNS_H
#define ZH_EVALUATOR_LEADING_COLUMNS_H

#include <jansson.h>

#include "core/csv.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Those before ZH_COLUMN_RUN must be there: without its clusters a table says that every item
 * stands alone, which nobody may say by leaving a column out. */
enum {
  ZH_COLUMN_ITEM,
  ZH_COLUMN_CLUSTER,
  ZH_COLUMN_TASK,
  ZH_COLUMN_MODALITY,
  ZH_COLUMN_SCORE,
  ZH_COLUMN_RUN,
  ZH_COLUMN_PROMPT,
  ZH_SCORE_COLUMNS
};

typedef struct zh_columns {
  size_t at[ZH_SCORE_COLUMNS];
  bool there[ZH_SCORE_COLUMNS];
} zh_columns;

/* not_read: names of columns that mean nothing here are appended to it, unless it is NULL; one that
 * is nearly a known name is an error. */
ZH_MUST_CHECK zh_status zh_columns_find(zh_columns *out, json_t *not_read, const zh_csv *csv,
                                        zh_error *err);
/* Of the current row; "" where there is no such column. */
const char *zh_columns_field(const zh_columns *columns, const zh_csv *csv, int which);
/* A score of that row: decimal, or a word of strtod's for what is no finite number; NAN where there
 * is none. */
ZH_MUST_CHECK zh_status zh_scores_number(double *out, const char *text, const zh_csv *csv,
                                         zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
