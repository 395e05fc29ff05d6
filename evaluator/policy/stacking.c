/* How awards of a policy combine with each other and with money received; the application papers.
 */
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

const char *const zh_stacking_words[] = {"higher_of", "joint_limit", "on_top",
                                         "exclusive", "same_bill",   NULL};
const char *const zh_level_words[] = {"state", "city", "district", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy");
}

zh_status zh_read_levels(int *out, const zh_yaml_node *map, const char *key, zh_error *err) {
  const zh_yaml_node *list;
  size_t count, which;
  *out = ZH_LEVEL_ANY;
  if (zh_yaml_get(map, key) == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, map, key, "a list of levels", err));
  *out = 0;
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(zh_yaml_word(&which, zh_yaml_item(list, i), zh_level_words, err));
    *out |= 1 << which;
  }
  return ZH_OK;
}

static zh_status read_among(zh_stacking *entry, const zh_policy *policy, const zh_yaml_node *map,
                            zh_error *err) {
  const zh_clause **among = NULL;
  size_t count;
  entry->among = zh_arena_alloc(policy->arena, policy->clause_count, sizeof *entry->among);
  if (entry->among == NULL) return no_memory(err);
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

static zh_status read_joint_limit(zh_stacking *entry, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *rate;
  ZH_TRY(zh_yaml_require(&rate, map, "rate", err));
  ZH_TRY(zh_rate_read(&entry->rate_millionths, rate, err));
  return entry->clause == NULL
             ? ZH_OK
             : zh_check_figure(rate, NULL, entry->clause->quote, entry->rate_millionths, err);
}

static zh_status read_entry(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  static const char *const received[] = {"rule", "clause", "levels", "among", NULL},
                           *const limit[] = {"rule", "clause", "levels", "among", "rate", NULL},
                           *const exclusive[] = {"rule", "clause", "among", NULL},
                           *const bill[] = {"rule", "clause", "among", "reading", "choices", NULL};
  static const char *const *const keys[] = {received, limit, received, exclusive, bill};
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
  ZH_TRY(zh_read_levels(&entry->levels, map, "levels", err));
  ZH_TRY(read_among(entry, policy, map, err));
  if (entry->kind == ZH_STACK_JOINT_LIMIT) ZH_TRY(read_joint_limit(entry, map, err));
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

static zh_status read_material(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"item",    "clause",   "name",      "within",
                                     "written", "optional", "filled_by", NULL};
  zh_material *material = &policy->materials[policy->material_count];
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "an application paper", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_read_id(&material->id, map, "item", policy->arena, err));
  for (size_t i = 0; i < policy->material_count; i++) {
    if (strcmp(policy->materials[i].id, material->id) == 0)
      return zh_yaml_fail(err, map, "paper '%s' stands twice", material->id);
  }
  ZH_TRY(zh_yaml_require(&node, map, "clause", err));
  ZH_TRY(zh_require_clause(&material->clause, policy, node, err));
  ZH_TRY(zh_phrase_require(&material->name, map, "name", policy->arena, err));
  if (zh_yaml_get(map, "filled_by") != NULL)
    ZH_TRY(zh_phrase_require(&material->filled_by, map, "filled_by", policy->arena, err));
  node = zh_yaml_get(map, "within");
  if (node != NULL) {
    ZH_TRY(zh_span_read(&material->within, node, err));
    ZH_TRY(zh_check_span(node, map, "written", material->clause->quote, material->within, err));
  }
  ZH_TRY(zh_read_flag(&material->optional, map, "optional", err));
  policy->material_count++;
  return ZH_OK;
}

zh_status zh_read_materials(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(root, "materials") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, root, "materials", "a list of papers", err));
  policy->materials = zh_arena_alloc(policy->arena, count, sizeof *policy->materials);
  if (policy->materials == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_material(policy, zh_yaml_item(list, i), err));
  return ZH_OK;
}
