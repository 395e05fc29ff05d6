/* Verdicts at their boundaries, from bundles in memory; and bundles on disk that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "core/manifest.h"
#include "core/text.h"
#include "evaluator/evaluation.h"

#define SM3_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SM3_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
static const int64_t LIMIT = INT64_C(100000000000);

static zh_policy *policy;
static zh_words *words;
static char folder[64];

static int set_up(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  snprintf(folder, sizeof folder, "/tmp/zhiheng-evaluate-XXXXXX");
  if (mkdtemp(folder) == NULL) return 1;
  return zh_policy_load(&policy, "songjiang-2025-draft", &err) != ZH_OK ||
         zh_words_load(&words, &err) != ZH_OK;
}

static int tear_down(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy_free(policy);
  zh_words_free(words);
  return zh_remove_tree(folder, &err) != ZH_OK;
}

/* --- bundles --- */

static json_t *audit_of(const char *name, const char *format, const char *sm3, int64_t unique,
                        int64_t active) {
  return json_pack("{s:s, s:s, s:s, s:{s:n, s:I, s:I, s:{s:I, s:I, s:I}, s:o}}", "name", name,
                   "format", format, "sm3", sm3, "parameters", "declared", "stored",
                   (json_int_t)unique, "unique", (json_int_t)unique, "effective", "value",
                   (json_int_t)unique, "low", (json_int_t)unique, "high", (json_int_t)unique,
                   "active", active < 0 ? json_null() : json_integer(active));
}

static json_t *run_of(const json_t *audits, bool valid, bool stable) {
  json_t *models = json_array(), *audit;
  size_t i;
  json_array_foreach(audits, i, audit) {
    json_array_append_new(models, json_pack("{s:O, s:O}", "name", json_object_get(audit, "name"),
                                            "sm3", json_object_get(audit, "sm3")));
  }
  return json_pack("{s:s, s:s, s:o, s:[{s:s, s:s}, {s:s, s:s}], s:{s:b}, s:b}", "schema",
                   "zhiheng.run/1", "id", "t", "models", models, "steps", "step", "memory",
                   "status", "done", "step", "decode", "status", "skipped", "stability", "stable",
                   (int)stable, "valid", (int)valid);
}

static zh_status accept(zh_bundle *bundle, json_t *audits, bool valid, bool stable, zh_error *err) {
  memset(bundle, 0, sizeof *bundle);
  snprintf(bundle->name, sizeof bundle->name, "bundle");
  snprintf(bundle->audit_sm3, sizeof bundle->audit_sm3, "%s", SM3_B);
  json_t *run = run_of(audits, valid, stable);
  json_t *audit = json_pack("{s:s, s:o}", "schema", "zhiheng.audit/1", "models", audits);
  return zh_bundle_accept(bundle, run, json_object(), audit, NULL, 0, err);
}

static json_t *evaluate(json_t *audits, const zh_applicant *applicant) {
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundle;
  json_t *result = NULL;
  if (accept(&bundle, audits, true, true, &err) != ZH_OK) fail_msg("%s", err.message);
  if (zh_evaluate_read(&result, &bundle, 1, policy, applicant, words, &err) != ZH_OK)
    fail_msg("%s", err.message);
  zh_bundle_clear(&bundle);
  return result;
}

static const json_t *finding(const json_t *result, const char *id) {
  const json_t *entry;
  size_t i;
  json_array_foreach(json_object_get(result, "findings"), i, entry) {
    if (strcmp(json_string_value(json_object_get(entry, "id")), id) == 0) return entry;
  }
  fail_msg("there is no finding '%s'", id);
  return NULL;
}

static const char *text_at(const json_t *object, const char *key, const char *member) {
  const json_t *value = json_object_get(object, key);
  return json_string_value(member == NULL ? value : json_object_get(value, member));
}

static const char *verdict(const json_t *result, const char *id) {
  return text_at(finding(result, id), "verdict", NULL);
}

/* --- applicants --- */

/* An enterprise of the district that hands in every paper, spends `amount`, and whose exclusion
 * other_policy is `other`; `more` is added at the end. */
