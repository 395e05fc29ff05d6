/* Bundles, a policy and an applicant's file become evaluation.json. Nothing here reads a clock or
 * writes a path of this machine, so the same inputs give the same bytes anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/engine/engine.h"
#include "evaluator/evaluation.h"
#include "evaluator/exact.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the evaluation");
}

/* Adds a sentence to an array. */
static zh_status add_sentence(json_t *array, const zh_phrase *phrase, const zh_slot *slots,
                              size_t count, zh_error *err) {
  return json_array_append_new(array, zh_phrase_json(phrase, slots, count)) == 0 ? ZH_OK
                                                                                 : no_memory(err);
}

static bool is_standard(const zh_audited *model) {
  return strcmp(model->format, "standard") == 0;
}

/* The same model measured in two bundles is one; two files under one name cannot both be meant. */
static zh_status add_model(const zh_audited **models, size_t *count, const zh_audited *model,
                           zh_error *err) {
  for (size_t i = 0; i < *count; i++) {
    if (strcmp(models[i]->name, model->name) != 0) continue;
    if (strcmp(models[i]->sm3, model->sm3) == 0) return ZH_OK;
    return zh_fail(err, ZH_ERR_CHECK,
                   "the bundles hold two different models under the name '%s' (SM3 %s and %s)",
                   model->name, models[i]->sm3, model->sm3);
  }
  models[(*count)++] = model;
  return ZH_OK;
}

/* Every distinct model, in the order of bundles. The caller frees. */
static zh_status collect_models(const zh_audited ***out, size_t *count, const zh_bundle *bundles,
                                size_t bundle_count, zh_error *err) {
  size_t total = 0;
  for (size_t b = 0; b < bundle_count; b++) total += bundles[b].model_count;
  const zh_audited **models = calloc(total + 1, sizeof *models);
  *out = NULL;
  *count = 0;
  if (models == NULL) return no_memory(err);
  for (size_t b = 0; b < bundle_count; b++) {
    for (size_t m = 0; m < bundles[b].model_count; m++) {
      zh_status status = add_model(models, count, &bundles[b].models[m], err);
      if (status == ZH_OK) continue;
      free(models);
      return status;
    }
  }
  *out = models;
  return ZH_OK;
}

/* Keeps the submitted models; where there are only standard ones, the first of them. */
static zh_status choose_subjects(const zh_audited **models, size_t *count, size_t bundle_count,
                                 zh_error *err) {
  size_t kept = 0;
  if (bundle_count == 0) return ZH_OK; /* the applicant's papers alone */
  if (*count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "no bundle audits a model, so there is nothing to evaluate");
  for (size_t i = 0; i < *count; i++) {
    if (!is_standard(models[i])) models[kept++] = models[i];
  }
  *count = kept > 0 ? kept : 1;
  return ZH_OK;
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

/* What the reader must know before any verdict. */
static zh_status add_marks(json_t *marks, const zh_case *c, zh_error *err) {
  if (strcmp(c->policy->status, "draft") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_draft), NULL, 0, err));
  }
  if (strcmp(c->policy->status, "expired") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_expired), NULL, 0, err));
  }
  if (c->bundle_count == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_no_bundle), NULL, 0, err));
  }
  if (c->subject_count > 0 && is_standard(c->subjects[0])) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_standard_model), NULL, 0, err));
  }
  for (size_t i = 0; i < c->bundle_count; i++) {
    const zh_bundle *b = &c->bundles[i];
    const zh_slot slot = {"bundle", b->name, b->name};
    if (!b->valid)
      ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_invalid_run), &slot, 1, err));
    if (!b->stable)
      ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_unstable_run), &slot, 1, err));
  }
  return ZH_OK;
}

/* "a, b": names of the steps that have no result. */
static void unfinished_steps(zh_text *out, const zh_bundle *bundle) {
  json_t *step;
  size_t i;
  json_array_foreach(json_object_get(bundle->run, "steps"), i, step) {
    if (strcmp(json_string_value(json_object_get(step, "status")), "done") == 0) continue;
    zh_text_printf(out, "%s%s", out->length > 0 ? ", " : "",
                   json_string_value(json_object_get(step, "step")));
  }
}

