/* A model's parameters against a threshold, under every reading of "parameters" that the clause
 * admits. Where the readings differ, the condition is undetermined: choosing one is the authority's
 * matter. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/exact.h"
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"boundary", "threshold", "readings", "ambiguity", NULL};
static const char *const reading_keys[] = {"count", "statement", NULL};

static zh_status read_reading(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena,
                              zh_error *err) {
  zh_reading *reading = &rule->readings[rule->reading_count];
  const zh_yaml_node *node;
  size_t which;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a reading with 'count' and 'statement'", err));
  ZH_TRY(zh_yaml_expect_keys(map, reading_keys, err));
  ZH_TRY(zh_yaml_require(&node, map, "count", err));
  ZH_TRY(zh_yaml_word(&which, node, zh_count_names, err));
  reading->count = (zh_count_kind)which;
  for (size_t i = 0; i < rule->reading_count; i++) {
    if (rule->readings[i].count == reading->count)
      return zh_yaml_fail(err, node, "this count stands twice");
  }
  rule->reading_count++;
  return zh_phrase_require(&reading->statement, map, "statement", arena, err);
}

static zh_status read(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_require(&node, map, "boundary", err));
  ZH_TRY(zh_boundary_read(&rule->boundary, node, rule->quote, err));
  ZH_TRY(zh_yaml_require(&node, map, "threshold", err));
  ZH_TRY(zh_parameters_read(&rule->threshold, node, err));
  ZH_TRY(zh_phrase_require(&rule->ambiguity, map, "ambiguity", arena, err));
  ZH_TRY(zh_yaml_require(&node, map, "readings", err));
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_LIST, "a list of readings", err));
  if (zh_yaml_count(node) < 1 || zh_yaml_count(node) > ZH_MAX_READINGS) {
    return zh_yaml_fail(err, node, "expected one to %d readings", ZH_MAX_READINGS);
  }
  for (size_t i = 0; i < zh_yaml_count(node); i++)
    ZH_TRY(read_reading(rule, zh_yaml_item(node, i), arena, err));
  return ZH_OK;
}

/* By one reading alone. */
static zh_verdict judge(const zh_rule *rule, const zh_audited *model, size_t reading) {
  int64_t value = model->counts[rule->readings[reading].count];
  if (value < 0) return ZH_UNDETERMINED;
  return zh_boundary_holds(rule->boundary, value, rule->threshold) ? ZH_PASS : ZH_FAIL;
}

static zh_verdict combine(zh_verdict a, zh_verdict b) {
  return a == b ? a : ZH_UNDETERMINED;
}

static zh_verdict judge_model(const zh_rule *rule, const zh_audited *model) {
  zh_verdict verdict = judge(rule, model, 0);
  for (size_t i = 1; i < rule->reading_count; i++)
    verdict = combine(verdict, judge(rule, model, i));
  return verdict;
}

/* "statement value: verdict; …" of every reading. */
static void describe_readings(zh_text *out, const zh_case *c, const zh_rule *rule,
                              const zh_audited *model, bool chinese) {
  for (size_t i = 0; i < rule->reading_count; i++) {
    const zh_phrase *statement = &rule->readings[i].statement;
    const zh_phrase *name = zh_word_of(c->words, ZH_WORD_names_pass + (int)judge(rule, model, i));
    int64_t value = model->counts[rule->readings[i].count];
    char digits[32] = "?";
    if (value >= 0) zh_group_digits(digits, sizeof digits, (uint64_t)value);
    if (i > 0) zh_text_puts(out, chinese ? "；" : "; ");
    if (chinese)
      zh_text_printf(out, "%s %s，%s", statement->zh, digits, name->zh);
    else
      zh_text_printf(out, "%s: %s, %s", statement->en, digits, name->en);
  }
}

