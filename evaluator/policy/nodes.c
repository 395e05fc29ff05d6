/* Conditions: trees of all, any, not, readings and leaves. */
#include <string.h>

#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

static const char *const leaf_keys[] = {"id", "kind", "quote", "statement", "criterion", NULL};
static const char *const node_words[] = {"all", "any", "not", "reading", "clause", "holds", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's conditions");
}

/* --- leaves --- */

static zh_status read_kind(zh_rule *rule, const zh_yaml_node *map, zh_error *err) {
  const char *names[16] = {0};
  const zh_yaml_node *node;
  size_t which;
  for (size_t i = 0; zh_rule_kinds[i] != NULL; i++) names[i] = zh_rule_kinds[i]->name;
  ZH_TRY(zh_yaml_require(&node, map, "kind", err));
  ZH_TRY(zh_yaml_word(&which, node, names, err));
  rule->kind = zh_rule_kinds[which];
  return ZH_OK;
}

static zh_status expect_leaf_keys(const zh_rule *rule, const zh_yaml_node *map, zh_error *err) {
  const char *keys[32];
  size_t count = 0;
  for (size_t i = 0; leaf_keys[i] != NULL; i++) keys[count++] = leaf_keys[i];
  for (size_t i = 0; rule->kind->keys[i] != NULL; i++) keys[count++] = rule->kind->keys[i];
  keys[count] = NULL;
  return zh_yaml_expect_keys(map, keys, err);
}

static zh_status read_leaf_id(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                              bool whole, zh_error *err) {
  rule->id = rule->clause->id;
  if (!whole || zh_yaml_get(map, "id") != NULL)
    ZH_TRY(zh_read_id(&rule->id, map, "id", policy->arena, err));
  for (size_t i = 0; i < policy->rule_count; i++) {
    if (strcmp(policy->rules[i]->id, rule->id) == 0)
      return zh_yaml_fail(err, map, "a test '%s' stands twice; give this one an 'id'", rule->id);
  }
  return ZH_OK;
}

/* The leaf's part of the clause's quote, and its words, which default to the clause's. */
static zh_status read_ground(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                             zh_error *err) {
  const zh_clause *clause = rule->clause;
  rule->quote = clause->quote;
  rule->statement = clause->heading;
  if (zh_yaml_get(map, "quote") != NULL) {
    ZH_TRY(zh_policy_string(&rule->quote, map, "quote", policy->arena, err));
    if (!zh_quote_occurs(rule->quote, clause->quote))
      return zh_yaml_fail(err, zh_yaml_get(map, "quote"),
                          "this quote does not stand in the quote of clause %s", clause->number);
  }
  rule->criterion = (zh_phrase){rule->quote, clause->heading.en};
  if (zh_yaml_get(map, "statement") != NULL)
    ZH_TRY(zh_phrase_require(&rule->statement, map, "statement", policy->arena, err));
  if (zh_yaml_get(map, "criterion") == NULL) return ZH_OK;
  return zh_phrase_require(&rule->criterion, map, "criterion", policy->arena, err);
}

/* policy->rules grows by doubling: leaves are met in the file's order, their number is not known
 * before. */
static zh_status keep_leaf(zh_policy *policy, zh_rule *rule, zh_error *err) {
  size_t n = policy->rule_count;
  if ((n & (n - 1)) == 0) {
    zh_rule **grown = zh_arena_alloc(policy->arena, n == 0 ? 1 : 2 * n, sizeof(zh_rule *));
    if (grown == NULL) return no_memory(err);
    for (size_t i = 0; i < n; i++) grown[i] = policy->rules[i];
    policy->rules = grown;
  }
  policy->rules[policy->rule_count++] = rule;
  return ZH_OK;
}

