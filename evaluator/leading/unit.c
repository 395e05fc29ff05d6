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

static zh_draws draws_of(const zh_protocol *protocol, zh_threads *threads) {
  return (zh_draws){.replicates = (size_t)protocol->replicates,
                    .seed = (uint64_t)protocol->seed,
                    .threads = threads};
}

/* The claimant against that peer. */
static zh_pair_question question_of(const zh_unit *u, const zh_table *t, size_t peer, double alpha,
                                    const zh_draws *draws) {
  return (zh_pair_question){.groups = u->groups,
                            .first = u->scores,
                            .second = u->scores + peer * u->groups->items,
                            .extra = {u->extra[0], u->extra[peer]},
                            .extra_df = {(double)t->runs[0] - 1, (double)t->runs[peer] - 1},
                            .alpha = alpha,
                            .draws = *draws};
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
  const zh_draws draws = draws_of(protocol, threads);
  double *room = calloc(items + u->groups->clusters, sizeof *room);
  if (room == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", items);
  for (size_t m = 0; m < u->models; m++) {
    memcpy(u->scores + m * items, t->scores + m * t->items + begin, items * sizeof *u->scores);
    u->means[m] = mean_of(u, u->scores + m * items, room + items);
  }
  zh_status status = look_at_runs(u, t, room + items, err);
  for (size_t m = 1; m < u->models && status == ZH_OK; m++) {
    const zh_pair_question question = question_of(u, t, m, protocol->alpha, &draws);
    status = zh_pair_test(&u->pairs[m], &question, err);
  }
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
  uint32_t cluster;
} part;

typedef struct turning {
  const zh_unit *unit;
  const zh_pair_question *question;
  double *first, *second; /* [items]: scores of which some are exchanged */
  size_t *place;          /* [clusters]: 0 favours the claimant most */
  size_t favourable;
} turning;

static int by_size(const void *a, const void *b) {
  const part *x = a, *y = b;
  return (x->size < y->size) - (x->size > y->size);
}

/* parts: room for one a cluster; values: for a contribution of each */
static void place_clusters(turning *t, part *parts, double *values) {
  const zh_groups *g = t->unit->groups;
  const double *own = t->question->first, *other = t->question->second;
  for (size_t i = 0; i < g->items; i++) t->first[i] = own[i] - other[i];
  zh_contributions(values, g, t->first, false);
  for (size_t c = 0; c < g->clusters; c++) {
    parts[c] = (part){values[c], (uint32_t)c};
    t->favourable += values[c] > 0;
  }
  qsort(parts, g->clusters, sizeof *parts, by_size);
  for (size_t k = 0; k < g->clusters; k++) t->place[parts[k].cluster] = k;
}

/* Asks the test of the pair again, with as many clusters turned. */
static zh_status leads(bool *out, const turning *t, size_t turned, zh_error *err) {
  const zh_groups *g = t->unit->groups;
  const double *own = t->question->first, *other = t->question->second;
  zh_pair_question question = *t->question;
  zh_pair pair;
  for (size_t i = 0; i < g->items; i++) {
    bool turn = t->place[g->cluster_of[i]] < turned;
    t->first[i] = turn ? other[i] : own[i];
    t->second[i] = turn ? own[i] : other[i];
  }
  question.first = t->first;
  question.second = t->second;
  ZH_TRY(zh_pair_test(&pair, &question, err));
  *out = zh_pair_leads(&pair, question.alpha);
  return ZH_OK;
}

/* With none turned it leads, with all of them it does not. */
static zh_status count_turns(size_t *out, const turning *t, zh_error *err) {
  size_t leading = 0, ended = t->favourable;
  while (ended - leading > 1) {
    size_t middle = leading + (ended - leading) / 2;
    bool still;
    ZH_TRY(leads(&still, t, middle, err));
    if (still)
      leading = middle;
    else
      ended = middle;
  }
  *out = ended;
  return ZH_OK;
}

zh_status zh_unit_fragility(size_t *turned, const zh_unit *u, const zh_table *table, size_t peer,
                            const zh_protocol *protocol, zh_error *err) {
  const zh_groups *g = u->groups;
  const zh_draws draws = draws_of(protocol, NULL);
  const zh_pair_question question = question_of(u, table, peer, protocol->alpha, &draws);
  part *parts = calloc(g->clusters, sizeof *parts);
  double *values = calloc(g->clusters, sizeof *values);
  turning t = {.unit = u,
               .question = &question,
               .first = calloc(g->items, sizeof *t.first),
               .second = calloc(g->items, sizeof *t.second),
               .place = calloc(g->clusters, sizeof *t.place)};
  zh_status status = ZH_OK;
  *turned = 0;
  if (!parts || !values || !t.first || !t.second || !t.place) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", g->items);
  } else {
    place_clusters(&t, parts, values);
    status = count_turns(turned, &t, err);
  }
  free(parts);
  free(values);
  free(t.first);
  free(t.second);
  free(t.place);
  return status;
}
