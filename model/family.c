/* Reads model/families/ once, strictly, and finds the family of a file. */
#include "model/family.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

enum { FAMILIES_MAX = 64, LIKE_MAX = 4 };

/* Kept for the life of the process. */
static struct {
  pthread_mutex_t lock;
  bool loaded;
  size_t count;
  zh_family family[FAMILIES_MAX];
  zh_yaml_doc *doc[FAMILIES_MAX];
} catalogue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const zh_family *named(const char *name) {
  for (size_t i = 0; i < catalogue.count; i++)
    if (strcmp(catalogue.family[i].name, name) == 0) return &catalogue.family[i];
  return NULL;
}

static zh_status check_texts(const zh_yaml_node *list, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of names", err));
  for (size_t i = 0; i < zh_yaml_count(list); i++)
    ZH_TRY(zh_yaml_string(&text, zh_yaml_item(list, i), err));
  return ZH_OK;
}

static zh_status check_text(const zh_yaml_node *node, zh_error *err) {
  const char *text;
  return zh_yaml_string(&text, node, err);
}

static zh_status check_fields(const zh_yaml_node *map, zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "fields", err));
  for (size_t i = 0; i < zh_yaml_count(map); i++)
    ZH_TRY(zh_field_check(zh_yaml_item(map, i), zh_yaml_key(map, i), err));
  return ZH_OK;
}

static zh_status check_refused(const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"config", "gguf", NULL};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "what is refused", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  for (size_t i = 0; i < zh_yaml_count(map); i++) ZH_TRY(check_texts(zh_yaml_item(map, i), err));
  return ZH_OK;
}

/* Words that a key may have, in files of each form. */
static zh_status check_only(const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"config", "gguf", NULL};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "what is stated in one way alone", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  for (size_t i = 0; i < zh_yaml_count(map); i++) {
    const zh_yaml_node *form = zh_yaml_item(map, i);
    ZH_TRY(zh_yaml_expect(form, ZH_YAML_MAP, "keys and their words", err));
    for (size_t k = 0; k < zh_yaml_count(form); k++)
      ZH_TRY(check_texts(zh_yaml_item(form, k), err));
  }
  return ZH_OK;
}

/* The beginning of a name, or one and what must stand behind it in another. */
static zh_status check_beginning(const zh_yaml_node *item, zh_error *err) {
  static const char *const keys[] = {"begin", "with", NULL};
  const zh_yaml_node *node;
  const char *text;
  if (zh_yaml_node_kind(item) != ZH_YAML_MAP) return zh_yaml_string(&text, item, err);
  ZH_TRY(zh_yaml_expect_keys(item, keys, err));
  for (size_t i = 0; keys[i] != NULL; i++) {
    ZH_TRY(zh_yaml_require(&node, item, keys[i], err));
    ZH_TRY(zh_yaml_string(&text, node, err));
  }
  return ZH_OK;
}

static zh_status check_ignored(const zh_yaml_node *list, zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of names", err));
  for (size_t i = 0; i < zh_yaml_count(list); i++)
    ZH_TRY(check_beginning(zh_yaml_item(list, i), err));
  return ZH_OK;
}

static zh_status read_family(zh_family *out, const zh_yaml_node *root, zh_error *err) {
  static const char *const keys[] = {"family",         "summary",      "like",    "config",
                                     "gguf",           "fields",       "refused", "only",
                                     "config_tensors", "gguf_tensors", "ignored", "config_prefixes",
                                     "gguf_when",      "class",        NULL};
  static const struct {
    const char *key;
    zh_status (*check)(const zh_yaml_node *, zh_error *);
  } parts[] = {{"config", check_texts},
               {"gguf", check_texts},
               {"fields", check_fields},
               {"refused", check_refused},
               {"only", check_only},
               {"config_tensors", zh_tensors_check},
               {"gguf_tensors", zh_tensors_check},
               {"ignored", check_ignored},
               {"config_prefixes", check_texts},
               {"gguf_when", zh_arithmetic_check},
               {"class", check_text}};
  const zh_yaml_node *node;
  const char *text;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a family", err));
  ZH_TRY(zh_yaml_expect_keys(root, keys, err));
  ZH_TRY(zh_yaml_require(&node, root, "family", err));
  ZH_TRY(zh_yaml_string(&out->name, node, err));
  ZH_TRY(zh_yaml_require(&node, root, "summary", err));
  ZH_TRY(zh_yaml_string(&text, node, err));
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    node = zh_yaml_get(root, parts[i].key);
    if (node != NULL) ZH_TRY(parts[i].check(node, err));
  }
  out->root = root;
  if (named(out->name) != NULL)
    return zh_yaml_fail(err, root, "another file describes '%s' too", out->name);
  return ZH_OK;
}

