/* From leaves to results: trees in three-valued logic, amounts, and the best lawful combination;
 * each under every reading that matters. */
#ifndef ZH_EVALUATOR_ENGINE_ENGINE_H
#define ZH_EVALUATOR_ENGINE_ENGINE_H

#include "evaluator/rules/rules.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- assignments of readings (readings.c) --- */

/* Which readings of the policy something depends on. */
typedef struct zh_reading_set {
  bool has[ZH_MAX_READINGS];
} zh_reading_set;

/* Goes to the next assignment of the readings in the set; the others stay as they are. Starts from
 * all zeros; false when all have been seen. */
bool zh_assignment_next(zh_assignment *at, const zh_policy *policy, const zh_reading_set *set);
size_t zh_assignment_count(const zh_policy *policy, const zh_reading_set *set);
/* {"parameter_count": "total", …} */
json_t *zh_assignment_json(const zh_assignment *at, const zh_policy *policy,
                           const zh_reading_set *set);

/* --- trees (tree.c, proof.c) --- */

zh_verdict zh_and(zh_verdict a, zh_verdict b); /* not_applicable is left out of account */
zh_verdict zh_same_or_open(zh_verdict a, zh_verdict b);
zh_verdict zh_node_decide(const zh_case *c, const zh_node *node, const zh_assignment *readings);
void zh_node_readings(zh_reading_set *set, const zh_policy *policy, const zh_node *node);
void zh_rule_readings(zh_reading_set *set, const zh_policy *policy, const zh_rule *rule);
/* Over every assignment: what they agree on, else undetermined. */
zh_verdict zh_node_verdict(const zh_case *c, const zh_node *node);
zh_verdict zh_rule_verdict(const zh_case *c, const zh_rule *rule);
/* A leaf over every assignment: where readings differ, the question that decides it. */
void zh_rule_explain(zh_judgement *out, const zh_case *c, const zh_rule *rule);
/* The tree with the verdict and the reason of every node. New reference. */
json_t *zh_node_proof(const zh_case *c, const zh_node *node);

/* --- validity (validity.c) --- */

zh_verdict zh_validity_decide(const zh_case *c, const zh_assignment *readings);
void zh_validity_readings(zh_reading_set *set, const zh_policy *policy);
ZH_MUST_CHECK zh_status zh_validity_finding(zh_case *c, zh_error *err);

/* --- one amount under one assignment (award.c) --- */

typedef enum zh_figure {
  ZH_FIGURE_KNOWN,
  ZH_FIGURE_NO_BASE,
  ZH_FIGURE_UNSTATED,
  ZH_FIGURE_NONE,
  ZH_FIGURE_LIFTED /* its one limit may be lifted, and the text does not say to what */
} zh_figure;

typedef struct zh_step {
  zh_word word;
  int64_t limit, received; /* 分 */
  int64_t left;            /* after this step; -1: nothing limits it yet */
} zh_step;

enum { ZH_MAX_STEPS = 16 };

typedef struct zh_award {
  zh_verdict verdict; /* of the conditions */
  zh_figure figure;
  int64_t low, high; /* 分; low < high where it is not known which received money counts; high -1:
                        no limit is known */
  const zh_name *base;
  const zh_claim *cost; /* of the base; NULL: not stated */
  bool lifted;          /* a condition lifts, or may lift, one of its caps */
  zh_step steps[ZH_MAX_STEPS];
  size_t step_count;
} zh_award;

/* One figure, whatever the conditions come to. */
bool zh_award_is_settled(const zh_award *award);
zh_award zh_award_of(const zh_case *c, const zh_clause *clause, const zh_assignment *readings);
zh_verdict zh_amount_decide(const zh_case *c, const zh_clause *clause,
                            const zh_assignment *readings);
void zh_amount_readings(zh_reading_set *set, const zh_policy *policy, const zh_clause *clause);
/* Whether the condition that lifts the cap holds, or may hold. */
bool zh_cap_may_be_lifted(const zh_case *c, const zh_cap *cap, const zh_assignment *readings);
int64_t zh_smallest_cap(const zh_amount *amount); /* -1: none */

/* --- money received (received.c); unsure: count what may count, too --- */

/* Under this clause, or another that the same sentence caps (NULL: none), as far as the time goes.
 */
int64_t zh_received_under(const zh_case *c, const zh_clause *clause, const zh_clause *shared,
                          zh_cap_per per, bool unsure);
int64_t zh_received_on_ladder(const zh_case *c, const char *ladder);
/* For the same project under the other policies that the rule speaks of; of the same kind as
 * `award`, where that is not NULL. */
int64_t zh_received_elsewhere(const zh_case *c, const zh_stacking *rule, const zh_clause *award,
                              const zh_assignment *readings, bool unsure);
/* The same, with what was received under the clauses that a joint_limit joins. */
int64_t zh_received_jointly(const zh_case *c, const zh_stacking *rule,
                            const zh_assignment *readings, bool unsure);

/* --- one amount under all of them (outcome.c) --- */

typedef struct zh_outcome {
  const zh_clause *clause;
  zh_reading_set readings; /* that it depends on */
  zh_verdict verdict;
  bool settled;      /* one figure, the same under every reading that does not fail */
  int64_t low, high; /* of those readings; equal where settled; high -1: no limit is known */
  zh_award sample;   /* under the first reading that does not fail */
  zh_assignment sample_readings;
} zh_outcome;

zh_outcome zh_outcome_of(const zh_case *c, const zh_clause *clause);
/* Of the readings that it depends on, those whose choices change the result. */
zh_reading_set zh_outcome_matters(const zh_case *c, const zh_outcome *outcome);
/* The grant as evaluation.json shows it (grant.c). New reference. */
json_t *zh_outcome_json(const zh_case *c, const zh_outcome *outcome);
/* The figure itself, -1 where there is none: undetermined never turns into a number. */
int64_t zh_outcome_figure(const zh_outcome *outcome);
json_t *zh_wan_yuan_json(int64_t fen); /* null where negative */
json_t *zh_yuan_json(int64_t fen);

/* --- several amounts together (combination.c) --- */

enum { ZH_MAX_OUTCOMES = 64 };
typedef struct zh_sums {
  int64_t certain;  /* of amounts whose conditions all hold; -1 where readings differ */
  int64_t possible; /* were the undetermined conditions to hold, too */
} zh_sums;
/* The lawful combination with the highest sum, the best alternative, and what stands against each
 * other; by reading. */
ZH_MUST_CHECK zh_status zh_combine(json_t **out, zh_sums *sums, const zh_case *c,
                                   const zh_outcome *outcomes, size_t count, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
