/* Trees of conditions in three-valued logic (Kleene's): missing is undetermined, never no. */
#include "evaluator/engine/engine.h"

zh_verdict zh_and(zh_verdict a, zh_verdict b) {
  if (a == ZH_NOT_APPLICABLE) return b;
  if (b == ZH_NOT_APPLICABLE) return a;
  if (a == ZH_FAIL || b == ZH_FAIL) return ZH_FAIL;
  return a == ZH_PASS && b == ZH_PASS ? ZH_PASS : ZH_UNDETERMINED;
}

zh_verdict zh_same_or_open(zh_verdict a, zh_verdict b) {
  return a == b ? a : ZH_UNDETERMINED;
}

static zh_verdict decide_group(const zh_case *c, const zh_node *node,
                               const zh_assignment *readings) {
  bool any = node->kind == ZH_NODE_ANY;
  zh_verdict verdict = ZH_PASS; /* of the negations, where one is enough */
  for (size_t i = 0; i < node->count; i++) {
    zh_verdict one = zh_node_decide(c, node->children[i], readings);
    verdict = zh_and(verdict, any ? zh_not(one) : one);
  }
  return any ? zh_not(verdict) : verdict;
}

zh_verdict zh_node_decide(const zh_case *c, const zh_node *node, const zh_assignment *readings) {
  switch (node->kind) {
  case ZH_NODE_ALL:
  case ZH_NODE_ANY:
    return decide_group(c, node, readings);
  case ZH_NODE_NOT:
    return zh_not(zh_node_decide(c, node->children[0], readings));
  case ZH_NODE_READING:
    return zh_node_decide(c, node->children[readings->choice[node->reading->index]], readings);
  case ZH_NODE_CLAUSE:
    return zh_node_decide(c, node->clause->test, readings);
  case ZH_NODE_HOLDS:
    return node->holds ? ZH_PASS : ZH_FAIL;
  case ZH_NODE_LEAF:
    break;
  }
  return node->leaf->kind->decide(c, node->leaf, readings);
}

void zh_rule_readings(zh_reading_set *set, const zh_policy *policy, const zh_rule *rule) {
  for (size_t i = 0; rule->kind->depends != NULL && i < policy->reading_count; i++)
    set->has[i] |= rule->kind->depends(rule, &policy->readings[i]);
}

void zh_node_readings(zh_reading_set *set, const zh_policy *policy, const zh_node *node) {
  if (node->kind == ZH_NODE_READING) set->has[node->reading->index] = true;
  if (node->kind == ZH_NODE_CLAUSE) zh_node_readings(set, policy, node->clause->test);
  if (node->kind == ZH_NODE_LEAF) zh_rule_readings(set, policy, node->leaf);
  for (size_t i = 0; i < node->count; i++) zh_node_readings(set, policy, node->children[i]);
}

zh_verdict zh_node_verdict(const zh_case *c, const zh_node *node) {
  zh_reading_set set = {{false}};
  zh_assignment at = {{0}};
  zh_node_readings(&set, c->policy, node);
  zh_verdict verdict = zh_node_decide(c, node, &at);
  while (zh_assignment_next(&at, c->policy, &set))
    verdict = zh_same_or_open(verdict, zh_node_decide(c, node, &at));
  return verdict;
}

zh_verdict zh_rule_verdict(const zh_case *c, const zh_rule *rule) {
  zh_node leaf = {.kind = ZH_NODE_LEAF, .leaf = (zh_rule *)(uintptr_t)rule};
  return zh_node_verdict(c, &leaf);
}
