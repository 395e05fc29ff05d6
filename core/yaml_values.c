/* What a value must be, and what to say when it is not. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "core/yaml.h"
#include "core/yaml_tree.h"

static const char *const kind_names[] = {"a single value", "a list", "a map of 'key: value' lines"};

static const char *found(const zh_yaml_node *node) {
  if (node->kind != ZH_YAML_SCALAR) return kind_names[node->kind];
  return node->length == 0 && node->plain ? "nothing" : kind_names[ZH_YAML_SCALAR];
}

zh_status zh_yaml_expect(const zh_yaml_node *node, zh_yaml_kind kind, const char *what,
                         zh_error *err) {
  static const char *const plain[] = {"a single value", "a list", "a map"};
  if (node->kind == kind) return ZH_OK;
  if (strncmp(what, plain[kind], strlen(plain[kind])) == 0) /* "a list of words" says it already */
    return zh_yaml_fail(err, node, "expected %s, found %s", what, found(node));
  return zh_yaml_fail(err, node, "expected %s (%s), found %s", what, kind_names[kind], found(node));
}

/* "a, b or c" */
static void write_choices(zh_text *out, const char *const *words) {
  for (size_t i = 0; words[i] != NULL; i++) {
    const char *gap = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
    zh_text_printf(out, "%s%s", gap, words[i]);
  }
}

/* "message; did you mean 'x'?" or, where nothing is near, "message; expected a, b or c". */
static zh_status fail_with_choices(const zh_yaml_node *node, const char *message, const char *word,
                                   const char *const *words, zh_error *err) {
  zh_text choices = {0};
  const char *near = zh_nearest_word(word, words);
  if (near != NULL) {
    zh_text_printf(&choices, "did you mean '%s'?", near);
  } else {
    zh_text_puts(&choices, "expected ");
    write_choices(&choices, words);
  }
  zh_status status =
      zh_yaml_fail(err, node, "%s '%.80s'; %s", message, word, zh_text_string(&choices));
  zh_text_free(&choices);
  return status;
}

static bool is_among(const char *word, const char *const *words, size_t *index) {
  for (size_t i = 0; words[i] != NULL; i++) {
    if (strcmp(word, words[i]) != 0) continue;
    *index = i;
    return true;
  }
  return false;
}

/* "{en: enterprises, universities}": what stands after the comma is a key without a value. */
static bool is_cut_off(const zh_yaml_node *key, const zh_yaml_node *value) {
  bool nothing = value->kind == ZH_YAML_SCALAR && value->length == 0 && value->plain;
  return nothing && value->where.line == key->where.end_line &&
         value->where.column == key->where.end_column;
}

zh_status zh_yaml_expect_keys(const zh_yaml_node *map, const char *const *keys, zh_error *err) {
  size_t index;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a map", err));
  for (size_t i = 0; i < map->count; i++)
    if (!is_among(map->keys[i]->text, keys, &index) && is_cut_off(map->keys[i], map->items[i]))
      return zh_yaml_fail(
          err, map->keys[i],
          "'%.80s' has no value; a ',' inside { } begins a new entry, so text with a "
          "comma needs quotes",
          map->keys[i]->text);
    else if (!is_among(map->keys[i]->text, keys, &index))
      return fail_with_choices(map->keys[i], "unknown key", map->keys[i]->text, keys, err);
  return ZH_OK;
}

zh_status zh_yaml_require(const zh_yaml_node **out, const zh_yaml_node *map, const char *key,
                          zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a map", err));
  *out = zh_yaml_get(map, key);
  return *out != NULL ? ZH_OK : zh_yaml_fail(err, map, "the key '%s' is missing here", key);
}

static zh_status expect_scalar(const zh_yaml_node *node, const char *what, zh_error *err) {
  if (node->kind == ZH_YAML_SCALAR && (node->length > 0 || !node->plain)) return ZH_OK;
  return zh_yaml_fail(err, node, "expected %s, found %s", what, found(node));
}

static zh_status expect_plain(const zh_yaml_node *node, const char *what, zh_error *err) {
  ZH_TRY(expect_scalar(node, what, err));
  if (node->plain) return ZH_OK;
  return zh_yaml_fail(err, node, "expected %s, found text in quotes; remove the quotes", what);
}

