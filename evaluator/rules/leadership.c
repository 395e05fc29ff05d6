/* "Leading in China" needs peers to stand beside. This version ranks no models, so the condition
 * stays undetermined, in the policy's own words; a declared, dated list of peers decides it later.
 */
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"undetermined", NULL};

static zh_status read(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  return zh_phrase_require(&rule->undetermined, map, "undetermined", arena, err);
}

static zh_status apply(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err) {
  zh_finding finding = {.verdict = ZH_UNDETERMINED, .reason = zh_plain_phrase(&rule->undetermined)};
  *out = ZH_UNDETERMINED;
  return zh_finding_add(c, rule, &finding, err);
}

const zh_rule_kind zh_rule_leadership = {"leadership", keys, read, apply};