static json_t *reason(const zh_case *c, const zh_rule *rule, const zh_audited *model,
                      size_t reading, zh_verdict verdict) {
  zh_verdict alone = judge(rule, model, reading);
  int64_t value = model->counts[rule->readings[reading].count];
  char digits[32] = "?", threshold[32];
  if (value >= 0) zh_group_digits(digits, sizeof digits, (uint64_t)value);
  zh_group_digits(threshold, sizeof threshold, (uint64_t)rule->threshold);
  zh_text zh = {0}, en = {0};
  describe_readings(&zh, c, rule, model, true);
  describe_readings(&en, c, rule, model, false);
  const zh_phrase *name = zh_word_of(c->words, ZH_WORD_names_pass + (int)alone);
  const zh_slot slots[] = {
      {"value", digits, digits},
      {"threshold", threshold, threshold},
      {"boundary", rule->boundary->word, rule->boundary->word},
      {"op", rule->boundary->op, rule->boundary->op},
      {"alone", name->zh, name->en},
      {"readings", zh_text_string(&zh), zh_text_string(&en)},
      {"ambiguity", rule->ambiguity.zh, rule->ambiguity.en},
  };
  zh_word word = alone == ZH_UNDETERMINED ? ZH_WORD_parameter_threshold_unknown
                 : verdict != alone       ? ZH_WORD_parameter_threshold_differ
                 : verdict == ZH_PASS     ? ZH_WORD_parameter_threshold_pass
                                          : ZH_WORD_parameter_threshold_fail;
  json_t *text = zh_phrase_json(zh_word_of(c->words, word), slots, sizeof slots / sizeof slots[0]);
  zh_text_free(&zh);
  zh_text_free(&en);
  return text;
}

static json_t *statement(const zh_case *c, const zh_reading *reading, const zh_audited *model) {
  if (c->subject_count == 1) return zh_plain_phrase(&reading->statement);
  const zh_slot slots[] = {{"statement", reading->statement.zh, reading->statement.en},
                           {"model", model->name, model->name}};
  return zh_phrase_json(zh_word_of(c->words, ZH_WORD_parameter_threshold_of_model), slots, 2);
}

static json_t *evidence(const zh_case *c, const zh_audited *model, zh_count_kind count) {
  const zh_slot slots[] = {{"sm3", model->sm3, model->sm3}};
  const zh_phrase *what = zh_word_of(c->words, ZH_WORD_parameter_threshold_evidence);
  return json_pack("[o]", zh_evidence(model->bundle, "audit.json", model->lines[count],
                                      c->bundles[model->bundle].audit_sm3,
                                      zh_phrase_json(what, slots, 1)));
}

static zh_status add(zh_case *c, const zh_rule *rule, const zh_audited *model, size_t i,
                     zh_verdict verdict, zh_error *err) {
  const zh_reading *reading = &rule->readings[i];
  int64_t value = model->counts[reading->count];
  char id[512];
  const char *many = c->subject_count > 1 ? model->name : "";
  snprintf(id, sizeof id, "%s.%s%s%s", rule->id, zh_count_names[reading->count], many[0] ? "@" : "",
           many);
  zh_finding finding = {
      .id = id,
      .model = model->name,
      .statement = statement(c, reading, model),
      .value = value < 0 ? json_null() : json_integer(value),
      .unit = "parameters",
      .criterion =
          json_pack("{s:s, s:I, s:s, s:s, s:s, s:s}", "op", rule->boundary->op, "threshold",
                    (json_int_t)rule->threshold, "unit", "parameters", "boundary_word",
                    rule->boundary->word, "zh", rule->criterion.zh, "en", rule->criterion.en),
      .reading = json_pack("{s:s, s:s}", "count", zh_count_names[reading->count], "verdict",
                           zh_verdict_names[judge(rule, model, i)]),
      .verdict = verdict,
      .reason = reason(c, rule, model, i, verdict),
      .evidence = evidence(c, model, reading->count),
  };
  return zh_finding_add(c, rule, &finding, err);
}

static zh_status apply(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err) {
  for (size_t m = 0; m < c->subject_count; m++) {
    const zh_audited *model = c->subjects[m];
    zh_verdict verdict = judge_model(rule, model);
    *out = m == 0 ? verdict : combine(*out, verdict);
    for (size_t i = 0; i < rule->reading_count; i++) ZH_TRY(add(c, rule, model, i, verdict, err));
  }
  return ZH_OK;
}

const zh_rule_kind zh_rule_parameter_threshold = {"parameter_threshold", keys, read, apply};
