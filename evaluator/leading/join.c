/* Joins tables of scores on task and item. The claimant's items are what the others are held to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/text.h"
#include "evaluator/leading/scores.h"

/* One item of the claimant on its way into the table. */
typedef struct place {
  const zh_scored *row; /* the claimant's first of the item */
  size_t index;         /* among the claimant's items, by task and name */
  size_t modality;      /* its rank */
} place;

typedef struct join {
  const zh_scorer *scorers;
  size_t count, items;
  const zh_protocol *protocol;
  zh_refusals *refusals;
  place *places;         /* [items], in the table's order once sorted */
  const char **modality; /* [tasks of the protocol] */
  char (*items_sm3)[ZH_DIGEST_HEX], (*prompts_sm3)[ZH_DIGEST_HEX]; /* [tasks of the protocol] */
} join;

static const zh_scored *row_of(const zh_scorer *s, size_t item) {
  return &s->rows[item * s->runs];
}

static int compare_items(const zh_scored *a, const zh_scored *b) {
  if (a->task != b->task) return a->task < b->task ? -1 : 1;
  return strcmp(a->item, b->item);
}

/* Items that stand in one of two lists alone, of those two; both are sorted. */
static void compare_lists(const join *j, const zh_scorer *other) {
  const zh_scorer *first = &j->scorers[0];
  size_t a = 0, b = 0, a_count = first->row_count / first->runs,
         b_count = other->row_count / other->runs, missing[2] = {0};
  const zh_scored *example[2] = {NULL};
  while (a < a_count || b < b_count) {
    int order = a == a_count   ? 1
                : b == b_count ? -1
                               : compare_items(row_of(first, a), row_of(other, b));
    if (order != 0) {
      int which = order > 0; /* 0: the other lacks it, 1: the claimant does */
      if (missing[which]++ == 0) example[which] = which ? row_of(other, b) : row_of(first, a);
    }
    a += order <= 0;
    b += order >= 0;
  }
  for (int which = 0; which < 2; which++) {
    if (missing[which] == 0) continue;
    const zh_scorer *lacks = which ? first : other, *has = which ? other : first;
    char count[32];
    snprintf(count, sizeof count, "%zu", missing[which]);
    zh_refuse(j->refusals, "items_missing", lacks->name, ZH_WORD_leading_items_missing, "model",
              lacks->name, "other", has->name, "count", count, "item", example[which]->item, "task",
              j->protocol->tasks[example[which]->task].task, NULL);
  }
}

static void refuse_item(const join *j, const char *kind, zh_word word, const zh_scorer *model,
                        const zh_scorer *other, const zh_scored *row) {
  zh_refuse(j->refusals, kind, model->name, word, "model", model->name, "other", other->name,
            "item", row->item, "task", j->protocol->tasks[row->task].task, NULL);
}

/* A table that does not say what was asked is not one that asked something else. */
static void compare_prompts(const join *j, const zh_scorer *other) {
  const zh_scorer *first = &j->scorers[0];
  for (size_t i = 0; i < j->items; i++) {
    const zh_scored *a = row_of(first, i), *b = row_of(other, i);
    if (strcmp(a->prompt, b->prompt) == 0) continue;
    if (a->prompt[0] == '\0')
      refuse_item(j, "prompt_unstated", ZH_WORD_leading_prompt_unstated, first, other, a);
    else if (b->prompt[0] == '\0')
      refuse_item(j, "prompt_unstated", ZH_WORD_leading_prompt_unstated, other, first, a);
    else
      refuse_item(j, "prompt_differs", ZH_WORD_leading_prompt_differs, other, first, a);
    return;
  }
}

static void compare_clusters(const join *j, const zh_scorer *other) {
  const zh_scorer *first = &j->scorers[0];
  for (size_t i = 0; i < j->items; i++) {
    const zh_scored *a = row_of(first, i), *b = row_of(other, i);
    if (strcmp(a->cluster, b->cluster) == 0) continue;
    refuse_item(j, "cluster_differs", ZH_WORD_leading_cluster_differs, other, first, a);
    return;
  }
}

/* Every row of a model must agree with the modality of its task, or say nothing. */
static void hold_to_modalities(const join *j, const zh_scorer *s) {
  for (size_t i = 0; i < s->row_count; i++) {
    const zh_scored *row = &s->rows[i];
    const char *known = j->modality[row->task];
    if (row->modality[0] == '\0' || known == NULL || strcmp(known, row->modality) == 0) continue;
    zh_refuse(j->refusals, "modality_differs", s->name, ZH_WORD_leading_task_modality, "model",
              s->name, "task", j->protocol->tasks[row->task].task, "item", row->item, "from",
              row->modality, "to", known, NULL);
    return;
  }
}

