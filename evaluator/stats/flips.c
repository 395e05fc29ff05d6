/* All models' sums under the same flips: those of pairs follow by subtraction. */
#include "evaluator/stats/flips.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/stats/bits.h"
#include "evaluator/stats/clones.h"

typedef struct work {
  const zh_field *field;
  const zh_draws *draws;
  zh_flipped *out;
  double *parts;     /* [models][clusters], centred; NULL where packed */
  uint64_t *rows;    /* of each task [models][words]; NULL where not packed */
  size_t *row_begin; /* [tasks]: where its rows begin */
  double *shares;    /* [models][tasks]: the task's mean */
  double *sizes;     /* [models]: of the largest score */
  atomic_bool failed;
} work;

static size_t words_of(const zh_groups *g, size_t t) {
  return (g->first[t + 1] - g->first[t] + 63) / 64;
}

/* bits[first …] of task t into words of its own. */
static void task_bits(uint64_t *out, const uint64_t *bits, const zh_groups *g, size_t t) {
  size_t first = g->first[t], count = g->first[t + 1] - first, shift = first % 64;
  for (size_t i = 0; i < words_of(g, t); i++) {
    size_t at = first / 64 + i;
    uint64_t word = bits[at] >> shift;
    if (shift > 0) word |= bits[at + 1] << (64 - shift);
    out[i] = word;
  }
  if (count % 64 != 0) out[count / 64] &= ((uint64_t)1 << (count % 64)) - 1;
}

enum { LANES = 8 };

/* sum of + or - values, lanes apart so that the order of additions is the same everywhere */
ZH_CLONES static double signed_sum(const double *values, const double *signs, size_t count) {
  double lanes[LANES] = {0}, sum = 0;
  size_t whole = count - count % LANES;
  for (size_t i = 0; i < whole; i += LANES) {
    for (size_t k = 0; k < LANES; k++) lanes[k] += values[i + k] * signs[i + k];
  }
  for (size_t i = whole; i < count; i++) lanes[i - whole] += values[i] * signs[i];
  for (size_t k = 0; k < LANES; k++) sum += lanes[k];
  return sum;
}

static void store(const work *w, size_t t, size_t m, size_t r, double sum) {
  w->out->sums[(t * w->field->models + m) * w->out->replicates + r] = sum;
}

static void flip_dense(const work *w, const uint64_t *bits, double *signs, size_t r) {
  const zh_groups *g = w->field->groups;
  for (size_t c = 0; c < g->clusters; c++) signs[c] = bits[c / 64] >> (c % 64) & 1 ? 1 : -1;
  for (size_t t = 0; t < g->tasks; t++) {
    size_t first = g->first[t];
    for (size_t m = 0; m < w->field->models; m++)
      store(w, t, m, r,
            signed_sum(w->parts + m * g->clusters + first, signs + first, g->first[t + 1] - first));
  }
}

/* Of share s right items among n, with signs of which `plus` are +: sum of sign x (score - s) =
 * (2 common - right) - s (2 plus - n). */
static void flip_packed(const work *w, const uint64_t *bits, uint64_t *mask, uint32_t *counts,
                        size_t r) {
  const zh_groups *g = w->field->groups;
  for (size_t t = 0; t < g->tasks; t++) {
    size_t words = words_of(g, t);
    double n = g->task_items[t];
    task_bits(mask, bits, g, t);
    double excess = 2 * (double)zh_bits_count(mask, words) - n;
    zh_bits_rows(counts, w->rows + w->row_begin[t], w->field->models, mask, words);
    for (size_t m = 0; m < w->field->models; m++) {
      double s = w->shares[m * g->tasks + t];
      store(w, t, m, r, g->weight[t] / n * (2 * (double)counts[m] - s * n - s * excess));
    }
  }
}

static void flip_share(void *user, int thread, int threads) {
  work *w = user;
  const zh_groups *g = w->field->groups;
  size_t begin, end, words = (g->clusters + 63) / 64;
  uint64_t *bits = calloc(2 * (words + 2), sizeof *bits);
  double *signs = calloc(g->clusters, sizeof *signs);
  uint32_t *counts = calloc(w->field->models, sizeof *counts);
  zh_share(&begin, &end, w->out->replicates, 1, thread, threads);
  if (bits == NULL || signs == NULL || counts == NULL) {
    atomic_store(&w->failed, true);
    end = begin;
  }
  for (size_t r = begin; r < end; r++) {
    if (w->out->all)
      bits[0] = r;
    else
      zh_sign_bits(bits, g->clusters, w->draws->seed, r);
    if (w->rows != NULL)
      flip_packed(w, bits, bits + words + 2, counts, r);
    else
      flip_dense(w, bits, signs, r);
  }
  free(bits);
  free(signs);
  free(counts);
}

