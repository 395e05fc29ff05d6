/* A task file and what it includes. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/quality.h"
#include "core/files.h"
#include "core/text.h"

static zh_status no_memory(const char *path, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path);
}

/* "folder of beside/name"; the caller frees. */
static char *beside(const char *path, const char *name) {
  zh_text out = {0};
  const char *slash = strrchr(path, '/');
  if (name[0] != '/' && slash) zh_text_append(&out, path, (size_t)(slash - path) + 1);
  zh_text_puts(&out, name);
  if (!out.failed) return out.data;
  zh_text_free(&out);
  return NULL;
}

/* Keys that are not there yet. */
static zh_status add_missing(json_t *config, const json_t *from, const char *path, zh_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)from, key, value) {
    if (strcmp(key, "include") == 0 || json_object_get(config, key)) continue;
    if (json_object_set(config, key, value) != 0) return no_memory(path, err);
  }
  return ZH_OK;
}

static zh_status load_one(zh_task_file *file, const char *path, int depth, zh_error *err);

static zh_status load_included(zh_task_file *file, const zh_yaml_node *name, const char *path,
                               int depth, zh_error *err) {
  const char *word;
  ZH_TRY(zh_yaml_string(&word, name, err));
  if (depth == ZH_INCLUDES)
    return zh_yaml_fail(err, name, "files include each other more than %d deep", ZH_INCLUDES);
  char *other = beside(path, word);
  if (!other) return no_memory(path, err);
  zh_status status = zh_is_file(other) ? load_one(file, other, depth + 1, err)
                                       : zh_yaml_fail(err, name, "there is no file '%s'", other);
  free(other);
  return status;
}

static zh_status load_one(zh_task_file *file, const char *path, int depth, zh_error *err) {
  json_t *own = NULL;
  zh_yaml_doc *doc;
  ZH_TRY(zh_yaml_load_foreign(&doc, path, err));
  if (file->doc_count == ZH_INCLUDES) {
    zh_yaml_free(doc);
    return zh_fail(err, ZH_ERR_INPUT, "%s: more than %d files are included", path, ZH_INCLUDES);
  }
  file->docs[file->doc_count++] = doc;
  const zh_yaml_node *root = zh_yaml_root(doc);
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a map", err));
  ZH_TRY(zh_yaml_to_json(&own, root, err));
  zh_status status = add_missing(file->config, own, path, err);
  json_decref(own);
  const zh_yaml_node *include = zh_yaml_get(root, "include");
  if (status != ZH_OK || !include) return status;
  if (zh_yaml_node_kind(include) == ZH_YAML_SCALAR)
    return load_included(file, include, path, depth, err);
  for (size_t i = 0; status == ZH_OK && i < zh_yaml_count(include); i++)
    status = load_included(file, zh_yaml_item(include, i), path, depth, err);
  return status;
}

zh_status zh_task_file_load(zh_task_file *out, const char *path, zh_error *err) {
  *out = (zh_task_file){.path = strdup(path), .config = json_object()};
  zh_status status = out->path && out->config ? load_one(out, path, 1, err) : no_memory(path, err);
  if (status != ZH_OK) zh_task_file_close(out);
  return status;
}

void zh_task_file_close(zh_task_file *file) {
  for (size_t i = 0; i < file->doc_count; i++) zh_yaml_free(file->docs[i]);
  json_decref(file->config);
  free(file->path);
  *file = (zh_task_file){0};
}

const zh_yaml_node *zh_task_file_node(const zh_task_file *file, const char *key) {
  for (size_t i = 0; i < file->doc_count; i++) {
    const zh_yaml_node *node = zh_yaml_get(zh_yaml_root(file->docs[i]), key);
    if (node) return node;
  }
  return NULL;
}
