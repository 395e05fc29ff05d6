/* Instructions whose following can be checked by program (IFEval, Zhou et al. 2023). */
#ifndef ZH_BENCH_QUALITY_INSTRUCTIONS_H
#define ZH_BENCH_QUALITY_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json.h"

/* id: "keywords:existence" …; kwargs: what the item says of it; answer: a text. Unknown ids and
 * kwargs that are missing or make no sense are ZH_ERR_INPUT. */
ZH_MUST_CHECK zh_status zh_instruction_followed(bool *out, const char *id, const json_t *kwargs,
                                                const json_t *answer, zh_error *err);

/* --- inside (instructions.c, instruction_forms.c) --- */

typedef struct zh_instruction {
  const json_t *kwargs, *answer;
  const char *text; /* of the answer */
  size_t length;
  zh_error *err;
} zh_instruction;
typedef zh_status (*zh_instruction_check)(bool *out, const zh_instruction *i);
/* Of instruction_forms.c; NULL: none of that name. */
zh_instruction_check zh_instruction_form(const char *id);

/* Matches of a pattern in the answer. */
ZH_MUST_CHECK zh_status zh_instruction_matches(size_t *out, const zh_instruction *i,
                                               const char *pattern, bool ignore_case);
ZH_MUST_CHECK zh_status zh_instruction_word(const char **out, const zh_instruction *i,
                                            const char *key);
/* Above 0: lm-evaluation-harness draws a number at random where none is given; here it fails. */
ZH_MUST_CHECK zh_status zh_instruction_number(size_t *out, const zh_instruction *i,
                                              const char *key);
/* Whether a count is "less than" or "at least" what kwargs say. */
ZH_MUST_CHECK zh_status zh_instruction_compare(bool *out, const zh_instruction *i, size_t count,
                                               const char *number, const char *relation);

#endif
