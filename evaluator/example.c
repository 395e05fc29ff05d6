/* An applicant's file to be filled in: every fact, paper, decision and cost that a policy asks for,
 * as remarks (##) and as entries that are switched off (#). */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/rules/rules.h"

typedef struct page {
  zh_text text;
  const zh_policy *policy;
  const zh_words *words;
  bool zh; /* language of the remarks */
} page;

static const char *in_language(const page *p, const zh_phrase *phrase) {
  return p->zh ? phrase->zh : phrase->en;
}

/* A sentence of common/words.yaml, each of its lines a remark; an empty line before it. */
static void put_remark(page *p, zh_word word) {
  const zh_slot slots[] = {{"name", p->policy->title.zh, p->policy->title.en},
                           {"policy", p->policy->name, p->policy->name}};
  json_t *filled = zh_phrase_json(zh_word_of(p->words, word), slots, 2);
  const char *line = json_string_value(json_object_get(filled, p->zh ? "zh" : "en"));
  if (p->text.length > 0) zh_text_puts(&p->text, "\n");
  while (line != NULL && *line != '\0') {
    size_t length = strcspn(line, "\n");
    zh_text_printf(&p->text, "## %.*s\n", (int)length, line);
    line += length + (line[length] == '\n');
  }
  json_decref(filled);
}

static void put_where(page *p, const zh_clause *clause, const char *what) {
  zh_text_printf(&p->text, "  ## %s  %s", clause->number, what);
}

/* --- facts --- */

static void put_words(page *p, const zh_fact *fact) {
  zh_text_puts(&p->text, p->zh ? "；取值：" : "; words: ");
  for (size_t i = 0; i < fact->word_count; i++) {
    const zh_name *word = &fact->words[i];
    zh_text_printf(&p->text, "%s%s %s", i > 0 ? (p->zh ? "、" : ", ") : "", word->id,
                   in_language(p, &word->phrase));
  }
}

/* A value of the fact's type, where it can be one that meets the leaf. */
static void put_value(page *p, const zh_fact *fact, const zh_rule *rule) {
  bool chosen = rule->word_count > 0 && !rule->none_of;
  switch (fact->type) {
  case ZH_FACT_MONEY:
    zh_text_puts(&p->text, "1000.5 万元");
    return;
  case ZH_FACT_COUNT:
    zh_text_printf(&p->text, "100 %s", fact->unit);
    return;
  case ZH_FACT_DATE:
    zh_text_puts(&p->text, "2024-12-31");
    return;
  case ZH_FACT_FLAG:
    zh_text_puts(&p->text, rule->is ? "true" : "false");
    return;
  case ZH_FACT_WORDS:
    zh_text_puts(&p->text, "[");
    for (size_t i = 0; i < (chosen ? rule->at_least : 1); i++)
      zh_text_printf(&p->text, "%s%s", i > 0 ? ", " : "",
                     chosen ? rule->words[i] : fact->words[fact->word_count - 1].id);
    zh_text_puts(&p->text, "]");
    return;
  case ZH_FACT_TEXT:
    zh_text_puts(&p->text, chosen ? rule->words[0] : "…");
  }
}

static void put_fact(page *p, const zh_fact *fact, const zh_rule *rule) {
  put_where(p, rule->clause, in_language(p, &fact->name));
  if (fact->type == ZH_FACT_WORDS) put_words(p, fact);
  zh_text_printf(&p->text, "\n#  %s: {value: ", fact->id);
  put_value(p, fact, rule);
  zh_text_printf(&p->text, ", file: papers/%s.pdf}\n", fact->id);
}

static bool asks_for(const zh_rule *rule, const zh_fact *fact) {
  return rule->fact == fact || rule->earlier == fact;
}

/* The first leaf that asks for the fact; NULL: none does. */
static const zh_rule *first_use(const zh_policy *policy, const zh_fact *fact) {
  for (size_t i = 0; i < policy->rule_count; i++) {
    if (asks_for(policy->rules[i], fact)) return policy->rules[i];
  }
  return NULL;
}

static void put_facts(page *p) {
  const zh_policy *policy = p->policy;
  put_remark(p, ZH_WORD_example_facts);
  zh_text_puts(&p->text, "facts:\n");
  for (size_t i = 0; i < policy->rule_count; i++) {
    for (size_t k = 0; k < policy->fact_count; k++) {
      const zh_fact *fact = &policy->facts[k];
      if (first_use(policy, fact) == policy->rules[i]) put_fact(p, fact, policy->rules[i]);
    }
  }
}

/* --- papers, decisions, declarations --- */

static bool has_kind(const zh_rule *rule, const zh_rule_kind *a, const zh_rule_kind *b) {
  return rule->kind == a || (b != NULL && rule->kind == b);
}

