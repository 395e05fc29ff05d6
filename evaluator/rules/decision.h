/* The authority's decisions among the applicant's papers, which judgements and leadership share. */
#ifndef ZH_EVALUATOR_RULES_DECISION_H
#define ZH_EVALUATOR_RULES_DECISION_H

#include "evaluator/rules/rules.h"

zh_verdict zh_decision_verdict(const zh_case *c, const zh_rule *rule,
                               const zh_assignment *readings);
void zh_decision_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                         const zh_assignment *readings);

#endif
