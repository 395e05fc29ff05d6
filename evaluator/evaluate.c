/* Bundles, a policy and an applicant's file become evaluation.json. Nothing here reads a clock or
 * writes a path of this machine, so the same inputs give the same bytes anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/evaluation.h"

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
static zh_status choose_subjects(const zh_audited **models, size_t *count, zh_error *err) {
  size_t kept = 0;
  if (*count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "no bundle audits a model, so there is nothing to evaluate");
  for (size_t i = 0; i < *count; i++) {
    if (!is_standard(models[i])) models[kept++] = models[i];
  }
  *count = kept > 0 ? kept : 1;
  return ZH_OK;
}

static json_t *policy_json(const zh_policy *policy) {
  return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:o, s:s, s:s}", "name", policy->name, "status",
                   policy->status, "title", zh_plain_phrase(&policy->title), "issuer",
                   zh_plain_phrase(&policy->issuer), "number", policy->number, "date", policy->date,
                   "validity", zh_plain_phrase(&policy->validity), "source", policy->source, "sm3",
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
  return json_pack("{s:s, s:o}", "model", c->subjects[0]->name, "models", names);
}

/* What the reader must know before any verdict. */
static zh_status add_marks(json_t *marks, const zh_case *c, zh_error *err) {
  if (strcmp(c->policy->status, "draft") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_draft), NULL, 0, err));
  }
  if (strcmp(c->policy->status, "expired") == 0) {
    ZH_TRY(add_sentence(marks, zh_word_of(c->words, ZH_WORD_marks_expired), NULL, 0, err));
  }
  if (is_standard(c->subjects[0])) {
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

static zh_status apply_rules(zh_case *c, zh_error *err) {
  zh_verdict verdict;
  for (size_t i = 0; i < c->policy->rule_count; i++) {
    const zh_rule *rule = &c->policy->rules[i];
    ZH_TRY(rule->kind->apply(&verdict, c, rule, err));
    c->any_failed |= verdict == ZH_FAIL;
    c->any_open |= verdict == ZH_UNDETERMINED;
  }
  return c->policy->grant->kind->apply(&verdict, c, c->policy->grant, err);
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

static json_t *summary_json(const zh_case *c, const size_t counts[ZH_VERDICTS]) {
  zh_verdict verdict = c->any_failed ? ZH_FAIL : c->any_open ? ZH_UNDETERMINED : ZH_PASS;
  zh_word word = ZH_WORD_summary_pass + (zh_word)verdict;
  if (verdict == ZH_UNDETERMINED && counts[ZH_FAIL] > 0) word = ZH_WORD_summary_undecided;
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
  json_t *summary = json_pack("{s:s, s:O, s:O}", "verdict", zh_verdict_names[verdict], "zh",
                              json_object_get(text, "zh"), "en", json_object_get(text, "en"));
  json_decref(text);
  zh_text_free(&zh);
  zh_text_free(&en);
  return summary;
}

static zh_status compose(json_t **out, const zh_case *c, const zh_audited *const *models,
                         size_t model_count, json_t *marks, json_t *not_tested, zh_error *err) {
  size_t counts[ZH_VERDICTS] = {0};
  count_verdicts(counts, c->findings);
  *out = json_pack(
      "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:o, s:O, s:{s:i, s:i, s:i, s:i}}",
      "schema", "zhiheng.evaluation/1", "policy", policy_json(c->policy), "bundle",
      bundles_json(c->bundles, c->bundle_count), "models", models_json(models, model_count),
      "measurements", measurements_json(c->bundles, c->bundle_count), "applicant",
      applicant_json(c->applicant), "subject", subject_json(c), "marks", marks, "findings",
      c->findings, "grant", c->grant, "summary", summary_json(c, counts), "not_tested", not_tested,
      "counts", "pass", (int)counts[ZH_PASS], "fail", (int)counts[ZH_FAIL], "undetermined",
      (int)counts[ZH_UNDETERMINED], "not_applicable", (int)counts[ZH_NOT_APPLICABLE]);
  return *out != NULL ? ZH_OK : no_memory(err);
}

zh_status zh_evaluate_read(json_t **out, const zh_bundle *bundles, size_t bundle_count,
                           const zh_policy *policy, const zh_applicant *applicant,
                           const zh_words *words, zh_error *err) {
  const zh_audited **models = NULL, **subjects = NULL;
  size_t model_count = 0, subject_count = 0;
  json_t *marks = json_array(), *not_tested = json_array();
  zh_case c = {.policy = policy,
               .words = words,
               .bundles = bundles,
               .bundle_count = bundle_count,
               .applicant = applicant,
               .findings = json_array()};
  *out = NULL;
  zh_status status = collect_models(&models, &model_count, bundles, bundle_count, err);
  if (status == ZH_OK)
    status = collect_models(&subjects, &subject_count, bundles, bundle_count, err);
  if (status == ZH_OK) status = choose_subjects(subjects, &subject_count, err);
  c.subjects = subjects;
  c.subject_count = subject_count;
  if (status == ZH_OK) status = apply_rules(&c, err);
  if (status == ZH_OK) status = add_marks(marks, &c, err);
  if (status == ZH_OK) status = add_not_tested(not_tested, &c, err);
  if (status == ZH_OK) status = compose(out, &c, models, model_count, marks, not_tested, err);
  free(models);
  free(subjects);
  json_decref(marks);
  json_decref(not_tested);
  json_decref(c.findings);
  json_decref(c.grant);
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
  if (status == ZH_OK && bundle_count == 0)
    status = zh_fail(err, ZH_ERR_USAGE, "name at least one bundle");
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
