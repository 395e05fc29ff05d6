/* What a reader must know beside the verdict: {"rule","zh","en"}, none of which changed it. */
#ifndef ZH_EVALUATOR_LEADING_NOTES_H
#define ZH_EVALUATOR_LEADING_NOTES_H

#include "evaluator/leading/decide.h"
#include "evaluator/leading/seen.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Peers without a date, a protocol without its day, columns that were not read. */
void zh_note_input(json_t *notes, const zh_words *words, const zh_protocol *protocol,
                   const zh_scorer *scorers, size_t count);
/* Models that the registry of published scores has under another country; of those that it does not
 * know nothing is said. */
ZH_MUST_CHECK zh_status zh_note_countries(json_t *notes, const zh_words *words,
                                          const zh_protocol *protocol, zh_error *err);
/* Rows of the list of seen items that fit nothing. */
void zh_note_seen(json_t *notes, const zh_words *words, const zh_seen *seen);
/* A unit that leads and whose rank set, which is two-sided, goes on to 2 or more. */
void zh_note_rank_set(json_t *notes, const zh_words *words, const char *unit, size_t high);

#ifdef __cplusplus
}
#endif
#endif
