/* Published scores: what they are beside the claimant's, and what they keep it from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/leading/scope.h"

/* --- figures --- */

static size_t model_named(const zh_table *t, const char *name) {
  for (size_t m = 1; m < t->models; m++)
    if (strcmp(t->names[m], name) == 0) return m;
  return 0;
}

/* Items of the claimant's task by their design effect (Kish 1965): the variance of its clusters
 * over that of as many independent items; never more than there are. */
static zh_status effective_items(double *out, const zh_unit *u, zh_error *err) {
  double items = (double)u->groups->items, mean = u->means[0];
  zh_estimate e;
  *out = items;
  if (u->groups->singles) return ZH_OK;
  ZH_TRY(zh_estimate_mean(&e, u->groups, u->scores, 0, err));
  /* Clusters that do not vary tell nothing of items in them, and one cluster of nothing at all. */
  *out = (double)u->groups->clusters;
  if (u->groups->clusters < 2 || !(e.variance > 0) || !(mean > 0 && mean < 1)) return ZH_OK;
  double effect = e.variance * (items - 1) / (mean * (1 - mean));
  *out = items / fmax(1, effect);
  return ZH_OK;
}

static zh_status hold(zh_unmatched *rival, const zh_matter *m, zh_error *err) {
  const zh_published *p = rival->published;
  const zh_table *t = m->table;
  while (rival->task < t->tasks && strcmp(t->task[rival->task]->task, p->task) != 0) rival->task++;
  rival->held = ZH_NOT_SCORED;
  if (rival->task == t->tasks) return ZH_OK;
  const zh_unit *u = &m->tasks[rival->task];
  rival->held = ZH_NOT_SHARES;
  if (!u->shares) return ZH_OK;
  rival->held = ZH_HELD;
  rival->own = u->means[0];
  rival->difference = rival->own - p->score;
  ZH_TRY(effective_items(&rival->items, u, err));
  rival->interval =
      zh_newcombe(rival->own * rival->items, rival->items, p->score * p->items, p->items, 0.95);
  return ZH_OK;
}

zh_status zh_look_at_published(zh_matter *m, zh_error *err) {
  const zh_protocol *p = m->protocol;
  size_t all = 0;
  for (size_t i = 0; i < p->peer_count; i++) all += p->peers[i].published_count;
  m->unmatched = calloc(all + 1, sizeof *m->unmatched);
  if (m->unmatched == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < p->peer_count; i++) {
    for (size_t k = 0; k < p->peers[i].published_count; k++) {
      zh_unmatched *rival = &m->unmatched[m->unmatched_count++];
      *rival = (zh_unmatched){.peer = p->peers[i].model,
                              .published = &p->peers[i].published[k],
                              .model = model_named(m->table, p->peers[i].model),
                              .own = NAN,
                              .items = NAN,
                              .difference = NAN,
                              .interval = {NAN, NAN}};
      ZH_TRY(hold(rival, m, err));
    }
  }
  return ZH_OK;
}

/* --- what they decide --- */

static bool counts(const zh_scope *s, const zh_unmatched *rival) {
  for (size_t i = 0; rival->held == ZH_HELD && i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    if (rival->task >= u->first_task && rival->task < u->first_task + u->tasks) return true;
  }
  return false;
}

bool zh_rival_above(const zh_scope *s) {
  bool above = false;
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!counts(s, rival) || rival->model > 0 || !(rival->interval.high < 0)) continue;
    above = true;
    zh_scope_decided(
        s, zh_about_unmatched(s->m, "published_above", ZH_WORD_leading_published_above, rival));
    zh_scope_would(s, zh_say(s->m->words, "peer_scores", ZH_WORD_leading_needs_peer, "peer",
                             rival->peer, NULL));
  }
  return above;
}

bool zh_rival_open(const zh_scope *s, bool tell) {
  const char *asked = NULL; /* a peer's scores stand together */
  bool open = false;
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!counts(s, rival) || rival->model > 0 || rival->interval.low > 0) continue;
    open = true;
    if (!tell) continue;
    zh_scope_decided(
        s, zh_about_unmatched(s->m, "published_open", ZH_WORD_leading_published_open, rival));
    if (rival->peer != asked)
      zh_scope_would(s, zh_say(s->m->words, "peer_scores", ZH_WORD_leading_needs_peer, "peer",
                               rival->peer, NULL));
    asked = rival->peer;
  }
  return open;
}

bool zh_rival_conflicts(const zh_scope *s) {
  bool conflicts = false;
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!counts(s, rival) || rival->model == 0 || !(rival->interval.high < 0)) continue;
    if (s->m->tasks[rival->task].pairs[rival->model].ahead) continue;
    conflicts = true;
    json_t *entry =
        zh_about_unmatched(s->m, "published_conflict", ZH_WORD_leading_published_conflict, rival);
    json_object_set_new(entry, "published", zh_json_number(rival->published->score));
    json_object_set_new(entry, "table",
                        zh_json_number(s->m->tasks[rival->task].means[rival->model]));
    zh_scope_decided(s, entry);
    zh_scope_would(s, zh_say(s->m->words, "published_explained", ZH_WORD_leading_needs_explanation,
                             "peer", rival->peer, "task", rival->published->task, NULL));
  }
  return conflicts;
}
