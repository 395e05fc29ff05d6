/* A comparison as a document (docs/schemas/compare.schema.json). */
#include <math.h>
#include <string.h>

#include "evaluator/compare/parts.h"

static json_t *count_or_null(int64_t count) {
  return count >= 0 ? json_integer((json_int_t)count) : json_null();
}

json_t *zh_compare_models(const zh_entrants *e) {
  json_t *list = json_array();
  for (size_t i = 0; i < e->count; i++) {
    const zh_entrant *m = &e->at[i];
    json_array_append_new(
        list,
        json_pack("{s:s, s:s, s:s?, s:O?, s:o, s:o, s:b, s:b, s:O, s:O}", "label", m->label,
                  "model", m->model, "sm3", m->sm3[0] != '\0' ? m->sm3 : NULL, "type",
                  json_object_get(m->facts, "type"), "parameters", count_or_null(m->parameters),
                  "bytes", count_or_null(m->bytes), "has_speeds", m->speed_count > 0, "has_scores",
                  m->sheet_count > 0, "sources", m->sources, "notes", m->notes));
  }
  return list;
}

/* --- tasks --- */

static json_t *cell_json(const zh_event *event, size_t i) {
  const zh_standing_of *of = &event->of[i];
  if (of->side == ZH_NO_SIDE) {
    json_t *faults = of->sheet != NULL ? json_incref(of->sheet->faults) : json_array();
    return json_pack("{s:b, s:n, s:o}", "missing", of->sheet == NULL, "score", "faults", faults);
  }
  const zh_side *side = &event->sides[of->side];
  const zh_rank_set *ranks = &side->ranks[of->row];
  json_t *cell =
      json_pack("{s:b, s:o, s:o, s:o, s:I, s:I, s:[]}", "missing", 0, "score", zh_finite(of->score),
                "low", zh_finite(of->low), "high", zh_finite(of->high), "items",
                (json_int_t)side->groups->items, "side", (json_int_t)of->side, "faults");
  /* A set of ranks is of the models that were put side by side. */
  if (side->members > 1)
    json_object_set_new(cell, "ranks",
                        json_pack("[I,I,I]", (json_int_t)ranks->low, (json_int_t)ranks->high,
                                  (json_int_t)side->members));
  return cell;
}

json_t *zh_compare_tasks(const zh_contest *c) {
  json_t *list = json_array();
  for (size_t t = 0; t < c->event_count; t++) {
    const zh_event *event = &c->events[t];
    json_t *of = json_array();
    for (size_t i = 0; i < c->entrants->count; i++) json_array_append_new(of, cell_json(event, i));
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:o}", "task", event->name, "metric",
                        event->metric, "overall", event->overall, "shares", event->shares, "texts",
                        event->texts, "fewer_is_better", event->fewer_is_better, "of", of));
  }
  return list;
}

/* --- pairs --- */

/* Of a metric where less is better the difference stands as the scores do: first less second. */
static void add_figures(json_t *entry, const zh_bout *bout, bool fewer) {
  const zh_pair *pair = &bout->pair;
  double turn = fewer ? -1 : 1;
  double low = fewer ? -pair->high : pair->low, high = fewer ? -pair->low : pair->high;
  bool counted = pair->way == ZH_BY_MCNEMAR;
  json_t *more = json_pack(
      "{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "difference",
      zh_finite(turn * pair->estimate.value), "se", zh_finite(sqrt(pair->estimate.variance)), "low",
      zh_finite(low), "high", zh_finite(high), "p", zh_finite(pair->p_two_sided), "p_adjusted",
      zh_finite(bout->adjusted), "method", zh_pair_ways[pair->way], "df",
      zh_finite(pair->way == ZH_BY_T ? pair->estimate.df : NAN), "discordant",
      counted ? json_pack("[I,I]", (json_int_t)pair->only_first, (json_int_t)pair->only_second)
              : json_null());
  json_object_update(entry, more);
  json_decref(more);
}

json_t *zh_compare_pairs(const zh_contest *c) {
  json_t *list = json_array();
  for (size_t b = 0; b < c->bout_count; b++) {
    const zh_bout *bout = &c->bouts[b];
    const zh_event *event = &c->events[bout->event];
    json_t *entry = json_pack("{s:s, s:I, s:I, s:s, s:b, s:O}", "task", event->name, "first",
                              (json_int_t)bout->first, "second", (json_int_t)bout->second,
                              "verdict", zh_bout_verdicts[bout->verdict], "missing", bout->missing,
                              "reasons", bout->reasons);
    if (zh_pair_known(&bout->pair)) add_figures(entry, bout, event->fewer_is_better);
    json_array_append_new(list, entry);
  }
  return list;
}
