#include "evaluator/rules/rules.h"

const zh_rule_kind *const zh_rule_kinds[] = {
    &zh_rule_parameter_threshold, &zh_rule_leadership, &zh_rule_document,
    &zh_rule_exclusion,           &zh_rule_grant,      NULL,
};
