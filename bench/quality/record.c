#include "bench/quality/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "bench/quality/dataset_terms.h"
#include "bench/quality/decision.h"
#include "core/files.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (results)");
}

/* ---- files ---- */

/* "2026-11-22T05-03-04.123456", as lm-evaluation-harness has it in names. */
static void write_time(char out[40]) {
  struct timeval now;
  struct tm local;
  char day[32];
  gettimeofday(&now, NULL);
  localtime_r(&now.tv_sec, &local);
  strftime(day, sizeof day, "%Y-%m-%dT%H-%M-%S", &local);
  snprintf(out, 40, "%s.%06ld", day, (long)now.tv_usec);
}

/* prefix: "folder/samples_task". */
static zh_status write_text(const char *folder, const char *name, const zh_text *text,
                            zh_error *err) {
  zh_text path = {0};
  zh_text_printf(&path, "%s/%s", folder, name);
  zh_status status = path.failed
                         ? no_memory(err)
                         : zh_write_file(path.data, zh_text_string(text), text->length, err);
  zh_text_free(&path);
  return status;
}

static zh_status write_samples(const char *folder, const char *time, const zh_exam *exam,
                               const zh_marks *marks, zh_error *err) {
  for (size_t i = 0; i < exam->task_count; i++) {
    zh_text name = {0};
    zh_text_printf(&name, "samples_%s_%s.jsonl", exam->tasks[i]->name, time);
    zh_status status =
        name.failed ? no_memory(err) : write_text(folder, name.data, &marks[i].samples, err);
    zh_text_free(&name);
    ZH_TRY(status);
  }
  return ZH_OK;
}

static zh_status write_scores(const char *folder, const zh_exam *exam, const zh_marks *marks,
                              zh_error *err) {
  zh_text table = {0};
  zh_text_puts(&table, zh_decision_header);
  for (size_t i = 0; i < exam->task_count; i++)
    if (marks[i].rows.length > 0) zh_text_append(&table, marks[i].rows.data, marks[i].rows.length);
  zh_status status = table.failed ? no_memory(err) : write_text(folder, "scores.csv", &table, err);
  zh_text_free(&table);
  return status;
}

static json_t *config_json(const zh_record_about *a) {
  return json_pack("{s:s, s:{s:s, s:s, s:s}, s:I, s:o, s:I, s:I, s:I}", "model", "zhiheng",
                   "model_args", "pretrained", a->model_path, "precision", a->precision, "kv",
                   a->kv, "batch_size", (json_int_t)a->sequences, "limit",
                   a->limit > 0 ? json_real(a->limit) : json_null(), "bootstrap_iters",
                   (json_int_t)100000, "fewshot_seed", (json_int_t)1234, "made_seed",
                   (json_int_t)a->seed);
}

/* How prompts were put; the template is the model's own, which model_sm3 covers. */
static void add_chat(json_t *d, const zh_chat_form *chat) {
  bool applied = chat->render != NULL;
  json_object_set_new(d, "chat_template", applied ? json_string("model") : json_null());
  json_object_set_new(d, "system_instruction",
                      chat->system ? json_string(chat->system) : json_null());
  json_object_set_new(d, "fewshot_as_multiturn", json_boolean(applied && chat->multiturn));
  if (chat->system_refused)
    json_object_set_new(d, "system_role_refused", json_boolean(*chat->system_refused));
}

static zh_status write_results(const json_t **results, json_t **document, char name[64],
                               const char *folder, const char *time, const zh_exam *exam,
                               const zh_marks *marks, const zh_record_about *a, zh_error *err) {
  char path[4096];
  ZH_TRY(zh_exam_results(document, exam, marks, err));
  json_t *d = *document;
  json_object_set_new(d, "config", config_json(a));
  json_object_set_new(d, "model_source", json_string("zhiheng " ZH_VERSION));
  json_object_set_new(d, "model_name", json_string(a->model_name));
  json_object_set_new(d, "model_sm3", json_string(a->model_sm3));
  json_object_set_new(d, "plan_sm3", json_string(a->plan));
  add_chat(d, &exam->tasks[0]->chat);
  json_object_set_new(d, "definitions",
                      json_string(exam->tasks[0]->opencompass ? "opencompass" : "lm-eval"));
  json_object_set_new(d, "total_evaluation_time_seconds", json_sprintf("%.6f", a->seconds));
  json_object_set(d, "tokens", a->tokens);
  *results = json_object_get(d, "results");
  snprintf(name, 64, "results_%s.json", time);
  snprintf(path, sizeof path, "%.4000s/%s", folder, name);
  return zh_json_write_file(d, path, err);
}

/* ---- what run.json says ---- */

static const zh_item_metric *metric_of(const zh_exam_task *t, const char *name, size_t length) {
  for (size_t i = 0; t && i < t->metric_count; i++)
    if (strlen(t->metrics[i].name) == length && strncmp(t->metrics[i].name, name, length) == 0)
      return &t->metrics[i];
  return NULL;
}

/* Of a group, a member's: they agree, or the group has no such figure. */
static const zh_item_metric *metric_below(const zh_entry *entry, const char *name, size_t length) {
  const zh_item_metric *found = metric_of(entry->task, name, length);
  for (size_t i = 0; !found && i < entry->child_count; i++)
    found = metric_below(entry->children[i], name, length);
  return found;
}

