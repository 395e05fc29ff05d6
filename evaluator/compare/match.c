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

/* What both say of an item; NULL where nothing differs. Items match. */
static const zh_answer *first_difference(const matching *m, size_t offset) {
  for (size_t i = 0; i < m->x->count; i++) {
    const char *x = *(const char *const *)((const char *)&m->x->answers[i] + offset),
               *y = *(const char *const *)((const char *)&m->y->answers[i] + offset);
    if (strcmp(x, y) != 0) return &m->x->answers[i];
  }
  return NULL;
}

static bool words_match(const matching *m) {
  static const struct {
    size_t offset;
    const char *kind;
    zh_word word;
  } fields[] = {{offsetof(zh_answer, prompt), "prompt_differs", ZH_WORD_leading_prompt_differs},
                {offsetof(zh_answer, cluster), "cluster_differs", ZH_WORD_leading_cluster_differs}};
  bool all = true;
  for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
    const zh_answer *at = first_difference(m, fields[f].offset);
    if (at == NULL) continue;
    all = false;
    if (m->reasons != NULL)
      zh_compare_say(m->reasons, m->e->words, fields[f].kind, fields[f].word, "model", m->b->label,
                     "other", m->a->label, "item", at->item, "task", m->x->task, NULL);
  }
  for (size_t i = 0; i < m->x->count && m->x->texts; i++)
    all &= m->x->answers[i].bytes == m->y->answers[i].bytes;
  return all;
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
  if (!match) return false;
  return items_match(&m) && words_match(&m);
}
