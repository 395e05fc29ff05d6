#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/policy/policy.h"
#include "evaluator/rules/rules.h"

/* A whole policy, small enough to break in many ways. */
static const char sample[] =
    "policy: sample\n"
    "title: {zh: 标题, en: title}\n"
    "issuer: {zh: 机关, en: office}\n"
    "date: 2025-03-05\n"
    "status: draft\n"
    "validity: {zh: 三年, en: three years}\n"
    "source: 原文\n"
    "text: sources/sample.txt\n"
    "clauses:\n"
    "  - clause: 一\n"
    "    heading: {zh: 条件, en: conditions}\n"
    "    text: 模型参数量超过千亿，按不超过成本50%给予补助，最高2000万元。\n"
    "rules:\n"
    "  - rule: parameters\n"
    "    kind: parameter_threshold\n"
    "    clause: 一\n"
    "    quote: 参数量超过千亿\n"
    "    statement: {zh: 参数量, en: parameters}\n"
    "    criterion: {zh: 超过千亿, en: more than 100 billion}\n"
    "    boundary: 超过\n"
    "    threshold: 100000000000 parameters\n"
    "    readings: [{count: unique, statement: {zh: 总数, en: total}}]\n"
    "    ambiguity: {zh: 无, en: none}\n"
    "  - rule: support\n"
    "    kind: grant\n"
    "    clause: 一\n"
    "    quote: 不超过成本50%给予补助，最高2000万元\n"
    "    statement: {zh: 补助, en: support}\n"
    "    criterion: {zh: 不超过50%, en: at most 50 %}\n"
    "    base: {id: cost, zh: 成本, en: cost}\n"
    "    rate: 50 %\n"
    "    rate_boundary: 不超过\n"
    "    cap: 2000 万元\n"
    "    cap_boundary: 最高\n"
    "not_tested: [{zh: 其余, en: the rest}]\n";

/* The sample with the first `from` turned into `to`. The caller frees. */
static char *changed(const char *from, const char *to) {
  const char *at = strstr(sample, from);
  zh_text text = {0};
  if (at == NULL) fail_msg("the sample has no '%s'", from);
  zh_text_append(&text, sample, (size_t)(at - sample));
  zh_text_puts(&text, to);
  zh_text_puts(&text, at + strlen(from));
  return text.data;
}

static void refuses(const char *from, const char *to, const char *part) {
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  char *text = changed(from, to);
  zh_status status = zh_policy_load_text(&policy, text, strlen(text), "p.yaml", &err);
  free(text);
  if (status != ZH_ERR_INPUT) fail_msg("'%s' for '%s' was taken", to, from);
  assert_null(policy);
  if (strstr(err.message, part) == NULL) fail_msg("'%s' lacks '%s'", err.message, part);
  if (strncmp(err.message, "p.yaml:", 7) != 0) fail_msg("'%s' lacks its place", err.message);
}

static void a_policy_is_read(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  if (zh_policy_load_text(&policy, sample, strlen(sample), "p.yaml", &err) != ZH_OK)
    fail_msg("%s", err.message);
  assert_int_equal(policy->rule_count, 1);
  assert_string_equal(policy->rules[0].boundary->op, ">");
  assert_int_equal(policy->rules[0].threshold, INT64_C(100000000000));
  assert_int_equal(policy->grant->rate_millionths, 500000);
  assert_int_equal(policy->grant->cap_fen, INT64_C(2000000000));
  zh_policy_free(policy);
}

