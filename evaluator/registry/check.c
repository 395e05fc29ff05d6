/* What a registry must hold to: every score a number of its unit, dated and sourced, no row twice.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/evaluator.h"
#include "evaluator/registry/registry.h"

static void fault(json_t *list, const zh_entry *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fault(json_t *list, const zh_entry *e, const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:s}", "line", (json_int_t)e->line,
                                        "model", e->text[ZH_OF_MODEL], "benchmark",
                                        e->text[ZH_OF_BENCHMARK], "fault", text));
}

/* The highest score of a unit; 0 where the unit is not known. */
static double most_of(const char *unit) {
  static const struct {
    const char *unit;
    double most;
  } units[] = {{"%", 100},      {"points of 10", 10}, {"points of 1000", 1000},
               {"points", 1e9}, {"rating", 1e9},      {"percentile", 100}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(units[i].unit, unit) == 0) return units[i].most;
  return 0;
}

/* "", YYYY, YYYY-MM or YYYY-MM-DD. */
static bool is_date(const char *text) {
  static const char shape[] = "dddd-dd-dd";
  size_t length = strlen(text);
  if (length != 0 && length != 4 && length != 7 && length != 10) return false;
  for (size_t i = 0; i < length; i++) {
    bool digit = text[i] >= '0' && text[i] <= '9';
    if (shape[i] == 'd' ? !digit : text[i] != '-') return false;
  }
  return true;
}

static bool is_one_of(const char *text, const char *const *words) {
  for (; *words != NULL; words++)
    if (strcmp(text, *words) == 0) return true;
  return false;
}

static void check_entry(json_t *list, const zh_entry *e) {
  static const char *const kinds[] = {"base", "chat", "reasoning", "multimodal", NULL};
  static const int needed[] = {ZH_OF_MODEL, ZH_OF_DEVELOPER, ZH_OF_BENCHMARK, ZH_OF_SOURCE_REPO};
  double most = most_of(e->text[ZH_OF_UNIT]);
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    if (e->text[needed[i]][0] == '\0')
      fault(list, e, "%s is empty", zh_registry_columns[needed[i]]);
  if (most == 0)
    fault(list, e, "unknown unit '%.40s'", e->text[ZH_OF_UNIT]);
  else if (!(e->score >= 0 && e->score <= most))
    fault(list, e, "score '%.40s' is no number from 0 to %g", e->text[ZH_OF_SCORE], most);
  if (!is_one_of(e->text[ZH_OF_KIND], kinds))
    fault(list, e, "unknown kind '%.40s'", e->text[ZH_OF_KIND]);
  if (!is_date(e->text[ZH_OF_RELEASE]))
    fault(list, e, "release '%.40s' is no date", e->text[ZH_OF_RELEASE]);
  if (strlen(e->text[ZH_OF_COUNTRY]) != 2)
    fault(list, e, "country '%.40s' is no code of two letters", e->text[ZH_OF_COUNTRY]);
}

static int by_words(const void *a, const void *b) {
  const zh_entry *x = *(const zh_entry *const *)a, *y = *(const zh_entry *const *)b;
  for (int i = 0; i < ZH_REGISTRY_COLUMNS; i++) {
    int order = strcmp(x->text[i], y->text[i]);
    if (order != 0) return order;
  }
  return 0;
}

zh_status zh_registry_check(json_t **out, const char *file, zh_error *err) {
  zh_registry r;
  *out = NULL;
  ZH_TRY(zh_registry_load(&r, file, err));
  const zh_entry **rows = calloc(r.count + 1, sizeof *rows);
  json_t *faults = json_array();
  for (size_t i = 0; i < r.count; i++) check_entry(faults, &r.entries[i]);
  for (size_t i = 0; rows != NULL && i < r.count; i++) rows[i] = &r.entries[i];
  if (rows != NULL) qsort(rows, r.count, sizeof *rows, by_words);
  for (size_t i = 1; rows != NULL && i < r.count; i++)
    if (by_words(&rows[i - 1], &rows[i]) == 0)
      fault(faults, rows[i], "the same as line %zu", rows[i - 1]->line);
  zh_status status =
      rows == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the registry") : ZH_OK;
  if (status == ZH_OK)
    *out = json_pack("{s:s, s:I, s:O}", "file", zh_csv_path(r.csv), "rows", (json_int_t)r.count,
                     "faults", faults);
  json_decref(faults);
  free(rows);
  zh_registry_clear(&r);
  return status;
}
