#include "evaluator/engine/engine.h"

bool zh_assignment_next(zh_assignment *at, const zh_policy *policy, const zh_reading_set *set) {
  for (size_t i = 0; i < policy->reading_count; i++) {
    if (!set->has[i]) continue;
    if ((size_t)at->choice[i] + 1 < policy->readings[i].choice_count) {
      at->choice[i]++;
      return true;
    }
    at->choice[i] = 0;
  }
  return false;
}

size_t zh_assignment_count(const zh_policy *policy, const zh_reading_set *set) {
  size_t count = 1;
  for (size_t i = 0; i < policy->reading_count; i++) {
    if (set->has[i]) count *= policy->readings[i].choice_count;
  }
  return count;
}

json_t *zh_assignment_json(const zh_assignment *at, const zh_policy *policy,
                           const zh_reading_set *set) {
  json_t *choices = json_object();
  for (size_t i = 0; i < policy->reading_count; i++) {
    const zh_reading *reading = &policy->readings[i];
    if (set->has[i])
      json_object_set_new(choices, reading->id, json_string(reading->choices[at->choice[i]].id));
  }
  return choices;
}
