#include "evaluator/engine/limits.h"

#include <string.h>

#include "evaluator/exact.h"

void zh_limits_clear(zh_limits *limits) {
  memset(limits->count, 0, sizeof limits->count);
}

/* --- which limits there are --- */

static bool note(zh_limits *limits, int kind, const zh_limit *found, size_t i) {
  zh_limit *of = limits->of[kind];
  size_t at = 0;
  while (at < limits->count[kind] &&
         (of[at].key != found->key || of[at].part != found->part || of[at].fen != found->fen))
    at++;
  if (at == ZH_MAX_LIMITS) return false;
  if (at == limits->count[kind]) {
    of[at] = *found;
    limits->count[kind]++;
  }
  if (found->bound < of[at].bound) of[at].bound = found->bound;
  of[at].items |= (zh_item_set)1 << i;
  return true;
}

static int64_t less(int64_t a, int64_t b) {
  return a > b ? a - b : 0;
}

static bool sums_up(zh_cap_per per) {
  return per != ZH_PER_AWARD && per != ZH_PER_PERSON;
}

static bool add_caps(zh_limits *limits, const zh_case *c, const zh_clause *clause, size_t i,
                     const zh_assignment *at, bool strict) {
  for (size_t k = 0; k < clause->amount->cap_count; k++) {
    const zh_cap *cap = &clause->amount->caps[k];
    zh_cap_per per = cap->per.of[zh_choice_of(cap->per.reading, at)];
    if (cap->shared == NULL || !sums_up(per)) continue;
    if (!strict && zh_cap_may_be_lifted(c, cap, at)) continue;
    int64_t received = zh_received_under(c, clause, cap->shared, per, strict);
    const zh_limit found = {.key = cap->shared, .fen = cap->fen, .bound = less(cap->fen, received)};
    if (!note(limits, ZH_LIMIT_SHARED_CAP, &found, i)) return false;
  }
  return true;
}

static bool add_joint(zh_limits *limits, const zh_case *c, const zh_award *award,
                      const zh_clause *clause, size_t i, const zh_assignment *at, bool strict) {
  for (size_t s = 0; s < c->policy->stacking_count; s++) {
    const zh_stacking *rule = &c->policy->stacking[s];
    bool bounds = rule->kind == ZH_STACK_JOINT_LIMIT && rule->among[clause->index];
    if (!bounds || award->cost == NULL) continue;
    const zh_limit found = {
        .key = rule,
        .part = award->base,
        .bound = less(zh_award_share(award->cost->number, rule->rate_millionths, INT64_MAX),
                      zh_received_jointly(c, rule, at, strict))};
    if (!note(limits, ZH_LIMIT_JOINT, &found, i)) return false;
  }
  return true;
}

bool zh_limits_add(zh_limits *limits, const zh_case *c, const zh_award *award,
                   const zh_clause *clause, size_t i, const zh_assignment *at, bool strict) {
  return add_caps(limits, c, clause, i, at, strict) &&
         add_joint(limits, c, award, clause, i, at, strict);
}

/* --- the best split: money flows through a cap, an award and a joint limit --- */

enum { NODES = ZH_MAX_LIMITS + 1 }; /* of one kind; the last stands for no limit */

typedef struct flow {
  size_t side[ZH_LIMIT_KINDS];         /* nodes of each kind */
  int64_t open[ZH_LIMIT_KINDS][NODES]; /* what the limits still let through */
  int64_t edge[NODES][NODES], used[NODES][NODES];
  int from[ZH_LIMIT_KINDS][NODES]; /* of a path: the node before; -1: not reached */
} flow;

