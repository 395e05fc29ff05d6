/* Pages: nothing hostile gets through, nothing missing is passed over, the same input gives the
 * same bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "reports/mustache_shim.h"
#include "reports/reports.h"

static json_t *sample(void) {
  zh_error err = ZH_ERROR_INIT;
  json_t *value = NULL;
  if (zh_json_load_file(&value, ZH_SOURCE_DIR "/tests/golden/report/evaluation.json", 0, &err) !=
      ZH_OK)
    fail_msg("%s", err.message);
  return value;
}

static char *page(const json_t *evaluation, const char *language) {
  zh_error err = ZH_ERROR_INIT;
  char *html = NULL;
  if (zh_report_html(&html, evaluation, language, &err) != ZH_OK) fail_msg("%s", err.message);
  return html;
}

static json_t *at(json_t *list, size_t i) {
  return json_array_get(list, i);
}
static json_t *get(json_t *object, const char *key) {
  return json_object_get(object, key);
}

static void test_both_languages_say_what_was_found(void **state) {
  (void)state;
  json_t *evaluation = sample();
  char *zh = page(evaluation, "zh"), *en = page(evaluation, "en");
  static const char *const in_zh[] = {"lang=\"zh-CN\"",
                                      "评测报告",
                                      "134,515,008",
                                      "1.35",
                                      "不符合",
                                      "不能判定",
                                      "通用大模型参数量超过千亿",
                                      "依据征求意见稿",
                                      "以下空白",
                                      "解码速度",
                                      "61.2",
                                      "GB/s",
                                      "样例"};
  static const char *const in_en[] = {"lang=\"en\"",   "Evaluation report",
                                      "135 million",   "Not met",
                                      "Undetermined",  "通用大模型参数量超过千亿",
                                      "DRAFT POLICY",  "Decode rate",
                                      "End of report", "SAMPLE"};
  for (size_t i = 0; i < sizeof in_zh / sizeof *in_zh; i++) assert_non_null(strstr(zh, in_zh[i]));
  for (size_t i = 0; i < sizeof in_en / sizeof *in_en; i++) assert_non_null(strstr(en, in_en[i]));
  free(zh);
  free(en);
  json_decref(evaluation);
}

static void test_same_input_same_bytes(void **state) {
  (void)state;
  json_t *evaluation = sample();
  char *first = page(evaluation, "zh"), *second = page(evaluation, "zh");
  assert_string_equal(first, second);
  free(first);
  free(second);
  json_decref(evaluation);
}

/* Every string of the document becomes an attack; the page must stay the page. */
static void poison(json_t *value, const char *key) {
  static const char attack[] =
      "</title><script>alert('x')</script><img src=\"http://evil.example/\" "
      "onerror=\"x\">&{{report_id}}\xE2\x80\xAE\x1b[31m";
  static const char *const kept[] = {"schema",      "sm3",  "manifest_sm3",  "sha256",   "plan_sm3",
                                     "started_utc", "when", "finished_utc",  "verdict",  "file_sm3",
                                     "kind",        "yuan", "policy_status", "language", "total",
                                     "active",      NULL};
  const char *name;
  json_t *member;
  size_t i;
  for (i = 0; key && kept[i]; i++)
    if (strcmp(kept[i], key) == 0 || strstr(key, "_yuan")) return;
  if (json_is_string(value)) json_string_set_nocheck(value, attack);
  if (json_is_object(value)) json_object_foreach(value, name, member) poison(member, name);
  if (json_is_array(value)) json_array_foreach(value, i, member) poison(member, key);
}

static void test_hostile_text_stays_text(void **state) {
  (void)state;
  json_t *evaluation = sample();
  poison(evaluation, NULL);
  for (int i = 0; i < 2; i++) {
    char *html = page(evaluation, i ? "zh" : "en");
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<img"));
    assert_null(strstr(html, "src=\""));
    assert_null(strstr(html, "{{report_id}}</title>"));
    assert_null(strstr(html, "\xE2\x80\xAE")); /* right-to-left override */
    assert_null(strchr(html, '\x1b'));
    assert_non_null(strstr(html, "&lt;script&gt;alert(&#39;x&#39;)"));
    free(html);
  }
  json_decref(evaluation);
}

/* Takes one member away; a message must name it. */
static void expect_missing(json_t *evaluation, json_t *object, const char *key) {
  zh_error err = ZH_ERROR_INIT;
  char *html = NULL;
  assert_non_null(get(object, key));
  json_object_del(object, key);
  assert_int_equal(zh_report_html(&html, evaluation, "zh", &err), ZH_ERR_INPUT);
  assert_null(html);
  assert_non_null(strstr(err.message, key));
  json_decref(evaluation);
}

