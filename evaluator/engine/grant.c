/* An amount as evaluation.json shows it: its statement, calculation, readings, alternatives and
 * proof. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/engine/engine.h"
#include "evaluator/exact.h"

enum { READINGS_SHOWN = 64 };

/* --- amounts in JSON --- */

/* Whole 万元 as an integer, anything finer as the nearest double; exact decimals stand beside it as
 * text. */
json_t *zh_wan_yuan_json(int64_t fen) {
  if (fen < 0) return json_null();
  if (fen % ZH_FEN_PER_WAN_YUAN == 0) return json_integer(fen / ZH_FEN_PER_WAN_YUAN);
  return json_real((double)fen / ZH_FEN_PER_WAN_YUAN);
}

json_t *zh_yuan_json(int64_t fen) {
  char text[32];
  if (fen < 0) return json_null();
  snprintf(text, sizeof text, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
  return json_string(text);
}

/* --- the statement --- */

typedef struct amount_words {
  char zh[40], en[40];
} amount_words;

static amount_words words_of(int64_t fen) {
  amount_words w = {"", ""};
  if (fen < 0) return w;
  zh_wan_yuan_text(w.zh, sizeof w.zh, fen);
  zh_yuan_text(w.en, sizeof w.en, fen);
  return w;
}

static json_t *step_text(const zh_case *c, const zh_award *award, const zh_amount *amount,
                         const zh_step *step) {
  static const zh_phrase none = {"", ""};
  const zh_phrase *base = award->base == NULL ? &none : &award->base->phrase;
  amount_words cost = words_of(award->cost == NULL ? -1 : award->cost->number),
               cap = words_of(step->limit), received = words_of(step->received);
  char rate[32];
  zh_rate_text(rate, sizeof rate, amount->rate_millionths);
  const zh_slot slots[] = {{"base", base->zh, base->en}, {"amount", cost.zh, cost.en},
                           {"rate", rate, rate},         {"cap", cap.zh, cap.en},
                           {"limit", cap.zh, cap.en},    {"received", received.zh, received.en}};
  return zh_phrase_json(zh_word_of(c->words, step->word), slots, sizeof slots / sizeof slots[0]);
}

/* "研发成本 4000 万元 × 50 %，不超过 2000 万元" */
static void join_steps(zh_text *zh, zh_text *en, const zh_case *c, const zh_outcome *o) {
  for (size_t i = 0; i < o->sample.step_count; i++) {
    json_t *text = step_text(c, &o->sample, o->clause->amount, &o->sample.steps[i]);
    zh_text_printf(zh, "%s%s", i > 0 ? "，" : "", json_string_value(json_object_get(text, "zh")));
    zh_text_printf(en, "%s%s", i > 0 ? ", and " : "",
                   json_string_value(json_object_get(text, "en")));
    json_decref(text);
  }
}

static zh_word statement_word(const zh_outcome *o) {
  if (o->verdict == ZH_FAIL) return ZH_WORD_grant_fail;
  if (o->settled) return o->verdict == ZH_PASS ? ZH_WORD_grant_pass : ZH_WORD_grant_conditional;
  switch (o->sample.figure) {
  case ZH_FIGURE_NO_BASE:
    return o->sample.base == NULL ? ZH_WORD_grant_base_unstated : ZH_WORD_grant_no_base;
  case ZH_FIGURE_UNSTATED:
    return ZH_WORD_grant_unstated;
  case ZH_FIGURE_NONE:
    return ZH_WORD_grant_no_figure;
  case ZH_FIGURE_LIFTED:
    return ZH_WORD_grant_lifted;
  case ZH_FIGURE_KNOWN:
    break;
  }
  return o->verdict == ZH_PASS ? ZH_WORD_grant_differ : ZH_WORD_grant_differ_open;
}

/* "；任何情况下最高不超过 2000 万元", or nothing where no limit is known. */
static void limit_words(char zh[96], char en[96], int64_t high) {
  zh[0] = en[0] = '\0';
  if (high < 0) return;
  amount_words w = words_of(high);
  snprintf(zh, 96, "；任何情况下最高不超过 %s 万元", w.zh);
  snprintf(en, 96, "; in no case more than %s yuan", w.en);
}

static json_t *statement(const zh_case *c, const zh_outcome *o) {
  zh_text zh = {0}, en = {0};
  char limit_zh[96], limit_en[96];
  const zh_name *base = o->sample.base;
  const zh_phrase *none = zh_word_of(c->words, ZH_WORD_names_none);
  const char *words = o->clause->amount->rate_words != NULL ? o->clause->amount->rate_words : "";
  amount_words up_to = words_of(o->settled ? o->high : -1), low = words_of(o->low),
               high = words_of(o->high);
  join_steps(&zh, &en, c, o);
  limit_words(limit_zh, limit_en, o->high);
  const zh_slot slots[] = {{"steps", zh_text_string(&zh), zh_text_string(&en)},
                           {"up_to", up_to.zh, up_to.en},
                           {"base", base != NULL ? base->phrase.zh : none->zh,
                            base != NULL ? base->phrase.en : none->en},
                           {"limit", limit_zh, limit_en},
                           {"words", words, words},
                           {"from", low.zh, low.en},
                           {"to", high.zh, high.en}};
  json_t *text = zh_phrase_json(zh_word_of(c->words, statement_word(o)), slots,
                                sizeof slots / sizeof slots[0]);
  zh_text_free(&zh);
  zh_text_free(&en);
  return text;
}

/* --- parts of the grant --- */

static json_t *range_json(const zh_outcome *o) {
  if (zh_outcome_figure(o) >= 0 || o->high < 0) return json_null();
  int64_t low = o->verdict == ZH_PASS ? o->low : 0;
  return json_pack("{s:o, s:o}", "low_yuan", zh_yuan_json(low), "high_yuan", zh_yuan_json(o->high));
}

static json_t *calculation_json(const zh_case *c, const zh_outcome *o) {
  json_t *list = json_array();
  for (size_t i = 0; i < o->sample.step_count; i++) {
    const zh_step *step = &o->sample.steps[i];
    json_t *text = step_text(c, &o->sample, o->clause->amount, step);
    json_array_append_new(
        list, json_pack("{s:o, s:o}", "text", text, "left_yuan", zh_yuan_json(step->left)));
  }
  return list;
}

static json_t *under_one(const zh_case *c, const zh_outcome *o, const zh_assignment *at,
                         const zh_reading_set *set) {
  zh_award award = zh_award_of(c, o->clause, at);
  bool fails = award.verdict == ZH_FAIL, passes = award.verdict == ZH_PASS;
  int64_t up_to = fails ? 0 : passes && zh_award_is_settled(&award) ? award.high : -1;
  json_t *range = up_to >= 0 || award.high < 0
                      ? json_null()
                      : json_pack("{s:o, s:o}", "low_yuan", zh_yuan_json(passes ? award.low : 0),
                                  "high_yuan", zh_yuan_json(award.high));
  return json_pack("{s:o, s:s, s:o, s:o}", "choices", zh_assignment_json(at, c->policy, set),
                   "verdict", zh_verdict_names[award.verdict], "up_to_yuan", zh_yuan_json(up_to),
                   "range", range);
}

/* The result under each reading that matters; empty where all lead to the same. */
static json_t *readings_json(const zh_case *c, const zh_outcome *o) {
  json_t *list = json_array();
  zh_assignment at = {{0}};
  zh_reading_set set = zh_outcome_matters(c, o);
  size_t count = zh_assignment_count(c->policy, &set);
  if (count < 2) return list;
  for (size_t i = 0; i < count && i < READINGS_SHOWN; i++) {
    json_array_append_new(list, under_one(c, o, &at, &set));
    zh_assignment_next(&at, c->policy, &set);
  }
  return list;
}

/* 从高不重复: keep what was received, or take this and be paid the difference. */
static void add_higher_of(json_t *list, const zh_case *c, const zh_outcome *o,
                          const zh_stacking *rule) {
  int64_t received = zh_received_elsewhere(c, rule, o->clause, &o->sample_readings, false);
  if (received == 0 || !o->settled) return;
  amount_words got = words_of(received), more = words_of(o->high),
               sum = words_of(received + o->high);
  const zh_slot slots[] = {
      {"received", got.zh, got.en}, {"yuan", more.zh, more.en}, {"amount", sum.zh, sum.en}};
  json_t *keep = zh_phrase_json(zh_word_of(c->words, ZH_WORD_stacking_kept_higher), slots, 3),
         *take = zh_phrase_json(zh_word_of(c->words, ZH_WORD_stacking_higher), slots, 3);
  json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "kind", "keep", "extra_yuan",
                                        zh_yuan_json(0), "total_yuan", zh_yuan_json(received),
                                        "text", keep));
  json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "kind", "take", "extra_yuan",
                                        zh_yuan_json(o->high), "total_yuan",
                                        zh_yuan_json(received + o->high), "text", take));
}

