/* The joined table, and the same without contaminated items. */
#include <stdlib.h>
#include <string.h>

#include "evaluator/leading/scores.h"

zh_table *zh_table_allocate(size_t models, size_t items, size_t tasks) {
  zh_table *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  *t = (zh_table){.models = models,
                  .items = items,
                  .names = calloc(models, sizeof *t->names),
                  .runs = calloc(models, sizeof *t->runs),
                  .items_named = calloc(items + 1, sizeof *t->items_named),
                  .task_of = calloc(items + 1, sizeof *t->task_of),
                  .cluster_of = calloc(items + 1, sizeof *t->cluster_of),
                  .scores = calloc(models * items + 1, sizeof *t->scores),
                  .run_scores = calloc(models, sizeof *t->run_scores),
                  .task = calloc(tasks, sizeof *t->task),
                  .modality = calloc(tasks, sizeof *t->modality),
                  .items_sm3 = calloc(tasks, sizeof *t->items_sm3),
                  .first_item = calloc(tasks + 1, sizeof *t->first_item)};
  if (t->names && t->runs && t->items_named && t->task_of && t->cluster_of && t->scores &&
      t->run_scores && t->task && t->modality && t->items_sm3 && t->first_item)
    return t;
  zh_table_free(t);
  return NULL;
}

void zh_table_free(zh_table *t) {
  if (t == NULL) return;
  for (size_t m = 0; t->run_scores != NULL && m < t->models; m++) free(t->run_scores[m]);
  free(t->names);
  free(t->runs);
  free(t->items_named);
  free(t->task_of);
  free(t->cluster_of);
  free(t->scores);
  free(t->run_scores);
  free(t->task);
  free(t->modality);
  free(t->items_sm3);
  free(t->first_item);
  free(t);
}

/* gone[i]: item i stands in the table. */
static zh_status mark_gone(bool *gone, const zh_table *t, const char *path, zh_error *err) {
  zh_csv *csv;
  size_t task, item;
  bool more;
  ZH_TRY(zh_csv_open(&csv, path, NULL, err));
  zh_status status = zh_csv_require(&task, csv, "task", err);
  if (status == ZH_OK) status = zh_csv_require(&item, csv, "item", err);
  while (status == ZH_OK && (status = zh_csv_next(&more, csv, err)) == ZH_OK && more) {
    for (size_t k = 0; k < t->tasks; k++) {
      if (strcmp(t->task[k]->task, zh_csv_field(csv, task)) != 0) continue;
      for (size_t i = t->first_item[k]; i < t->first_item[k + 1]; i++)
        gone[i] |= strcmp(t->items_named[i], zh_csv_field(csv, item)) == 0;
    }
  }
  zh_csv_free(csv);
  return status;
}

static void copy_item(zh_table *to, size_t at, const zh_table *from, size_t i) {
  to->items_named[at] = from->items_named[i];
  for (size_t m = 0; m < from->models; m++) {
    to->scores[m * to->items + at] = from->scores[m * from->items + i];
    for (size_t r = 0; from->run_scores[m] != NULL && r < from->runs[m]; r++)
      to->run_scores[m][r * to->items + at] = from->run_scores[m][r * from->items + i];
  }
}

static void copy_left(zh_table *to, const zh_table *from, const bool *gone) {
  size_t at = 0;
  uint32_t cluster = 0, last = UINT32_MAX;
  for (size_t k = 0; k < from->tasks; k++) {
    size_t begin = at;
    for (size_t i = from->first_item[k]; i < from->first_item[k + 1]; i++) {
      if (gone[i]) continue;
      if (from->cluster_of[i] != last) cluster += at > 0;
      last = from->cluster_of[i];
      copy_item(to, at, from, i);
      to->task_of[at] = (uint32_t)to->tasks;
      to->cluster_of[at++] = cluster;
    }
    if (at == begin) continue;
    to->task[to->tasks] = from->task[k];
    to->modality[to->tasks] = from->modality[k];
    to->first_item[to->tasks++] = begin;
  }
  to->first_item[to->tasks] = at;
}

zh_status zh_table_without(zh_table **out, size_t *left_out, const zh_table *table,
                           const char *path, zh_error *err) {
  bool *gone = calloc(table->items, sizeof *gone);
  zh_table *t = NULL;
  *out = NULL;
  *left_out = 0;
  zh_status status = gone == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory")
                                  : mark_gone(gone, table, path, err);
  for (size_t i = 0; status == ZH_OK && i < table->items; i++) *left_out += gone[i];
  if (status == ZH_OK) {
    t = zh_table_allocate(table->models, table->items - *left_out, table->tasks);
    if (t == NULL) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  for (size_t m = 0; status == ZH_OK && m < table->models; m++) {
    t->names[m] = table->names[m];
    t->runs[m] = table->runs[m];
    if (table->run_scores[m] == NULL) continue;
    t->run_scores[m] = calloc(t->runs[m] * t->items + 1, sizeof *t->run_scores[m]);
    if (t->run_scores[m] == NULL) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  if (status == ZH_OK) copy_left(t, table, gone);
  free(gone);
  if (status == ZH_OK)
    *out = t;
  else
    zh_table_free(t);
  return status;
}