static void test_missing_members_are_errors(void **state) {
  (void)state;
  static const char *const top[] = {"schema",       "policy",      "bundle",   "models",
                                    "measurements", "applicant",   "marks",    "subject",
                                    "findings",     "grants",      "summary",  "not_tested",
                                    "counts",       "combination", "readings", "clauses"};
  for (size_t i = 0; i < sizeof top / sizeof *top; i++) {
    json_t *evaluation = sample();
    expect_missing(evaluation, evaluation, top[i]);
  }
  static const char *const finding[] = {"clause",  "statement", "criterion",
                                        "verdict", "reason",    "evidence"};
  for (size_t i = 0; i < sizeof finding / sizeof *finding; i++) {
    json_t *evaluation = sample();
    expect_missing(evaluation, at(get(evaluation, "findings"), 3), finding[i]);
  }
  json_t *evaluation = sample();
  expect_missing(evaluation, at(get(evaluation, "measurements"), 2), "unit");
  evaluation = sample();
  expect_missing(evaluation, get(at(get(evaluation, "bundle"), 0), "run"), "stability");
  static const char *const grant[] = {
      "clause",   "title",        "criterion",  "verdict", "statement", "base", "calculation",
      "readings", "alternatives", "would_take", "terms",   "people",    "proof"};
  for (size_t i = 0; i < sizeof grant / sizeof *grant; i++) {
    evaluation = sample();
    expect_missing(evaluation, at(get(evaluation, "grants"), 1), grant[i]);
  }
  evaluation = sample(); /* one language alone is not enough */
  expect_missing(evaluation, get(at(get(evaluation, "findings"), 0), "reason"), "zh");
}

static void expect_refused(json_t *evaluation, const char *word) {
  zh_error err = ZH_ERROR_INIT;
  char *html = NULL;
  assert_int_equal(zh_report_html(&html, evaluation, "en", &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, word));
  json_decref(evaluation);
}

static void test_wrong_values_are_errors(void **state) {
  (void)state;
  json_t *evaluation = sample();
  json_object_set_new(at(get(evaluation, "findings"), 0), "verdict", json_string("passed"));
  expect_refused(evaluation, "verdict");
  evaluation = sample();
  json_object_set_new(get(evaluation, "policy"), "sm3", json_string("abc"));
  expect_refused(evaluation, "digest");
  evaluation = sample();
  json_object_set_new(get(evaluation, "subject"), "model", json_string("another"));
  expect_refused(evaluation, "subject");
  evaluation = sample();
  json_object_set_new(get(at(get(evaluation, "bundle"), 0), "run"), "finished_utc",
                      json_string("today"));
  expect_refused(evaluation, "time");
  evaluation = sample();
  json_object_set_new(at(get(evaluation, "grants"), 1), "up_to_yuan", json_string("20,000"));
  expect_refused(evaluation, "yuan");
  evaluation = sample();
  json_t *first = at(get(get(evaluation, "combination"), "by_reading"), 0);
  json_array_append_new(get(get(first, "certain"), "chosen"), json_string("unheard_of"));
  expect_refused(evaluation, "grants");
}

static void test_instability_and_failure_show_everywhere(void **state) {
  (void)state;
  json_t *evaluation = sample();
  json_t *run = get(at(get(evaluation, "bundle"), 0), "run");
  char *calm = page(evaluation, "en");
  assert_null(strstr(calm, "UNSTABLE"));
  assert_null(strstr(calm, "INVALID RUN"));
  json_object_set_new(get(run, "stability"), "stable", json_false());
  json_object_set_new(run, "valid", json_false());
  json_object_set_new(run, "fault", json_string("weight"));
  char *alarmed = page(evaluation, "en");
  assert_non_null(strstr(alarmed, "UNSTABLE"));
  assert_non_null(strstr(alarmed, "INVALID RUN"));
  assert_non_null(strstr(alarmed, "Injected fault"));
  assert_non_null(strstr(alarmed, "<strong>unstable</strong>"));
  free(calm);
  free(alarmed);
  json_decref(evaluation);
}

