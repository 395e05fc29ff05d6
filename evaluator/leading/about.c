/* Sentences about the claimant and its rivals. */
#include <math.h>

#include "evaluator/leading/scope.h"

const char *zh_scope_claimant(const zh_scope *s) {
  return s->m->table->names[0];
}

const char *zh_scope_model(const zh_scope *s, size_t m) {
  return s->m->table->names[m];
}

void zh_scope_decided(const zh_scope *s, json_t *entry) {
  json_array_append_new(s->out->decided_by, entry);
}

void zh_scope_would(const zh_scope *s, json_t *entry) {
  json_array_append_new(s->out->would_change, entry);
}

void zh_add_pair(json_t *entry, const zh_scope *s, const zh_unit *u, size_t peer) {
  const zh_pair *pair = &u->pairs[peer];
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "peer", json_string(zh_scope_model(s, peer)));
  json_object_set_new(entry, "difference", zh_json_number(pair->estimate.value));
  if (!zh_pair_known(pair)) return;
  json_object_set_new(entry, "p", zh_json_number(pair->p_greater));
  json_object_set_new(entry, "low", zh_json_number(pair->low));
  json_object_set_new(entry, "high", zh_json_number(pair->high));
}

/* A sentence about the claimant and one peer. */
json_t *zh_about_pair(const zh_scope *s, const char *rule, zh_word word, const zh_unit *u,
                      size_t peer) {
  const zh_pair *pair = &u->pairs[peer];
  json_t *entry = zh_say_in(
      s->m->words, u->shares, rule, word, "model", zh_scope_claimant(s), "peer",
      zh_scope_model(s, peer), "endpoint", u->name, "difference",
      zh_points(u->shares, pair->estimate.value).text, "low", zh_points(u->shares, pair->low).text,
      "high", zh_points(u->shares, pair->high).text, "p", zh_p_text(pair->p_greater).text, "margin",
      zh_points(u->shares, s->m->protocol->margin).text, "rank", zh_count_text(u->own.low).text,
      NULL);
  zh_add_pair(entry, s, u, peer);
  return entry;
}

json_t *zh_about_unmatched(const zh_matter *m, const char *rule, zh_word word,
                           const zh_unmatched *rival) {
  bool held = rival->held == ZH_HELD;
  const char *source = rival->published->source;
  double table = held && rival->model > 0 ? m->tasks[rival->task].means[rival->model] : NAN;
  json_t *entry = zh_say_in(
      m->words, true, rule, word, "model", m->table->names[0], "peer", rival->peer, "task",
      rival->published->task, "score", zh_points(true, rival->published->score).text, "items",
      zh_count_text((size_t)rival->published->items).text, "own", zh_points(true, rival->own).text,
      "value", zh_points(true, table).text, "difference", zh_points(true, rival->difference).text,
      "low", zh_points(true, rival->interval.low).text, "high",
      zh_points(true, rival->interval.high).text, "source", source != NULL ? source : "—", NULL);
  json_object_set_new(entry, "peer", json_string(rival->peer));
  json_object_set_new(entry, "task", json_string(rival->published->task));
  if (!held) return entry;
  json_object_set_new(entry, "difference", zh_json_number(rival->difference));
  json_object_set_new(entry, "low", zh_json_number(rival->interval.low));
  json_object_set_new(entry, "high", zh_json_number(rival->interval.high));
  return entry;
}
