/* Which amounts a reading decides: those that come out otherwise under another of its choices,
 * alone or in the best combination. */
#include <string.h>

#include "evaluator/evaluation.h"

/* What this solution gives for the amount; "" where it is not among the chosen. */
static const char *share_of(const json_t *solution, const char *id) {
  const json_t *share;
  size_t i;
  json_array_foreach(json_object_get(solution, "shares"), i, share) {
    if (strcmp(json_string_value(json_object_get(share, "id")), id) == 0)
      return json_string_value(json_object_get(share, "up_to_yuan"));
  }
  return "";
}

static bool stands_against(const json_t *solution, const char *id, const char *other) {
  const json_t *conflict;
  size_t i;
  json_array_foreach(json_object_get(solution, "conflicts"), i, conflict) {
    const char *a = json_string_value(json_object_get(conflict, "a")),
               *b = json_string_value(json_object_get(conflict, "b"));
    bool both = (strcmp(a, id) == 0 && strcmp(b, other) == 0) ||
                (strcmp(b, id) == 0 && strcmp(a, other) == 0);
    if (both) return true;
  }
  return false;
}

/* Marks the amounts whose shares differ where the sums do, and what those stand against. */
static void mark(bool *decided, const json_t *a, const json_t *b, const zh_outcome *outcomes,
                 size_t count) {
  bool moved[ZH_MAX_OUTCOMES];
  if (json_equal(json_object_get(a, "up_to_yuan"), json_object_get(b, "up_to_yuan"))) return;
  for (size_t i = 0; i < count; i++) {
    const char *id = outcomes[i].clause->id;
    moved[i] = strcmp(share_of(a, id), share_of(b, id)) != 0;
    decided[i] |= moved[i];
  }
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; moved[i] && k < count; k++) {
      const char *x = outcomes[i].clause->id, *y = outcomes[k].clause->id;
      decided[k] |= stands_against(a, x, y) || stands_against(b, x, y);
    }
  }
}

/* Rows of by_reading lie as zh_assignment_next counts: the first reading runs fastest. Returns how
 * many rows lie between two choices of this reading; 0 where the combination does not depend on
 * it. */
static size_t stride_of(const zh_case *c, const zh_reading *reading, const json_t *choices) {
  size_t stride = 1;
  if (json_object_get(choices, reading->id) == NULL) return 0;
  for (size_t i = 0; i < reading->index; i++) {
    const zh_reading *other = &c->policy->readings[i];
    if (json_object_get(choices, other->id) != NULL) stride *= other->choice_count;
  }
  return stride;
}

static void mark_by_combination(bool *decided, const zh_case *c, const zh_reading *reading,
                                const zh_outcome *outcomes, size_t count, const json_t *rows) {
  static const char *const views[] = {"certain", "if_all_hold"};
  size_t stride = stride_of(c, reading, json_object_get(json_array_get(rows, 0), "choices"));
  size_t turn = stride * reading->choice_count;
  for (size_t i = 0; stride > 0 && i < json_array_size(rows); i++) {
    size_t first = i - i % turn + i % stride; /* the same row under the first choice */
    for (size_t v = 0; first != i && v < 2; v++)
      mark(decided, json_object_get(json_array_get(rows, first), views[v]),
           json_object_get(json_array_get(rows, i), views[v]), outcomes, count);
  }
}

json_t *zh_decided_by(const zh_case *c, const zh_reading *reading, const zh_outcome *outcomes,
                      size_t count, const json_t *combination) {
  bool decided[ZH_MAX_OUTCOMES] = {false};
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++)
    decided[i] = zh_outcome_matters(c, &outcomes[i]).has[reading->index];
  mark_by_combination(decided, c, reading, outcomes, count,
                      json_object_get(combination, "by_reading"));
  for (size_t i = 0; i < count; i++) {
    if (decided[i]) json_array_append_new(list, json_string(outcomes[i].clause->id));
  }
  return list;
}
