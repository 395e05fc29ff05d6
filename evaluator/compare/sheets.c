/* A model's answers to a task: gathered in any order, then sorted and averaged over runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/statistics.h"
#include "evaluator/compare/entrants.h"

enum { RUNS_FOR_VARIANCE = 3 };

zh_sheet *zh_sheet_named(const zh_entrant *entrant, const char *task) {
  for (size_t i = 0; i < entrant->sheet_count; i++)
    if (strcmp(entrant->sheets[i].task, task) == 0) return &entrant->sheets[i];
  return NULL;
}

zh_status zh_sheet_new(zh_sheet **out, zh_entrants *e, zh_entrant *entrant, const char *task,
                       zh_error *err) {
  zh_sheet *grown = realloc(entrant->sheets, (entrant->sheet_count + 1) * sizeof *entrant->sheets);
  *out = NULL;
  if (grown == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the task '%s'", task);
  entrant->sheets = grown;
  *out = &grown[entrant->sheet_count++];
  **out = (zh_sheet){.task = zh_entrants_text(e, task),
                     .metric = "",
                     .modality = "",
                     .runs = 1,
                     .faults = json_array()};
  return (*out)->faults != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
}

zh_status zh_sheet_add(zh_sheet *sheet, const zh_answer *answer, zh_error *err) {
  if (sheet->count == sheet->room) {
    size_t room = sheet->room > 0 ? 2 * sheet->room : 256;
    zh_answer *grown = realloc(sheet->answers, room * sizeof *grown);
    if (grown == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu answers", room);
    sheet->answers = grown;
    sheet->room = room;
  }
  sheet->answers[sheet->count++] = *answer;
  return ZH_OK;
}

static int by_item(const void *a, const void *b) {
  const zh_answer *x = a, *y = b;
  int order = strcmp(x->item, y->item);
  return order != 0 ? order : strcmp(x->run, y->run);
}

typedef struct settling {
  zh_sheet *sheet;
  const zh_words *words;
  const char *model;
} settling;

static void fault(const settling *s, const char *kind, zh_word word, const char *item,
                  const char *count) {
  zh_compare_say(s->sheet->faults, s->words, kind, word, "model", s->model, "task", s->sheet->task,
                 "item", item, "count", count, NULL);
}

static void check_scores(const settling *s) {
  const char *example = NULL;
  size_t bad = 0;
  for (size_t i = 0; i < s->sheet->count; i++) {
    if (isfinite(s->sheet->answers[i].score)) continue;
    if (bad++ == 0) example = s->sheet->answers[i].item;
  }
  char count[32];
  snprintf(count, sizeof count, "%zu", bad);
  if (bad > 0) fault(s, "not_finite", ZH_WORD_compare_not_finite, example, count);
}

static zh_status look_at_scale(zh_sheet *sheet, zh_error *err) {
  double *scores = calloc(sheet->count + 1, sizeof *scores);
  if (scores == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu scores", sheet->count);
  for (size_t i = 0; i < sheet->count; i++) scores[i] = sheet->answers[i].score;
  sheet->reach = zh_reach_of(scores, sheet->count, 1);
  free(scores);
  return ZH_OK;
}

/* How many rows from i on are of the same item; *twice: a run that stands there twice. */
static size_t rows_of(const zh_sheet *sheet, size_t i, bool *twice) {
  size_t next = i + 1;
  *twice = false;
  for (; next < sheet->count; next++) {
    if (strcmp(sheet->answers[i].item, sheet->answers[next].item) != 0) break;
    *twice |= strcmp(sheet->answers[next - 1].run, sheet->answers[next].run) == 0;
  }
  return next - i;
}

static void check_runs(const settling *s) {
  zh_sheet *sheet = s->sheet;
  const char *repeated = NULL, *uneven = NULL;
  char count[32];
  size_t repeats = 0;
  for (size_t i = 0, rows; i < sheet->count; i += rows) {
    bool twice;
    rows = rows_of(sheet, i, &twice);
    if (i == 0) sheet->runs = rows;
    if (twice && repeats++ == 0) repeated = sheet->answers[i].item;
    if (!twice && rows != sheet->runs && uneven == NULL) uneven = sheet->answers[i].item;
  }
  snprintf(count, sizeof count, "%zu", repeats);
  if (repeats > 0) fault(s, "duplicate", ZH_WORD_compare_duplicate, repeated, count);
  if (repeats == 0 && uneven != NULL)
    fault(s, "runs_differ", ZH_WORD_leading_runs_differ, uneven, "1");
}

/* The variance of the mean over runs; of whole runs alone. */
static zh_status look_at_runs(zh_sheet *sheet, zh_error *err) {
  size_t runs = sheet->runs, items = sheet->count / (runs > 0 ? runs : 1);
  if (runs < RUNS_FOR_VARIANCE || json_array_size(sheet->faults) > 0) return ZH_OK;
  double *means = calloc(runs, sizeof *means);
  if (means == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu runs", runs);
  for (size_t i = 0; i < sheet->count; i++)
    means[i % runs] += sheet->answers[i].score / (double)items;
  double deviation = zh_stdev(means, runs);
  sheet->run_variance = deviation * deviation / (double)runs;
  free(means);
  return ZH_OK;
}

static void average(zh_sheet *sheet) {
  size_t kept = 0;
  for (size_t i = 0, rows; i < sheet->count; i += rows) {
    bool twice;
    rows = rows_of(sheet, i, &twice);
    zh_answer mean = sheet->answers[i];
    for (size_t k = 1; k < rows; k++) {
      mean.score += sheet->answers[i + k].score;
      mean.likely += sheet->answers[i + k].likely;
    }
    mean.score /= (double)rows;
    mean.likely /= (double)rows;
    sheet->answers[kept++] = mean;
  }
  sheet->count = kept;
}

zh_status zh_sheet_settle(zh_sheet *sheet, const zh_entrants *e, const char *model, zh_error *err) {
  const settling s = {sheet, e->words, model};
  if (sheet->count == 0 && json_array_size(sheet->faults) == 0)
    fault(&s, "empty", ZH_WORD_compare_empty, "", "0");
  if (sheet->count > 1) qsort(sheet->answers, sheet->count, sizeof *sheet->answers, by_item);
  check_scores(&s);
  ZH_TRY(look_at_scale(sheet, err));
  check_runs(&s);
  ZH_TRY(look_at_runs(sheet, err));
  average(sheet);
  return ZH_OK;
}