static int64_t add_capped(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* The limit of this kind that the item is in; the node without limit where it is in none. */
static size_t node_of(const zh_limits *limits, int kind, size_t i) {
  size_t at = 0;
  while (at < limits->count[kind] && !(limits->of[kind][at].items >> i & 1)) at++;
  return at;
}

static void lay_out(flow *f, const zh_limits *limits, const int64_t *values, size_t count,
                    zh_item_set set) {
  memset(f, 0, sizeof *f);
  for (int kind = 0; kind < ZH_LIMIT_KINDS; kind++) {
    f->side[kind] = limits->count[kind] + 1;
    for (size_t n = 0; n < limits->count[kind]; n++) f->open[kind][n] = limits->of[kind][n].bound;
    f->open[kind][limits->count[kind]] = INT64_MAX;
  }
  for (size_t i = 0; i < count; i++) {
    if (!(set >> i & 1)) continue;
    int64_t *edge =
        &f->edge[node_of(limits, ZH_LIMIT_SHARED_CAP, i)][node_of(limits, ZH_LIMIT_JOINT, i)];
    *edge = add_capped(*edge, values[i]);
  }
}

/* A path from a cap with room to a joint limit with room, by way of awards that are not full, or of
 * money that can be taken back; the joint limit where it ends, -1 where there is none. */
static int find_path(flow *f) {
  int queue[2 * NODES], head = 0, tail = 0;
  memset(f->from, -1, sizeof f->from);
  for (size_t a = 0; a < f->side[0]; a++) {
    if (f->open[0][a] == 0) continue;
    f->from[0][a] = NODES; /* the source */
    queue[tail++] = (int)a;
  }
  while (head < tail) {
    int at = queue[head++];
    bool second = at >= NODES;
    for (size_t n = 0; n < f->side[second ? 0 : 1]; n++) {
      int64_t room = second ? f->used[n][at - NODES] : f->edge[at][n] - f->used[at][n];
      int *from = &f->from[second ? 0 : 1][n];
      if (room == 0 || *from >= 0) continue;
      *from = second ? at - NODES : at;
      if (!second && f->open[1][n] > 0) return (int)n;
      queue[tail++] = second ? (int)n : (int)n + NODES;
    }
  }
  return -1;
}

/* What the path lets through. */
static int64_t narrowest(const flow *f, int end) {
  int64_t room = f->open[1][end];
  for (int b = end;;) {
    int a = f->from[1][b];
    if (f->edge[a][b] - f->used[a][b] < room) room = f->edge[a][b] - f->used[a][b];
    b = f->from[0][a];
    if (b == NODES) return f->open[0][a] < room ? f->open[0][a] : room;
    if (f->used[a][b] < room) room = f->used[a][b];
  }
}

static void send(flow *f, int end, int64_t amount) {
  if (f->open[1][end] != INT64_MAX) f->open[1][end] -= amount;
  for (int b = end;;) {
    int a = f->from[1][b];
    f->used[a][b] += amount;
    b = f->from[0][a];
    if (b < NODES) {
      f->used[a][b] -= amount;
      continue;
    }
    if (f->open[0][a] != INT64_MAX) f->open[0][a] -= amount;
    return;
  }
}

static void share_out(int64_t *shares, flow *f, const zh_limits *limits, const int64_t *values,
                      size_t count, zh_item_set set) {
  for (size_t i = 0; i < count; i++) {
    int64_t *used =
        &f->used[node_of(limits, ZH_LIMIT_SHARED_CAP, i)][node_of(limits, ZH_LIMIT_JOINT, i)];
    shares[i] = !(set >> i & 1) ? 0 : values[i] < *used ? values[i] : *used;
    *used -= shares[i];
  }
}

int64_t zh_limits_worth(const zh_limits *limits, const int64_t *values, size_t count,
                        zh_item_set set, int64_t *shares) {
  int64_t sum = 0;
  flow f;
  int end;
  if (limits->count[0] + limits->count[1] == 0) {
    for (size_t i = 0; i < count; i++) {
      bool in = set >> i & 1;
      if (in) sum = add_capped(sum, values[i]);
      if (shares != NULL) shares[i] = in ? values[i] : 0;
    }
    return sum;
  }
  lay_out(&f, limits, values, count, set);
  while ((end = find_path(&f)) >= 0) {
    int64_t amount = narrowest(&f, end);
    send(&f, end, amount);
    sum = add_capped(sum, amount);
  }
  if (shares != NULL) share_out(shares, &f, limits, values, count, set);
  return sum;
}
