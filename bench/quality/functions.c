#include "bench/quality/functions.h"

#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/text.h"

#define OWN "zhiheng."
#define TAG "!function "

static const zh_function_family *const families[] = {
    &zh_functions_ifeval,     &zh_functions_wikitext,   &zh_functions_mmlu_pro,
    &zh_functions_bbh,        &zh_functions_truthfulqa, &zh_functions_hellaswag,
    &zh_functions_winogrande, &zh_functions_drop,       &zh_functions_hendrycks_math,
    &zh_functions_humaneval,  &zh_functions_mbpp,       NULL};

/* Where a function stands in a file, and what it says. */
typedef struct naming {
  const zh_yaml_node *node;
  const char *word;             /* "utils.process_docs" */
  const char *name;             /* "process_docs" */
  char module[128], path[4096]; /* "utils", "…/utils.py" */
  const json_t *config;
} naming;

const char *zh_function_word(const json_t *value) {
  const char *text = json_string_value(value);
  return text && strncmp(text, TAG, strlen(TAG)) == 0 ? text + strlen(TAG) : NULL;
}

/* ---- which module ---- */

static bool is_among(const char *const *words, const char *word) {
  for (; *words; words++)
    if (strcmp(*words, word) == 0) return true;
  return false;
}

static const zh_function_family *family_named(const char *name) {
  for (size_t i = 0; families[i]; i++)
    if (strcmp(families[i]->name, name) == 0) return families[i];
  return NULL;
}

static const zh_function *function_of(const zh_function_family *family, const char *name) {
  for (size_t i = 0; i < family->count; i++)
    if (strcmp(family->functions[i].name, name) == 0) return &family->functions[i];
  return NULL;
}

const zh_function *zh_function_named(const char *family, const char *name) {
  const zh_function_family *found = family_named(family);
  return found ? function_of(found, name) : NULL;
}

static zh_status family_of_file(const zh_function_family **out, const naming *n, zh_error *err) {
  char digest[ZH_DIGEST_HEX];
  ZH_TRY(zh_digest_file(digest, ZH_SHA256, n->path, err));
  for (size_t i = 0; families[i]; i++) {
    *out = families[i];
    if (strcmp((*out)->module, n->module) == 0 && is_among((*out)->digests, digest)) return ZH_OK;
  }
  return zh_yaml_fail(
      err, n->node,
      "'%.80s' is a function of %.160s, which is none of the modules in Python that "
      "are known here (its SHA-256 is %.16s…); a task without Python can be run",
      n->word, n->path, digest);
}

static zh_status family_of_data(const zh_function_family **out, const naming *n, zh_error *err) {
  const char *data = json_string_value(json_object_get(n->config, "dataset_path"));
  for (size_t i = 0; data && families[i]; i++) {
    *out = families[i];
    if (strcmp((*out)->module, n->module) == 0 && is_among((*out)->datasets, data)) return ZH_OK;
  }
  return zh_yaml_fail(
      err, n->node,
      "'%.80s' is a function in Python, and nothing of that name is written here for "
      "the data set '%.80s'; a task without Python can be run",
      n->word, data ? data : "");
}

static zh_status find_family(const zh_function_family **out, const naming *n, zh_error *err) {
  *out = NULL;
  if (strncmp(n->module, OWN, strlen(OWN)) == 0) {
    *out = family_named(n->module + strlen(OWN));
    return *out ? ZH_OK
                : zh_yaml_fail(err, n->node, "no family of functions is called '%.80s' here",
                               n->module + strlen(OWN));
  }
  return zh_is_file(n->path) ? family_of_file(out, n, err) : family_of_data(out, n, err);
}

/* "folder of the file/a/b.py" of the module "a.b" */
static zh_status read_name(naming *out, const zh_yaml_node *node, const char *word,
                           const json_t *config, zh_error *err) {
  const char *dot = strrchr(word, '.'), *file = zh_yaml_path(node), *slash = strrchr(file, '/');
  if (!dot || dot == word || !dot[1] || (size_t)(dot - word) >= sizeof out->module)
    return zh_yaml_fail(err, node, "'%.80s' names no function; MODULE.NAME was expected", word);
  *out = (naming){.node = node, .word = word, .name = dot + 1, .config = config};
  memcpy(out->module, word, (size_t)(dot - word));
  int length = snprintf(out->path, sizeof out->path, "%.*s%s.py",
                        slash ? (int)(slash - file) + 1 : 0, file, out->module);
  if (length < 0 || (size_t)length >= sizeof out->path)
    return zh_yaml_fail(err, node, "the path of '%.80s' is too long", word);
  for (char *c = out->path + (slash ? slash - file + 1 : 0); c < out->path + length - 3; c++)
    if (*c == '.') *c = '/';
  return ZH_OK;
}

