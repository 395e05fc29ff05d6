#include "bench/parameters.h"

#include <assert.h>
#include <string.h>

enum { LIST_MAX = 256, PARAMETERS_MAX = 32 };

const zh_parameter *zh_parameter_find(const zh_workload *workload, const char *name) {
  for (const zh_parameter *p = workload->parameters; p && p->name; p++)
    if (strcmp(p->name, name) == 0) return p;
  return NULL;
}

static zh_status read_word(json_t **out, const zh_parameter *p, const zh_yaml_node *node,
                           zh_error *err) {
  const char *word = NULL;
  if (p->words) {
    size_t index = 0;
    ZH_TRY(zh_yaml_word(&index, node, p->words, err));
    word = p->words[index];
  } else {
    ZH_TRY(zh_yaml_string(&word, node, err));
  }
  *out = json_string(word);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading '%s'", p->name);
}

static zh_status read_int(json_t **out, const zh_parameter *p, const zh_yaml_node *node,
                          zh_error *err) {
  int64_t value = 0;
  ZH_TRY(zh_yaml_int(&value, node, p->min, p->max, err));
  *out = json_integer(value);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading '%s'", p->name);
}

static bool is_ints(const zh_parameter *p) {
  return p->kind == ZH_PARAMETER_INTS;
}

static zh_status read_list(json_t **out, const zh_parameter *p, const zh_yaml_node *node,
                           zh_error *err) {
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_LIST,
                        is_ints(p) ? "a list of whole numbers, such as [1, 8]"
                                   : "a list of words, such as [a, b]",
                        err));
  size_t count = zh_yaml_count(node);
  if (count == 0 || count > LIST_MAX)
    return zh_yaml_fail(err, node, "'%s' must have 1 to %d items, but it has %zu", p->name,
                        LIST_MAX, count);
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    json_t *item = NULL;
    const zh_yaml_node *at = zh_yaml_item(node, i);
    zh_status status = is_ints(p) ? read_int(&item, p, at, err) : read_word(&item, p, at, err);
    if (status == ZH_OK && json_array_append_new(list, item) != 0)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading '%s'", p->name);
    if (status != ZH_OK) {
      json_decref(list);
      return status;
    }
  }
  *out = list;
  return ZH_OK;
}

zh_status zh_parameter_read(json_t **out, const zh_parameter *parameter, const zh_yaml_node *node,
                            zh_error *err) {
  *out = NULL;
  switch (parameter->kind) {
  case ZH_PARAMETER_INT:
    return read_int(out, parameter, node, err);
  case ZH_PARAMETER_INTS:
  case ZH_PARAMETER_WORDS:
    return read_list(out, parameter, node, err);
  case ZH_PARAMETER_WORD:
  case ZH_PARAMETER_FILE:
    break;
  }
  return read_word(out, parameter, node, err);
}

zh_status zh_parameter_read_text(json_t **out, const zh_parameter *parameter, const char *text,
                                 const char *where, zh_error *err) {
  bool may_be_empty = parameter->kind == ZH_PARAMETER_FILE || parameter->kind == ZH_PARAMETER_WORD;
  if (text[0] == '\0' && may_be_empty && !parameter->words) {
    *out = json_string("");
    return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  zh_yaml_doc *doc = NULL;
  ZH_TRY(zh_yaml_load_text(&doc, text, strlen(text), where, err));
  zh_status status = zh_parameter_read(out, parameter, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  return status;
}

static zh_status expect_known(const zh_workload *workload, const zh_yaml_node *map, zh_error *err) {
  const char *names[PARAMETERS_MAX + 1] = {NULL};
  size_t count = 0;
  for (const zh_parameter *p = workload->parameters; p && p->name; p++) {
    assert(count < PARAMETERS_MAX);
    names[count++] = p->name;
  }
  if (count == 0 && zh_yaml_count(map) > 0)
    return zh_yaml_fail(err, map, "workload '%s' has no parameters", workload->name);
  return zh_yaml_expect_keys(map, names, err);
}

zh_status zh_job_parameters_read(json_t **out, const zh_workload *workload, const zh_yaml_node *map,
                                 zh_error *err) {
  *out = NULL;
  if (map) {
    ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "parameters as 'name: value'", err));
    ZH_TRY(expect_known(workload, map, err));
  }
  json_t *all = json_object();
  zh_status status = all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (const zh_parameter *p = workload->parameters; status == ZH_OK && p && p->name; p++) {
    json_t *value = NULL;
    const zh_yaml_node *given = map ? zh_yaml_get(map, p->name) : NULL;
    status = given ? zh_parameter_read(&value, p, given, err)
                   : zh_parameter_read_text(&value, p, p->fallback, p->name, err);
    if (status == ZH_OK && json_object_set_new(all, p->name, value) != 0)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  }
  if (status != ZH_OK) {
    json_decref(all);
    return status;
  }
  *out = all;
  return ZH_OK;
}

int64_t zh_job_int(const zh_job *job, const char *name) {
  const json_t *value = json_object_get(job->parameters, name);
  assert(json_is_integer(value));
  return json_integer_value(value);
}

size_t zh_job_ints(const zh_job *job, const char *name, int64_t *out, size_t capacity) {
  const json_t *list = json_object_get(job->parameters, name);
  assert(json_is_array(list));
  size_t count = json_array_size(list);
  if (count > capacity) count = capacity;
  for (size_t i = 0; i < count; i++) out[i] = json_integer_value(json_array_get(list, i));
  return count;
}

const char *zh_job_word(const zh_job *job, const char *name) {
  const json_t *value = json_object_get(job->parameters, name);
  assert(json_is_string(value));
  return json_string_value(value);
}
