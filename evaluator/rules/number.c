/* A number against a threshold, with its boundary word; 首次 asks that no earlier year met it. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/exact.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/stated.h"

static const char *const keys[] = {"fact",    "boundary",   "threshold", "written",
                                   "earlier", "first_word", NULL};

static zh_status read_earlier(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                              zh_error *err) {
  const zh_yaml_node *word = zh_yaml_get(map, "first_word");
  const char *text;
  if (zh_yaml_get(map, "earlier") == NULL)
    return word == NULL ? ZH_OK : zh_yaml_fail(err, word, "'first_word' belongs to 'earlier'");
  ZH_TRY(zh_require_fact(&rule->earlier, policy, map, "earlier", err));
  if (rule->earlier->type != rule->fact->type)
    return zh_yaml_fail(err, zh_yaml_get(map, "earlier"), "expected a fact of the same type");
  ZH_TRY(zh_yaml_require(&word, map, "first_word", err));
  ZH_TRY(zh_yaml_string(&text, word, err));
  if (strstr(rule->quote, text) != NULL) return ZH_OK;
  return zh_yaml_fail(err, word, "'%s' does not stand in the quote '%s'", text, rule->quote);
}

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  const zh_yaml_node *threshold, *boundary;
  ZH_TRY(zh_require_fact(&rule->fact, policy, map, "fact", err));
  ZH_TRY(zh_yaml_require(&threshold, map, "threshold", err));
  ZH_TRY(zh_yaml_require(&boundary, map, "boundary", err));
  ZH_TRY(zh_read_boundary(&rule->boundary, policy, boundary, rule->quote, false, err));
  if (rule->fact->type == ZH_FACT_MONEY)
    ZH_TRY(zh_money_read(&rule->threshold, threshold, err));
  else if (rule->fact->type == ZH_FACT_COUNT)
    ZH_TRY(zh_count_read(&rule->threshold, rule->fact->unit, threshold, err));
  else
    return zh_yaml_fail(err, zh_yaml_get(map, "fact"), "expected a fact of type money or count");
  ZH_TRY(zh_check_figure(threshold, map, rule->quote, rule->threshold, err));
  return read_earlier(rule, policy, map, err);
}

/* No earlier year met it. Without a word on earlier years that is not known. */
static zh_verdict first_time(const zh_case *c, const zh_rule *rule, const char *op) {
  const zh_claim *earlier = zh_stated(c, rule->earlier);
  if (rule->earlier == NULL) return ZH_PASS;
  return zh_stated_verdict(earlier,
                           earlier != NULL && !zh_op_holds(op, earlier->number, rule->threshold));
}

static zh_verdict now(const zh_case *c, const zh_rule *rule, const char *op) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  return zh_stated_verdict(claim, claim != NULL && zh_op_holds(op, claim->number, rule->threshold));
}

static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  const char *op = zh_boundary_op(&rule->boundary, readings);
  zh_verdict a = now(c, rule, op), b = first_time(c, rule, op);
  if (a == ZH_FAIL || b == ZH_FAIL) return ZH_FAIL;
  return a == ZH_PASS && b == ZH_PASS ? ZH_PASS : ZH_UNDETERMINED;
}

/* "4,000 万元" / "40,000,000 yuan"; "100 Gb/s". */
static void write_number(char zh[96], char en[96], const zh_fact *fact, int64_t value) {
  char digits[48];
  if (fact->type == ZH_FACT_MONEY) {
    snprintf(zh, 96, "%s 万元", zh_wan_yuan_text(digits, sizeof digits, value));
    snprintf(en, 96, "%s yuan", zh_yuan_text(digits, sizeof digits, value));
    return;
  }
  zh_group_digits(digits, sizeof digits, (uint64_t)value);
  snprintf(zh, 96, "%s %.40s", digits, fact->unit);
  snprintf(en, 96, "%s %.40s", digits, fact->unit);
}

/* The sentence for a boundary: what is wanted where nothing is stated, and how far off a number is
 * that does not meet it. */
