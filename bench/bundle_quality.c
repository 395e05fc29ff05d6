#include "bench/bundle_quality.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/decision.h"
#include "core/csv.h"
#include "core/files.h"

static const size_t FILE_BYTES_MAX = (size_t)1 << 34;
static const char SCORES[] = "scores.csv";

/* A step that held an examination. */
typedef struct held {
  const json_t *step;
  json_t *quality; /* facts.quality; borrowed */
} held;

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static bool step_at(held *out, const zh_bundle_run *run, size_t i) {
  const json_t *outcome = json_array_get(run->outcomes, i);
  out->step = json_array_get(json_object_get(run->plan, "steps"), i);
  out->quality =
      json_object_get(json_object_get(json_object_get(outcome, "result"), "facts"), "quality");
  return json_is_object(out->quality) && zh_bundle_figures(outcome);
}

/* ---- lm-evaluation-harness's files ---- */

static zh_status copy_file(const char *from, const char *to, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_read_file(&text, &length, from, FILE_BYTES_MAX, err));
  zh_status status = zh_write_file(to, text, length, err);
  free(text);
  return status;
}

static void work_folder(char out[PATH_MAX], const zh_bundle_run *run, const json_t *step) {
  snprintf(out, PATH_MAX, "%.3800s/work/%.32s/quality", run->folder, word(step, "key"));
}

static zh_status copy_files(const char *from, const char *to, zh_error *err) {
  zh_file_list files;
  ZH_TRY(zh_list_files(&files, from, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char source[PATH_MAX], target[PATH_MAX];
    if (strcmp(files.paths[i], SCORES) == 0) continue;
    int a = snprintf(source, sizeof source, "%s/%s", from, files.paths[i]),
        b = snprintf(target, sizeof target, "%s/%s", to, files.paths[i]);
    status = a < PATH_MAX && b < PATH_MAX
                 ? copy_file(source, target, err)
                 : zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", target);
  }
  zh_file_list_free(&files);
  return status;
}

/* "tasks@a b.gguf" → "quality/tasks@a_b.gguf" */
static zh_status keep_files(const zh_bundle_run *run, const held *h, zh_error *err) {
  char from[PATH_MAX], name[512], to[PATH_MAX];
  work_folder(from, run, h->step);
  snprintf(name, sizeof name, "%.500s", word(h->step, "step"));
  zh_bundle_clean_name(name);
  snprintf(to, sizeof to, "%.3500s/quality/%.500s", run->folder, name);
  ZH_TRY(zh_make_dirs(to, err));
  ZH_TRY(copy_files(from, to, err));
  const char *results = word(h->quality, "results"), *slash = strrchr(results, '/');
  json_object_set_new(h->quality, "results",
                      json_sprintf("quality/%s/%s", name, slash ? slash + 1 : results));
  json_object_set_new(h->quality, "folder", json_sprintf("quality/%s", name));
  return ZH_OK;
}

/* ---- tables ---- */

static bool asks_task(const json_t *quality, const char *task) {
  size_t i;
  json_t *one;
  json_array_foreach(json_object_get(quality, "tasks"), i, one) {
    if (strcmp(word(one, "task"), task) == 0) return true;
  }
  return false;
}

/* Whether another step asks this model the same task. */
static bool asked_elsewhere(const zh_bundle_run *run, const held *h, const char *task) {
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    held other;
    if (!step_at(&other, run, i) || other.step == h->step) continue;
    if (strcmp(word(other.step, "model"), word(h->step, "model")) != 0) continue;
    if (asks_task(other.quality, task)) return true;
  }
  return false;
}

static void add_task(zh_text *out, const zh_bundle_run *run, const held *h, const char *task) {
  zh_text name = {0};
  if (asked_elsewhere(run, h, task)) zh_text_printf(&name, "%s/", word(h->step, "name"));
  zh_text_puts(&name, task);
  zh_csv_put(out, zh_text_string(&name));
  out->failed = out->failed || name.failed;
  zh_text_free(&name);
}