/* ---- which function ---- */

static const zh_yaml_node *find_node(const zh_yaml_node *node, const char *word) {
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) {
    const char *own = zh_yaml_function(node);
    return own && strcmp(own, word) == 0 ? node : NULL;
  }
  for (size_t i = 0; i < zh_yaml_count(node); i++) {
    const zh_yaml_node *found = find_node(zh_yaml_item(node, i), word);
    if (found) return found;
  }
  return NULL;
}

static zh_status find_in(const zh_function **out, const naming *n, zh_function_kind kind,
                         zh_error *err) {
  static const char *const kinds[] = {
      [ZH_FUNCTION_DOCS] = "makes items",      [ZH_FUNCTION_FIELD] = "makes a text",
      [ZH_FUNCTION_RESULTS] = "scores items",  [ZH_FUNCTION_METRIC] = "is a metric",
      [ZH_FUNCTION_FILTER] = "is a filter",    [ZH_FUNCTION_AGGREGATION] = "is an aggregation",
      [ZH_FUNCTION_SAMPLES] = "makes examples"};
  const zh_function_family *family;
  ZH_TRY(find_family(&family, n, err));
  *out = function_of(family, n->name);
  if (*out && (*out)->kind == kind) return ZH_OK;
  if (*out)
    return zh_yaml_fail(err, n->node, "'%.80s' %s; it stands where a function that %s is expected",
                        n->word, kinds[(*out)->kind], kinds[kind]);
  return zh_yaml_fail(err, n->node,
                      "'%.80s' is a function in Python, and of %s nothing of that name is written "
                      "here; a task without Python can be run",
                      n->word, family->name);
}

/* A word may stand in several files that include each other: it must mean the same in all. */
zh_status zh_function_find(const zh_function **out, const zh_task_file *file, const json_t *config,
                           const char *word, zh_function_kind kind, zh_error *err) {
  const zh_function *found = NULL;
  *out = NULL;
  for (size_t i = 0; i < file->doc_count; i++) {
    const zh_yaml_node *node = find_node(zh_yaml_root(file->docs[i]), word);
    naming name;
    if (!node) continue;
    ZH_TRY(read_name(&name, node, word, config, err));
    ZH_TRY(find_in(&found, &name, kind, err));
    if (*out && *out != found)
      return zh_yaml_fail(err, node, "'%.80s' means another function here than in %.160s", word,
                          zh_yaml_path(zh_yaml_root(file->docs[0])));
    *out = found;
  }
  if (*out) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: the function '%.80s' is no tag of this file, nor of one that it includes",
                 file->path, word);
}

char *zh_function_told(const zh_function *function) {
  zh_text out = {0};
  for (size_t i = 0; families[i]; i++) {
    const zh_function_family *f = families[i];
    if (function < f->functions || function >= f->functions + f->count) continue;
    zh_text_printf(&out, "%s.%s (%s)", f->name, function->name, f->source);
  }
  if (!out.failed && out.data) return out.data;
  zh_text_free(&out);
  return NULL;
}

/* ---- what families share ---- */

zh_status zh_function_map_rows(json_t **out, const json_t *rows,
                               zh_status (*change)(json_t *row, zh_error *err), zh_error *err) {
  *out = json_array();
  zh_status status = *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
  for (size_t i = 0; status == ZH_OK && i < json_array_size(rows); i++) {
    json_t *row = json_copy(json_array_get(rows, i));
    if (!row || json_array_append_new(*out, row) != 0)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
    if (status == ZH_OK) status = change(row, err);
    if (status != ZH_OK) zh_error_prefix(err, "item %zu", i);
  }
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

zh_status zh_function_text(const char **out, const json_t *doc, const char *key, zh_error *err) {
  *out = json_string_value(json_object_get(doc, key));
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_INPUT, "the item has no text '%.60s'", key);
}