static zh_applicant *applicant_who(const char *amount, const char *other, const char *more) {
  zh_error err = ZH_ERROR_INIT;
  zh_applicant *applicant = NULL;
  zh_text text = {0};
  zh_text_puts(&text, "applicant: 某公司\n"
                      "facts:\n"
                      "  entity: {value: enterprise, file: p.pdf}\n"
                      "  roles: {value: [compute_centre, information_software], file: p.pdf}\n"
                      "  district: {value: 上海市松江区, file: p.pdf}\n"
                      "  tax_registered: {value: true, file: p.pdf}\n"
                      "  legal_person: {value: true, file: p.pdf}\n"
                      "  modalities: {value: [text, image], file: p.pdf}\n"
                      "documents:\n");
  for (size_t i = 0; i < policy->rule_count; i++) {
    if (policy->rules[i]->kind == &zh_rule_document) {
      zh_text_printf(&text, "  %s: {file: p.pdf, sm3: %s}\n", policy->rules[i]->id, SM3_A);
    }
  }
  zh_text_printf(&text,
                 "exclusions:\n  district_funding: {applies: false, file: p.pdf}\n"
                 "  upper_funding: {applies: false, file: p.pdf}\n"
                 "  upper_policy: {applies: false, file: p.pdf}\n  other_policy: %s\n",
                 other);
  if (amount != NULL)
    zh_text_printf(&text,
                   "costs:\n  r_and_d_cost: {amount: %s, file: p.pdf}\n"
                   "  joint_r_and_d_cost: {amount: %s, file: p.pdf}\n",
                   amount, amount);
  zh_text_puts(&text, more);
  if (zh_applicant_load_text(&applicant, text.data, text.length, "a.yaml", policy, &err) != ZH_OK) {
    fail_msg("%s", err.message);
  }
  zh_text_free(&text);
  return applicant;
}

static zh_applicant *applicant_with(const char *amount, const char *other) {
  return applicant_who(amount, other, "");
}

static const char led[] = "decisions: {leadership: {granted: true, file: p.pdf}}\n";

/* --- the threshold --- */

static void the_threshold_is_strict(void **state) {
  (void)state;
  static const struct {
    int64_t offset;
    const char *verdict;
  } cases[] = {{-1, "fail"}, {0, "fail"}, {1, "pass"}};
  for (size_t i = 0; i < 3; i++) {
    int64_t n = LIMIT + cases[i].offset;
    json_t *result = evaluate(json_pack("[o]", audit_of("m.gguf", "gguf", SM3_A, n, n)), NULL);
    const json_t *f = finding(result, "parameters.unique");
    assert_string_equal(text_at(f, "verdict", NULL), cases[i].verdict);
    assert_string_equal(verdict(result, "parameters.active"), cases[i].verdict);
    assert_int_equal(json_integer_value(json_object_get(f, "value")), n);
    assert_string_equal(text_at(f, "criterion", "op"), ">");
    assert_string_equal(text_at(f, "criterion", "boundary_word"), "超过");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(f, "criterion"), "threshold")), LIMIT);
    const char *overall = i < 2 ? "fail" : "undetermined"; /* papers and peers are missing */
    assert_string_equal(text_at(result, "summary", "verdict"), overall);
    json_decref(result);
  }
}

static void readings_that_differ_are_left_open(void **state) {
  (void)state;
  json_t *result = evaluate(json_pack("[o]", audit_of("m", "gguf", SM3_A, LIMIT + 1, LIMIT)), NULL);
  const json_t *total = finding(result, "parameters.unique"),
               *active = finding(result, "parameters.active");
  assert_string_equal(text_at(total, "verdict", NULL), "undetermined");
  assert_string_equal(text_at(active, "verdict", NULL), "undetermined");
  assert_string_equal(text_at(total, "reading", "verdict"), "pass");
  assert_string_equal(text_at(active, "reading", "verdict"), "fail");
  assert_non_null(strstr(text_at(total, "reason", "en"), "100,000,000,001"));
  assert_non_null(strstr(text_at(total, "reason", "en"), "not ours to decide"));
  assert_non_null(strstr(text_at(total, "reason", "zh"), "须请主管部门明确"));
  assert_non_null(strstr(text_at(total, "would_take", "zh"), "有效参数量"));
  assert_string_equal(text_at(result, "summary", "verdict"), "undetermined");
  json_decref(result);
}