static void slips_are_named_with_their_place(void **state) {
  (void)state;
  refuses("    boundary: 超过", "    boundry: 超过",
          "unknown key 'boundry'; did you mean 'boundary'?");
  refuses("    threshold: 100000000000 parameters", "    threshold: 100000000000", "has no unit");
  refuses("    threshold: 100000000000 parameters", "    threshold: 1 token",
          "unknown unit 'token'");
  refuses("    boundary: 超过", "    boundary: 不低于", "does not stand in the quote");
  refuses("    quote: 参数量超过千亿", "    quote: 参数量超过万亿",
          "does not stand in the text of clause");
  refuses("    quote: 参数量超过千亿\n", "", "quote");
  refuses("    quote: 参数量超过千亿", "    quote: ''", "");
  refuses("    quote: 参数量超过千亿", "    quote: 。，", "does not stand in the text of clause");
  refuses("    clause: 一\n    quote: 参", "    clause: 二\n    quote: 参",
          "there is no clause '二'");
  refuses("kind: parameter_threshold", "kind: parameter_treshold", "parameter_threshold");
  refuses("status: draft", "status: drafty", "draft");
  refuses("date: 2025-03-05", "date: 5 March 2025", "2025-03-05");
  refuses("title: {zh: 标题, en: title}", "title: {zh: 标题}", "en");
  refuses("title: {zh: 标题, en: title}", "title: 标题", "");
  refuses("en: more than 100 billion", "en: 'more than {treshold}'",
          "unknown slot {treshold}; did you mean {threshold}?");
  refuses("en: more than 100 billion", "en: 'more than {'", "closed by '}'");
  refuses("count: unique", "count: uniqe", "unique");
  refuses("    rate: 50 %", "    rate: 150 %", "at most 100 %");
  refuses("    rate: 50 %", "    rate: 50", "no unit");
  refuses("    cap: 2000 万元", "    cap: 2000", "no unit");
  refuses("    cap_boundary: 最高", "    cap_boundary: 以上", "does not stand in the quote");
  refuses("rule: support", "rule: parameters", "stands twice");
  refuses("not_tested: [{zh: 其余, en: the rest}]", "not_tested: []", "not an empty list");
  refuses("not_tested: [{zh: 其余, en: the rest}]", "", "not_tested");
}

/* 超过 must be found as itself, not as the end of 不超过, which means the opposite. */
static void a_negated_word_is_another_word(void **state) {
  (void)state;
  refuses("    rate_boundary: 不超过", "    rate_boundary: 超过", "does not stand in the quote");
}

static const zh_boundary *boundary_of(const char *word) {
  char text[64];
  zh_error err = ZH_ERROR_INIT;
  zh_yaml_doc *doc = NULL;
  const zh_boundary *boundary = NULL;
  snprintf(text, sizeof text, "b: %s\n", word);
  assert_int_equal(zh_yaml_load_text(&doc, text, strlen(text), "b.yaml", &err), ZH_OK);
  zh_status status = zh_boundary_read(&boundary, zh_yaml_get(zh_yaml_root(doc), "b"), word, &err);
  zh_yaml_free(doc);
  if (status != ZH_OK) fail_msg("%s", err.message);
  return boundary;
}