static zh_status read_leaf(zh_node *node, zh_policy *policy, const zh_clause *clause,
                           const zh_yaml_node *map, bool whole, zh_error *err) {
  zh_rule *rule = zh_arena_alloc(policy->arena, 1, sizeof *rule);
  if (rule == NULL) return no_memory(err);
  node->kind = ZH_NODE_LEAF;
  node->leaf = rule;
  rule->clause = clause;
  ZH_TRY(read_kind(rule, map, err));
  ZH_TRY(expect_leaf_keys(rule, map, err));
  ZH_TRY(read_leaf_id(rule, policy, map, whole, err));
  ZH_TRY(read_ground(rule, policy, map, err));
  ZH_TRY(rule->kind->read(rule, policy, map, err));
  return keep_leaf(policy, rule, err);
}

/* --- branches --- */

static zh_status alloc_children(zh_node *node, size_t count, const zh_policy *policy,
                                zh_error *err) {
  node->children = zh_arena_alloc(policy->arena, count, sizeof(zh_node *));
  node->count = count;
  return node->children != NULL ? ZH_OK : no_memory(err);
}

static zh_status read_group(zh_node *node, zh_policy *policy, const zh_clause *clause,
                            const zh_yaml_node *map, const char *key, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  ZH_TRY(zh_read_list(&list, &count, map, key, "a list of tests", err));
  ZH_TRY(alloc_children(node, count, policy, err));
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(zh_read_node(&node->children[i], policy, clause, zh_yaml_item(list, i), false, err));
  }
  return ZH_OK;
}

static zh_status read_by_reading(zh_node *node, zh_policy *policy, const zh_clause *clause,
                                 const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES];
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_read_choices(&node->reading, of, policy, map, err));
  ZH_TRY(alloc_children(node, node->reading->choice_count, policy, err));
  for (size_t i = 0; i < node->count; i++)
    ZH_TRY(zh_read_node(&node->children[i], policy, clause, of[i], false, err));
  return ZH_OK;
}

/* Only clauses above: so that a test cannot lead back to itself. */
static zh_status read_reference(zh_node *node, const zh_policy *policy, const zh_clause *clause,
                                const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *id = zh_yaml_get(map, "clause");
  ZH_TRY(zh_require_clause(&node->clause, policy, id, err));
  if (node->clause->index < clause->index && node->clause->test != NULL) return ZH_OK;
  return zh_yaml_fail(err, id, "expected a clause above this one that has a test");
}

static zh_status read_branch(zh_node *node, zh_policy *policy, const zh_clause *clause,
                             const zh_yaml_node *map, zh_error *err) {
  if (node->kind == ZH_NODE_READING) return read_by_reading(node, policy, clause, map, err);
  const char *const keys[] = {node_words[node->kind], NULL};
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  switch (node->kind) {
  case ZH_NODE_NOT:
    ZH_TRY(alloc_children(node, 1, policy, err));
    return zh_read_node(&node->children[0], policy, clause, zh_yaml_get(map, "not"), false, err);
  case ZH_NODE_CLAUSE:
    return read_reference(node, policy, clause, map, err);
  case ZH_NODE_HOLDS:
    return zh_yaml_bool(&node->holds, zh_yaml_get(map, "holds"), err);
  default:
    return read_group(node, policy, clause, map, keys[0], err);
  }
}

zh_status zh_read_node(zh_node **out, zh_policy *policy, const zh_clause *clause,
                       const zh_yaml_node *yaml, bool whole, zh_error *err) {
  zh_node *node = zh_arena_alloc(policy->arena, 1, sizeof *node);
  *out = node;
  if (node == NULL) return no_memory(err);
  ZH_TRY(
      zh_yaml_expect(yaml, ZH_YAML_MAP, "a test: all, any, not, reading, clause or a kind", err));
  if (zh_yaml_get(yaml, "kind") != NULL) return read_leaf(node, policy, clause, yaml, whole, err);
  for (size_t i = 0; node_words[i] != NULL; i++) {
    if (zh_yaml_get(yaml, node_words[i]) == NULL) continue;
    node->kind = (zh_node_kind)i;
    return read_branch(node, policy, clause, yaml, err);
  }
  return zh_yaml_fail(err, yaml, "expected a test: all, any, not, reading, clause, holds or kind");
}
