/* Private to the room: the parts of the document that a comparison becomes. */
#ifndef ZH_EVALUATOR_COMPARE_PARTS_H
#define ZH_EVALUATOR_COMPARE_PARTS_H

#include "evaluator/compare/contest.h"

/* {"differences","scores","speeds"}: what differs between the models' conditions. */
ZH_MUST_CHECK zh_status zh_compare_protocol(json_t **out, zh_entrants *entrants,
                                            const zh_contest *contest, zh_error *err);
/* Whether all that speeds depend on is the same for both; *parameters: whether the step's are. */
bool zh_speeds_match(const zh_entrant *a, const zh_entrant *b, const char *step, bool *parameters);

/* [{"figure","unit","more_is_better","of":[…]}]: every speed of every model, with its ratio to that
 * of the reference. */
json_t *zh_compare_speeds(const zh_entrants *entrants, size_t reference);

/* Of each rate the models' speed against their quality, and who is dominated. */
json_t *zh_compare_fronts(const zh_contest *contest);

/* What quantisation did. declared: words "REFERENCE=MODEL,MODEL". */
ZH_MUST_CHECK zh_status zh_compare_damage(json_t **out, const zh_contest *contest,
                                          const char *const *declared, size_t count, zh_error *err);

/* Tasks with scores and rank sets; pairs. */
json_t *zh_compare_tasks(const zh_contest *contest);
json_t *zh_compare_pairs(const zh_contest *contest);
json_t *zh_compare_models(const zh_entrants *entrants);

/* The entrant of that label; the message names the nearest. */
ZH_MUST_CHECK zh_status zh_entrant_find(size_t *out, const zh_entrants *entrants, const char *label,
                                        zh_error *err);
/* A number, or null where it is not finite. */
json_t *zh_finite(double value);

#endif
