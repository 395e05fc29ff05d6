/* Policy files: read strictly, so that a slip of the pen cannot change a verdict. */
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/policy/policy.h"
#include "evaluator/rules/rules.h"

static const char *const policy_keys[] = {"policy", "title",      "issuer", "number", "date",
                                          "status", "validity",   "source", "text",   "clauses",
                                          "rules",  "not_tested", NULL};
static const char *const clause_keys[] = {"clause", "heading", "text", NULL};
static const char *const common_rule_keys[] = {"rule",      "kind",      "clause", "quote",
                                               "statement", "criterion", NULL};
static const char *const status_words[] = {"draft", "in_force", "expired", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy");
}

zh_status zh_policy_string(const char **out, const zh_yaml_node *map, const char *key,
                           zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  const char *text;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_string(&text, node, err));
  *out = zh_arena_strdup(arena, text);
  return *out != NULL ? ZH_OK : no_memory(err);
}

/* A non-empty list below `key`; *items is its node. */
static zh_status require_list(const zh_yaml_node **items, size_t *count, const zh_yaml_node *map,
                              const char *key, const char *what, zh_error *err) {
  ZH_TRY(zh_yaml_require(items, map, key, err));
  ZH_TRY(zh_yaml_expect(*items, ZH_YAML_LIST, what, err));
  *count = zh_yaml_count(*items);
  return *count > 0 ? ZH_OK : zh_yaml_fail(err, *items, "expected %s, not an empty list", what);
}

static zh_status read_clause(zh_policy *policy, const zh_yaml_node *node, zh_error *err) {
  zh_clause *clause = &policy->clauses[policy->clause_count];
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a clause with its heading and text", err));
  ZH_TRY(zh_yaml_expect_keys(node, clause_keys, err));
  ZH_TRY(zh_policy_string(&clause->id, node, "clause", policy->arena, err));
  ZH_TRY(zh_policy_string(&clause->text, node, "text", policy->arena, err));
  ZH_TRY(zh_phrase_require(&clause->heading, node, "heading", policy->arena, err));
  for (size_t i = 0; i < policy->clause_count; i++) {
    if (strcmp(policy->clauses[i].id, clause->id) != 0) continue;
    return zh_yaml_fail(err, zh_yaml_get(node, "clause"), "clause '%s' stands twice", clause->id);
  }
  policy->clause_count++;
  return ZH_OK;
}

static zh_status read_clauses(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  ZH_TRY(require_list(&list, &count, root, "clauses", "a list of clauses", err));
  policy->clauses = zh_arena_alloc(policy->arena, count, sizeof *policy->clauses);
  if (policy->clauses == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_clause(policy, zh_yaml_item(list, i), err));
  return ZH_OK;
}

/* The clause that a rule names; its quote must stand in the clause's text. */
static zh_status read_ground(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                             zh_error *err) {
  const char *id;
  ZH_TRY(zh_policy_string(&id, map, "clause", policy->arena, err));
  for (size_t i = 0; i < policy->clause_count; i++) {
    if (strcmp(policy->clauses[i].id, id) == 0) rule->clause = &policy->clauses[i];
  }
  if (rule->clause == NULL) {
    return zh_yaml_fail(err, zh_yaml_get(map, "clause"),
                        "there is no clause '%s' in 'clauses' above", id);
  }
  ZH_TRY(zh_policy_string(&rule->quote, map, "quote", policy->arena, err));
  if (zh_quote_occurs(rule->quote, rule->clause->text)) return ZH_OK;
  return zh_yaml_fail(err, zh_yaml_get(map, "quote"),
                      "this quote does not stand in the text of clause %s", id);
}

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

static zh_status expect_rule_keys(const zh_rule *rule, const zh_yaml_node *map, zh_error *err) {
  const char *keys[32];
  size_t count = 0;
  for (size_t i = 0; common_rule_keys[i] != NULL; i++) keys[count++] = common_rule_keys[i];
  for (size_t i = 0; rule->kind->keys[i] != NULL; i++) keys[count++] = rule->kind->keys[i];
  keys[count] = NULL;
  return zh_yaml_expect_keys(map, keys, err);
}

static zh_status check_unique(const zh_policy *policy, const zh_rule *rule, const zh_yaml_node *map,
                              zh_error *err) {
  bool twice = policy->grant != NULL && strcmp(policy->grant->id, rule->id) == 0;
  for (size_t i = 0; i < policy->rule_count; i++)
    twice |= strcmp(policy->rules[i].id, rule->id) == 0;
  return twice ? zh_yaml_fail(err, zh_yaml_get(map, "rule"), "rule '%s' stands twice", rule->id)
               : ZH_OK;
}

