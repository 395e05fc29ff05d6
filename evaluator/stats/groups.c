#include "evaluator/stats/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/stats/multiplicity.h"
#include "evaluator/stats/special.h"

void zh_groups_free(zh_groups *groups) {
  if (groups == NULL) return;
  free(groups->cluster_of);
  free(groups->first);
  free(groups->weight);
  free(groups->task_of);
  free(groups->cluster_items);
  free(groups->task_items);
  free(groups);
}

static zh_groups *allocate(size_t items, size_t clusters, size_t tasks) {
  zh_groups *g = calloc(1, sizeof *g);
  if (g == NULL) return NULL;
  *g = (zh_groups){.items = items,
                   .clusters = clusters,
                   .tasks = tasks,
                   .cluster_of = calloc(items, sizeof *g->cluster_of),
                   .first = calloc(tasks + 1, sizeof *g->first),
                   .weight = calloc(tasks, sizeof *g->weight),
                   .task_of = calloc(clusters, sizeof *g->task_of),
                   .cluster_items = calloc(clusters, sizeof *g->cluster_items),
                   .task_items = calloc(tasks, sizeof *g->task_items)};
  if (g->cluster_of && g->first && g->weight && g->task_of && g->cluster_items && g->task_items)
    return g;
  zh_groups_free(g);
  return NULL;
}

static void weigh(zh_groups *g, const double *weight) {
  double sum = 0;
  for (size_t t = 0; t < g->tasks; t++) sum += weight != NULL ? weight[t] : 1;
  for (size_t t = 0; t < g->tasks; t++) g->weight[t] = (weight != NULL ? weight[t] : 1) / sum;
}

static zh_status count(zh_groups *g, zh_error *err) {
  for (size_t t = 0; t < g->tasks; t++) {
    if (g->first[t + 1] <= g->first[t]) return zh_fail(err, ZH_ERR_ARG, "task %zu has no items", t);
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++) g->task_of[c] = (uint32_t)t;
  }
  g->singles = g->items == g->clusters;
  for (size_t i = 0; i < g->items; i++) {
    uint32_t c = g->cluster_of[i];
    if (c >= g->clusters)
      return zh_fail(err, ZH_ERR_ARG, "item %zu has cluster %u of %zu", i, c, g->clusters);
    g->cluster_items[c]++;
    g->task_items[g->task_of[c]]++;
    g->singles &= c == i;
  }
  for (size_t c = 0; c < g->clusters; c++) {
    if (g->cluster_items[c] == 0) return zh_fail(err, ZH_ERR_ARG, "cluster %zu has no items", c);
  }
  return ZH_OK;
}

zh_status zh_groups_create(zh_groups **out, const uint32_t *cluster_of, size_t items,
                           const size_t *first, const double *weight, size_t tasks, zh_error *err) {
  *out = NULL;
  if (items == 0 || tasks == 0) return zh_fail(err, ZH_ERR_ARG, "there are no items");
  zh_groups *g = allocate(items, first[tasks], tasks);
  if (g == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  memcpy(g->cluster_of, cluster_of, items * sizeof *cluster_of);
  memcpy(g->first, first, (tasks + 1) * sizeof *first);
  weigh(g, weight);
  zh_status status = count(g, err);
  if (status == ZH_OK)
    *out = g;
  else
    zh_groups_free(g);
  return status;
}

zh_status zh_groups_plain(zh_groups **out, const uint32_t *cluster_of, size_t items,
                          size_t clusters, zh_error *err) {
  uint32_t *own = NULL;
  *out = NULL;
  if (cluster_of == NULL) {
    own = calloc(items > 0 ? items : 1, sizeof *own);
    if (own == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
    for (size_t i = 0; i < items; i++) own[i] = (uint32_t)i;
    clusters = items;
  }
  const size_t first[2] = {0, clusters};
  zh_status status =
      zh_groups_create(out, own != NULL ? own : cluster_of, items, first, NULL, 1, err);
  free(own);
  return status;
}

size_t zh_groups_least(const zh_groups *g) {
  size_t least = SIZE_MAX;
  for (size_t t = 0; t < g->tasks; t++) {
    size_t clusters = g->first[t + 1] - g->first[t];
    if (clusters < least) least = clusters;
  }
  return least;
}

double zh_contributions(double *contributions, const zh_groups *g, const double *values,
                        bool centred) {
  double mean = 0;
  memset(contributions, 0, g->clusters * sizeof *contributions);
  for (size_t i = 0; i < g->items; i++) contributions[g->cluster_of[i]] += values[i];
  for (size_t t = 0; t < g->tasks; t++) {
    double sum = 0, share = g->weight[t] / g->task_items[t];
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++) sum += contributions[c];
    double task_mean = sum / g->task_items[t];
    mean += g->weight[t] * task_mean;
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++)
      contributions[c] =
          share * (contributions[c] - (centred ? g->cluster_items[c] * task_mean : 0));
  }
  return mean;
}

double zh_score_noise(double size, double count) {
  return 64 * 0x1p-52 * size * count;
}

double zh_largest(const double *values, size_t count) {
  double size = 0;
  for (size_t i = 0; i < count; i++) size = fmax(size, fabs(values[i]));
  return size;
}

void zh_differing(double *contributions, const zh_groups *g, const double *differences,
                  double size) {
  zh_contributions(contributions, g, differences, false);
  size = fmax(size, zh_largest(differences, g->items));
  for (size_t c = 0; c < g->clusters; c++) {
    size_t t = g->task_of[c];
    double share = g->weight[t] / g->task_items[t];
    if (fabs(contributions[c]) <= share * zh_score_noise(size, g->cluster_items[c]))
      contributions[c] = 0;
  }
}

zh_status zh_estimate_mean(zh_estimate *out, const zh_groups *g, const double *values, double size,
                           zh_error *err) {
  double *parts = calloc(g->clusters + 3 * g->tasks, sizeof *parts);
  if (parts == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", g->items);
  double *variances = parts + g->clusters, *df = variances + g->tasks, *ones = df + g->tasks;
  *out = (zh_estimate){.value = zh_contributions(parts, g, values, true)};
  size = fmax(size, zh_largest(values, g->items));
  for (size_t t = 0; t < g->tasks; t++) {
    double clusters = (double)(g->first[t + 1] - g->first[t]), squares = 0;
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++) squares += parts[c] * parts[c];
    double noise = g->weight[t] / g->task_items[t] * zh_score_noise(size, g->task_items[t]);
    if (squares <= noise * noise) squares = 0;
    variances[t] = clusters > 1 ? squares * clusters / (clusters - 1) : NAN;
    df[t] = clusters - 1;
    ones[t] = 1;
    out->variance += variances[t];
  }
  out->df = zh_welch_satterthwaite(variances, df, ones, g->tasks);
  free(parts);
  return ZH_OK;
}

double zh_estimate_greater(const zh_estimate *e, double than) {
  if (!(e->variance > 0)) return NAN;
  return zh_t_cdf((than - e->value) / sqrt(e->variance), e->df);
}

double zh_estimate_half_width(const zh_estimate *e, double confidence) {
  if (!(e->variance > 0)) return NAN;
  return -zh_t_quantile(0.5 * (1 - confidence), e->df) * sqrt(e->variance);
}
