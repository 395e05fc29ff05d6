#include "evaluator/rules/stated.h"

const zh_claim *zh_stated(const zh_case *c, const zh_fact *fact) {
  return c->applicant == NULL || fact == NULL ? NULL
                                              : zh_claim_find(&c->applicant->facts, fact->id);
}

zh_verdict zh_stated_verdict(const zh_claim *claim, bool holds) {
  if (claim == NULL) return ZH_UNDETERMINED;
  if (!holds) return ZH_FAIL;
  return zh_claim_has_paper(claim) ? ZH_PASS : ZH_UNDETERMINED;
}

static zh_word reason_word(zh_verdict verdict, const zh_claim *claim) {
  if (verdict == ZH_PASS) return ZH_WORD_fact_pass;
  if (verdict == ZH_FAIL) return ZH_WORD_fact_fail;
  return claim == NULL ? ZH_WORD_fact_undetermined : ZH_WORD_fact_unproven;
}

void zh_stated_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                       const zh_phrase *value, const zh_phrase *needed) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  const zh_phrase *name = &rule->fact->name;
  const zh_slot slots[] = {{"name", name->zh, name->en},
                           {"value", value->zh, value->en},
                           {"needed", needed->zh, needed->en},
                           {"criterion", rule->criterion.zh, rule->criterion.en}};
  zh_word would = out->verdict == ZH_FAIL ? ZH_WORD_would_change
                  : claim == NULL         ? ZH_WORD_would_state
                                          : ZH_WORD_would_prove;
  out->value = claim == NULL ? NULL : json_string(value->zh);
  out->value_text = claim == NULL ? NULL : zh_plain_phrase(value);
  out->reason = zh_phrase_json(zh_word_of(c->words, reason_word(out->verdict, claim)), slots, 4);
  out->evidence = zh_claim_evidence(c, claim, zh_word_of(c->words, ZH_WORD_fact_evidence));
  if (out->verdict != ZH_PASS) out->would = zh_phrase_json(zh_word_of(c->words, would), slots, 4);
}
