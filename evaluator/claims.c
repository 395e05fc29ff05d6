/* The sections of an applicant's file whose entries have the policy's ids: facts, documents,
 * decisions, exclusions, costs and application papers. */
#include <string.h>

#include "evaluator/applicant_reader.h"
#include "evaluator/exact.h"
#include "evaluator/leading/comparison.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the applicant's file");
}

/* --- sections --- */

static zh_status read_document(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"file", "sm3", NULL};
  ZH_TRY(zh_expect_entry(map, keys, err));
  return zh_require_paper(claim, r, map, err);
}

static zh_status read_exclusion(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                                zh_error *err) {
  static const char *const keys[] = {"applies", "file", "sm3", NULL};
  const zh_yaml_node *applies;
  ZH_TRY(zh_expect_entry(map, keys, err));
  ZH_TRY(zh_yaml_require(&applies, map, "applies", err));
  ZH_TRY(zh_yaml_bool(&claim->yes, applies, err));
  return zh_read_own_paper(claim, r, map, err);
}

static bool is_leadership(const zh_policy *policy, const char *id) {
  for (size_t i = 0; i < policy->rule_count; i++) {
    if (strcmp(policy->rules[i]->id, id) == 0) return policy->rules[i]->kind == &zh_rule_leadership;
  }
  return false;
}

/* The authority's, or of leadership a comparison from which it is decided here. */
static zh_status read_decision(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"granted", "file", "sm3", NULL};
  const zh_yaml_node *granted;
  if (is_leadership(r->policy, claim->id) && zh_yaml_node_kind(map) == ZH_YAML_MAP &&
      zh_yaml_get(map, "granted") == NULL)
    return zh_read_comparison(claim, r, map, err);
  ZH_TRY(zh_expect_entry(map, keys, err));
  ZH_TRY(zh_yaml_require(&granted, map, "granted", err));
  ZH_TRY(zh_yaml_bool(&claim->yes, granted, err));
  return zh_require_paper(claim, r, map, err);
}

static zh_status read_material(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                               zh_error *err) {
  static const char *const keys[] = {"file", "sm3", "issued", "valid_until", "year", NULL};
  const zh_yaml_node *issued, *until, *year;
  int64_t number;
  ZH_TRY(zh_expect_entry(map, keys, err));
  claim->issued = ZH_NO_DATE;
  issued = zh_yaml_get(map, "issued");
  if (issued != NULL) ZH_TRY(zh_date_read(&claim->issued, issued, err));
  claim->valid_until = ZH_NO_DATE;
  until = zh_yaml_get(map, "valid_until");
  if (until != NULL) ZH_TRY(zh_date_read(&claim->valid_until, until, err));
  if (until != NULL && claim->issued != ZH_NO_DATE && claim->valid_until < claim->issued)
    return zh_yaml_fail(err, until, "expected a day that is not before 'issued'");
  year = zh_yaml_get(map, "year");
  if (year != NULL) {
    ZH_TRY(zh_yaml_int(&number, year, 1990, 2200, err));
    claim->year = (int)number;
  }
  return zh_require_paper(claim, r, map, err);
}

/* --- costs: one line, or one for each year --- */

static zh_status add_cost(zh_claim *claim, const zh_reader *r, const zh_yaml_node *map,
                          zh_error *err) {
  static const char *const keys[] = {"year", "amount", "file", "sm3", NULL};
  const zh_yaml_node *amount, *file, *year = zh_yaml_get(map, "year");
  int64_t fen, number;
  ZH_TRY(zh_expect_entry(map, keys, err));
  if (year != NULL) ZH_TRY(zh_yaml_int(&number, year, 1990, 2200, err));
  ZH_TRY(zh_yaml_require(&amount, map, "amount", err));
  ZH_TRY(zh_money_read(&fen, amount, err));
  if (__builtin_add_overflow(claim->number, fen, &claim->number))
    return zh_yaml_fail(err, amount, "the sum is too big to be computed exactly");
  ZH_TRY(zh_yaml_require(&file, map, "file", err));
  return zh_read_paper(&claim->papers[claim->paper_count++], r, map, err);
}

