#include "evaluator/stats/rank_sets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/statistics.h"
#include "evaluator/stats/special.h"

typedef struct pair {
  size_t j, k;  /* models */
  size_t index; /* among all pairs j < k */
  double t;     /* observed; 0 where it is not tested */
  bool tested;
  int rejected; /* +1: j is better, -1: k is, 0: open */
} pair;

typedef struct family {
  const zh_field *field;
  const zh_draws *draws;
  zh_flipped flipped;
  pair *pairs;
  size_t count, all_pairs;
  float *statistics; /* [count][replicates]: t of each pair under each flip */
  double *maxima;    /* [replicates] */
} family;

/* C / (C - 1): the variance's factor of a task. */
static double factor(const zh_groups *g, size_t t) {
  double clusters = (double)(g->first[t + 1] - g->first[t]);
  return clusters > 1 ? clusters / (clusters - 1) : NAN;
}

static void studentise(void *user, int thread, int threads) {
  family *f = user;
  const zh_groups *g = f->field->groups;
  size_t begin, end, replicates = f->flipped.replicates, models = f->field->models;
  zh_share(&begin, &end, f->count, 1, thread, threads);
  for (size_t p = begin; p < end; p++) {
    const pair *at = &f->pairs[p];
    float *out = f->statistics + p * replicates;
    for (size_t r = 0; at->tested && r < replicates; r++) {
      double total = 0, variance = 0, whole = 0;
      for (size_t t = 0; t < g->tasks; t++) {
        const double *sums = f->flipped.sums + t * models * replicates;
        double sum = sums[at->j * replicates + r] - sums[at->k * replicates + r];
        double square = f->flipped.squares[t * f->all_pairs + at->index], by = factor(g, t);
        total += sum;
        whole += by * square;
        variance += by * (square - sum * sum / (double)(g->first[t + 1] - g->first[t]));
      }
      /* No variance is left where all flipped differences agree: as extreme as can be. */
      bool none = variance <= 1e-12 * whole;
      out[r] = none ? (float)copysign(INFINITY, total) : (float)(total / sqrt(variance));
    }
  }
}

static void find_maxima(void *user, int thread, int threads) {
  family *f = user;
  size_t begin, end, replicates = f->flipped.replicates;
  zh_share(&begin, &end, replicates, 64, thread, threads);
  for (size_t r = begin; r < end; r++) f->maxima[r] = 0;
  for (size_t p = 0; p < f->count; p++) {
    if (!f->pairs[p].tested) continue;
    const float *t = f->statistics + p * replicates;
    /* Of a rejected pair the opposite hypothesis is still open. */
    float sign = (float)-f->pairs[p].rejected;
    for (size_t r = begin; r < end; r++) {
      double value = sign == 0 ? fabsf(t[r]) : sign * t[r];
      if (value > f->maxima[r]) f->maxima[r] = value;
    }
  }
}

/* What a share alpha of the maxima passes at most; drawn flips count one more than were drawn. */
static double critical(family *f, double alpha) {
  size_t n = f->flipped.replicates;
  double all = (double)(f->flipped.all ? n : n + 1);
  size_t rank = (size_t)ceil((1 - alpha) * all - 1e-9);
  zh_draws_run(f->draws, find_maxima, f);
  zh_sort_doubles(f->maxima, n);
  double drawn = rank > n ? INFINITY : f->maxima[rank > 0 ? rank - 1 : 0];
  /* Flips of a handful of clusters know few values; Student's t is the least that is asked. */
  double df = (double)zh_groups_least(f->field->groups) - 1;
  return fmax(drawn, df > 0 ? -zh_t_quantile(0.5 * alpha, df) : INFINITY);
}

static void step_down(family *f, double alpha) {
  for (bool changed = true; changed;) {
    double limit = critical(f, alpha);
    changed = false;
    for (size_t p = 0; p < f->count; p++) {
      pair *at = &f->pairs[p];
      if (!at->tested || at->rejected != 0 || !(fabs(at->t) > limit)) continue;
      at->rejected = at->t > 0 ? 1 : -1;
      changed = true;
    }
  }
}

static double pair_variance(const family *f, size_t index) {
  const zh_groups *g = f->field->groups;
  double variance = 0;
  for (size_t t = 0; t < g->tasks; t++)
    variance += factor(g, t) * f->flipped.squares[t * f->all_pairs + index];
  return variance;
}

static void list_pairs(family *f, const zh_rank_options *options) {
  size_t models = f->field->models, index = 0;
  for (size_t j = 0; j < models; j++) {
    for (size_t k = j + 1; k < models; k++, index++) {
      if (options->claimant >= 0 && (size_t)options->claimant != j &&
          (size_t)options->claimant != k)
        continue;
      double variance = pair_variance(f, index);
      pair *at = &f->pairs[f->count++];
      *at = (pair){.j = j, .k = k, .index = index, .tested = variance > 0};
      if (options->extra != NULL) variance += options->extra[j] + options->extra[k];
      if (at->tested) at->t = (f->flipped.means[j] - f->flipped.means[k]) / sqrt(variance);
    }
  }
}

static zh_status compare(family *f, const zh_rank_options *options, zh_error *err) {
  size_t replicates = f->flipped.replicates;
  f->pairs = calloc(f->all_pairs > 0 ? f->all_pairs : 1, sizeof *f->pairs);
  if (f->pairs != NULL) list_pairs(f, options);
  f->statistics = calloc((f->count > 0 ? f->count : 1) * replicates, sizeof *f->statistics);
  f->maxima = calloc(replicates, sizeof *f->maxima);
  if (f->pairs == NULL || f->statistics == NULL || f->maxima == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu replicates of %zu pairs", replicates,
                   f->all_pairs);
  zh_draws_run(f->draws, studentise, f);
  step_down(f, options->alpha);
  return ZH_OK;
}

static void read_sets(zh_rank_set *sets, size_t *untested, const family *f) {
  size_t models = f->field->models;
  for (size_t m = 0; m < models; m++)
    sets[m] = (zh_rank_set){.mean = f->flipped.means[m], .low = 1, .high = models};
  *untested = 0;
  for (size_t p = 0; p < f->count; p++) {
    const pair *at = &f->pairs[p];
    *untested += !at->tested;
    if (at->rejected == 0) continue;
    size_t better = at->rejected > 0 ? at->j : at->k, worse = at->rejected > 0 ? at->k : at->j;
    sets[better].high--;
    sets[worse].low++;
  }
}

zh_status zh_rank_sets(zh_rank_set *sets, size_t *untested, const zh_field *field,
                       const zh_rank_options *options, zh_error *err) {
  enum { MODELS_MAX = 1000 };
  if (field->models < 1 || field->models > MODELS_MAX)
    return zh_fail(err, ZH_ERR_ARG, "rank sets take 1 to %d models, not %zu", MODELS_MAX,
                   field->models);
  family f = {.field = field,
              .draws = &options->draws,
              .all_pairs = field->models * (field->models - 1) / 2};
  ZH_TRY(zh_flip_field(&f.flipped, field, &options->draws, err));
  zh_status status = compare(&f, options, err);
  if (status == ZH_OK) read_sets(sets, untested, &f);
  zh_flipped_clear(&f.flipped);
  free(f.pairs);
  free(f.statistics);
  free(f.maxima);
  return status;
}
