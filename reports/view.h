/* What templates see: evaluation.json checked, its numbers rounded and given human units, its
 * identifiers turned into words. The first thing missing or malformed sticks in `status`, and every
 * later call does nothing, so that the code that lays out a page reads like the page. */
#ifndef ZH_REPORTS_VIEW_H
#define ZH_REPORTS_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/status.h"

typedef struct zh_view {
  const json_t *evaluation;
  const char *digest;   /* SM3 of evaluation.json, lower-case hex */
  const char *language; /* "zh" or "en" */
  const json_t *words;
  json_t *root;
  zh_status status;
  zh_error *err;
} zh_view;

/* The whole model of one language; the caller releases it. */
ZH_MUST_CHECK zh_status zh_view_build(json_t **out, const json_t *evaluation, const char *digest,
                                      const char *language, const json_t *words, zh_error *err);

/* The page's parts, in the order of the page; each fills view->root. */
void zh_view_subject(zh_view *view);  /* cover: subject, policy, report id, marks */
void zh_view_findings(zh_view *view); /* conclusion, findings */
void zh_view_grants(zh_view *view);   /* amounts: what, how much, by which calculation */
void zh_view_sums(zh_view *view);     /* combinations of amounts; after the grants */
void zh_view_readings(zh_view *view); /* questions to the authority */
void zh_view_would(zh_view *view);    /* what would decide what is open or fails */
void zh_view_proofs(zh_view *view);   /* conditions as trees, a line each */
void zh_view_clauses(zh_view *view);  /* every clause of the policy, a line each */
void zh_view_papers(zh_view *view);   /* the application papers */
void zh_view_figures(zh_view *view);  /* speeds and their peaks */
void zh_view_quality(zh_view *view);  /* scores of answers */
/* {"task","points":[{"level","value","low","high"}],"half"}: its drawing and its figures. */
void zh_view_curve(zh_view *view, json_t *list, const json_t *curve);
void zh_view_machine(zh_view *view);  /* the model and the machine */
void zh_view_method(zh_view *view);   /* how measured, self-checks, limits, digests */

/* Members that must be there. `where` leads to the object in messages: "findings[2]". */
const char *zh_view_text_of(zh_view *view, const json_t *object, const char *key,
                            const char *where);
const char *zh_view_local_of(zh_view *view, const json_t *object, const char *key,
                             const char *where); /* object[key][language] */
double zh_view_real_of(zh_view *view, const json_t *object, const char *key, const char *where);
int64_t zh_view_int_of(zh_view *view, const json_t *object, const char *key, const char *where);
bool zh_view_flag_of(zh_view *view, const json_t *object, const char *key, const char *where);
const json_t *zh_view_object_of(zh_view *view, const json_t *object, const char *key,
                                const char *where);
const json_t *zh_view_list_of(zh_view *view, const json_t *object, const char *key,
                              const char *where);
/* NULL when absent, null or empty. */
const char *zh_view_maybe_text(const json_t *object, const char *key);

/* Members of the model. */
void zh_view_text(zh_view *view, json_t *into, const char *key, const char *text); /* NULL: false */
void zh_view_flag(zh_view *view, json_t *into, const char *key, bool flag);
void zh_view_word(zh_view *view, json_t *into, const char *key, const char *section,
                  const char *identifier);
void zh_view_fixed(zh_view *view, json_t *into, const char *key, double value, int shift,
                   int decimals);
void zh_view_local(zh_view *view, json_t *into, const char *key, const json_t *object,
                   const char *source, const char *where);
void zh_view_digest(zh_view *view, json_t *into, const char *key,
                    const char *hex); /* key, key_short */
/* key: "134,515,008"; key_yi: "1.35" (10^8); key_billion or key_million, the other false. */
void zh_view_count(zh_view *view, json_t *into, const char *key, int64_t count);
void zh_view_bytes(zh_view *view, json_t *into, const char *key, double bytes);  /* "98.4 MB" */
void zh_view_binary(zh_view *view, json_t *into, const char *key, double bytes); /* "32 MiB" */
json_t *zh_view_list(zh_view *view, json_t *into, const char *key); /* a new empty list; borrowed */
json_t *zh_view_item(zh_view *view, json_t *list);                  /* a new object; borrowed */
json_t *zh_view_object(zh_view *view, json_t *into, const char *key);

/* What several places have (view_parts.c). */
/* verdict: the word; verdict_class: the identifier, which the style sheet colours. */
void zh_view_verdict(zh_view *view, json_t *into, const json_t *source, const char *where);
/* A value as a page shows it: exactly one of count, quantity, plain, absent is true. */
void zh_view_value(zh_view *view, json_t *into, const char *key, const json_t *value,
                   const char *unit, const char *where);
void zh_view_clause(zh_view *view, json_t *into, const json_t *source, const char *where);
void zh_view_evidence(zh_view *view, json_t *into, const json_t *finding, const char *where);
/* An empty list where there is no amount (yuan NULL), else one of {wan, yuan}. */
void zh_view_money_text(zh_view *view, json_t *into, const char *key, const char *yuan,
                        const char *where);
void zh_view_money(zh_view *view, json_t *into, const char *key, const json_t *object,
                   const char *source, const char *where);
/* An empty list, or one of {low, high, single}; low is empty where it is nought. */
void zh_view_range(zh_view *view, json_t *into, const char *key, const json_t *range,
                   const char *where);

/* Questions to the authority by their identifiers (view_readings.c). */
enum { ZH_VIEW_READINGS = 64, ZH_VIEW_ASSIGNMENTS = 4096 };
/* Of a list of results under assignments of choices ({choices, …}), the readings on which `same`
 * results depend: matters[i] for the i-th of evaluation.readings. */
typedef bool (*zh_view_same)(const json_t *a, const json_t *b);
void zh_view_matters(zh_view *view, bool matters[ZH_VIEW_READINGS], const json_t *results,
                     zh_view_same same, const char *where);
/* Whether an assignment has the first result's choice in all that does not matter. */
bool zh_view_is_shown(const zh_view *view, const bool matters[ZH_VIEW_READINGS],
                      const json_t *results, const json_t *result);
/* choices: list of {question_no, choice_name} of the readings that matter (NULL: of all). */
void zh_view_choices(zh_view *view, json_t *into, const json_t *choices, const bool *matters);

/* 1, 2, … of the grant with this id among evaluation.grants; 0 where there is none. */
size_t zh_view_grant_number(const zh_view *view, const char *id);
/* Grant numbers of a list of ids: list of {grant_no, grant_title}. */
void zh_view_grant_list(zh_view *view, json_t *into, const char *key, const json_t *ids);
void zh_view_number(zh_view *view, json_t *into, const char *key, size_t number);

/* The parameter audit of evaluation.models[index] (view_parameters.c). */
void zh_view_parameters(zh_view *view, json_t *out, const json_t *model, size_t index);

/* Fails with "evaluation.json: <where>: <what>". */
void zh_view_fail(zh_view *view, const char *where, const char *what);

#endif
