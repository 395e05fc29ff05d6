/* Made items: logic grids. People sit in a row, each with one thing of every kind; clues say who
 * sits where and has what. A solver counts the solutions: clues are added until there is one, then
 * those are taken out without which there is still one. */
#include <string.h>

#include "bench/quality/procedural.h"

enum { SEATS_MAX = 5, KINDS_MAX = 4, CLUES_MAX = 96, DRAWS = 400 };
enum { THINGS_MAX = SEATS_MAX * KINDS_MAX };

/* Things are numbered kind by kind; kind 0 is the people themselves. */
typedef enum relation { AT, NOT_AT, SAME, NOT_SAME, NEXT, LEFT, RELATIONS } relation;
static const char *const names[RELATIONS] = {"at", "not_at", "same", "not_same", "next", "left"};

typedef struct clue {
  relation how;
  int a, b; /* things; of a place b is the seat */
} clue;

typedef struct grid {
  int seats, kinds;
  int solution[THINGS_MAX]; /* the seat of each thing */
  clue clues[CLUES_MAX];
  size_t count;
} grid;

static int things_of(const grid *g) {
  return g->seats * g->kinds;
}

/* seats: of things below `known`; a clue of a thing that has none yet holds so far. */
static bool holds(const clue *c, const int *seats, int known) {
  bool place = c->how == AT || c->how == NOT_AT;
  if (c->a >= known || (!place && c->b >= known)) return true;
  int a = seats[c->a], b = place ? c->b : seats[c->b];
  switch (c->how) {
  case AT:
  case SAME:
    return a == b;
  case NOT_AT:
  case NOT_SAME:
    return a != b;
  case NEXT:
    return a + 1 == b;
  default:
    return a < b;
  }
}

typedef struct search {
  const grid *grid;
  int seats[THINGS_MAX];
  int found, wanted;
  const clue *about[THINGS_MAX][CLUES_MAX]; /* clues whose last thing it is */
  size_t counts[THINGS_MAX];
} search;

/* Gives thing `at` and those behind it seats, until so many solutions are found as are wanted. */
static void place_from(search *s, int at) {
  const grid *g = s->grid;
  if (at == things_of(g)) {
    s->found++;
    return;
  }
  int first = at - at % g->seats;
  for (int seat = 0; seat < g->seats && s->found < s->wanted; seat++) {
    bool free = true;
    for (int i = first; i < at; i++) free &= s->seats[i] != seat;
    s->seats[at] = seat;
    for (size_t i = 0; free && i < s->counts[at]; i++)
      free = holds(s->about[at][i], s->seats, at + 1);
    if (free) place_from(s, at + 1);
  }
}

static bool has_one_solution(const grid *g) {
  search s;
  s.grid = g;
  s.found = 0;
  s.wanted = 2;
  memset(s.counts, 0, sizeof s.counts);
  for (size_t i = 0; i < g->count; i++) {
    const clue *c = &g->clues[i];
    bool place = c->how == AT || c->how == NOT_AT;
    int last = place || c->a > c->b ? c->a : c->b;
    s.about[last][s.counts[last]++] = c;
  }
  place_from(&s, 0);
  return s.found == 1;
}

static bool is_said(const grid *g, const clue *c) {
  for (size_t i = 0; i < g->count; i++)
    if (g->clues[i].how == c->how && g->clues[i].a == c->a && g->clues[i].b == c->b) return true;
  return false;
}

/* A clue of the kind that holds of the solution, of two different things or of one and a seat. What
 * people have is said of the later kind: "Anna drinks tea". */
static bool draw_clue(clue *out, const grid *g, relation how, zh_draw *draw) {
  uint32_t things = (uint32_t)things_of(g);
  *out = (clue){how, (int)zh_draw_below(draw, things), 0};
  if (how == AT || how == NOT_AT) {
    out->b = (int)zh_draw_below(draw, (uint32_t)g->seats);
  } else {
    out->b = (int)zh_draw_below(draw, things);
    int a = out->a / g->seats, b = out->b / g->seats;
    if (out->a == out->b || ((how == SAME || how == NOT_SAME) && a >= b)) return false;
  }
  return holds(out, g->solution, (int)things) && !is_said(g, out);
}

/* Where draws do not lead to one solution, places of all things do. */
static void add_clues(grid *g, int level, zh_draw *draw) {
  static const struct {
    relation ways[RELATIONS];
    uint32_t count;
  } of_level[] = {{{AT, NOT_AT, SAME}, 3},
                  {{AT, NOT_AT, SAME, NOT_SAME}, 4},
                  {{NOT_AT, SAME, NOT_SAME, NEXT, LEFT}, 5},
                  {{NOT_AT, SAME, NOT_SAME, NEXT, LEFT}, 5},
                  {{NOT_AT, SAME, NOT_SAME, NEXT, LEFT}, 5}};
  int last = (int)(sizeof of_level / sizeof of_level[0]);
  int row = level < last ? level - 1 : last - 1;
  for (int i = 0; i < DRAWS && g->count + THINGS_MAX < CLUES_MAX; i++) {
    clue drawn;
    relation how = of_level[row].ways[zh_draw_below(draw, of_level[row].count)];
    if (!draw_clue(&drawn, g, how, draw)) continue;
    g->clues[g->count++] = drawn;
    if (has_one_solution(g)) return;
  }
  for (int i = 0; i < things_of(g); i++) g->clues[g->count++] = (clue){AT, i, g->solution[i]};
}

