#include "evaluator/stats/bradley_terry.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "core/statistics.h"

enum { MODELS_MAX = 1000, STEPS_MAX = 200 };

/* Room for one estimate. */
typedef struct room {
  size_t models;
  double *wins;     /* [models][models]: of row over column */
  double *matrix;   /* [models][models]: information, then its Cholesky factor */
  double *gradient; /* [models], then the step */
  double *strength; /* [models] */
  size_t *stack;    /* [models] */
  bool *seen;       /* [models] */
} room;

static bool room_create(room *r, size_t models) {
  *r = (room){.models = models,
              .wins = calloc(models * models, sizeof *r->wins),
              .matrix = calloc(models * models, sizeof *r->matrix),
              .gradient = calloc(models, sizeof *r->gradient),
              .strength = calloc(models, sizeof *r->strength),
              .stack = calloc(models, sizeof *r->stack),
              .seen = calloc(models, sizeof *r->seen)};
  return r->wins && r->matrix && r->gradient && r->strength && r->stack && r->seen;
}

static void room_clear(room *r) {
  free(r->wins);
  free(r->matrix);
  free(r->gradient);
  free(r->strength);
  free(r->stack);
  free(r->seen);
}

/* Whether every model is reached from the first along wins, or along losses. */
static bool reaches_all(room *r, bool along_wins) {
  size_t depth = 0, found = 1, m = r->models;
  memset(r->seen, 0, m * sizeof *r->seen);
  r->stack[depth++] = 0;
  r->seen[0] = true;
  while (depth > 0) {
    size_t at = r->stack[--depth];
    for (size_t to = 0; to < m; to++) {
      double wins = along_wins ? r->wins[at * m + to] : r->wins[to * m + at];
      if (r->seen[to] || wins == 0) continue;
      r->seen[to] = true;
      r->stack[depth++] = to;
      found++;
    }
  }
  return found == m;
}

static double log_likelihood(const room *r, const double *strength) {
  double sum = 0;
  for (size_t i = 0; i < r->models; i++) {
    for (size_t j = 0; j < r->models; j++) {
      double wins = r->wins[i * r->models + j], gap = strength[i] - strength[j];
      if (wins > 0) sum -= wins * (gap > 0 ? log1p(exp(-gap)) : log1p(exp(gap)) - gap);
    }
  }
  return sum;
}

/* Gradient and information; 1/m everywhere fixes the level, which the likelihood leaves free. */
static void derive(room *r) {
  size_t m = r->models;
  for (size_t i = 0; i < m * m; i++) r->matrix[i] = 1.0 / (double)m;
  memset(r->gradient, 0, m * sizeof *r->gradient);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = i + 1; j < m; j++) {
      double won = r->wins[i * m + j], games = won + r->wins[j * m + i];
      if (games == 0) continue;
      double p = 1 / (1 + exp(r->strength[j] - r->strength[i])), weight = games * p * (1 - p);
      r->gradient[i] += won - games * p;
      r->gradient[j] -= won - games * p;
      r->matrix[i * m + i] += weight;
      r->matrix[j * m + j] += weight;
      r->matrix[i * m + j] -= weight;
      r->matrix[j * m + i] -= weight;
    }
  }
}

/* gradient := matrix^-1 gradient, by Cholesky; false where the matrix is not positive. */
static bool solve(room *r) {
  size_t m = r->models;
  double *a = r->matrix, *x = r->gradient;
  for (size_t j = 0; j < m; j++) {
    for (size_t k = 0; k < j; k++) a[j * m + j] -= a[j * m + k] * a[j * m + k];
    if (!(a[j * m + j] > 0)) return false;
    a[j * m + j] = sqrt(a[j * m + j]);
    for (size_t i = j + 1; i < m; i++) {
      for (size_t k = 0; k < j; k++) a[i * m + j] -= a[i * m + k] * a[j * m + k];
      a[i * m + j] /= a[j * m + j];
    }
  }
  for (size_t i = 0; i < m; i++) {
    for (size_t k = 0; k < i; k++) x[i] -= a[i * m + k] * x[k];
    x[i] /= a[i * m + i];
  }
  for (size_t i = m; i-- > 0;) {
    for (size_t k = i + 1; k < m; k++) x[i] -= a[k * m + i] * x[k];
    x[i] /= a[i * m + i];
  }
  return true;
}

/* Newton's steps, halved while the likelihood falls; it is concave, so they end at its top. */
static bool estimate(room *r) {
  size_t m = r->models;
  if (!reaches_all(r, true) || !reaches_all(r, false)) return false;
  memset(r->strength, 0, m * sizeof *r->strength);
  double before = log_likelihood(r, r->strength);
  for (int step = 0; step < STEPS_MAX; step++) {
    double largest = 0, part = 1, after;
    derive(r);
    if (!solve(r)) return false;
    for (size_t i = 0; i < m; i++) largest = fmax(largest, fabs(r->gradient[i]));
    for (size_t i = 0; i < m; i++) r->strength[i] += r->gradient[i];
    while ((after = log_likelihood(r, r->strength)) < before - 1e-9 * fabs(before) && part > 1e-6) {
      part *= 0.5;
      for (size_t i = 0; i < m; i++) r->strength[i] -= part * r->gradient[i];
    }
    before = after;
    if (largest < 1e-11) return true;
  }
  return true;
}

