#include "evaluator/stats/contrast.h"

#include <math.h>
#include <stdlib.h>

#include "evaluator/stats/special.h"

typedef struct question {
  const zh_groups *groups;
  const double *first, *second;
  const double *parts; /* [clusters]: contributions, 0 where they do not differ */
  double size;         /* of the numbers that differences were reckoned from */
} question;

static bool is_binary(double score) {
  return score == 0 || score == 1;
}

/* What is seen of single items: whether they are plain, and how far scores can lie apart. */
static void look_at_items(zh_contrast *out, const question *q, double *lowest, double *highest) {
  const zh_groups *g = q->groups;
  for (size_t t = 0; t < g->tasks; t++) highest[t] = 1; /* shares are taken to reach from 0 to 1 */
  for (size_t i = 0; i < g->items; i++) {
    size_t c = g->cluster_of[i], t = g->task_of[c];
    bool plain = g->cluster_items[c] == 1 && is_binary(q->first[i]) && is_binary(q->second[i]);
    lowest[t] = fmin(lowest[t], fmin(q->first[i], q->second[i]));
    highest[t] = fmax(highest[t], fmax(q->first[i], q->second[i]));
    out->of[t].plain &= plain;
    if (q->parts[c] == 0) continue;
    out->plain &= plain;
    out->only_first += q->parts[c] > 0;
    out->only_second += q->parts[c] < 0;
  }
}

/* range: how far two scores of the task can lie apart. */
static void look_at_clusters(zh_task_contrast *of, const question *q, size_t t, double range) {
  const zh_groups *g = q->groups;
  double items = g->task_items[t], share = g->weight[t] / items, most = 0, squares = 0;
  double noise = zh_score_noise(q->size, items);
  for (size_t c = g->first[t]; c < g->first[t + 1]; c++) {
    double sum = q->parts[c] / share;
    most = fmax(most, g->cluster_items[c] * range);
    of->differing += sum != 0;
    of->squares += q->parts[c] * q->parts[c];
    of->won += fmax(0, sum);
    of->lost += fmax(0, -sum);
  }
  of->value = (of->won - of->lost) / items;
  for (size_t c = g->first[t]; c < g->first[t + 1]; c++) {
    double centred = q->parts[c] / share - g->cluster_items[c] * of->value;
    squares += centred * centred;
  }
  if (squares <= noise * noise) squares = 0;
  of->weight = g->weight[t];
  of->clusters = (double)(g->first[t + 1] - g->first[t]);
  of->variance = squares * of->clusters / (of->clusters - 1) / (items * items);
  of->scale = of->clusters * most / items;
  of->won /= most;
  of->lost /= most;
}

static double count_effective(const zh_contrast *contrast) {
  double sum = 0, weighed = 0;
  for (size_t t = 0; t < contrast->tasks; t++) {
    const zh_task_contrast *of = &contrast->of[t];
    if (of->differing == 0) continue;
    sum += of->squares;
    weighed += of->squares * of->squares / of->differing;
  }
  return weighed > 0 ? sum * sum / weighed : 0;
}

zh_status zh_contrast_look(zh_contrast *out, const zh_groups *g, const double *first,
                           const double *second, const double *differences, double size,
                           zh_error *err) {
  double *parts = calloc(g->clusters + 2 * g->tasks, sizeof *parts);
  *out = (zh_contrast){.of = calloc(g->tasks, sizeof *out->of), .tasks = g->tasks, .plain = true};
  zh_status status = ZH_OK;
  if (parts == NULL || out->of == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
    goto done;
  }
  double *lowest = parts + g->clusters, *highest = lowest + g->tasks;
  const question q = {g, first, second, parts, fmax(size, zh_largest(differences, g->items))};
  for (size_t t = 0; t < g->tasks; t++) out->of[t].plain = true;
  zh_differing(parts, g, differences, size);
  look_at_items(out, &q, lowest, highest);
  for (size_t t = 0; t < g->tasks; t++) {
    look_at_clusters(&out->of[t], &q, t, highest[t] - lowest[t]);
    out->differing += out->of[t].differing > 0;
  }
  out->effective = count_effective(out);
done:
  free(parts);
  if (status != ZH_OK) zh_contrast_clear(out);
  return status;
}

void zh_contrast_clear(zh_contrast *contrast) {
  free(contrast->of);
  contrast->of = NULL;
}

bool zh_contrast_constant(const zh_contrast *contrast) {
  bool any = false;
  for (size_t t = 0; t < contrast->tasks; t++)
    any |= contrast->of[t].differing > 0 && contrast->of[t].variance == 0;
  return any;
}

/* Few among many differ: what is rare has hardly been seen. Where most of a few clusters differ,
 * their variance has. */
static bool is_sparse(const zh_task_contrast *of) {
  return of->differing < ZH_CLUSTERS_FOR_T && 2 * of->differing < of->clusters;
}

static bool by_score(const zh_task_contrast *of) {
  return of->plain || is_sparse(of);
}

/* E d^2 <= E |d| for differences d of at most 1, so that clusters that differ in part vary no more
 * than as many pairs that differ wholly: exact for items alone of 0 and 1, safe for others. */
static zh_interval limits_of(const zh_task_contrast *of, double confidence) {
  if (by_score(of)) {
    zh_interval limits = zh_tango(of->won, of->lost, of->clusters, confidence);
    return (zh_interval){of->scale * limits.low, of->scale * limits.high};
  }
  double half = -zh_t_quantile(0.5 * (1 - confidence), of->clusters - 1) * sqrt(of->variance);
  return (zh_interval){of->value - half, of->value + half};
}

/* Limits of scores add up safely and, over many tasks, too widely. Where many clusters differ and
 * no few tasks make up the distance to the limit, the sum of tasks is as normal as need be. */
static bool is_normal_sum(const zh_contrast *contrast) {
  enum { CLUSTERS = 100, TASKS = 10 };
  double sum = 0, squares = 0;
  if (contrast->effective < CLUSTERS) return false;
  for (size_t t = 0; t < contrast->tasks; t++) {
    const zh_task_contrast *of = &contrast->of[t];
    double down = of->weight * (of->value - limits_of(of, 0.95).low);
    sum += down * down;
    squares += down * down * down * down;
  }
  return sum * sum >= TASKS * squares;
}

bool zh_contrast_by_score(const zh_contrast *contrast) {
  bool any = false;
  for (size_t t = 0; t < contrast->tasks; t++) any |= by_score(&contrast->of[t]);
  return any && !is_normal_sum(contrast);
}

/* Distances from the means to their limits add up by their squares (Zou and Donner 2008). */
zh_interval zh_contrast_limits(const zh_contrast *contrast, double confidence,
                               const double extra[2], const double extra_df[2]) {
  double value = 0, below = 0, above = 0;
  for (size_t t = 0; t < contrast->tasks; t++) {
    const zh_task_contrast *of = &contrast->of[t];
    zh_interval limits = limits_of(of, confidence);
    double down = of->weight * (of->value - limits.low),
           up = of->weight * (limits.high - of->value);
    value += of->weight * of->value;
    below += down * down;
    above += up * up;
  }
  for (int i = 0; i < 2; i++) {
    if (!(extra[i] > 0)) continue;
    double z = zh_t_quantile(0.5 * (1 - confidence), extra_df[i]);
    below += z * z * extra[i];
    above += z * z * extra[i];
  }
  return (zh_interval){value - sqrt(below), value + sqrt(above)};
}
