/* The lawful combination with the highest sum. Amounts that stand against each other are few, so
 * that a search with a bound is exact and fast. What limits the sum of several (limits.c) never
 * makes a larger set worth less, so amounts that stand against nothing are always looked at.
 */
#include <string.h>

#include "evaluator/engine/limits.h"

typedef zh_item_set item_set;

/* The amounts under one assignment. */
typedef struct problem {
  const zh_case *c;
  const zh_outcome *outcomes;
  size_t count;
  const zh_assignment *at;
  bool possible;                  /* count the undetermined, too */
  int64_t value[ZH_MAX_OUTCOMES]; /* 0: fails or gives nothing; not counted */
  bool open[ZH_MAX_OUTCOMES];     /* may be given, but is not counted */
  bool unsettled;                 /* one that counts lies between two figures */
  item_set against[ZH_MAX_OUTCOMES];
  zh_word ground[ZH_MAX_OUTCOMES][ZH_MAX_OUTCOMES];
  zh_limits limits;
} problem;

typedef struct solution {
  item_set chosen;
  int64_t sum;
} solution;

static item_set bit(size_t i) {
  return (item_set)1 << i;
}

/* --- what stands against what --- */

static bool same_paper(const zh_claim *a, const zh_claim *b) {
  for (size_t i = 0; a != NULL && b != NULL && i < a->paper_count; i++) {
    for (size_t k = 0; k < b->paper_count; k++) {
      bool file = strcmp(a->papers[i].file, b->papers[k].file) == 0;
      bool digest = a->papers[i].sm3[0] != '\0' && strcmp(a->papers[i].sm3, b->papers[k].sm3) == 0;
      if (file || digest) return true;
    }
  }
  return false;
}

static bool same_bill(const problem *p, size_t i, size_t k) {
  zh_award a = zh_award_of(p->c, p->outcomes[i].clause, p->at),
           b = zh_award_of(p->c, p->outcomes[k].clause, p->at);
  if (a.base == NULL || b.base == NULL) return false;
  return a.base == b.base || same_paper(a.cost, b.cost);
}

static bool steps_of_one(const zh_clause *a, const zh_clause *b) {
  const char *x = a->amount->ladder, *y = b->amount->ladder;
  return x != NULL && y != NULL && strcmp(x, y) == 0;
}

static void set_against(problem *p, size_t i, size_t k, zh_word ground) {
  p->against[i] |= bit(k);
  p->against[k] |= bit(i);
  p->ground[i][k] = p->ground[k][i] = ground;
}

static void find_conflict(problem *p, size_t i, size_t k) {
  const zh_clause *a = p->outcomes[i].clause, *b = p->outcomes[k].clause;
  if (steps_of_one(a, b)) set_against(p, i, k, ZH_WORD_stacking_ladder);
  for (size_t s = 0; s < p->c->policy->stacking_count; s++) {
    const zh_stacking *rule = &p->c->policy->stacking[s];
    if (!rule->among[a->index] || !rule->among[b->index]) continue;
    if (rule->kind == ZH_STACK_EXCLUSIVE) set_against(p, i, k, ZH_WORD_stacking_exclusive);
    bool once = rule->kind == ZH_STACK_SAME_BILL && rule->once[p->at->choice[rule->reading->index]];
    if (once && same_bill(p, i, k)) set_against(p, i, k, ZH_WORD_stacking_same_bill);
  }
}

/* strict: with every limit that may bound the sums, and money received that may count. */
static zh_status pose(problem *p, bool strict, zh_error *err) {
  memset(p->against, 0, sizeof p->against);
  zh_limits_clear(&p->limits);
  p->unsettled = false;
  for (size_t i = 0; i < p->count; i++) {
    const zh_clause *clause = p->outcomes[i].clause;
    zh_award award = zh_award_of(p->c, clause, p->at);
    bool fails = award.verdict == ZH_FAIL;
    bool counts = award.verdict == ZH_PASS || (p->possible && !fails);
    bool counted = counts && zh_award_is_settled(&award);
    p->value[i] = counted ? award.high : 0;
    p->open[i] = !fails && !counted;
    p->unsettled |= counts && award.figure == ZH_FIGURE_KNOWN && award.low != award.high;
    if (!zh_limits_add(&p->limits, p->c, &award, clause, i, p->at, strict))
      return zh_fail(err, ZH_ERR_INPUT,
                     "more than %d limits on sums at once; name fewer amounts under 'claims'",
                     ZH_MAX_LIMITS);
  }
  for (size_t i = 0; i < p->count; i++) {
    for (size_t k = 0; k < i; k++) find_conflict(p, i, k);
  }
  return ZH_OK;
}

/* --- search --- */

static int64_t worth(const problem *p, item_set set) {
  return zh_limits_worth(&p->limits, p->value, p->count, set, NULL);
}

