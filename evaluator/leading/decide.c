#include "evaluator/leading/decide.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/stats/special.h"

static const double POWER = 0.8; /* of the items needed */

typedef struct scope {
  const zh_matter *m;
  const zh_unit *units;
  size_t count;
  bool whole;
  zh_decision *out;
  zh_error *err;
} scope;

static const char *claimant(const scope *s) {
  return s->m->table->names[0];
}

static const char *model(const scope *s, size_t m) {
  return s->m->table->names[m];
}

static void decide(const scope *s, json_t *entry) {
  json_array_append_new(s->out->decided_by, entry);
}

static void would(const scope *s, json_t *entry) {
  json_array_append_new(s->out->would_change, entry);
}

static void add_pair(json_t *entry, const scope *s, const zh_unit *u, size_t peer) {
  const zh_pair *pair = &u->pairs[peer];
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "peer", json_string(model(s, peer)));
  json_object_set_new(entry, "difference", zh_json_number(pair->estimate.value));
  if (!zh_pair_known(pair)) return;
  json_object_set_new(entry, "p", zh_json_number(pair->p_greater));
  json_object_set_new(entry, "low", zh_json_number(pair->low));
  json_object_set_new(entry, "high", zh_json_number(pair->high));
}

/* A sentence about the claimant and one peer. */
static json_t *about_pair(const scope *s, const char *rule, zh_word word, const zh_unit *u,
                          size_t peer) {
  const zh_pair *pair = &u->pairs[peer];
  json_t *entry = zh_say(
      s->m->words, rule, word, "model", claimant(s), "peer", model(s, peer), "endpoint", u->name,
      "difference", zh_points(s->m, pair->estimate.value).text, "low",
      zh_points(s->m, pair->low).text, "high", zh_points(s->m, pair->high).text, "p",
      zh_p_text(pair->p_greater).text, "margin", zh_points(s->m, s->m->protocol->margin).text,
      "rank", zh_count_text(u->own.low).text, NULL);
  add_pair(entry, s, u, peer);
  return entry;
}

/* --- not leading --- */

static void explain_ahead(const scope *s, const zh_unit *u) {
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!pair->ahead) continue;
    decide(s, about_pair(s, "own_rank", ZH_WORD_leading_own_rank, u, peer));
    double gain = fmax(0, -pair->high);
    json_t *entry =
        zh_say(s->m->words, "gain", ZH_WORD_leading_gain, "model", claimant(s), "peer",
               model(s, peer), "endpoint", u->name, "difference", zh_points(s->m, gain).text, NULL);
    json_object_set_new(entry, "gain", zh_json_number(gain));
    would(s, entry);
  }
}

static bool unmatched_in(const scope *s, const zh_unmatched *rival) {
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    if (rival->task >= u->first_task && rival->task < u->first_task + u->tasks) return true;
  }
  return false;
}

static json_t *about_unmatched(const scope *s, const char *rule, zh_word word,
                               const zh_unmatched *rival) {
  json_t *entry =
      zh_say(s->m->words, rule, word, "model", claimant(s), "peer", rival->peer, "task",
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

static bool not_leading(const scope *s) {
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
    decide(s, about_unmatched(s, "published_above", ZH_WORD_leading_published_above, rival));
    would(s, zh_say(s->m->words, "peer_scores", ZH_WORD_leading_needs_peer, "peer", rival->peer,
                    NULL));
  }
  return behind;
}

/* --- what is missing --- */

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
    if (strcmp(m->unmatched[i].peer, peer) == 0) return true;
  return false;
}

static bool missing(const scope *s, const char *rule, zh_word word, zh_word needs, const char *slot,
                    const char *name) {
  decide(s, zh_say(s->m->words, rule, word, slot, name, NULL));
  would(s, zh_say(s->m->words, rule, needs, slot, name, NULL));
  return true;
}

static bool something_missing(const scope *s) {
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

static bool runs_apart(const scope *s) {
  bool apart = false;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    if (!(u->run_spread > s->m->protocol->margin)) continue;
    json_t *entry = zh_say(s->m->words, "runs_apart", ZH_WORD_leading_runs_apart, "model",
                           model(s, u->run_spread_model), "endpoint", u->name, "spread",
                           zh_points(s->m, u->run_spread).text, "margin",
                           zh_points(s->m, s->m->protocol->margin).text, NULL);
    json_object_set_new(entry, "spread", zh_json_number(u->run_spread));
    decide(s, entry);
    would(s, zh_say(s->m->words, "runs", ZH_WORD_leading_needs_runs, "model",
                    model(s, u->run_spread_model), "margin",
                    zh_points(s->m, s->m->protocol->margin).text, NULL));
    apart = true;
  }
  return apart;
}

