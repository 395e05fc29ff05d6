#include "bench/quality/curves.h"

#include <stdlib.h>
#include <string.h>

#include "core/statistics.h"

enum { LEVELS_MAX = 100 };
static const double Z95 = 1.959963984540054; /* the normal distribution's 0.975 quantile */

typedef struct point {
  json_int_t level;
  double sum, items;
} point;

typedef struct curve {
  point at[LEVELS_MAX];
  size_t count;
} curve;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (curves)");
}

/* The level's point, made where there is none yet, so that levels ascend; NULL: too many. */
static point *point_of(curve *c, json_int_t level) {
  size_t i = 0;
  while (i < c->count && c->at[i].level < level) i++;
  if (i < c->count && c->at[i].level == level) return &c->at[i];
  if (c->count == LEVELS_MAX) return NULL;
  memmove(&c->at[i + 1], &c->at[i], (c->count - i) * sizeof *c->at);
  c->count++;
  c->at[i] = (point){.level = level};
  return &c->at[i];
}

/* False: no curve can be drawn of these items. */
static bool gather(curve *c, const zh_exam_task *t, const json_t *scores) {
  *c = (curve){.count = 0};
  for (size_t i = 0; i < json_array_size(scores); i++) {
    const json_t *level = json_object_get(json_array_get(t->docs, i), "level"),
                 *score = json_array_get(scores, i);
    double value = json_number_value(score);
    point *p = json_is_integer(level) ? point_of(c, json_integer_value(level)) : NULL;
    if (!p || !json_is_number(score) || value < 0 || value > 1) return false;
    p->sum += value;
    p->items++;
  }
  return c->count > 0;
}

/* Scores that do not rise with the level: neighbours that do are pooled, by their items (pool
 * adjacent violators). */
static void fit_falling(double *out, const curve *c) {
  struct {
    double sum, items;
    size_t levels;
  } pools[LEVELS_MAX];
  size_t count = 0, level = 0;
  for (size_t i = 0; i < c->count; i++) {
    pools[count].sum = c->at[i].sum;
    pools[count].items = c->at[i].items;
    pools[count++].levels = 1;
    while (count > 1 && pools[count - 1].sum * pools[count - 2].items >
                            pools[count - 2].sum * pools[count - 1].items) {
      pools[count - 2].sum += pools[count - 1].sum;
      pools[count - 2].items += pools[count - 1].items;
      pools[count - 2].levels += pools[count - 1].levels;
      count--;
    }
  }
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < pools[i].levels; k++) out[level++] = pools[i].sum / pools[i].items;
}

/* Where the fitted scores cross one half, on a straight line between two levels. */
static json_t *half_json(const curve *c) {
  double fitted[LEVELS_MAX];
  size_t i = 0;
  fit_falling(fitted, c);
  while (i < c->count && fitted[i] >= 0.5) i++;
  if (i == 0 || i == c->count)
    return json_pack("{s:n, s:s}", "level", "side", i == 0 ? "below" : "above");
  double from = (double)c->at[i - 1].level, to = (double)c->at[i].level;
  double part = (fitted[i - 1] - 0.5) / (fitted[i - 1] - fitted[i]);
  return json_pack("{s:f, s:s}", "level", from + part * (to - from), "side", "within");
}

static json_t *curve_json(const curve *c) {
  json_t *levels = json_array();
  for (size_t i = 0; levels && i < c->count; i++) {
    const point *p = &c->at[i];
    double low, high;
    zh_wilson_bounds(&low, &high, p->sum, p->items, Z95);
    json_array_append_new(levels, json_pack("{s:I, s:I, s:f, s:f, s:f}", "level", p->level, "items",
                                            (json_int_t)p->items, "score", p->sum / p->items, "low",
                                            low, "high", high));
  }
  return json_pack("{s:o, s:o}", "levels", levels, "half", half_json(c));
}

static bool is_mean(const zh_exam_task *t, const char *key) {
  size_t length = strcspn(key, ",");
  for (size_t i = 0; i < t->metric_count; i++) {
    const zh_item_metric *m = &t->metrics[i];
    if (strlen(m->name) == length && memcmp(m->name, key, length) == 0)
      return strcmp(m->aggregation, "mean") == 0;
  }
  return false;
}

zh_status zh_curves_make(json_t **out, const zh_exam_task *t, const json_t *values, zh_error *err) {
  const char *key;
  json_t *scores, *all = json_object();
  curve *c = malloc(sizeof *c);
  bool whole = all && c;
  *out = NULL;
  json_object_foreach((json_t *)(uintptr_t)values, key, scores) {
    if (whole && is_mean(t, key) && gather(c, t, scores))
      whole = json_object_set_new(all, key, curve_json(c)) == 0;
  }
  free(c);
  if (whole && json_object_size(all) > 0) *out = json_incref(all);
  json_decref(all);
  return whole ? ZH_OK : no_memory(err);
}
