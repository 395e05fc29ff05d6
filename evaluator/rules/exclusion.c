/* A circumstance that rules support out. "It does not apply" needs a declaration on paper; silence
 * is undetermined. */
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"papers", NULL};

static zh_status read(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  return zh_phrase_require(&rule->papers, map, "papers", arena, err);
}

static zh_word judge(zh_verdict *verdict, const zh_claim *claim) {
  *verdict = ZH_UNDETERMINED;
  if (claim == NULL) return ZH_WORD_exclusion_undetermined;
  if (claim->applies) {
    *verdict = ZH_FAIL;
    return ZH_WORD_exclusion_fail;
  }
  if (claim->paper.file == NULL) return ZH_WORD_exclusion_unproven;
  *verdict = ZH_PASS;
  return ZH_WORD_exclusion_pass;
}

/* The paper, or the line of the applicant's file where nothing else was handed in. */
static json_t *evidence(const zh_case *c, const zh_claim *claim) {
  json_t *what = zh_plain_phrase(zh_word_of(c->words, ZH_WORD_exclusion_evidence));
  bool paper = claim->paper.file != NULL;
  return json_pack("[o]", zh_evidence(-1, paper ? claim->paper.file : c->applicant->file,
                                      paper ? 0 : claim->line,
                                      paper ? claim->paper.sm3 : c->applicant->sm3, what));
}

static zh_status apply(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err) {
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->exclusions, rule->id);
  const char *file = claim == NULL || claim->paper.file == NULL ? "" : claim->paper.file;
  const zh_slot slots[] = {{"file", file, file}, {"papers", rule->papers.zh, rule->papers.en}};
  zh_word word = judge(out, claim);
  zh_finding finding = {
      .verdict = *out,
      .value = file[0] == '\0' ? NULL : json_string(file),
      .reason = zh_phrase_json(zh_word_of(c->words, word), slots, 2),
      .evidence = claim == NULL ? NULL : evidence(c, claim),
  };
  return zh_finding_add(c, rule, &finding, err);
}

const zh_rule_kind zh_rule_exclusion = {"exclusion", keys, read, apply};