/* The modality of each task: the protocol's, else the first that a row names. */
static void find_modalities(join *j) {
  for (size_t t = 0; t < j->protocol->task_count; t++)
    j->modality[t] = j->protocol->tasks[t].modality;
  for (size_t m = 0; m < j->count; m++) {
    for (size_t i = 0; i < j->scorers[m].row_count; i++) {
      const zh_scored *row = &j->scorers[m].rows[i];
      if (j->modality[row->task] == NULL && row->modality[0] != '\0')
        j->modality[row->task] = row->modality;
    }
  }
  for (size_t m = 0; m < j->count; m++) hold_to_modalities(j, &j->scorers[m]);
}

static zh_status digest_lines(char sm3[ZH_DIGEST_HEX], const char *const *lines, size_t count,
                              zh_error *err) {
  zh_digest *digest;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i < count && status == ZH_OK; i++) {
    status = zh_digest_update(digest, lines[i], strlen(lines[i]), err);
    if (status == ZH_OK) status = zh_digest_update(digest, "\n", 1, err);
  }
  if (status == ZH_OK) status = zh_digest_final(sm3, digest, err);
  zh_digest_free(digest);
  return status;
}

/* Of the claimant's items begin … end - 1, those of a task; prompts_sm3 stays "" where no row has a
 * prompt. */
static zh_status digest_task(const join *j, size_t begin, size_t end, zh_error *err) {
  uint32_t task = row_of(&j->scorers[0], begin)->task;
  size_t count = end - begin;
  bool prompted = false;
  const char **lines = calloc(count, sizeof *lines);
  if (lines == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", count);
  for (size_t i = 0; i < count; i++) lines[i] = row_of(&j->scorers[0], begin + i)->item;
  zh_status status = digest_lines(j->items_sm3[task], lines, count, err);
  for (size_t i = 0; i < count; i++) {
    lines[i] = row_of(&j->scorers[0], begin + i)->prompt;
    prompted |= lines[i][0] != '\0';
  }
  qsort(lines, count, sizeof *lines, zh_by_text);
  if (status == ZH_OK && prompted) status = digest_lines(j->prompts_sm3[task], lines, count, err);
  free(lines);
  return status;
}

/* What the protocol locked of a task must be what stands in the tables. */
static void check_locked(const join *j, uint32_t task, size_t items) {
  const zh_asked *asked = &j->protocol->tasks[task];
  const char *items_sm3 = j->items_sm3[task], *prompts_sm3 = j->prompts_sm3[task],
             *claimant = j->scorers[0].name;
  char count[32], wanted[32];
  snprintf(count, sizeof count, "%zu", items);
  snprintf(wanted, sizeof wanted, "%lld", (long long)asked->items);
  if (asked->items > 0 && (size_t)asked->items != items)
    zh_refuse(j->refusals, "items_differ", claimant, ZH_WORD_leading_item_count, "task",
              asked->task, "count", count, "needed", wanted, NULL);
  if (asked->items_sm3 != NULL && strcmp(asked->items_sm3, items_sm3) != 0)
    zh_refuse(j->refusals, "items_differ", claimant, ZH_WORD_leading_item_digest, "task",
              asked->task, "sm3", items_sm3, "needed", asked->items_sm3, NULL);
  if (asked->prompts_sm3 != NULL && prompts_sm3[0] == '\0')
    zh_refuse(j->refusals, "prompts_differ", claimant, ZH_WORD_leading_prompts_missing, "task",
              asked->task, "model", claimant, "needed", asked->prompts_sm3, NULL);
  else if (asked->prompts_sm3 != NULL && strcmp(asked->prompts_sm3, prompts_sm3) != 0)
    zh_refuse(j->refusals, "prompts_differ", claimant, ZH_WORD_leading_prompt_digest, "task",
              asked->task, "sm3", prompts_sm3, "needed", asked->prompts_sm3, NULL);
  if (j->modality[task] == NULL)
    zh_refuse(j->refusals, "modality_missing", claimant, ZH_WORD_leading_no_modality, "task",
              asked->task, NULL);
}

static zh_status check_tasks(const join *j, zh_error *err) {
  for (size_t i = 0, next; i < j->items; i = next) {
    uint32_t task = row_of(&j->scorers[0], i)->task;
    for (next = i + 1; next < j->items && row_of(&j->scorers[0], next)->task == task;) next++;
    ZH_TRY(digest_task(j, i, next, err));
    check_locked(j, task, next - i);
  }
  return ZH_OK;
}

static int by_modality(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->modality != y->modality) return x->modality < y->modality ? -1 : 1;
  if (x->row->task != y->row->task) return x->row->task < y->row->task ? -1 : 1;
  int order = strcmp(x->row->cluster, y->row->cluster);
  return order != 0 ? order : strcmp(x->row->item, y->row->item);
}

/* Modalities rank as they come up in the protocol's tasks. */
static size_t rank_of(const join *j, uint32_t task) {
  size_t t = 0;
  while (strcmp(j->modality[t] != NULL ? j->modality[t] : "", j->modality[task]) != 0) t++;
  return t;
}