/* Rows of a step's table, in the columns that decision.h writes. */
static zh_status add_rows(zh_text *out, const zh_bundle_run *run, const held *h, zh_error *err) {
  char folder[PATH_MAX], path[PATH_MAX];
  zh_csv *csv;
  size_t task;
  bool more;
  zh_csv_form form = {.separator = ',', .max_bytes = FILE_BYTES_MAX};
  work_folder(folder, run, h->step);
  snprintf(path, sizeof path, "%.4000s/%s", folder, SCORES);
  ZH_TRY(zh_csv_open(&csv, path, &form, err));
  zh_status status = zh_csv_require(&task, csv, "task", err);
  while (status == ZH_OK && (status = zh_csv_next(&more, csv, err)) == ZH_OK && more) {
    for (size_t c = 0; c < zh_csv_columns(csv); c++) {
      if (c > 0) zh_text_puts(out, ",");
      if (c == task)
        add_task(out, run, h, zh_csv_field(csv, c));
      else
        zh_csv_put(out, zh_csv_field(csv, c));
    }
    zh_text_puts(out, "\n");
  }
  zh_csv_free(csv);
  return status;
}

static const char *model_sm3(const zh_bundle_run *run, const char *model) {
  size_t i;
  json_t *entry;
  json_array_foreach(json_object_get(run->plan, "models"), i, entry) {
    if (strcmp(word(entry, "name"), model) == 0) return word(entry, "sm3");
  }
  return "";
}

static zh_status write_table(const zh_bundle_run *run, const char *model, const char *name,
                             zh_error *err) {
  char path[PATH_MAX];
  zh_text table = {0};
  zh_status status = ZH_OK;
  const char *protocol = "";
  held h;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++)
    if (step_at(&h, run, i) && strcmp(word(h.step, "model"), model) == 0 && !protocol[0])
      protocol = word(json_object_get(h.quality, "protocol"), "sm3");
  zh_text_printf(&table, "# model: %s\n# model_sm3: %s\n", model, model_sm3(run, model));
  if (protocol[0]) zh_text_printf(&table, "# protocol: %s\n", protocol);
  zh_text_puts(&table, zh_decision_header);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(run->outcomes); i++) {
    if (!step_at(&h, run, i) || strcmp(word(h.step, "model"), model) != 0) continue;
    status = add_rows(&table, run, &h, err);
    json_object_set_new(h.quality, "scores", json_string(name));
  }
  if (status == ZH_OK && table.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the scores of %s", model);
  snprintf(path, sizeof path, "%.3500s/%.500s", run->folder, name);
  if (status == ZH_OK) status = zh_write_file(path, zh_text_string(&table), table.length, err);
  zh_text_free(&table);
  return status;
}

/* "scores/a_b.gguf.csv" */
static zh_status keep_table(const zh_bundle_run *run, const held *h, zh_error *err) {
  char name[512], folder[PATH_MAX];
  int prefix = snprintf(name, sizeof name, "scores/");
  snprintf(name + prefix, sizeof name - (size_t)prefix, "%.480s.csv", word(h->step, "model"));
  zh_bundle_clean_name(name + prefix);
  snprintf(folder, sizeof folder, "%.3500s/scores", run->folder);
  ZH_TRY(zh_make_dirs(folder, err));
  return write_table(run, word(h->step, "model"), name, err);
}

zh_status zh_bundle_quality(const zh_bundle_run *run, zh_error *err) {
  held h;
  for (size_t i = 0; i < json_array_size(run->outcomes); i++) {
    if (!step_at(&h, run, i)) continue;
    ZH_TRY(keep_files(run, &h, err));
    if (!json_object_get(h.quality, "scores")) ZH_TRY(keep_table(run, &h, err));
  }
  return ZH_OK;
}
