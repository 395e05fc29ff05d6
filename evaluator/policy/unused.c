/* Conditions that no amount needs and readings that decide nothing: they would never be looked at,
 * and that is a slip. */
#include "evaluator/policy/read.h"

static bool node_needs(const zh_node *node, const zh_clause *condition) {
  if (node == NULL) return false;
  if (node->kind == ZH_NODE_CLAUSE)
    return node->clause == condition || node_needs(node->clause->test, condition);
  for (size_t i = 0; i < node->count; i++) {
    if (node_needs(node->children[i], condition)) return true;
  }
  return false;
}

static bool is_in(const zh_clause *const *list, size_t count, const zh_clause *condition) {
  for (size_t i = 0; i < count; i++) {
    if (list[i] == condition || node_needs(list[i]->test, condition)) return true;
  }
  return false;
}

static bool lifts_a_cap(const zh_amount *amount, const zh_clause *condition) {
  for (size_t i = 0; i < amount->cap_count; i++) {
    if (amount->caps[i].unless == condition) return true;
  }
  return false;
}

static bool is_needed(const zh_policy *policy, const zh_clause *condition) {
  if (is_in(policy->always, policy->always_count, condition)) return true;
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    if (clause->amount == NULL) continue;
    if (is_in(clause->amount->requires, clause->amount->require_count, condition)) return true;
    if (node_needs(clause->test, condition) || lifts_a_cap(clause->amount, condition)) return true;
  }
  return false;
}

zh_status zh_expect_conditions_needed(const zh_policy *policy, const zh_yaml_node *root,
                                      zh_error *err) {
  const zh_yaml_node *list = zh_yaml_get(root, "clauses");
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    if (clause->kind != ZH_CLAUSE_CONDITION || is_needed(policy, clause)) continue;
    return zh_yaml_fail(err, zh_yaml_get(zh_yaml_item(list, i), "id"),
                        "no amount needs the condition '%s'; name it under 'always', under "
                        "'requires' of an amount, or as {clause: %s} in a test",
                        clause->id, clause->id);
  }
  return ZH_OK;
}

zh_status zh_expect_readings_used(const zh_policy *policy, const zh_yaml_node *root,
                                  zh_error *err) {
  const zh_yaml_node *list = zh_yaml_get(root, "readings");
  for (size_t i = 0; i < policy->reading_count; i++) {
    if (policy->readings[i].used) continue;
    return zh_yaml_fail(err, zh_yaml_get(zh_yaml_item(list, i), "reading"),
                        "nothing depends on the reading '%s'; name it where the text leaves "
                        "something open, or take it out",
                        policy->readings[i].id);
  }
  return ZH_OK;
}
