/* The table of scores by level that `eval` prints below its figures. */
#include <stdio.h>
#include <string.h>

#include "cli/eval_curves.h"

static void print_curve(const char *task, const json_t *curve) {
  const json_t *levels = json_object_get(curve, "levels"), *half = json_object_get(curve, "half");
  printf("%-24.40s", task);
  for (size_t i = 0; i < json_array_size(levels); i++) {
    const json_t *at = json_array_get(levels, i);
    char shown[40];
    snprintf(shown, sizeof shown, "%.0f (%.0f-%.0f)",
             100 * json_number_value(json_object_get(at, "score")),
             100 * json_number_value(json_object_get(at, "low")),
             100 * json_number_value(json_object_get(at, "high")));
    printf(" %12s", shown);
  }
  const json_t *level = json_object_get(half, "level");
  const char *side = json_string_value(json_object_get(half, "side"));
  if (json_is_number(level))
    printf("   %.1f\n", json_number_value(level));
  else
    printf("   %s\n", side && strcmp(side, "below") == 0 ? "below the first" : "above the last");
}

/* As many levels as the longest curve has. */
static void print_head(const json_t *curves) {
  const char *task, *key;
  json_t *of_task, *curve;
  size_t most = 0;
  json_object_foreach((json_t *)(uintptr_t)curves, task, of_task) json_object_foreach(
      of_task, key, curve) if (json_array_size(json_object_get(curve, "levels")) > most) most =
      json_array_size(json_object_get(curve, "levels"));
  printf("\n%-24s", "% right at level");
  for (size_t i = 1; i <= most; i++) printf(" %12zu", i);
  printf("   50 %% at level\n");
}

void zh_eval_curves_print(const json_t *curves) {
  const char *task, *key;
  json_t *of_task, *curve;
  if (json_object_size(curves) == 0) return;
  print_head(curves);
  json_object_foreach((json_t *)(uintptr_t)curves, task, of_task)
      json_object_foreach(of_task, key, curve) print_curve(task, curve);
  printf("(in brackets: Wilson's 95 %% interval)\n");
}
