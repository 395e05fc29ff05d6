/* Speed against quality: a model is dominated where another is no worse in both and better in one.
 */
#include <math.h>
#include <string.h>

#include "evaluator/compare/parts.h"

typedef struct point {
  size_t entrant;
  const zh_speed *speed;
  const zh_standing_of *quality;
} point;

typedef struct front {
  const zh_contest *contest;
  size_t event;
  point points[ZH_ENTRANTS_MAX];
  size_t count;
} front;

/* All tasks together, else the first task of shares, else the first with figures. */
static bool choose_event(size_t *out, const zh_contest *c) {
  bool found = false;
  if (c->overall) {
    *out = c->event_count - 1;
    return true;
  }
  for (size_t e = 0; e < c->event_count; e++) {
    bool better = !found || (c->events[e].shares && !c->events[*out].shares);
    if (c->events[e].side_count == 0 || !better) continue;
    *out = e;
    found = true;
  }
  return found;
}

static void gather(front *f, const char *figure) {
  const zh_entrants *e = f->contest->entrants;
  f->count = 0;
  for (size_t i = 0; i < e->count; i++) {
    const zh_standing_of *quality = &f->contest->events[f->event].of[i];
    for (size_t k = 0; k < e->at[i].speed_count; k++) {
      const zh_speed *speed = &e->at[i].speeds[k];
      if (strcmp(speed->figure, figure) != 0 || !speed->valid || isnan(quality->score)) continue;
      f->points[f->count++] = (point){i, speed, quality};
      break;
    }
  }
}

/* How much better a's quality is. */
static double ahead(const front *f, const point *a, const point *b) {
  double difference = a->quality->score - b->quality->score;
  return f->contest->events[f->event].fewer_is_better ? -difference : difference;
}

static bool dominates(const front *f, const point *a, const point *b) {
  double quality = ahead(f, a, b), speed = a->speed->value - b->speed->value;
  return quality >= 0 && speed >= 0 && (quality > 0 || speed > 0);
}

/* Both parts beyond their errors: the pair was tested and found better, intervals of speeds do not
 * meet. */
static bool surely(const front *f, const point *a, const point *b) {
  bool turned;
  const zh_bout *bout = zh_contest_bout(f->contest, f->event, a->entrant, b->entrant, &turned);
  if (bout == NULL || !(a->speed->low > b->speed->high)) return false;
  return bout->verdict == (turned ? ZH_BOUT_BELOW : ZH_BOUT_ABOVE);
}

static json_t *point_json(const front *f, const point *p) {
  json_t *by = json_array();
  bool sure = false;
  for (size_t k = 0; k < f->count; k++) {
    const point *other = &f->points[k];
    if (other == p || !dominates(f, other, p)) continue;
    json_array_append_new(by, json_integer((json_int_t)other->entrant));
    sure |= surely(f, other, p);
  }
  return json_pack("{s:I, s:o, s:[o,o], s:o, s:[o,o], s:o, s:b}", "model", (json_int_t)p->entrant,
                   "speed", zh_finite(p->speed->value), "speed_interval", zh_finite(p->speed->low),
                   zh_finite(p->speed->high), "score", zh_finite(p->quality->score),
                   "score_interval", zh_finite(p->quality->low), zh_finite(p->quality->high),
                   "dominated_by", by, "surely", sure);
}

static bool is_rate(const zh_speed *speed) {
  return speed->more_is_better && strcmp(speed->unit, "token/s") == 0;
}

static void add_front(json_t *list, front *f, const zh_speed *speed) {
  const zh_event *event = &f->contest->events[f->event];
  json_t *points = json_array();
  gather(f, speed->figure);
  for (size_t i = 0; i < f->count; i++) json_array_append_new(points, point_json(f, &f->points[i]));
  if (f->count < 2) {
    json_decref(points);
    return;
  }
  json_array_append_new(list,
                        json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "figure", speed->figure, "unit",
                                  speed->unit, "task", event->name, "shares", event->shares,
                                  "fewer_is_better", event->fewer_is_better, "points", points));
}

json_t *zh_compare_fronts(const zh_contest *c) {
  json_t *list = json_array(), *seen = json_object();
  front f = {.contest = c};
  bool found = choose_event(&f.event, c);
  for (size_t i = 0; found && i < c->entrants->count; i++) {
    const zh_entrant *entrant = &c->entrants->at[i];
    for (size_t k = 0; k < entrant->speed_count; k++) {
      const zh_speed *speed = &entrant->speeds[k];
      if (!is_rate(speed) || json_object_get(seen, speed->figure) != NULL) continue;
      json_object_set_new(seen, speed->figure, json_true());
      add_front(list, &f, speed);
    }
  }
  json_decref(seen);
  return list;
}
