/* The smallest further evidence that would change a verdict. */
#include <math.h>
#include <stdlib.h>

#include "core/text.h"
#include "evaluator/leading/scope.h"
#include "evaluator/stats/special.h"

static const double POWER = 0.8; /* of the items needed */

const zh_asking zh_to_tie = {"items_to_tie", "clusters_to_tie", ZH_WORD_leading_items_to_tie,
                             ZH_WORD_leading_clusters_to_tie},
                zh_to_lead = {"items_to_lead", "clusters_to_lead", ZH_WORD_leading_items_to_lead,
                              ZH_WORD_leading_clusters_to_lead};
static const zh_asking to_lose = {"items_to_lose", "clusters_to_lose",
                                  ZH_WORD_leading_items_to_lose, ZH_WORD_leading_clusters_to_lose};

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
static double times_needed(double alpha, const zh_pair *pair, double gap) {
  double z = -zh_normal_quantile(alpha) + zh_normal_quantile(POWER);
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
    double needed = times_needed(s->m->protocol->alpha, pair, pair->estimate.value + margin);
    if (worst != 0 && !(needed > *times)) continue;
    worst = peer;
    *times = needed;
  }
  return worst;
}

/* The peer that would be shown to be above with fewest, by a set of two sides. */
static size_t nearest(double *times, const zh_scope *s, const zh_unit *u) {
  size_t best = 0;
  *times = INFINITY;
  for (size_t peer = 1; peer < u->models; peer++) {
    const zh_pair *pair = &u->pairs[peer];
    if (!zh_pair_known(pair)) continue;
    double needed = times_needed(0.5 * s->m->protocol->alpha, pair, -pair->estimate.value);
    if (!(needed < *times)) continue;
    best = peer;
    *times = needed;
  }
  return best;
}

size_t zh_clusters_that_can(double alpha) {
  return (size_t)ceil(-log2(alpha) - 1e-9);
}

static bool tell_items(const zh_scope *s, const zh_unit *u, size_t peer, double times,
                       double margin, const zh_asking *asking) {
  bool singles = u->groups->singles;
  size_t has = singles ? u->groups->items : u->groups->clusters;
  double needed = ceil((double)has * times);
  if (peer == 0 || !(needed > (double)has) || needed > 1e12) return false;
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
  return true;
}

bool zh_tell_items(const zh_scope *s, const zh_unit *u, double margin, const zh_asking *asking) {
  double times;
  size_t peer = hardest(&times, s, u, margin);
  return tell_items(s, u, peer, times, margin, asking);
}

void zh_tell_loss(const zh_scope *s, const zh_unit *u) {
  double times;
  size_t peer = nearest(&times, s, u);
  tell_items(s, u, peer, times, 0, &to_lose);
}

static void tell_gain(const zh_scope *s, const zh_unit *u, size_t peer, const char *rule,
                      zh_word word, double gain) {
  if (!(gain > 0)) return;
  json_t *entry = zh_say_in(s->m->words, u->shares, rule, word, "model", zh_scope_claimant(s),
                            "peer", zh_scope_model(s, peer), "endpoint", u->name, "difference",
                            zh_points(u->shares, gain).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "gain", zh_json_number(gain));
  zh_scope_would(s, entry);
}

/* By the limit that is shown; by Student's where that lies above 0 already. */
void zh_tell_rank_gain(const zh_scope *s, const zh_unit *u, size_t peer) {
  const zh_pair *pair = &u->pairs[peer];
  double half = zh_estimate_half_width(&pair->estimate, 1 - s->m->protocol->alpha);
  double gain = pair->high < 0 ? -pair->high : -pair->estimate.value - half;
  tell_gain(s, u, peer, "gain", ZH_WORD_leading_gain, gain);
}

void zh_tell_task_gain(const zh_scope *s, const zh_unit *u, size_t peer) {
  const zh_estimate *e = &u->pairs[peer].estimate;
  double half = zh_estimate_half_width(e, 1 - 2 * s->m->protocol->alpha);
  tell_gain(s, u, peer, "task_gain", ZH_WORD_leading_gain, -e->value - half);
}

/* The difference at which the lead over the hardest peer would be significant. */
void zh_tell_lead_gain(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u);
  if (peer == 0 || !zh_pair_known(&u->pairs[peer])) return;
  const zh_pair *pair = &u->pairs[peer];
  double half = zh_estimate_half_width(&pair->estimate, 1 - 2 * s->m->protocol->alpha);
  tell_gain(s, u, peer, "lead_gain", ZH_WORD_leading_lead_gain,
            fmax(-pair->bound, half - pair->estimate.value));
}

/* Clusters in which the two differ; SIZE_MAX where memory is short. */
static size_t differing(const zh_scope *s, const zh_unit *u, size_t peer) {
  const zh_groups *g = u->groups;
  const double *first = u->scores, *second = u->scores + peer * g->items;
  double *room = calloc(g->items + g->clusters, sizeof *room);
  size_t count = 0;
  if (room == NULL) {
    zh_error_set(s->err, ZH_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
    return SIZE_MAX;
  }
  for (size_t i = 0; i < g->items; i++) room[i] = first[i] - second[i];
  zh_differing(room + g->items, g, room,
               fmax(zh_largest(first, g->items), zh_largest(second, g->items)));
  for (size_t c = 0; c < g->clusters; c++) count += room[g->items + c] != 0;
  free(room);
  return count;
}

/* k clusters that differ, all won, have p = 1/2^k, the smallest that flips can give, and half of it
 * by McNemar's mid-p. */
bool zh_tell_few_clusters(const zh_scope *s, const zh_unit *u) {
  size_t peer = zh_weakest(u), needed = zh_clusters_that_can(s->m->protocol->alpha);
  if (peer == 0 || !zh_pair_known(&u->pairs[peer])) return false;
  const zh_pair *pair = &u->pairs[peer];
  bool halved = pair->way == ZH_BY_MCNEMAR;
  if (pair->way != ZH_BY_FLIPS && !halved) return false;
  size_t count = differing(s, u, peer);
  needed -= halved;
  if (count >= needed) return false;
  json_t *entry = zh_say(
      s->m->words, "clusters", ZH_WORD_leading_few_clusters, "model", zh_scope_claimant(s), "peer",
      zh_scope_model(s, peer), "endpoint", u->name, "count", zh_count_text(count).text, "p",
      zh_p_text(ldexp(1, -(int)count - halved)).text, "needed", zh_count_text(needed).text, NULL);
  json_object_set_new(entry, u->is_task ? "task" : "endpoint", json_string(u->name));
  json_object_set_new(entry, "clusters", json_integer((json_int_t)needed));
  zh_scope_would(s, entry);
  return true;
}