static zh_status read_rule(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  zh_rule rule = {0};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a rule with its kind, clause and quote", err));
  ZH_TRY(read_kind(&rule, map, err));
  ZH_TRY(expect_rule_keys(&rule, map, err));
  ZH_TRY(zh_policy_string(&rule.id, map, "rule", policy->arena, err));
  ZH_TRY(check_unique(policy, &rule, map, err));
  ZH_TRY(read_ground(&rule, policy, map, err));
  ZH_TRY(zh_phrase_require(&rule.statement, map, "statement", policy->arena, err));
  ZH_TRY(zh_phrase_require(&rule.criterion, map, "criterion", policy->arena, err));
  ZH_TRY(rule.kind->read(&rule, map, policy->arena, err));
  if (rule.kind != &zh_rule_grant) {
    policy->rules[policy->rule_count++] = rule;
    return ZH_OK;
  }
  if (policy->grant != NULL)
    return zh_yaml_fail(err, map, "this version computes one grant a policy; this is the second");
  policy->grant = zh_arena_alloc(policy->arena, 1, sizeof rule);
  if (policy->grant == NULL) return no_memory(err);
  *policy->grant = rule;
  return ZH_OK;
}

static zh_status read_rules(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  ZH_TRY(require_list(&list, &count, root, "rules", "a list of rules", err));
  policy->rules = zh_arena_alloc(policy->arena, count, sizeof *policy->rules);
  if (policy->rules == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_rule(policy, zh_yaml_item(list, i), err));
  if (policy->rule_count == 0)
    return zh_yaml_fail(err, list, "a policy needs at least one condition beside the grant");
  if (policy->grant == NULL)
    return zh_yaml_fail(err, list, "a policy needs one rule of kind 'grant'");
  return ZH_OK;
}

static zh_status read_not_tested(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  ZH_TRY(require_list(&list, &count, root, "not_tested", "a list of sentences", err));
  policy->not_tested = zh_arena_alloc(policy->arena, count, sizeof *policy->not_tested);
  if (policy->not_tested == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(zh_phrase_read(&policy->not_tested[i], zh_yaml_item(list, i), policy->arena, err));
  }
  policy->not_tested_count = count;
  return ZH_OK;
}

/* "2025-03-05": four, two and two digits. Calendars come with rules that compute with dates. */
static zh_status check_date(const zh_yaml_node *root, const char *date, zh_error *err) {
  bool fine = strlen(date) == 10;
  for (size_t i = 0; fine && i < 10; i++) {
    fine = i == 4 || i == 7 ? date[i] == '-' : date[i] >= '0' && date[i] <= '9';
  }
  return fine ? ZH_OK
              : zh_yaml_fail(err, zh_yaml_get(root, "date"), "expected a date such as 2025-03-05");
}

static zh_status read_heading(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *status;
  size_t which;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a policy", err));
  ZH_TRY(zh_yaml_expect_keys(root, policy_keys, err));
  ZH_TRY(zh_policy_string(&policy->name, root, "policy", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->title, root, "title", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->issuer, root, "issuer", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->validity, root, "validity", policy->arena, err));
  ZH_TRY(zh_policy_string(&policy->source, root, "source", policy->arena, err));
  ZH_TRY(zh_policy_string(&policy->text_file, root, "text", policy->arena, err));
  ZH_TRY(zh_policy_string(&policy->date, root, "date", policy->arena, err));
  ZH_TRY(check_date(root, policy->date, err));
  policy->number = "";
  if (zh_yaml_get(root, "number") != NULL)
    ZH_TRY(zh_policy_string(&policy->number, root, "number", policy->arena, err));
  ZH_TRY(zh_yaml_require(&status, root, "status", err));
  ZH_TRY(zh_yaml_word(&which, status, status_words, err));
  policy->status = status_words[which];
  return ZH_OK;
}

static zh_status read_policy(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  ZH_TRY(read_heading(policy, root, err));
  ZH_TRY(read_clauses(policy, root, err));
  ZH_TRY(read_rules(policy, root, err));
  return read_not_tested(policy, root, err);
}

zh_status zh_policy_load_text(zh_policy **out, const char *text, size_t length, const char *name,
                              zh_error *err) {
  zh_yaml_doc *doc = NULL;
  *out = NULL;
  zh_policy *policy = calloc(1, sizeof *policy);
  if (policy == NULL) return no_memory(err);
  zh_status status = zh_arena_create(&policy->arena, 0, err);
  if (status == ZH_OK) status = zh_yaml_load_text(&doc, text, length, name, err);
  if (status == ZH_OK) status = read_policy(policy, zh_yaml_root(doc), err);
  if (status == ZH_OK) status = zh_digest_bytes(policy->sm3, ZH_SM3, text, length, err);
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = policy;
  else
    zh_policy_free(policy);
  return status;
}

void zh_policy_free(zh_policy *policy) {
  if (policy == NULL) return;
  zh_arena_free(policy->arena);
  free(policy);
}

const char *zh_policy_name(const zh_policy *policy) {
  return policy->name;
}
