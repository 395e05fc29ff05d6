/* "Leading in China" needs peers to stand beside. This version ranks no models, so the condition
 * stays undetermined, in the policy's own words, until the authority's decision is among the
 * papers.
 */
#include "evaluator/rules/decision.h"

static const char *const keys[] = {"undetermined", NULL};

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  return zh_phrase_require(&rule->undetermined, map, "undetermined", policy->arena, err);
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  zh_decision_explain(out, c, rule, readings);
  if (out->verdict != ZH_UNDETERMINED) return;
  json_decref(out->reason);
  out->reason = zh_plain_phrase(&rule->undetermined);
}

const zh_rule_kind zh_rule_leadership = {.name = "leadership",
                                         .keys = keys,
                                         .read = read,
                                         .decide = zh_decision_verdict,
                                         .explain = explain};
