#include "reports/glossary.h"

#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "core/yaml.h"

static zh_status read_section(json_t *into, const zh_yaml_node *section, const char *language,
                              zh_error *err) {
  static const char *const keys[] = {"zh", "en", NULL};
  ZH_TRY(zh_yaml_expect(section, ZH_YAML_MAP, "a map of words", err));
  for (size_t i = 0; i < zh_yaml_count(section); i++) {
    const zh_yaml_node *entry = zh_yaml_item(section, i), *word = NULL;
    const char *text = NULL;
    ZH_TRY(zh_yaml_expect(entry, ZH_YAML_MAP, "a word in both languages, {zh: …, en: …}", err));
    ZH_TRY(zh_yaml_expect_keys(entry, keys, err));
    for (const char *const *key = keys; *key; key++) {
      ZH_TRY(zh_yaml_require(&word, entry, *key, err));
      ZH_TRY(zh_yaml_string(&text, word, err));
      if (strcmp(*key, language) == 0 &&
          json_object_set_new(into, zh_yaml_key(section, i), json_string(text)) != 0)
        return zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading words");
    }
  }
  return ZH_OK;
}

zh_status zh_glossary_load(json_t **out, const char *language, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc = NULL;
  json_t *words = json_object();
  *out = NULL;
  zh_status status = words ? zh_data_path(path, sizeof path, "reports/templates/glossary.yaml", err)
                           : zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading words");
  if (status != ZH_OK || (status = zh_yaml_load_file(&doc, path, err)) != ZH_OK) goto done;
  const zh_yaml_node *root = zh_yaml_root(doc);
  status = zh_yaml_expect(root, ZH_YAML_MAP, "sections of words", err);
  for (size_t i = 0; status == ZH_OK && i < zh_yaml_count(root); i++) {
    json_t *section = json_object();
    if (json_object_set_new(words, zh_yaml_key(root, i), section) != 0)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory while reading words");
    else
      status = read_section(section, zh_yaml_item(root, i), language, err);
  }
done:
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = words;
  else
    json_decref(words);
  return status;
}

static json_t *fill(const char *pattern, const char *rest) {
  const char *gap = strstr(pattern, "{}");
  zh_text text = {0};
  zh_text_append(&text, pattern, gap ? (size_t)(gap - pattern) : strlen(pattern));
  if (gap) {
    zh_text_puts(&text, rest);
    zh_text_puts(&text, gap + 2);
  }
  json_t *out = text.failed ? NULL : json_string(zh_text_string(&text));
  zh_text_free(&text);
  return out;
}

json_t *zh_glossary_word(const json_t *words, const char *section, const char *key) {
  const json_t *entries = json_object_get(words, section);
  json_t *exact = json_object_get(entries, key);
  if (exact) return json_incref(exact);
  const char *best = NULL, *name;
  size_t best_length = 0;
  json_t *word;
  json_object_foreach((json_t *)(uintptr_t)entries, name, word) {
    size_t length = strlen(name);
    if (length < 2 || name[length - 1] != '*') continue;
    if (strncmp(name, key, length - 1) != 0 || length <= best_length) continue;
    best = json_string_value(word);
    best_length = length;
  }
  return best ? fill(best, key + best_length - 1) : json_string(key);
}
