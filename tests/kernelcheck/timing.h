/* What --bench measures: a pass of an operator, a plain read of as many bytes and a peak loop, one
 * after the other, so that all three meet the same clock and the same neighbours. */
#ifndef ZH_TESTS_KERNELCHECK_TIMING_H
#define ZH_TESTS_KERNELCHECK_TIMING_H

#include "kernels/kernels.h"

/* Of all passes in ns; sorted where the result is made. */
typedef struct timing {
  const char *operator, * kernels, *type, *state; /* state: "cold" or "warm" */
  size_t tokens, depth;                           /* 0: does not say */
  int threads;
  double bytes, operations;  /* of a pass */
  const zh_peak_loop *loop;  /* NULL: no operations count */
  double *pass, *read, *one; /* one: of one operation of the loop */
  size_t count;
} timing;

/* Prints a line, or keeps it for timing_end where JSON is wanted. The limit is the longer of (bytes
 * / read) and (operations / peak); shares are of minima and of medians. */
void timing_report(timing *t);
void timing_begin(bool json);
void timing_end(void);
/* Nothing but results may be printed where JSON is wanted. */
bool timing_is_json(void);

/* The best of a metric. */
const zh_peak_loop *timing_loop(const char *metric);
/* ns of one operation where all threads run the loop; NULL: this thread alone. A pass takes some
 * two milliseconds: drawing operands, and a clock that is still rising, then count for little. */
double timing_peak(const zh_peak_loop *loop, zh_threads *threads);

/* The operators without a bench of their own. */
void time_simple(const char *name, const char *only_type, int threads);

#endif
