/* Readings: the ways in which a text can be understood, and the maps that depend on one. */
#include <string.h>

#include "evaluator/policy/read.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's readings");
}

static zh_status read_choice(zh_choice *choice, const zh_yaml_node *map, const char *id,
                             zh_arena *arena, zh_error *err) {
  static const char *const keys[] = {"name", "ground", NULL};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a choice with its name and ground", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  choice->id = zh_arena_strdup(arena, id);
  if (choice->id == NULL) return no_memory(err);
  ZH_TRY(zh_phrase_require(&choice->name, map, "name", arena, err));
  return zh_phrase_require(&choice->ground, map, "ground", arena, err);
}

static zh_status read_reading(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"reading", "question", "choices", NULL};
  zh_reading *reading = &policy->readings[policy->reading_count];
  const zh_yaml_node *choices;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a reading with its question and choices", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_read_id(&reading->id, map, "reading", policy->arena, err));
  for (size_t i = 0; i < policy->reading_count; i++) {
    if (strcmp(policy->readings[i].id, reading->id) == 0)
      return zh_yaml_fail(err, zh_yaml_get(map, "reading"), "reading '%s' stands twice",
                          reading->id);
  }
  ZH_TRY(zh_phrase_require(&reading->question, map, "question", policy->arena, err));
  ZH_TRY(zh_yaml_require(&choices, map, "choices", err));
  ZH_TRY(zh_yaml_expect(choices, ZH_YAML_MAP, "choices by name", err));
  size_t count = zh_yaml_count(choices);
  if (count < 2 || count > ZH_MAX_CHOICES)
    return zh_yaml_fail(err, choices, "expected two to %d choices", ZH_MAX_CHOICES);
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(read_choice(&reading->choices[i], zh_yaml_item(choices, i), zh_yaml_key(choices, i),
                       policy->arena, err));
  }
  reading->choice_count = count;
  reading->index = policy->reading_count++;
  return ZH_OK;
}

zh_status zh_read_readings(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(root, "readings") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, root, "readings", "a list of readings", err));
  if (count > ZH_MAX_READINGS)
    return zh_yaml_fail(err, list, "expected at most %d readings", ZH_MAX_READINGS);
  policy->readings = zh_arena_alloc(policy->arena, count, sizeof *policy->readings);
  if (policy->readings == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_reading(policy, zh_yaml_item(list, i), err));
  return ZH_OK;
}

static zh_status find_reading(const zh_reading **out, const zh_policy *policy,
                              const zh_yaml_node *node, zh_error *err) {
  const char *ids[ZH_MAX_READINGS + 1] = {0};
  size_t which;
  for (size_t i = 0; i < policy->reading_count; i++) ids[i] = policy->readings[i].id;
  if (policy->reading_count == 0)
    return zh_yaml_fail(err, node, "this policy declares no 'readings'");
  ZH_TRY(zh_yaml_word(&which, node, ids, err));
  policy->readings[which].used = true;
  *out = &policy->readings[which];
  return ZH_OK;
}

zh_status zh_read_choices_at(const zh_reading **out, const zh_yaml_node *of[ZH_MAX_CHOICES],
                             const zh_policy *policy, const zh_yaml_node *map, const char *key,
                             zh_error *err) {
  const char *ids[ZH_MAX_CHOICES + 1] = {0};
  const zh_yaml_node *node, *choices;
  ZH_TRY(zh_yaml_require(&node, map, "reading", err));
  ZH_TRY(find_reading(out, policy, node, err));
  ZH_TRY(zh_yaml_require(&choices, map, key, err));
  ZH_TRY(zh_yaml_expect(choices, ZH_YAML_MAP, "every choice of the reading", err));
  for (size_t i = 0; i < (*out)->choice_count; i++) ids[i] = (*out)->choices[i].id;
  ZH_TRY(zh_yaml_expect_keys(choices, ids, err));
  for (size_t i = 0; i < (*out)->choice_count; i++)
    ZH_TRY(zh_yaml_require(&of[i], choices, ids[i], err));
  return ZH_OK;
}

size_t zh_choice_of(const zh_reading *reading, const zh_assignment *readings) {
  return reading == NULL ? 0 : readings->choice[reading->index];
}

zh_status zh_read_words_by_choice(const zh_reading **reading, size_t out[ZH_MAX_CHOICES],
                                  const zh_policy *policy, const zh_yaml_node *node,
                                  const char *const *words, zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES];
  *reading = NULL;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP) return zh_yaml_word(&out[0], node, words, err);
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_read_choices(reading, of, policy, node, err));
  for (size_t i = 0; i < (*reading)->choice_count; i++)
    ZH_TRY(zh_yaml_word(&out[i], of[i], words, err));
  return ZH_OK;
}

zh_status zh_read_choices(const zh_reading **out, const zh_yaml_node *of[ZH_MAX_CHOICES],
                          const zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  return zh_read_choices_at(out, of, policy, map, "choices", err);
}
