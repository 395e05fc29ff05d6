/* The quotes of a policy against the text it was published as, for people. */
#include <stdlib.h>

#include "core/files.h"
#include "evaluator/policy/policy.h"

enum { SOURCE_BYTES_MAX = 16 << 20, PATH_BYTES = 4096 };

/* Where the quote stands in the policy file, which has been read once without a fault. */
static const zh_yaml_node *quote_of(const zh_yaml_doc *file, const zh_clause *clause) {
  const zh_yaml_node *clauses = zh_yaml_get(zh_yaml_root(file), "clauses");
  return zh_yaml_get(zh_yaml_item(clauses, clause->index), "quote");
}

/* "xuhui-2023.yaml:432:12: …" with the line and a caret under the quote. */
static json_t *place_json(const zh_yaml_doc *file, const zh_clause *clause, const char *source) {
  zh_error place = ZH_ERROR_INIT;
  zh_yaml_error_set(&place, quote_of(file, clause), __FILE__, __LINE__,
                    "the quote of clause %s (%s) does not stand in %s; copy it from there",
                    clause->number, clause->id, source);
  return json_string(place.message);
}

static json_t *missing_json(const zh_policy *policy, const bool *found, const zh_yaml_doc *file,
                            const char *source) {
  json_t *list = json_array();
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    if (found[i]) continue;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:o}", "clause", clause->number,
                                          "id", clause->id, "quote", clause->quote, "line",
                                          zh_yaml_line(quote_of(file, clause)), "text",
                                          place_json(file, clause, source)));
  }
  return list;
}

static zh_status check(json_t **out, const zh_policy *policy, const zh_yaml_doc *file,
                       const char *source, const char *text, zh_error *err) {
  bool *found = calloc(policy->clause_count + 1, sizeof *found);
  size_t missing = 0;
  if (found == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the quotes");
  zh_status status = zh_policy_check_quotes(found, &missing, policy, text, err);
  if (status == ZH_OK)
    *out = json_pack("{s:s, s:s, s:i, s:i, s:o}", "schema", "zhiheng.policy-check/1", "policy",
                     policy->name, "clauses", (int)policy->clause_count, "found",
                     (int)(policy->clause_count - missing), "missing",
                     missing_json(policy, found, file, source));
  free(found);
  if (status == ZH_OK && *out == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the quotes");
  return status;
}

zh_status zh_policy_check(json_t **out, const char *name_or_path, const char *source_path,
                          zh_error *err) {
  zh_policy *policy = NULL;
  zh_yaml_doc *file = NULL;
  char *text = NULL, path[PATH_BYTES];
  size_t length;
  *out = NULL;
  ZH_TRY(zh_policy_load(&policy, name_or_path, err));
  zh_status status = zh_policy_path(path, sizeof path, name_or_path, err);
  if (status == ZH_OK) status = zh_yaml_load_file(&file, path, err);
  if (status == ZH_OK) status = zh_read_file(&text, &length, source_path, SOURCE_BYTES_MAX, err);
  if (status == ZH_OK) status = check(out, policy, file, source_path, text, err);
  free(text);
  zh_yaml_free(file);
  zh_policy_free(policy);
  return status;
}