static void order_items(join *j) {
  for (size_t i = 0; i < j->items; i++) {
    const zh_scored *row = row_of(&j->scorers[0], i);
    j->places[i] = (place){.row = row, .index = i, .modality = rank_of(j, row->task)};
  }
  qsort(j->places, j->items, sizeof *j->places, by_modality);
}

static zh_status fill_scores(zh_table *t, size_t m, const join *j, zh_error *err) {
  const zh_scorer *s = &j->scorers[m];
  t->names[m] = s->name;
  t->runs[m] = s->runs;
  if (s->runs > 1) {
    t->run_scores[m] = calloc(s->runs * t->items, sizeof *t->run_scores[m]);
    if (t->run_scores[m] == NULL)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu runs", s->runs);
  }
  for (size_t i = 0; i < t->items; i++) {
    const zh_scored *rows = row_of(s, j->places[i].index);
    double sum = 0;
    for (size_t r = 0; r < s->runs; r++) {
      sum += rows[r].score;
      if (s->runs > 1) t->run_scores[m][r * t->items + i] = rows[r].score;
    }
    t->scores[m * t->items + i] = sum / (double)s->runs;
  }
  return ZH_OK;
}

static void fill_items(zh_table *t, const join *j) {
  uint32_t cluster = 0;
  for (size_t i = 0; i < t->items; i++) {
    const zh_scored *row = j->places[i].row, *before = i > 0 ? j->places[i - 1].row : NULL;
    bool new_task = before == NULL || before->task != row->task;
    bool same = !new_task && row->cluster[0] != '\0' && strcmp(row->cluster, before->cluster) == 0;
    cluster += i > 0 && !same;
    if (new_task) {
      t->task[t->tasks] = &j->protocol->tasks[row->task];
      t->modality[t->tasks] = j->modality[row->task];
      memcpy(t->items_sm3[t->tasks], j->items_sm3[row->task], ZH_DIGEST_HEX);
      memcpy(t->prompts_sm3[t->tasks], j->prompts_sm3[row->task], ZH_DIGEST_HEX);
      t->first_item[t->tasks++] = i;
    }
    t->items_named[i] = row->item;
    t->task_of[i] = (uint32_t)t->tasks - 1;
    t->cluster_of[i] = cluster;
  }
  t->first_item[t->tasks] = t->items;
}

static zh_status build(zh_table **out, join *j, zh_error *err) {
  order_items(j);
  zh_table *t = zh_table_allocate(j->count, j->items, j->protocol->task_count);
  if (t == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", j->items);
  fill_items(t, j);
  zh_status status = ZH_OK;
  for (size_t m = 0; m < j->count && status == ZH_OK; m++) status = fill_scores(t, m, j, err);
  if (status == ZH_OK)
    *out = t;
  else
    zh_table_free(t);
  return status;
}

zh_status zh_table_join(zh_table **out, const zh_scorer *scorers, size_t count,
                        const zh_protocol *protocol, zh_refusals *refusals, zh_error *err) {
  *out = NULL;
  if (json_array_size(refusals->list) > 0) return ZH_OK;
  for (size_t m = 0; m < count; m++) {
    if (scorers[m].row_count > 0) continue;
    zh_refuse(refusals, "empty", scorers[m].name, ZH_WORD_leading_empty, "model", scorers[m].name,
              "file", scorers[m].file, NULL);
    return ZH_OK;
  }
  join j = {.scorers = scorers,
            .count = count,
            .items = scorers[0].row_count / scorers[0].runs,
            .protocol = protocol,
            .refusals = refusals};
  j.places = calloc(j.items, sizeof *j.places);
  j.modality = calloc(protocol->task_count, sizeof *j.modality);
  j.items_sm3 = calloc(protocol->task_count, sizeof *j.items_sm3);
  j.prompts_sm3 = calloc(protocol->task_count, sizeof *j.prompts_sm3);
  zh_status status =
      j.places == NULL || j.modality == NULL || j.items_sm3 == NULL || j.prompts_sm3 == NULL
          ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu items", j.items)
          : ZH_OK;
  if (status == ZH_OK) {
    for (size_t m = 1; m < count; m++) compare_lists(&j, &scorers[m]);
    bool same_items = json_array_size(refusals->list) == 0;
    for (size_t m = 1; m < count && same_items; m++) {
      compare_prompts(&j, &scorers[m]);
      compare_clusters(&j, &scorers[m]);
    }
    find_modalities(&j);
    status = check_tasks(&j, err);
  }
  if (status == ZH_OK && json_array_size(refusals->list) == 0) status = build(out, &j, err);
  free(j.places);
  free(j.modality);
  free(j.items_sm3);
  free(j.prompts_sm3);
  return status;
}
