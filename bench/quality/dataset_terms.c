#include "bench/quality/dataset_terms.h"

#include <string.h>

#include "core/files.h"
#include "core/text.h"

#define BESIDE "SOURCE.json"
enum { FOLDERS_UP = 3, SOURCE_BYTES = 1 << 20 };

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (terms of data sets)");
}

static const char *word_of(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

/* ---- what is known by name ---- */

static zh_status load_known(json_t **out, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc;
  *out = NULL;
  ZH_TRY(zh_data_path(path, sizeof path, "bench/quality/datasets.yaml", err));
  ZH_TRY(zh_yaml_load_file(&doc, path, err));
  zh_status status = zh_yaml_to_json(out, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  return status;
}

static const json_t *find_known(const json_t *known, const char *name) {
  const json_t *list = json_object_get(known, "datasets");
  for (size_t i = 0; name && i < json_array_size(list); i++) {
    const json_t *set = json_array_get(list, i), *names = json_object_get(set, "names");
    for (size_t k = 0; k < json_array_size(names); k++) {
      const char *one = json_string_value(json_array_get(names, k));
      if (one && strcmp(one, name) == 0) return set;
    }
  }
  return NULL;
}

/* ---- what stands beside the items ---- */

/* In the folder of the first file, or a few above it. *found "" where nowhere. */
static void find_beside(char *found, size_t capacity, const zh_exam_task *task) {
  const char *file = word_of(json_array_get(task->files, 0), "path");
  char folder[4096];
  found[0] = 0;
  if (!file || strlen(file) >= sizeof folder) return;
  strcpy(folder, file);
  for (int up = 0; up <= FOLDERS_UP; up++) {
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    snprintf(found, capacity, "%s%s" BESIDE, slash ? folder : "", slash ? "/" : "");
    if (zh_is_file(found)) return;
    if (!slash) break;
  }
  found[0] = 0;
}

static zh_status read_beside(json_t **out, const char *path, const json_t *known, zh_error *err) {
  const char *licence, *source;
  json_t *said;
  ZH_TRY(zh_json_load_file(&said, path, SOURCE_BYTES, err));
  zh_status status = ZH_OK;
  if (json_object_get(said, "licence"))
    status = zh_json_string(&licence, said, "licence", path, err);
  if (status == ZH_OK) status = zh_json_string(&source, said, "source", path, err);
  const char *use = word_of(said, "use");
  if (status == ZH_OK && use && !json_object_get(json_object_get(known, "uses"), use))
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s: 'use' must be open, non_commercial, conformance or unstated, not "
                     "'%.40s'",
                     path, use);
  if (status != ZH_OK) {
    json_decref(said);
    return status;
  }
  *out = said;
  return ZH_OK;
}

/* ---- together ---- */

static json_t *or_null(const json_t *object, const char *key) {
  json_t *value = json_object_get(object, key);
  return value ? json_incref(value) : json_null();
}

/* A licence that is Creative Commons' and forbids commerce says so in its name. */
static const char *use_of(const json_t *terms) {
  const char *use = word_of(terms, "use"), *licence = word_of(terms, "licence");
  if (use) return use;
  if (!terms) return "unknown";
  if (!licence) return "unstated";
  return strstr(licence, "-NC") ? "non_commercial" : "open";
}

static zh_status make_terms(json_t **out, const zh_exam_task *task, const json_t *known,
                            zh_error *err) {
  const char *name = word_of(task->config, "dataset_path");
  const json_t *by_name = find_known(known, name);
  json_t *beside = NULL;
  char path[4200];
  find_beside(path, sizeof path, task);
  if (path[0]) ZH_TRY(read_beside(&beside, path, known, err));
  const json_t *terms = beside ? beside : by_name;
  const char *use = use_of(terms),
             *title = word_of(terms, "title") ? word_of(terms, "title") : word_of(by_name, "title");
  const json_t *of_use = json_object_get(json_object_get(known, "uses"), use);
  *out = json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o}", "dataset", name ? name : "", "title",
                   title  ? title
                   : name ? name
                          : "",
                   "title_zh", or_null(terms, "title_zh"), "licence", or_null(terms, "licence"),
                   "source", or_null(terms, "source"), "use", use, "warning",
                   or_null(of_use, "warning"), "file", path[0] ? json_string(path) : json_null());
  json_decref(beside);
  return *out ? ZH_OK : no_memory(err);
}

zh_status zh_dataset_terms(json_t **out, const zh_exam_task *task, zh_error *err) {
  json_t *known;
  *out = NULL;
  ZH_TRY(load_known(&known, err));
  zh_status status = make_terms(out, task, known, err);
  json_decref(known);
  return status;
}

zh_status zh_exam_terms(json_t **out, const zh_exam *exam, zh_error *err) {
  json_t *known = NULL, *all = json_object();
  zh_status status = all ? load_known(&known, err) : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < exam->task_count; i++) {
    json_t *terms;
    status = make_terms(&terms, exam->tasks[i], known, err);
    if (status == ZH_OK && json_object_set_new(all, exam->tasks[i]->name, terms) != 0)
      status = no_memory(err);
  }
  json_decref(known);
  *out = status == ZH_OK ? all : NULL;
  if (status != ZH_OK) json_decref(all);
  return status;
}

/* ---- in words ---- */

typedef struct phrase {
  const char *language, *title, *format, *no_licence, *no_source, *warning;
} phrase;
static const phrase phrases[] = {
    {"en", "title", "data: %s; licence: %s; source: %s", "not stated", "not known", ". Note: %s"},
    {"zh", "title_zh", "数据：%s；许可：%s；来源：%s", "未声明", "不详", "。注意：%s"}};

static const char *or_word(const json_t *terms, const char *key, const char *otherwise) {
  const char *word = word_of(terms, key);
  return word && word[0] ? word : otherwise;
}

static json_t *said_of(const json_t *terms) {
  json_t *said = json_object();
  for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++) {
    const phrase *p = &phrases[i];
    const char *warning = word_of(json_object_get(terms, "warning"), p->language);
    zh_text line = {0};
    zh_text_printf(&line, p->format, or_word(terms, p->title, or_word(terms, "title", "?")),
                   or_word(terms, "licence", p->no_licence),
                   or_word(terms, "source", p->no_source));
    if (warning) zh_text_printf(&line, p->warning, warning);
    json_object_set_new(said, p->language, json_string(zh_text_string(&line)));
    zh_text_free(&line);
  }
  return said;
}

zh_status zh_terms_said(json_t **out, const json_t *terms, zh_error *err) {
  const char *task;
  json_t *of_task;
  *out = json_array();
  json_object_foreach((json_t *)(uintptr_t)terms, task, of_task) {
    json_t *said = said_of(of_task);
    bool told = false;
    for (size_t i = 0; i < json_array_size(*out); i++)
      told |= json_equal(json_array_get(*out, i), said) != 0;
    if (told)
      json_decref(said);
    else
      json_array_append_new(*out, said);
  }
  return *out ? ZH_OK : no_memory(err);
}
