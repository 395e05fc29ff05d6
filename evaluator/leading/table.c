/* The joined table, and the same without some of its items. */
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
                  .prompts_sm3 = calloc(tasks, sizeof *t->prompts_sm3),
                  .first_item = calloc(tasks + 1, sizeof *t->first_item)};
  if (t->names && t->runs && t->items_named && t->task_of && t->cluster_of && t->scores &&
      t->run_scores && t->task && t->modality && t->items_sm3 && t->prompts_sm3 && t->first_item)
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
  free(t->prompts_sm3);
  free(t->first_item);
  free(t);
}

bool zh_table_in_shares(const zh_table *t, size_t task, double *outside) {
  for (size_t m = 0; m < t->models; m++) {
    for (size_t i = t->first_item[task]; i < t->first_item[task + 1]; i++) {
      double score = t->scores[m * t->items + i];
      if (score >= 0 && score <= 1) continue;
      *outside = score;
      return false;
    }
  }
  return true;
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

zh_status zh_table_without(zh_table **out, const zh_table *table, const bool *gone, zh_error *err) {
  size_t left = 0;
  for (size_t i = 0; i < table->items; i++) left += !gone[i];
  zh_table *t = zh_table_allocate(table->models, left, table->tasks);
  *out = NULL;
  zh_status status = t == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory") : ZH_OK;
  for (size_t m = 0; status == ZH_OK && m < table->models; m++) {
    t->names[m] = table->names[m];
    t->runs[m] = table->runs[m];
    if (table->run_scores[m] == NULL) continue;
    t->run_scores[m] = calloc(t->runs[m] * t->items + 1, sizeof *t->run_scores[m]);
    if (t->run_scores[m] == NULL) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  if (status == ZH_OK) copy_left(t, table, gone);
  if (status == ZH_OK)
    *out = t;
  else
    zh_table_free(t);
  return status;
}
