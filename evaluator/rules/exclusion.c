/* A circumstance that rules support out. "It does not apply" needs a declaration on paper; silence
 * is undetermined; a grant received that fits the clause speaks for itself. */
#include <string.h>

#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"papers", "received", NULL};

static zh_status read_received(zh_received_match *match, const zh_yaml_node *map, zh_error *err) {
  static const char *const received_keys[] = {"levels", "project", "matched", "policies", NULL},
                           *const projects[] = {"same", NULL}, *const policies[] = {"other", NULL};
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "which grants received count", err));
  ZH_TRY(zh_yaml_expect_keys(map, received_keys, err));
  match->given = true;
  ZH_TRY(zh_read_levels(&match->levels, map, "levels", err));
  ZH_TRY(zh_read_flag(&match->matched, map, "matched", err));
  node = zh_yaml_get(map, "project");
  if (node != NULL) ZH_TRY(zh_yaml_word(&which, node, projects, err));
  match->same_project = node != NULL;
  node = zh_yaml_get(map, "policies");
  if (node != NULL) ZH_TRY(zh_yaml_word(&which, node, policies, err));
  match->other_policies = node != NULL;
  return ZH_OK;
}

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  const zh_yaml_node *received = zh_yaml_get(map, "received");
  if (received != NULL) ZH_TRY(read_received(&rule->received, received, err));
  return zh_phrase_require(&rule->papers, map, "papers", policy->arena, err);
}

static bool lacks_matching(const zh_received_match *wanted, const zh_grant_received *grant) {
  return wanted->matched && !grant->matched_said;
}

/* ZH_FAIL: this grant makes it apply; ZH_UNDETERMINED: it does if it was for the same project, or
 * if the district matched it, where that is not said. */
static zh_verdict match(const zh_received_match *wanted, const zh_grant_received *grant) {
  if ((grant->level & wanted->levels) == 0) return ZH_PASS;
  if (wanted->other_policies && grant->clause != NULL) return ZH_PASS;
  if (wanted->matched && grant->matched_said && !grant->matched) return ZH_PASS;
  if (wanted->same_project && grant->project == ZH_OTHER_PROJECT) return ZH_PASS;
  bool open = wanted->same_project && grant->project == ZH_SAME_UNKNOWN;
  return open || lacks_matching(wanted, grant) ? ZH_UNDETERMINED : ZH_FAIL;
}

static zh_verdict match_any(const zh_grant_received **which, const zh_case *c,
                            const zh_rule *rule) {
  zh_verdict worst = ZH_PASS;
  *which = NULL;
  for (size_t i = 0; rule->received.given && i < c->applicant->received_count; i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    zh_verdict verdict = match(&rule->received, grant);
    if (verdict == ZH_PASS || worst == ZH_FAIL || (worst == verdict)) continue;
    worst = verdict;
    *which = grant;
  }
  return worst;
}

static zh_word judge(zh_verdict *verdict, const zh_grant_received **grant, const zh_case *c,
                     const zh_rule *rule) {
  *grant = NULL;
  *verdict = ZH_UNDETERMINED;
  if (c->applicant == NULL) return ZH_WORD_exclusion_undetermined;
  const zh_claim *claim = zh_claim_find(&c->applicant->exclusions, rule->id);
  zh_verdict received = match_any(grant, c, rule);
  if (received == ZH_FAIL || (claim != NULL && claim->yes)) {
    *verdict = ZH_FAIL;
    return received == ZH_FAIL ? ZH_WORD_exclusion_received : ZH_WORD_exclusion_fail;
  }
  if (received == ZH_UNDETERMINED)
    return lacks_matching(&rule->received, *grant) ? ZH_WORD_exclusion_matching_unknown
                                                   : ZH_WORD_exclusion_received_unknown;
  if (claim == NULL) return ZH_WORD_exclusion_undetermined;
  if (!zh_claim_has_paper(claim)) return ZH_WORD_exclusion_unproven;
  *verdict = ZH_PASS;
  return ZH_WORD_exclusion_pass;
}

static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  const zh_grant_received *grant;
  zh_verdict verdict;
  (void)readings;
  judge(&verdict, &grant, c, rule);
  return verdict;
}

static json_t *would(const zh_case *c, zh_word word, const zh_slot *slots, size_t count) {
  if (word == ZH_WORD_exclusion_pass) return NULL;
  zh_word wanted = word == ZH_WORD_exclusion_received_unknown   ? ZH_WORD_would_same_project
                   : word == ZH_WORD_exclusion_matching_unknown ? ZH_WORD_would_matching
                   : word == ZH_WORD_exclusion_fail || word == ZH_WORD_exclusion_received
                       ? ZH_WORD_would_not_apply
                       : ZH_WORD_would_paper;
  return zh_phrase_json(zh_word_of(c->words, wanted), slots, count);
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  const zh_grant_received *grant;
  (void)readings;
  zh_word word = judge(&out->verdict, &grant, c, rule);
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->exclusions, rule->id);
  const char *file = zh_claim_has_paper(claim) ? claim->papers[0].file : "";
  const char *policy = grant == NULL           ? ""
                       : grant->clause != NULL ? grant->clause->number
                                               : grant->policy;
  const zh_slot slots[] = {{"file", file, file},
                           {"papers", rule->papers.zh, rule->papers.en},
                           {"policy", policy, policy}};
  out->value = file[0] == '\0' ? NULL : json_string(file);
  out->reason = zh_phrase_json(zh_word_of(c->words, word), slots, 3);
  out->evidence = zh_claim_evidence(c, claim, zh_word_of(c->words, ZH_WORD_exclusion_evidence));
  out->would = would(c, word, slots, 3);
}

const zh_rule_kind zh_rule_exclusion = {
    .name = "exclusion", .keys = keys, .read = read, .decide = decide, .explain = explain};