static zh_status add_not_tested(json_t *list, const zh_case *c, zh_error *err) {
  for (size_t i = 0; i < c->policy->not_tested_count; i++) {
    ZH_TRY(add_sentence(list, &c->policy->not_tested[i], NULL, 0, err));
  }
  ZH_TRY(add_sentence(list, zh_word_of(c->words, ZH_WORD_not_tested_quality), NULL, 0, err));
  for (size_t i = 0; i < c->bundle_count; i++) {
    zh_text steps = {0};
    unfinished_steps(&steps, &c->bundles[i]);
    const zh_slot slots[] = {{"bundle", c->bundles[i].name, c->bundles[i].name},
                             {"steps", zh_text_string(&steps), zh_text_string(&steps)}};
    zh_status status = ZH_OK;
    if (steps.length > 0)
      status = add_sentence(list, zh_word_of(c->words, ZH_WORD_not_tested_steps), slots, 2, err);
    zh_text_free(&steps);
    ZH_TRY(status);
  }
  return ZH_OK;
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

/* Every clause of the policy, with what is known of it. */
static json_t *clauses_json(const zh_case *c) {
  json_t *list = json_array();
  for (size_t i = 0; i < c->policy->clause_count; i++) {
    const zh_clause *clause = &c->policy->clauses[i];
    zh_verdict verdict = ZH_NOT_APPLICABLE;
    if (clause->kind == ZH_CLAUSE_CONDITION) verdict = zh_node_verdict(c, clause->test);
    if (clause->kind == ZH_CLAUSE_AMOUNT) verdict = zh_outcome_of(c, clause).verdict;
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:b}", "id", clause->id, "clause",
                        clause->number, "kind", zh_clause_kind_words[clause->kind], "quote",
                        clause->quote, "heading", zh_plain_phrase(&clause->heading), "verdict",
                        zh_verdict_names[verdict], "pool_yuan", zh_yuan_json(clause->pool_fen),
                        "looked_at", (int)is_claimed(c, clause)));
  }
  return list;
}

static json_t *choices_json(const zh_reading *reading) {
  json_t *list = json_array();
  for (size_t i = 0; i < reading->choice_count; i++) {
    const zh_choice *choice = &reading->choices[i];
    json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "choice", choice->id, "name",
                                          zh_plain_phrase(&choice->name), "ground",
                                          zh_plain_phrase(&choice->ground)));
  }
  return list;
}

/* The amounts that come out otherwise under another choice of this reading. */
static json_t *decided_by(const zh_case *c, const zh_reading *reading, const zh_outcome *outcomes,
                          size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    zh_reading_set set = zh_outcome_matters(c, &outcomes[i]);
    if (set.has[reading->index]) json_array_append_new(list, json_string(outcomes[i].clause->id));
  }
  return list;
}

static json_t *readings_json(const zh_case *c, const zh_outcome *outcomes, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < c->policy->reading_count; i++) {
    const zh_reading *reading = &c->policy->readings[i];
    json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "reading", reading->id,
                                          "question", zh_plain_phrase(&reading->question),
                                          "choices", choices_json(reading), "decides",
                                          decided_by(c, reading, outcomes, count)));
  }
  return list;
}

static void count_verdicts(size_t counts[ZH_VERDICTS], const json_t *findings) {
  json_t *finding;
  size_t i;
  json_array_foreach(findings, i, finding) {
    const char *verdict = json_string_value(json_object_get(finding, "verdict"));
    for (int v = 0; v < ZH_VERDICTS; v++) counts[v] += strcmp(verdict, zh_verdict_names[v]) == 0;
  }
}

/* Statements of the findings that fail, "a、b" or "a, b". */
static void failed_statements(zh_text *out, const json_t *findings, const char *language,
                              const char *comma) {
  json_t *finding;
  size_t i;
  json_array_foreach(findings, i, finding) {
    if (strcmp(json_string_value(json_object_get(finding, "verdict")), "fail") != 0) continue;
    const json_t *text = json_object_get(json_object_get(finding, "statement"), language);
    zh_text_printf(out, "%s%s", out->length > 0 ? comma : "", json_string_value(text));
  }
}

/* Several amounts: how each stands, and what they come to together. */
static json_t *summary_of_several(const zh_case *c, const zh_outcome *outcomes, size_t count,
                                  const zh_sums *sums) {
  char numbers[ZH_VERDICTS][24], all[24], sure[2][40] = {"", ""}, may[2][40] = {"", ""};
  size_t counts[ZH_VERDICTS] = {0};
  for (size_t i = 0; i < count; i++) counts[outcomes[i].verdict]++;
  for (int v = 0; v < ZH_VERDICTS; v++) snprintf(numbers[v], sizeof numbers[v], "%zu", counts[v]);
  snprintf(all, sizeof all, "%zu", count);
  bool settled = sums->certain >= 0 && sums->possible >= 0;
  if (settled) {
    zh_wan_yuan_text(sure[0], sizeof sure[0], sums->certain);
    zh_yuan_text(sure[1], sizeof sure[1], sums->certain);
    zh_wan_yuan_text(may[0], sizeof may[0], sums->possible);
    zh_yuan_text(may[1], sizeof may[1], sums->possible);
  }
  const zh_slot slots[] = {{"count", all, all},
                           {"pass", numbers[ZH_PASS], numbers[ZH_PASS]},
                           {"fail", numbers[ZH_FAIL], numbers[ZH_FAIL]},
                           {"undetermined", numbers[ZH_UNDETERMINED], numbers[ZH_UNDETERMINED]},
                           {"up_to", sure[0], sure[1]},
                           {"limit", may[0], may[1]}};
  return zh_phrase_json(
      zh_word_of(c->words, settled ? ZH_WORD_summary_several : ZH_WORD_summary_several_open), slots,
      sizeof slots / sizeof slots[0]);
}

