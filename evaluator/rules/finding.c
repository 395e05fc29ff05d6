/* The shape of a finding in evaluation.json (docs/schemas/evaluation.schema.json). */
#include "evaluator/rules/rules.h"

const char *const zh_verdict_names[ZH_VERDICTS] = {"pass", "fail", "undetermined",
                                                   "not_applicable"};

json_t *zh_plain_phrase(const zh_phrase *phrase) {
  return json_pack("{s:s, s:s}", "zh", phrase->zh, "en", phrase->en);
}

json_t *zh_clause_json(const zh_clause *clause, const char *quote) {
  return json_pack("{s:s, s:s, s:o}", "id", clause->number, "quote", quote, "heading",
                   zh_plain_phrase(&clause->heading));
}

json_t *zh_evidence(int bundle, const char *file, int line, const char *sm3, json_t *what) {
  return json_pack("{s:o, s:s, s:o, s:s, s:o}", "bundle",
                   bundle < 0 ? json_null() : json_integer(bundle), "file", file, "line",
                   line < 1 ? json_null() : json_integer(line), "sm3", sm3, "what", what);
}

json_t *zh_claim_evidence(const zh_case *c, const zh_claim *claim, const zh_phrase *what) {
  json_t *list = json_array();
  if (claim == NULL) return list;
  for (size_t i = 0; i < claim->paper_count; i++) {
    json_array_append_new(list, zh_evidence(-1, claim->papers[i].file, 0, claim->papers[i].sm3,
                                            zh_plain_phrase(what)));
  }
  if (claim->paper_count == 0)
    json_array_append_new(list, zh_evidence(-1, c->applicant->file, claim->line, c->applicant->sm3,
                                            zh_plain_phrase(what)));
  return list;
}

void zh_judgement_clear(zh_judgement *judgement) {
  json_decref(judgement->value);
  json_decref(judgement->value_text);
  json_decref(judgement->reason);
  json_decref(judgement->would);
  json_decref(judgement->evidence);
  *judgement = (zh_judgement){0};
}

zh_verdict zh_not(zh_verdict verdict) {
  return verdict == ZH_PASS ? ZH_FAIL : verdict == ZH_FAIL ? ZH_PASS : verdict;
}

static json_t *words_only_criterion(const zh_rule *rule) {
  return json_pack("{s:n, s:n, s:n, s:n, s:s, s:s}", "op", "threshold", "unit", "boundary_word",
                   "zh", rule->criterion.zh, "en", rule->criterion.en);
}

zh_status zh_finding_add(zh_case *c, const zh_rule *rule, zh_finding *f, zh_error *err) {
  json_t *object = json_pack(
      "{s:s, s:s?, s:o, s:o, s:o, s:s?, s:n, s:o, s:s, s:o, s:o, s:o, s:o}", "id",
      f->id != NULL ? f->id : rule->id, "model", f->model, "clause",
      zh_clause_json(rule->clause, rule->quote), "statement",
      f->statement != NULL ? f->statement : zh_plain_phrase(&rule->statement), "value",
      f->value != NULL ? f->value : json_null(), "unit", f->unit, "uncertainty", "criterion",
      f->criterion != NULL ? f->criterion : words_only_criterion(rule), "verdict",
      zh_verdict_names[f->verdict], "reading", f->reading != NULL ? f->reading : json_null(),
      "reason", f->reason, "evidence", f->evidence != NULL ? f->evidence : json_array(),
      "would_take", f->would != NULL ? f->would : json_null());
  if (object != NULL && f->value_text != NULL)
    json_object_set_new(object, "value_text", f->value_text);
  if (object == NULL || json_array_append_new(c->findings, object) != 0) {
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the findings");
  }
  return ZH_OK;
}
