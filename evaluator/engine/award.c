/* One amount under one assignment of readings: min(rate × base, caps, what stacking leaves), in
 * whole 分. Computed twice: once with what certainly bounds it, once with what may. */
#include <string.h>

#include "evaluator/engine/engine.h"
#include "evaluator/exact.h"

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

/* One computation: of what, for whom, and whether everything that may bound it does. */
typedef struct view {
  const zh_case *c;
  const zh_clause *clause;
  const zh_assignment *at;
  bool strict;
} view;

static void apply_rate(zh_award *award, int64_t *left, const view *v) {
  const zh_amount *amount = v->clause->amount;
  zh_cap_per per = amount->rate_per.of[zh_choice_of(amount->rate_per.reading, v->at)];
  int64_t received = zh_received_under(v->c, v->clause, NULL, per, v->strict);
  limit(award, left, received == 0 ? ZH_WORD_step_share : ZH_WORD_step_share_received,
        zh_award_share(award->cost->number, amount->rate_millionths, INT64_MAX), received);
}

static void apply_base(zh_award *award, int64_t *left, const view *v) {
  const zh_amount *amount = v->clause->amount;
  bool rated = amount->rate_kind == ZH_RATE_AT_MOST || amount->rate_kind == ZH_RATE_EXACTLY;
  bool unknown = amount->has_base && award->cost == NULL;
  if (amount->rate_kind == ZH_RATE_UNSTATED)
    award->figure = ZH_FIGURE_UNSTATED;
  else if (unknown)
    award->figure = ZH_FIGURE_NO_BASE;
  if (!amount->has_base || award->cost == NULL) return;
  if (rated)
    apply_rate(award, left, v);
  else
    limit(award, left, ZH_WORD_step_base, award->cost->number, 0);
}

bool zh_cap_may_be_lifted(const zh_case *c, const zh_cap *cap, const zh_assignment *readings) {
  if (cap->unless == NULL) return false;
  zh_verdict verdict = zh_node_decide(c, cap->unless->test, readings);
  return verdict == ZH_PASS || verdict == ZH_UNDETERMINED;
}

/* Says that the cap may not hold, and leaves the amount as it is. */
static void lift(zh_award *award, int64_t left, const zh_cap *cap) {
  award->lifted = true;
  if (award->step_count < ZH_MAX_STEPS)
    award->steps[award->step_count++] = (zh_step){ZH_WORD_step_lifted, cap->fen, 0, left};
}

static void apply_caps(zh_award *award, int64_t *left, const view *v) {
  static const zh_word words[] = {ZH_WORD_step_cap,    ZH_WORD_step_project,
                                  ZH_WORD_step_year,   ZH_WORD_step_lifetime,
                                  ZH_WORD_step_person, ZH_WORD_step_enterprise};
  for (size_t i = 0; i < v->clause->amount->cap_count; i++) {
    const zh_cap *cap = &v->clause->amount->caps[i];
    zh_cap_per per = cap->per.of[zh_choice_of(cap->per.reading, v->at)];
    int64_t received = zh_received_under(v->c, v->clause, cap->shared, per, v->strict);
    zh_word word = received == 0 && per != ZH_PER_PERSON ? ZH_WORD_step_cap : words[per];
    if (!v->strict && zh_cap_may_be_lifted(v->c, cap, v->at))
      lift(award, *left, cap);
    else
      limit(award, left, word, cap->fen, received);
  }
}

/* --- 晋级补差 --- */

int64_t zh_smallest_cap(const zh_amount *amount) {
  int64_t cap = -1;
  for (size_t i = 0; i < amount->cap_count; i++) cap = least(cap, amount->caps[i].fen);
  return cap;
}

/* An earlier year met the number that the step asks for, whether anything was paid for it or not.
 */
static bool reached_earlier(const view *v, const zh_node *node) {
  if (node == NULL) return false;
  if (node->kind == ZH_NODE_CLAUSE) return reached_earlier(v, node->clause->test);
  for (size_t i = 0; i < node->count; i++) {
    if (reached_earlier(v, node->children[i])) return true;
  }
  const zh_rule *rule = node->kind == ZH_NODE_LEAF ? node->leaf : NULL;
  if (rule == NULL || rule->earlier == NULL || v->c->applicant == NULL) return false;
  const zh_claim *claim = zh_claim_find(&v->c->applicant->facts, rule->earlier->id);
  return claim != NULL &&
         zh_op_holds(zh_boundary_op(&rule->boundary, v->at), claim->number, rule->threshold);
}

/* The highest lower step that was reached in an earlier year. */
static int64_t steps_reached(const view *v) {
  const zh_amount *amount = v->clause->amount;
  int64_t highest = 0, own = zh_smallest_cap(amount);
  for (size_t i = 0; i < v->c->policy->clause_count; i++) {
    const zh_clause *other = &v->c->policy->clauses[i];
    bool on_it = other->amount != NULL && other->amount->ladder != NULL &&
                 strcmp(other->amount->ladder, amount->ladder) == 0;
    int64_t step = on_it ? zh_smallest_cap(other->amount) : -1;
    if (step > highest && step < own && reached_earlier(v, other->test)) highest = step;
  }
  return highest;
}

