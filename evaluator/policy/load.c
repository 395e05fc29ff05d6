/* Policy files: read strictly, so that a slip of the pen cannot change a verdict. */
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/policy/read.h"

static const char *const policy_keys[] = {
    "policy",   "level",          "title",      "issuer", "number",      "date",
    "status",   "validity",       "valid",      "source", "source_file", "normalisation",
    "always",   "default_claims", "facts",      "bases",  "readings",    "clauses",
    "stacking", "materials",      "not_tested", NULL};
static const char *const status_words[] = {"draft", "trial", "in_force", "expired", NULL};

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

zh_status zh_read_id(const char **out, const zh_yaml_node *map, const char *key, zh_arena *arena,
                     zh_error *err) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  ZH_TRY(zh_policy_string(out, map, key, arena, err));
  if (strspn(*out, allowed) == strlen(*out) && strlen(*out) < 64) return ZH_OK;
  return zh_yaml_fail(err, zh_yaml_get(map, key),
                      "an id is made of Latin letters, digits and '_', at most 63 of them");
}

zh_status zh_read_list(const zh_yaml_node **items, size_t *count, const zh_yaml_node *map,
                       const char *key, const char *what, zh_error *err) {
  ZH_TRY(zh_yaml_require(items, map, key, err));
  ZH_TRY(zh_yaml_expect(*items, ZH_YAML_LIST, what, err));
  *count = zh_yaml_count(*items);
  return *count > 0 ? ZH_OK : zh_yaml_fail(err, *items, "expected %s, not an empty list", what);
}

zh_status zh_read_phrases(zh_phrase **out, size_t *count, const zh_yaml_node *map, const char *key,
                          zh_arena *arena, zh_error *err) {
  const zh_yaml_node *list;
  size_t n;
  *count = 0;
  if (zh_yaml_get(map, key) == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &n, map, key, "a list of sentences", err));
  *out = zh_arena_alloc(arena, n, sizeof **out);
  if (*out == NULL) return no_memory(err);
  for (size_t i = 0; i < n; i++)
    ZH_TRY(zh_phrase_read(&(*out)[i], zh_yaml_item(list, i), arena, err));
  *count = n;
  return ZH_OK;
}

zh_status zh_read_flag(bool *out, const zh_yaml_node *map, const char *key, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  return node == NULL ? ZH_OK : zh_yaml_bool(out, node, err);
}

/* --- normalisation --- */

static zh_status read_replacements(zh_normalisation *out, const zh_policy *policy,
                                   const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"from", "to", NULL};
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(map, "replace") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, map, "replace", "a list of replacements", err));
  out->replace = zh_arena_alloc(policy->arena, count, sizeof *out->replace);
  if (out->replace == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const zh_yaml_node *item = zh_yaml_item(list, i);
    ZH_TRY(zh_yaml_expect(item, ZH_YAML_MAP, "a replacement {from, to}", err));
    ZH_TRY(zh_yaml_expect_keys(item, keys, err));
    ZH_TRY(zh_policy_string(&out->replace[i].from, item, "from", policy->arena, err));
    ZH_TRY(zh_policy_string(&out->replace[i].to, item, "to", policy->arena, err));
  }
  out->replace_count = count;
  return ZH_OK;
}

static zh_status read_normalisation(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  static const char *const keys[] = {"traditional", "pinyin", "replace", "ends_at", NULL};
  const zh_yaml_node *map = zh_yaml_get(root, "normalisation");
  zh_normalisation *out = &policy->normalisation;
  if (map == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "what was done to the published text", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_read_flag(&out->traditional, map, "traditional", err));
  ZH_TRY(zh_read_flag(&out->pinyin, map, "pinyin", err));
  ZH_TRY(read_replacements(out, policy, map, err));
  if (zh_yaml_get(map, "ends_at") == NULL) return ZH_OK;
  return zh_policy_string(&out->ends_at, map, "ends_at", policy->arena, err);
}

/* --- heading --- */

/* "" where the key is absent. */
static zh_status read_optional(const char **out, const zh_policy *policy, const zh_yaml_node *root,
                               const char *key, zh_error *err) {
  *out = "";
  if (zh_yaml_get(root, key) == NULL) return ZH_OK;
  return zh_policy_string(out, root, key, policy->arena, err);
}

static zh_status read_dates_and_words(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *node;
  size_t which;
  zh_date date;
  ZH_TRY(read_optional(&policy->number, policy, root, "number", err));
  ZH_TRY(read_optional(&policy->date, policy, root, "date", err));
  if (policy->date[0] != '\0') ZH_TRY(zh_date_read(&date, zh_yaml_get(root, "date"), err));
  ZH_TRY(zh_yaml_require(&node, root, "status", err));
  ZH_TRY(zh_yaml_word(&which, node, status_words, err));
  policy->status = status_words[which];
  ZH_TRY(zh_yaml_require(&node, root, "level", err));
  ZH_TRY(zh_yaml_word(&which, node, zh_level_words, err));
  policy->level = 1 << which;
  return ZH_OK;
}

static zh_status read_heading(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a policy", err));
  ZH_TRY(zh_yaml_expect_keys(root, policy_keys, err));
  ZH_TRY(zh_policy_string(&policy->name, root, "policy", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->title, root, "title", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->issuer, root, "issuer", policy->arena, err));
  ZH_TRY(zh_phrase_require(&policy->validity, root, "validity", policy->arena, err));
  ZH_TRY(zh_policy_string(&policy->source, root, "source", policy->arena, err));
  ZH_TRY(read_optional(&policy->source_file, policy, root, "source_file", err));
  return read_dates_and_words(policy, root, err);
}

/* --- the whole --- */

static zh_status expect_an_amount(const zh_policy *policy, const zh_yaml_node *root,
                                  zh_error *err) {
  for (size_t i = 0; i < policy->clause_count; i++) {
    if (policy->clauses[i].kind == ZH_CLAUSE_AMOUNT) return ZH_OK;
  }
  return zh_yaml_fail(err, zh_yaml_get(root, "clauses"),
                      "a policy needs at least one clause of kind 'amount'");
}

static zh_status read_policy(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  ZH_TRY(read_heading(policy, root, err));
  ZH_TRY(read_normalisation(policy, root, err));
  ZH_TRY(zh_read_facts(policy, root, err));
  ZH_TRY(zh_read_bases(policy, root, err));
  ZH_TRY(zh_read_readings(policy, root, err));
  ZH_TRY(zh_read_clauses(policy, root, err));
  ZH_TRY(expect_an_amount(policy, root, err));
  ZH_TRY(zh_read_clause_list(&policy->always, &policy->always_count, policy->arena, policy, root,
                             "always", ZH_CLAUSE_CONDITION, err));
  ZH_TRY(zh_expect_conditions_needed(policy, root, err));
  ZH_TRY(zh_read_clause_list(&policy->default_claims, &policy->default_claim_count, policy->arena,
                             policy, root, "default_claims", ZH_CLAUSE_AMOUNT, err));
  ZH_TRY(zh_read_valid(policy, root, err));
  ZH_TRY(zh_read_stacking(policy, root, err));
  ZH_TRY(zh_read_materials(policy, root, err));
  ZH_TRY(zh_expect_readings_used(policy, root, err));
  return zh_read_phrases(&policy->not_tested, &policy->not_tested_count, root, "not_tested",
                         policy->arena, err);
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