static zh_status read_files(const zh_file_list *files, const char *folder, zh_error *err) {
  for (size_t i = 0; i < files->count; i++) {
    char path[8192];
    if (!zh_ends_in(files->paths[i], ".yaml")) continue;
    if (catalogue.count == FAMILIES_MAX)
      return zh_fail(err, ZH_ERR_INPUT, "%s holds more than %d families", folder, FAMILIES_MAX);
    snprintf(path, sizeof path, "%s/%s", folder, files->paths[i]);
    zh_yaml_doc **doc = &catalogue.doc[catalogue.count];
    ZH_TRY(zh_yaml_load_file(doc, path, err));
    zh_family *family = &catalogue.family[catalogue.count];
    *family = (zh_family){0};
    ZH_TRY(read_family(family, zh_yaml_root(*doc), err));
    catalogue.count++;
  }
  return ZH_OK;
}

static zh_status resolve(zh_family *family, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(family->root, "like");
  const char *name;
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_string(&name, node, err));
  family->like = named(name);
  if (family->like == NULL) return zh_yaml_fail(err, node, "no family is called '%s'", name);
  return ZH_OK;
}

static zh_status resolve_all(zh_error *err) {
  for (size_t i = 0; i < catalogue.count; i++) ZH_TRY(resolve(&catalogue.family[i], err));
  for (size_t i = 0; i < catalogue.count; i++) {
    const zh_family *family = &catalogue.family[i];
    for (int depth = 0; family != NULL; family = family->like)
      if (++depth > LIKE_MAX)
        return zh_yaml_fail(err, catalogue.family[i].root,
                            "'like' leads through more than %d files", LIKE_MAX);
  }
  return ZH_OK;
}

static zh_status load(zh_error *err) {
  char folder[4096];
  zh_file_list files = {0};
  ZH_TRY(zh_data_path(folder, sizeof folder, "model/families", err));
  ZH_TRY(zh_list_files(&files, folder, err));
  zh_status status = read_files(&files, folder, err);
  zh_file_list_free(&files);
  if (status == ZH_OK) status = resolve_all(err);
  if (status == ZH_OK) return ZH_OK;
  for (size_t i = 0; i < FAMILIES_MAX; i++) {
    zh_yaml_free(catalogue.doc[i]);
    catalogue.doc[i] = NULL;
  }
  catalogue.count = 0;
  return status;
}

static zh_status load_once(zh_error *err) {
  zh_status status = ZH_OK;
  pthread_mutex_lock(&catalogue.lock);
  if (!catalogue.loaded) status = load(err);
  catalogue.loaded = status == ZH_OK;
  pthread_mutex_unlock(&catalogue.lock);
  return status;
}

static bool answers_to(const zh_family *family, const char *word, zh_form form) {
  const zh_yaml_node *list = zh_yaml_get(family->root, form == ZH_FORM_CONFIG ? "config" : "gguf");
  const char *name;
  for (size_t i = 0; list != NULL && i < zh_yaml_count(list); i++)
    if (zh_yaml_string(&name, zh_yaml_item(list, i), NULL) == ZH_OK && strcmp(name, word) == 0)
      return true;
  return false;
}

zh_status zh_family_find(const zh_family **out, const char *word, zh_form form, zh_error *err) {
  *out = NULL;
  ZH_TRY(load_once(err));
  for (size_t i = 0; i < catalogue.count && *out == NULL; i++)
    if (answers_to(&catalogue.family[i], word, form)) *out = &catalogue.family[i];
  return ZH_OK;
}

zh_status zh_family_named(const zh_family **out, const char *name, zh_error *err) {
  ZH_TRY(load_once(err));
  *out = named(name);
  return *out != NULL
             ? ZH_OK
             : zh_fail(err, ZH_ERR_INPUT, "no file in model/families describes '%s'", name);
}

zh_status zh_family_told_apart(const zh_family **out, const zh_family *family,
                               const zh_described *described, zh_error *err) {
  const char *when;
  *out = family;
  ZH_TRY(load_once(err));
  for (size_t i = 0; i < catalogue.count; i++) {
    const zh_family *other = &catalogue.family[i];
    const zh_yaml_node *node = zh_yaml_get(other->root, "gguf_when");
    if (other->like != family || node == NULL) continue;
    ZH_TRY(zh_yaml_string(&when, node, err));
    double holds = zh_described_value(described, when);
    if (holds > 0 || holds < 0) *out = other; /* not 0, not NaN */
  }
  return ZH_OK;
}

zh_status zh_family_names(zh_text *out, zh_error *err) {
  ZH_TRY(load_once(err));
  for (size_t i = 0; i < catalogue.count; i++)
    zh_text_printf(out, "%s%s", i == 0 ? "" : ", ", catalogue.family[i].name);
  return ZH_OK;
}

const zh_yaml_node *zh_family_rule(const zh_family *family, const char *section, const char *key) {
  for (; family != NULL; family = family->like) {
    const zh_yaml_node *map = zh_yaml_get(family->root, section);
    const zh_yaml_node *rule = map != NULL ? zh_yaml_get(map, key) : NULL;
    if (rule != NULL) return rule;
  }
  return NULL;
}

bool zh_family_overrides(const zh_family *family, const zh_family *of, const char *section,
                         const char *key) {
  for (; family != of; family = family->like) {
    const zh_yaml_node *map = zh_yaml_get(family->root, section);
    if (map != NULL && zh_yaml_get(map, key) != NULL) return true;
  }
  return false;
}