static const zh_exam_task *first_task(const zh_entry *entry) {
  while (!entry->task && entry->child_count > 0) entry = entry->children[0];
  return entry->task;
}

/* Whether a figure is what its tasks are decided by. */
static bool decides(const zh_entry *entry, const char *metric, size_t length, const char *filter) {
  const zh_exam_task *t = first_task(entry);
  const char *name = t && t->deciding ? zh_decision_figure(t->deciding) : NULL;
  return name && strlen(name) == length && strncmp(name, metric, length) == 0 &&
         strcmp(t->chains[0].name, filter) == 0;
}

static json_t *number_or_null(const json_t *value) {
  bool known = json_is_number(value) && isfinite(json_number_value(value));
  return known ? json_real(json_number_value(value)) : json_null();
}

/* Where all items score alike no error is known; what rounding leaves of one is none either. */
static bool scores_alike(const json_t *value, const json_t *error) {
  return json_is_number(error) &&
         json_number_value(error) <= 0x1p-46 * fabs(json_number_value(value));
}

static void add_figures(json_t *figures, const json_t *results, const zh_entry *entry, int depth) {
  const char *key;
  json_t *value, *result = json_object_get(results, entry->name);
  json_object_foreach(result, key, value) {
    size_t length = strcspn(key, ",");
    char error[256];
    if (key[length] != ',' || strstr(key, "_stderr,")) continue;
    snprintf(error, sizeof error, "%.*s_stderr%s", (int)length, key, key + length);
    const zh_item_metric *m = metric_below(entry, key, length);
    const json_t *spread = json_object_get(result, error);
    bool alike = scores_alike(value, spread);
    json_t *counts = json_object_get(result, "sample_count"),
           *items = counts ? json_object_get(counts, key) : json_object_get(result, "sample_len");
    json_array_append_new(
        figures,
        json_pack("{s:s, s:s, s:b, s:i, s:s%, s:s, s:o, s:o, s:b, s:O, s:b, s:b}", "name",
                  entry->name, "alias", entry->alias, "group", entry->task == NULL, "depth", depth,
                  "metric", key, length, "filter", key + length + 1, "value", number_or_null(value),
                  "stderr", alike ? json_null() : number_or_null(spread), "alike", alike, "items",
                  items, "higher_is_better", !m || m->higher_is_better, "deciding",
                  decides(entry, key, length, key + length + 1)));
  }
  for (size_t i = 0; i < entry->child_count; i++)
    add_figures(figures, results, entry->children[i], depth + 1);
}

static void add_task(json_t *tasks, json_t *without, const zh_exam_task *t) {
  if (!t->deciding) json_array_append_new(without, json_string(t->name));
  if (t->deciding)
    json_array_append_new(tasks,
                          json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "task", t->name, "metric",
                                    zh_decision_figure(t->deciding), "filter", t->chains[0].name,
                                    "items", (json_int_t)t->taken, "shots", (json_int_t)t->shots,
                                    "modality", zh_decision_modality(t)));
}

/* Of each task with levels the first metric's: {"task","points","half"}. */
static json_t *curves_of(const zh_exam *exam, const zh_marks *marks) {
  json_t *list = json_array(), *curve, *at;
  for (size_t i = 0; i < exam->task_count; i++) {
    const char *key;
    json_object_foreach(marks[i].curves, key, curve) {
      json_t *points = json_array();
      size_t k;
      json_array_foreach(json_object_get(curve, "levels"), k, at) {
        json_t *point = json_copy(at);
        json_object_set(point, "value", json_object_get(at, "score"));
        json_object_del(point, "score");
        json_array_append_new(points, point);
      }
      json_array_append_new(list,
                            json_pack("{s:s, s:o, s:O}", "task", exam->tasks[i]->name, "points",
                                      points, "half", json_object_get(curve, "half")));
      break;
    }
  }
  return list;
}

/* document: the whole of the results. */
static zh_status make_facts(json_t **out, const zh_exam *exam, const zh_marks *marks,
                            const json_t *document, const json_t *results, const char *name,
                            zh_error *err) {
  json_t *figures = json_array(), *tasks = json_array(), *without = json_array(), *sources;
  ZH_TRY(zh_terms_said(&sources, json_object_get(document, "datasets"), err));
  for (size_t i = 0; i < exam->entry_count; i++) add_figures(figures, results, exam->entries[i], 0);
  for (size_t i = 0; i < exam->task_count; i++) add_task(tasks, without, exam->tasks[i]);
  *out = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "results", name, "figures", figures, "tasks",
                   tasks, "without_rows", without, "sources", sources, "curves",
                   curves_of(exam, marks));
  return *out ? ZH_OK : no_memory(err);
}

zh_status zh_record_write(json_t **facts, const char *folder, const zh_exam *exam,
                          const zh_marks *marks, const zh_record_about *about, zh_error *err) {
  char time[40], name[64];
  json_t *document = NULL;
  const json_t *results = NULL;
  *facts = NULL;
  write_time(time);
  ZH_TRY(zh_make_dirs(folder, err));
  zh_status status =
      write_results(&results, &document, name, folder, time, exam, marks, about, err);
  if (status == ZH_OK) status = write_samples(folder, time, exam, marks, err);
  if (status == ZH_OK) status = write_scores(folder, exam, marks, err);
  if (status == ZH_OK) status = make_facts(facts, exam, marks, document, results, name, err);
  json_decref(document);
  return status;
}
