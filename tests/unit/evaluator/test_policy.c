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
    "level: district\n"
    "title: {zh: 标题, en: title}\n"
    "issuer: {zh: 机关, en: office}\n"
    "date: 2025-03-05\n"
    "status: draft\n"
    "validity: {zh: 三年, en: three years}\n"
    "valid: {from: issue, clause: end, term: 3 年, written: 三年, last_day: eve}\n"
    "source: 原文\n"
    "always: [size]\n"
    "facts:\n"
    "  revenue: {type: money, zh: 收入, en: revenue}\n"
    "  day: {type: date, zh: 日期, en: day}\n"
    "bases: {cost: {zh: 成本, en: cost}}\n"
    "readings:\n"
    "  - reading: which\n"
    "    question: {zh: 哪一种？, en: which?}\n"
    "    choices:\n"
    "      total: {name: {zh: 总数, en: total}, ground: {zh: 字面, en: the letter}}\n"
    "      active: {name: {zh: 激活, en: active}, ground: {zh: 目的, en: the aim}}\n"
    "clauses:\n"
    "  - clause: 一\n"
    "    id: size\n"
    "    kind: condition\n"
    "    quote: 模型参数量超过千亿\n"
    "    heading: {zh: 条件, en: conditions}\n"
    "    test:\n"
    "      kind: parameter_threshold\n"
    "      boundary: 超过\n"
    "      threshold: 100000000000 parameters\n"
    "      written: 千亿\n"
    "      reading: which\n"
    "      counts: {total: unique, active: active}\n"
    "  - clause: 二\n"
    "    id: turnover\n"
    "    kind: condition\n"
    "    quote: 收入不低于2亿元，2024年底前完成\n"
    "    heading: {zh: 收入, en: revenue}\n"
    "    test:\n"
    "      all:\n"
    "        - {id: revenue_met, kind: number, fact: revenue, boundary: 不低于, threshold: 2 "
    "亿元}\n"
    "        - {id: in_time, kind: date, fact: day, boundary: 年底前, on: 2024-12-31}\n"
    "  - clause: 三\n"
    "    id: support\n"
    "    kind: amount\n"
    "    quote: 按不超过成本50%给予补助，最高2000万元\n"
    "    heading: {zh: 补助, en: support}\n"
    "    criterion: {zh: 不超过50%, en: at most 50 %}\n"
    "    requires: [turnover]\n"
    "    base: cost\n"
    "    rate: {at_most: 50 %, word: 不超过}\n"
    "    caps: [{amount: 2000 万元, word: 最高}]\n"
    "  - clause: 四\n"
    "    id: end\n"
    "    kind: procedure\n"
    "    quote: 有效期为三年\n"
    "    heading: {zh: 期限, en: term}\n"
    "stacking: [{rule: higher_of, levels: [district]}]\n"
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
  assert_int_equal(policy->clause_count, 4);
  assert_int_equal(policy->rule_count, 3);
  assert_string_equal(policy->rules[0]->boundary.op, ">");
  assert_int_equal(policy->rules[0]->threshold, INT64_C(100000000000));
  assert_int_equal(policy->rules[1]->threshold, INT64_C(20000000000));
  const zh_amount *amount = zh_policy_clause(policy, "support")->amount;
  assert_int_equal(amount->rate_millionths, 500000);
  assert_int_equal(amount->caps[0].fen, INT64_C(2000000000));
  assert_int_equal(amount->require_count, 1);
  assert_int_equal(policy->valid.term.count, 3);
  zh_policy_free(policy);
}

