#include "evaluator/leading/scope.h"

#include <math.h>
#include <string.h>

/* --- not leading --- */

static void explain_ahead(const zh_scope *s, const zh_unit *u) {
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!pair->ahead) continue;
    zh_scope_decided(s, zh_about_pair(s, "own_rank", ZH_WORD_leading_own_rank, u, peer));
    double gain = fmax(0, -pair->high);
    json_t *entry = zh_say(s->m->words, "gain", ZH_WORD_leading_gain, "model", zh_scope_claimant(s),
                           "peer", zh_scope_model(s, peer), "endpoint", u->name, "difference",
                           zh_points(s->m, gain).text, NULL);
    json_object_set_new(entry, "gain", zh_json_number(gain));
    zh_scope_would(s, entry);
  }
}

static bool unmatched_in(const zh_scope *s, const zh_unmatched *rival) {
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    if (rival->task >= u->first_task && rival->task < u->first_task + u->tasks) return true;
  }
  return false;
}

static bool not_leading(const zh_scope *s) {
  bool behind = false;
  for (size_t i = 0; i < s->count; i++) {
    if (s->units[i].own.low < 2) continue;
    behind = true;
    explain_ahead(s, &s->units[i]);
  }
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!unmatched_in(s, rival) || !(rival->interval.high < 0)) continue;
    behind = true;
    zh_scope_decided(
        s, zh_about_unmatched(s, "published_above", ZH_WORD_leading_published_above, rival));
    zh_scope_would(s, zh_say(s->m->words, "peer_scores", ZH_WORD_leading_needs_peer, "peer",
                             rival->peer, NULL));
  }
  return behind;
}

/* --- leading --- */

static bool beats_all(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u);
  return peer != 0 && zh_pair_known(&u->pairs[peer]) &&
         u->pairs[peer].p_greater <= s->m->protocol->alpha && u->pairs[peer].estimate.value > 0;
}

/* Tasks on which the claimant is significantly worse, by Holm over primary tasks and peers. */
static bool loses_somewhere(const zh_scope *s, bool tell) {
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
      }
    }
  }
  return loses;
}

static bool rival_open(const zh_scope *s, bool tell) {
  bool open = false;
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!unmatched_in(s, rival) || rival->interval.low > 0) continue;
    open = true;
    if (tell)
      zh_scope_decided(
          s, zh_about_unmatched(s, "published_open", ZH_WORD_leading_published_open, rival));
  }
  return open;
}

static void explain_lead(const zh_scope *s) {
  const zh_unit *frailest = NULL;
  size_t fewest = 0;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    size_t peer = zh_weakest(u);
    zh_scope_decided(s, zh_about_pair(s, "beats_all", ZH_WORD_leading_beats_all, u, peer));
    size_t turned = zh_unit_fragility(u, peer, s->m->protocol->alpha, s->err);
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
    if (!beats_all(s, &s->units[i])) return false;
  if (loses_somewhere(s, false) || rival_open(s, false)) return false;
  explain_lead(s);
  return true;
}

/* --- tied, and what is left --- */

static bool holds_up(const zh_scope *s, const zh_unit *u) {
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

static bool tied(const zh_scope *s) {
  for (size_t i = 0; i < s->count; i++)
    if (!holds_up(s, &s->units[i])) return false;
  if (s->count == 0) return false;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    size_t peer = nearest_to_margin(u);
    json_t *entry = zh_say(s->m->words, "non_inferior", ZH_WORD_leading_non_inferior, "model",
                           zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint",
                           u->name, "low", zh_points(s->m, u->pairs[peer].bound).text, "margin",
                           zh_points(s->m, s->m->protocol->margin).text, NULL);
    zh_add_pair(entry, s, u, peer);
    json_object_set_new(entry, "bound", zh_json_number(u->pairs[peer].bound));
    zh_scope_decided(s, entry);
    zh_tell_items(s, u, 0, "items_to_lead", ZH_WORD_leading_items_to_lead);
    if (!beats_all(s, u)) zh_tell_lead_gain(s, u);
  }
  loses_somewhere(s, true);
  rival_open(s, true);
  return true;
}

/* What the verdict hangs on where nothing else is said. */
static const char *rest_rule(const zh_scope *s) {
  for (size_t i = 0; i < s->count; i++) {
    for (size_t peer = 1; peer < s->units[i].models; peer++)
      if (!zh_pair_known(&s->units[i].pairs[peer])) return "zero_variance";
  }
  return "underpowered";
}

static void explain_rest(const zh_scope *s) {
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    bool open = !beats_all(s, u) && !holds_up(s, u);
    if (u->models < 2)
      zh_scope_decided(
          s, zh_say(s->m->words, "no_pairs", ZH_WORD_leading_no_pairs, "endpoint", u->name, NULL));
    for (size_t peer = 1; peer < u->models; peer++) {
      const zh_pair *pair = &u->pairs[peer];
      if (!zh_pair_known(pair)) {
        zh_scope_decided(s,
                         zh_about_pair(s, "zero_variance", ZH_WORD_leading_zero_variance, u, peer));
        zh_scope_would(s, zh_say(s->m->words, "variation", ZH_WORD_leading_needs_variation, "model",
                                 zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint",
                                 u->name, NULL));
      } else if (open && pair->p_greater > s->m->protocol->alpha) {
        zh_scope_decided(s,
                         zh_about_pair(s, "underpowered", ZH_WORD_leading_underpowered, u, peer));
      }
    }
    if (!open) continue;
    zh_tell_items(s, u, s->m->protocol->margin, "items_to_tie", ZH_WORD_leading_items_to_tie);
    zh_tell_items(s, u, 0, "items_to_lead", ZH_WORD_leading_items_to_lead);
  }
  loses_somewhere(s, true);
  rival_open(s, true);
}

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
  } else if (count > 0 && leading(&s)) {
    out->verdict = ZH_LEADING;
    out->rule = "leading";
  } else if (tied(&s)) {
    out->verdict = ZH_TIED;
    out->rule = "tied";
  } else {
    explain_rest(&s);
    out->rule = rest_rule(&s);
  }
  if (inner.status == ZH_OK) return ZH_OK;
  zh_decision_clear(out);
  return zh_fail(err, inner.status, "%s", inner.message);
}

void zh_decision_clear(zh_decision *decision) {
  json_decref(decision->decided_by);
  json_decref(decision->would_change);
  decision->decided_by = decision->would_change = NULL;
}