/* The later clues are tried first: what was said early is more likely to stay. */
static void take_out_needless(grid *g) {
  for (size_t i = g->count; i > 0; i--) {
    clue held = g->clues[i - 1];
    size_t behind = g->count - i;
    memmove(&g->clues[i - 1], &g->clues[i], behind * sizeof held);
    g->count--;
    if (has_one_solution(g)) continue;
    memmove(&g->clues[i], &g->clues[i - 1], behind * sizeof held);
    g->clues[i - 1] = held;
    g->count++;
  }
}

static int person_at(const grid *g, int seat) {
  int person = 0;
  while (g->solution[person] != seat) person++;
  return person;
}

/* A thing whose owner no clue names outright, where there is one. */
static int draw_question(const grid *g, zh_draw *draw) {
  int thing = 0;
  uint32_t things = (uint32_t)(things_of(g) - g->seats);
  for (int tries = 0; tries < 32; tries++) {
    thing = g->seats + (int)zh_draw_below(draw, things);
    clue plain = {SAME, person_at(g, g->solution[thing]), thing};
    if (!is_said(g, &plain)) break;
  }
  return thing;
}

/* ---- words ---- */

typedef struct naming {
  const grid *grid;
  json_t *of[THINGS_MAX]; /* {"who", "does", "not"}, borrowed from *all */
  json_t *all;            /* [kinds][seats] */
} naming;

/* A person is called by name alone; of a thing there are three ways to speak. */
static json_t *name_of(const json_t *words) {
  if (json_is_string(words)) return json_pack("{s:O}", "who", (json_t *)(uintptr_t)words);
  return json_pack("{s:O, s:O, s:O}", "does", json_array_get(words, 0), "not",
                   json_array_get(words, 1), "who", json_array_get(words, 2));
}

static zh_status draw_names(naming *n, const grid *g, zh_draw *draw, const zh_made_words *words,
                            zh_error *err) {
  n->grid = g;
  n->all = json_array();
  for (int kind = 0; n->all && kind < g->kinds; kind++) {
    const json_t *list = kind == 0 ? json_object_get(words->lists, "guests")
                                   : zh_made_entry(words, "traits", (size_t)kind - 1);
    json_t *row = json_array();
    int64_t places[SEATS_MAX];
    if (json_array_size(list) < (size_t)g->seats) {
      json_decref(row);
      return zh_made_short_list(kind == 0 ? "guests" : "traits", err);
    }
    zh_draw_different(places, (size_t)g->seats, (uint32_t)json_array_size(list), draw);
    for (int i = 0; row && i < g->seats; i++) {
      json_t *name = name_of(json_array_get(list, (size_t)places[i]));
      n->of[kind * g->seats + i] = name;
      if (json_array_append_new(row, name) != 0) return zh_made_no_memory(err);
    }
    if (json_array_append_new(n->all, row) != 0) return zh_made_no_memory(err);
  }
  return n->all ? ZH_OK : zh_made_no_memory(err);
}

static json_t *clues_json(const grid *g, const naming *n, zh_draw *draw) {
  uint32_t order[CLUES_MAX];
  json_t *list = json_array();
  zh_draw_order(order, (uint32_t)g->count, draw);
  for (size_t i = 0; list && i < g->count; i++) {
    const clue *c = &g->clues[order[i]];
    json_t *one = json_pack("{s:s, s:O}", "how", names[c->how], "a", n->of[c->a]);
    if (c->how == AT || c->how == NOT_AT)
      json_object_set_new(one, "seat", json_integer(c->b + 1));
    else
      json_object_set(one, "b", n->of[c->b]);
    json_array_append_new(list, one);
  }
  return list;
}

static zh_status say(json_t *variables, zh_text *answer, const grid *g, const naming *n,
                     zh_draw *draw, zh_error *err) {
  int asked = draw_question(g, draw);
  int person = person_at(g, g->solution[asked]);
  zh_text_puts(answer, json_string_value(json_object_get(n->of[person], "who")));
  ZH_TRY(zh_made_set(variables, "seats", json_integer(g->seats), err));
  ZH_TRY(zh_made_set(variables, "kinds", json_incref(n->all), err));
  ZH_TRY(zh_made_set(variables, "asked", json_incref(n->of[asked]), err));
  return zh_made_set(variables, "clues", clues_json(g, n, draw), err);
}

/* Seats and kinds by level: 3 people with one thing each, up to 5 with three. */
zh_status zh_made_logic(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                        const zh_made_words *words, zh_error *err) {
  static const int sizes[][2] = {{3, 2}, {3, 3}, {4, 3}, {4, 4}, {5, 4}};
  int row = level < 5 ? level - 1 : 4;
  grid g = {.seats = sizes[row][0], .kinds = sizes[row][1]};
  naming n = {0};
  for (int kind = 0; kind < g.kinds; kind++) {
    uint32_t order[SEATS_MAX];
    zh_draw_order(order, (uint32_t)g.seats, draw);
    for (int i = 0; i < g.seats; i++) g.solution[kind * g.seats + i] = (int)order[i];
  }
  add_clues(&g, level, draw);
  take_out_needless(&g);
  zh_status status = draw_names(&n, &g, draw, words, err);
  if (status == ZH_OK) status = say(variables, answer, &g, &n, draw, err);
  json_decref(n.all);
  return status;
}
