/* A decision as JSON. */
#ifndef ZH_EVALUATOR_LEADING_SHOW_H
#define ZH_EVALUATOR_LEADING_SHOW_H

#include "evaluator/leading/decide.h"
#include "evaluator/leading/seen.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clean: what the clean subset said; NULL where none was named. notes: a list, to which more may be
 * added. Both are borrowed. */
ZH_MUST_CHECK zh_status zh_show(json_t **out, const zh_matter *matter, const zh_decision *decision,
                                json_t *clean, json_t *notes, const zh_scorer *scorers,
                                size_t count, zh_error *err);
/* Input that cannot be compared: 证据不足, with every reason and no figure. */
ZH_MUST_CHECK zh_status zh_show_refusal(json_t **out, const zh_words *words,
                                        const zh_protocol *protocol, json_t *refusals,
                                        json_t *notes, const zh_scorer *scorers, size_t count,
                                        zh_error *err);
json_t *zh_clean_json(const zh_words *words, const zh_decision *decision, const zh_seen *seen,
                      size_t items);
/* Makes a decision 证据不足 because the clean subset says otherwise. */
void zh_overrule(zh_decision *decision, const zh_words *words, const zh_decision *clean,
                 size_t left_out);

#ifdef __cplusplus
}
#endif
#endif