static void an_unknown_count_is_left_open(void **state) {
  (void)state;
  json_t *result = evaluate(json_pack("[o]", audit_of("m", "gguf", SM3_A, LIMIT + 1, -1)), NULL);
  const json_t *active = finding(result, "parameters.active");
  assert_string_equal(text_at(active, "verdict", NULL), "undetermined");
  assert_true(json_is_null(json_object_get(active, "value")));
  assert_string_equal(text_at(result, "summary", "verdict"), "undetermined");
  json_decref(result);
}

/* Effective parameters are known within bounds: the threshold must lie outside them. */
static void bounds_that_hold_the_threshold_decide_nothing(void **state) {
  (void)state;
  static const struct {
    int64_t low, high;
    const char *verdict;
  } cases[] = {{1, 2, "pass"}, {0, 1, "undetermined"}, {-1, 0, "fail"}, {-5, 5, "undetermined"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    json_t *audit = audit_of("m", "gguf", SM3_A, LIMIT + 10, LIMIT + 10);
    json_t *effective = json_object_get(json_object_get(audit, "parameters"), "effective");
    json_object_set_new(effective, "low", json_integer(LIMIT + cases[i].low));
    json_object_set_new(effective, "value", json_integer(LIMIT + cases[i].low));
    json_object_set_new(effective, "high", json_integer(LIMIT + cases[i].high));
    json_t *result = evaluate(json_pack("[o]", audit), NULL);
    const json_t *f = finding(result, "parameters.effective");
    assert_string_equal(text_at(f, "reading", "verdict"), cases[i].verdict);
    const char *whole = strcmp(cases[i].verdict, "pass") == 0 ? "pass" : "undetermined";
    assert_string_equal(text_at(f, "verdict", NULL), whole);
    json_decref(result);
  }
}

/* --- which model --- */

static void submitted_models_come_before_standard_ones(void **state) {
  (void)state;
  json_t *result =
      evaluate(json_pack("[o, o]", audit_of("zh-1b", "standard", SM3_A, LIMIT + 5, LIMIT + 5),
                         audit_of("m.gguf", "gguf", SM3_B, 7, 7)),
               NULL);
  assert_string_equal(text_at(result, "subject", "model"), "m.gguf");
  assert_int_equal(
      json_integer_value(json_object_get(finding(result, "parameters.unique"), "value")), 7);
  json_decref(result);
  result = evaluate(json_pack("[o]", audit_of("zh-1b", "standard", SM3_A, 9, 9)), NULL);
  assert_string_equal(text_at(result, "subject", "model"), "zh-1b");
  assert_int_equal(json_array_size(json_object_get(result, "marks")),
                   2); /* a draft policy, a standard model */
  json_decref(result);
}

static void several_models_that_differ_decide_nothing(void **state) {
  (void)state;
  json_t *result =
      evaluate(json_pack("[o, o]", audit_of("big", "gguf", SM3_A, LIMIT + 1, LIMIT + 1),
                         audit_of("small", "gguf", SM3_B, 7, 7)),
               NULL);
  assert_string_equal(verdict(result, "parameters.unique@big"), "pass");
  assert_string_equal(verdict(result, "parameters.unique@small"), "fail");
  assert_string_equal(text_at(result, "summary", "verdict"), "undetermined");
  assert_non_null(strstr(text_at(result, "summary", "en"), "several models"));
  assert_null(strstr(text_at(result, "grant", "verdict"), "fail"));
  json_decref(result);
}

/* --- papers, exclusions, money --- */

static void silence_is_undetermined_and_not_zero(void **state) {
  (void)state;
  json_t *result =
      evaluate(json_pack("[o]", audit_of("m", "gguf", SM3_A, LIMIT + 1, LIMIT + 1)), NULL);
  const json_t *grant = json_object_get(result, "grant"), *entry;
  size_t i;
  json_array_foreach(json_object_get(result, "findings"), i, entry) {
    const char *id = text_at(entry, "id", NULL);
    if (strncmp(id, "parameters.", 11) == 0 || strcmp(id, "validity") == 0) continue;
    assert_string_equal(text_at(entry, "verdict", NULL), "undetermined");
    assert_true(json_is_object(json_object_get(entry, "would_take")));
  }
  assert_true(i > 15);
  assert_true(json_is_null(json_object_get(grant, "up_to_wan_yuan")));
  assert_true(json_is_null(json_object_get(grant, "up_to_yuan")));
  assert_string_equal(text_at(grant, "range", "high_yuan"), "20000000.00");
  assert_string_equal(text_at(grant, "verdict", NULL), "undetermined");
  assert_non_null(strstr(text_at(grant, "statement", "zh"), "不等于零"));
  json_decref(result);
}

static json_t *evaluate_big(const zh_applicant *applicant) {
  return evaluate(json_pack("[o]", audit_of("m", "gguf", SM3_A, LIMIT + 1, LIMIT + 1)), applicant);
}

static const char *grant_text(const json_t *result, const char *key, const char *member) {
  return text_at(json_object_get(result, "grant"), key, member);
}

static void the_award_is_half_and_at_most_2000(void **state) {
  static const struct {
    const char *amount, *up_to;
  } cases[] = {
      {"3280.01 万元", "16400050.00"},
      {"3999.999999 万元", "19999999.99"},
      {"4000 万元", "20000000.00"},
      {"4000.01 万元", "20000000.00"},
      {"10 亿元", "20000000.00"},
      {"0 元", "0.00"},
      {"0.03 元", "0.01"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    zh_applicant *open = applicant_with(cases[i].amount, "{applies: false, file: p.pdf}"),
                 *whole = applicant_who(cases[i].amount, "{applies: false, file: p.pdf}", led);
    json_t *result = evaluate_big(open);
    /* 国内领先 is still open, so there is no figure, only what it would be. */
    assert_string_equal(grant_text(result, "verdict", NULL), "undetermined");
    assert_null(grant_text(result, "up_to_yuan", NULL));
    assert_string_equal(grant_text(result, "if_all_hold_yuan", NULL), cases[i].up_to);
    assert_non_null(strstr(grant_text(result, "statement", "zh"), "若全部成立"));
    json_decref(result);
    result = evaluate_big(whole);
    assert_string_equal(grant_text(result, "verdict", NULL), "pass");
    assert_string_equal(grant_text(result, "up_to_yuan", NULL), cases[i].up_to);
    json_decref(result);
    zh_applicant_free(open);
    zh_applicant_free(whole);
  }
}

static void papers_and_declarations_pass(void **state) {
  (void)state;
  zh_applicant *applicant = applicant_with("4000 万元", "{applies: false, file: p.pdf}");
  json_t *result = evaluate_big(applicant);
  const json_t *counts = json_object_get(result, "counts");
  assert_int_equal(json_integer_value(json_object_get(counts, "undetermined")), 1);
  assert_int_equal(json_integer_value(json_object_get(counts, "fail")), 0);
  assert_string_equal(verdict(result, "leadership"), "undetermined");
  assert_int_equal(json_array_size(json_object_get(json_object_get(result, "grant"), "would_take")),
                   1);
  const json_t *evidence =
      json_array_get(json_object_get(finding(result, "third_party"), "evidence"), 0);
  assert_true(json_is_null(json_object_get(evidence, "bundle")));
  assert_string_equal(json_string_value(json_object_get(evidence, "file")), "p.pdf");
  assert_string_equal(json_string_value(json_object_get(evidence, "sm3")), SM3_A);
  json_decref(result);
  zh_applicant_free(applicant);
}

static void an_exclusion_ends_it(void **state) {
  (void)state;
  zh_applicant *applicant = applicant_with("4000 万元", "{applies: true}");
  json_t *result = evaluate_big(applicant);
  assert_string_equal(verdict(result, "other_policy"), "fail");
  assert_string_equal(text_at(result, "summary", "verdict"), "fail");
  assert_int_equal(
      json_integer_value(json_object_get(json_object_get(result, "grant"), "up_to_wan_yuan")), 0);
  json_decref(result);
  zh_applicant_free(applicant);
  applicant = applicant_with(NULL, "{applies: false}"); /* said, not shown */
  result = evaluate_big(applicant);
  assert_string_equal(verdict(result, "other_policy"), "undetermined");
  json_decref(result);
  zh_applicant_free(applicant);
}

/* Money that was received speaks for itself, whatever is declared. */
static void a_grant_received_is_an_exclusion(void **state) {
  (void)state;
  static const struct {
    const char *received, *district, *upper, *other, *above; /* above: 七(二) read as every level */
  } cases[] = {
      {"{policy: 某政策, level: district, project: same, amount: 1 元}", "fail", "pass", "fail",
       "pass"},
      {"{policy: 某政策, level: district, project: other, amount: 1 元}", "pass", "pass", "pass",
       "pass"},
      {"{policy: 某政策, level: district, amount: 1 元}", "undetermined", "pass", "undetermined",
       "pass"},
      {"{policy: 某政策, level: city, project: same, amount: 1 元}", "pass", "undetermined", "pass",
       "fail"},
      {"{policy: 某政策, level: city, project: same, amount: 1 元, matched: false}", "pass", "pass",
       "pass", "fail"},
      {"{policy: 某政策, level: city, project: other, amount: 1 元}", "pass", "pass", "pass",
       "pass"},
      {"{policy: 某政策, level: city, project: same, amount: 1 元, matched: true}", "pass", "fail",
       "pass", "fail"},
      {"{clause: special_support, project: same, amount: 1 元}", "fail", "pass", "pass", "pass"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char more[256];
    snprintf(more, sizeof more, "received: [%s]\n", cases[i].received);
    zh_applicant *applicant = applicant_who("4000 万元", "{applies: false, file: p.pdf}", more);
    json_t *result = evaluate_big(applicant);
    assert_string_equal(verdict(result, "district_funding"), cases[i].district);
    assert_string_equal(verdict(result, "upper_funding"), cases[i].upper);
    assert_string_equal(verdict(result, "other_policy"), cases[i].other);
    assert_string_equal(verdict(result, "upper_policy"), cases[i].above);
    if (strcmp(cases[i].upper, "undetermined") == 0)
      assert_non_null(
          strstr(text_at(finding(result, "upper_funding"), "would_take", "en"), "matching"));
    json_decref(result);
    zh_applicant_free(applicant);
  }
}

/* The draft's three years, once a day of issue is supposed. */
static void the_last_day_depends_on_its_reading(void **state) {
  (void)state;
  static const struct {
    const char *day, *verdict;
  } cases[] = {{"2025-05-31", "fail"},
               {"2025-06-01", "pass"},
               {"2028-05-31", "pass"},
               {"2028-06-01", "undetermined"},
               {"2028-06-02", "fail"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char more[256];
    snprintf(more, sizeof more, "dates: {application: %s, policy_issued: 2025-06-01}\n%s",
             cases[i].day, led);
    zh_applicant *applicant = applicant_who("4000 万元", "{applies: false, file: p.pdf}", more);
    json_t *result = evaluate_big(applicant);
    assert_string_equal(verdict(result, "validity"), cases[i].verdict);
    assert_string_equal(grant_text(result, "verdict", NULL), cases[i].verdict);
    json_decref(result);
    zh_applicant_free(applicant);
  }
}

/* More papers never take a pass away, and more cost never lowers an award. */
static void more_never_harms(void **state) {
  (void)state;
  int64_t before = -1;
  for (int i = 0; i < 60; i++) {
    char amount[32];
    snprintf(amount, sizeof amount, "%d.%02d 万元", i * 97, i);
    zh_applicant *applicant = applicant_who(amount, "{applies: false, file: p.pdf}", led);
    json_t *result = evaluate_big(applicant);
    const char *text = grant_text(result, "up_to_yuan", NULL);
    int64_t fen = strtoll(text, NULL, 10) * 100 + strtoll(strchr(text, '.') + 1, NULL, 10);
    assert_true(fen >= before && fen <= INT64_C(2000000000));
    before = fen;
    json_decref(result);
    zh_applicant_free(applicant);
  }
}

static void refuses_applicant(const char *text, zh_status expected, const char *part) {
  char path[128];
  zh_error err = ZH_ERROR_INIT;
  zh_applicant *applicant = NULL;
  snprintf(path, sizeof path, "%s/applicant.yaml", folder);
  assert_int_equal(zh_write_file(path, text, strlen(text), &err), ZH_OK);
  zh_status status = zh_applicant_load(&applicant, path, policy, &err);
  if (status != expected) fail_msg("%s: %s %s", text, zh_status_name(status), err.message);
  assert_null(applicant);
  if (strstr(err.message, part) == NULL) fail_msg("'%s' lacks '%s'", err.message, part);
}

static void applicants_files_are_checked(void **state) {
  (void)state;
  char path[128];
  zh_error err = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/licence.pdf", folder);
  assert_int_equal(zh_write_file(path, "paper", 5, &err), ZH_OK);
  refuses_applicant("documents: {}\n", ZH_ERR_INPUT, "applicant");
  refuses_applicant("applicant: a\ndocuments: {third_prty: {file: licence.pdf}}\n", ZH_ERR_INPUT,
                    "did you mean 'third_party'?");
  refuses_applicant("applicant: a\nfacts: {entity: enterprize}\n", ZH_ERR_INPUT,
                    "did you mean 'enterprise'?");
  refuses_applicant("applicant: a\nfacts: {roles: [investor, investor]}\n", ZH_ERR_INPUT,
                    "stands twice");
  refuses_applicant("applicant: a\nclaims: [development]\n", ZH_ERR_INPUT, "development");
  refuses_applicant("applicant: a\nclaims: [parameters]\n", ZH_ERR_INPUT, "of kind condition");
  refuses_applicant("applicant: a\ndates: {application: 2026-02-30}\n", ZH_ERR_INPUT,
                    "day of the calendar");
  refuses_applicant("applicant: a\nreceived: [{amount: 1 元}]\n", ZH_ERR_INPUT, "policy");
  refuses_applicant("applicant: a\nreceived: [{policy: p, amount: 1 元}]\n", ZH_ERR_INPUT, "level");
  refuses_applicant("applicant: a\ndecisions: {leadership: {granted: true}}\n", ZH_ERR_INPUT,
                    "file");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: gone.pdf}}\n", ZH_ERR_INPUT,
                    "there is no file 'gone.pdf'");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: ../licence.pdf}}\n",
                    ZH_ERR_INPUT, "beside or below");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: x/../../l.pdf}}\n", ZH_ERR_INPUT,
                    "beside or below");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: /etc/hostname}}\n", ZH_ERR_INPUT,
                    "beside or below");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: licence.pdf, sm3: " SM3_A "}}\n",
                    ZH_ERR_CHECK, "is not the file that was declared");
  refuses_applicant("applicant: a\ndocuments: {third_party: {file: licence.pdf, sm3: abc}}\n",
                    ZH_ERR_INPUT, "64 hexadecimal digits");
  refuses_applicant("applicant: a\ncosts: {r_and_d_cost: {amount: 3000, file: licence.pdf}}\n",
                    ZH_ERR_INPUT, "no unit");
  refuses_applicant("applicant: a\ncosts: {r_and_d_cost: {amount: 3000 万元}}\n", ZH_ERR_INPUT,
                    "file");
  refuses_applicant("applicant: a\nexclusions: {other_policy: {applies: 否}}\n", ZH_ERR_INPUT,
                    "true or false");
}

