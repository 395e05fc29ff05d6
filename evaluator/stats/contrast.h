/* What differs at all between two models on the same items, task by task, and the limits of their
 * difference where few items tell them apart: there the variance that was seen says little about
 * what was not seen, and scores' own bounds say more (docs/metrics.md, "Leading in China"). */
#ifndef ZH_EVALUATOR_STATS_CONTRAST_H
#define ZH_EVALUATOR_STATS_CONTRAST_H

#include "evaluator/stats/groups.h"
#include "evaluator/stats/proportions.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Below this many clusters the normal theory of their variance is not trusted. */
enum { ZH_CLUSTERS_FOR_T = 30 };

typedef struct zh_task_contrast {
  double weight, clusters, differing; /* clusters that differ by more than rounding */
  double value, variance;             /* of the task's mean difference; clustered */
  double squares;                     /* of what its clusters add to the mean of all tasks */
  double won, lost; /* what clusters differ by, each as a share of the most that one can */
  double scale;     /* of (won - lost) / clusters to the mean difference */
  bool plain;       /* items alone, scored 0 or 1 */
} zh_task_contrast;

typedef struct zh_contrast {
  zh_task_contrast *of;
  size_t tasks;
  size_t differing; /* tasks in which clusters differ */
  /* Clusters that differ; of several tasks as Satterthwaite counts degrees of freedom, each task by
   * what it adds: many of one do not hide the few of another on which the mean hangs. */
  double effective;
  /* Whatever differs is items alone, scored 0 or 1: so many for the first, and for the second. */
  bool plain;
  int64_t only_first, only_second;
} zh_contrast;

/* first, second: scores of items; differences: first - second; size: of the largest score. */
ZH_MUST_CHECK zh_status zh_contrast_look(zh_contrast *out, const zh_groups *groups,
                                         const double *first, const double *second,
                                         const double *differences, double size, zh_error *err);
void zh_contrast_clear(zh_contrast *contrast);

/* Whether some task differs by as much everywhere: how far that lies from the truth is not known,
 * and so nothing is of the mean of tasks. One that never differs is no evidence, and harmless. */
bool zh_contrast_constant(const zh_contrast *contrast);
/* Whether some task's limits are those of scores; then limits are zh_contrast_limits, and else
 * Student's t of the whole is as good. */
bool zh_contrast_by_score(const zh_contrast *contrast);
/* Of the weighted mean of the tasks. extra: variances beside that of items, with df. */
zh_interval zh_contrast_limits(const zh_contrast *contrast, double confidence,
                               const double extra[2], const double extra_df[2]);

#ifdef __cplusplus
}
#endif
#endif
