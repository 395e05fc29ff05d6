/* What is measured for `zhiheng contamination`: words in common with corpora, readings of the
 * model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "bench/quality/contamination/reading.h"
#include "cli/cli.h"
#include "cli/contamination.h"
#include "core/clock.h"
#include "core/progress.h"
#include "core/text.h"

/* ---- corpora ---- */

static zh_status name_items(json_t *task, const zh_exam_task *t, zh_error *err) {
  json_t *names = json_array();
  zh_status status = ZH_OK;
  json_object_set_new(task, "task", json_string(t->name));
  json_object_set_new(task, "items", names);
  for (size_t i = 0; status == ZH_OK && i < t->taken; i++) {
    char name[ZH_ITEM_NAME];
    status = zh_item_name(name, t, i, err);
    if (status == ZH_OK) json_array_append_new(names, json_string(name));
  }
  return status;
}

zh_status zh_search_begin(json_t **out, const zh_exam *exam, zh_error *err) {
  json_t *tasks = json_array();
  *out = json_pack("{s:o}", "tasks", tasks);
  if (!*out) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < exam->task_count; i++) {
    json_t *task = json_object();
    json_array_append_new(tasks, task);
    ZH_TRY(name_items(task, exam->tasks[i], err));
  }
  return ZH_OK;
}

static json_t *measured_task(const json_t *measured, size_t i) {
  return json_array_get(json_object_get(measured, "tasks"), i);
}

static void tell_of_file(void *user, const char *path, uint64_t bytes) {
  char size[32];
  (void)user;
  zh_progress_detail("%s, %s", path, zh_human_bytes(size, sizeof size, (double)bytes));
}

static zh_status add_items(zh_overlap *overlap, const zh_exam *exam, zh_error *err) {
  for (size_t t = 0; t < exam->task_count; t++) {
    for (size_t i = 0; i < exam->tasks[t]->taken; i++) {
      zh_text text = {0};
      zh_status status = zh_item_text(&text, exam->tasks[t], i, err);
      if (status == ZH_OK)
        status = zh_overlap_add(overlap, zh_text_string(&text), text.length, err);
      zh_text_free(&text);
      if (status != ZH_OK) zh_error_prefix(err, "task %s", exam->tasks[t]->name);
      ZH_TRY(status);
    }
  }
  return ZH_OK;
}

static void keep_overlap(zh_search *s, const zh_overlap *overlap) {
  size_t number = 0;
  for (size_t t = 0; t < s->exam->task_count; t++) {
    json_t *words = json_array(), *covered = json_array();
    for (size_t i = 0; i < s->exam->tasks[t]->taken; i++) {
      zh_overlap_item item = zh_overlap_of(overlap, number++);
      json_array_append_new(words, json_integer((json_int_t)item.words));
      json_array_append_new(covered, json_integer((json_int_t)item.covered));
    }
    json_object_set_new(measured_task(s->measured, t), "overlap",
                        json_pack("{s:I, s:o, s:o}", "run", (json_int_t)s->given->run, "words",
                                  words, "covered", covered));
  }
  s->corpus = zh_overlap_seen(overlap);
}

zh_status zh_search_corpora(zh_search *s, zh_error *err) {
  zh_overlap *overlap;
  if (s->given->corpus_count == 0) return ZH_OK;
  ZH_TRY(zh_overlap_create(&overlap, (unsigned)s->given->run, err));
  zh_status status = add_items(overlap, s->exam, err);
  for (size_t i = 0; status == ZH_OK && i < s->given->corpus_count; i++) {
    zh_progress_step((int)i + 1, (int)s->given->corpus_count, "%s", s->given->corpora[i]);
    status =
        zh_overlap_read(overlap, s->given->corpora[i], s->given->field, tell_of_file, NULL, err);
    if (status == ZH_OK) zh_progress_done("read");
  }
  if (status == ZH_OK) keep_overlap(s, overlap);
  zh_overlap_free(overlap);
  return status;
}

/* ---- what the model makes of it ---- */

static const char *const kind_names[ZH_READ_KINDS] = {"order", "options", "least"};

