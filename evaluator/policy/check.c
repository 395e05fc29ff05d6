/* The quotes of a policy against the text it was published as, for people. */
#include <stdlib.h>

#include "core/files.h"
#include "evaluator/policy/policy.h"

enum { SOURCE_BYTES_MAX = 16 << 20 };

static json_t *missing_json(const zh_policy *policy, const bool *found) {
  json_t *list = json_array();
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    if (found[i]) continue;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "clause", clause->number, "id",
                                          clause->id, "quote", clause->quote));
  }
  return list;
}

static zh_status check(json_t **out, const zh_policy *policy, const char *text, zh_error *err) {
  bool *found = calloc(policy->clause_count + 1, sizeof *found);
  size_t missing = 0;
  if (found == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the quotes");
  zh_status status = zh_policy_check_quotes(found, &missing, policy, text, err);
  if (status == ZH_OK)
    *out = json_pack("{s:s, s:s, s:i, s:i, s:o}", "schema", "zhiheng.policy-check/1", "policy",
                     policy->name, "clauses", (int)policy->clause_count, "found",
                     (int)(policy->clause_count - missing), "missing", missing_json(policy, found));
  free(found);
  if (status == ZH_OK && *out == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the quotes");
  return status;
}

zh_status zh_policy_check(json_t **out, const char *name_or_path, const char *source_path,
                          zh_error *err) {
  zh_policy *policy = NULL;
  char *text = NULL;
  size_t length;
  *out = NULL;
  ZH_TRY(zh_policy_load(&policy, name_or_path, err));
  zh_status status = zh_read_file(&text, &length, source_path, SOURCE_BYTES_MAX, err);
  if (status == ZH_OK) status = check(out, policy, text, err);
  free(text);
  zh_policy_free(policy);
  return status;
}