/* --- bundles that lie --- */

static void a_count_of_another_file_is_refused(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundle = {0};
  json_t *audits = json_pack("[o]", audit_of("m", "gguf", SM3_A, 7, 7));
  json_t *other = json_pack("[o]", audit_of("m", "gguf", SM3_B, 7, 7));
  json_t *audit = json_pack("{s:s, s:o}", "schema", "zhiheng.audit/1", "models", audits);
  assert_int_equal(
      zh_bundle_accept(&bundle, run_of(other, true, true), json_object(), audit, NULL, 0, &err),
      ZH_ERR_CHECK);
  assert_non_null(strstr(err.message, "audit.json counted the file"));
  json_decref(other);
  zh_bundle_clear(&bundle);
}

static void counts_that_cannot_be_are_refused(void **state) {
  (void)state;
  static const int64_t counts[][2] = {{7, 8}, {-5, -5}};
  for (size_t i = 0; i < 2; i++) {
    zh_error err = ZH_ERROR_INIT;
    zh_bundle bundle;
    json_t *audits = json_pack("[o]", audit_of("m", "gguf", SM3_A, counts[i][0], counts[i][1]));
    assert_int_equal(accept(&bundle, audits, true, true, &err), ZH_ERR_INPUT);
    zh_bundle_clear(&bundle);
  }
}

