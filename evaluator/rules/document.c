/* A condition that only papers can show: met by a paper with its digest, else undetermined. What
 * the paper says is for people to read, and the finding says so. */
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"papers", NULL};

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  return zh_phrase_require(&rule->papers, map, "papers", policy->arena, err);
}

static const zh_claim *find(const zh_case *c, const zh_rule *rule) {
  return c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->documents, rule->id);
}

static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  (void)readings;
  return find(c, rule) == NULL ? ZH_UNDETERMINED : ZH_PASS;
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  const zh_claim *claim = find(c, rule);
  const char *file = claim == NULL ? "" : claim->papers[0].file;
  const zh_slot slots[] = {{"file", file, file}, {"papers", rule->papers.zh, rule->papers.en}};
  zh_word word = claim == NULL ? ZH_WORD_document_undetermined : ZH_WORD_document_pass;
  out->verdict = decide(c, rule, readings);
  out->value = claim == NULL ? NULL : json_string(file);
  out->reason = zh_phrase_json(zh_word_of(c->words, word), slots, 2);
  out->evidence = zh_claim_evidence(c, claim, zh_word_of(c->words, ZH_WORD_document_evidence));
  if (claim == NULL)
    out->would = zh_phrase_json(zh_word_of(c->words, ZH_WORD_would_paper), slots, 2);
}

const zh_rule_kind zh_rule_document = {
    .name = "document", .keys = keys, .read = read, .decide = decide, .explain = explain};
