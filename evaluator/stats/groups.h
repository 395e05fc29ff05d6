/* How items fall into clusters and clusters into tasks, and what a mean over them is worth.
 *
 * An endpoint is a weighted mean of the tasks' means. Every cluster (a passage with its questions,
 * a dialogue; mostly an item alone) gives it one contribution, and contributions of different
 * clusters are taken as independent. */
#ifndef ZH_EVALUATOR_STATS_GROUPS_H
#define ZH_EVALUATOR_STATS_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_groups {
  size_t items, clusters, tasks;
  uint32_t *cluster_of;  /* [items] */
  size_t *first;         /* [tasks + 1]: clusters first[t] … first[t + 1] - 1 are of task t */
  double *weight;        /* [tasks], sum 1 */
  uint32_t *task_of;     /* [clusters] */
  double *cluster_items; /* [clusters] */
  double *task_items;    /* [tasks] */
  bool singles;          /* item i is cluster i, so that no cluster has two items */
} zh_groups;

/* cluster_of: numbered from 0, those of a task one after the other; first, weight: as above; weight
 * NULL: all equal. Copies what it is given. Every cluster must have an item, every task a cluster.
 */
ZH_MUST_CHECK zh_status zh_groups_create(zh_groups **out, const uint32_t *cluster_of, size_t items,
                                         const size_t *first, const double *weight, size_t tasks,
                                         zh_error *err);
/* One task; cluster_of NULL: every item alone. */
ZH_MUST_CHECK zh_status zh_groups_plain(zh_groups **out, const uint32_t *cluster_of, size_t items,
                                        size_t clusters, zh_error *err);
void zh_groups_free(zh_groups *groups); /* NULL is safe */

/* The smallest number of clusters in a task. */
size_t zh_groups_least(const zh_groups *groups);

/* contributions[c]: what cluster c adds to the mean, weight / items of the task x the sum of its
 * values; centred: less what it would add if all its items had the task's mean. Returns the mean.
 */
double zh_contributions(double *contributions, const zh_groups *groups, const double *values,
                        bool centred);

/* Numbers are decimal fractions rounded to binary ones. What that, and the sums that are made of
 * them, can leave of `count` values reckoned from numbers no larger than `size`: less is nothing.
 */
double zh_score_noise(double size, double count);
double zh_largest(const double *values, size_t count); /* of their magnitudes */
/* Contributions of differences, not centred; 0 where rounding alone explains one. */
void zh_differing(double *contributions, const zh_groups *groups, const double *differences,
                  double size);

/* A mean with the variance of clusters (Liang and Zeger 1986; Miller 2024): in each task C / (C -
 * 1) times the squares of the centred contributions, df C - 1; Welch and Satterthwaite over tasks.
 * variance NAN where a task has one cluster alone. */
typedef struct zh_estimate {
  double value, variance, df;
} zh_estimate;
/* size: the largest number that the values were reckoned from (of differences: of the scores),
 * whose rounding is no variance; 0: they themselves. */
ZH_MUST_CHECK zh_status zh_estimate_mean(zh_estimate *out, const zh_groups *groups,
                                         const double *values, double size, zh_error *err);

/* P(T >= value - than) under value = than, by Student's t; NAN where the variance is none. */
double zh_estimate_greater(const zh_estimate *estimate, double than);
/* value - t se, value + t se; confidence: two-sided. */
double zh_estimate_half_width(const zh_estimate *estimate, double confidence);

#ifdef __cplusplus
}
#endif
#endif
