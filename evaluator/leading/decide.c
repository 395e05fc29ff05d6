#include <math.h>
#include <string.h>

#include "evaluator/leading/scope.h"

/* --- not leading --- */

static void explain_ahead(const zh_scope *s, const zh_unit *u) {
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!pair->ahead) continue;
    zh_scope_decided(s, zh_about_pair(s, "own_rank", ZH_WORD_leading_own_rank, u, peer));
    zh_tell_rank_gain(s, u, peer);
  }
}

static bool not_leading(const zh_scope *s) {
  bool behind = false;
  for (size_t i = 0; i < s->count; i++) {
    if (s->units[i].own.low < 2) continue;
    behind = true;
    explain_ahead(s, &s->units[i]);
  }
  return zh_rival_above(s) || behind;
}

/* --- leading --- */

bool zh_beats_all(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u);
  return peer != 0 && zh_pair_leads(&u->pairs[peer], s->m->protocol->alpha);
}

/* By Holm over primary tasks and peers. */
bool zh_loses_somewhere(const zh_scope *s, bool tell) {
  bool loses = false;
  const zh_matter *m = s->m;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    for (size_t t = u->first_task; t < u->first_task + u->tasks; t++) {
      for (size_t peer = 1; peer < u->models; peer++) {
        double p = m->losses[t * u->models + peer];
        if (!(p <= m->protocol->alpha)) continue;
        loses = true;
        if (!tell) continue;
        json_t *entry =
            zh_about_pair(s, "task_lost", ZH_WORD_leading_task_lost, &m->tasks[t], peer);
        json_object_set_new(entry, "p_holm", zh_json_number(p));
        zh_scope_decided(s, entry);
        zh_tell_task_gain(s, &m->tasks[t], peer);
      }
    }
  }
  return loses;
}

static void explain_lead(const zh_scope *s) {
  const zh_unit *frailest = NULL;
  size_t fewest = 0, turned;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    size_t peer = zh_weakest(u);
    zh_scope_decided(s, zh_about_pair(s, "beats_all", ZH_WORD_leading_beats_all, u, peer));
    if (zh_unit_fragility(&turned, u, s->m->table, peer, s->m->protocol, s->err) != ZH_OK) return;
    if (frailest != NULL && turned >= fewest) continue;
    frailest = u;
    fewest = turned;
  }
  if (frailest == NULL) return;
  json_t *entry = zh_say(s->m->words, "fragile", ZH_WORD_leading_fragile, "model",
                         zh_scope_claimant(s), "peer", zh_scope_model(s, zh_weakest(frailest)),
                         "endpoint", frailest->name, "count", zh_count_text(fewest).text, "all",
                         zh_count_text(frailest->groups->clusters).text, NULL);
  json_object_set_new(entry, "clusters", json_integer((json_int_t)fewest));
  zh_scope_would(s, entry);
}

static bool leading(const zh_scope *s) {
  for (size_t i = 0; i < s->count; i++)
    if (!zh_beats_all(s, &s->units[i])) return false;
  if (zh_loses_somewhere(s, false) || zh_rival_open(s, false)) return false;
  explain_lead(s);
  return true;
}

/* --- tied --- */

bool zh_holds_up(const zh_scope *s, const zh_unit *u) {
  if (u->models < 2 || u->own.low != 1) return false;
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!zh_pair_known(pair) || !(pair->bound >= -s->m->protocol->margin)) return false;
  }
  return true;
}

static size_t nearest_to_margin(const zh_unit *u) {
  size_t nearest = 1;
  for (size_t peer = 2; peer < u->models; peer++)
    if (u->pairs[peer].bound < u->pairs[nearest].bound) nearest = peer;
  return nearest;
}

static void explain_tie(const zh_scope *s, const zh_unit *u) {
  size_t peer = nearest_to_margin(u);
  json_t *entry =
      zh_say_in(s->m->words, u->shares, "non_inferior", ZH_WORD_leading_non_inferior, "model",
                zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint", u->name, "low",
                zh_points(u->shares, u->pairs[peer].bound).text, "margin",
                zh_points(u->shares, s->m->protocol->margin).text, NULL);
  zh_add_pair(entry, s, u, peer);
  json_object_set_new(entry, "bound", zh_json_number(u->pairs[peer].bound));
  zh_scope_decided(s, entry);
  zh_tell_items(s, u, 0, &zh_to_lead);
  if (zh_beats_all(s, u)) return;
  if (!zh_tell_few_clusters(s, u)) zh_tell_lead_gain(s, u);
}

static bool tied(const zh_scope *s) {
  for (size_t i = 0; i < s->count; i++)
    if (!zh_holds_up(s, &s->units[i])) return false;
  if (s->count == 0) return false;
  for (size_t i = 0; i < s->count; i++) explain_tie(s, &s->units[i]);
  zh_loses_somewhere(s, true);
  zh_rival_open(s, true);
  return true;
}

/* --- the verdict --- */

/* Both are looked at, so that both are said. */
static bool is_incomplete(const zh_scope *s) {
  bool missing = zh_something_missing(s), apart = zh_runs_apart(s);
  return missing || apart;
}

zh_status zh_decide(zh_decision *out, const zh_matter *matter, const zh_unit *units, size_t count,
                    bool whole, zh_error *err) {
  *out = (zh_decision){
      .verdict = ZH_NOT_ENOUGH, .decided_by = json_array(), .would_change = json_array()};
  zh_error inner = ZH_ERROR_INIT;
  const zh_scope s = {matter, units, count, whole, out, &inner};
  if (not_leading(&s)) {
    out->verdict = ZH_NOT_LEADING;
    out->rule = "not_leading";
  } else if (is_incomplete(&s)) {
    out->rule = "incomplete";
  } else if (zh_rival_conflicts(&s)) {
    out->rule = "published_conflict";
  } else if (count > 0 && leading(&s)) {
    out->verdict = ZH_LEADING;
    out->rule = "leading";
  } else if (tied(&s)) {
    out->verdict = ZH_TIED;
    out->rule = "tied";
  } else {
    out->rule = zh_explain_rest(&s);
  }
  if (whole) zh_tell_uncompared(&s, strcmp(out->rule, "incomplete") != 0);
  if (inner.status == ZH_OK) return ZH_OK;
  zh_decision_clear(out);
  return zh_fail(err, inner.status, "%s", inner.message);
}

void zh_decision_clear(zh_decision *decision) {
  json_decref(decision->decided_by);
  json_decref(decision->would_change);
  decision->decided_by = decision->would_change = NULL;
}
