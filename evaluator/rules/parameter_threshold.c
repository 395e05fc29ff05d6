/* A model's parameters against a threshold, under every reading of "parameters" that the clause
 * admits. Where the readings differ, the condition is undetermined: choosing one is the authority's
 * matter. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/exact.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"boundary", "threshold", "written", "count",
                                   "reading",  "counts",    NULL};

static zh_status read_count(zh_count_kind *out, const zh_yaml_node *node, zh_error *err) {
  size_t which;
  ZH_TRY(zh_yaml_word(&which, node, zh_count_names, err));
  *out = (zh_count_kind)which;
  return ZH_OK;
}

static zh_status read(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                      zh_error *err) {
  const zh_yaml_node *node, *threshold, *of[ZH_MAX_CHOICES];
  ZH_TRY(zh_yaml_require(&node, map, "boundary", err));
  ZH_TRY(zh_read_boundary(&rule->boundary, policy, node, rule->quote, false, err));
  ZH_TRY(zh_yaml_require(&threshold, map, "threshold", err));
  ZH_TRY(zh_parameters_read(&rule->threshold, threshold, err));
  ZH_TRY(zh_check_figure(threshold, map, rule->quote, rule->threshold, err));
  if (zh_yaml_get(map, "count") != NULL)
    return read_count(&rule->counts[0], zh_yaml_get(map, "count"), err);
  ZH_TRY(zh_read_choices_at(&rule->reading, of, policy, map, "counts", err));
  for (size_t i = 0; i < rule->reading->choice_count; i++)
    ZH_TRY(read_count(&rule->counts[i], of[i], err));
  return ZH_OK;
}

static size_t count_readings(const zh_rule *rule) {
  return rule->reading == NULL ? 1 : rule->reading->choice_count;
}

static const zh_phrase *reading_name(const zh_rule *rule, size_t i) {
  return rule->reading == NULL ? &rule->statement : &rule->reading->choices[i].name;
}

/* By one reading alone. A reading that decides how strict the boundary is, is the caller's. */
static zh_verdict judge(const zh_rule *rule, const zh_audited *model, size_t i,
                        const zh_assignment *readings) {
  zh_count_kind kind = rule->counts[i];
  if (model->counts[kind] < 0) return ZH_UNDETERMINED;
  const char *op = zh_boundary_op(&rule->boundary, readings);
  bool low = zh_op_holds(op, model->low[kind], rule->threshold),
       high = zh_op_holds(op, model->high[kind], rule->threshold);
  if (low != high) return ZH_UNDETERMINED; /* the threshold lies within the bounds */
  return low ? ZH_PASS : ZH_FAIL;
}

static zh_verdict combine(zh_verdict a, zh_verdict b) {
  return a == b ? a : ZH_UNDETERMINED;
}

/* Models that differ decide nothing: the applicant has to say which one is meant. */
static zh_verdict decide(const zh_case *c, const zh_rule *rule, const zh_assignment *readings) {
  size_t i = rule->reading == NULL ? 0 : readings->choice[rule->reading->index];
  zh_verdict verdict = ZH_UNDETERMINED;
  for (size_t m = 0; m < c->subject_count; m++) {
    zh_verdict one = judge(rule, c->subjects[m], i, readings);
    verdict = m == 0 ? one : combine(verdict, one);
  }
  return verdict;
}

static zh_verdict judge_model(const zh_rule *rule, const zh_audited *model,
                              const zh_assignment *readings) {
  zh_verdict verdict = judge(rule, model, 0, readings);
  for (size_t i = 1; i < count_readings(rule); i++)
    verdict = combine(verdict, judge(rule, model, i, readings));
  return verdict;
}

/* --- words --- */

/* "statement value: verdict; …" of every reading. */
static void describe_readings(zh_text *out, const zh_case *c, const zh_rule *rule,
                              const zh_audited *model, const zh_assignment *readings,
                              bool chinese) {
  for (size_t i = 0; i < count_readings(rule); i++) {
    const zh_phrase *statement = reading_name(rule, i);
    zh_verdict alone = judge(rule, model, i, readings);
    const zh_phrase *name = zh_word_of(c->words, ZH_WORD_names_pass + (int)alone);
    int64_t value = model->counts[rule->counts[i]];
    char digits[32] = "?";
    if (value >= 0) zh_group_digits(digits, sizeof digits, (uint64_t)value);
    if (i > 0) zh_text_puts(out, chinese ? "；" : "; ");
    if (chinese)
      zh_text_printf(out, "%s %s，%s", statement->zh, digits, name->zh);
    else
      zh_text_printf(out, "%s: %s, %s", statement->en, digits, name->en);
  }
}

