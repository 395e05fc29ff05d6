/* Sentences about the claimant and its rivals. */
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
  json_t *entry = zh_say(
      s->m->words, rule, word, "model", zh_scope_claimant(s), "peer", zh_scope_model(s, peer),
      "endpoint", u->name, "difference", zh_points(s->m, pair->estimate.value).text, "low",
      zh_points(s->m, pair->low).text, "high", zh_points(s->m, pair->high).text, "p",
      zh_p_text(pair->p_greater).text, "margin", zh_points(s->m, s->m->protocol->margin).text,
      "rank", zh_count_text(u->own.low).text, NULL);
  zh_add_pair(entry, s, u, peer);
  return entry;
}

json_t *zh_about_unmatched(const zh_scope *s, const char *rule, zh_word word,
                           const zh_unmatched *rival) {
  json_t *entry =
      zh_say(s->m->words, rule, word, "model", zh_scope_claimant(s), "peer", rival->peer, "task",
             rival->published->task, "difference", zh_points(s->m, rival->difference).text, "low",
             zh_points(s->m, rival->interval.low).text, "high",
             zh_points(s->m, rival->interval.high).text, NULL);
  json_object_set_new(entry, "peer", json_string(rival->peer));
  json_object_set_new(entry, "task", json_string(rival->published->task));
  json_object_set_new(entry, "difference", zh_json_number(rival->difference));
  json_object_set_new(entry, "low", zh_json_number(rival->interval.low));
  json_object_set_new(entry, "high", zh_json_number(rival->interval.high));
  return entry;
}