static void invalid_and_unstable_runs_are_marked(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundle;
  json_t *result = NULL;
  json_t *audits = json_pack("[o]", audit_of("m", "gguf", SM3_A, 7, 7));
  assert_int_equal(accept(&bundle, audits, false, false, &err), ZH_OK);
  assert_int_equal(zh_evaluate_read(&result, &bundle, 1, policy, NULL, words, &err), ZH_OK);
  assert_int_equal(json_array_size(json_object_get(result, "marks")), 3);
  const json_t *list = json_object_get(result, "not_tested");
  const json_t *steps = json_array_get(list, json_array_size(list) - 1);
  assert_non_null(strstr(json_string_value(json_object_get(steps, "en")), "decode"));
  json_decref(result);
  zh_bundle_clear(&bundle);
}

static void runs_with_slowed_gpus_are_marked(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundle;
  json_t *result = NULL;
  for (size_t marks = 0; marks < 2; marks++) {
    json_t *audits = json_pack("[o]", audit_of("m", "gguf", SM3_A, 7, 7)), *list = json_array();
    if (marks) json_array_append_new(list, json_pack("{s:s}", "mark", "throttled"));
    assert_int_equal(accept(&bundle, audits, true, true, &err), ZH_OK);
    json_object_set_new((json_t *)(uintptr_t)bundle.run, "gpu_marks", list);
    assert_int_equal(zh_evaluate_read(&result, &bundle, 1, policy, NULL, words, &err), ZH_OK);
    assert_int_equal(json_array_size(json_object_get(result, "marks")), 1 + marks);
    json_decref(result);
    zh_bundle_clear(&bundle);
  }
}

