#include "evaluator/rules/rules.h"

const zh_rule_kind *const zh_rule_kinds[] = {
    &zh_rule_parameter_threshold,
    &zh_rule_leadership,
    &zh_rule_document,
    &zh_rule_judgement,
    &zh_rule_exclusion,
    &zh_rule_member,
    &zh_rule_flag,
    &zh_rule_number,
    &zh_rule_date,
    NULL,
};