static zh_status read_cost(zh_claim *claim, const zh_reader *r, const zh_yaml_node *node,
                           zh_error *err) {
  bool list = zh_yaml_node_kind(node) == ZH_YAML_LIST;
  size_t count = list ? zh_yaml_count(node) : 1;
  if (count == 0) return zh_yaml_fail(err, node, "expected at least one amount");
  claim->papers = zh_reader_take(r, count, sizeof *claim->papers);
  if (claim->papers == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(add_cost(claim, r, list ? zh_yaml_item(node, i) : node, err));
  return ZH_OK;
}

/* --- facts --- */

static zh_status read_words(zh_claim *claim, const zh_reader *r, const zh_fact *fact,
                            const zh_yaml_node *node, zh_error *err) {
  bool list = zh_yaml_node_kind(node) == ZH_YAML_LIST;
  size_t count = list ? zh_yaml_count(node) : 1, which;
  const char **known = zh_reader_take(r, fact->word_count + 1, sizeof *known);
  claim->words = zh_reader_take(r, count, sizeof *claim->words);
  if (known == NULL || claim->words == NULL) return no_memory(err);
  for (size_t i = 0; i < fact->word_count; i++) known[i] = fact->words[i].id;
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(zh_yaml_word(&which, list ? zh_yaml_item(node, i) : node, known, err));
    for (size_t k = 0; k < claim->word_count; k++) {
      if (strcmp(claim->words[k], known[which]) == 0)
        return zh_yaml_fail(err, node, "'%s' stands twice", known[which]);
    }
    claim->words[claim->word_count++] = known[which];
  }
  return ZH_OK;
}

static zh_status read_value(zh_claim *claim, const zh_reader *r, const zh_fact *fact,
                            const zh_yaml_node *node, zh_error *err) {
  const char *text;
  zh_date date;
  switch (fact->type) {
  case ZH_FACT_MONEY:
    return zh_money_read(&claim->number, node, err);
  case ZH_FACT_COUNT:
    return zh_count_read(&claim->number, fact->unit, node, err);
  case ZH_FACT_DATE:
    ZH_TRY(zh_date_read(&date, node, err));
    claim->number = date;
    return ZH_OK;
  case ZH_FACT_FLAG:
    return zh_yaml_bool(&claim->yes, node, err);
  case ZH_FACT_WORDS:
    return read_words(claim, r, fact, node, err);
  case ZH_FACT_TEXT:
    break;
  }
  ZH_TRY(zh_yaml_string(&text, node, err));
  claim->text = zh_arena_strdup(r->applicant->arena, text);
  return claim->text != NULL ? ZH_OK : no_memory(err);
}

/* The value alone (said, not shown), or {value, file, sm3}. */
static zh_status read_fact(zh_claim *claim, const zh_reader *r, const zh_yaml_node *node,
                           zh_error *err) {
  static const char *const keys[] = {"value", "file", "sm3", NULL};
  const zh_fact *fact = zh_policy_fact(r->policy, claim->id);
  const zh_yaml_node *value;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP) return read_value(claim, r, fact, node, err);
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_yaml_require(&value, node, "value", err));
  ZH_TRY(read_value(claim, r, fact, value, err));
  return zh_read_own_paper(claim, r, node, err);
}

/* --- all sections alike --- */

typedef zh_status (*claim_reader)(zh_claim *, const zh_reader *, const zh_yaml_node *, zh_error *);

/* Where an entry belongs that stands in the wrong section; NULL where no section knows it. */
static const char *home_of(const zh_reader *r, const char *id) {
  for (size_t i = 0; i < r->policy->rule_count; i++) {
    const zh_rule *rule = r->policy->rules[i];
    if (strcmp(rule->id, id) != 0) continue;
    if (rule->kind == &zh_rule_document) return "documents";
    if (rule->kind == &zh_rule_judgement || rule->kind == &zh_rule_leadership) return "decisions";
    if (rule->kind == &zh_rule_exclusion) return "exclusions";
  }
  if (zh_policy_fact(r->policy, id) != NULL) return "facts";
  if (zh_policy_base(r->policy, id) != NULL) return "costs";
  for (size_t i = 0; i < r->policy->material_count; i++) {
    if (strcmp(r->policy->materials[i].id, id) == 0) return "materials";
  }
  return NULL;
}

static bool is_among(const char *id, const char *const *ids) {
  for (size_t i = 0; ids[i] != NULL; i++) {
    if (strcmp(id, ids[i]) == 0) return true;
  }
  return false;
}