static void two_files_under_one_name_are_refused(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundles[2];
  json_t *result = NULL;
  assert_int_equal(
      accept(&bundles[0], json_pack("[o]", audit_of("m", "gguf", SM3_A, 7, 7)), true, true, &err),
      ZH_OK);
  assert_int_equal(
      accept(&bundles[1], json_pack("[o]", audit_of("m", "gguf", SM3_B, 7, 7)), true, true, &err),
      ZH_OK);
  assert_int_equal(zh_evaluate_read(&result, bundles, 2, policy, NULL, words, &err), ZH_ERR_CHECK);
  assert_null(result);
  zh_bundle_clear(&bundles[0]);
  zh_bundle_clear(&bundles[1]);
}

/* --- on disk --- */

static void put(const char *bundle, const char *file, const char *text) {
  char path[256];
  zh_error err = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/%s/%s", folder, bundle, file);
  if (zh_write_file(path, text, strlen(text), &err) != ZH_OK) fail_msg("%s", err.message);
}

static void put_bundle(const char *name) {
  char path[256];
  zh_error err = ZH_ERROR_INIT;
  json_t *audits = json_pack("[o]", audit_of("m", "gguf", SM3_A, 7, 7)),
         *run = run_of(audits, true, true);
  json_t *audit = json_pack("{s:s, s:o}", "schema", "zhiheng.audit/1", "models", audits);
  char *run_text = NULL, *audit_text = NULL;
  snprintf(path, sizeof path, "%s/%s/environment", folder, name);
  assert_int_equal(zh_make_dirs(path, &err), ZH_OK);
  assert_int_equal(zh_json_dump(&run_text, run, &err), ZH_OK);
  assert_int_equal(zh_json_dump(&audit_text, audit, &err), ZH_OK);
  put(name, "run.json", run_text);
  put(name, "audit.json", audit_text);
  put(name, "environment/machine.json", "{}");
  put(name, "measurements.jsonl",
      "\n{\"step\":\"s\",\"metric\":\"m\",\"unit\":\"B/s\",\"value\":1}\n");
  free(run_text);
  free(audit_text);
  json_decref(run);
  json_decref(audit);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(zh_manifest_write(path, &err), ZH_OK);
}