static void set_grant(json_t *evaluation, const char *verdict, json_t *yuan, json_t *if_all_hold) {
  json_t *grant = at(get(evaluation, "grants"), 1);
  json_object_set_new(grant, "verdict", json_string(verdict));
  json_object_set_new(grant, "up_to_yuan", yuan);
  json_object_set_new(grant, "if_all_hold_yuan", if_all_hold);
  json_object_set_new(grant, "range", json_null());
}

static void expect_amount(json_t *evaluation, const char *in_zh, const char *in_en) {
  char *zh = page(evaluation, "zh"), *en = page(evaluation, "en");
  if (!strstr(zh, in_zh)) fail_msg("not on the page: %s", in_zh);
  if (!strstr(en, in_en)) fail_msg("not on the page: %s", in_en);
  free(zh);
  free(en);
}

static void test_amounts_are_bounds(void **state) {
  (void)state;
  json_t *evaluation = sample();
  set_grant(evaluation, "pass", json_string("12345000.00"), json_null());
  expect_amount(evaluation, "最高 <span class=\"money\">1,234.5 万元</span>",
                "up to <span class=\"money\">CNY 12,345,000</span>");
  set_grant(evaluation, "undetermined", json_null(), json_string("87654300.01"));
  expect_amount(evaluation, "条件全部成立时</span>最高 <span class=\"money\">8,765.430001 万元",
                "if all conditions hold,</span> up to <span class=\"money\">CNY 87,654,300.01");
  set_grant(evaluation, "undetermined", json_null(), json_null());
  expect_amount(evaluation, "没有可据以计算的数额", "no figure to compute with");
  json_object_set_new(at(get(evaluation, "grants"), 1), "range",
                      json_pack("{s:s, s:s}", "low_yuan", "11.00", "high_yuan", "7770000.00"));
  expect_amount(
      evaluation, "0.0011 万元</span> 至 <span class=\"money\">777 万元",
      "from <span class=\"money\">CNY 11</span> up to <span class=\"money\">CNY 7,770,000");
  json_decref(evaluation);
}

/* The applicant's papers alone: no run, no model. */
static void test_without_a_bundle(void **state) {
  (void)state;
  json_t *evaluation = sample();
  json_array_clear(get(evaluation, "bundle"));
  json_array_clear(get(evaluation, "models"));
  json_array_clear(get(evaluation, "measurements"));
  json_object_set_new(get(evaluation, "subject"), "model", json_null());
  json_array_clear(get(get(evaluation, "subject"), "models"));
  char *zh = page(evaluation, "zh"), *en = page(evaluation, "en");
  assert_non_null(strstr(zh, "未测试，只审查申报材料"));
  assert_non_null(strstr(en, "Not tested; the papers alone were looked at"));
  assert_null(strstr(zh, "方法与自检"));
  assert_null(strstr(en, "Self-checks"));
  free(zh);
  free(en);
  json_decref(evaluation);
}

static void test_a_tag_without_a_value_is_an_error(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char *out = NULL;
  json_t *model = json_pack("{s:s, s:[{s:s}], s:b}", "here", "<1>", "list", "inner", "x", "off", 0);
  assert_int_equal(zh_mustache_render(&out, "t",
                                      "{{here}}{{#list}}{{inner}}{{/list}}{{#off}}{{no}}{{/off}}",
                                      model, NULL, 0, &err),
                   ZH_OK);
  assert_string_equal(out, "&lt;1&gt;x");
  free(out);
  static const char *const bad[] = {"{{gone}}",
                                    "{{#gone}}{{/gone}}",
                                    "{{^gone}}{{/gone}}",
                                    "{{> gone}}",
                                    "{{#list}}{{gone}}{{/list}}",
                                    "{{#list}}",
                                    "{{here",
                                    "{{{here}}}",
                                    "{{&here}}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    zh_error wrong = ZH_ERROR_INIT;
    assert_int_equal(zh_mustache_render(&out, "t", bad[i], model, NULL, 0, &wrong), ZH_ERR_INPUT);
    assert_null(out);
    assert_true(wrong.message[0] != '\0');
  }
  json_decref(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_both_languages_say_what_was_found),
      cmocka_unit_test(test_same_input_same_bytes),
      cmocka_unit_test(test_hostile_text_stays_text),
      cmocka_unit_test(test_missing_members_are_errors),
      cmocka_unit_test(test_wrong_values_are_errors),
      cmocka_unit_test(test_instability_and_failure_show_everywhere),
      cmocka_unit_test(test_amounts_are_bounds),
      cmocka_unit_test(test_without_a_bundle),
      cmocka_unit_test(test_a_tag_without_a_value_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
