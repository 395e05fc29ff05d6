/* How awards of a policy combine with each other and with money received. */
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

const char *const zh_stacking_words[] = {"higher_of", "joint_limit", "on_top", "exclusive",
                                         "same_bill", "yields_to",   NULL};
const char *const zh_level_words[] = {"state", "city", "district", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy");
}

static zh_status read_level_list(int *out, const zh_yaml_node *list, zh_error *err) {
  size_t which;
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of levels", err));
  if (zh_yaml_count(list) == 0) return zh_yaml_fail(err, list, "expected at least one level");
  *out = 0;
  for (size_t i = 0; i < zh_yaml_count(list); i++) {
    ZH_TRY(zh_yaml_word(&which, zh_yaml_item(list, i), zh_level_words, err));
    *out |= 1 << which;
  }
  return ZH_OK;
}

zh_status zh_read_levels(int *out, const zh_yaml_node *map, const char *key, zh_error *err) {
  *out = ZH_LEVEL_ANY;
  return zh_yaml_get(map, key) == NULL ? ZH_OK : read_level_list(out, zh_yaml_get(map, key), err);
}

/* A list, or a list for each choice of a reading. */
static zh_status read_levels_by_choice(zh_stacking *entry, const zh_policy *policy,
                                       const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL};
  const zh_yaml_node *levels = zh_yaml_get(map, "levels"), *of[ZH_MAX_CHOICES];
  if (levels == NULL || zh_yaml_node_kind(levels) != ZH_YAML_MAP)
    return zh_read_levels(&entry->levels[0], map, "levels", err);
  ZH_TRY(zh_yaml_expect_keys(levels, keys, err));
  ZH_TRY(zh_read_choices(&entry->levels_reading, of, policy, levels, err));
  for (size_t i = 0; i < entry->levels_reading->choice_count; i++)
    ZH_TRY(read_level_list(&entry->levels[i], of[i], err));
  return ZH_OK;
}

/* Names of other policies, as an applicant's file gives them under 'received'. */
static zh_status read_policies(zh_stacking *entry, const zh_policy *policy, const zh_yaml_node *map,
                               zh_error *err) {
  const zh_yaml_node *list;
  const char *name;
  if (zh_yaml_get(map, "policies") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &entry->policy_count, map, "policies", "a list of policies", err));
  entry->policies = zh_arena_alloc(policy->arena, entry->policy_count, sizeof *entry->policies);
  if (entry->policies == NULL) return no_memory(err);
  for (size_t i = 0; i < entry->policy_count; i++) {
    ZH_TRY(zh_yaml_string(&name, zh_yaml_item(list, i), err));
    entry->policies[i] = zh_arena_strdup(policy->arena, name);
    if (entry->policies[i] == NULL) return no_memory(err);
  }
  return ZH_OK;
}

static zh_status read_among(zh_stacking *entry, const zh_policy *policy, const zh_yaml_node *map,
                            zh_error *err) {
  const zh_clause **among = NULL;
  size_t count;
  entry->among = zh_arena_alloc(policy->arena, policy->clause_count, sizeof *entry->among);
  if (entry->among == NULL) return no_memory(err);
  entry->among_count = policy->clause_count;
  ZH_TRY(zh_read_clause_list(&among, &count, policy->arena, policy, map, "among", ZH_CLAUSE_AMOUNT,
                             err));
  for (size_t i = 0; i < count; i++) entry->among[among[i]->index] = true;
  for (size_t i = 0; count == 0 && i < policy->clause_count; i++)
    entry->among[i] = policy->clauses[i].kind == ZH_CLAUSE_AMOUNT;
  return ZH_OK;
}

static zh_status read_same_bill(zh_stacking *entry, const zh_policy *policy,
                                const zh_yaml_node *map, zh_error *err) {
  static const char *const words[] = {"both", "once", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES];
  size_t which;
  ZH_TRY(zh_read_choices(&entry->reading, of, policy, map, err));
  for (size_t i = 0; i < entry->reading->choice_count; i++) {
    ZH_TRY(zh_yaml_word(&which, of[i], words, err));
    entry->once[i] = which == 1;
  }
  return ZH_OK;
}

