/* Grants that an applicant has received already. */
#include <string.h>

#include "evaluator/applicant_reader.h"
#include "evaluator/exact.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the grants received");
}

/* Whose money it is: this policy's clause, or another policy and its level. */
static zh_status read_origin(zh_grant_received *grant, const zh_reader *r, const zh_yaml_node *map,
                             zh_error *err) {
  const zh_yaml_node *clause = zh_yaml_get(map, "clause"), *level = zh_yaml_get(map, "level");
  size_t which;
  grant->policy = "";
  grant->level = r->policy->level;
  if (clause != NULL && zh_yaml_get(map, "policy") != NULL)
    return zh_yaml_fail(err, map,
                        "expected 'clause' of this policy, or another 'policy', not both");
  if (clause != NULL) {
    ZH_TRY(zh_require_clause(&grant->clause, r->policy, clause, err));
    return grant->clause->kind == ZH_CLAUSE_AMOUNT
               ? ZH_OK
               : zh_yaml_fail(err, clause, "expected a clause of kind 'amount'");
  }
  ZH_TRY(zh_policy_string(&grant->policy, map, "policy", r->applicant->arena, err));
  ZH_TRY(zh_yaml_require(&level, map, "level", err));
  ZH_TRY(zh_yaml_word(&which, level, zh_level_words, err));
  grant->level = 1 << which;
  return ZH_OK;
}

/* Which award of this policy it was for, in kind: an id, or 'other' for none. One entry for each,
 * so that no sum is taken off twice. */
static zh_status read_kind(zh_grant_received *grant, const zh_reader *r, const zh_yaml_node *map,
                           zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, "for");
  const char *word;
  if (node == NULL) return ZH_OK;
  if (grant->clause != NULL)
    return zh_yaml_fail(err, node,
                        "money of this policy is for its own 'clause'; 'for' belongs to "
                        "another policy's");
  if (zh_yaml_node_kind(node) != ZH_YAML_SCALAR)
    return zh_yaml_fail(err, node,
                        "expected one award, or other; what was for several is "
                        "several entries, each with its share");
  grant->kind_said = true;
  ZH_TRY(zh_yaml_string(&word, node, err));
  if (strcmp(word, "other") == 0) return ZH_OK;
  ZH_TRY(zh_require_clause(&grant->same_as, r->policy, node, err));
  return grant->same_as->kind == ZH_CLAUSE_AMOUNT
             ? ZH_OK
             : zh_yaml_fail(err, node, "expected a clause of kind 'amount', or other");
}

static zh_status read_grant(const zh_reader *r, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"policy",  "clause", "level", "project", "amount", "date",
                                     "matched", "for",    "file",  "sm3",     NULL},
                           *const projects[] = {"same", "other", NULL};
  zh_grant_received *grant = &r->applicant->received[r->applicant->received_count];
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a grant received", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(read_origin(grant, r, map, err));
  ZH_TRY(read_kind(grant, r, map, err));
  node = zh_yaml_get(map, "project");
  if (node != NULL) {
    ZH_TRY(zh_yaml_word(&which, node, projects, err));
    grant->project = which == 0 ? ZH_SAME_PROJECT : ZH_OTHER_PROJECT;
  }
  ZH_TRY(zh_yaml_require(&node, map, "amount", err));
  ZH_TRY(zh_money_read(&grant->fen, node, err));
  grant->date = ZH_NO_DATE;
  node = zh_yaml_get(map, "date");
  if (node != NULL) ZH_TRY(zh_date_read(&grant->date, node, err));
  ZH_TRY(zh_read_flag(&grant->matched, map, "matched", err));
  grant->matched_said = zh_yaml_get(map, "matched") != NULL;
  grant->line = zh_yaml_line(map);
  r->applicant->received_count++;
  return zh_read_paper(&grant->paper, r, map, err);
}

zh_status zh_read_received(const zh_reader *r, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list = zh_yaml_get(root, "received");
  size_t count;
  if (list == NULL || zh_section_is_blank(list)) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, root, "received", "a list of grants received", err));
  r->applicant->received = zh_reader_take(r, count, sizeof *r->applicant->received);
  if (r->applicant->received == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_grant(r, zh_yaml_item(list, i), err));
  return ZH_OK;
}
