/* Money received before: what of it certainly counts towards a limit, and what may. */
#include <string.h>

#include "evaluator/engine/engine.h"

typedef enum counts { COUNTS_NOT, COUNTS_MAYBE, COUNTS } counts;

static counts by_project(const zh_grant_received *grant) {
  if (grant->project == ZH_SAME_PROJECT) return COUNTS;
  return grant->project == ZH_SAME_UNKNOWN ? COUNTS_MAYBE : COUNTS_NOT;
}

static counts by_year(const zh_case *c, const zh_grant_received *grant) {
  zh_date day = c->applicant->application;
  if (day == ZH_NO_DATE || grant->date == ZH_NO_DATE) return COUNTS_MAYBE;
  return zh_date_year(day) == zh_date_year(grant->date) ? COUNTS : COUNTS_NOT;
}

static counts by_time(const zh_case *c, const zh_grant_received *grant, zh_cap_per per) {
  switch (per) {
  case ZH_PER_PROJECT:
    return by_project(grant);
  case ZH_PER_YEAR:
    return by_year(c, grant);
  case ZH_PER_LIFETIME:
  case ZH_PER_ENTERPRISE:
    return COUNTS;
  case ZH_PER_AWARD:
  case ZH_PER_PERSON:
    break;
  }
  return COUNTS_NOT;
}

static int64_t add_capped(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static size_t grant_count(const zh_case *c) {
  return c->applicant == NULL ? 0 : c->applicant->received_count;
}

/* Paid under this clause, or under another that the same sentence caps. */
static bool is_capped_with(const zh_clause *paid, const zh_clause *clause,
                           const zh_clause *shared) {
  if (paid == clause) return true;
  if (paid == NULL || shared == NULL) return false;
  for (size_t i = 0; i < paid->amount->cap_count; i++) {
    if (paid->amount->caps[i].shared == shared) return true;
  }
  return false;
}

int64_t zh_received_under(const zh_case *c, const zh_clause *clause, const zh_clause *shared,
                          zh_cap_per per, bool unsure) {
  int64_t sum = 0;
  for (size_t i = 0; i < grant_count(c); i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    if (!is_capped_with(grant->clause, clause, shared)) continue;
    counts how = by_time(c, grant, per);
    if (how == COUNTS || (how == COUNTS_MAYBE && unsure)) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

int64_t zh_received_on_ladder(const zh_case *c, const char *ladder) {
  int64_t sum = 0;
  for (size_t i = 0; i < grant_count(c); i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    const char *step = grant->clause == NULL ? NULL : grant->clause->amount->ladder;
    if (step != NULL && strcmp(step, ladder) == 0) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

/* Whether the rule speaks of this policy; one that names none speaks of all. */
static bool names_policy(const zh_stacking *rule, const char *policy) {
  for (size_t i = 0; i < rule->policy_count; i++) {
    if (strcmp(rule->policies[i], policy) == 0) return true;
  }
  return rule->policy_count == 0;
}

/* Steps of one ladder are one award. */
static bool is_one_award(const zh_clause *a, const zh_clause *b) {
  if (a == NULL || b == NULL || a == b) return a == b;
  const char *x = a->amount->ladder, *y = b->amount->ladder;
  return x != NULL && y != NULL && strcmp(x, y) == 0;
}

/* Whether it is of the same kind as this award. A rule that names the policies for one award says
 * so itself; else the applicant says it, or it is not known. */
static counts by_kind(const zh_stacking *rule, const zh_clause *award,
                      const zh_grant_received *grant) {
  if (award == NULL) return COUNTS;
  if (grant->kind_said) return is_one_award(grant->same_as, award) ? COUNTS : COUNTS_NOT;
  size_t awards = 0;
  for (size_t i = 0; i < rule->among_count; i++) awards += rule->among[i];
  return rule->policy_count > 0 && awards == 1 ? COUNTS : COUNTS_MAYBE;
}

static counts both(counts a, counts b) {
  return a < b ? a : b;
}

int64_t zh_received_elsewhere(const zh_case *c, const zh_stacking *rule, const zh_clause *award,
                              const zh_assignment *readings, bool unsure) {
  int64_t sum = 0;
  int levels = rule->levels[zh_choice_of(rule->levels_reading, readings)];
  for (size_t i = 0; i < grant_count(c); i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    if (grant->clause != NULL || (grant->level & levels) == 0) continue;
    if (!names_policy(rule, grant->policy)) continue;
    counts how = both(by_project(grant), by_kind(rule, award, grant));
    if (how == COUNTS || (how == COUNTS_MAYBE && unsure)) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

int64_t zh_received_jointly(const zh_case *c, const zh_stacking *rule,
                            const zh_assignment *readings, bool unsure) {
  int64_t sum = zh_received_elsewhere(c, rule, NULL, readings, unsure);
  for (size_t i = 0; i < grant_count(c); i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    if (grant->clause == NULL || !rule->among[grant->clause->index]) continue;
    counts how = by_project(grant);
    if (how == COUNTS || (how == COUNTS_MAYBE && unsure)) sum = add_capped(sum, grant->fen);
  }
  return sum;
}