/* One entry for each leaf of up to two kinds: `before` stands before its file. */
static void put_leaves(page *p, zh_word remark, const char *section, const char *before,
                       const zh_rule_kind *a, const zh_rule_kind *b) {
  const zh_policy *policy = p->policy;
  bool first = true;
  for (size_t i = 0; i < policy->rule_count; i++) {
    const zh_rule *rule = policy->rules[i];
    if (!has_kind(rule, a, b)) continue;
    if (first) {
      put_remark(p, remark);
      zh_text_printf(&p->text, "%s:\n", section);
      first = false;
    }
    put_where(p, rule->clause, in_language(p, &rule->criterion));
    if (rule->papers.zh != NULL)
      zh_text_printf(&p->text, "%s%s",
                     p->zh ? "；材料：" : "; paper: ", in_language(p, &rule->papers));
    zh_text_printf(&p->text, "\n#  %s: {%sfile: papers/%s.pdf}\n", rule->id, before, rule->id);
  }
}

/* --- money --- */

static void put_costs(page *p) {
  if (p->policy->base_count == 0) return;
  put_remark(p, ZH_WORD_example_costs);
  zh_text_puts(&p->text, "costs:\n");
  for (size_t i = 0; i < p->policy->base_count; i++) {
    const zh_name *base = &p->policy->bases[i];
    zh_text_printf(&p->text,
                   "  ## %s\n#  %s: {amount: 1000 万元, year: 2025, file: papers/%s.pdf}\n",
                   in_language(p, &base->phrase), base->id, base->id);
  }
}

static void put_claims(page *p) {
  put_remark(p, ZH_WORD_example_claims);
  zh_text_puts(&p->text, "claims:\n");
  for (size_t i = 0; i < p->policy->clause_count; i++) {
    const zh_clause *clause = &p->policy->clauses[i];
    if (clause->kind != ZH_CLAUSE_AMOUNT) continue;
    put_where(p, clause, in_language(p, &clause->heading));
    zh_text_printf(&p->text, "%s%s\n  - %s\n", p->zh ? "：" : ": ",
                   in_language(p, &clause->amount->criterion), clause->id);
  }
}

static void put_received(page *p) {
  put_remark(p, ZH_WORD_example_received);
  zh_text_puts(&p->text, "#received:\n#  - {policy: …, level: city, project: same, for: other, "
                         "amount: 100 万元, date: "
                         "2026-03-01, matched: false, file: papers/grant.pdf}\n");
  for (size_t i = 0; i < p->policy->clause_count; i++) {
    const zh_clause *clause = &p->policy->clauses[i];
    if (clause->kind != ZH_CLAUSE_AMOUNT) continue;
    zh_text_printf(&p->text,
                   "#  - {clause: %s, project: other, amount: 50 万元, date: 2025-03-01, file: "
                   "papers/grant.pdf}\n",
                   clause->id);
    return;
  }
}

static void put_materials(page *p) {
  if (p->policy->material_count == 0) return;
  put_remark(p, ZH_WORD_example_materials);
  zh_text_puts(&p->text, "materials:\n");
  for (size_t i = 0; i < p->policy->material_count; i++) {
    const zh_material *m = &p->policy->materials[i];
    put_where(p, m->clause, in_language(p, &m->name));
    zh_text_printf(&p->text, "\n#  %s: {file: papers/%s.pdf%s%s}\n", m->id, m->id,
                   m->within.count > 0 ? ", issued: 2026-10-01" : "",
                   m->of_year != NULL ? ", year: 2025" : "");
  }
}

/* --- the whole --- */

static void put_all(page *p) {
  put_remark(p, ZH_WORD_example_head);
  zh_text_printf(&p->text, "applicant: %s\n#registration: 91310117MA00000000\n#project: %s\n",
                 p->zh ? "某某公司" : "Example Ltd", p->zh ? "某某项目" : "example project");
  put_remark(p, ZH_WORD_example_dates);
  zh_text_printf(&p->text, "#dates: {application: 2026-11-21%s}\n",
                 p->policy->valid.from_issue ? ", policy_issued: 2026-01-01" : "");
  put_claims(p);
  put_facts(p);
  put_leaves(p, ZH_WORD_example_documents, "documents", "", &zh_rule_document, NULL);
  put_leaves(p, ZH_WORD_example_decisions, "decisions", "granted: true, ", &zh_rule_judgement,
             &zh_rule_leadership);
  put_leaves(p, ZH_WORD_example_exclusions, "exclusions", "applies: false, ", &zh_rule_exclusion,
             NULL);
  put_costs(p);
  put_received(p);
  put_materials(p);
}

zh_status zh_applicant_example(char **out, const char *policy_name, const char *language,
                               zh_error *err) {
  zh_policy *policy = NULL;
  zh_words *words = NULL;
  *out = NULL;
  ZH_TRY(zh_words_load(&words, err));
  zh_status status = zh_policy_load(&policy, policy_name, err);
  page p = {.policy = policy, .words = words, .zh = strcmp(language, "zh") == 0};
  if (status == ZH_OK) put_all(&p);
  if (status == ZH_OK && p.text.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the applicant's file");
  if (status == ZH_OK)
    *out = p.text.data;
  else
    zh_text_free(&p.text);
  zh_policy_free(policy);
  zh_words_free(words);
  return status;
}
