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
  *out = json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o}", "dataset", name ? name : "", "title",
                   title  ? title
                   : name ? name
                          : "",
                   "licence", or_null(terms, "licence"), "source", or_null(terms, "source"), "use",
                   use, "warning", or_null(of_use, "warning"), "file",
                   path[0] ? json_string(path) : json_null());
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

/* ---- for people ---- */

/* "title (licence): source; warning" */
static json_t *sentence(const json_t *terms, const char *language) {
  bool chinese = strcmp(language, "zh") == 0;
  const char *licence = word_of(terms, "licence"), *source = word_of(terms, "source"),
             *warning = word_of(json_object_get(terms, "warning"), language);
  zh_text text = {0};
  zh_text_printf(&text,
                 chinese ? "数据 %s，许可证：%s，来源：%s" : "data %s; licence: %s; source: %s",
                 word_of(terms, "title"),
                 licence   ? licence
                 : chinese ? "未声明"
                           : "not stated",
                 source    ? source
                 : chinese ? "未知"
                           : "not known");
  if (warning) zh_text_printf(&text, chinese ? "。注意：%s" : ". Note: %s", warning);
  json_t *out = text.failed ? NULL : json_stringn(zh_text_string(&text), text.length);
  zh_text_free(&text);
  return out;
}

/* That of the same data set under the same terms, or NULL. */
static json_t *find_source(const json_t *list, const json_t *terms) {
  static const char *const same[] = {"dataset", "licence", "source", "use"};
  for (size_t i = 0; i < json_array_size(list); i++) {
    json_t *one = json_array_get(list, i);
    bool equal = true;
    for (size_t k = 0; k < sizeof same / sizeof same[0]; k++)
      equal = equal && json_equal(json_object_get(one, same[k]), json_object_get(terms, same[k]));
    if (equal) return one;
  }
  return NULL;
}

static json_t *new_source(const json_t *terms) {
  return json_pack("{s:o, s:o, s:O, s:O, s:O, s:O, s:[]}", "zh", sentence(terms, "zh"), "en",
                   sentence(terms, "en"), "dataset", json_object_get(terms, "dataset"), "licence",
                   json_object_get(terms, "licence"), "source", json_object_get(terms, "source"),
                   "use", json_object_get(terms, "use"), "tasks");
}

zh_status zh_exam_sources(json_t **out, const zh_exam *exam, zh_error *err) {
  const char *task;
  json_t *all, *terms, *list = json_array();
  bool good = list != NULL;
  *out = NULL;
  zh_status status = zh_exam_terms(&all, exam, err);
  if (status == ZH_OK) {
    json_object_foreach(all, task, terms) {
      json_t *one = find_source(list, terms);
      if (!one) good = good && json_array_append_new(list, one = new_source(terms)) == 0;
      good = good && json_array_append_new(json_object_get(one, "tasks"), json_string(task)) == 0;
    }
    json_decref(all);
    if (!good) status = no_memory(err);
  }
  if (status == ZH_OK)
    *out = list;
  else
    json_decref(list);
  return status;
}