static zh_status evaluate_folder(char **out, const char *name, zh_error *err) {
  char path[256];
  json_t *result = NULL;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  const char *const bundles[] = {path};
  *out = NULL;
  zh_status status = zh_evaluate(&result, bundles, 1, "songjiang-2025-draft", NULL, err);
  if (status == ZH_OK) assert_int_equal(zh_json_dump(out, result, err), ZH_OK);
  json_decref(result);
  return status;
}

static void the_same_bundle_gives_the_same_bytes(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char *first, *second;
  put_bundle("whole");
  if (evaluate_folder(&first, "whole", &err) != ZH_OK) fail_msg("%s", err.message);
  assert_int_equal(evaluate_folder(&second, "whole/", &err), ZH_OK);
  assert_string_equal(first, second);
  assert_null(strstr(first, folder)); /* no path of this machine */
  assert_non_null(strstr(first, "\"path\": \"whole\""));
  /* The evidence names the line where audit.json states the count, and the figures theirs. */
  assert_non_null(strstr(first, "\"line\": 2"));
  free(first);
  free(second);
}

static void evidence_points_at_its_line(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_bundle bundle = {0};
  char path[256], *text = NULL;
  size_t length;
  put_bundle("lines");
  snprintf(path, sizeof path, "%s/lines", folder);
  if (zh_bundle_read(&bundle, path, 0, &err) != ZH_OK) fail_msg("%s", err.message);
  snprintf(path, sizeof path, "%s/lines/audit.json", folder);
  assert_int_equal(zh_read_file(&text, &length, path, 1 << 20, &err), ZH_OK);
  for (int kind = 0; kind < ZH_COUNTS; kind++) {
    const char *at = text;
    char member[32];
    for (int line = 1; line < bundle.models[0].lines[kind]; line++) at = strchr(at, '\n') + 1;
    snprintf(member, sizeof member, "\"%s\":", zh_count_names[kind]);
    assert_non_null(strstr(at, member));
    assert_true(strstr(at, member) < strchr(at, '\n'));
  }
  free(text);
  zh_bundle_clear(&bundle);
}