/* --- leading --- */

/* The peer against which the claimant's lead is least sure; 0 where there is none. */
static size_t weakest(const zh_unit *u) {
  size_t worst = 0;
  for (size_t peer = 1; peer < u->models; peer++) {
    double p = zh_pair_known(&u->pairs[peer]) ? u->pairs[peer].p_greater : 2;
    double least = worst == 0                        ? -1
                   : zh_pair_known(&u->pairs[worst]) ? u->pairs[worst].p_greater
                                                     : 2;
    if (p > least) worst = peer;
  }
  return worst;
}

static bool beats_all(const scope *s, const zh_unit *u) {
  size_t peer = weakest(u);
  return peer != 0 && zh_pair_known(&u->pairs[peer]) &&
         u->pairs[peer].p_greater <= s->m->protocol->alpha && u->pairs[peer].estimate.value > 0;
}

/* Tasks on which the claimant is significantly worse, by Holm over primary tasks and peers. */
static bool loses_somewhere(const scope *s, bool tell) {
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
        json_t *entry = about_pair(s, "task_lost", ZH_WORD_leading_task_lost, &m->tasks[t], peer);
        json_object_set_new(entry, "p_holm", zh_json_number(p));
        decide(s, entry);
      }
    }
  }
  return loses;
}

static bool rival_open(const scope *s, bool tell) {
  bool open = false;
  for (size_t i = 0; i < s->m->unmatched_count; i++) {
    const zh_unmatched *rival = &s->m->unmatched[i];
    if (!unmatched_in(s, rival) || rival->interval.low > 0) continue;
    open = true;
    if (tell)
      decide(s, about_unmatched(s, "published_open", ZH_WORD_leading_published_open, rival));
  }
  return open;
}

static void explain_lead(const scope *s) {
  const zh_unit *frailest = NULL;
  size_t fewest = 0;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    size_t peer = weakest(u);
    decide(s, about_pair(s, "beats_all", ZH_WORD_leading_beats_all, u, peer));
    size_t turned = zh_unit_fragility(u, peer, s->m->protocol->alpha, s->err);
    if (frailest != NULL && turned >= fewest) continue;
    frailest = u;
    fewest = turned;
  }
  if (frailest == NULL) return;
  json_t *entry = zh_say(s->m->words, "fragile", ZH_WORD_leading_fragile, "model", claimant(s),
                         "peer", model(s, weakest(frailest)), "endpoint", frailest->name, "count",
                         zh_count_text(fewest).text, "all",
                         zh_count_text(frailest->groups->clusters).text, NULL);
  json_object_set_new(entry, "clusters", json_integer((json_int_t)fewest));
  would(s, entry);
}

static bool leading(const scope *s) {
  for (size_t i = 0; i < s->count; i++)
    if (!beats_all(s, &s->units[i])) return false;
  if (loses_somewhere(s, false) || rival_open(s, false)) return false;
  explain_lead(s);
  return true;
}

/* --- how much more it would take --- */

/* Items that would show `gap` at one-sided alpha with POWER, if variance falls as items grow. */
static double items_needed(const scope *s, const zh_unit *u, const zh_pair *pair, double gap) {
  double z = -zh_normal_quantile(s->m->protocol->alpha) + zh_normal_quantile(POWER);
  double needed = z * sqrt(pair->estimate.variance) / gap;
  return gap > 0 ? ceil((double)u->groups->items * needed * needed) : INFINITY;
}

/* The peer that takes most items; *items INFINITY where no number of them would do. */
static size_t hardest(double *items, const scope *s, const zh_unit *u, double margin) {
  size_t worst = 0;
  *items = 0;
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!zh_pair_known(pair)) continue;
    double needed = items_needed(s, u, pair, pair->estimate.value + margin);
    if (worst != 0 && !(needed > *items)) continue;
    worst = peer;
    *items = needed;
  }
  return worst;
}

static void tell_items(const scope *s, const zh_unit *u, double margin, const char *rule,
                       zh_word word) {
  double items;
  size_t peer = hardest(&items, s, u, margin);
  if (peer == 0 || !(items > (double)u->groups->items) || items > 1e12) return;
  char text[32];
  zh_group_digits(text, sizeof text, (uint64_t)items);
  json_t *entry =
      zh_say(s->m->words, rule, word, "model", claimant(s), "peer", model(s, peer), "endpoint",
             u->name, "items", text, "count", zh_count_text(u->groups->items).text, "difference",
             zh_points(s->m, u->pairs[peer].estimate.value).text, "margin",
             zh_points(s->m, margin).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "items", json_integer((json_int_t)items));
  would(s, entry);
}

