/* How far a step is, told by its ranks while it runs: a small file of each in the step's folder,
 * which whoever supervises it reads. Nothing depends on it. */
#ifndef ZH_BENCH_STEP_PROGRESS_H
#define ZH_BENCH_STEP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct zh_step_progress {
  double done, all;  /* of whatever the step's work is measured in */
  double sum, count; /* of a running score, which is sum / count; count 0: there is none */
  char what[96], score[32];
} zh_step_progress;

/* Nothing is said where it cannot be written. */
void zh_step_progress_write(const char *folder, int rank, const zh_step_progress *progress);
/* Added up over the ranks that have said anything; false: none has. */
bool zh_step_progress_read(zh_step_progress *out, const char *folder, int ranks);

#endif