static json_t *summary_of_one(const zh_case *c, zh_verdict verdict,
                              const size_t counts[ZH_VERDICTS]) {
  zh_word word = ZH_WORD_summary_pass + (zh_word)verdict;
  if (verdict == ZH_UNDETERMINED && counts[ZH_FAIL] > 0 && c->subject_count > 1)
    word = ZH_WORD_summary_undecided;
  char numbers[ZH_VERDICTS][24];
  for (int v = 0; v < ZH_VERDICTS; v++) snprintf(numbers[v], sizeof numbers[v], "%zu", counts[v]);
  zh_text zh = {0}, en = {0};
  failed_statements(&zh, c->findings, "zh", "、");
  failed_statements(&en, c->findings, "en", "; ");
  const zh_slot slots[] = {{"pass", numbers[ZH_PASS], numbers[ZH_PASS]},
                           {"fail", numbers[ZH_FAIL], numbers[ZH_FAIL]},
                           {"undetermined", numbers[ZH_UNDETERMINED], numbers[ZH_UNDETERMINED]},
                           {"failed", zh_text_string(&zh), zh_text_string(&en)}};
  json_t *text = zh_phrase_json(zh_word_of(c->words, word), slots, sizeof slots / sizeof slots[0]);
  zh_text_free(&zh);
  zh_text_free(&en);
  return text;
}

/* One amount that can be given is enough for a pass; all must fail for a fail. */
static zh_verdict overall(const zh_outcome *outcomes, size_t count) {
  zh_verdict verdict = ZH_FAIL;
  for (size_t i = 0; i < count; i++) {
    if (outcomes[i].verdict == ZH_PASS) return ZH_PASS;
    if (outcomes[i].verdict == ZH_UNDETERMINED) verdict = ZH_UNDETERMINED;
  }
  return verdict;
}

static json_t *summary_json(const zh_case *c, const zh_outcome *outcomes, size_t count,
                            const zh_sums *sums, const size_t counts[ZH_VERDICTS]) {
  zh_verdict verdict = overall(outcomes, count);
  json_t *text = count == 1 ? summary_of_one(c, verdict, counts)
                            : summary_of_several(c, outcomes, count, sums);
  json_t *summary = json_pack("{s:s, s:O, s:O}", "verdict", zh_verdict_names[verdict], "zh",
                              json_object_get(text, "zh"), "en", json_object_get(text, "en"));
  json_decref(text);
  return summary;
}

/* The grant that a report shows: the one looked at, or the highest of those that can be given. */
static size_t principal(const zh_outcome *outcomes, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++) {
    bool possible = outcomes[i].verdict != ZH_FAIL;
    bool was = outcomes[best].verdict != ZH_FAIL;
    int64_t now = outcomes[i].settled ? outcomes[i].high : 0,
            then = outcomes[best].settled ? outcomes[best].high : 0;
    if (possible && (!was || now > then)) best = i;
  }
  return best;
}

static json_t *grants_json(const zh_case *c, const zh_outcome *outcomes, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_outcome_json(c, &outcomes[i]));
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

static zh_status compose(json_t **out, const zh_case *c, const results *r, zh_error *err) {
  size_t counts[ZH_VERDICTS] = {0};
  count_verdicts(counts, c->findings);
  json_t *grants = grants_json(c, r->outcomes, r->count);
  *out = json_pack(
      "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:o, s:O, s:{s:i, s:i, s:i, s:i}}",
      "schema", "zhiheng.evaluation/1", "policy", policy_json(c->policy), "bundle",
      bundles_json(c->bundles, c->bundle_count), "models", models_json(r->models, r->model_count),
      "measurements", measurements_json(c->bundles, c->bundle_count), "applicant",
      applicant_json(c->applicant), "subject", subject_json(c), "marks", r->marks, "findings",
      c->findings, "grant", json_array_get(grants, principal(r->outcomes, r->count)), "summary",
      summary_json(c, r->outcomes, r->count, &r->sums, counts), "not_tested", r->not_tested,
      "counts", "pass", (int)counts[ZH_PASS], "fail", (int)counts[ZH_FAIL], "undetermined",
      (int)counts[ZH_UNDETERMINED], "not_applicable", (int)counts[ZH_NOT_APPLICABLE]);
  if (*out == NULL) {
    json_decref(grants);
    return no_memory(err);
  }
  json_object_set_new(*out, "grants", grants);
  json_object_set(*out, "combination", r->combination);
  json_object_set_new(*out, "readings", readings_json(c, r->outcomes, r->count));
  json_object_set_new(*out, "clauses", clauses_json(c));
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
  zh_status status = collect_models(&models, &r.model_count, bundles, bundle_count, err);
  if (status == ZH_OK)
    status = collect_models(&subjects, &subject_count, bundles, bundle_count, err);
  if (status == ZH_OK) status = choose_subjects(subjects, &subject_count, bundle_count, err);
  c.subjects = subjects;
  c.subject_count = subject_count;
  r.models = models;
  if (status == ZH_OK) status = judge_amounts(&r, &c, err);
  if (status == ZH_OK) status = add_findings(&c, r.outcomes, r.count, err);
  if (status == ZH_OK) status = add_marks(r.marks, &c, err);
  if (status == ZH_OK) status = add_not_tested(r.not_tested, &c, err);
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