static void apply_ladder(zh_award *award, int64_t *left, const view *v) {
  const zh_amount *amount = v->clause->amount;
  if (amount->ladder == NULL || amount->difference == NULL) return;
  int64_t paid = zh_received_on_ladder(v->c, amount->ladder);
  bool by_steps = amount->less_steps[zh_choice_of(amount->difference_reading, v->at)];
  int64_t reached = by_steps ? steps_reached(v) : 0;
  if (reached > paid)
    deduct(award, left, ZH_WORD_step_steps, reached);
  else
    deduct(award, left, ZH_WORD_step_ladder, paid);
}

/* --- money of other policies --- */

static void apply_stacking(zh_award *award, int64_t *left, const view *v) {
  for (size_t i = 0; i < v->c->policy->stacking_count; i++) {
    const zh_stacking *s = &v->c->policy->stacking[i];
    if (!s->among[v->clause->index]) continue;
    int64_t received = zh_received_elsewhere(v->c, s, v->clause, v->at, v->strict);
    if (s->kind == ZH_STACK_HIGHER_OF) deduct(award, left, ZH_WORD_step_higher, received);
    if (s->kind == ZH_STACK_YIELDS_TO) deduct(award, left, ZH_WORD_step_newer, received);
    if (s->kind == ZH_STACK_JOINT_LIMIT && award->cost != NULL)
      limit(award, left, ZH_WORD_step_joint,
            zh_award_share(award->cost->number, s->rate_millionths, INT64_MAX),
            zh_received_jointly(v->c, s, v->at, v->strict));
  }
}

static void apply_rounding(zh_award *award, int64_t *left, int64_t unit) {
  if (unit <= 1 || *left < 0 || *left % unit == 0) return;
  *left -= *left % unit;
  if (award->step_count < ZH_MAX_STEPS)
    award->steps[award->step_count++] = (zh_step){ZH_WORD_step_rounding, 0, 0, *left};
}

static int64_t compute(zh_award *award, const view *v) {
  int64_t left = -1;
  award->step_count = 0;
  award->figure = ZH_FIGURE_KNOWN;
  apply_base(award, &left, v);
  apply_caps(award, &left, v);
  if (left < 0 && award->figure == ZH_FIGURE_KNOWN)
    award->figure = award->lifted ? ZH_FIGURE_LIFTED : ZH_FIGURE_NONE;
  apply_ladder(award, &left, v);
  apply_stacking(award, &left, v);
  apply_rounding(award, &left, v->clause->amount->rounding_fen);
  return left;
}

/* --- the whole --- */

static const zh_name *base_of(const zh_amount *amount, const zh_assignment *readings) {
  return amount->has_base ? amount->bases[zh_choice_of(amount->base_reading, readings)] : NULL;
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

static void add_reading(zh_reading_set *set, const zh_reading *reading) {
  if (reading != NULL) set->has[reading->index] = true;
}

/* Those that bounds depend on. */
static void add_limit_readings(zh_reading_set *set, const zh_policy *policy,
                               const zh_clause *clause) {
  const zh_amount *amount = clause->amount;
  add_reading(set, amount->base_reading);
  add_reading(set, amount->rate_per.reading);
  add_reading(set, amount->difference_reading);
  for (size_t i = 0; i < amount->cap_count; i++) {
    add_reading(set, amount->caps[i].per.reading);
    if (amount->caps[i].unless != NULL) zh_node_readings(set, policy, amount->caps[i].unless->test);
  }
  for (size_t i = 0; i < policy->stacking_count; i++) {
    if (policy->stacking[i].among[clause->index])
      add_reading(set, policy->stacking[i].levels_reading);
  }
}

void zh_amount_readings(zh_reading_set *set, const zh_policy *policy, const zh_clause *clause) {
  zh_validity_readings(set, policy);
  for (size_t i = 0; i < policy->always_count; i++)
    zh_node_readings(set, policy, policy->always[i]->test);
  for (size_t i = 0; i < clause->amount->require_count; i++)
    zh_node_readings(set, policy, clause->amount->requires[i] -> test);
  if (clause->test != NULL) zh_node_readings(set, policy, clause->test);
  add_limit_readings(set, policy, clause);
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
  award.low = compute(&award, &(view){c, clause, readings, true});
  award.high = compute(&award, &(view){c, clause, readings, false});
  if (award.figure == ZH_FIGURE_NO_BASE || award.figure == ZH_FIGURE_UNSTATED) award.low = 0;
  return award;
}

bool zh_award_is_settled(const zh_award *award) {
  return award->figure == ZH_FIGURE_KNOWN && award->low == award->high;
}
