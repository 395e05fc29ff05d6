/* Bundles, a policy and an applicant's file become evaluation.json. Nothing here reads a clock or
 * writes a path of this machine, so the same inputs give the same bytes anywhere. */
#include <stdlib.h>
#include <string.h>

#include "evaluator/evaluation.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the evaluation");
}

static json_t *policy_json(const zh_policy *policy) {
  return json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:s, s:s}", "name", policy->name, "status",
                   policy->status, "title", zh_plain_phrase(&policy->title), "issuer",
                   zh_plain_phrase(&policy->issuer), "number", policy->number, "date",
                   policy->date[0] == '\0' ? json_null() : json_string(policy->date), "validity",
                   zh_plain_phrase(&policy->validity), "source", policy->source, "sm3",
                   policy->sm3);
}

static json_t *applicant_json(const zh_applicant *applicant) {
  return json_pack("{s:b, s:s, s:s, s:s}", "given", applicant != NULL, "name",
                   applicant ? applicant->name : "", "registration",
                   applicant ? applicant->registration : "", "file_sm3",
                   applicant ? applicant->sm3 : "");
}

static json_t *bundles_json(const zh_bundle *bundles, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) {
    const zh_bundle *b = &bundles[i];
    json_array_append_new(array, json_pack("{s:s, s:s, s:O, s:O}", "path", b->name, "manifest_sm3",
                                           b->manifest_sm3, "run", b->run, "machine", b->machine));
  }
  return array;
}

static json_t *models_json(const zh_audited *const *models, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_array_append(array, models[i]->json);
  return array;
}

static json_t *measurements_json(const zh_bundle *bundles, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_array_extend(array, bundles[i].measurements);
  return array;
}

static json_t *subject_json(const zh_case *c) {
  json_t *names = json_array();
  for (size_t i = 0; i < c->subject_count; i++)
    json_array_append_new(names, json_string(c->subjects[i]->name));
  const char *first = c->subject_count > 0 ? c->subjects[0]->name : NULL;
  return json_pack("{s:s?, s:o}", "model", first, "models", names);
}

/* --- which amounts are looked at, and the leaves that they need --- */

static bool is_claimed(const zh_case *c, const zh_clause *clause) {
  const zh_applicant *a = c->applicant;
  const zh_clause **list = c->policy->default_claims;
  size_t count = c->policy->default_claim_count;
  if (clause->kind != ZH_CLAUSE_AMOUNT) return false;
  if (a != NULL && a->claims_all) return true;
  if (a != NULL && a->claimed_count > 0) {
    list = a->claimed;
    count = a->claimed_count;
  }
  for (size_t i = 0; i < count; i++) {
    if (list[i] == clause) return true;
  }
  return count == 0;
}

static bool needs(const zh_node *node, const zh_rule *rule) {
  if (node->kind == ZH_NODE_LEAF) return node->leaf == rule;
  if (node->kind == ZH_NODE_CLAUSE) return needs(node->clause->test, rule);
  for (size_t i = 0; i < node->count; i++) {
    if (needs(node->children[i], rule)) return true;
  }
  return false;
}

static bool amount_needs(const zh_case *c, const zh_clause *clause, const zh_rule *rule) {
  const zh_amount *amount = clause->amount;
  for (size_t i = 0; i < c->policy->always_count; i++) {
    if (needs(c->policy->always[i]->test, rule)) return true;
  }
  for (size_t i = 0; i < amount->require_count; i++) {
    if (needs(amount->requires[i] -> test, rule)) return true;
  }
  return clause->test != NULL && needs(clause->test, rule);
}

static zh_status add_finding(zh_case *c, const zh_rule *rule, zh_error *err) {
  zh_judgement j = {0};
  if (rule->kind->findings != NULL && c->subject_count > 0)
    return rule->kind->findings(c, rule, err);
  zh_rule_explain(&j, c, rule);
  zh_finding finding = {.verdict = j.verdict,
                        .value = j.value,
                        .value_text = j.value_text,
                        .reason = j.reason,
                        .evidence = j.evidence,
                        .would = j.would};
  return zh_finding_add(c, rule, &finding, err);
}

static zh_status add_findings(zh_case *c, const zh_outcome *outcomes, size_t count, zh_error *err) {
  for (size_t i = 0; i < c->policy->rule_count; i++) {
    const zh_rule *rule = c->policy->rules[i];
    bool needed = false;
    for (size_t k = 0; !needed && k < count; k++)
      needed = amount_needs(c, outcomes[k].clause, rule);
    if (needed) ZH_TRY(add_finding(c, rule, err));
  }
  return zh_validity_finding(c, err);
}