static void slips_are_named_with_their_place(void **state) {
  (void)state;
  refuses("      boundary: 超过", "      boundry: 超过",
          "unknown key 'boundry'; did you mean 'boundary'?");
  refuses("threshold: 100000000000 parameters", "threshold: 100000000000", "has no unit");
  refuses("threshold: 100000000000 parameters", "threshold: 1 token", "unknown unit 'token'");
  refuses("      boundary: 超过", "      boundary: 不低于", "does not stand in the quote");
  refuses("    quote: 模型参数量超过千亿\n", "", "quote");
  refuses("    quote: 模型参数量超过千亿", "    quote: ''", "");
  refuses("    quote: 模型参数量超过千亿", "    quote: 。，", "expected words of the text");
  refuses("kind: parameter_threshold", "kind: parameter_treshold", "parameter_threshold");
  refuses("    kind: amount", "    kind: amuont", "amount");
  refuses("status: draft", "status: drafty", "draft");
  refuses("level: district", "level: village", "district");
  refuses("date: 2025-03-05", "date: 5 March 2025", "2025-03-05");
  refuses("date: 2025-03-05", "date: 2025-02-29", "2025-03-05");
  refuses("title: {zh: 标题, en: title}", "title: {zh: 标题}", "en");
  refuses("title: {zh: 标题, en: title}", "title: 标题", "");
  refuses("en: which?", "en: 'which {treshold}'", "unknown slot {treshold}");
  refuses("total: unique", "total: uniqe", "unique");
  refuses("total: unique, active", "active", "total");
  refuses("reading: which\n      counts", "reading: wich\n      counts", "did you mean 'which'");
  refuses("word: 最高}]", "word: 以上}]", "does not stand in the quote");
  refuses("requires: [turnover]", "requires: [turnovre]", "did you mean 'turnover'");
  refuses("requires: [turnover]", "requires: [end]", "of kind procedure");
  refuses("base: cost", "base: costs", "did you mean 'cost'");
  refuses("fact: revenue", "fact: revenues", "did you mean 'revenue'");
  refuses("id: end", "id: size", "stands twice");
  refuses("id: end", "id: an end", "Latin letters");
  refuses("id: in_time", "id: revenue_met", "stands twice");
  refuses("last_day: eve", "last_day: evening", "eve");
  refuses("rule: higher_of", "rule: higher", "higher_of");
  refuses("not_tested: [{zh: 其余, en: the rest}]", "not_tested: []", "not an empty list");
}

/* The sample's amount with other limits, and what is said of them. */
static void refuses_limits(const char *caps, const char *part) {
  refuses("    caps: [{amount: 2000 万元, word: 最高}]\n", caps, part);
}

static void technical_figures_stand_in_their_quotes(void **state) {
  (void)state;
  static const char end[] = "    heading: {zh: 期限, en: term}\n";
  static const char with[] =
      "    heading: {zh: 期限, en: term}\n    figures: [{id: a, name: {zh: 一, "
      "en: a}, unit: Gb/s, boundary: %s, threshold: %s}]\n";
  char text[256];
  snprintf(text, sizeof text, with, "不低于", "100 Gb/s");
  refuses(end, text, "does not stand in the quote");
  snprintf(text, sizeof text, with, "不低", "100 Gb/s");
  refuses(end, text, "不低于");
  snprintf(text, sizeof text, with, "不低于", "100 Mb/s");
  refuses(end, text, "Gb/s");
}

static void limits_that_cannot_be_combined_are_refused(void **state) {
  (void)state;
  refuses("word: 最高}]", "word: 最高, unless: end}]", "of kind 'condition'");
  refuses("word: 最高}]", "word: 最高, unless: turnovre}]", "did you mean 'turnover'");
  refuses("word: 最高}]", "word: 最高, per: month}]", "month");
  refuses("word: 不超过}", "word: 不超过, per: person}", "person");
  refuses("word: 最高}]", "word: 最高, per: {reading: which, choices: {total: year}}}]", "active");
  refuses("base: cost", "base: {reading: which, choices: {total: cost, active: costs}}", "cost");
  refuses_limits(
      "    caps: [{amount: 2000 万元, clause: support}, {amount: 2000 万元, clause: support}]\n",
      "at most one cap");
  refuses_limits(
      "    ladder: {name: a, difference: {word: 不超过, reading: which, choices: {total: "
      "paid, active: step}}}\n",
      "did you mean 'steps'");
  refuses("stacking: [{rule: higher_of, levels: [district]}]",
          "stacking: [{rule: joint_limit, rate: 50 %}, {rule: joint_limit, rate: 50 %}]",
          "stands under another joint_limit");
  refuses("{rule: higher_of, levels: [district]}", "{rule: higher_of, levels: []}",
          "at least one level");
  refuses("{rule: higher_of, levels: [district]}", "{rule: yields_to}", "expected the 'clause'");
  refuses("{rule: higher_of, levels: [district]}", "{rule: yields_to, clause: end}", "question");
  refuses("term: 3 年, written: 三年, last_day: eve",
          "until: {reading: which, choices: {total: unstated, active: {date: 2025-01-01}}}",
          "outside");
}

