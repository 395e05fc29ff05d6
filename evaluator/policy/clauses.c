/* Clauses: read in two passes, so that one may name another wherever it stands. */
#include <stdlib.h>
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

const char *const zh_clause_kind_words[] = {"condition", "amount", "encouragement", "procedure",
                                            NULL};
static const char *const common_keys[] = {"clause", "id",   "kind", "quote",   "heading", "who",
                                          "people", "pool", "test", "figures", NULL};
static const char *const amount_keys[] = {
    "clause", "id",      "kind",     "quote",     "heading",  "who",     "people",
    "pool",   "test",    "requires", "criterion", "base",     "rate",    "caps",
    "ladder", "one_off", "yearly",   "period",    "rounding", "figures", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's clauses");
}

const zh_clause *zh_policy_clause(const zh_policy *policy, const char *id) {
  for (size_t i = 0; i < policy->clause_count; i++) {
    if (strcmp(policy->clauses[i].id, id) == 0) return &policy->clauses[i];
  }
  return NULL;
}

zh_status zh_require_clause(const zh_clause **out, const zh_policy *policy,
                            const zh_yaml_node *node, zh_error *err) {
  const char **ids = calloc(policy->clause_count + 1, sizeof *ids);
  size_t which = 0;
  if (ids == NULL) return no_memory(err);
  for (size_t i = 0; i < policy->clause_count; i++) ids[i] = policy->clauses[i].id;
  zh_status status = zh_yaml_word(&which, node, ids, err);
  free(ids);
  *out = &policy->clauses[which];
  return status;
}

zh_status zh_read_clause_list(const zh_clause ***out, size_t *count, zh_arena *arena,
                              const zh_policy *policy, const zh_yaml_node *map, const char *key,
                              zh_clause_kind kind, zh_error *err) {
  const zh_yaml_node *list;
  size_t n;
  *count = 0;
  if (zh_yaml_get(map, key) == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &n, map, key, "a list of clause ids", err));
  *out = zh_arena_alloc(arena, n, sizeof **out);
  if (*out == NULL) return no_memory(err);
  for (size_t i = 0; i < n; i++) {
    const zh_yaml_node *node = zh_yaml_item(list, i);
    ZH_TRY(zh_require_clause(&(*out)[i], policy, node, err));
    if ((*out)[i]->kind != kind)
      return zh_yaml_fail(err, node, "clause '%s' is of kind %s; expected one of kind %s",
                          (*out)[i]->id, zh_clause_kind_words[(*out)[i]->kind],
                          zh_clause_kind_words[kind]);
  }
  *count = n;
  return ZH_OK;
}

/* --- first pass: what every clause has --- */

static zh_status read_kind(zh_clause *clause, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_require(&node, map, "kind", err));
  ZH_TRY(zh_yaml_word(&which, node, zh_clause_kind_words, err));
  clause->kind = (zh_clause_kind)which;
  return zh_yaml_expect_keys(map, clause->kind == ZH_CLAUSE_AMOUNT ? amount_keys : common_keys,
                             err);
}

static zh_status read_pool(zh_clause *clause, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *pool = zh_yaml_get(map, "pool");
  clause->pool_fen = -1;
  if (pool == NULL) return ZH_OK;
  ZH_TRY(zh_money_read(&clause->pool_fen, pool, err));
  return zh_check_figure(pool, NULL, clause->quote, clause->pool_fen, err);
}

static zh_status read_technical(zh_technical *out, const zh_policy *policy, const zh_clause *clause,
                                const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"id",        "name", "boundary", "written",
                                     "threshold", "unit", NULL};
  const zh_yaml_node *node, *boundary;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a technical figure", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_read_id(&out->id, map, "id", policy->arena, err));
  ZH_TRY(zh_phrase_require(&out->name, map, "name", policy->arena, err));
  ZH_TRY(zh_policy_string(&out->unit, map, "unit", policy->arena, err));
  ZH_TRY(zh_yaml_require(&boundary, map, "boundary", err));
  ZH_TRY(zh_read_boundary(&out->boundary, policy, boundary, clause->quote, false, err));
  ZH_TRY(zh_yaml_require(&node, map, "threshold", err));
  ZH_TRY(zh_count_read(&out->number, out->unit, node, err));
  return zh_check_figure(node, map, clause->quote, out->number, err);
}

static zh_status read_figures(zh_clause *clause, const zh_policy *policy, const zh_yaml_node *map,
                              zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(map, "figures") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, map, "figures", "a list of technical figures", err));
  clause->figures = zh_arena_alloc(policy->arena, count, sizeof *clause->figures);
  if (clause->figures == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_technical(&clause->figures[i], policy, clause, zh_yaml_item(list, i), err));
  clause->figure_count = count;
  return ZH_OK;
}

static zh_status read_clause(zh_policy *policy, const zh_yaml_node *map, zh_error *err) {
  zh_clause *clause = &policy->clauses[policy->clause_count];
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a clause with its number, id, kind and quote", err));
  ZH_TRY(read_kind(clause, map, err));
  ZH_TRY(zh_policy_string(&clause->number, map, "clause", policy->arena, err));
  ZH_TRY(zh_read_id(&clause->id, map, "id", policy->arena, err));
  if (zh_policy_clause(policy, clause->id) != NULL)
    return zh_yaml_fail(err, zh_yaml_get(map, "id"), "clause '%s' stands twice", clause->id);
  ZH_TRY(zh_policy_string(&clause->quote, map, "quote", policy->arena, err));
  if (!zh_quote_occurs(clause->quote, clause->quote)) /* nothing but punctuation */
    return zh_yaml_fail(err, zh_yaml_get(map, "quote"), "expected words of the text");
  ZH_TRY(zh_phrase_require(&clause->heading, map, "heading", policy->arena, err));
  if (zh_yaml_get(map, "who") != NULL)
    ZH_TRY(zh_phrase_require(&clause->who, map, "who", policy->arena, err));
  ZH_TRY(
      zh_read_phrases(&clause->people, &clause->people_count, map, "people", policy->arena, err));
  ZH_TRY(read_pool(clause, map, err));
  ZH_TRY(read_figures(clause, policy, map, err));
  clause->index = policy->clause_count++;
  return ZH_OK;
}

/* --- second pass: tests and amounts --- */

static zh_status read_contents(zh_policy *policy, zh_clause *clause, const zh_yaml_node *map,
                               zh_error *err) {
  const zh_yaml_node *test = zh_yaml_get(map, "test");
  bool computes = clause->kind == ZH_CLAUSE_CONDITION || clause->kind == ZH_CLAUSE_AMOUNT;
  if (test != NULL && !computes)
    return zh_yaml_fail(err, test, "only conditions and amounts have a test");
  if (clause->kind == ZH_CLAUSE_CONDITION) ZH_TRY(zh_yaml_require(&test, map, "test", err));
  if (test != NULL) ZH_TRY(zh_read_node(&clause->test, policy, clause, test, true, err));
  if (clause->kind != ZH_CLAUSE_AMOUNT) return ZH_OK;
  return zh_read_amount(&clause->amount, policy, clause, map, err);
}

zh_status zh_read_clauses(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  ZH_TRY(zh_read_list(&list, &count, root, "clauses", "a list of clauses", err));
  policy->clauses = zh_arena_alloc(policy->arena, count, sizeof *policy->clauses);
  if (policy->clauses == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_clause(policy, zh_yaml_item(list, i), err));
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_contents(policy, &policy->clauses[i], zh_yaml_item(list, i), err));
  return ZH_OK;
}
