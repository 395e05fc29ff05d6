/* What a look at the values of each matrix gives: sizes, prints of rows and columns that survive
 * noise and scaling, and tests on a block of it. */
#ifndef ZH_EVALUATOR_AUDIT_PORTRAIT_H
#define ZH_EVALUATOR_AUDIT_PORTRAIT_H

#include "evaluator/audit/audit.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_BLOCK_MIN = 32, ZH_BLOCK_MAX = 256 };

/* Tests on a block: its largest singular value; means and sizes of its rows and columns. */
enum zh_score {
  ZH_SCORE_EDGE,
  ZH_SCORE_ROW_MEANS,
  ZH_SCORE_COLUMN_MEANS,
  ZH_SCORE_ROW_SIZES,
  ZH_SCORE_COLUMN_SIZES,
  ZH_SCORES
};

/* Lines of a matrix along one axis: signs of 64 random sums each (SimHash). 0: a line of zeros. */
typedef struct zh_lines {
  uint64_t *prints;
  uint32_t *numbers; /* which rows; NULL: all */
  size_t count;
} zh_lines;

typedef struct zh_portrait {
  bool looked;   /* else nothing below is set */
  bool all_rows; /* every row was looked at */
  double rms, mean, deviation;
  zh_lines rows, columns; /* columns: only where all rows were looked at */
  uint64_t constant_rows, value_zero_rows, value_zero_columns;
  unsigned char *row_is_constant; /* flags of all rows, where there are some */

  /* of a block of at most 256 by 256, rows and columns evenly spread */
  size_t block_rows, block_columns;
  double scores[ZH_SCORES]; /* z-scores of the five tests against independent equal draws */
  double departure;         /* the largest of them */
  double departures;        /* their sum, each 50 at most */
  size_t rank;              /* of the block, where it falls off; 0: it does not */
  double rest;              /* share of the block's energy beyond the rank */
  bool cliff;               /* the singular values fall off at it, not only run low */
} zh_portrait;

/* On how much the looks at the values rest, all matrices together. */
typedef struct zh_looked {
  uint64_t matrices, rows, of_rows, block; /* block: rows of the largest */
} zh_looked;
zh_looked zh_portraits_looked(const zh_auditor *a);
/* portraits: one for each unit, zeroed. */
ZH_MUST_CHECK zh_status zh_portraits_take(zh_auditor *a, zh_error *err);
void zh_portraits_free(zh_auditor *a);
/* The tests on a block of values[rows][columns]; rows, columns at least ZH_BLOCK_MIN. */
bool zh_block_test(zh_portrait *p, float *block, size_t rows, size_t columns);

#ifdef __cplusplus
}
#endif
#endif