static void broken_and_unfinished_bundles_are_refused(void **state) {
  (void)state;
  char *text, path[256];
  zh_error changed = ZH_ERROR_INIT, unfinished = ZH_ERROR_INIT, staged = ZH_ERROR_INIT,
           absent = ZH_ERROR_INIT;
  put_bundle("broken");
  put("broken", "environment/machine.json", "{} ");
  assert_int_equal(evaluate_folder(&text, "broken", &changed), ZH_ERR_CHECK);
  assert_non_null(strstr(changed.message, "environment/machine.json"));
  put_bundle("halfway");
  snprintf(path, sizeof path, "%s/halfway/" ZH_MANIFEST_NAME, folder);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(evaluate_folder(&text, "halfway", &unfinished), ZH_ERR_INPUT);
  assert_non_null(strstr(unfinished.message, "--resume"));
  put_bundle("run.partial");
  assert_int_equal(evaluate_folder(&text, "run.partial", &staged), ZH_ERR_INPUT);
  assert_non_null(strstr(staged.message, "unfinished"));
  assert_int_equal(evaluate_folder(&text, "nowhere", &absent), ZH_ERR_INPUT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_threshold_is_strict),
      cmocka_unit_test(readings_that_differ_are_left_open),
      cmocka_unit_test(an_unknown_count_is_left_open),
      cmocka_unit_test(bounds_that_hold_the_threshold_decide_nothing),
      cmocka_unit_test(submitted_models_come_before_standard_ones),
      cmocka_unit_test(several_models_that_differ_decide_nothing),
      cmocka_unit_test(silence_is_undetermined_and_not_zero),
      cmocka_unit_test(the_award_is_half_and_at_most_2000),
      cmocka_unit_test(papers_and_declarations_pass),
      cmocka_unit_test(an_exclusion_ends_it),
      cmocka_unit_test(a_grant_received_is_an_exclusion),
      cmocka_unit_test(the_last_day_depends_on_its_reading),
      cmocka_unit_test(more_never_harms),
      cmocka_unit_test(applicants_files_are_checked),
      cmocka_unit_test(a_count_of_another_file_is_refused),
      cmocka_unit_test(counts_that_cannot_be_are_refused),
      cmocka_unit_test(invalid_and_unstable_runs_are_marked),
      cmocka_unit_test(runs_with_slowed_gpus_are_marked),
      cmocka_unit_test(two_files_under_one_name_are_refused),
      cmocka_unit_test(the_same_bundle_gives_the_same_bytes),
      cmocka_unit_test(evidence_points_at_its_line),
      cmocka_unit_test(broken_and_unfinished_bundles_are_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
