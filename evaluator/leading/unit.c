#include "evaluator/leading/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/statistics.h"
#include "evaluator/stats/special.h"

enum { RUNS_FOR_VARIANCE = 3 };

static zh_status group(zh_unit *u, const zh_table *t, zh_error *err) {
  size_t begin = t->first_item[u->first_task], end = t->first_item[u->first_task + u->tasks];
  size_t *first = calloc(u->tasks + 1, sizeof *first);
  double *weight = calloc(u->tasks, sizeof *weight);
  uint32_t *cluster_of = calloc(end - begin, sizeof *cluster_of);
  zh_status status = ZH_OK;
  if (first == NULL || weight == NULL || cluster_of == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", end - begin);
  } else {
    uint32_t base = t->cluster_of[begin];
    for (size_t i = begin; i < end; i++) cluster_of[i - begin] = t->cluster_of[i] - base;
    for (size_t k = 0; k < u->tasks; k++) {
      first[k] = t->cluster_of[t->first_item[u->first_task + k]] - base;
      weight[k] = t->task[u->first_task + k]->weight;
    }
    first[u->tasks] = cluster_of[end - begin - 1] + 1;
    status = zh_groups_create(&u->groups, cluster_of, end - begin, first, weight, u->tasks, err);
  }
  free(first);
  free(weight);
  free(cluster_of);
  return status;
}

static double mean_of(const zh_unit *u, const double *values, double *parts) {
  return zh_contributions(parts, u->groups, values, false);
}

