/* The smallest further evidence that would change a verdict. */
#include <math.h>

#include "core/text.h"
#include "evaluator/leading/scope.h"
#include "evaluator/stats/special.h"

static const double POWER = 0.8; /* of the items needed */

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

/* Items that would show `gap` at one-sided alpha with POWER, if variance falls as items grow. */
static double items_needed(const zh_scope *s, const zh_unit *u, const zh_pair *pair, double gap) {
  double z = -zh_normal_quantile(s->m->protocol->alpha) + zh_normal_quantile(POWER);
  double needed = z * sqrt(pair->estimate.variance) / gap;
  return gap > 0 ? ceil((double)u->groups->items * needed * needed) : INFINITY;
}

/* The peer that takes most items; *items INFINITY where no number of them would do. */
static size_t hardest(double *items, const zh_scope *s, const zh_unit *u, double margin) {
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

void zh_tell_items(const zh_scope *s, const zh_unit *u, double margin, const char *rule,
                   zh_word word) {
  double items;
  size_t peer = hardest(&items, s, u, margin);
  if (peer == 0 || !(items > (double)u->groups->items) || items > 1e12) return;
  char text[32];
  zh_group_digits(text, sizeof text, (uint64_t)items);
  json_t *entry = zh_say(s->m->words, rule, word, "model", zh_scope_claimant(s), "peer",
                         zh_scope_model(s, peer), "endpoint", u->name, "items", text, "count",
                         zh_count_text(u->groups->items).text, "difference",
                         zh_points(s->m, u->pairs[peer].estimate.value).text, "margin",
                         zh_points(s->m, margin).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "items", json_integer((json_int_t)items));
  zh_scope_would(s, entry);
}

/* The difference at which the lead over the hardest peer would be significant. */
void zh_tell_lead_gain(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u);
  if (peer == 0 || !zh_pair_known(&u->pairs[peer])) return;
  const zh_estimate *e = &u->pairs[peer].estimate;
  double gain = -zh_t_quantile(s->m->protocol->alpha, e->df) * sqrt(e->variance) - e->value;
  if (!(gain > 0)) return;
  json_t *entry = zh_say(s->m->words, "lead_gain", ZH_WORD_leading_lead_gain, "model",
                         zh_scope_claimant(s), "peer", zh_scope_model(s, peer), "endpoint", u->name,
                         "difference", zh_points(s->m, gain).text, NULL);
  json_object_set_new(entry, "gain", zh_json_number(gain));
  zh_scope_would(s, entry);
}
