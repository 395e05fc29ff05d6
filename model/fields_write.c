/* The other way: what a file of a form would state of an architecture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/expression.h"
#include "model/fields.h"

const char *zh_field_constant(const zh_family *family, const char *name, zh_form form) {
  const zh_yaml_node *rule = zh_family_rule(family, "fields", name);
  const char *text = NULL;
  if (rule != NULL && zh_yaml_node_kind(rule) == ZH_YAML_MAP)
    rule = zh_yaml_get(rule, form == ZH_FORM_GGUF ? "gguf_is" : "config_is");
  if (rule == NULL || zh_yaml_string(&text, rule, NULL) != ZH_OK) return NULL;
  return text;
}

/* The first key; in config.json rather one that leads into no object. */
static const char *key_of(const zh_yaml_node *keys, bool gguf) {
  const char *first = NULL, *key;
  bool list = zh_yaml_node_kind(keys) == ZH_YAML_LIST;
  for (size_t i = 0; i < (list ? zh_yaml_count(keys) : 1); i++) {
    if (zh_yaml_string(&key, list ? zh_yaml_item(keys, i) : keys, NULL) != ZH_OK) continue;
    if (first == NULL || (!gguf && strchr(first, '.') != NULL)) first = key;
  }
  return first;
}

/* The first of the file's words for ours; GGUF files rather have a number. */
static const char *word_for(const zh_field *f, const zh_yaml_node *rule, int value, bool gguf) {
  const zh_yaml_node *words = zh_yaml_get(rule, "words");
  const char *ours = f->words[value], *text, *first = NULL;
  if (strcmp(ours, "silu") == 0 || strcmp(ours, "gelu") == 0) return ours;
  for (size_t i = 0; words != NULL && i < zh_yaml_count(words); i++) {
    const char *word = zh_yaml_key(words, i);
    if (zh_yaml_string(&text, zh_yaml_item(words, i), NULL) != ZH_OK || strcmp(text, ours) != 0)
      continue;
    if (gguf && word[0] >= '0' && word[0] <= '9') return word;
    if (first == NULL) first = word;
  }
  return first != NULL ? first : ours;
}

typedef struct writing {
  const zh_described *described;
  const zh_model *model;
} writing;

/* x for which an "as" gives this number: it is linear, or has x below a line or a root. NaN where
 * none does. */
static double undone(const writing *w, const zh_yaml_node *as, double number) {
  const char *text;
  if (as == NULL) return number;
  if (zh_yaml_string(&text, as, NULL) != ZH_OK) return NAN;
  double zero = zh_field_arithmetic(text, w->described, w->model, 0),
         one = zh_field_arithmetic(text, w->described, w->model, 1);
  const double guesses[] = {(number - zero) / (one - zero), one / number,
                            number / one * (number / one), one / number * (one / number)};
  for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
    double x = guesses[i];
    double again = isfinite(x) ? zh_field_arithmetic(text, w->described, w->model, x) : NAN;
    if (!(fabs(again - number) <= 1e-6 * fabs(number))) continue;
    /* As people wrote it, where that is the same number in fp32. */
    again = zh_field_arithmetic(text, w->described, w->model, rint(x));
    return fabs(again - number) <= 1.2e-7 * fabs(number) ? rint(x) : x;
  }
  return NAN;
}

/* What would be understood without being said, where saying it needs arithmetic. */
static bool goes_without_saying(const writing *w, const zh_yaml_node *rule, double number) {
  const char *text;
  const zh_yaml_node *otherwise = zh_yaml_get(rule, "default");
  return otherwise != NULL && zh_yaml_string(&text, otherwise, NULL) == ZH_OK &&
         zh_field_arithmetic(text, w->described, w->model, NAN) == number;
}

/* A key that says several fields is written once. */
static bool is_said_before(const zh_family *family, size_t i, const char *key, bool gguf) {
  for (size_t k = 0; k < i; k++) {
    const zh_yaml_node *rule = zh_family_rule(family, "fields", zh_field_at(k)->name);
    if (rule == NULL || zh_yaml_node_kind(rule) != ZH_YAML_MAP) continue;
    const zh_yaml_node *keys = zh_yaml_get(rule, gguf ? "gguf" : "config");
    const char *other = keys != NULL ? key_of(keys, gguf) : NULL;
    if (other != NULL && strcmp(other, key) == 0) return true;
  }
  return false;
}

/* Other programs take another number for what is not said. */
static bool is_said_as_nought(const zh_field *f) {
  return strcmp(f->name, "dense_first") == 0;
}

/* A word that files state as a number, or as yes or no, is one. */
static void say_word(zh_field_value *value, const char *word) {
  char *end;
  double number = strtod(word, &end);
  bool flag = strcmp(word, "true") == 0 || strcmp(word, "false") == 0;
  value->word = word;
  if (!flag && *end != '\0') return;
  value->kind = flag ? ZH_FIELD_FLAG : ZH_FIELD_COUNT;
  value->number = flag ? word[0] == 't' : number;
}

zh_status zh_fields_write(const zh_described *described, const zh_model *model,
                          const zh_family *family, zh_form form, zh_field_writer write, void *user,
                          zh_error *err) {
  bool gguf = form == ZH_FORM_GGUF;
  const writing w = {described, model};
  const zh_field *f;
  for (size_t i = 0; (f = zh_field_at(i)) != NULL; i++) {
    const zh_yaml_node *rule = zh_family_rule(family, "fields", f->name);
    if (rule == NULL || zh_yaml_node_kind(rule) != ZH_YAML_MAP) continue;
    const zh_yaml_node *keys = zh_yaml_get(rule, gguf ? "gguf" : "config"),
                       *as = zh_yaml_get(rule, gguf ? "gguf_as" : "config_as");
    const char *key = keys != NULL ? key_of(keys, gguf) : NULL;
    double number = zh_field_number(described, f);
    if (key == NULL) continue;
    if (f->kind != ZH_FIELD_FLAG && f->kind != ZH_FIELD_WORD && number == 0 &&
        !is_said_as_nought(f))
      continue;
    if (is_said_before(family, i, key, gguf)) continue;
    if (f->kind == ZH_FIELD_COUNT && number == (double)UINT32_MAX)
      continue; /* a pattern without an end */
    if (as != NULL && goes_without_saying(&w, rule, number)) continue;
    zh_field_value value = {.number = undone(&w, as, number)};
    if (isnan(value.number))
      return zh_fail(err, ZH_ERR_INPUT, "%s: the %s of this model cannot be said as '%s'",
                     model->path, f->name, key);
    bool whole = as == NULL || value.number == rint(value.number);
    value.kind = f->kind == ZH_FIELD_WORD             ? ZH_FIELD_WORD
                 : f->kind == ZH_FIELD_FLAG           ? ZH_FIELD_FLAG
                 : f->kind == ZH_FIELD_COUNT && whole ? ZH_FIELD_COUNT
                                                      : ZH_FIELD_REAL;
    if (f->kind == ZH_FIELD_WORD) say_word(&value, word_for(f, rule, (int)number, gguf));
    write(user, key, &value);
  }
  return ZH_OK;
}