/* A figure that the quote does not have cannot be computed with. */
static void figures_stand_in_their_quotes(void **state) {
  (void)state;
  refuses("at_most: 50 %", "at_most: 51 %", "does not stand in the quote");
  refuses("at_most: 50 %", "at_most: 5 %", "does not stand in the quote");
  refuses("at_most: 50 %", "at_most: 150 %", "at most 100 %");
  refuses("at_most: 50 %", "at_most: 50", "no unit");
  refuses("amount: 2000 万元", "amount: 2001 万元", "does not stand in the quote");
  refuses("amount: 2000 万元", "amount: 200 万元", "does not stand in the quote");
  refuses("amount: 2000 万元", "amount: 00 万元", "does not stand in the quote");
  refuses("amount: 2000 万元", "amount: 2000", "no unit");
  refuses("threshold: 2 亿元", "threshold: 3 亿元", "does not stand in the quote");
  refuses("on: 2024-12-31", "on: 2024-12-30", "stands in the quote");
  refuses("on: 2024-12-31", "on: 2023-12-31", "stands in the quote");
  refuses("term: 3 年, written: 三年", "term: 4 年, written: 三年", "not the figure");
  refuses("term: 3 年, written: 三年", "term: 3 年", "does not stand in the quote");
  refuses("threshold: 100000000000 parameters", "threshold: 100000000001 parameters",
          "not the figure");
  refuses("written: 千亿", "written: 万亿", "does not stand in the quote");
  refuses("最高2000万元\n", "最高2000-5年\n", "does not stand in the quote"); /* years, not money */
}

static void chinese_numbers_are_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t value;
    const char *rest;
  } cases[] = {{"千亿", INT64_C(100000000000), ""},
               {"三年", 3, "年"},
               {"两年内", 2, "年内"},
               {"1000万元", 10000000, "元"},
               {"十", 10, ""},
               {"二十五", 25, ""},
               {"三百零五", 305, ""},
               {"2亿元", 200000000, "元"},
               {"五", 5, ""},
               {"一万二千", 12000, ""}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t value = -1;
    const char *end = NULL;
    assert_true(zh_chinese_number(&value, &end, cases[i].text));
    assert_int_equal(value, cases[i].value);
    assert_string_equal(end, cases[i].rest);
  }
  int64_t value;
  const char *end;
  assert_false(zh_chinese_number(&value, &end, "年"));
  assert_false(zh_chinese_number(&value, &end, ""));
}

/* 超过 must be found as itself, not as the end of 不超过, which means the opposite. */
static void a_negated_word_is_another_word(void **state) {
  (void)state;
  refuses("word: 不超过", "word: 超过", "does not stand in the quote");
  assert_false(zh_word_stands_in("超过", "按不超过成本"));
  assert_true(zh_word_stands_in("超过", "不超过五年，但超过三年"));
}

static void boundary_words_mean_what_they_say(void **state) {
  (void)state;
  static const struct {
    const char *op;
    bool below, at, above;
  } cases[] = {{">", false, false, true},
               {">=", false, true, true},
               {"<=", true, true, false},
               {"<", true, false, false}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(zh_op_holds(cases[i].op, 99, 100), cases[i].below);
    assert_int_equal(zh_op_holds(cases[i].op, 100, 100), cases[i].at);
    assert_int_equal(zh_op_holds(cases[i].op, 101, 100), cases[i].above);
  }
}

