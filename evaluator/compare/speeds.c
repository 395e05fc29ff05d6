/* Speeds side by side. Repeats within a run do not tell how runs differ, so there is no p here:
 * speeds are told apart where the intervals of their medians do not meet. */
#include <math.h>
#include <string.h>

#include "evaluator/compare/parts.h"

json_t *zh_finite(double value) {
  return zh_json_number(value);
}

static const zh_speed *speed_named(const zh_entrant *entrant, const char *figure) {
  for (size_t i = 0; i < entrant->speed_count; i++)
    if (strcmp(entrant->speeds[i].figure, figure) == 0) return &entrant->speeds[i];
  return NULL;
}

static const char *verdict_of(const zh_speed *a, const zh_speed *b) {
  if (a->low <= b->high && b->low <= a->high) return "open";
  return (a->value > b->value) == a->more_is_better ? "above" : "below";
}

/* a over b: where the medians stand, and how far the ends of both intervals reach. */
static json_t *ratio_of(const zh_entrant *who, const zh_speed *a, const zh_entrant *reference,
                        const zh_speed *b) {
  bool parameters, match = zh_speeds_match(who, reference, a->step, &parameters),
                   sound = a->valid && b->valid && a->value > 0 && b->value > 0;
  const char *why = !parameters                              ? "parameters"
                    : !sound                                 ? "invalid"
                    : !match                                 ? "conditions"
                    : (who->doubtful || reference->doubtful) ? "doubtful"
                    : isnan(a->low) || isnan(b->low)         ? "single"
                                                             : NULL;
  bool shown = parameters && sound;
  return json_pack("{s:o, s:o, s:o, s:s, s:s?}", "value",
                   zh_finite(shown ? a->value / b->value : NAN), "low",
                   zh_finite(shown && b->high > 0 ? a->low / b->high : NAN), "high",
                   zh_finite(shown && b->low > 0 ? a->high / b->low : NAN), "verdict",
                   why != NULL ? "insufficient" : verdict_of(a, b), "why", why);
}

static json_t *speed_json(const zh_speed *speed) {
  return json_pack("{s:o, s:o, s:o, s:I, s:b}", "value", zh_finite(speed->value), "low",
                   zh_finite(speed->low), "high", zh_finite(speed->high), "n", (json_int_t)speed->n,
                   "valid", speed->valid);
}

static json_t *figure_json(const zh_entrants *e, const zh_speed *of, size_t reference) {
  json_t *list = json_array();
  const zh_speed *base = speed_named(&e->at[reference], of->figure);
  for (size_t i = 0; i < e->count; i++) {
    const zh_speed *speed = speed_named(&e->at[i], of->figure);
    json_t *entry = speed != NULL ? speed_json(speed) : json_null();
    if (speed != NULL && base != NULL && i != reference)
      json_object_set_new(entry, "ratio", ratio_of(&e->at[i], speed, &e->at[reference], base));
    json_array_append_new(list, entry);
  }
  return json_pack("{s:s, s:s, s:b, s:o}", "figure", of->figure, "unit", of->unit, "more_is_better",
                   of->more_is_better, "of", list);
}

json_t *zh_compare_speeds(const zh_entrants *e, size_t reference) {
  json_t *list = json_array(), *seen = json_object();
  for (size_t i = 0; i < e->count; i++) {
    for (size_t k = 0; k < e->at[i].speed_count; k++) {
      const zh_speed *speed = &e->at[i].speeds[k];
      if (json_object_get(seen, speed->figure) != NULL) continue;
      json_object_set_new(seen, speed->figure, json_true());
      json_array_append_new(list, figure_json(e, speed, reference));
    }
  }
  json_decref(seen);
  return list;
}
