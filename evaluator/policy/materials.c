/* The application papers that a policy asks for. */
#include <string.h>

#include "evaluator/policy/read.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's list of papers");
}

static zh_status read_material(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"item",    "clause",   "name",      "within", "written",
                                     "of_year", "optional", "filled_by", NULL};
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
  if (zh_yaml_get(map, "of_year") != NULL)
    ZH_TRY(zh_require_in_quote(&material->of_year, policy, material->clause, map, "of_year", err));
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
