#include "bench/quality/task_data.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/procedural.h"
#include "bench/quality/rows.h"
#include "core/files.h"
#include "core/text.h"

/* What is being looked for, for messages and paths. */
typedef struct search {
  const zh_task_file *file;
  const json_t *config;
  const char *path, *name, *split; /* dataset_path, dataset_name or NULL */
  const zh_task_options *options;
} search;

static const char *word_of(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

/* Fails at the key of the task file, or at the file where the key is not there. */
static zh_status fail_at_key(const search *s, const char *key, const char *message, zh_error *err) {
  const zh_yaml_node *node = zh_task_file_node(s->file, key);
  if (node) return zh_yaml_fail(err, node, "%s", message);
  return zh_fail(err, ZH_ERR_INPUT, "%s: %s", s->file->path, message);
}

/* As written, from where the program was started, or beside the task file. */
static zh_status find_file(zh_text *out, const search *s, const char *name, zh_error *err) {
  zh_text_puts(out, name);
  if (!out->failed && zh_is_file(out->data)) return ZH_OK;
  const char *slash = strrchr(s->file->path, '/');
  out->length = 0;
  if (name[0] != '/' && slash)
    zh_text_append(out, s->file->path, (size_t)(slash - s->file->path) + 1);
  zh_text_puts(out, name);
  if (out->failed) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", name);
  if (zh_is_file(out->data)) return ZH_OK;
  char message[512];
  snprintf(message, sizeof message,
           "there is no file '%.200s', neither here nor beside the task file", name);
  return fail_at_key(s, "dataset_kwargs", message, err);
}

static zh_status read_named(json_t *rows, json_t *files, const search *s, const char *name,
                            const zh_rows_format *format, zh_error *err) {
  zh_text path = {0};
  zh_status status = find_file(&path, s, name, err);
  if (status == ZH_OK) status = zh_rows_read(rows, files, path.data, format, err);
  zh_text_free(&path);
  return status;
}

/* A name, or a list of names. */
static zh_status read_all(json_t *rows, json_t *files, const search *s, const json_t *names,
                          const zh_rows_format *format, zh_error *err) {
  if (json_is_string(names))
    return read_named(rows, files, s, json_string_value(names), format, err);
  for (size_t i = 0; i < json_array_size(names); i++) {
    const char *name = json_string_value(json_array_get(names, i));
    if (!name) return fail_at_key(s, "dataset_kwargs", "data_files must be names of files", err);
    ZH_TRY(read_named(rows, files, s, name, format, err));
  }
  return ZH_OK;
}

/* dataset_path is a format, dataset_kwargs says which files. */
static zh_status read_files(json_t *rows, json_t *files, const search *s, zh_rows_format format,
                            zh_error *err) {
  const json_t *kwargs = json_object_get(s->config, "dataset_kwargs"),
               *names = json_object_get(kwargs, "data_files");
  const char *separator =
      word_of(kwargs, "sep") ? word_of(kwargs, "sep") : word_of(kwargs, "delimiter");
  if (separator && strlen(separator) == 1) format.separator = separator[0];
  format.field = word_of(kwargs, "field");
  if (json_is_object(names)) {
    names = json_object_get(names, s->split);
  } else if (strcmp(s->split, "train") != 0) {
    names = NULL; /* without splits all is "train" */
  }
  if (names) return read_all(rows, files, s, names, &format, err);
  char message[256];
  snprintf(message, sizeof message, "data_files names no files for the split '%.80s'", s->split);
  return fail_at_key(s, "dataset_kwargs", message, err);
}

/* The places where a data set's split is looked for, p being dataset_path, n dataset_name, s split.
 * Those without a name come last. */
static const char *const places[] = {"p/n/s", "p/s/n", "p/s/n_s", "p/n_s", "p/s"};
enum { PLACES = sizeof places / sizeof places[0], SHARDS_MAX = 200 };

static bool is_at(zh_text *out, const search *s, const char *place, const char *end) {
  out->length = 0;
  zh_text_printf(out, "%s/", s->options->data);
  for (const char *c = place; *c; c++) {
    if (*c == 'p' || *c == 'n' || *c == 's')
      zh_text_puts(out, *c == 'p' ? s->path : *c == 'n' ? s->name : s->split);
    else
      zh_text_append(out, c, 1);
  }
  zh_text_puts(out, end);
  return !out->failed && zh_is_file(out->data);
}

static size_t first_place(const search *s) {
  return s->name ? 0 : PLACES - 1;
}

static bool find_published(zh_text *out, const search *s) {
  static const char *const ends[] = {".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet"};
  for (size_t i = first_place(s); i < PLACES; i++)
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++)
      if (is_at(out, s, places[i], ends[e])) return true;
  return false;
}

