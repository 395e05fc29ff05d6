/* One amount under one assignment of readings: min(rate × base, caps, what stacking leaves), in
 * whole 分. Money received is counted twice: what certainly counts, and what may. */
#include <string.h>

#include "evaluator/engine/engine.h"
#include "evaluator/exact.h"

/* --- money received --- */

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

/* Paid under this clause, or under another that the same sentence caps. */
static bool is_capped_with(const zh_clause *paid, const zh_clause *clause, const zh_cap *cap) {
  if (paid == clause) return true;
  if (paid == NULL || cap->shared == NULL) return false;
  for (size_t i = 0; i < paid->amount->cap_count; i++) {
    if (paid->amount->caps[i].shared == cap->shared) return true;
  }
  return false;
}

/* As far as the cap's period goes. */
static counts under_cap(const zh_case *c, const zh_clause *clause, const zh_grant_received *grant,
                        const zh_cap *cap) {
  if (!is_capped_with(grant->clause, clause, cap)) return COUNTS_NOT;
  switch (cap->per) {
  case ZH_PER_PROJECT:
    return by_project(grant);
  case ZH_PER_YEAR:
    return by_year(c, grant);
  case ZH_PER_LIFETIME:
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

static int64_t received_under_cap(const zh_case *c, const zh_clause *clause, const zh_cap *cap,
                                  bool unsure) {
  int64_t sum = 0;
  for (size_t i = 0; c->applicant != NULL && i < c->applicant->received_count; i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    counts how = under_cap(c, clause, grant, cap);
    if (how == COUNTS || (how == COUNTS_MAYBE && unsure)) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

static int64_t received_on_ladder(const zh_case *c, const char *ladder) {
  int64_t sum = 0;
  for (size_t i = 0; c->applicant != NULL && i < c->applicant->received_count; i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    const char *step = grant->clause == NULL ? NULL : grant->clause->amount->ladder;
    if (step != NULL && strcmp(step, ladder) == 0) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

int64_t zh_received_elsewhere(const zh_case *c, int levels, bool unsure) {
  int64_t sum = 0;
  for (size_t i = 0; c->applicant != NULL && i < c->applicant->received_count; i++) {
    const zh_grant_received *grant = &c->applicant->received[i];
    if (grant->clause != NULL || (grant->level & levels) == 0) continue;
    counts how = by_project(grant);
    if (how == COUNTS || (how == COUNTS_MAYBE && unsure)) sum = add_capped(sum, grant->fen);
  }
  return sum;
}

/* --- steps --- */

static int64_t least(int64_t a, int64_t b) {
  if (a < 0) return b;
  return b < a ? b : a;
}

static int64_t less(int64_t a, int64_t b) {
  return a > b ? a - b : 0;
}

/* Takes the smaller of what is left and the limit, and notes it. */
static void limit(zh_award *award, int64_t *left, zh_word word, int64_t bound, int64_t received) {
  *left = least(*left, less(bound, received));
  if (award->step_count < ZH_MAX_STEPS)
    award->steps[award->step_count++] = (zh_step){word, bound, received, *left};
}

/* Takes money received off what is left; nothing to note where there is none. */
static void deduct(zh_award *award, int64_t *left, zh_word word, int64_t received) {
  if (received == 0 || *left < 0) return;
  *left = less(*left, received);
  if (award->step_count < ZH_MAX_STEPS)
    award->steps[award->step_count++] = (zh_step){word, 0, received, *left};
}

static void apply_base(zh_award *award, int64_t *left, const zh_amount *amount) {
  bool rated = amount->rate_kind == ZH_RATE_AT_MOST || amount->rate_kind == ZH_RATE_EXACTLY;
  bool unknown = amount->has_base && award->cost == NULL;
  if (amount->rate_kind == ZH_RATE_UNSTATED)
    award->figure = ZH_FIGURE_UNSTATED;
  else if (unknown)
    award->figure = ZH_FIGURE_NO_BASE;
  if (!amount->has_base || award->cost == NULL) return;
  int64_t base = award->cost->number;
  if (rated)
    limit(award, left, ZH_WORD_step_share, zh_award_share(base, amount->rate_millionths, INT64_MAX),
          0);
  else
    limit(award, left, ZH_WORD_step_base, base, 0);
}

static void apply_caps(zh_award *award, int64_t *left, const zh_case *c, const zh_clause *clause,
                       bool unsure) {
  static const zh_word words[] = {ZH_WORD_step_cap, ZH_WORD_step_project, ZH_WORD_step_year,
                                  ZH_WORD_step_lifetime, ZH_WORD_step_person};
  for (size_t i = 0; i < clause->amount->cap_count; i++) {
    const zh_cap *cap = &clause->amount->caps[i];
    int64_t received = received_under_cap(c, clause, cap, unsure);
    zh_word word = received == 0 && cap->per != ZH_PER_PERSON ? ZH_WORD_step_cap : words[cap->per];
    limit(award, left, word, cap->fen, received);
  }
}

static void apply_stacking(zh_award *award, int64_t *left, const zh_case *c,
                           const zh_clause *clause, bool unsure) {
  for (size_t i = 0; i < c->policy->stacking_count; i++) {
    const zh_stacking *s = &c->policy->stacking[i];
    if (!s->among[clause->index]) continue;
    int64_t received = zh_received_elsewhere(c, s->levels, unsure);
    if (s->kind == ZH_STACK_HIGHER_OF) deduct(award, left, ZH_WORD_step_higher, received);
    if (s->kind == ZH_STACK_JOINT_LIMIT && award->cost != NULL)
      limit(award, left, ZH_WORD_step_joint,
            zh_award_share(award->cost->number, s->rate_millionths, INT64_MAX), received);
  }
}

static void apply_rounding(zh_award *award, int64_t *left, int64_t unit) {
  if (unit <= 1 || *left < 0 || *left % unit == 0) return;
  *left -= *left % unit;
  if (award->step_count < ZH_MAX_STEPS)
    award->steps[award->step_count++] = (zh_step){ZH_WORD_step_rounding, 0, 0, *left};
}

static int64_t compute(zh_award *award, const zh_case *c, const zh_clause *clause, bool unsure) {
  const zh_amount *amount = clause->amount;
  int64_t left = -1;
  award->step_count = 0;
  award->figure = ZH_FIGURE_KNOWN;
  apply_base(award, &left, amount);
  apply_caps(award, &left, c, clause, unsure);
  if (left < 0 && award->figure == ZH_FIGURE_KNOWN) award->figure = ZH_FIGURE_NONE;
  if (amount->ladder != NULL && amount->difference != NULL)
    deduct(award, &left, ZH_WORD_step_ladder, received_on_ladder(c, amount->ladder));
  apply_stacking(award, &left, c, clause, unsure);
  apply_rounding(award, &left, amount->rounding_fen);
  return left;
}

/* --- the whole --- */

static const zh_name *base_of(const zh_amount *amount, const zh_assignment *readings) {
  if (!amount->has_base || amount->base_unstated) return NULL;
  return amount
      ->bases[amount->base_reading == NULL ? 0 : readings->choice[amount->base_reading->index]];
}

zh_verdict zh_amount_decide(const zh_case *c, const zh_clause *clause,
                            const zh_assignment *readings) {
  const zh_policy *policy = c->policy;
  zh_verdict verdict = zh_validity_decide(c, readings);
  if (verdict == ZH_NOT_APPLICABLE) verdict = ZH_PASS;
  for (size_t i = 0; i < policy->always_count; i++)
    verdict = zh_and(verdict, zh_node_decide(c, policy->always[i]->test, readings));
  for (size_t i = 0; i < clause->amount->require_count; i++)
    verdict = zh_and(verdict, zh_node_decide(c, clause->amount->requires[i] -> test, readings));
  if (clause->test != NULL) verdict = zh_and(verdict, zh_node_decide(c, clause->test, readings));
  return verdict;
}

void zh_amount_readings(zh_reading_set *set, const zh_policy *policy, const zh_clause *clause) {
  zh_validity_readings(set, policy);
  for (size_t i = 0; i < policy->always_count; i++)
    zh_node_readings(set, policy, policy->always[i]->test);
  for (size_t i = 0; i < clause->amount->require_count; i++)
    zh_node_readings(set, policy, clause->amount->requires[i] -> test);
  if (clause->test != NULL) zh_node_readings(set, policy, clause->test);
  if (clause->amount->base_reading != NULL) set->has[clause->amount->base_reading->index] = true;
}

zh_award zh_award_of(const zh_case *c, const zh_clause *clause, const zh_assignment *readings) {
  zh_award award = {.verdict = zh_amount_decide(c, clause, readings)};
  award.base = base_of(clause->amount, readings);
  if (award.base != NULL && c->applicant != NULL)
    award.cost = zh_claim_find(&c->applicant->costs, award.base->id);
  /* What the applicant has not stated is undetermined; what the text leaves open is not its fault.
   */
  bool cost_missing = award.base != NULL && award.cost == NULL;
  if (award.verdict == ZH_PASS && cost_missing) award.verdict = ZH_UNDETERMINED;
  award.low = compute(&award, c, clause, true);
  award.high = compute(&award, c, clause, false);
  if (award.figure == ZH_FIGURE_NO_BASE || award.figure == ZH_FIGURE_UNSTATED) award.low = 0;
  return award;
}

bool zh_award_is_settled(const zh_award *award) {
  return award->figure == ZH_FIGURE_KNOWN && award->low == award->high;
}
