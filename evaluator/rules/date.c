/* A day before or after another, or within a span before the day of application. */
#include <stdio.h>
#include <string.h>

#include "evaluator/policy/read.h"
#include "evaluator/rules/stated.h"

static const char *const keys[] = {"fact", "boundary", "on", "within", "written", NULL};

static zh_status read_within(zh_rule *rule, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *within = zh_yaml_get(map, "within");
  if (zh_yaml_get(map, "on") != NULL || zh_yaml_get(map, "boundary") != NULL)
    return zh_yaml_fail(err, within, "expected 'boundary' and 'on', or 'within'");
  ZH_TRY(zh_span_read(&rule->within, within, err));
  return zh_check_span(within, map, "written", rule->quote, rule->within, err);
}

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  const zh_yaml_node *on, *boundary;
  ZH_TRY(zh_require_fact(&rule->fact, policy, map, "fact", err));
  if (rule->fact->type != ZH_FACT_DATE)
    return zh_yaml_fail(err, zh_yaml_get(map, "fact"), "expected a fact of type date");
  if (zh_yaml_get(map, "within") != NULL) return read_within(rule, map, err);
  ZH_TRY(zh_yaml_require(&boundary, map, "boundary", err));
  ZH_TRY(zh_read_boundary(&rule->boundary, policy, boundary, rule->quote, true, err));
  ZH_TRY(zh_yaml_require(&on, map, "on", err));
  ZH_TRY(zh_date_read(&rule->on, on, err));
  return zh_check_date(on, rule->quote, rule->on, err);
}

/* Within: not before the span's beginning and not after the application. */
static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  if (claim == NULL) return ZH_UNDETERMINED;
  if (rule->within.count == 0) {
    const char *op = zh_boundary_op(&rule->boundary, readings);
    return zh_stated_verdict(claim, zh_op_holds(op, claim->number, rule->on));
  }
  zh_date application = c->applicant->application;
  if (application == ZH_NO_DATE) return ZH_UNDETERMINED;
  bool holds =
      claim->number >= zh_date_shift(application, rule->within, -1) && claim->number <= application;
  return zh_stated_verdict(claim, holds);
}

static json_t *needed_json(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  char from[ZH_DATE_BYTES] = "?", to[ZH_DATE_BYTES] = "?";
  zh_word word = ZH_WORD_needed_between;
  if (rule->within.count > 0) {
    zh_date application = c->applicant == NULL ? ZH_NO_DATE : c->applicant->application;
    if (application == ZH_NO_DATE)
      return zh_plain_phrase(zh_word_of(c->words, ZH_WORD_needed_application));
    zh_date_text(from, zh_date_shift(application, rule->within, -1));
    zh_date_text(to, application);
  } else {
    const char *op = zh_boundary_op(&rule->boundary, readings);
    int step = op[1] == '=' ? 0 : op[0] == '>' ? 1 : -1;
    zh_date_text(from, rule->on + step);
    word = op[0] == '>' ? ZH_WORD_needed_from : ZH_WORD_needed_until;
  }
  const zh_slot slots[] = {{"from", from, from}, {"to", to, to}};
  return zh_phrase_json(zh_word_of(c->words, word), slots, 2);
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  char day[ZH_DATE_BYTES] = "";
  if (claim != NULL) zh_date_text(day, (zh_date)claim->number);
  json_t *needed = needed_json(c, rule, readings);
  const zh_phrase value = {day, day}, wanted = {json_string_value(json_object_get(needed, "zh")),
                                                json_string_value(json_object_get(needed, "en"))};
  out->verdict = decide(c, rule, readings);
  zh_stated_explain(out, c, rule, &value, &wanted);
  bool no_application =
      claim != NULL && rule->within.count > 0 && c->applicant->application == ZH_NO_DATE;
  if (no_application) {
    json_decref(out->would);
    out->would = zh_plain_phrase(zh_word_of(c->words, ZH_WORD_needed_application));
  }
  json_decref(needed);
}

static bool depends(const zh_rule *rule, const zh_reading *reading) {
  return rule->boundary.reading == reading;
}

const zh_rule_kind zh_rule_date = {.name = "date",
                                   .keys = keys,
                                   .read = read,
                                   .decide = decide,
                                   .explain = explain,
                                   .depends = depends};