/* Rows of bits where every score is 0 or 1 and every item stands alone; else rows stays NULL. */
static zh_status pack(work *w, zh_error *err) {
  const zh_field *f = w->field;
  const zh_groups *g = f->groups;
  if (!g->singles) return ZH_OK;
  size_t all = 0;
  w->row_begin = calloc(g->tasks, sizeof *w->row_begin);
  for (size_t t = 0; w->row_begin != NULL && t < g->tasks; t++) {
    w->row_begin[t] = all;
    all += f->models * words_of(g, t);
  }
  w->rows = calloc(all, sizeof *w->rows);
  if (w->row_begin == NULL || w->rows == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scores of %zu models", f->models);
  bool binary = true;
  for (size_t t = 0; binary && t < g->tasks; t++) {
    size_t words = words_of(g, t);
    for (size_t m = 0; binary && m < f->models; m++) {
      uint64_t *row = w->rows + w->row_begin[t] + m * words;
      binary =
          zh_bits_pack(row, f->scores + m * g->items + g->first[t], g->first[t + 1] - g->first[t]);
    }
  }
  w->out->packed = binary;
  if (binary) return ZH_OK;
  free(w->rows);
  w->rows = NULL;
  return ZH_OK;
}

static void task_means(double *means, const zh_groups *g, const double *scores) {
  for (size_t i = 0; i < g->items; i++) means[g->task_of[g->cluster_of[i]]] += scores[i];
  for (size_t t = 0; t < g->tasks; t++) means[t] /= g->task_items[t];
}

static zh_status spread(work *w, zh_error *err) {
  const zh_field *f = w->field;
  const zh_groups *g = f->groups;
  w->sizes = calloc(f->models, sizeof *w->sizes);
  w->shares = calloc(f->models * g->tasks, sizeof *w->shares);
  if (w->rows == NULL) w->parts = calloc(f->models * g->clusters, sizeof *w->parts);
  if (w->sizes == NULL || w->shares == NULL || (w->rows == NULL && w->parts == NULL))
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scores of %zu models", f->models);
  for (size_t m = 0; m < f->models; m++) {
    const double *scores = f->scores + m * g->items;
    double mean = 0, *shares = w->shares + m * g->tasks;
    task_means(shares, g, scores);
    if (w->rows == NULL) mean = zh_contributions(w->parts + m * g->clusters, g, scores, true);
    for (size_t t = 0; w->rows != NULL && t < g->tasks; t++) mean += g->weight[t] * shares[t];
    w->out->means[m] = mean;
    w->sizes[m] = zh_largest(scores, g->items);
  }
  return ZH_OK;
}

ZH_CLONES static double distance(const double *a, const double *b, size_t count) {
  double lanes[LANES] = {0}, sum = 0;
  size_t whole = count - count % LANES;
  for (size_t i = 0; i < whole; i += LANES) {
    for (size_t k = 0; k < LANES; k++) lanes[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
  }
  for (size_t i = whole; i < count; i++) lanes[i - whole] += (a[i] - b[i]) * (a[i] - b[i]);
  for (size_t k = 0; k < LANES; k++) sum += lanes[k];
  return sum;
}

/* Squares of the differences of one pair in one task. */
static double square(const work *w, size_t t, size_t j, size_t k) {
  const zh_groups *g = w->field->groups;
  if (w->rows == NULL) {
    const double *a = w->parts + j * g->clusters + g->first[t],
                 *b = w->parts + k * g->clusters + g->first[t];
    double left = distance(a, b, g->first[t + 1] - g->first[t]),
           noise = g->weight[t] / g->task_items[t] *
                   zh_score_noise(fmax(w->sizes[j], w->sizes[k]), g->task_items[t]);
    return left > noise * noise ? left : 0;
  }
  size_t words = words_of(g, t);
  const uint64_t *rows = w->rows + w->row_begin[t];
  double n = g->task_items[t], share = g->weight[t] / n;
  double gap = w->shares[j * g->tasks + t] - w->shares[k * g->tasks + t];
  double differ = (double)zh_bits_differ(rows + j * words, rows + k * words, words);
  double left = differ - n * gap * gap; /* 0 where one is right on every item and the other never */
  return left > 1e-9 ? share * share * left : 0;
}

static bool differ(const work *w, size_t t, size_t j, size_t k) {
  size_t tasks = w->field->groups->tasks;
  double gap = w->shares[j * tasks + t] - w->shares[k * tasks + t];
  return fabs(gap) > zh_score_noise(fmax(w->sizes[j], w->sizes[k]), 1);
}

static void square_pairs(const work *w) {
  size_t models = w->field->models, p = 0, pairs = models * (models - 1) / 2;
  for (size_t j = 0; j < models; j++) {
    for (size_t k = j + 1; k < models; k++, p++) {
      for (size_t t = 0; t < w->field->groups->tasks; t++) {
        double left = square(w, t, j, k);
        w->out->squares[t * pairs + p] = left == 0 && differ(w, t, j, k) ? NAN : left;
      }
    }
  }
}

zh_status zh_flip_field(zh_flipped *out, const zh_field *field, const zh_draws *draws,
                        zh_error *err) {
  const zh_groups *g = field->groups;
  size_t models = field->models, pairs = models * (models - 1) / 2;
  *out = (zh_flipped){.replicates = 0};
  out->all = zh_signs_all(&out->replicates, g->clusters, draws->replicates);
  out->means = calloc(models, sizeof *out->means);
  out->sums = calloc(g->tasks * models * out->replicates, sizeof *out->sums);
  out->squares = calloc(g->tasks * pairs + 1, sizeof *out->squares);
  work w = {.field = field, .draws = draws, .out = out};
  zh_status status = ZH_OK;
  if (out->means == NULL || out->sums == NULL || out->squares == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu replicates of %zu models",
                     out->replicates, models);
  if (status == ZH_OK) status = pack(&w, err);
  if (status == ZH_OK) status = spread(&w, err);
  if (status == ZH_OK) {
    zh_draws_run(draws, flip_share, &w);
    square_pairs(&w);
    if (atomic_load(&w.failed))
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
  }
  free(w.parts);
  free(w.rows);
  free(w.row_begin);
  free(w.shares);
  free(w.sizes);
  if (status != ZH_OK) zh_flipped_clear(out);
  return status;
}

void zh_flipped_clear(zh_flipped *flipped) {
  free(flipped->means);
  free(flipped->sums);
  free(flipped->squares);
  *flipped = (zh_flipped){.replicates = 0};
}
