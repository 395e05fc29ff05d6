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
void zh_view_findings(zh_view *view); /* conclusion, findings, grant */
void zh_view_figures(zh_view *view);  /* speeds and their peaks */
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

/* Fails with "evaluation.json: <where>: <what>". */
void zh_view_fail(zh_view *view, const char *where, const char *what);

#endif
