/* Whether two models were asked the same: what differs is named. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "evaluator/compare/contest.h"

typedef struct matching {
  json_t *reasons;
  const zh_entrants *e;
  const zh_entrant *a, *b;
  const zh_sheet *x, *y;
} matching;

static const char *fact(const zh_entrant *entrant, const char *key) {
  const char *text = json_string_value(json_object_get(entrant->facts, key));
  return text != NULL ? text : "";
}

/* Items that stand in one list alone; both are sorted. */
static bool items_match(const matching *m) {
  size_t i = 0, k = 0, missing[2] = {0};
  const char *example[2] = {NULL};
  while (i < m->x->count || k < m->y->count) {
    int order = i == m->x->count   ? 1
                : k == m->y->count ? -1
                                   : strcmp(m->x->answers[i].item, m->y->answers[k].item);
    int which = order > 0; /* 0: the second lacks it */
    if (order != 0 && missing[which]++ == 0)
      example[which] = which ? m->y->answers[k].item : m->x->answers[i].item;
    i += order <= 0;
    k += order >= 0;
  }
  for (int which = 0; m->reasons != NULL && which < 2; which++) {
    char count[32];
    snprintf(count, sizeof count, "%zu", missing[which]);
    if (missing[which] == 0) continue;
    zh_compare_say(m->reasons, m->e->words, "items_missing", ZH_WORD_leading_items_missing, "model",
                   which ? m->a->label : m->b->label, "other", which ? m->b->label : m->a->label,
                   "count", count, "task", m->x->task, "item", example[which], NULL);
  }
  return missing[0] == 0 && missing[1] == 0;
}

static const char *text_at(const zh_answer *answer, size_t offset) {
  return *(const char *const *)((const char *)answer + offset);
}

/* The first item of which they say otherwise; SIZE_MAX where there is none. Items match. */
static size_t first_difference(const matching *m, size_t offset) {
  for (size_t i = 0; i < m->x->count; i++)
    if (strcmp(text_at(&m->x->answers[i], offset), text_at(&m->y->answers[i], offset)) != 0)
      return i;
  return SIZE_MAX;
}

static void tell_item(const matching *m, size_t item, const char *kind, zh_word word,
                      const zh_entrant *model, const zh_entrant *other) {
  if (m->reasons != NULL)
    zh_compare_say(m->reasons, m->e->words, kind, word, "model", model->label, "other",
                   other->label, "item", m->x->answers[item].item, "task", m->x->task, NULL);
}

/* To leave unsaid what was asked is not to have asked something else, nor the same. */
static bool prompts_match(const matching *m) {
  size_t at = first_difference(m, offsetof(zh_answer, prompt));
  if (at == SIZE_MAX) return true;
  bool x = m->x->answers[at].prompt[0] != '\0', y = m->y->answers[at].prompt[0] != '\0';
  if (x && y)
    tell_item(m, at, "prompt_differs", ZH_WORD_leading_prompt_differs, m->b, m->a);
  else
    tell_item(m, at, "prompt_unstated", ZH_WORD_leading_prompt_unstated, x ? m->b : m->a,
              x ? m->a : m->b);
  return false;
}

static bool clusters_match(const matching *m) {
  size_t at = first_difference(m, offsetof(zh_answer, cluster));
  if (at == SIZE_MAX) return true;
  tell_item(m, at, "cluster_differs", ZH_WORD_leading_cluster_differs, m->b, m->a);
  return false;
}

static bool texts_match(const matching *m) {
  for (size_t i = 0; i < m->x->count && m->x->texts; i++)
    if (m->x->answers[i].bytes != m->y->answers[i].bytes) return false;
  return true;
}

static bool modalities_match(const matching *m) {
  const char *x = m->x->modality, *y = m->y->modality;
  bool same = strcmp(x, y) == 0 || x[0] == '\0' || y[0] == '\0';
  if (!same && m->reasons != NULL)
    zh_compare_say(m->reasons, m->e->words, "modality_differs", ZH_WORD_compare_modality_differs,
                   "model", m->a->label, "other", m->b->label, "task", m->x->task, "from", x, "to",
                   y, NULL);
  return same;
}

static bool scales_match(const matching *m) {
  bool low = zh_on_two_scales(&m->x->reach, &m->y->reach),
       high = zh_on_two_scales(&m->y->reach, &m->x->reach);
  const zh_entrant *shares = low ? m->a : m->b, *other = low ? m->b : m->a;
  char least[32], most[32];
  snprintf(least, sizeof least, "%g", fmin(m->x->reach.most, m->y->reach.most));
  snprintf(most, sizeof most, "%g", fmax(m->x->reach.most, m->y->reach.most));
  if ((low || high) && m->reasons != NULL)
    zh_compare_say(m->reasons, m->e->words, "two_scales", ZH_WORD_compare_two_scales, "model",
                   shares->label, "other", other->label, "task", m->x->task, "low", least, "high",
                   most, NULL);
  return !low && !high;
}

static bool metrics_match(const matching *m) {
  const char *x = m->x->metric, *y = m->y->metric;
  bool same = m->x->texts == m->y->texts && m->x->fewer_is_better == m->y->fewer_is_better &&
              (strcmp(x, y) == 0 || x[0] == '\0' || y[0] == '\0');
  if (!same && m->reasons != NULL)
    zh_compare_say(m->reasons, m->e->words, "metric_differs", ZH_WORD_compare_metric_differs,
                   "model", m->a->label, "other", m->b->label, "task", m->x->task, "from", x, "to",
                   y, NULL);
  return same;
}

static bool protocols_match(const matching *m) {
  const char *x = fact(m->a, "protocol"), *y = fact(m->b, "protocol");
  bool same = strcmp(x, y) == 0;
  if (!same && m->reasons != NULL)
    zh_compare_say(m->reasons, m->e->words, "protocol_differs", ZH_WORD_compare_protocol_differs,
                   "model", m->a->label, "other", m->b->label, "from", x[0] != '\0' ? x : "—", "to",
                   y[0] != '\0' ? y : "—", NULL);
  return same;
}

static bool faultless(const matching *m) {
  size_t count = json_array_size(m->x->faults) + json_array_size(m->y->faults);
  if (m->reasons != NULL && count > 0) {
    json_array_extend(m->reasons, m->x->faults);
    json_array_extend(m->reasons, m->y->faults);
  }
  return count == 0;
}

bool zh_sheets_match(json_t *reasons, const zh_entrants *e, size_t first, const zh_sheet *a,
                     size_t second, const zh_sheet *b) {
  const matching m = {reasons, e, &e->at[first], &e->at[second], a, b};
  bool match = faultless(&m);
  match &= protocols_match(&m);
  match &= metrics_match(&m);
  match &= modalities_match(&m);
  match &= scales_match(&m);
  if (!match || !items_match(&m)) return false;
  match &= prompts_match(&m);
  match &= clusters_match(&m);
  return match && texts_match(&m);
}