/* The operator that each word stands for, by a policy that uses it. */
static void words_have_their_operators(void **state) {
  (void)state;
  static const struct {
    const char *word, *op;
  } cases[] = {{"超过", ">"},  {"突破", ">"},    {"不低于", ">="}, {"不少于", ">="},
               {"以上", ">="}, {"不超过", "<="}, {"最高", "<="},   {"以下", "<="}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    zh_error err = ZH_ERROR_INIT;
    zh_policy *policy = NULL;
    zh_text text = {0};
    char quote[64], boundary[64];
    snprintf(quote, sizeof quote, "收入%s2亿元，2024", cases[i].word);
    snprintf(boundary, sizeof boundary, "boundary: %s, threshold: 2", cases[i].word);
    char *first = changed("收入不低于2亿元，2024", quote);
    const char *at = strstr(first, "boundary: 不低于, threshold: 2");
    assert_non_null(at);
    zh_text_append(&text, first, (size_t)(at - first));
    zh_text_puts(&text, boundary);
    zh_text_puts(&text, at + strlen("boundary: 不低于, threshold: 2"));
    if (zh_policy_load_text(&policy, text.data, text.length, "p.yaml", &err) != ZH_OK)
      fail_msg("%s", err.message);
    assert_string_equal(policy->rules[1]->boundary.op, cases[i].op);
    zh_policy_free(policy);
    zh_text_free(&text);
    free(first);
  }
}

static void days_and_terms(void **state) {
  (void)state;
  zh_date day, other;
  char text[ZH_DATE_BYTES];
  assert_true(zh_date_parse(&day, "1970-01-01"));
  assert_int_equal(day, 0);
  assert_true(zh_date_parse(&day, "2024-02-29"));
  assert_string_equal(zh_date_text(text, zh_date_shift(day, (zh_span){1, ZH_SPAN_YEARS}, 1)),
                      "2025-02-28");
  assert_string_equal(zh_date_text(text, zh_date_shift(day, (zh_span){1, ZH_SPAN_DAYS}, 1)),
                      "2024-03-01");
  assert_true(zh_date_parse(&day, "2026-03-31"));
  assert_string_equal(zh_date_text(text, zh_date_shift(day, (zh_span){1, ZH_SPAN_MONTHS}, -1)),
                      "2026-02-28");
  assert_string_equal(zh_date_text(text, zh_date_shift(day, (zh_span){15, ZH_SPAN_MONTHS}, -1)),
                      "2024-12-31");
  for (int year = 1900; year < 2200; year += 7) {
    char written[ZH_DATE_BYTES];
    snprintf(written, sizeof written, "%04d-12-31", year);
    assert_true(zh_date_parse(&day, written));
    assert_string_equal(zh_date_text(text, day), written);
    assert_int_equal(zh_date_year(day), year);
    snprintf(written, sizeof written, "%04d-01-01", year + 1);
    assert_true(zh_date_parse(&other, written));
    assert_int_equal(other, day + 1);
  }
  static const char *const wrong[] = {"2025-02-29", "2025-13-01", "2025-00-10", "2025-1-10",
                                      "x",          "1900-02-29", "2025-04-31", "20250101xx"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    assert_false(zh_date_parse(&day, wrong[i]));
}

/* Where the published texts are: $ZHIHENG_POLICY_SOURCES, or beside the source tree. */
static bool find_source(char out[4096], const char *file) {
  const char *folder = getenv("ZHIHENG_POLICY_SOURCES");
  if (folder != NULL && folder[0] != '\0')
    snprintf(out, 4096, "%s/%s", folder, file);
  else
    snprintf(out, 4096, "%s/../shared/policy-sources/%s", ZH_SOURCE_DIR, file);
  return zh_is_file(out);
}

static void check_policy(const char *name, size_t *checked) {
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  json_t *result = NULL;
  char path[4096];
  if (zh_policy_load(&policy, name, &err) != ZH_OK) fail_msg("%s", err.message);
  bool there = find_source(path, policy->source_file);
  zh_policy_free(policy);
  if (!there) {
    print_message("skipped: the published text of %s is not here\n", name);
    return;
  }
  if (zh_policy_check(&result, name, path, &err) != ZH_OK) fail_msg("%s", err.message);
  json_t *missing = json_object_get(result, "missing");
  if (json_array_size(missing) > 0)
    fail_msg("%s: %s", name,
             json_string_value(json_object_get(json_array_get(missing, 0), "quote")));
  json_decref(result);
  (*checked)++;
}

/* Every policy of the house loads, and each quote stands in its published text where that is. */
static void published_policies_quote_their_sources(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy_entry *entries = NULL;
  size_t count = 0, checked = 0;
  if (zh_policy_list(&entries, &count, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_true(count >= 6);
  for (size_t i = 0; i < count; i++) check_policy(entries[i].name, &checked);
  free(entries);
  if (checked == 0) skip();
}

/* A page as bad copies are: traditional characters, pinyin, a site's name, a tail of other text. */
static const char page[] = "模型參數(shù)量(liàng)超過千億,\n收入不低于2億元；2024\n年底前完成。"
                           "按不超過成本５０％給予補助,最高某站名2000萬元。標題:有效期為三年";

static void pages_are_normalised_as_the_policy_says(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  bool found[8] = {false};
  size_t missing = 0;
  char *text =
      changed("source: 原文\n", "source: 原文\nnormalisation: {traditional: true, pinyin: true, "
                                "replace: [{from: 最高某站名, to: 最高}]}\n");
  assert_int_equal(zh_policy_load_text(&policy, text, strlen(text), "p.yaml", &err), ZH_OK);
  free(text);
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, page, &err), ZH_OK);
  for (size_t i = 0; i < 4; i++) {
    if (!found[i]) fail_msg("'%s' was not found", policy->clauses[i].quote);
  }
  policy->normalisation.ends_at = "标题:";
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, page, &err), ZH_OK);
  assert_int_equal(missing, 1); /* what stands behind the end is not the policy's */
  assert_false(found[3]);
  policy->normalisation.pinyin = false;
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, page, &err), ZH_OK);
  assert_int_equal(missing, 2);
  policy->normalisation.traditional = false;
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, page, &err), ZH_OK);
  assert_true(missing >= 3);
  zh_policy_free(policy);
}