static void boundary_words_mean_what_they_say(void **state) {
  (void)state;
  static const struct {
    const char *word;
    bool below, at, above;
  } cases[] = {
      {"超过", false, false, true},  {"突破", false, false, true}, {"不低于", false, true, true},
      {"不少于", false, true, true}, {"以上", false, true, true},  {"不超过", true, true, false},
      {"最高", true, true, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const zh_boundary *boundary = boundary_of(cases[i].word);
    assert_int_equal(zh_boundary_holds(boundary, 99, 100), cases[i].below);
    assert_int_equal(zh_boundary_holds(boundary, 100, 100), cases[i].at);
    assert_int_equal(zh_boundary_holds(boundary, 101, 100), cases[i].above);
  }
}

static char *read_text(const char *relative) {
  char path[4096];
  zh_error err = ZH_ERROR_INIT;
  char *text = NULL;
  size_t length;
  assert_int_equal(zh_data_path(path, sizeof path, relative, &err), ZH_OK);
  if (zh_read_file(&text, &length, path, 1 << 20, &err) != ZH_OK) fail_msg("%s", err.message);
  return text;
}

/* Every policy of the house: loads, and each clause and quote stands in its source text. */
static void published_policies_quote_their_sources(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy_entry *entries = NULL;
  size_t count = 0;
  if (zh_policy_list(&entries, &count, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_true(count >= 1);
  for (size_t i = 0; i < count; i++) {
    char relative[512];
    zh_policy *policy = NULL;
    if (zh_policy_load(&policy, entries[i].name, &err) != ZH_OK) fail_msg("%s", err.message);
    snprintf(relative, sizeof relative, "evaluator/policies/%s", policy->text_file);
    char *source = read_text(relative);
    if (zh_policy_check_quotes(policy, source, &err) != ZH_OK) fail_msg("%s", err.message);
    for (size_t r = 0; r < policy->rule_count; r++)
      assert_true(zh_quote_occurs(policy->rules[r].quote, source));
    assert_true(zh_quote_occurs(policy->grant->quote, source));
    free(source);
    zh_policy_free(policy);
  }
  free(entries);
}

static void a_wrong_source_is_noticed(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  assert_int_equal(zh_policy_load(&policy, "songjiang-2025-draft", &err), ZH_OK);
  char *source = read_text("evaluator/policies/sources/songjiang-2025-draft.txt");
  char *figure = strstr(source, "最高可给予2000万元");
  assert_non_null(figure);
  figure[strlen("最高可给予")] = '3';
  assert_int_equal(zh_policy_check_quotes(policy, source, &err), ZH_ERR_CHECK);
  assert_non_null(strstr(err.message, "三(一)2"));
  free(source);
  zh_policy_free(policy);
}

static void quotes_differ_in_punctuation_alone(void **state) {
  (void)state;
  assert_true(zh_quote_occurs("投入运营且落地在松江，具有",
                              "已完成建设、验收,投入运营\n且落地在松江,具有"));
  assert_true(zh_quote_occurs("研发成本50%的", "不超过研发成本５０％的标准"));
  assert_true(zh_quote_occurs("研发成本50%的", "不超过研发成本 50% 的标准"));
  assert_false(zh_quote_occurs("研发成本50%的", "不超过研发成本80%的标准"));
  assert_false(zh_quote_occurs("", "文本"));
  assert_false(zh_quote_occurs("，。", "文，本。"));
  assert_false(zh_quote_occurs("参数", "#参数\n"));
}

static void unknown_policies_get_a_suggestion(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  assert_int_equal(zh_policy_load(&policy, "songjiang-2025-drat", &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "did you mean 'songjiang-2025-draft'"));
  assert_null(policy);
}

static void sentences_are_complete_and_filled(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_words *words = NULL;
  if (zh_words_load(&words, &err) != ZH_OK) fail_msg("%s", err.message);
  for (int i = 0; i < ZH_WORD_COUNT; i++) {
    assert_non_null(zh_word_of(words, (zh_word)i)->zh);
    assert_non_null(zh_word_of(words, (zh_word)i)->en);
  }
  zh_words_free(words);
  const zh_phrase phrase = {"共{value}个{other}", "{value}{value}"};
  const zh_slot slots[] = {{"value", "三", "3"}};
  json_t *filled = zh_phrase_json(&phrase, slots, 1);
  assert_string_equal(json_string_value(json_object_get(filled, "zh")), "共三个{other}");
  assert_string_equal(json_string_value(json_object_get(filled, "en")), "33");
  json_decref(filled);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_policy_is_read),
      cmocka_unit_test(slips_are_named_with_their_place),
      cmocka_unit_test(a_negated_word_is_another_word),
      cmocka_unit_test(boundary_words_mean_what_they_say),
      cmocka_unit_test(published_policies_quote_their_sources),
      cmocka_unit_test(a_wrong_source_is_noticed),
      cmocka_unit_test(quotes_differ_in_punctuation_alone),
      cmocka_unit_test(unknown_policies_get_a_suggestion),
      cmocka_unit_test(sentences_are_complete_and_filled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