static zh_status choose_kinds(bool kinds[ZH_READ_KINDS], const char *signs, zh_error *err) {
  for (int k = 0; k < ZH_READ_KINDS; k++) kinds[k] = signs == NULL;
  while (signs && *signs) {
    size_t length = strcspn(signs, ",");
    bool known = false;
    for (int k = 0; k < ZH_READ_KINDS; k++) {
      if (strlen(kind_names[k]) != length || strncmp(signs, kind_names[k], length) != 0) continue;
      kinds[k] = known = true;
    }
    if (!known)
      return zh_fail(err, ZH_ERR_USAGE, "--signs %.*s: expected order, options or least",
                     (int)length, signs);
    signs += length + (signs[length] == ',');
  }
  return ZH_OK;
}

typedef struct telling {
  int64_t began;
  size_t step;
} telling;

static void tell(void *user, const zh_reading_news *news) {
  telling *t = user;
  if (t->step != news->step + 1) {
    t->step = news->step + 1;
    zh_progress_step((int)t->step, (int)news->steps, "%s: %s", news->task->name,
                     kind_names[news->kind]);
  }
  double part = news->tokens_all > 0 ? (double)news->tokens / (double)news->tokens_all : 1,
         seconds = (double)(zh_now_ns() - t->began) * 1e-9;
  zh_progress_detail("%.0f %% of the tokens, about %.0f s left", 100 * part,
                     part > 0 ? seconds * (1 - part) / part : 0);
}

static json_t *values_json(const double *values, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_json_number(values[i]));
  return list;
}

static void keep_reading(json_t *task, zh_reading_kind kind, const zh_reading *r) {
  json_t *items = json_array(), *rows = json_array();
  for (size_t i = 0; i < r->rows; i++) {
    json_array_append_new(items, json_integer((json_int_t)r->item[i]));
    json_array_append_new(rows,
                          values_json(r->values + r->first[i], r->first[i + 1] - r->first[i]));
  }
  json_t *part = json_pack("{s:I, s:o}", "left_out", (json_int_t)r->left_out, "item", items);
  if (kind == ZH_READ_LEAST) {
    json_object_set_new(part, "values", values_json(r->values, r->rows));
    json_decref(rows);
  } else {
    json_object_set_new(part, "rows", rows);
  }
  json_object_set_new(task, kind_names[kind], part);
}

static zh_status read_exam(zh_search *s, json_t *measured, const zh_exam *exam,
                           const zh_reading_options *how, zh_error *err) {
  telling t = {.began = zh_now_ns()};
  zh_reading(*readings)[ZH_READ_KINDS] = calloc(exam->task_count, sizeof *readings);
  if (!readings) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (readings)");
  zh_status status = zh_readings_take(readings, exam, s->model, s->threads, how, tell, &t, err);
  if (status == ZH_OK) zh_progress_done("read");
  for (size_t i = 0; i < exam->task_count; i++) {
    for (int k = 0; k < ZH_READ_KINDS; k++) {
      if (status == ZH_OK && readings[i][k].asked)
        keep_reading(measured_task(measured, i), (zh_reading_kind)k, &readings[i][k]);
      zh_reading_free(&readings[i][k]);
    }
  }
  free(readings);
  return status;
}

zh_status zh_search_model(zh_search *s, zh_error *err) {
  const zh_search_arguments *given = s->given;
  zh_reading_options how = {.item_orders = given->orders,
                            .option_orders = given->orders,
                            .window = given->window,
                            .least = 0.2,
                            .seed = given->words.options.seed};
  if (!given->model) return ZH_OK;
  ZH_TRY(choose_kinds(how.kinds, given->signs, err));
  ZH_TRY(zh_device_word(&how.device, given->device, err));
  ZH_TRY(zh_model_open(&s->model, given->model, err));
  ZH_TRY(zh_cli_threads(&s->threads, given->threads, err));
  ZH_TRY(read_exam(s, s->measured, s->exam, &how, err));
  if (!given->reference || !how.kinds[ZH_READ_LEAST]) return ZH_OK;
  ZH_TRY(zh_task_words_open(&s->reference, &given->words, given->reference, err));
  ZH_TRY(zh_search_begin(&s->measured_reference, s->reference, err));
  how.kinds[ZH_READ_ORDER] = how.kinds[ZH_READ_OPTIONS] = false;
  return read_exam(s, s->measured_reference, s->reference, &how, err);
}
