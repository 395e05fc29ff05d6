/* What keeps a verdict from being made: parts that the protocol requires, runs that disagree. */
#include <string.h>

#include "evaluator/leading/scope.h"

static bool has_modality(const zh_table *t, const char *modality) {
  for (size_t k = 0; k < t->tasks; k++)
    if (strcmp(t->modality[k], modality) == 0) return true;
  return false;
}

static bool has_task(const zh_table *t, const char *task) {
  for (size_t k = 0; k < t->tasks; k++)
    if (strcmp(t->task[k]->task, task) == 0) return true;
  return false;
}

static bool has_peer(const zh_matter *m, const char *peer) {
  for (size_t i = 1; i < m->table->models; i++)
    if (strcmp(m->table->names[i], peer) == 0) return true;
  for (size_t i = 0; i < m->unmatched_count; i++)
    if (m->unmatched[i].held == ZH_HELD && strcmp(m->unmatched[i].peer, peer) == 0) return true;
  return false;
}

static bool missing(const zh_scope *s, const char *rule, zh_word word, zh_word needs,
                    const char *slot, const char *name) {
  zh_scope_decided(s, zh_say(s->m->words, rule, word, slot, name, NULL));
  zh_scope_would(s, zh_say(s->m->words, rule, needs, slot, name, NULL));
  return true;
}

bool zh_something_missing(const zh_scope *s) {
  const zh_protocol *p = s->m->protocol;
  bool lacks = false;
  for (size_t i = 0; s->whole && i < p->modality_count; i++) {
    if (!has_modality(s->m->table, p->modalities[i]))
      lacks = missing(s, "modality_missing", ZH_WORD_leading_modality_missing,
                      ZH_WORD_leading_needs_modality, "endpoint", p->modalities[i]);
  }
  for (size_t i = 0; s->whole && i < p->task_count; i++) {
    if (p->tasks[i].required && !has_task(s->m->table, p->tasks[i].task))
      lacks = missing(s, "task_missing", ZH_WORD_leading_task_missing, ZH_WORD_leading_needs_task,
                      "task", p->tasks[i].task);
  }
  for (size_t i = 0; i < p->peer_count; i++) {
    if (p->peers[i].top && !has_peer(s->m, p->peers[i].model))
      lacks = missing(s, "peer_missing", ZH_WORD_leading_peer_missing, ZH_WORD_leading_needs_peer,
                      "peer", p->peers[i].model);
  }
  return lacks;
}

void zh_tell_uncompared(const zh_scope *s, bool also_top) {
  const zh_protocol *p = s->m->protocol;
  for (size_t i = 0; i < p->peer_count; i++) {
    const zh_peer *peer = &p->peers[i];
    if (has_peer(s->m, peer->model) || (peer->top && !also_top)) continue;
    json_t *entry = zh_say(s->m->words, "peer_not_compared", ZH_WORD_leading_peer_not_compared,
                           "peer", peer->model, NULL);
    json_object_set_new(entry, "peer", json_string(peer->model));
    zh_scope_decided(s, entry);
  }
}

bool zh_runs_apart(const zh_scope *s) {
  bool apart = false;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    if (!(u->run_spread > s->m->protocol->margin)) continue;
    json_t *entry = zh_say_in(s->m->words, u->shares, "runs_apart", ZH_WORD_leading_runs_apart,
                              "model", zh_scope_model(s, u->run_spread_model), "endpoint", u->name,
                              "spread", zh_points(u->shares, u->run_spread).text, "margin",
                              zh_points(u->shares, s->m->protocol->margin).text, NULL);
    json_object_set_new(entry, "spread", zh_json_number(u->run_spread));
    zh_scope_decided(s, entry);
    zh_scope_would(s, zh_say_in(s->m->words, u->shares, "runs", ZH_WORD_leading_needs_runs, "model",
                                zh_scope_model(s, u->run_spread_model), "margin",
                                zh_points(u->shares, s->m->protocol->margin).text, NULL));
    apart = true;
  }
  return apart;
}