static void a_wrong_source_is_noticed(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_policy *policy = NULL;
  bool found[8];
  size_t missing;
  static const char good[] = "模型参数量超过千亿。收入不低于2亿元，2024年底前完成。"
                             "按不超过成本50%给予补助，最高2000万元。有效期为三年。",
                    bad[] = "模型参数量超过千亿。收入不低于2亿元，2024年底前完成。"
                            "按不超过成本50%给予补助，最高3000万元。有效期为三年。";
  assert_int_equal(zh_policy_load_text(&policy, sample, strlen(sample), "p.yaml", &err), ZH_OK);
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, good, &err), ZH_OK);
  assert_int_equal(missing, 0);
  assert_int_equal(zh_policy_check_quotes(found, &missing, policy, bad, &err), ZH_OK);
  assert_int_equal(missing, 1);
  assert_false(found[2]);
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
      cmocka_unit_test(technical_figures_stand_in_their_quotes),
      cmocka_unit_test(limits_that_cannot_be_combined_are_refused),
      cmocka_unit_test(figures_stand_in_their_quotes),
      cmocka_unit_test(chinese_numbers_are_read),
      cmocka_unit_test(a_negated_word_is_another_word),
      cmocka_unit_test(words_have_their_operators),
      cmocka_unit_test(days_and_terms),
      cmocka_unit_test(pages_are_normalised_as_the_policy_says),
      cmocka_unit_test(boundary_words_mean_what_they_say),
      cmocka_unit_test(published_policies_quote_their_sources),
      cmocka_unit_test(a_wrong_source_is_noticed),
      cmocka_unit_test(quotes_differ_in_punctuation_alone),
      cmocka_unit_test(unknown_policies_get_a_suggestion),
      cmocka_unit_test(sentences_are_complete_and_filled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
