/* Policy files: whatever is accepted must be able to judge. */
#include "evaluator/policy/policy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  if (size > 65536) return 0;
  if (zh_policy_load_text(&policy, (const char *)data, size, "fuzz.yaml", &err) != ZH_OK) {
    if (err.message[0] == 0 || policy != NULL) abort(); /* refused without a word, or half kept */
    return 0;
  }
  if (policy->clause_count == 0) abort();
  for (size_t i = 0; i < policy->rule_count; i++) {
    const zh_rule *rule = policy->rules[i];
    if (rule->clause == NULL || !zh_quote_occurs(rule->quote, rule->clause->quote)) abort();
  }
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    bool condition = clause->kind == ZH_CLAUSE_CONDITION, amount = clause->kind == ZH_CLAUSE_AMOUNT;
    if ((condition && clause->test == NULL) || amount != (clause->amount != NULL)) abort();
  }
  zh_policy_free(policy);
  return 0;
}