/* Means of single runs: their range, and from three runs on the variance of their mean. */
static zh_status look_at_runs(zh_unit *u, const zh_table *t, double *parts, zh_error *err) {
  size_t begin = t->first_item[u->first_task];
  u->run_spread = NAN;
  for (size_t m = 0; m < u->models; m++) {
    if (t->run_scores[m] == NULL) continue;
    double *means = calloc(t->runs[m], sizeof *means);
    if (means == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for runs");
    for (size_t r = 0; r < t->runs[m]; r++)
      means[r] = mean_of(u, t->run_scores[m] + r * t->items + begin, parts);
    zh_sort_doubles(means, t->runs[m]);
    double spread = means[t->runs[m] - 1] - means[0], deviation = zh_stdev(means, t->runs[m]);
    if (t->runs[m] >= RUNS_FOR_VARIANCE) u->extra[m] = deviation * deviation / (double)t->runs[m];
    free(means);
    if (!isnan(u->run_spread) && spread <= u->run_spread) continue;
    u->run_spread = spread;
    u->run_spread_model = m;
  }
  return ZH_OK;
}

static zh_status compare(zh_unit *u, const zh_table *t, size_t peer, double alpha,
                         const zh_draws *draws, zh_error *err) {
  const zh_pair_question question = {
      .groups = u->groups,
      .first = u->scores,
      .second = u->scores + peer * u->groups->items,
      .extra = {u->extra[0], u->extra[peer]},
      .extra_df = {(double)t->runs[0] - 1, (double)t->runs[peer] - 1},
      .alpha = alpha,
      .draws = *draws};
  return zh_pair_test(&u->pairs[peer], &question, err);
}

static zh_status rank(zh_unit *u, double alpha, const zh_draws *draws, zh_error *err) {
  const zh_field field = {.groups = u->groups, .models = u->models, .scores = u->scores};
  zh_rank_options options = {.alpha = alpha, .claimant = 0, .extra = u->extra, .draws = *draws};
  size_t untested;
  ZH_TRY(zh_rank_sets(u->joint, &untested, &field, &options, err));
  u->own = u->joint[0];
  for (size_t m = 1; m < u->models; m++) u->pairs[m].ahead = u->joint[m].high < u->models;
  options.claimant = ZH_ALL_PAIRS;
  return zh_rank_sets(u->joint, &untested, &field, &options, err);
}

static zh_status fill(zh_unit *u, const zh_table *t, const zh_protocol *protocol,
                      zh_threads *threads, zh_error *err) {
  size_t items = u->groups->items, begin = t->first_item[u->first_task];
  const zh_draws draws = {.replicates = (size_t)protocol->replicates,
                          .seed = (uint64_t)protocol->seed,
                          .threads = threads};
  double *room = calloc(items + u->groups->clusters, sizeof *room);
  if (room == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  for (size_t m = 0; m < u->models; m++) {
    memcpy(u->scores + m * items, t->scores + m * t->items + begin, items * sizeof *u->scores);
    u->means[m] = mean_of(u, u->scores + m * items, room + items);
  }
  zh_status status = look_at_runs(u, t, room + items, err);
  for (size_t m = 1; m < u->models && status == ZH_OK; m++)
    status = compare(u, t, m, protocol->alpha, &draws, err);
  free(room);
  return status == ZH_OK ? rank(u, protocol->alpha, &draws, err) : status;
}

static bool in_shares(const zh_table *t, size_t first, size_t count) {
  double outside;
  for (size_t k = first; k < first + count; k++)
    if (!zh_table_in_shares(t, k, &outside)) return false;
  return true;
}

zh_status zh_unit_create(zh_unit *u, const zh_table *table, size_t first, size_t count,
                         bool is_task, const zh_protocol *protocol, zh_threads *threads,
                         zh_error *err) {
  size_t items = table->first_item[first + count] - table->first_item[first];
  *u = (zh_unit){.name = is_task ? table->task[first]->task : table->modality[first],
                 .is_task = is_task,
                 .shares = in_shares(table, first, count),
                 .first_task = first,
                 .tasks = count,
                 .models = table->models,
                 .scores = calloc(table->models * items, sizeof *u->scores),
                 .means = calloc(table->models, sizeof *u->means),
                 .extra = calloc(table->models, sizeof *u->extra),
                 .pairs = calloc(table->models, sizeof *u->pairs),
                 .joint = calloc(table->models, sizeof *u->joint)};
  if (!u->scores || !u->means || !u->extra || !u->pairs || !u->joint)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  ZH_TRY(group(u, table, err));
  return fill(u, table, protocol, threads, err);
}

void zh_unit_clear(zh_unit *u) {
  zh_groups_free(u->groups);
  free(u->scores);
  free(u->means);
  free(u->extra);
  free(u->pairs);
  free(u->joint);
}

/* --- how much a lead hangs on --- */

typedef struct part {
  double size;
  uint32_t task;
} part;

static int by_size(const void *a, const void *b) {
  const part *x = a, *y = b;
  return (x->size < y->size) - (x->size > y->size);
}

/* Whether a sum of contributions, with the squares of them left alone, is significant. */
static bool leads(const zh_groups *g, const double *sums, const double *squares, double extra,
                  double df, double alpha) {
  double total = 0, variance = extra;
  for (size_t t = 0; t < g->tasks; t++) {
    double clusters = (double)(g->first[t + 1] - g->first[t]);
    total += sums[t];
    variance += (squares[t] - sums[t] * sums[t] / clusters) * clusters / (clusters - 1);
  }
  return total > 0 && (!(variance > 0) || total / sqrt(variance) > -zh_t_quantile(alpha, df));
}

size_t zh_unit_fragility(const zh_unit *u, size_t peer, double alpha, zh_error *err) {
  const zh_groups *g = u->groups;
  double *room = calloc(g->items + g->clusters + 2 * g->tasks, sizeof *room);
  part *parts = calloc(g->clusters, sizeof *parts);
  size_t turned = 0;
  if (room == NULL || parts == NULL) {
    zh_error_set(err, ZH_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
    goto done;
  }
  double *values = room + g->items, *sums = values + g->clusters, *squares = sums + g->tasks;
  for (size_t i = 0; i < g->items; i++) room[i] = u->scores[i] - u->scores[peer * g->items + i];
  zh_contributions(values, g, room, false);
  for (size_t c = 0; c < g->clusters; c++) {
    parts[c] = (part){values[c], g->task_of[c]};
    sums[g->task_of[c]] += values[c];
    squares[g->task_of[c]] += values[c] * values[c];
  }
  qsort(parts, g->clusters, sizeof *parts, by_size);
  double extra = u->extra[0] + u->extra[peer];
  while (turned < g->clusters && parts[turned].size > 0 &&
         leads(g, sums, squares, extra, u->pairs[peer].estimate.df, alpha)) {
    sums[parts[turned].task] -= 2 * parts[turned].size;
    turned++;
  }
done:
  free(room);
  free(parts);
  return turned;
}
