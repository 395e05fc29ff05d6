#include "evaluator/leading/scales.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Between the highest scores. Percents are 100 times shares; scales of 5 or 10 points, on which a
 * weak model may well get 0 and 1 alone, stay below. */
static const double MUCH_HIGHER = 20;

zh_reach zh_reach_of(const double *scores, size_t count, double scale) {
  double one = 1 / scale, least = INFINITY, most = -INFINITY;
  bool between = false;
  for (size_t i = 0; i < count; i++) {
    least = fmin(least, scores[i]);
    most = fmax(most, scores[i]);
  }
  for (size_t i = 0; i < count; i++) between |= scores[i] != 0 && scores[i] != most;
  return (zh_reach){.most = most * scale,
                    .within_one = least >= 0 && most <= one && most > 0,
                    .right_or_wrong = least == 0 && most > 0 && !between};
}

bool zh_on_two_scales(const zh_reach *shares, const zh_reach *other) {
  if (!shares->within_one || other->within_one || other->most <= 1) return false;
  bool marks = shares->right_or_wrong && other->right_or_wrong;
  return marks || other->most >= MUCH_HIGHER * shares->most;
}

static void refuse(zh_refusals *refusals, const zh_table *t, size_t task, size_t small,
                   size_t large, const zh_reach *of) {
  char low[32], high[32];
  snprintf(low, sizeof low, "%g", of[small].most);
  snprintf(high, sizeof high, "%g", of[large].most);
  zh_refuse(refusals, "two_scales", t->names[small], ZH_WORD_leading_two_scales, "task",
            t->task[task]->task, "model", t->names[small], "low", low, "other", t->names[large],
            "high", high, NULL);
}

/* The first such pair. */
static void check_task(zh_refusals *refusals, const zh_table *t, size_t task, const zh_reach *of) {
  for (size_t a = 0; a < t->models; a++) {
    for (size_t b = 0; b < t->models; b++) {
      if (!zh_on_two_scales(&of[a], &of[b])) continue;
      refuse(refusals, t, task, a, b, of);
      return;
    }
  }
}

/* Every model's scores are shares of a scale that the protocol has in percent or points. */
static void check_declared(zh_refusals *refusals, const zh_table *t, size_t task,
                           const zh_reach *of) {
  double most = 0;
  char scale[32], high[32];
  for (size_t m = 0; m < t->models; m++) most = fmax(most, of[m].most);
  if (t->task[task]->scale < MUCH_HIGHER || most <= 0 || most > 1) return;
  snprintf(scale, sizeof scale, "%g", t->task[task]->scale);
  snprintf(high, sizeof high, "%g", most);
  zh_refuse(refusals, "two_scales", t->names[0], ZH_WORD_leading_scale_of_shares, "task",
            t->task[task]->task, "value", scale, "high", high, NULL);
}

zh_status zh_scales_check(const zh_table *t, zh_refusals *refusals, zh_error *err) {
  zh_reach *of = calloc(t->models, sizeof *of);
  if (of == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu models", t->models);
  for (size_t k = 0; k < t->tasks; k++) {
    size_t first = t->first_item[k], count = t->first_item[k + 1] - first;
    double scale = t->task[k]->scale > 0 ? t->task[k]->scale : 1;
    for (size_t m = 0; m < t->models; m++)
      of[m] = zh_reach_of(t->scores + m * t->items + first, count, scale);
    check_task(refusals, t, k, of);
    check_declared(refusals, t, k, of);
  }
  free(of);
  return ZH_OK;
}
