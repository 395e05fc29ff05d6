/* Private to evaluator/leading/: a verdict under way. */
#ifndef ZH_EVALUATOR_LEADING_SCOPE_H
#define ZH_EVALUATOR_LEADING_SCOPE_H

#include "evaluator/leading/decide.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which units a verdict is about, and what is said of them. */
typedef struct zh_scope {
  const zh_matter *m;
  const zh_unit *units;
  size_t count;
  bool whole; /* all endpoints, with what the protocol requires */
  zh_decision *out;
  zh_error *err;
} zh_scope;

/* --- sentences (about.c) --- */
const char *zh_scope_claimant(const zh_scope *s);
const char *zh_scope_model(const zh_scope *s, size_t m);
void zh_scope_decided(const zh_scope *s, json_t *entry); /* what decided; stolen */
void zh_scope_would(const zh_scope *s, json_t *entry);   /* what would change it; stolen */
void zh_add_pair(json_t *entry, const zh_scope *s, const zh_unit *u, size_t peer);
/* A sentence about the claimant and one peer. */
json_t *zh_about_pair(const zh_scope *s, const char *rule, zh_word word, const zh_unit *u,
                      size_t peer);
/* One about a published score, whether it can be held against the claimant or not. */
json_t *zh_about_unmatched(const zh_matter *m, const char *rule, zh_word word,
                           const zh_unmatched *rival);

/* --- published scores (rivals.c): each tells what it finds where asked to --- */
/* One significantly above the claimant, of a peer that has no table. */
bool zh_rival_above(const zh_scope *s);
/* One not significantly below it, of a peer that has no table. */
bool zh_rival_open(const zh_scope *s, bool tell);
/* One significantly above it, of a peer whose own table is not. */
bool zh_rival_conflicts(const zh_scope *s);

/* --- what is not there (missing.c): each says it, and returns whether anything was --- */
bool zh_something_missing(const zh_scope *s);
bool zh_runs_apart(const zh_scope *s);
/* Names the declared peers that nothing is known of and that have not been named yet. */
void zh_tell_uncompared(const zh_scope *s, bool also_top);

/* --- how much more it would take (needed.c) --- */
/* The peer against which the claimant's lead is least sure; 0 where there is none. */
size_t zh_weakest(const zh_unit *u);
/* Items, or clusters where they are fewer, to show that the difference lies above -margin. */
typedef struct zh_asking {
  const char *rule, *cluster_rule;
  zh_word word, cluster_word;
} zh_asking;
extern const zh_asking zh_to_tie, zh_to_lead;
bool zh_tell_items(const zh_scope *s, const zh_unit *u, double margin, const zh_asking *asking);
/* Items with which a peer that lies above would do so significantly. */
void zh_tell_loss(const zh_scope *s, const zh_unit *u);
/* Points to gain for that peer not to be significantly above: by the rank set, on a task. */
void zh_tell_rank_gain(const zh_scope *s, const zh_unit *u, size_t peer);
void zh_tell_task_gain(const zh_scope *s, const zh_unit *u, size_t peer);
/* Points to gain for a lead with as many items. */
void zh_tell_lead_gain(const zh_scope *s, const zh_unit *u);
/* Says so where the two differ in so few clusters (or single items) that no result could be
 * significant; returns whether it did. */
bool zh_tell_few_clusters(const zh_scope *s, const zh_unit *u);
/* Clusters from which on signs flipped can show anything at alpha: 1/2^clusters <= alpha. */
size_t zh_clusters_that_can(double alpha);

/* --- where nothing else holds (rest.c) --- */
/* Explains it; returns the rule. */
const char *zh_explain_rest(const zh_scope *s);
bool zh_beats_all(const zh_scope *s, const zh_unit *u);
bool zh_holds_up(const zh_scope *s, const zh_unit *u);
/* Primary tasks on which the claimant is significantly worse. */
bool zh_loses_somewhere(const zh_scope *s, bool tell);

#ifdef __cplusplus
}
#endif
#endif
