/* Scores of 0 and 1 are counted in bits: the number of times that each item was drawn is cut into
 * planes of bits, and a model's sum is that of common bits, plane by plane. */
#include "evaluator/stats/bootstrap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "evaluator/stats/bits.h"

enum { PLANES = 8, DRAWS = 4096 };

typedef struct work {
  const zh_field *field;
  const zh_draws *draws;
  double *means;
  double *sums;      /* [models][clusters]: of scores, where not packed */
  uint64_t *rows;    /* [tasks][models][words], where packed */
  size_t *row_begin; /* [tasks] */
  atomic_bool failed;
} work;

typedef struct scratch {
  uint32_t *random; /* [DRAWS] */
  uint8_t *times;   /* how often each cluster was drawn; [clusters rounded up to 64 a task] */
  uint32_t *wide;   /* the same where it may pass 255: no item of a large table can */
  uint64_t *plane;
  uint32_t *counts; /* [models] */
} scratch;

/* Draws `count` of `count` and counts them; index: where this task's random numbers begin. */
static void draw(uint32_t *wide, uint8_t *times, uint32_t *random, size_t count,
                 const zh_draws *draws, size_t r, size_t index) {
  for (size_t done = 0; done < count;) {
    size_t some = count - done < DRAWS ? count - done : DRAWS;
    zh_random_fill(random, some, draws->seed, r, index + done);
    for (size_t i = 0; i < some; i++) {
      /* The share of each is off by less than count / 2^32. */
      size_t item = (size_t)((uint64_t)random[i] * count >> 32);
      if (times != NULL)
        times[item]++;
      else
        wide[item]++;
    }
    done += some;
  }
}

/* Bit b of each of 64 counts. */
static inline uint64_t plane_word(const uint8_t *times, int b) {
  uint64_t word = 0;
  for (int i = 0; i < 8; i++) {
    uint64_t eight;
    memcpy(&eight, times + 8 * i, sizeof eight);
    eight = eight >> b & UINT64_C(0x0101010101010101);
    word |= (eight * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
  }
  return word;
}

static void sum_packed(double *sums, const work *w, size_t t, scratch *s) {
  const zh_groups *g = w->field->groups;
  size_t count = g->first[t + 1] - g->first[t], words = (count + 63) / 64;
  uint8_t any = 0;
  for (size_t i = 0; i < count; i++) any |= s->times[i];
  for (int b = 0; b < PLANES && any >> b != 0; b++) {
    for (size_t i = 0; i < words; i++) s->plane[i] = plane_word(s->times + 64 * i, b);
    zh_bits_rows(s->counts, w->rows + w->row_begin[t], w->field->models, s->plane, words);
    for (size_t m = 0; m < w->field->models; m++) sums[m] += (double)((uint64_t)s->counts[m] << b);
  }
}

static void replicate(const work *w, size_t r, scratch *s, double *sums) {
  const zh_groups *g = w->field->groups;
  size_t replicates = w->draws->replicates, models = w->field->models;
  for (size_t m = 0; m < models; m++) w->means[m * replicates + r] = 0;
  for (size_t t = 0; t < g->tasks; t++) {
    size_t first = g->first[t], count = g->first[t + 1] - first;
    double items = 0;
    memset(sums, 0, models * sizeof *sums);
    if (w->rows != NULL) {
      memset(s->times, 0, (count + 63) / 64 * 64);
      draw(NULL, s->times, s->random, count, w->draws, r, first);
      sum_packed(sums, w, t, s);
      items = (double)count;
    } else {
      memset(s->wide, 0, count * sizeof *s->wide);
      draw(s->wide, NULL, s->random, count, w->draws, r, first);
      for (size_t c = 0; c < count; c++) {
        if (s->wide[c] == 0) continue;
        items += s->wide[c] * g->cluster_items[first + c];
        for (size_t m = 0; m < models; m++)
          sums[m] += s->wide[c] * w->sums[m * g->clusters + first + c];
      }
    }
    for (size_t m = 0; m < models; m++)
      w->means[m * replicates + r] += g->weight[t] * sums[m] / items;
  }
}

static void replicate_share(void *user, int thread, int threads) {
  work *w = user;
  size_t begin, end, clusters = w->field->groups->clusters, models = w->field->models;
  scratch s = {.random = calloc(DRAWS, sizeof *s.random),
               .times = calloc(clusters + 64, 1),
               .wide = calloc(clusters, sizeof *s.wide),
               .plane = calloc(clusters / 64 + 2, sizeof *s.plane),
               .counts = calloc(models, sizeof *s.counts)};
  double *sums = calloc(models, sizeof *sums);
  zh_share(&begin, &end, w->draws->replicates, 1, thread, threads);
  if (!s.random || !s.times || !s.wide || !s.plane || !s.counts || !sums)
    atomic_store(&w->failed, true);
  else
    for (size_t r = begin; r < end; r++) replicate(w, r, &s, sums);
  free(s.random);
  free(s.times);
  free(s.wide);
  free(s.plane);
  free(s.counts);
  free(sums);
}

static bool pack(work *w) {
  const zh_groups *g = w->field->groups;
  for (size_t t = 0; t < g->tasks; t++) {
    size_t count = g->first[t + 1] - g->first[t], words = (count + 63) / 64;
    for (size_t m = 0; m < w->field->models; m++) {
      uint64_t *row = w->rows + w->row_begin[t] + m * words;
      if (!zh_bits_pack(row, w->field->scores + m * g->items + g->first[t], count)) return false;
    }
  }
  return true;
}

static zh_status prepare(work *w, zh_error *err) {
  const zh_groups *g = w->field->groups;
  size_t all = 0, models = w->field->models;
  w->row_begin = calloc(g->tasks, sizeof *w->row_begin);
  for (size_t t = 0; w->row_begin != NULL && t < g->tasks; t++) {
    w->row_begin[t] = all;
    all += models * ((g->first[t + 1] - g->first[t] + 63) / 64);
  }
  w->rows = calloc(all, sizeof *w->rows);
  w->sums = calloc(models * g->clusters, sizeof *w->sums);
  if (w->row_begin == NULL || w->rows == NULL || w->sums == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scores of %zu models", models);
  if (g->singles && pack(w)) return ZH_OK;
  free(w->rows);
  w->rows = NULL;
  for (size_t m = 0; m < models; m++) {
    for (size_t i = 0; i < g->items; i++)
      w->sums[m * g->clusters + g->cluster_of[i]] += w->field->scores[m * g->items + i];
  }
  return ZH_OK;
}

zh_status zh_bootstrap_means(double *means, const zh_field *field, const zh_draws *draws,
                             zh_error *err) {
  work w = {.field = field, .draws = draws, .means = means};
  zh_status status = prepare(&w, err);
  if (status == ZH_OK) {
    zh_draws_run(draws, replicate_share, &w);
    if (atomic_load(&w.failed))
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the bootstrap");
  }
  free(w.rows);
  free(w.row_begin);
  free(w.sums);
  return status;
}
