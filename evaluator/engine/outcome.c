/* One amount under every reading that it depends on. */
#include "evaluator/engine/engine.h"

static void widen(zh_outcome *o, const zh_award *award, bool first) {
  bool settled = zh_award_is_settled(award);
  if (first) {
    o->settled = settled;
    o->low = award->low;
    o->high = award->high;
    return;
  }
  o->settled = o->settled && settled && o->low == award->low;
  if (award->low < o->low) o->low = award->low;
  if (o->high >= 0 && (award->high < 0 || award->high > o->high)) o->high = award->high;
}

zh_outcome zh_outcome_of(const zh_case *c, const zh_clause *clause) {
  zh_outcome o = {.clause = clause};
  zh_assignment at = {{0}};
  size_t seen = 0, possible = 0;
  zh_amount_readings(&o.readings, c->policy, clause);
  do {
    zh_award award = zh_award_of(c, clause, &at);
    o.verdict = seen++ == 0 ? award.verdict : zh_same_or_open(o.verdict, award.verdict);
    if (award.verdict == ZH_FAIL) continue;
    widen(&o, &award, possible == 0);
    if (possible++ > 0) continue;
    o.sample = award;
    o.sample_readings = at;
  } while (zh_assignment_next(&at, c->policy, &o.readings));
  if (possible > 0) return o;
  o.sample = zh_award_of(c, clause, &(zh_assignment){{0}});
  o.settled = true;
  o.low = o.high = 0;
  return o;
}

/* Whether another choice of this reading changes the result under some choice of the others. */
static bool matters(const zh_case *c, const zh_outcome *o, const zh_reading *reading) {
  zh_assignment at = {{0}};
  do {
    zh_award a = zh_award_of(c, o->clause, &at);
    for (unsigned char k = 0; k < reading->choice_count; k++) {
      zh_assignment other = at;
      other.choice[reading->index] = k;
      zh_award b = zh_award_of(c, o->clause, &other);
      bool figures = a.verdict != ZH_FAIL && (a.low != b.low || a.high != b.high);
      if (a.verdict != b.verdict || figures) return true;
    }
  } while (zh_assignment_next(&at, c->policy, &o->readings));
  return false;
}

zh_reading_set zh_outcome_matters(const zh_case *c, const zh_outcome *o) {
  zh_reading_set set = {{false}};
  for (size_t i = 0; i < c->policy->reading_count; i++)
    set.has[i] = o->readings.has[i] && matters(c, o, &c->policy->readings[i]);
  return set;
}

int64_t zh_outcome_figure(const zh_outcome *o) {
  if (o->verdict == ZH_FAIL) return 0;
  return o->verdict == ZH_PASS && o->settled ? o->high : -1;
}