/* Another policy may come first: the question, and what was received under it. */
static void add_yields_to(json_t *list, const zh_case *c, const zh_outcome *o,
                          const zh_stacking *rule) {
  amount_words got =
      words_of(zh_received_elsewhere(c, rule, o->clause, &o->sample_readings, false));
  const zh_slot slots[] = {{"question", rule->question.zh, rule->question.en},
                           {"received", got.zh, got.en}};
  json_t *policies = json_array();
  for (size_t i = 0; i < rule->policy_count; i++)
    json_array_append_new(policies, json_string(rule->policies[i]));
  json_array_append_new(
      list,
      json_pack("{s:s, s:n, s:n, s:o, s:o, s:o}", "kind", "yields_to", "extra_yuan", "total_yuan",
                "text", zh_phrase_json(zh_word_of(c->words, ZH_WORD_stacking_yields_to), slots, 2),
                "policies", policies, "clause", zh_clause_json(rule->clause, rule->clause->quote)));
}

static json_t *alternatives_json(const zh_case *c, const zh_outcome *o) {
  json_t *list = json_array();
  for (size_t i = 0; o->verdict != ZH_FAIL && i < c->policy->stacking_count; i++) {
    const zh_stacking *s = &c->policy->stacking[i];
    if (!s->among[o->clause->index]) continue;
    if (s->kind == ZH_STACK_HIGHER_OF) add_higher_of(list, c, o, s);
    if (s->kind == ZH_STACK_YIELDS_TO) add_yields_to(list, c, o, s);
    int64_t received = zh_received_elsewhere(c, s, NULL, &o->sample_readings, false);
    if (s->kind != ZH_STACK_ON_TOP || received == 0) continue;
    amount_words got = words_of(received);
    const zh_slot slot = {"received", got.zh, got.en};
    json_array_append_new(
        list, json_pack("{s:s, s:o, s:n, s:o}", "kind", "on_top", "extra_yuan",
                        zh_yuan_json(zh_outcome_figure(o)), "total_yuan", "text",
                        zh_phrase_json(zh_word_of(c->words, ZH_WORD_stacking_on_top), &slot, 1)));
  }
  return list;
}