/* --- the other parts of the document --- */

/* Technical figures that are no condition on an applicant. */
static json_t *figures_json(const zh_clause *clause) {
  json_t *list = json_array();
  for (size_t i = 0; i < clause->figure_count; i++) {
    const zh_technical *figure = &clause->figures[i];
    json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s?, s:I, s:s}", "id", figure->id,
                                          "name", zh_plain_phrase(&figure->name), "boundary",
                                          figure->boundary.word, "op", figure->boundary.op, "value",
                                          (json_int_t)figure->number, "unit", figure->unit));
  }
  return list;
}

/* Every clause of the policy, with what is known of it. */
static json_t *clauses_json(const zh_case *c) {
  json_t *list = json_array();
  for (size_t i = 0; i < c->policy->clause_count; i++) {
    const zh_clause *clause = &c->policy->clauses[i];
    zh_verdict verdict = ZH_NOT_APPLICABLE;
    if (clause->kind == ZH_CLAUSE_CONDITION) verdict = zh_node_verdict(c, clause->test);
    if (clause->kind == ZH_CLAUSE_AMOUNT) verdict = zh_outcome_of(c, clause).verdict;
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:b, s:o}", "id", clause->id, "clause",
                        clause->number, "kind", zh_clause_kind_words[clause->kind], "quote",
                        clause->quote, "heading", zh_plain_phrase(&clause->heading), "verdict",
                        zh_verdict_names[verdict], "pool_yuan", zh_yuan_json(clause->pool_fen),
                        "looked_at", (int)is_claimed(c, clause), "figures", figures_json(clause)));
  }
  return list;
}

/* The rule outside the text that the choice's last day rests on; NULL: none. */
static const zh_phrase *outside_of(const zh_policy *policy, const zh_reading *reading, size_t i) {
  const zh_valid *v = &policy->valid;
  bool found = v->given && v->until_reading == reading && v->outside[i].zh != NULL;
  return found ? &v->outside[i] : NULL;
}

static json_t *choices_json(const zh_policy *policy, const zh_reading *reading) {
  json_t *list = json_array();
  for (size_t i = 0; i < reading->choice_count; i++) {
    const zh_choice *choice = &reading->choices[i];
    const zh_phrase *outside = outside_of(policy, reading, i);
    json_t *entry =
        json_pack("{s:s, s:o, s:o}", "choice", choice->id, "name", zh_plain_phrase(&choice->name),
                  "ground", zh_plain_phrase(&choice->ground));
    if (outside != NULL) json_object_set_new(entry, "outside", zh_plain_phrase(outside));
    json_array_append_new(list, entry);
  }
  return list;
}

/* What is composed: the case and its amounts. */
typedef struct results {
  const zh_audited *const *models;
  size_t model_count;
  zh_outcome *outcomes;
  size_t count;
  json_t *marks, *not_tested, *combination;
  zh_sums sums;
} results;

static json_t *readings_json(const zh_case *c, const results *r) {
  json_t *list = json_array();
  for (size_t i = 0; i < c->policy->reading_count; i++) {
    const zh_reading *reading = &c->policy->readings[i];
    json_array_append_new(
        list,
        json_pack("{s:s, s:o, s:o, s:o}", "reading", reading->id, "question",
                  zh_plain_phrase(&reading->question), "choices", choices_json(c->policy, reading),
                  "decides", zh_decided_by(c, reading, r->outcomes, r->count, r->combination)));
  }
  return list;
}

static json_t *grants_json(const zh_case *c, const zh_outcome *outcomes, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_outcome_json(c, &outcomes[i]));
  return list;
}