static zh_word needed_word(const char *op, const int64_t *off) {
  bool strict = op[1] == '\0', more = op[0] == '>';
  if (off == NULL && more) return strict ? ZH_WORD_needed_more_than : ZH_WORD_needed_at_least;
  if (off == NULL) return strict ? ZH_WORD_needed_less_than : ZH_WORD_needed_at_most;
  if (*off == 0) return more ? ZH_WORD_needed_equal_more : ZH_WORD_needed_equal_less;
  if (more) return strict ? ZH_WORD_needed_more_than_short : ZH_WORD_needed_at_least_short;
  return strict ? ZH_WORD_needed_less_than_over : ZH_WORD_needed_at_most_over;
}

/* The change that decides it: the threshold as the text has it, and the distance to it. */
static json_t *needed_json(const zh_case *c, const zh_rule *rule, const char *op) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  char zh[96], en[96], by_zh[96] = "", by_en[96] = "";
  bool unmet = claim != NULL && !zh_op_holds(op, claim->number, rule->threshold);
  int64_t off = 0;
  write_number(zh, en, rule->fact, rule->threshold);
  if (unmet) {
    off = op[0] == '>' ? rule->threshold - claim->number : claim->number - rule->threshold;
    write_number(by_zh, by_en, rule->fact, off);
  }
  const zh_slot slots[] = {{"value", zh, en}, {"missing", by_zh, by_en}};
  return zh_phrase_json(zh_word_of(c->words, needed_word(op, unmet ? &off : NULL)), slots, 2);
}

/* Only the earlier years stand in the way: say so instead. */
static void explain_first(zh_judgement *out, const zh_case *c, const zh_rule *rule) {
  const zh_claim *earlier = zh_stated(c, rule->earlier);
  const zh_phrase *name = &rule->earlier->name;
  char zh[96] = "", en[96] = "";
  if (earlier != NULL) write_number(zh, en, rule->earlier, earlier->number);
  const zh_slot slots[] = {{"name", name->zh, name->en}, {"value", zh, en}};
  zh_word reason = out->verdict == ZH_FAIL ? ZH_WORD_fact_not_first
                   : earlier == NULL       ? ZH_WORD_fact_undetermined
                                           : ZH_WORD_fact_unproven;
  zh_word would = out->verdict == ZH_FAIL ? ZH_WORD_would_not_first
                  : earlier == NULL       ? ZH_WORD_would_state
                                          : ZH_WORD_would_prove;
  json_decref(out->reason);
  json_decref(out->would);
  out->reason = zh_phrase_json(zh_word_of(c->words, reason), slots, 2);
  out->would = zh_phrase_json(zh_word_of(c->words, would), slots, 2);
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  const char *op = zh_boundary_op(&rule->boundary, readings);
  const zh_claim *claim = zh_stated(c, rule->fact);
  char zh[96] = "", en[96] = "";
  if (claim != NULL) write_number(zh, en, rule->fact, claim->number);
  json_t *needed = needed_json(c, rule, op);
  const zh_phrase value = {zh, en}, wanted = {json_string_value(json_object_get(needed, "zh")),
                                              json_string_value(json_object_get(needed, "en"))};
  zh_verdict whole = decide(c, rule, readings), alone = now(c, rule, op);
  out->verdict = alone == ZH_PASS ? whole : alone;
  zh_stated_explain(out, c, rule, &value, &wanted);
  out->verdict = whole;
  bool first = alone == ZH_PASS ? whole != ZH_PASS : alone == ZH_UNDETERMINED && whole == ZH_FAIL;
  if (first) explain_first(out, c, rule);
  json_decref(needed);
}

static bool depends(const zh_rule *rule, const zh_reading *reading) {
  return rule->boundary.reading == reading;
}

const zh_rule_kind zh_rule_number = {.name = "number",
                                     .keys = keys,
                                     .read = read,
                                     .decide = decide,
                                     .explain = explain,
                                     .depends = depends};