/* The difference at which the lead over the hardest peer would be significant. */
static void tell_lead_gain(const scope *s, const zh_unit *u) {
  size_t peer = weakest(u);
  if (peer == 0 || !zh_pair_known(&u->pairs[peer])) return;
  const zh_estimate *e = &u->pairs[peer].estimate;
  double gain = -zh_t_quantile(s->m->protocol->alpha, e->df) * sqrt(e->variance) - e->value;
  if (!(gain > 0)) return;
  json_t *entry =
      zh_say(s->m->words, "lead_gain", ZH_WORD_leading_lead_gain, "model", claimant(s), "peer",
             model(s, peer), "endpoint", u->name, "difference", zh_points(s->m, gain).text, NULL);
  json_object_set_new(entry, "gain", zh_json_number(gain));
  would(s, entry);
}

/* --- tied, and what is left --- */

static bool holds_up(const scope *s, const zh_unit *u) {
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

static bool tied(const scope *s) {
  for (size_t i = 0; i < s->count; i++)
    if (!holds_up(s, &s->units[i])) return false;
  if (s->count == 0) return false;
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    size_t peer = nearest_to_margin(u);
    json_t *entry = zh_say(s->m->words, "non_inferior", ZH_WORD_leading_non_inferior, "model",
                           claimant(s), "peer", model(s, peer), "endpoint", u->name, "low",
                           zh_points(s->m, u->pairs[peer].bound).text, "margin",
                           zh_points(s->m, s->m->protocol->margin).text, NULL);
    add_pair(entry, s, u, peer);
    json_object_set_new(entry, "bound", zh_json_number(u->pairs[peer].bound));
    decide(s, entry);
    tell_items(s, u, 0, "items_to_lead", ZH_WORD_leading_items_to_lead);
    if (!beats_all(s, u)) tell_lead_gain(s, u);
  }
  loses_somewhere(s, true);
  rival_open(s, true);
  return true;
}

/* What the verdict hangs on where nothing else is said. */
static const char *rest_rule(const scope *s) {
  for (size_t i = 0; i < s->count; i++) {
    for (size_t peer = 1; peer < s->units[i].models; peer++)
      if (!zh_pair_known(&s->units[i].pairs[peer])) return "zero_variance";
  }
  return "underpowered";
}

static void explain_rest(const scope *s) {
  for (size_t i = 0; i < s->count; i++) {
    const zh_unit *u = &s->units[i];
    bool open = !beats_all(s, u) && !holds_up(s, u);
    if (u->models < 2)
      decide(s,
             zh_say(s->m->words, "no_pairs", ZH_WORD_leading_no_pairs, "endpoint", u->name, NULL));
    for (size_t peer = 1; peer < u->models; peer++) {
      const zh_pair *pair = &u->pairs[peer];
      if (!zh_pair_known(pair)) {
        decide(s, about_pair(s, "zero_variance", ZH_WORD_leading_zero_variance, u, peer));
        would(s, zh_say(s->m->words, "variation", ZH_WORD_leading_needs_variation, "model",
                        claimant(s), "peer", model(s, peer), "endpoint", u->name, NULL));
      } else if (open && pair->p_greater > s->m->protocol->alpha) {
        decide(s, about_pair(s, "underpowered", ZH_WORD_leading_underpowered, u, peer));
      }
    }
    if (!open) continue;
    tell_items(s, u, s->m->protocol->margin, "items_to_tie", ZH_WORD_leading_items_to_tie);
    tell_items(s, u, 0, "items_to_lead", ZH_WORD_leading_items_to_lead);
  }
  loses_somewhere(s, true);
  rival_open(s, true);
}

zh_status zh_decide(zh_decision *out, const zh_matter *matter, const zh_unit *units, size_t count,
                    bool whole, zh_error *err) {
  *out = (zh_decision){
      .verdict = ZH_NOT_ENOUGH, .decided_by = json_array(), .would_change = json_array()};
  zh_error inner = ZH_ERROR_INIT;
  const scope s = {matter, units, count, whole, out, &inner};
  if (not_leading(&s)) {
    out->verdict = ZH_NOT_LEADING;
    out->rule = "not_leading";
  } else if (something_missing(&s) | runs_apart(&s)) {
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
