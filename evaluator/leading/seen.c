#include "evaluator/leading/seen.h"

#include <stdlib.h>
#include <string.h>

/* An item of the table by its task and name. */
typedef struct place {
  const char *name;
  uint32_t task;
  size_t index;
} place;

/* Rows of one task of the table. */
typedef struct tally {
  size_t listed, found;
  char *first; /* item of the first row */
} tally;

static int by_name(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->task != y->task) return x->task < y->task ? -1 : 1;
  return strcmp(x->name, y->name);
}

static place *sort_places(const zh_table *t) {
  place *places = calloc(t->items + 1, sizeof *places);
  for (size_t i = 0; places != NULL && i < t->items; i++)
    places[i] = (place){t->items_named[i], t->task_of[i], i};
  if (places != NULL) qsort(places, t->items, sizeof *places, by_name);
  return places;
}

static size_t task_named(const zh_table *t, const char *name) {
  size_t k = 0;
  while (k < t->tasks && strcmp(t->task[k]->task, name) != 0) k++;
  return k;
}

static void take_row(zh_seen *seen, tally *of, const zh_table *t, const place *places,
                     const char *task, const char *item) {
  size_t k = task_named(t, task);
  seen->listed++;
  if (k == t->tasks) {
    seen->elsewhere++;
    if (of[k].first == NULL) of[k].first = strdup(task);
    return;
  }
  const place wanted = {item, (uint32_t)k, 0},
              *found = bsearch(&wanted, places, t->items, sizeof *places, by_name);
  of[k].listed++;
  if (of[k].first == NULL) of[k].first = strdup(item);
  if (found != NULL) {
    of[k].found++;
    seen->left_out += !seen->gone[found->index];
    seen->gone[found->index] = true;
    return;
  }
  seen->not_found++;
  if (seen->example == NULL) seen->example = strdup(item);
}

static zh_status read_rows(zh_seen *seen, tally *of, const zh_table *t, const place *places,
                           const char *path, zh_error *err) {
  zh_csv *csv;
  size_t task, item;
  bool more;
  ZH_TRY(zh_csv_open(&csv, path, NULL, err));
  zh_status status = zh_csv_require(&task, csv, "task", err);
  if (status == ZH_OK) status = zh_csv_require(&item, csv, "item", err);
  while (status == ZH_OK && (status = zh_csv_next(&more, csv, err)) == ZH_OK && more)
    take_row(seen, of, t, places, zh_csv_field(csv, task), zh_csv_field(csv, item));
  zh_csv_free(csv);
  return status;
}

static void check(const zh_seen *seen, const tally *of, const zh_table *t, const char *path,
                  zh_refusals *refusals) {
  for (size_t k = 0; k < t->tasks; k++) {
    if (of[k].listed == 0 || of[k].found > 0) continue;
    zh_refuse(refusals, "contaminated_unmatched", t->names[0], ZH_WORD_leading_seen_unmatched,
              "file", path, "task", t->task[k]->task, "item", of[k].first ? of[k].first : "", NULL);
  }
  if (seen->listed > 0 && seen->elsewhere == seen->listed)
    zh_refuse(refusals, "contaminated_unmatched", t->names[0], ZH_WORD_leading_seen_elsewhere,
              "file", path, "task", of[t->tasks].first ? of[t->tasks].first : "", NULL);
}

zh_status zh_seen_read(zh_seen *out, const zh_table *t, const char *path, zh_refusals *refusals,
                       zh_error *err) {
  place *places = sort_places(t);
  tally *of = calloc(t->tasks + 1, sizeof *of); /* the last: of other tasks */
  *out = (zh_seen){.gone = calloc(t->items + 1, sizeof *out->gone)};
  zh_status status = places == NULL || of == NULL || out->gone == NULL
                         ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", t->items)
                         : read_rows(out, of, t, places, path, err);
  if (status == ZH_OK) check(out, of, t, path, refusals);
  for (size_t k = 0; of != NULL && k <= t->tasks; k++) free(of[k].first);
  free(of);
  free(places);
  return status;
}

void zh_seen_clear(zh_seen *seen) {
  free(seen->gone);
  free(seen->example);
  *seen = (zh_seen){.gone = NULL};
}
