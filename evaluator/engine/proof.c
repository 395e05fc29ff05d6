/* The tree of a condition as people follow it: every node with its verdict, every leaf with its
 * reason and with what would decide it. */
#include "evaluator/engine/engine.h"

static const char *const kind_names[] = {"all", "any", "not", "reading", "clause", "holds", "leaf"};

static json_t *frame(const zh_case *c, const zh_node *node) {
  return json_pack("{s:s, s:s}", "kind", kind_names[node->kind], "verdict",
                   zh_verdict_names[zh_node_verdict(c, node)]);
}

/* A leaf by each choice of the readings that it depends on. */
static json_t *by_reading(const zh_case *c, const zh_rule *rule, const zh_reading_set *set) {
  json_t *list = json_array();
  zh_assignment at = {{0}};
  do {
    zh_judgement j = {0};
    rule->kind->explain(&j, c, rule, &at);
    json_array_append_new(list, json_pack("{s:o, s:s, s:O}", "choices",
                                          zh_assignment_json(&at, c->policy, set), "verdict",
                                          zh_verdict_names[j.verdict], "reason", j.reason));
    zh_judgement_clear(&j);
  } while (zh_assignment_next(&at, c->policy, set));
  return list;
}

static void put_leaf(json_t *out, const zh_case *c, const zh_rule *rule) {
  zh_reading_set set = {{false}};
  zh_assignment first = {{0}};
  zh_judgement j = {0};
  zh_rule_readings(&set, c->policy, rule);
  rule->kind->explain(&j, c, rule, &first);
  json_object_set_new(out, "id", json_string(rule->id));
  json_object_set_new(out, "test", json_string(rule->kind->name));
  json_object_set_new(out, "clause", json_string(rule->clause->number));
  json_object_set_new(out, "quote", json_string(rule->quote));
  json_object_set_new(out, "statement", zh_plain_phrase(&rule->statement));
  json_object_set(out, "reason", j.reason);
  json_object_set(out, "would_take", j.would != NULL ? j.would : json_null());
  if (zh_assignment_count(c->policy, &set) > 1)
    json_object_set_new(out, "by_reading", by_reading(c, rule, &set));
  zh_judgement_clear(&j);
}

json_t *zh_node_proof(const zh_case *c, const zh_node *node) {
  json_t *out = frame(c, node);
  if (node->kind == ZH_NODE_LEAF) put_leaf(out, c, node->leaf);
  if (node->kind == ZH_NODE_READING)
    json_object_set_new(out, "reading", json_string(node->reading->id));
  if (node->kind == ZH_NODE_CLAUSE) {
    json_object_set_new(out, "clause", json_string(node->clause->number));
    json_object_set_new(out, "of", json_pack("[o]", zh_node_proof(c, node->clause->test)));
  }
  if (node->count == 0) return out;
  json_t *children = json_array();
  for (size_t i = 0; i < node->count; i++) {
    json_t *child = zh_node_proof(c, node->children[i]);
    if (node->kind == ZH_NODE_READING)
      json_object_set_new(child, "choice", json_string(node->reading->choices[i].id));
    json_array_append_new(children, child);
  }
  json_object_set_new(out, "of", children);
  return out;
}