static json_t *reason(const zh_case *c, const zh_rule *rule, const zh_audited *model, size_t i,
                      zh_verdict verdict, const zh_assignment *readings) {
  zh_verdict alone = judge(rule, model, i, readings);
  int64_t value = model->counts[rule->counts[i]];
  char digits[32] = "?", threshold[32];
  if (value >= 0) zh_group_digits(digits, sizeof digits, (uint64_t)value);
  zh_group_digits(threshold, sizeof threshold, (uint64_t)rule->threshold);
  zh_text zh = {0}, en = {0};
  describe_readings(&zh, c, rule, model, readings, true);
  describe_readings(&en, c, rule, model, readings, false);
  const zh_phrase *name = zh_word_of(c->words, ZH_WORD_names_pass + (int)alone);
  const char *op = zh_boundary_op(&rule->boundary, readings);
  char low[32] = "", high[32] = "";
  bool bounded = alone == ZH_UNDETERMINED && value >= 0;
  if (bounded) {
    zh_group_digits(low, sizeof low, (uint64_t)model->low[rule->counts[i]]);
    zh_group_digits(high, sizeof high, (uint64_t)model->high[rule->counts[i]]);
  }
  static const zh_phrase no_question = {"", ""};
  const zh_phrase *question = rule->reading == NULL ? &no_question : &rule->reading->question;
  const zh_slot slots[] = {
      {"value", digits, digits},
      {"threshold", threshold, threshold},
      {"boundary", rule->boundary.word, rule->boundary.word},
      {"op", op, op},
      {"alone", name->zh, name->en},
      {"readings", zh_text_string(&zh), zh_text_string(&en)},
      {"question", question->zh, question->en},
      {"from", low, low},
      {"to", high, high},
  };
  zh_word word = bounded                    ? ZH_WORD_parameter_threshold_bounded
                 : alone == ZH_UNDETERMINED ? ZH_WORD_parameter_threshold_unknown
                 : verdict != alone         ? ZH_WORD_parameter_threshold_differ
                 : verdict == ZH_PASS       ? ZH_WORD_parameter_threshold_pass
                                            : ZH_WORD_parameter_threshold_fail;
  json_t *text = zh_phrase_json(zh_word_of(c->words, word), slots, sizeof slots / sizeof slots[0]);
  zh_text_free(&zh);
  zh_text_free(&en);
  return text;
}

static json_t *statement(const zh_case *c, const zh_rule *rule, size_t i, const zh_audited *model) {
  const zh_phrase *name = reading_name(rule, i);
  if (c->subject_count == 1) return zh_plain_phrase(name);
  const zh_slot slots[] = {{"statement", name->zh, name->en}, {"model", model->name, model->name}};
  return zh_phrase_json(zh_word_of(c->words, ZH_WORD_parameter_threshold_of_model), slots, 2);
}

static json_t *evidence(const zh_case *c, const zh_audited *model, zh_count_kind count) {
  char digest[20]; /* its beginning, as pages show it; the whole stands beside it */
  snprintf(digest, sizeof digest, "%.12s…", model->sm3);
  const zh_slot slots[] = {{"sm3", digest, digest}};
  const zh_phrase *what = zh_word_of(c->words, ZH_WORD_parameter_threshold_evidence);
  return json_pack("[o]", zh_evidence(model->bundle, "audit.json", model->lines[count],
                                      c->bundles[model->bundle].audit_sm3,
                                      zh_phrase_json(what, slots, 1)));
}