static zh_status expect_at_home(const zh_reader *r, const zh_yaml_node *map, const char *section,
                                const char *const *ids, zh_error *err) {
  for (size_t i = 0; i < zh_yaml_count(map); i++) {
    const char *id = zh_yaml_key(map, i), *home = home_of(r, id);
    if (home == NULL || is_among(id, ids)) continue;
    return zh_yaml_fail(err, zh_yaml_item(map, i), "'%s' belongs under '%s', not under '%s'", id,
                        home, section);
  }
  return ZH_OK;
}

/* Reads the map below `section`: its keys must be among `ids`. Absent sections are empty. */
static zh_status read_claims(zh_claims *out, const zh_reader *r, const zh_yaml_node *root,
                             const char *section, const char *const *ids, claim_reader read,
                             zh_error *err) {
  const zh_yaml_node *map = zh_yaml_get(root, section);
  if (map == NULL || zh_section_is_blank(map)) return ZH_OK;
  if (ids == NULL) return no_memory(err);
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "entries by name, each with its file", err));
  ZH_TRY(expect_at_home(r, map, section, ids, err));
  if (ids[0] == NULL && zh_yaml_count(map) > 0)
    return zh_yaml_fail(err, map, "policy %s asks for nothing under '%s'", r->policy->name,
                        section);
  ZH_TRY(zh_yaml_expect_keys(map, ids, err));
  size_t count = zh_yaml_count(map);
  out->items = zh_reader_take(r, count, sizeof *out->items);
  if (out->items == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const zh_yaml_node *entry = zh_yaml_item(map, i);
    zh_claim *claim = &out->items[i];
    claim->id = zh_arena_strdup(r->applicant->arena, zh_yaml_key(map, i));
    if (claim->id == NULL) return no_memory(err);
    claim->line = zh_yaml_line(entry);
    ZH_TRY(read(claim, r, entry, err));
  }
  out->count = count;
  return ZH_OK;
}

/* Ids of the policy's leaves of up to two kinds, NULL-terminated, in the arena. */
static const char *const *rule_ids(const zh_reader *r, const zh_rule_kind *a,
                                   const zh_rule_kind *b) {
  const char **ids = zh_reader_take(r, r->policy->rule_count + 1, sizeof *ids);
  size_t count = 0;
  for (size_t i = 0; ids != NULL && i < r->policy->rule_count; i++) {
    const zh_rule *rule = r->policy->rules[i];
    if (rule->kind == a || rule->kind == b) ids[count++] = rule->id;
  }
  return ids;
}

static const char *const *fact_ids(const zh_reader *r) {
  const char **ids = zh_reader_take(r, r->policy->fact_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->fact_count; i++) ids[i] = r->policy->facts[i].id;
  return ids;
}

static const char *const *base_ids(const zh_reader *r) {
  const char **ids = zh_reader_take(r, r->policy->base_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->base_count; i++) ids[i] = r->policy->bases[i].id;
  return ids;
}

static const char *const *material_ids(const zh_reader *r) {
  const char **ids = zh_reader_take(r, r->policy->material_count + 1, sizeof *ids);
  for (size_t i = 0; ids != NULL && i < r->policy->material_count; i++)
    ids[i] = r->policy->materials[i].id;
  return ids;
}

zh_status zh_read_sections(const zh_reader *r, const zh_yaml_node *root, zh_error *err) {
  zh_applicant *a = r->applicant;
  ZH_TRY(read_claims(&a->facts, r, root, "facts", fact_ids(r), read_fact, err));
  ZH_TRY(read_claims(&a->documents, r, root, "documents", rule_ids(r, &zh_rule_document, NULL),
                     read_document, err));
  ZH_TRY(read_claims(&a->decisions, r, root, "decisions",
                     rule_ids(r, &zh_rule_judgement, &zh_rule_leadership), read_decision, err));
  ZH_TRY(read_claims(&a->exclusions, r, root, "exclusions", rule_ids(r, &zh_rule_exclusion, NULL),
                     read_exclusion, err));
  ZH_TRY(read_claims(&a->costs, r, root, "costs", base_ids(r), read_cost, err));
  return read_claims(&a->materials, r, root, "materials", material_ids(r), read_material, err);
}