typedef struct work {
  const zh_match *matches; /* by cluster */
  const size_t *first;     /* [clusters + 1] */
  size_t models, clusters, replicates;
  const zh_draws *draws;
  double *strengths; /* [models][replicates]; NAN where undefined */
  atomic_bool failed;
} work;

static void add(room *r, const zh_match *match, double times) {
  r->wins[match->a * r->models + match->b] += times * match->won;
  r->wins[match->b * r->models + match->a] += times * (1 - match->won);
}

static void resample(const work *w, room *r, uint32_t *random, size_t replicate) {
  memset(r->wins, 0, w->models * w->models * sizeof *r->wins);
  zh_random_fill(random, w->clusters, w->draws->seed, replicate, 0);
  for (size_t i = 0; i < w->clusters; i++) {
    size_t c = (size_t)((uint64_t)random[i] * w->clusters >> 32);
    for (size_t k = w->first[c]; k < w->first[c + 1]; k++) add(r, &w->matches[k], 1);
  }
}

static void replicate_share(void *user, int thread, int threads) {
  work *w = user;
  room r;
  size_t begin, end;
  uint32_t *random = calloc(w->clusters, sizeof *random);
  zh_share(&begin, &end, w->replicates, 1, thread, threads);
  if (!room_create(&r, w->models) || random == NULL) {
    atomic_store(&w->failed, true);
    end = begin;
  }
  for (size_t i = begin; i < end; i++) {
    resample(w, &r, random, i);
    bool defined = estimate(&r);
    for (size_t m = 0; m < w->models; m++)
      w->strengths[m * w->replicates + i] = defined ? r.strength[m] : NAN;
  }
  room_clear(&r);
  free(random);
}

static void read_intervals(zh_strength *out, size_t *undefined, const work *w, double confidence) {
  double tail = 0.5 * (1 - confidence);
  *undefined = 0;
  for (size_t i = 0; i < w->replicates; i++) *undefined += isnan(w->strengths[i]);
  for (size_t m = 0; m < w->models; m++) {
    double *row = w->strengths + m * w->replicates;
    size_t n = 0;
    for (size_t i = 0; i < w->replicates; i++)
      if (!isnan(row[i])) row[n++] = row[i];
    /* Undefined ones lie at an unknown end: more of them than a tail holds, and no bound stands. */
    bool known = n > 0 && (double)(w->replicates - n) <= tail * (double)w->replicates;
    zh_sort_doubles(row, n);
    out[m].low = known ? zh_percentile(row, n, tail) : NAN;
    out[m].high = known ? zh_percentile(row, n, 1 - tail) : NAN;
  }
}

static zh_status sort_matches(zh_match *sorted, size_t *first, const zh_match *matches,
                              size_t count, size_t clusters, size_t models, zh_error *err) {
  for (size_t i = 0; i < count; i++) {
    const zh_match *m = &matches[i];
    if (m->a >= models || m->b >= models || m->a == m->b || m->cluster >= clusters ||
        !(m->won >= 0 && m->won <= 1))
      return zh_fail(err, ZH_ERR_INPUT,
                     "comparison %zu: two different models and a result from 0 to 1 are expected",
                     i + 1);
    first[m->cluster + 1]++;
  }
  for (size_t c = 0; c < clusters; c++) first[c + 1] += first[c];
  for (size_t i = count; i-- > 0;) sorted[--first[matches[i].cluster + 1]] = matches[i];
  /* Each first[c + 1] now stands where cluster c begins. */
  memmove(first, first + 1, clusters * sizeof *first);
  first[clusters] = count;
  return ZH_OK;
}

static zh_status estimate_all(zh_strength *out, room *r, const work *w, zh_error *err) {
  if (!room_create(r, w->models))
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu models", w->models);
  for (size_t i = 0; i < w->first[w->clusters]; i++) add(r, &w->matches[i], 1);
  if (!estimate(r))
    return zh_fail(err, ZH_ERR_INPUT,
                   "some models won every comparison with all the others, or lost it: their "
                   "strengths are not finite; compare more");
  for (size_t m = 0; m < w->models; m++) out[m].strength = r->strength[m];
  return ZH_OK;
}

zh_status zh_bradley_terry(zh_strength *out, size_t *undefined, size_t models,
                           const zh_match *matches, size_t count, size_t clusters,
                           double confidence, const zh_draws *draws, zh_error *err) {
  if (models < 2 || models > MODELS_MAX || count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "comparisons of 2 to %d models are expected", MODELS_MAX);
  room r = {0};
  zh_match *sorted = calloc(count, sizeof *sorted);
  size_t *first = calloc(clusters + 1, sizeof *first);
  work w = {.matches = sorted,
            .first = first,
            .models = models,
            .clusters = clusters,
            .replicates = draws->replicates,
            .draws = draws,
            .strengths = calloc(models * draws->replicates + 1, sizeof *w.strengths)};
  zh_status status = ZH_OK;
  if (sorted == NULL || first == NULL || w.strengths == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu comparisons", count);
  if (status == ZH_OK) status = sort_matches(sorted, first, matches, count, clusters, models, err);
  if (status == ZH_OK) status = estimate_all(out, &r, &w, err);
  if (status == ZH_OK) {
    zh_draws_run(draws, replicate_share, &w);
    if (atomic_load(&w.failed))
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the bootstrap");
    else
      read_intervals(out, undefined, &w, confidence);
  }
  room_clear(&r);
  free(sorted);
  free(first);
  free(w.strengths);
  return status;
}
