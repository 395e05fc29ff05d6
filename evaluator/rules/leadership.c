/* "Leading in China": the authority's decision among the papers, or a comparison with declared
 * peers (docs/leading.md) whose verdict is made anew from its scores. 领先 passes, 不领先 fails.
 * Whether one of several that are tied is leading, the texts do not say; that, too little evidence,
 * or a comparison of another model than the one that was evaluated, leave it undetermined. */
#include <string.h>
#include <strings.h>

#include "evaluator/leading/comparison.h"
#include "evaluator/rules/decision.h"

static const char *const keys[] = {"undetermined", NULL};

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  return zh_phrase_require(&rule->undetermined, map, "undetermined", policy->arena, err);
}

static const zh_comparison *comparison_of(const zh_case *c, const zh_rule *rule) {
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->decisions, rule->id);
  return claim == NULL ? NULL : claim->comparison;
}

/* Whether the model that was compared, by what its table of scores says, is each of those that are
 * evaluated. Digests may be written in capitals. */
static bool is_bound(const zh_case *c, const zh_comparison *comparison) {
  for (size_t i = 0; i < c->subject_count; i++) {
    const char *sm3 = c->subjects[i]->sm3;
    if (comparison->model_sm3 == NULL || sm3 == NULL || strcasecmp(sm3, comparison->model_sm3) != 0)
      return false;
  }
  return c->subject_count > 0;
}

static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  const zh_comparison *comparison = comparison_of(c, rule);
  if (comparison == NULL) return zh_decision_verdict(c, rule, readings);
  if (!is_bound(c, comparison)) return ZH_UNDETERMINED;
  if (strcmp(comparison->verdict, "leading") == 0) return ZH_PASS;
  return strcmp(comparison->verdict, "not_leading") == 0 ? ZH_FAIL : ZH_UNDETERMINED;
}

static void explain_comparison(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                               const zh_comparison *comparison) {
  const zh_claim *claim = zh_claim_find(&c->applicant->decisions, rule->id);
  const zh_slot slots[] = {{"model", comparison->claimant, comparison->claimant},
                           {"value", comparison->name.zh, comparison->name.en},
                           {"words", comparison->decided_by.zh, comparison->decided_by.en}};
  bool bound = is_bound(c, comparison), tied = strcmp(comparison->verdict, "tied") == 0;
  zh_word reason = !bound ? ZH_WORD_leading_unbound
                   : tied ? ZH_WORD_leading_tied_open
                          : ZH_WORD_leading_compared;
  out->verdict = decide(c, rule, NULL);
  out->value = json_string(comparison->verdict);
  out->value_text = zh_phrase_json(&comparison->name, NULL, 0);
  out->reason = zh_phrase_json(zh_word_of(c->words, reason), slots, 3);
  out->evidence = zh_claim_evidence(c, claim, zh_word_of(c->words, ZH_WORD_leading_evidence));
  if (out->verdict != ZH_PASS)
    out->would = zh_phrase_json(
        zh_word_of(c->words, bound ? ZH_WORD_leading_would : ZH_WORD_leading_would_bind), slots, 3);
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  const zh_comparison *comparison = comparison_of(c, rule);
  if (comparison != NULL) {
    explain_comparison(out, c, rule, comparison);
    return;
  }
  zh_decision_explain(out, c, rule, readings);
  if (out->verdict != ZH_UNDETERMINED) return;
  json_decref(out->reason);
  out->reason = zh_plain_phrase(&rule->undetermined);
}

const zh_rule_kind zh_rule_leadership = {
    .name = "leadership", .keys = keys, .read = read, .decide = decide, .explain = explain};
