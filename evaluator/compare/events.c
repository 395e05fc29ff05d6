/* Tasks, and who can be put side by side on each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/compare/events.h"

static zh_status new_event(zh_contest *c, const char *name, zh_error *err) {
  zh_event *grown = realloc(c->events, (c->event_count + 1) * sizeof *grown);
  if (grown == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the task '%s'", name);
  c->events = grown;
  zh_event *event = &grown[c->event_count++];
  *event = (zh_event){.name = name,
                      .metric = "",
                      .of = calloc(c->entrants->count, sizeof *event->of),
                      .sides = calloc(c->entrants->count, sizeof *event->sides)};
  if (event->of == NULL || event->sides == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the task '%s'", name);
  for (size_t i = 0; i < c->entrants->count; i++)
    event->of[i] = (zh_standing_of){.side = ZH_NO_SIDE, .score = NAN, .low = NAN, .high = NAN};
  return ZH_OK;
}

static bool known(const zh_contest *c, const char *name) {
  for (size_t i = 0; i < c->event_count; i++)
    if (strcmp(c->events[i].name, name) == 0) return true;
  return false;
}

static bool in_shares(const zh_event *event, size_t entrants) {
  bool any = false;
  for (size_t i = 0; i < entrants; i++) {
    const zh_sheet *sheet = event->of[i].sheet;
    for (size_t k = 0; sheet != NULL && k < sheet->count; k++) {
      double score = sheet->answers[k].score;
      any = true;
      if (isfinite(score) && !(score >= 0 && score <= 1)) return false;
    }
  }
  return any;
}

static void describe(zh_event *event, const zh_contest *c) {
  for (size_t i = 0; i < c->entrants->count; i++) {
    const zh_sheet *sheet = zh_sheet_named(&c->entrants->at[i], event->name);
    event->of[i].sheet = sheet;
    if (sheet == NULL || event->metric[0] != '\0') continue;
    event->metric = sheet->metric;
    event->texts = sheet->texts;
    event->fewer_is_better = sheet->fewer_is_better;
  }
  event->shares = !event->texts && in_shares(event, c->entrants->count);
}

/* --- sides --- */

/* Entrants of each side: all match each other. */
typedef struct parting {
  size_t member[ZH_ENTRANTS_MAX][ZH_ENTRANTS_MAX], members[ZH_ENTRANTS_MAX], sides;
} parting;

static bool takes(const parting *p, size_t side, const zh_event *event, const zh_contest *c,
                  size_t entrant) {
  for (size_t m = 0; m < p->members[side]; m++) {
    size_t member = p->member[side][m];
    if (!zh_sheets_match(NULL, c->entrants, member, event->of[member].sheet, entrant,
                         event->of[entrant].sheet))
      return false;
  }
  return true;
}

static void part(parting *p, const zh_event *event, const zh_contest *c) {
  for (size_t i = 0; i < c->entrants->count; i++) {
    const zh_sheet *sheet = event->of[i].sheet;
    size_t side = 0;
    if (sheet == NULL || json_array_size(sheet->faults) > 0) continue;
    while (side < p->sides && !takes(p, side, event, c, i)) side++;
    p->sides += side == p->sides;
    p->member[side][p->members[side]++] = i;
  }
}

static zh_status take_means(zh_event *event, int number, zh_error *err) {
  zh_side *side = &event->sides[number];
  double turn = event->fewer_is_better ? -1 : 1;
  for (size_t row = 0; row < side->members; row++) {
    zh_standing_of *of = &event->of[side->member[row]];
    zh_interval interval;
    of->side = number;
    of->row = row;
    ZH_TRY(zh_side_mean(&of->score, &interval, side, row, err));
    of->score *= turn;
    of->low = turn > 0 ? interval.low : -interval.high;
    of->high = turn > 0 ? interval.high : -interval.low;
  }
  return ZH_OK;
}

static zh_status add_side(zh_event *event, const zh_sheet *const *sheets, const size_t *member,
                          size_t members, size_t tasks, const zh_contest_options *options,
                          zh_error *err) {
  int number = (int)event->side_count++;
  ZH_TRY(zh_side_create(&event->sides[number], sheets, member, members, tasks, options, err));
  return take_means(event, number, err);
}

static zh_status take_sides(zh_event *event, const zh_contest *c, zh_error *err) {
  parting *p = calloc(1, sizeof *p);
  zh_status status = p != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  if (status == ZH_OK) part(p, event, c);
  for (size_t s = 0; status == ZH_OK && s < p->sides; s++) {
    const zh_sheet *sheets[ZH_ENTRANTS_MAX];
    for (size_t m = 0; m < p->members[s]; m++) sheets[m] = event->of[p->member[s][m]].sheet;
    status = add_side(event, sheets, p->member[s], p->members[s], 1, &c->options, err);
  }
  free(p);
  return status;
}

/* --- all tasks together --- */

/* The side with the most models; NULL where no two can be compared. */
static const zh_side *main_side(const zh_event *event) {
  const zh_side *most = NULL;
  for (size_t s = 0; s < event->side_count; s++)
    if (event->sides[s].members > (most != NULL ? most->members : 1)) most = &event->sides[s];
  return most;
}

bool zh_event_counts(const zh_event *event) {
  return event->shares && !event->fewer_is_better && main_side(event) != NULL;
}

static bool in_all(const zh_contest *c, size_t tasks, size_t entrant) {
  for (size_t t = 0; t < tasks; t++) {
    const zh_event *event = &c->events[t];
    if (!zh_event_counts(event)) continue;
    int side = event->of[entrant].side;
    if (side == ZH_NO_SIDE || &event->sides[side] != main_side(event)) return false;
  }
  return true;
}

static zh_status add_overall(zh_contest *c, zh_error *err) {
  size_t tasks = c->event_count, counted = 0, members = 0, member[ZH_ENTRANTS_MAX];
  for (size_t t = 0; t < tasks; t++) counted += zh_event_counts(&c->events[t]);
  for (size_t i = 0; i < c->entrants->count; i++)
    if (in_all(c, tasks, i)) member[members++] = i;
  if (counted < 2 || members < 2) return ZH_OK;
  const zh_sheet **sheets = calloc(members * counted, sizeof(const zh_sheet *));
  if (sheets == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tasks", counted);
  for (size_t m = 0; m < members; m++) {
    for (size_t t = 0, k = 0; t < tasks; t++)
      if (zh_event_counts(&c->events[t]))
        sheets[m * counted + k++] = c->events[t].of[member[m]].sheet;
  }
  zh_status status = new_event(c, "overall", err);
  if (status == ZH_OK) {
    zh_event *event = &c->events[tasks];
    event->overall = event->shares = c->overall = true;
    status = add_side(event, sheets, member, members, counted, &c->options, err);
  }
  free(sheets);
  return status;
}

zh_status zh_events_find(zh_contest *c, zh_error *err) {
  for (size_t i = 0; i < c->entrants->count; i++) {
    const zh_entrant *entrant = &c->entrants->at[i];
    for (size_t k = 0; k < entrant->sheet_count; k++) {
      if (known(c, entrant->sheets[k].task)) continue;
      ZH_TRY(new_event(c, entrant->sheets[k].task, err));
      zh_event *event = &c->events[c->event_count - 1];
      describe(event, c);
      ZH_TRY(take_sides(event, c, err));
    }
  }
  return add_overall(c, err);
}

void zh_event_clear(zh_event *event) {
  for (size_t s = 0; event->sides != NULL && s < event->side_count; s++)
    zh_side_clear(&event->sides[s]);
  free(event->sides);
  free(event->of);
}
