/* Whether the policy is in force on the day of application. A draft whose day of issue is not known
 * is judged as if it were, and marked. */
#include <string.h>

#include "evaluator/engine/engine.h"

typedef struct bounds {
  zh_date from, last; /* ZH_NO_DATE: not stated */
} bounds;

static zh_date application_of(const zh_case *c) {
  return c->applicant == NULL ? ZH_NO_DATE : c->applicant->application;
}

static bounds bounds_of(const zh_case *c, const zh_assignment *readings) {
  const zh_valid *v = &c->policy->valid;
  bounds b = {v->from, v->until[zh_choice_of(v->until_reading, readings)]};
  if (v->from_issue) b.from = c->applicant == NULL ? ZH_NO_DATE : c->applicant->policy_issued;
  if (v->term.count == 0 || b.from == ZH_NO_DATE) return b;
  zh_last_day last = v->last_day[zh_choice_of(v->last_day_reading, readings)];
  b.last = zh_date_shift(b.from, v->term, 1) - (last == ZH_LAST_DAY_EVE);
  return b;
}

static zh_word judge(zh_verdict *verdict, const zh_case *c, const zh_assignment *readings) {
  const zh_policy *policy = c->policy;
  zh_date day = application_of(c);
  *verdict = ZH_NOT_APPLICABLE;
  if (strcmp(policy->status, "expired") == 0) {
    *verdict = ZH_FAIL;
    return ZH_WORD_validity_expired;
  }
  if (!policy->valid.given) return ZH_WORD_validity_unstated;
  bounds b = bounds_of(c, readings);
  if (policy->valid.from_issue && b.from == ZH_NO_DATE) {
    if (strcmp(policy->status, "draft") == 0) return ZH_WORD_validity_draft;
    *verdict = ZH_UNDETERMINED;
    return ZH_WORD_would_issued;
  }
  *verdict = ZH_UNDETERMINED;
  if (day == ZH_NO_DATE) return ZH_WORD_validity_no_date;
  *verdict = ZH_FAIL;
  if (day < b.from) return ZH_WORD_validity_early;
  if (b.last != ZH_NO_DATE && day > b.last) return ZH_WORD_validity_late;
  *verdict = ZH_PASS;
  return ZH_WORD_validity_pass;
}

zh_verdict zh_validity_decide(const zh_case *c, const zh_assignment *readings) {
  zh_verdict verdict;
  judge(&verdict, c, readings);
  return verdict;
}

void zh_validity_readings(zh_reading_set *set, const zh_policy *policy) {
  const zh_valid *v = &policy->valid;
  if (v->until_reading != NULL) set->has[v->until_reading->index] = true;
  if (v->last_day_reading != NULL) set->has[v->last_day_reading->index] = true;
}

/* The reading whose choices disagree; NULL where they agree. */
static const zh_reading *disagreement(zh_verdict *verdict, const zh_case *c) {
  zh_reading_set set = {{false}};
  zh_assignment at = {{0}};
  bool differ = false;
  zh_validity_readings(&set, c->policy);
  *verdict = zh_validity_decide(c, &at);
  while (zh_assignment_next(&at, c->policy, &set)) differ |= zh_validity_decide(c, &at) != *verdict;
  if (!differ) return NULL;
  *verdict = ZH_UNDETERMINED;
  const zh_valid *v = &c->policy->valid;
  return v->last_day_reading != NULL ? v->last_day_reading : v->until_reading;
}

static void write_day(char out[ZH_DATE_BYTES], zh_date day) {
  if (day == ZH_NO_DATE)
    strcpy(out, "—");
  else
    zh_date_text(out, day);
}

static json_t *would(const zh_case *c, zh_word word, const zh_reading *open) {
  if (open != NULL) {
    const zh_slot slot = {"question", open->question.zh, open->question.en};
    return zh_phrase_json(zh_word_of(c->words, ZH_WORD_would_question), &slot, 1);
  }
  if (word == ZH_WORD_validity_no_date)
    return zh_plain_phrase(zh_word_of(c->words, ZH_WORD_needed_application));
  return word == ZH_WORD_would_issued ? zh_plain_phrase(zh_word_of(c->words, ZH_WORD_would_issued))
                                      : NULL;
}

zh_status zh_validity_finding(zh_case *c, zh_error *err) {
  static const zh_assignment first = {{0}};
  const zh_valid *v = &c->policy->valid;
  zh_verdict verdict, alone;
  char from[ZH_DATE_BYTES], to[ZH_DATE_BYTES], day[ZH_DATE_BYTES];
  if (!v->given) return ZH_OK; /* no clause to rest on */
  const zh_reading *open = disagreement(&verdict, c);
  zh_word word = judge(&alone, c, &first);
  bounds b = bounds_of(c, &first);
  write_day(from, b.from);
  write_day(to, b.last);
  write_day(day, application_of(c));
  static const zh_phrase none = {"", ""};
  const zh_phrase *question = open == NULL ? &none : &open->question;
  const zh_slot slots[] = {{"date", day, day},
                           {"from", from, from},
                           {"to", to, to},
                           {"question", question->zh, question->en}};
  const zh_phrase *statement = zh_word_of(c->words, ZH_WORD_validity_statement),
                  *criterion = zh_word_of(c->words, ZH_WORD_validity_criterion);
  const zh_rule rule = {.id = "validity",
                        .quote = v->clause->quote,
                        .clause = v->clause,
                        .statement = *statement,
                        .criterion = *criterion};
  zh_finding finding = {
      .verdict = verdict,
      .value = application_of(c) == ZH_NO_DATE ? NULL : json_string(day),
      .reason = zh_phrase_json(zh_word_of(c->words, open != NULL ? ZH_WORD_validity_differ : word),
                               slots, 4),
      .would = would(c, word, open),
  };
  return zh_finding_add(c, &rule, &finding, err);
}