/* Decides item i and those after it; `free_items` may still be taken. */
static void search(const problem *p, size_t i, item_set free_items, item_set chosen,
                   solution *best) {
  int64_t sum = worth(p, chosen);
  if (sum > best->sum) *best = (solution){chosen, sum};
  for (; i < p->count && !(free_items & bit(i)); i++) continue;
  if (i == p->count) return;
  if (worth(p, chosen | free_items) <= best->sum)
    return; /* even all the rest would not do better */
  item_set left = free_items & ~bit(i);
  search(p, i + 1, left & ~p->against[i], chosen | bit(i), best);
  if (p->against[i] & left) search(p, i + 1, left, chosen, best);
}

/* Leaves out what adds nothing because the others fill the limits; the smallest go first. */
static void drop_idle(const problem *p, solution *best) {
  for (item_set looked = ~best->chosen; ~looked != 0;) {
    size_t smallest = p->count;
    for (size_t i = 0; i < p->count; i++) {
      bool smaller = smallest == p->count || p->value[i] < p->value[smallest];
      if (!(looked & bit(i)) && smaller) smallest = i;
    }
    looked |= bit(smallest);
    if (worth(p, best->chosen & ~bit(smallest)) == best->sum) best->chosen &= ~bit(smallest);
  }
}

static solution solve(const problem *p, item_set allowed) {
  solution best = {0, 0};
  item_set items = 0;
  for (size_t i = 0; i < p->count; i++) {
    if ((allowed & bit(i)) && p->value[i] > 0) items |= bit(i);
  }
  search(p, 0, items, 0, &best);
  drop_idle(p, &best);
  return best;
}

/* The best combination that leaves out one of the chosen that stands against something. */
static solution second_best(const problem *p, solution best) {
  solution second = {0, -1};
  for (size_t i = 0; i < p->count; i++) {
    bool matters = (best.chosen & bit(i)) && p->against[i] != 0;
    if (!matters) continue;
    solution other = solve(p, ~bit(i));
    if (other.chosen == (best.chosen & ~bit(i))) continue; /* nothing took its place */
    if (other.sum > second.sum) second = other;
  }
  return second;
}

/* --- JSON --- */

static json_t *ids(const problem *p, item_set set) {
  json_t *list = json_array();
  for (size_t i = 0; i < p->count; i++) {
    if (set & bit(i)) json_array_append_new(list, json_string(p->outcomes[i].clause->id));
  }
  return list;
}

static json_t *conflicts(const problem *p) {
  json_t *list = json_array();
  for (size_t i = 0; i < p->count; i++) {
    for (size_t k = 0; k < i; k++) {
      if (!(p->against[i] & bit(k))) continue;
      const zh_phrase *text = zh_word_of(p->c->words, p->ground[i][k]);
      json_array_append_new(list,
                            json_pack("{s:s, s:s, s:o}", "a", p->outcomes[k].clause->id, "b",
                                      p->outcomes[i].clause->id, "ground", zh_plain_phrase(text)));
    }
  }
  return list;
}

/* What each of the chosen comes to where a limit binds several: one way to split it. */
static json_t *shares(const problem *p, item_set chosen) {
  int64_t of[ZH_MAX_OUTCOMES];
  json_t *list = json_array();
  zh_limits_worth(&p->limits, p->value, p->count, chosen, of);
  for (size_t i = 0; i < p->count; i++) {
    if (chosen & bit(i))
      json_array_append_new(list, json_pack("{s:s, s:o}", "id", p->outcomes[i].clause->id,
                                            "up_to_yuan", zh_yuan_json(of[i])));
  }
  return list;
}

/* Those that bind two amounts or more. */
static json_t *limits(const problem *p) {
  static const zh_word words[] = {ZH_WORD_stacking_shared, ZH_WORD_stacking_joint};
  json_t *list = json_array();
  for (int kind = 0; kind < ZH_LIMIT_KINDS; kind++) {
    for (size_t n = 0; n < p->limits.count[kind]; n++) {
      const zh_limit *limit = &p->limits.of[kind][n];
      if ((limit->items & (limit->items - 1)) == 0) continue;
      const zh_phrase *ground = zh_word_of(p->c->words, words[kind]);
      json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "among", ids(p, limit->items),
                                            "up_to_yuan", zh_yuan_json(limit->bound), "ground",
                                            zh_plain_phrase(ground)));
    }
  }
  return list;
}

static item_set not_counted(const problem *p) {
  item_set set = 0;
  for (size_t i = 0; i < p->count; i++) {
    if (p->open[i]) set |= bit(i);
  }
  return set;
}

