/* Why the evidence does not suffice, where nothing is missing and nobody is better for sure. */
#include <string.h>

#include "evaluator/leading/scope.h"

/* A task all of whose items stand in one cluster, of which no error can be estimated; tasks where
 * there is none. */
static size_t task_of_one_cluster(const zh_unit *u) {
  const zh_groups *g = u->groups;
  size_t t = 0;
  while (t < g->tasks && g->first[t + 1] - g->first[t] > 1) t++;
  return t;
}

static void explain_one_cluster(const zh_scope *s, const zh_unit *u) {
  size_t t = task_of_one_cluster(u), items = (size_t)u->groups->task_items[t];
  const char *task = s->m->table->task[u->first_task + t]->task;
  zh_word word = items == 1 ? ZH_WORD_leading_one_item : ZH_WORD_leading_one_cluster;
  json_t *entry = zh_say(s->m->words, "one_cluster", word, "endpoint", u->name, "task", task,
                         "items", zh_count_text(items).text, NULL);
  json_object_set_new(entry, "task", json_string(task));
  zh_scope_decided(s, entry);
  entry = zh_say(s->m->words, "clusters", ZH_WORD_leading_needs_clusters, "task", task, "needed",
                 zh_count_text(zh_clusters_that_can(s->m->protocol->alpha)).text, NULL);
  json_object_set_new(entry, "task", json_string(task));
  zh_scope_would(s, entry);
}

/* Differences that are the same everywhere: 0, or a gap that no item closes. */
static void explain_no_variance_of(const zh_scope *s, const zh_unit *u, size_t peer) {
  double gap = u->pairs[peer].estimate.value;
  zh_scope_decided(s, zh_about_pair(s, "zero_variance", ZH_WORD_leading_zero_variance, u, peer));
  zh_scope_would(
      s, zh_say_in(s->m->words, u->shares, "variation",
                   gap == 0 ? ZH_WORD_leading_needs_variation : ZH_WORD_leading_needs_spread,
                   "model", zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint",
                   u->name, "difference", zh_points(u->shares, gap).text, NULL));
}

/* Of several tasks, those that differ by as much everywhere. */
static void explain_no_variance(const zh_scope *s, const zh_unit *u, size_t peer) {
  const zh_unit *tasks = s->m->tasks + u->first_task;
  bool told = false;
  for (size_t t = 0; u->tasks > 1 && t < u->tasks; t++) {
    const zh_pair *pair = &tasks[t].pairs[peer];
    if (zh_pair_known(pair) || pair->estimate.value == 0) continue;
    explain_no_variance_of(s, &tasks[t], peer);
    told = true;
  }
  if (!told) explain_no_variance_of(s, u, peer);
}

static void explain_unpaired(const zh_scope *s, const zh_unit *u) {
  zh_scope_decided(
      s, zh_say(s->m->words, "no_pairs", ZH_WORD_leading_no_pairs, "endpoint", u->name, NULL));
}

static void ask_for_peers(const zh_scope *s) {
  const zh_protocol *p = s->m->protocol;
  for (size_t i = 0; i < p->peer_count; i++)
    zh_scope_would(s, zh_say(s->m->words, "peer_scores", ZH_WORD_leading_needs_peer, "peer",
                             p->peers[i].model, NULL));
}

/* What of one unit was found; *rule: what it hangs on, the gravest kept. */
static void explain(const zh_scope *s, const zh_unit *u, const char **rule) {
  bool lone = task_of_one_cluster(u) < u->groups->tasks && u->models > 1;
  bool open = !zh_beats_all(s, u) && !zh_holds_up(s, u);
  if (lone) {
    explain_one_cluster(s, u);
    *rule = "one_cluster";
    return;
  }
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!zh_pair_known(pair)) {
      explain_no_variance(s, u, peer);
      if (strcmp(*rule, "one_cluster") != 0) *rule = "zero_variance";
    } else if (open && pair->p_greater > s->m->protocol->alpha) {
      zh_scope_decided(s, zh_about_pair(s, "underpowered", ZH_WORD_leading_underpowered, u, peer));
    }
  }
  if (!open) return;
  zh_tell_items(s, u, s->m->protocol->margin, &zh_to_tie);
  bool lead = zh_tell_items(s, u, 0, &zh_to_lead), few = zh_tell_few_clusters(s, u);
  if (lead) return;
  zh_tell_loss(s, u);
  if (!few) zh_tell_lead_gain(s, u);
}

const char *zh_explain_rest(const zh_scope *s) {
  const char *rule = "underpowered";
  if (s->count > 0 && s->units[0].models < 2) {
    for (size_t i = 0; i < s->count; i++) explain_unpaired(s, &s->units[i]);
    ask_for_peers(s);
    return "no_pairs";
  }
  for (size_t i = 0; i < s->count; i++) explain(s, &s->units[i], &rule);
  zh_loses_somewhere(s, true);
  zh_rival_open(s, true);
  return rule;
}
