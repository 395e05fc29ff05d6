/* Questions to the registry: scores of a model or a benchmark, names, conflicts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"
#include "evaluator/evaluator.h"
#include "evaluator/registry/registry.h"

static bool matches(const zh_entry *e, const zh_registry_query *q) {
  const struct {
    const char *wanted;
    int column;
  } filters[] = {{q->model, ZH_OF_MODEL},
                 {q->benchmark, ZH_OF_BENCHMARK},
                 {q->country, ZH_OF_COUNTRY},
                 {q->kind, ZH_OF_KIND}};
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
    if (filters[i].wanted != NULL && strcasecmp(filters[i].wanted, e->text[filters[i].column]) != 0)
      return false;
  }
  return true;
}

const zh_entry *zh_registry_model(const zh_registry *r, const char *model) {
  const zh_registry_query q = {.model = model};
  for (size_t i = 0; i < r->count; i++)
    if (matches(&r->entries[i], &q)) return &r->entries[i];
  return NULL;
}

/* A name that no row has, with the nearest that some row has. */
static zh_status check_name(const zh_registry *r, const char *name, int column, zh_error *err) {
  char guess[ZH_GUESS_BYTES];
  if (name == NULL) return ZH_OK;
  const char **names = calloc(r->count + 1, sizeof *names);
  if (names == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the registry");
  bool found = false;
  for (size_t i = 0; i < r->count; i++) {
    names[i] = r->entries[i].text[column];
    found |= strcasecmp(names[i], name) == 0;
  }
  zh_did_you_mean(guess, name, names);
  free(names);
  if (found) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "the registry has no %s '%s'%s", zh_registry_columns[column],
                 name, guess);
}

static json_t *entry_json(const zh_entry *e) {
  json_t *object = json_object();
  for (int i = 0; i < ZH_REGISTRY_COLUMNS; i++) {
    json_t *value = i == ZH_OF_SCORE ? zh_json_number(e->score) : json_string(e->text[i]);
    json_object_set_new(object, zh_registry_columns[i], value);
  }
  json_object_set_new(object, "line", json_integer((json_int_t)e->line));
  return object;
}

/* What is no number comes last. */
static int best_first(const zh_entry *x, const zh_entry *y) {
  double a = isnan(x->score) ? -INFINITY : x->score, b = isnan(y->score) ? -INFINITY : y->score;
  if (a != b) return a > b ? -1 : 1;
  return (x->line > y->line) - (x->line < y->line);
}

/* By what is comparable, then the best first, then by line. */
static int by_key(const void *a, const void *b) {
  const zh_entry *x = *(const zh_entry *const *)a, *y = *(const zh_entry *const *)b;
  int order = zh_registry_compare(x, y);
  if (order != 0) return order;
  return best_first(x, y);
}

static int by_score(const void *a, const void *b) {
  const zh_entry *x = *(const zh_entry *const *)a, *y = *(const zh_entry *const *)b;
  int order = strcmp(x->text[ZH_OF_BENCHMARK], y->text[ZH_OF_BENCHMARK]);
  if (order == 0) order = strcmp(x->text[ZH_OF_UNIT], y->text[ZH_OF_UNIT]);
  if (order != 0) return order;
  return best_first(x, y);
}

/* Groups of rows that say different things of the same. rows: sorted by key. */
static json_t *conflicts_json(const zh_entry **rows, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0, next; i < count; i = next) {
    for (next = i + 1; next < count && zh_registry_compare(rows[i], rows[next]) == 0;) next++;
    if (rows[i]->score == rows[next - 1]->score) continue;
    json_t *group = json_array();
    for (size_t k = i; k < next; k++) json_array_append_new(group, entry_json(rows[k]));
    json_array_append_new(
        list,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "model",
                  rows[i]->text[ZH_OF_MODEL], "benchmark", rows[i]->text[ZH_OF_BENCHMARK], "kind",
                  rows[i]->text[ZH_OF_KIND], "metric", rows[i]->text[ZH_OF_METRIC], "shots",
                  rows[i]->text[ZH_OF_SHOTS], "setting", rows[i]->text[ZH_OF_SETTING], "unit",
                  rows[i]->text[ZH_OF_UNIT], "high", zh_json_number(rows[i]->score), "low",
                  zh_json_number(rows[next - 1]->score), "rows", group));
  }
  return list;
}

zh_status zh_registry_scores(json_t **out, const zh_registry_query *q, zh_error *err) {
  zh_registry r;
  const zh_entry **rows = NULL;
  size_t count = 0;
  *out = NULL;
  ZH_TRY(zh_registry_load(&r, q->file, err));
  zh_status status = check_name(&r, q->model, ZH_OF_MODEL, err);
  if (status == ZH_OK) status = check_name(&r, q->benchmark, ZH_OF_BENCHMARK, err);
  if (status == ZH_OK) status = check_name(&r, q->country, ZH_OF_COUNTRY, err);
  if (status == ZH_OK) status = check_name(&r, q->kind, ZH_OF_KIND, err);
  if (status == ZH_OK && (rows = calloc(r.count + 1, sizeof *rows)) == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the registry");
  if (status == ZH_OK) {
    for (size_t i = 0; i < r.count; i++)
      if (matches(&r.entries[i], q)) rows[count++] = &r.entries[i];
    qsort(rows, count, sizeof *rows, by_key);
    json_t *conflicts = conflicts_json(rows, count), *list = json_array();
    qsort(rows, count, sizeof *rows, by_score);
    for (size_t i = 0; i < count; i++) json_array_append_new(list, entry_json(rows[i]));
    *out = json_pack("{s:s, s:I, s:o, s:o}", "schema", "zhiheng.registry/1", "count",
                     (json_int_t)count, "rows", list, "conflicts", conflicts);
  }
  free(rows);
  zh_registry_clear(&r);
  return status;
}

zh_status zh_registry_names(json_t **out, const zh_registry_query *q, bool models, zh_error *err) {
  zh_registry r;
  size_t count = 0;
  *out = NULL;
  ZH_TRY(zh_registry_load(&r, q->file, err));
  const char **names = calloc(r.count + 1, sizeof *names);
  zh_status status =
      names == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the registry") : ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < r.count; i++) {
    if (matches(&r.entries[i], q))
      names[count++] = r.entries[i].text[models ? ZH_OF_MODEL : ZH_OF_BENCHMARK];
  }
  if (status == ZH_OK) {
    qsort(names, count, sizeof *names, zh_by_text);
    *out = json_array();
    for (size_t i = 0, next; i < count; i = next) {
      for (next = i + 1; next < count && strcmp(names[i], names[next]) == 0;) next++;
      json_array_append_new(
          *out, json_pack("{s:s, s:I}", "name", names[i], "rows", (json_int_t)(next - i)));
    }
  }
  free(names);
  zh_registry_clear(&r);
  return status;
}