/* As hubs cut tables: test-00000-of-00002.parquet and its likes. *parts 0: there are none. */
static const char *find_parts(zh_text *out, const search *s, int *parts) {
  char end[48];
  for (size_t i = first_place(s); i < PLACES; i++) {
    for (*parts = 1; *parts <= SHARDS_MAX; ++*parts) {
      snprintf(end, sizeof end, "-00000-of-%05d.parquet", *parts);
      if (is_at(out, s, places[i], end)) return places[i];
    }
  }
  *parts = 0;
  return NULL;
}

static zh_status read_parts(json_t *rows, json_t *files, zh_text *path, const search *s,
                            const char *place, int parts, zh_error *err) {
  char end[48];
  for (int part = 0; part < parts; part++) {
    snprintf(end, sizeof end, "-%05d-of-%05d.parquet", part, parts);
    if (!is_at(path, s, place, end))
      return zh_fail(err, ZH_ERR_INPUT, "%s: this part of the split is missing",
                     zh_text_string(path));
    zh_rows_format format = zh_rows_format_of(path->data);
    ZH_TRY(zh_rows_read(rows, files, path->data, &format, err));
  }
  return ZH_OK;
}

static zh_status read_published(json_t *rows, json_t *files, const search *s, zh_error *err) {
  zh_text path = {0};
  zh_status status;
  char message[512];
  const char *place;
  int parts = 0;
  if (strstr(s->path, "..") || (s->name && strstr(s->name, "..")) || strstr(s->split, ".."))
    return fail_at_key(s, "dataset_path", "'..' has no place in the name of a data set", err);
  if (!s->options->data) {
    snprintf(message, sizeof message,
             "the data set '%.120s' is on a hub, and nothing is fetched here: name a folder that "
             "has it with --data DIR, as DIR/%.120s/%s%s%.60s.jsonl (or .json, .csv, .tsv, "
             ".parquet)",
             s->path, s->path, s->name ? s->name : "", s->name ? "/" : "", s->split);
    status = fail_at_key(s, "dataset_path", message, err);
  } else if (find_published(&path, s)) {
    zh_rows_format format = zh_rows_format_of(path.data);
    status = zh_rows_read(rows, files, path.data, &format, err);
  } else if ((place = find_parts(&path, s, &parts)) != NULL) {
    status = read_parts(rows, files, &path, s, place, parts, err);
  } else {
    snprintf(message, sizeof message, "%.120s has nothing of '%.120s'%s%.60s, split '%.60s'",
             s->options->data, s->path, s->name ? ", " : "", s->name ? s->name : "", s->split);
    status = fail_at_key(s, "dataset_path", message, err);
  }
  zh_text_free(&path);
  return status;
}

static zh_status read_split(json_t *rows, json_t *files, const search *s, zh_error *err) {
  static const struct {
    const char *word;
    zh_rows_format format;
  } formats[] = {{"json", {ZH_ROWS_JSON, 0, NULL}},
                 {"csv", {ZH_ROWS_CSV, ',', NULL}},
                 {"parquet", {ZH_ROWS_PARQUET, 0, NULL}},
                 {"text", {ZH_ROWS_TEXT, 0, NULL}}};
  if (strcmp(s->path, ZH_PROCEDURAL_PATH) == 0)
    return zh_procedural_rows(rows, files, s->file, s->config, s->split, s->options, err);
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
    if (strcmp(s->path, formats[i].word) == 0)
      return read_files(rows, files, s, formats[i].format, err);
  return read_published(rows, files, s, err);
}

zh_status zh_task_split(json_t **out, json_t *files, const zh_task_file *file, const json_t *config,
                        const char *split, const zh_task_options *options, zh_error *err) {
  search s = {.file = file,
              .config = config,
              .path = word_of(config, "dataset_path"),
              .name = word_of(config, "dataset_name"),
              .split = split,
              .options = options};
  *out = NULL;
  if (!s.path) return fail_at_key(&s, "dataset_path", "the task names no dataset_path", err);
  json_t *rows = json_array();
  zh_status status = rows ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", file->path);
  if (status == ZH_OK) status = read_split(rows, files, &s, err);
  if (status == ZH_OK) status = zh_rows_unify(rows, err);
  if (status == ZH_OK && json_array_size(rows) == 0)
    status = zh_fail(err, ZH_ERR_INPUT, "%s: the split '%s' has no items", file->path, split);
  if (status != ZH_OK) {
    json_decref(rows);
    return status;
  }
  *out = rows;
  return ZH_OK;
}