/* How many parameters are missing, or which question has to be asked. */
static json_t *would(const zh_case *c, const zh_rule *rule, int64_t value, zh_verdict verdict,
                     zh_verdict alone, const char *op) {
  char wanted[32], missing[32] = "?";
  if (verdict == ZH_PASS) return NULL;
  if (alone != ZH_UNDETERMINED && verdict != alone)
    return zh_plain_phrase(&rule->reading->question);
  int64_t nearest = rule->threshold + (op[1] == '=' ? 0 : 1);
  if (value >= 0 && nearest > value)
    zh_group_digits(missing, sizeof missing, (uint64_t)(nearest - value));
  zh_group_digits(wanted, sizeof wanted, (uint64_t)nearest);
  const zh_slot slots[] = {{"value", wanted, wanted}, {"missing", missing, missing}};
  zh_word word = value < 0 ? ZH_WORD_would_audit : ZH_WORD_would_parameters;
  return zh_phrase_json(zh_word_of(c->words, word), slots, 2);
}

static zh_status add(zh_case *c, const zh_rule *rule, const zh_audited *model, size_t i,
                     zh_verdict verdict, zh_error *err) {
  static const zh_assignment first = {{0}};
  zh_count_kind kind = rule->counts[i];
  int64_t value = model->counts[kind];
  zh_verdict alone = judge(rule, model, i, &first);
  const char *many = c->subject_count > 1 ? model->name : "";
  const char *op = zh_boundary_op(&rule->boundary, &first);
  char id[512];
  snprintf(id, sizeof id, "%s.%s%s%s", rule->id, zh_count_names[kind], many[0] ? "@" : "", many);
  zh_finding finding = {
      .id = id,
      .model = model->name,
      .statement = statement(c, rule, i, model),
      .value = value < 0 ? json_null() : json_integer(value),
      .unit = "parameters",
      .criterion =
          json_pack("{s:s, s:I, s:s, s:s, s:s, s:s}", "op", op, "threshold",
                    (json_int_t)rule->threshold, "unit", "parameters", "boundary_word",
                    rule->boundary.word, "zh", rule->criterion.zh, "en", rule->criterion.en),
      .reading = json_pack("{s:s, s:s}", "count", zh_count_names[kind], "verdict",
                           zh_verdict_names[alone]),
      .verdict = verdict,
      .reason = reason(c, rule, model, i, verdict, &first),
      .evidence = evidence(c, model, kind),
      .would = would(c, rule, value, verdict, alone, op),
  };
  return zh_finding_add(c, rule, &finding, err);
}

/* A finding for each count of each model. */
static zh_status findings(zh_case *c, const zh_rule *rule, zh_error *err) {
  static const zh_assignment first = {{0}};
  for (size_t m = 0; m < c->subject_count; m++) {
    const zh_audited *model = c->subjects[m];
    zh_verdict verdict = judge_model(rule, model, &first);
    for (size_t i = 0; i < count_readings(rule); i++) ZH_TRY(add(c, rule, model, i, verdict, err));
  }
  return ZH_OK;
}

static void explain(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                    const zh_assignment *readings) {
  size_t i = rule->reading == NULL ? 0 : readings->choice[rule->reading->index];
  out->verdict = decide(c, rule, readings);
  out->evidence = json_array();
  if (c->subject_count == 0) {
    out->reason = zh_plain_phrase(zh_word_of(c->words, ZH_WORD_parameter_threshold_no_model));
    out->would = zh_plain_phrase(zh_word_of(c->words, ZH_WORD_would_bundle));
    return;
  }
  const zh_audited *model = c->subjects[0];
  int64_t value = model->counts[rule->counts[i]];
  zh_verdict alone = judge(rule, model, i, readings);
  out->value = value < 0 ? NULL : json_integer(value);
  out->reason = reason(c, rule, model, i, alone, readings);
  out->would = would(c, rule, value, alone, alone, zh_boundary_op(&rule->boundary, readings));
  for (size_t m = 0; m < c->subject_count; m++) {
    json_t *one = evidence(c, c->subjects[m], rule->counts[i]);
    json_array_extend(out->evidence, one);
    json_decref(one);
  }
}

static bool depends(const zh_rule *rule, const zh_reading *reading) {
  return rule->reading == reading || rule->boundary.reading == reading;
}

const zh_rule_kind zh_rule_parameter_threshold = {.name = "parameter_threshold",
                                                  .keys = keys,
                                                  .read = read,
                                                  .decide = decide,
                                                  .explain = explain,
                                                  .depends = depends,
                                                  .findings = findings};
