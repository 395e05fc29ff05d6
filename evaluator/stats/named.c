/* Finds a test by its name; what each is, and where it comes from, stands in methods.yaml. */
#include "evaluator/stats/named.h"

#include <stdio.h>
#include <string.h>

#include "core/files.h"
#include "core/yaml.h"
#include "evaluator/evaluator.h"

static const zh_method *const tables[] = {zh_proportion_methods, zh_mean_methods,
                                          zh_family_methods,     zh_arena_methods,
                                          zh_curve_methods,      zh_exchange_methods};
enum { TABLES = sizeof tables / sizeof *tables, METHODS_MAX = 64 };

static const zh_method *find(const char *name) {
  for (int t = 0; t < TABLES; t++) {
    for (const zh_method *m = tables[t]; m->name != NULL; m++) {
      if (strcmp(m->name, name) == 0) return m;
    }
  }
  return NULL;
}

static zh_status refuse_name(const char *name, zh_error *err) {
  const char *names[METHODS_MAX + 1] = {NULL};
  char guess[ZH_GUESS_BYTES];
  size_t count = 0;
  for (int t = 0; t < TABLES; t++) {
    for (const zh_method *m = tables[t]; m->name != NULL && count < METHODS_MAX; m++)
      names[count++] = m->name;
  }
  return zh_fail(err, ZH_ERR_USAGE, "no test is called '%.40s'%s ('zhiheng stats help' lists them)",
                 name, zh_did_you_mean(guess, name, names));
}

zh_status zh_statistic_known(const char *name, zh_error *err) {
  return find(name) != NULL ? ZH_OK : refuse_name(name, err);
}

zh_status zh_statistic(json_t **out, const char *name, const char *const *words, size_t count,
                       zh_error *err) {
  const zh_method *method = find(name);
  *out = NULL;
  if (method == NULL) return refuse_name(name, err);
  const zh_given given = {.method = name, .words = words, .count = count};
  ZH_TRY(zh_given_check(&given, method->parameters, err));
  return method->run(out, &given, err);
}

static zh_status describe(json_t *list, const zh_yaml_node *node, zh_error *err) {
  static const char *const keys[] = {"name", "zh", "en", "source", NULL};
  const char *words[4];
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a test with name, zh, en and source", err));
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  for (int i = 0; i < 4; i++) {
    const zh_yaml_node *value;
    ZH_TRY(zh_yaml_require(&value, node, keys[i], err));
    ZH_TRY(zh_yaml_string(&words[i], value, err));
  }
  const zh_method *method = find(words[0]);
  if (method == NULL) return zh_yaml_fail(err, node, "no test is called '%s'", words[0]);
  return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", words[0],
                                               "parameters", method->parameters, "zh", words[1],
                                               "en", words[2], "source", words[3])) == 0
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the list of tests");
}

static size_t methods_count(void) {
  size_t count = 0;
  for (int t = 0; t < TABLES; t++) {
    for (const zh_method *m = tables[t]; m->name != NULL; m++) count++;
  }
  return count;
}

zh_status zh_statistics_list(json_t **out, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc = NULL;
  *out = json_array();
  zh_status status = zh_data_path(path, sizeof path, "evaluator/stats/methods.yaml", err);
  if (status == ZH_OK) status = zh_yaml_load_file(&doc, path, err);
  const zh_yaml_node *root = status == ZH_OK ? zh_yaml_root(doc) : NULL;
  if (status == ZH_OK) status = zh_yaml_expect(root, ZH_YAML_LIST, "a list of tests", err);
  for (size_t i = 0; status == ZH_OK && i < zh_yaml_count(root); i++)
    status = describe(*out, zh_yaml_item(root, i), err);
  if (status == ZH_OK && json_array_size(*out) != methods_count())
    status = zh_fail(err, ZH_ERR_INPUT, "%s: %zu tests are described, and there are %zu", path,
                     json_array_size(*out), methods_count());
  zh_yaml_free(doc);
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}
