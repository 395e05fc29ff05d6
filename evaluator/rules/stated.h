/* Leaves that compare a fact: what the applicant states, whether a paper shows it, and the
 * sentences for it. */
#ifndef ZH_EVALUATOR_RULES_STATED_H
#define ZH_EVALUATOR_RULES_STATED_H

#include "evaluator/rules/rules.h"

const zh_claim *zh_stated(const zh_case *c, const zh_fact *fact); /* NULL: not stated */
/* Missing: undetermined; does not hold: fail, also without a paper; holds: pass with a paper, else
 * undetermined. */
zh_verdict zh_stated_verdict(const zh_claim *claim, bool holds);
/* `value`: the fact as words, "" where it is not stated. `needed`: what would decide a failure. */
void zh_stated_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                       const zh_phrase *value, const zh_phrase *needed);

#endif
