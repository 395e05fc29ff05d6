/* A condition that only papers can show: met by a paper with its digest, else undetermined. What
 * the paper says is for people to read, and the finding says so. */
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"papers", NULL};

static zh_status read(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  return zh_phrase_require(&rule->papers, map, "papers", arena, err);
}

static zh_status apply(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err) {
  const zh_claim *claim =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->documents, rule->id);
  const char *file = claim == NULL ? "" : claim->paper.file;
  const zh_slot slots[] = {{"file", file, file}, {"papers", rule->papers.zh, rule->papers.en}};
  zh_word word = claim == NULL ? ZH_WORD_document_undetermined : ZH_WORD_document_pass;
  zh_finding finding = {
      .verdict = claim == NULL ? ZH_UNDETERMINED : ZH_PASS,
      .value = claim == NULL ? NULL : json_string(file),
      .reason = zh_phrase_json(zh_word_of(c->words, word), slots, 2),
  };
  if (claim != NULL) {
    json_t *what = zh_plain_phrase(zh_word_of(c->words, ZH_WORD_document_evidence));
    finding.evidence = json_pack("[o]", zh_evidence(-1, file, 0, claim->paper.sm3, what));
  }
  *out = finding.verdict;
  return zh_finding_add(c, rule, &finding, err);
}

const zh_rule_kind zh_rule_document = {"document", keys, read, apply};