/* The best combination is found for one joint limit an amount (engine/limits.c). */
static zh_status expect_one_limit(const zh_stacking *entry, const zh_policy *policy,
                                  const zh_yaml_node *map, zh_error *err) {
  for (const zh_stacking *other = policy->stacking; other < entry; other++) {
    for (size_t i = 0; i < policy->clause_count; i++) {
      bool both = other->kind == ZH_STACK_JOINT_LIMIT && other->among[i] && entry->among[i];
      if (both)
        return zh_yaml_fail(err, map, "'%s' stands under another joint_limit already",
                            policy->clauses[i].id);
    }
  }
  return ZH_OK;
}

static zh_status read_yields_to(zh_stacking *entry, const zh_policy *policy,
                                const zh_yaml_node *map, zh_error *err) {
  if (entry->clause == NULL)
    return zh_yaml_fail(err, map, "expected the 'clause' by which another policy comes first");
  return zh_phrase_require(&entry->question, map, "question", policy->arena, err);
}

static zh_status read_joint_limit(zh_stacking *entry, const zh_policy *policy,
                                  const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *rate;
  ZH_TRY(expect_one_limit(entry, policy, map, err));
  ZH_TRY(zh_yaml_require(&rate, map, "rate", err));
  ZH_TRY(zh_rate_read(&entry->rate_millionths, rate, err));
  return entry->clause == NULL
             ? ZH_OK
             : zh_check_figure(rate, NULL, entry->clause->quote, entry->rate_millionths, err);
}

static zh_status read_entry(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  static const char *const higher[] = {"rule", "clause", "levels", "policies", "among", NULL},
                           *const on_top[] = {"rule", "clause", "levels", "among", NULL},
                           *const limit[] = {"rule", "clause", "levels", "among", "rate", NULL},
                           *const yields[] = {"rule",     "clause", "levels", "policies",
                                              "question", "among",  NULL},
                           *const exclusive[] = {"rule", "clause", "among", NULL},
                           *const bill[] = {"rule", "clause", "among", "reading", "choices", NULL};
  static const char *const *const keys[] = {higher, limit, on_top, exclusive, bill, yields};
  zh_stacking *entry = &policy->stacking[policy->stacking_count];
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a stacking rule", err));
  ZH_TRY(zh_yaml_require(&node, map, "rule", err));
  ZH_TRY(zh_yaml_word(&which, node, zh_stacking_words, err));
  entry->kind = (zh_stacking_kind)which;
  ZH_TRY(zh_yaml_expect_keys(map, keys[which], err));
  node = zh_yaml_get(map, "clause");
  if (node != NULL) ZH_TRY(zh_require_clause(&entry->clause, policy, node, err));
  ZH_TRY(read_levels_by_choice(entry, policy, map, err));
  ZH_TRY(read_policies(entry, policy, map, err));
  ZH_TRY(read_among(entry, policy, map, err));
  if (entry->kind == ZH_STACK_JOINT_LIMIT) ZH_TRY(read_joint_limit(entry, policy, map, err));
  if (entry->kind == ZH_STACK_YIELDS_TO) ZH_TRY(read_yields_to(entry, policy, map, err));
  if (entry->kind == ZH_STACK_SAME_BILL) ZH_TRY(read_same_bill(entry, policy, map, err));
  policy->stacking_count++;
  return ZH_OK;
}

zh_status zh_read_stacking(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(root, "stacking") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, root, "stacking", "a list of stacking rules", err));
  policy->stacking = zh_arena_alloc(policy->arena, count, sizeof *policy->stacking);
  if (policy->stacking == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_entry(policy, zh_yaml_item(list, i), err));
  return ZH_OK;
}