static zh_status compose(json_t **out, const zh_case *c, const results *r, zh_error *err) {
  size_t counts[ZH_VERDICTS] = {0};
  zh_count_verdicts(counts, c->findings);
  json_t *grants = grants_json(c, r->outcomes, r->count);
  *out = json_pack(
      "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:o, s:O, s:{s:i, s:i, s:i, s:i}}",
      "schema", "zhiheng.evaluation/1", "policy", policy_json(c->policy), "bundle",
      bundles_json(c->bundles, c->bundle_count), "models", models_json(r->models, r->model_count),
      "measurements", measurements_json(c->bundles, c->bundle_count), "applicant",
      applicant_json(c->applicant), "subject", subject_json(c), "marks", r->marks, "findings",
      c->findings, "grant", json_array_get(grants, zh_principal_grant(r->outcomes, r->count)),
      "summary", zh_summary_json(c, r->outcomes, r->count, &r->sums, counts), "not_tested",
      r->not_tested, "counts", "pass", (int)counts[ZH_PASS], "fail", (int)counts[ZH_FAIL],
      "undetermined", (int)counts[ZH_UNDETERMINED], "not_applicable",
      (int)counts[ZH_NOT_APPLICABLE]);
  if (*out == NULL) {
    json_decref(grants);
    return no_memory(err);
  }
  json_object_set_new(*out, "grants", grants);
  json_object_set(*out, "combination", r->combination);
  json_object_set_new(*out, "readings", readings_json(c, r));
  json_object_set_new(*out, "clauses", clauses_json(c));
  if (c->applicant != NULL && c->policy->material_count > 0)
    json_object_set_new(*out, "papers", zh_papers_json(c->policy, c->applicant, c->words));
  return ZH_OK;
}

static zh_status judge_amounts(results *r, const zh_case *c, zh_error *err) {
  r->outcomes = calloc(c->policy->clause_count + 1, sizeof *r->outcomes);
  if (r->outcomes == NULL) return no_memory(err);
  for (size_t i = 0; i < c->policy->clause_count; i++) {
    const zh_clause *clause = &c->policy->clauses[i];
    if (is_claimed(c, clause)) r->outcomes[r->count++] = zh_outcome_of(c, clause);
  }
  return zh_combine(&r->combination, &r->sums, c, r->outcomes, r->count, err);
}

zh_status zh_evaluate_read(json_t **out, const zh_bundle *bundles, size_t bundle_count,
                           const zh_policy *policy, const zh_applicant *applicant,
                           const zh_words *words, zh_error *err) {
  const zh_audited **models = NULL, **subjects = NULL;
  size_t subject_count = 0;
  results r = {.marks = json_array(), .not_tested = json_array()};
  zh_case c = {.policy = policy,
               .words = words,
               .bundles = bundles,
               .bundle_count = bundle_count,
               .applicant = applicant,
               .findings = json_array()};
  *out = NULL;
  zh_status status = zh_models_collect(&models, &r.model_count, bundles, bundle_count, err);
  if (status == ZH_OK)
    status = zh_models_collect(&subjects, &subject_count, bundles, bundle_count, err);
  if (status == ZH_OK) status = zh_subjects_choose(subjects, &subject_count, bundle_count, err);
  c.subjects = subjects;
  c.subject_count = subject_count;
  r.models = models;
  if (status == ZH_OK) status = judge_amounts(&r, &c, err);
  if (status == ZH_OK) status = add_findings(&c, r.outcomes, r.count, err);
  if (status == ZH_OK) status = zh_marks_add(r.marks, &c, err);
  if (status == ZH_OK) status = zh_not_tested_add(r.not_tested, &c, err);
  if (status == ZH_OK) status = compose(out, &c, &r, err);
  free(models);
  free(subjects);
  free(r.outcomes);
  json_decref(r.marks);
  json_decref(r.not_tested);
  json_decref(r.combination);
  json_decref(c.findings);
  return status;
}

zh_status zh_evaluate(json_t **out, const char *const *bundles, size_t bundle_count,
                      const char *policy_name, const char *applicant_path, zh_error *err) {
  zh_policy *policy = NULL;
  zh_applicant *applicant = NULL;
  zh_words *words = NULL;
  zh_bundle *read = calloc(bundle_count + 1, sizeof *read);
  *out = NULL;
  zh_status status = read != NULL ? zh_words_load(&words, err) : no_memory(err);
  if (status == ZH_OK && bundle_count == 0 && applicant_path == NULL)
    status = zh_fail(err, ZH_ERR_USAGE, "name at least one bundle, or an applicant's file");
  if (status == ZH_OK) status = zh_policy_load(&policy, policy_name, err);
  if (status == ZH_OK && applicant_path != NULL)
    status = zh_applicant_load(&applicant, applicant_path, policy, err);
  for (size_t i = 0; status == ZH_OK && i < bundle_count; i++) {
    status = zh_bundle_read(&read[i], bundles[i], (int)i, err);
  }
  if (status == ZH_OK)
    status = zh_evaluate_read(out, read, bundle_count, policy, applicant, words, err);
  for (size_t i = 0; read != NULL && i < bundle_count; i++) zh_bundle_clear(&read[i]);
  free(read);
  zh_applicant_free(applicant);
  zh_policy_free(policy);
  zh_words_free(words);
  return status;
}
