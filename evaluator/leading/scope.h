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
json_t *zh_about_unmatched(const zh_scope *s, const char *rule, zh_word word,
                           const zh_unmatched *rival);

/* --- what is not there (missing.c): each says it, and returns whether anything was --- */
bool zh_something_missing(const zh_scope *s);
bool zh_runs_apart(const zh_scope *s);

/* --- how much more it would take (needed.c) --- */
/* The peer against which the claimant's lead is least sure; 0 where there is none. */
size_t zh_weakest(const zh_unit *u);
/* Items to show that the difference lies above -margin. */
void zh_tell_items(const zh_scope *s, const zh_unit *u, double margin, const char *rule,
                   zh_word word);
/* Points to gain for a lead with as many items. */
void zh_tell_lead_gain(const zh_scope *s, const zh_unit *u);

#ifdef __cplusplus
}
#endif
#endif