static json_t *solution_json(const problem *p, solution best) {
  solution second = second_best(p, best);
  json_t *alternative = json_null();
  if (second.sum >= 0)
    alternative = json_pack("{s:o, s:o}", "chosen", ids(p, second.chosen), "up_to_yuan",
                            zh_yuan_json(second.sum));
  return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "chosen", ids(p, best.chosen),
                   "up_to_yuan", zh_yuan_json(best.sum), "not_counted", ids(p, not_counted(p)),
                   "alternative", alternative, "conflicts", conflicts(p), "shares",
                   shares(p, best.chosen), "limits", limits(p));
}

static void add_reading(zh_reading_set *set, const zh_reading *reading) {
  if (reading != NULL) set->has[reading->index] = true;
}

/* Those that may change a sum without changing any amount by itself. */
static void add_sum_readings(zh_reading_set *set, const zh_policy *policy,
                             const zh_clause *clause) {
  for (size_t i = 0; i < clause->amount->cap_count; i++) {
    const zh_cap *cap = &clause->amount->caps[i];
    if (cap->shared == NULL) continue;
    add_reading(set, cap->per.reading);
    if (cap->unless != NULL) zh_node_readings(set, policy, cap->unless->test);
  }
  for (size_t i = 0; i < policy->stacking_count; i++) {
    const zh_stacking *rule = &policy->stacking[i];
    bool joins = rule->kind == ZH_STACK_JOINT_LIMIT || rule->kind == ZH_STACK_SAME_BILL;
    if (!joins || !rule->among[clause->index]) continue;
    add_reading(set, rule->levels_reading);
    add_reading(set, clause->amount->base_reading);
  }
}

/* Those that change an amount, or what several come to; the others would only repeat the result. */
static zh_reading_set readings_of(const zh_case *c, const zh_outcome *outcomes, size_t count) {
  zh_reading_set set = {{false}};
  for (size_t i = 0; i < count; i++) {
    zh_reading_set matters = zh_outcome_matters(c, &outcomes[i]);
    for (size_t r = 0; r < ZH_MAX_READINGS; r++) set.has[r] |= matters.has[r];
    add_sum_readings(&set, c->policy, outcomes[i].clause);
  }
  for (size_t s = 0; s < c->policy->stacking_count; s++) {
    const zh_stacking *rule = &c->policy->stacking[s];
    size_t concerned = 0;
    for (size_t i = 0; i < count; i++) concerned += rule->among[outcomes[i].clause->index];
    if (rule->reading != NULL && concerned > 1) set.has[rule->reading->index] = true;
  }
  return set;
}

enum { COMBINATIONS_MAX = 1 << 12 };

/* Solves one view and keeps its sum; -1 where it differs from those before, or depends on limits
 * and money received that may count or not, for all or for one of them. */
static zh_status add_solution(json_t *entry, int64_t *sum, problem *p, bool possible, bool first,
                              zh_error *err) {
  p->possible = possible;
  ZH_TRY(pose(p, true, err));
  int64_t least = solve(p, ~(item_set)0).sum;
  ZH_TRY(pose(p, false, err));
  solution best = solve(p, ~(item_set)0);
  if (first) *sum = best.sum;
  if (best.sum != *sum || best.sum != least || p->unsettled) *sum = -1;
  json_object_set_new(entry, possible ? "if_all_hold" : "certain", solution_json(p, best));
  return ZH_OK;
}

zh_status zh_combine(json_t **out, zh_sums *sums, const zh_case *c, const zh_outcome *outcomes,
                     size_t count, zh_error *err) {
  zh_reading_set set = readings_of(c, outcomes, count);
  zh_assignment at = {{0}};
  problem p = {.c = c, .outcomes = outcomes, .count = count, .at = &at};
  json_t *list = json_array();
  *out = NULL;
  *sums = (zh_sums){0, 0};
  if (count > ZH_MAX_OUTCOMES || zh_assignment_count(c->policy, &set) > COMBINATIONS_MAX) {
    json_decref(list);
    return zh_fail(err, ZH_ERR_INPUT,
                   "too many amounts or readings at once (at most %d amounts); name fewer under "
                   "'claims'",
                   ZH_MAX_OUTCOMES);
  }
  size_t seen = 0;
  zh_status status;
  do {
    json_t *entry = json_pack("{s:o}", "choices", zh_assignment_json(&at, c->policy, &set));
    status = add_solution(entry, &sums->certain, &p, false, seen == 0, err);
    if (status == ZH_OK) status = add_solution(entry, &sums->possible, &p, true, seen == 0, err);
    json_array_append_new(list, entry);
    seen++;
  } while (status == ZH_OK && zh_assignment_next(&at, c->policy, &set));
  if (status != ZH_OK) {
    json_decref(list);
    return status;
  }
  *out = json_pack("{s:o, s:o, s:o}", "up_to_yuan", zh_yuan_json(sums->certain), "if_all_hold_yuan",
                   zh_yuan_json(sums->possible), "by_reading", list);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the combination");
}
