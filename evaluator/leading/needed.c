/* The smallest further evidence that would change a verdict. */
#include <math.h>

#include "core/text.h"
#include "evaluator/leading/scope.h"
#include "evaluator/stats/special.h"

static const double POWER = 0.8; /* of the items needed */

const zh_asking zh_to_tie = {"items_to_tie", "clusters_to_tie", ZH_WORD_leading_items_to_tie,
                             ZH_WORD_leading_clusters_to_tie},
                zh_to_lead = {"items_to_lead", "clusters_to_lead", ZH_WORD_leading_items_to_lead,
                              ZH_WORD_leading_clusters_to_lead};

/* The peer against which the claimant's lead is least sure; 0 where there is none. */
size_t zh_weakest(const zh_unit *u) {
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

/* How many times as many clusters (of the size they have) would show `gap` at one-sided alpha with
 * POWER, as variance falls when they grow. */
static double times_needed(const zh_scope *s, const zh_pair *pair, double gap) {
  double z = -zh_normal_quantile(s->m->protocol->alpha) + zh_normal_quantile(POWER);
  double needed = z * sqrt(pair->estimate.variance) / gap;
  return gap > 0 ? needed * needed : INFINITY;
}

/* The peer that takes most; *times INFINITY where no number of items would do. */
static size_t hardest(double *times, const zh_scope *s, const zh_unit *u, double margin) {
  size_t worst = 0;
  *times = 0;
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!zh_pair_known(pair)) continue;
    double needed = times_needed(s, pair, pair->estimate.value + margin);
    if (worst != 0 && !(needed > *times)) continue;
    worst = peer;
    *times = needed;
  }
  return worst;
}

size_t zh_clusters_that_can(double alpha) {
  return (size_t)ceil(-log2(alpha) - 1e-9);
}

void zh_tell_items(const zh_scope *s, const zh_unit *u, double margin, const zh_asking *asking) {
  double times;
  size_t peer = hardest(&times, s, u, margin);
  bool singles = u->groups->singles;
  size_t has = singles ? u->groups->items : u->groups->clusters;
  double needed = ceil((double)has * times);
  if (peer == 0 || !(needed > (double)has) || needed > 1e12) return;
  if (!singles) needed = fmax(needed, (double)zh_clusters_that_can(s->m->protocol->alpha));
  char text[32];
  zh_group_digits(text, sizeof text, (uint64_t)needed);
  json_t *entry =
      zh_say_in(s->m->words, u->shares, singles ? asking->rule : asking->cluster_rule,
                singles ? asking->word : asking->cluster_word, "model", zh_scope_claimant(s),
                "peer", zh_scope_model(s, peer), "endpoint", u->name, "needed", text, "count",
                zh_count_text(has).text, "items", zh_count_text(u->groups->items).text,
                "difference", zh_points(u->shares, u->pairs[peer].estimate.value).text, "margin",
                zh_points(u->shares, margin).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, singles ? "items" : "clusters", json_integer((json_int_t)needed));
  zh_scope_would(s, entry);
}

/* The difference at which the lead over the hardest peer would be significant. */
void zh_tell_lead_gain(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u);
  if (peer == 0 || !zh_pair_known(&u->pairs[peer])) return;
  const zh_estimate *e = &u->pairs[peer].estimate;
  double gain = -zh_t_quantile(s->m->protocol->alpha, e->df) * sqrt(e->variance) - e->value;
  if (!(gain > 0)) return;
  json_t *entry = zh_say_in(s->m->words, u->shares, "lead_gain", ZH_WORD_leading_lead_gain, "model",
                            zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint",
                            u->name, "difference", zh_points(u->shares, gain).text, NULL);
  json_object_set_new(entry, "gain", zh_json_number(gain));
  zh_scope_would(s, entry);
}

/* All clusters won have p = 1/2^clusters, the smallest that flips can give. */
void zh_tell_few_clusters(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u), clusters = u->groups->clusters,
         needed = zh_clusters_that_can(s->m->protocol->alpha);
  if (peer == 0 || u->pairs[peer].way != ZH_BY_FLIPS || clusters >= needed) return;
  json_t *entry =
      zh_say(s->m->words, "clusters", ZH_WORD_leading_few_clusters, "endpoint", u->name, "count",
             zh_count_text(clusters).text, "p", zh_p_text(ldexp(1, -(int)clusters)).text, "needed",
             zh_count_text(needed).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "clusters", json_integer((json_int_t)needed));
  zh_scope_would(s, entry);
}