zh_status zh_yaml_string(const char **out, const zh_yaml_node *node, zh_error *err) {
  ZH_TRY(expect_scalar(node, "text", err));
  if (node->length == 0)
    return zh_yaml_fail(err, node, "expected text, found nothing between the quotes");
  *out = node->text;
  return ZH_OK;
}

zh_status zh_yaml_int(int64_t *out, const zh_yaml_node *node, int64_t min, int64_t max,
                      zh_error *err) {
  ZH_TRY(expect_plain(node, "a whole number", err));
  const char *digits = node->text + (node->text[0] == '-');
  if (digits[0] == 0 || strspn(digits, "0123456789") != strlen(digits))
    return zh_yaml_fail(err, node, "expected a whole number, found '%.80s'", node->text);
  errno = 0;
  long long value = strtoll(node->text, NULL, 10);
  if (errno == ERANGE || value < min || value > max)
    return zh_yaml_fail(err, node, "expected a whole number from %lld to %lld, found %.80s",
                        (long long)min, (long long)max, node->text);
  *out = value;
  return ZH_OK;
}

/* The number at the start of text; decimal only: strtod alone would take "inf", "nan" and "0x1p3".
 */
static bool leading_number(double *out, const char **rest, const char *text) {
  size_t length = strspn(text, "+-0123456789.eE");
  char *end;
  if (length == 0 || length > 64 || strcspn(text, "0123456789") >= length) return false;
  double value = strtod(text, &end);
  if (end == text || (size_t)(end - text) > length || !isfinite(value)) return false;
  *out = value;
  *rest = end;
  return true;
}

zh_status zh_yaml_real(double *out, const zh_yaml_node *node, double min, double max,
                       zh_error *err) {
  const char *rest;
  double value;
  ZH_TRY(expect_plain(node, "a number", err));
  if (!leading_number(&value, &rest, node->text) || *rest != 0)
    return zh_yaml_fail(err, node, "expected a number, found '%.80s'", node->text);
  if (value < min || value > max)
    return zh_yaml_fail(err, node, "expected a number from %.15g to %.15g, found %.80s", min, max,
                        node->text);
  *out = value;
  return ZH_OK;
}

zh_status zh_yaml_bool(bool *out, const zh_yaml_node *node, zh_error *err) {
  ZH_TRY(expect_plain(node, "true or false", err));
  bool yes = strcmp(node->text, "true") == 0;
  if (!yes && strcmp(node->text, "false") != 0)
    return zh_yaml_fail(err, node, "expected true or false, found '%.80s'", node->text);
  *out = yes;
  return ZH_OK;
}

zh_status zh_yaml_word(size_t *out, const zh_yaml_node *node, const char *const *words,
                       zh_error *err) {
  ZH_TRY(expect_scalar(node, "a word", err));
  if (is_among(node->text, words, out)) return ZH_OK;
  return fail_with_choices(node, "unknown word", node->text, words, err);
}

zh_status zh_yaml_quantity(double *out, size_t *unit, const zh_yaml_node *node,
                           const char *const *units, zh_error *err) {
  const char *rest;
  double value;
  ZH_TRY(expect_plain(node, "a number with its unit", err));
  if (!leading_number(&value, &rest, node->text))
    return zh_yaml_fail(err, node,
                        "expected a number, a space and a unit, as in '10 %s', found '%.80s'",
                        units[0], node->text);
  if (*rest == 0) {
    zh_text choices = {0};
    write_choices(&choices, units);
    zh_status status = zh_yaml_fail(err, node, "the unit is missing: write '%s %s'%s%s", node->text,
                                    units[0], units[1] != NULL ? "; units here are " : "",
                                    units[1] != NULL ? zh_text_string(&choices) : "");
    zh_text_free(&choices);
    return status;
  }
  if (*rest != ' ')
    return zh_yaml_fail(err, node, "expected a space between number and unit, found '%.80s'",
                        node->text);
  rest += strspn(rest, " ");
  if (!is_among(rest, units, unit))
    return fail_with_choices(node, "unknown unit", rest, units, err);
  *out = value;
  return ZH_OK;
}
