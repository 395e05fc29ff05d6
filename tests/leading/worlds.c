/* Worlds in which the truth is known: how often the verdict, the rank sets, the largest score and
 * intervals that do not overlap are right.
 *
 *   leading_worlds [WORLDS [REPLICATES [THREADS [SEED]]]]
 *
 * Answers are 1 where a latent normal is above 0: ability of the model + difficulty of the item,
 * shared by all models + luck of model and cluster + noise. Prints one JSON document. World w of a
 * setting has the same numbers on any number of threads. */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "evaluator/leading/decide.h"
#include "evaluator/stats/special.h"

typedef struct setting {
  const char *name;
  size_t models, clusters, in_each; /* items of a cluster */
  double difficulty, luck;          /* standard deviations */
  double lead;                      /* of the claimant over the next, in points of 100 */
  double step;                      /* between the others, one below the other */
} setting;

/* Model 0 is the claimant. A lead of 0 with a step: tied for the best with the next. */
static const setting settings[] = {
    {"3 equal models, 400 items", 3, 400, 1, 0.8, 0, 0, 0},
    {"11 equal, 200 items", 11, 200, 1, 0.8, 0, 0, 0},
    {"11 equal, 1000 items", 11, 1000, 1, 0.8, 0, 0, 0},
    {"51 equal, 200 items", 51, 200, 1, 0.8, 0, 0, 0},
    {"11 equal, 10 clusters of 20", 11, 10, 20, 0.8, 0.5, 0, 0},
    {"11 equal, 20 clusters of 10", 11, 20, 10, 0.8, 0.5, 0, 0},
    {"11 equal, 200 clusters of 5", 11, 200, 5, 0.8, 0.5, 0, 0},
    {"51 equal, 30 clusters of 10", 51, 30, 10, 0.8, 0.5, 0, 0},
    {"2 at the top, 10 models, steps of 3 points, 1000 items", 10, 1000, 1, 0.8, 0, 0, 3},
    {"2 at the top, 20 points ahead of 9, 1000 items", 11, 1000, 1, 0.8, 0, 0, -20},
    {"lead of 2 points, 11 models, 1000 items", 11, 1000, 1, 0.8, 0, 2, 0},
    {"lead of 6 points, 11 models, 1000 items", 11, 1000, 1, 0.8, 0, 6, 0},
    {"lead of 6 points, 51 models, 1000 items", 51, 1000, 1, 0.8, 0, 6, 0},
    {"lead of 6 points, 11 models, 200 clusters of 5", 11, 200, 5, 0.8, 0.5, 6, 0},
    {"3 points behind, 11 models, 1000 items", 11, 1000, 1, 0.8, 0, -3, 0},
    {"easy items: lead of 1 point at 98 %, 3 models, 1000 items", 3, 1000, 1, 2, 0, 1, 0},
    /* The margin behind: here nothing but a wrong verdict is tied. */
    {"1 point behind, hardly any item differs, 2 models, 300 items", 2, 300, 1, 20, 0, -1, 0},
    {"1 point behind, few items differ, 2 models, 300 items", 2, 300, 1, 5, 0, -1, 0},
    {"1 point behind, hardly any item differs, 2 models, 1346 items", 2, 1346, 1, 20, 0, -1, 0},
    {"1 point behind, few items differ, 2 models, 1346 items", 2, 1346, 1, 5, 0, -1, 0},
    {"1 point behind, 2 models, 300 clusters of 5", 2, 300, 5, 3, 0.5, -1, 0},
    {"1 point behind, 2 models, 100 clusters of 10", 2, 100, 10, 2, 0.5, -1, 0},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

typedef struct tally {
  size_t worlds, verdicts[ZH_STANDINGS];
  size_t own_missed;      /* the claimant's own set lacks its rank */
  size_t joint_missed;    /* some model's set lacks its rank */
  size_t argmax, overlap; /* would have called the claimant the leader */
} tally;

/* --- one world --- */

static double *abilities(const setting *s) {
  double *mean = calloc(s->models, sizeof *mean), *ability = calloc(s->models, sizeof *ability);
  double top = s->difficulty > 1 ? 0.97 : 0.7,
         spread = sqrt(1 + s->difficulty * s->difficulty + s->luck * s->luck);
  for (size_t m = 0; m < s->models; m++) {
    mean[m] = top;
    if (m == 0) mean[m] += s->lead / 100;
    if (m > 1 && s->step > 0) mean[m] -= s->step / 100 * (double)(m - 1);
    if (m > 1 && s->step < 0) mean[m] += s->step / 100;
    ability[m] = zh_normal_quantile(mean[m]) * spread;
  }
  free(mean);
  return ability;
}

static double normal(uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t bits[2];
  zh_random_fill(bits, 2, seed, stream, 2 * index);
  double u = ((double)bits[0] * 0x1p-32 + (double)bits[1] * 0x1p-64) + 0x1p-65;
  return zh_normal_quantile(u);
}

static void draw(double *scores, const setting *s, const double *ability, uint64_t seed,
                 uint64_t world) {
  size_t items = s->clusters * s->in_each, at = 0;
  uint64_t stream = world + 1;
  for (size_t i = 0; i < items; i++) {
    double hard = s->difficulty * normal(seed, stream, at++);
    for (size_t m = 0; m < s->models; m++)
      scores[m * items + i] = ability[m] + hard + normal(seed, stream, at++);
  }
  for (size_t c = 0; s->luck > 0 && c < s->clusters; c++) {
    for (size_t m = 0; m < s->models; m++) {
      double luck = s->luck * normal(seed, stream, at++);
      for (size_t i = c * s->in_each; i < (c + 1) * s->in_each; i++) scores[m * items + i] += luck;
    }
  }
  for (size_t i = 0; i < s->models * items; i++) scores[i] = scores[i] > 0;
}

/* --- what each way of reading it says --- */

static size_t true_rank(const double *ability, size_t models, size_t m) {
  size_t better = 0;
  for (size_t k = 0; k < models; k++) better += ability[k] > ability[m];
  return better + 1;
}

static bool lacks(const zh_rank_set *set, size_t rank) {
  return rank < set->low || rank > set->high;
}

/* A lead by 95 % intervals of the single means (clustered) that overlap with none. */
static bool leads_by_overlap(const zh_unit *u) {
  size_t items = u->groups->items;
  double low = 0;
  for (size_t m = 0; m < u->models; m++) {
    zh_estimate e;
    if (zh_estimate_mean(&e, u->groups, u->scores + m * items, 0, NULL) != ZH_OK) abort();
    double half = e.variance > 0 ? zh_estimate_half_width(&e, 0.95) : 0;
    if (m == 0)
      low = e.value - half;
    else if (e.value + half >= low)
      return false;
  }
  return true;
}

static bool leads_by_score(const zh_unit *u) {
  for (size_t m = 1; m < u->models; m++)
    if (u->means[m] >= u->means[0]) return false;
  return true;
}

typedef struct study {
  const setting *setting;
  const double *ability;
  const zh_words *words;
  const zh_table *shape; /* all but the scores */
  const zh_protocol *protocol;
  size_t worlds;
  uint64_t seed;
  tally *tallies; /* [threads] */
} study;

static void judge(tally *t, const study *s, const zh_table *table) {
  zh_error err = ZH_ERROR_INIT;
  zh_unit unit = {0};
  zh_decision decision;
  double losses[64];
  for (size_t i = 0; i < 64; i++) losses[i] = NAN;
  if (zh_unit_create(&unit, table, 0, 1, false, s->protocol, NULL, &err) != ZH_OK) abort();
  const zh_matter matter = {.words = s->words,
                            .protocol = s->protocol,
                            .table = table,
                            .endpoints = &unit,
                            .tasks = &unit,
                            .endpoint_count = 1,
                            .losses = losses};
  if (zh_decide(&decision, &matter, &unit, 1, false, &err) != ZH_OK) abort();
  size_t models = table->models;
  bool missed = false;
  for (size_t m = 0; m < models; m++)
    missed |= lacks(&unit.joint[m], true_rank(s->ability, models, m));
  t->worlds++;
  t->verdicts[decision.verdict]++;
  t->joint_missed += missed;
  t->own_missed += lacks(&unit.own, true_rank(s->ability, models, 0));
  t->argmax += leads_by_score(&unit);
  t->overlap += leads_by_overlap(&unit);
  zh_decision_clear(&decision);
  zh_unit_clear(&unit);
}

static void walk(void *user, int thread, int threads) {
  const study *s = user;
  zh_table table = *s->shape;
  table.scores = calloc(table.models * table.items, sizeof *table.scores);
  if (table.scores == NULL) abort();
  for (size_t w = (size_t)thread; w < s->worlds; w += (size_t)threads) {
    draw(table.scores, s->setting, s->ability, s->seed, w);
    judge(&s->tallies[thread], s, &table);
  }
  free(table.scores);
}

/* --- one setting --- */

static void print(const setting *s, const tally *t, bool last) {
  double n = (double)t->worlds;
  printf("  {\"setting\": \"%s\", \"models\": %zu, \"worlds\": %zu, \"lead\": %g,\n"
         "   \"own_missed\": %.4f, \"joint_missed\": %.4f,\n"
         "   \"leading\": %.4f, \"tied\": %.4f, \"not_leading\": %.4f, \"insufficient\": %.4f,\n"
         "   \"largest_score\": %.4f, \"no_overlap\": %.4f}%s\n",
         s->name, s->models, t->worlds, s->lead, (double)t->own_missed / n,
         (double)t->joint_missed / n, (double)t->verdicts[ZH_LEADING] / n,
         (double)t->verdicts[ZH_TIED] / n, (double)t->verdicts[ZH_NOT_LEADING] / n,
         (double)t->verdicts[ZH_NOT_ENOUGH] / n, (double)t->argmax / n, (double)t->overlap / n,
         last ? "" : ",");
  fflush(stdout);
}

static void add(tally *sum, const tally *t) {
  sum->worlds += t->worlds;
  for (int v = 0; v < ZH_STANDINGS; v++) sum->verdicts[v] += t->verdicts[v];
  sum->own_missed += t->own_missed;
  sum->joint_missed += t->joint_missed;
  sum->argmax += t->argmax;
  sum->overlap += t->overlap;
}

static tally look_at(const setting *s, const zh_words *words, const zh_protocol *protocol,
                     size_t worlds, uint64_t seed, zh_threads *threads) {
  size_t items = s->clusters * s->in_each, first[2] = {0, items};
  zh_asked asked = {.task = "a", .modality = "text", .weight = 1};
  const zh_asked *tasks[1] = {&asked};
  const char *modality[1] = {"text"};
  const char **names = calloc(s->models, sizeof *names);
  size_t *runs = calloc(s->models, sizeof *runs);
  double **run_scores = calloc(s->models, sizeof *run_scores), *ability = abilities(s);
  uint32_t *cluster_of = calloc(items, sizeof *cluster_of);
  tally *tallies = calloc((size_t)zh_threads_count(threads), sizeof *tallies), sum = {0};
  if (!names || !runs || !run_scores || !ability || !cluster_of || !tallies) abort();
  for (size_t m = 0; m < s->models; m++) names[m] = "model", runs[m] = 1;
  for (size_t i = 0; i < items; i++) cluster_of[i] = (uint32_t)(i / s->in_each);
  const zh_table shape = {.models = s->models,
                          .items = items,
                          .tasks = 1,
                          .names = names,
                          .runs = runs,
                          .cluster_of = cluster_of,
                          .run_scores = run_scores,
                          .task = tasks,
                          .modality = modality,
                          .first_item = first};
  study st = {s,      ability, words, &shape, protocol, worlds, seed + (uint64_t)(s - settings),
              tallies};
  zh_threads_run(threads, walk, &st);
  for (int i = 0; i < zh_threads_count(threads); i++) add(&sum, &tallies[i]);
  free(names);
  free(runs);
  free(run_scores);
  free(ability);
  free(cluster_of);
  free(tallies);
  return sum;
}

static uint64_t number(int argc, char **argv, int at, uint64_t unless) {
  return at < argc ? strtoull(argv[at], NULL, 0) : unless;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_words *words;
  zh_threads *threads;
  uint64_t worlds = number(argc, argv, 1, 300), replicates = number(argc, argv, 2, 1000);
  const zh_protocol protocol = {.alpha = 0.05,
                                .margin = 0.01,
                                .replicates = (int64_t)replicates,
                                .seed = 1,
                                .claimant = "model"};
  if (zh_words_load(&words, &err) != ZH_OK ||
      zh_threads_create(&threads, (int)number(argc, argv, 3, 1), NULL, &err) != ZH_OK) {
    fprintf(stderr, "%s\n", err.message);
    return 2;
  }
  printf("[\n");
  for (size_t i = 0; i < SETTINGS; i++) {
    tally sum =
        look_at(&settings[i], words, &protocol, worlds, number(argc, argv, 4, 20261122), threads);
    print(&settings[i], &sum, i + 1 == SETTINGS);
  }
  printf("]\n");
  zh_threads_free(threads);
  zh_words_free(words);
  return 0;
}
