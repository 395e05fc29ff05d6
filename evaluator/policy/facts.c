/* Facts: what an applicant can state, the common ones and those of a policy; and the bases of
 * amounts. */
#include <string.h>

#include "core/files.h"
#include "evaluator/policy/read.h"

static const char common_file[] = "evaluator/policies/common/facts.yaml";
static const char *const type_words[] = {"money", "count", "date", "flag", "words", "text", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's facts");
}

/* {zh, en} among other keys. */
static zh_status read_names(zh_phrase *out, const zh_yaml_node *map, zh_arena *arena,
                            zh_error *err) {
  ZH_TRY(zh_policy_string(&out->zh, map, "zh", arena, err));
  return zh_policy_string(&out->en, map, "en", arena, err);
}

static zh_status read_words(zh_fact *fact, const zh_yaml_node *map, zh_arena *arena,
                            zh_error *err) {
  const zh_yaml_node *words;
  ZH_TRY(zh_yaml_require(&words, map, "words", err));
  ZH_TRY(zh_yaml_expect(words, ZH_YAML_MAP, "words with their names", err));
  fact->word_count = zh_yaml_count(words);
  fact->words = zh_arena_alloc(arena, fact->word_count, sizeof *fact->words);
  if (fact->words == NULL) return no_memory(err);
  for (size_t i = 0; i < fact->word_count; i++) {
    fact->words[i].id = zh_arena_strdup(arena, zh_yaml_key(words, i));
    if (fact->words[i].id == NULL) return no_memory(err);
    ZH_TRY(zh_phrase_read(&fact->words[i].phrase, zh_yaml_item(words, i), arena, err));
  }
  return ZH_OK;
}

static zh_status read_fact(zh_policy *policy, const zh_yaml_node *map, const char *id,
                           zh_error *err) {
  static const char *const keys[] = {"type", "zh", "en", "unit", "words", NULL};
  zh_fact *fact = &policy->facts[policy->fact_count];
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a fact with its type and names", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  if (zh_policy_fact(policy, id) != NULL)
    return zh_yaml_fail(err, map, "fact '%s' stands twice, or is a common one", id);
  ZH_TRY(zh_yaml_require(&node, map, "type", err));
  ZH_TRY(zh_yaml_word(&which, node, type_words, err));
  fact->type = (zh_fact_type)which;
  fact->id = zh_arena_strdup(policy->arena, id);
  if (fact->id == NULL) return no_memory(err);
  ZH_TRY(read_names(&fact->name, map, policy->arena, err));
  if (fact->type == ZH_FACT_COUNT)
    ZH_TRY(zh_policy_string(&fact->unit, map, "unit", policy->arena, err));
  if (fact->type == ZH_FACT_WORDS) ZH_TRY(read_words(fact, map, policy->arena, err));
  policy->fact_count++;
  return ZH_OK;
}

static zh_status read_map(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "facts by id", err));
  size_t count = zh_yaml_count(map);
  zh_fact *all = zh_arena_alloc(policy->arena, policy->fact_count + count, sizeof *all);
  if (all == NULL) return no_memory(err);
  if (policy->fact_count > 0) memcpy(all, policy->facts, policy->fact_count * sizeof *all);
  policy->facts = all;
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_fact(policy, zh_yaml_item(map, i), zh_yaml_key(map, i), err));
  return ZH_OK;
}

zh_status zh_read_facts(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  char path[4096];
  zh_yaml_doc *common = NULL;
  ZH_TRY(zh_data_path(path, sizeof path, common_file, err));
  zh_status status = zh_yaml_load_file(&common, path, err);
  if (status == ZH_OK) status = read_map(policy, zh_yaml_root(common), err);
  zh_yaml_free(common);
  ZH_TRY(status);
  const zh_yaml_node *own = zh_yaml_get(root, "facts");
  return own == NULL ? ZH_OK : read_map(policy, own, err);
}

zh_status zh_read_bases(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *map = zh_yaml_get(root, "bases");
  if (map == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "bases by id, each with its names", err));
  size_t count = zh_yaml_count(map);
  policy->bases = zh_arena_alloc(policy->arena, count, sizeof *policy->bases);
  if (policy->bases == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    policy->bases[i].id = zh_arena_strdup(policy->arena, zh_yaml_key(map, i));
    if (policy->bases[i].id == NULL) return no_memory(err);
    ZH_TRY(zh_phrase_read(&policy->bases[i].phrase, zh_yaml_item(map, i), policy->arena, err));
  }
  policy->base_count = count;
  return ZH_OK;
}

const zh_fact *zh_policy_fact(const zh_policy *policy, const char *id) {
  for (size_t i = 0; i < policy->fact_count; i++) {
    if (strcmp(policy->facts[i].id, id) == 0) return &policy->facts[i];
  }
  return NULL;
}

const zh_name *zh_policy_base(const zh_policy *policy, const char *id) {
  for (size_t i = 0; i < policy->base_count; i++) {
    if (strcmp(policy->bases[i].id, id) == 0) return &policy->bases[i];
  }
  return NULL;
}

zh_status zh_require_fact(const zh_fact **out, const zh_policy *policy, const zh_yaml_node *map,
                          const char *key, zh_error *err) {
  const zh_yaml_node *node;
  size_t which;
  const char **ids = zh_arena_alloc(policy->arena, policy->fact_count + 1, sizeof *ids);
  if (ids == NULL) return no_memory(err);
  for (size_t i = 0; i < policy->fact_count; i++) ids[i] = policy->facts[i].id;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_word(&which, node, ids, err));
  *out = &policy->facts[which];
  return ZH_OK;
}
