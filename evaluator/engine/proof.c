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

/* --- where readings differ --- */

static const zh_reading *first_reading(const zh_policy *policy, const zh_reading_set *set) {
  for (size_t i = 0; i < policy->reading_count; i++) {
    if (set->has[i]) return &policy->readings[i];
  }
  return NULL;
}

static json_t *question_json(const zh_case *c, zh_word word, const zh_reading *reading) {
  const zh_slot slot = {"question", reading->question.zh, reading->question.en};
  return zh_phrase_json(zh_word_of(c->words, word), &slot, 1);
}

void zh_rule_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule) {
  zh_reading_set set = {{false}};
  zh_assignment first = {{0}};
  zh_verdict verdict = zh_rule_verdict(c, rule);
  zh_rule_readings(&set, c->policy, rule);
  rule->kind->explain(out, c, rule, &first);
  const zh_reading *reading = first_reading(c->policy, &set);
  if (verdict == out->verdict || reading == NULL) return;
  json_decref(out->reason);
  json_decref(out->would);
  out->verdict = verdict;
  out->reason = question_json(c, ZH_WORD_fact_differ, reading);
  out->would = question_json(c, ZH_WORD_would_question, reading);
}

static void put_leaf(json_t *out, const zh_case *c, const zh_rule *rule) {
  zh_reading_set set = {{false}};
  zh_judgement j = {0};
  zh_rule_readings(&set, c->policy, rule);
  zh_rule_explain(&j, c, rule);
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

/* A branch by reading; where its choices lead to different verdicts, the question is what decides.
 */
static void put_reading(json_t *out, const zh_case *c, const zh_node *node) {
  zh_verdict first = zh_node_verdict(c, node->children[0]);
  bool differ = false;
  for (size_t i = 1; i < node->count; i++) differ |= zh_node_verdict(c, node->children[i]) != first;
  json_object_set_new(out, "id", json_string(node->reading->id));
  json_object_set_new(out, "reading", json_string(node->reading->id));
  json_object_set_new(out, "would_take",
                      differ ? question_json(c, ZH_WORD_would_question, node->reading)
                             : json_null());
}

json_t *zh_node_proof(const zh_case *c, const zh_node *node) {
  json_t *out = frame(c, node);
  if (node->kind == ZH_NODE_LEAF) put_leaf(out, c, node->leaf);
  if (node->kind == ZH_NODE_READING) put_reading(out, c, node);
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