static json_t *proof_json(const zh_case *c, const zh_clause *clause) {
  json_t *parts = json_array();
  const zh_policy *policy = c->policy;
  for (size_t i = 0; i < policy->always_count; i++)
    json_array_append_new(parts, zh_node_proof(c, policy->always[i]->test));
  for (size_t i = 0; i < clause->amount->require_count; i++)
    json_array_append_new(parts, zh_node_proof(c, clause->amount->requires[i] -> test));
  if (clause->test != NULL) json_array_append_new(parts, zh_node_proof(c, clause->test));
  return parts;
}

/* Each entry once: two branches of a condition may want the same. */
static void add_once(json_t *list, json_t *entry) {
  const json_t *other;
  size_t i;
  json_array_foreach(list, i, other) {
    if (!json_equal(other, entry)) continue;
    json_decref(entry);
    return;
  }
  json_array_append_new(list, entry);
}

/* What would decide the open leaves and turn the failing ones, and the cost that is missing. */
static void collect_would(json_t *list, const json_t *node) {
  const json_t *child, *would = json_object_get(node, "would_take");
  const char *verdict = json_string_value(json_object_get(node, "verdict"));
  size_t i;
  if (verdict != NULL && strcmp(verdict, "pass") == 0) return;
  if (json_is_object(would))
    add_once(list, json_pack("{s:O, s:s, s:O}", "id", json_object_get(node, "id"), "verdict",
                             verdict, "text", would));
  json_array_foreach(json_object_get(node, "of"), i, child) collect_would(list, child);
}

/* Money of which it is not known whether it is taken off this award. */
static void add_received(json_t *list, const zh_case *c, const zh_outcome *o) {
  for (size_t i = 0; i < c->policy->stacking_count; i++) {
    const zh_stacking *rule = &c->policy->stacking[i];
    bool deducts = rule->kind == ZH_STACK_HIGHER_OF || rule->kind == ZH_STACK_YIELDS_TO;
    if (!deducts || !rule->among[o->clause->index] || rule->clause == NULL) continue;
    int64_t sure = zh_received_elsewhere(c, rule, o->clause, &o->sample_readings, false),
            may = zh_received_elsewhere(c, rule, o->clause, &o->sample_readings, true);
    if (sure == may) continue;
    amount_words open = words_of(may - sure);
    const zh_slot slots[] = {{"received", open.zh, open.en},
                             {"base", o->clause->heading.zh, o->clause->heading.en}};
    json_array_append_new(
        list,
        json_pack("{s:s, s:s, s:o}", "id", rule->clause->id, "verdict", "undetermined", "text",
                  zh_phrase_json(zh_word_of(c->words, ZH_WORD_would_kind), slots, 2)));
  }
}

static json_t *would_json(const zh_case *c, const zh_outcome *o, const json_t *proof) {
  json_t *list = json_array();
  const json_t *part;
  size_t i;
  json_array_foreach(proof, i, part) collect_would(list, part);
  if (o->verdict != ZH_FAIL) add_received(list, c, o);
  if (o->sample.base == NULL || o->sample.cost != NULL) return list;
  const zh_phrase *base = &o->sample.base->phrase;
  const zh_slot slot = {"base", base->zh, base->en};
  json_array_append_new(
      list, json_pack("{s:s, s:s, s:o}", "id", o->sample.base->id, "verdict", "undetermined",
                      "text", zh_phrase_json(zh_word_of(c->words, ZH_WORD_would_cost), &slot, 1)));
  return list;
}

