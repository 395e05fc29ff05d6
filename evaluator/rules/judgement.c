/* What only people decide (经认定, 经综合评价): the authority's decision on paper, or undetermined.
 */
#include "evaluator/rules/decision.h"

static const char *const keys[] = {"papers", NULL};

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  return zh_phrase_require(&rule->papers, map, "papers", policy->arena, err);
}

zh_verdict zh_decision_verdict(const zh_case *c, const zh_rule *rule,
                               const zh_assignment *readings) {
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->decisions, rule->id);
  (void)readings;
  if (claim == NULL) return ZH_UNDETERMINED;
  return claim->yes ? ZH_PASS : ZH_FAIL;
}

void zh_decision_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                         const zh_assignment *readings) {
  static const zh_word words[] = {ZH_WORD_judgement_pass, ZH_WORD_judgement_fail,
                                  ZH_WORD_judgement_undetermined};
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->decisions, rule->id);
  const char *file = claim == NULL ? "" : claim->papers[0].file;
  bool named = rule->papers.zh != NULL;
  const zh_slot slots[] = {{"file", file, file},
                           {"papers", named ? rule->papers.zh : rule->statement.zh,
                            named ? rule->papers.en : rule->statement.en}};
  out->verdict = zh_decision_verdict(c, rule, readings);
  out->value = claim == NULL ? NULL : json_string(file);
  out->reason = zh_phrase_json(zh_word_of(c->words, words[out->verdict]), slots, 2);
  out->evidence = zh_claim_evidence(c, claim, zh_word_of(c->words, ZH_WORD_judgement_evidence));
  if (out->verdict != ZH_PASS)
    out->would = zh_phrase_json(zh_word_of(c->words, ZH_WORD_would_decision), slots, 2);
}

const zh_rule_kind zh_rule_judgement = {.name = "judgement",
                                        .keys = keys,
                                        .read = read,
                                        .decide = zh_decision_verdict,
                                        .explain = zh_decision_explain};