static json_t *base_json(const zh_case *c, const zh_outcome *o) {
  const zh_name *base = o->sample.base;
  int64_t fen = o->sample.cost == NULL ? -1 : o->sample.cost->number;
  const zh_phrase *name = base != NULL ? &base->phrase : zh_word_of(c->words, ZH_WORD_names_none);
  return json_pack("{s:s, s:o, s:o, s:o}", "id", base != NULL ? base->id : "", "name",
                   zh_plain_phrase(name), "wan_yuan", zh_wan_yuan_json(fen), "yuan",
                   zh_yuan_json(fen));
}

static json_t *evidence_json(const zh_case *c, const zh_outcome *o) {
  if (o->sample.cost == NULL) return json_array();
  const zh_phrase *base = &o->sample.base->phrase;
  const zh_slot slot = {"base", base->zh, base->en};
  json_t *what = zh_phrase_json(zh_word_of(c->words, ZH_WORD_grant_evidence), &slot, 1);
  const zh_phrase text = {json_string_value(json_object_get(what, "zh")),
                          json_string_value(json_object_get(what, "en"))};
  json_t *list = zh_claim_evidence(c, o->sample.cost, &text);
  json_decref(what);
  return list;
}

static json_t *people_json(const zh_clause *clause) {
  json_t *list = json_array();
  for (size_t i = 0; i < clause->people_count; i++)
    json_array_append_new(list, zh_plain_phrase(&clause->people[i]));
  return list;
}

static json_t *caps_json(const zh_amount *amount) {
  json_t *list = json_array();
  for (size_t i = 0; i < amount->cap_count; i++) {
    const zh_cap *cap = &amount->caps[i];
    json_array_append_new(
        list, json_pack("{s:o, s:s, s:s?, s:s?, s:s?, s:s?}", "yuan", zh_yuan_json(cap->fen), "per",
                        zh_cap_per_words[cap->per.of[0]], "word", cap->word, "per_reading",
                        cap->per.reading == NULL ? NULL : cap->per.reading->id, "shared",
                        cap->shared == NULL ? NULL : cap->shared->id, "unless",
                        cap->unless == NULL ? NULL : cap->unless->id));
  }
  return list;
}

static json_t *span_json(zh_span span) {
  if (span.count == 0) return json_null();
  return json_sprintf("%d %s", span.count, zh_span_unit_zh(span.unit));
}

/* Facts of the clause that no calculation needs but a reader does. */
static json_t *terms_json(const zh_amount *amount) {
  return json_pack("{s:o, s:b, s:b, s:o, s:o, s:s?}", "caps", caps_json(amount), "one_off",
                   (int)amount->one_off, "yearly", (int)amount->yearly, "period_from",
                   span_json(amount->period.from), "period_to", span_json(amount->period.to),
                   "ladder", amount->ladder);
}

json_t *zh_outcome_json(const zh_case *c, const zh_outcome *o) {
  const zh_clause *clause = o->clause;
  const zh_amount *amount = clause->amount;
  int64_t up_to = zh_outcome_figure(o);
  bool rated = amount->rate_kind == ZH_RATE_AT_MOST || amount->rate_kind == ZH_RATE_EXACTLY;
  json_t *proof = proof_json(c, clause);
  json_t *grant = json_pack(
      "{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", clause->id, "clause",
      zh_clause_json(clause, clause->quote), "title", zh_plain_phrase(&clause->heading),
      "criterion", zh_plain_phrase(&amount->criterion), "verdict", zh_verdict_names[o->verdict],
      "up_to_wan_yuan", zh_wan_yuan_json(up_to), "up_to_yuan", zh_yuan_json(up_to), "rate",
      rated ? json_real((double)amount->rate_millionths / ZH_RATE_ONE) : json_null(),
      "cap_wan_yuan", zh_wan_yuan_json(zh_smallest_cap(amount)), "base", base_json(c, o),
      "statement", statement(c, o), "evidence", evidence_json(c, o));
  json_object_set_new(grant, "range", range_json(o));
  json_object_set_new(grant, "if_all_hold_yuan", zh_yuan_json(o->settled ? o->high : -1));
  json_object_set_new(grant, "calculation", calculation_json(c, o));
  json_object_set_new(grant, "readings", readings_json(c, o));
  json_object_set_new(grant, "alternatives", alternatives_json(c, o));
  json_object_set_new(grant, "would_take", would_json(c, o, proof));
  json_object_set_new(grant, "terms", terms_json(amount));
  json_object_set_new(grant, "people", people_json(clause));
  json_object_set_new(grant, "proof", proof);
  return grant;
}
