/* YAML's plain words as PyYAML reads them: YAML 1.1. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/yaml.h"
#include "core/yaml_tree.h"

const char *zh_yaml_function(const zh_yaml_node *node) {
  return node->kind == ZH_YAML_SCALAR && node->function ? node->text : NULL;
}

static bool is_one_of(const char *text, const char *const *words) {
  for (; *words != NULL; words++)
    if (strcmp(text, *words) == 0) return true;
  return false;
}

static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
                                  "TRUE", "on",  "On",  "ON",   NULL};
static const char *const no[] = {"no",    "No",  "NO",  "false", "False",
                                 "FALSE", "off", "Off", "OFF",   NULL};
static const char *const nothing[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const endless[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};

enum { DIGITS_MAX = 64 };

/* Digits of a base without the underscores between them; false where there is anything else. */
static bool digits_of(char out[DIGITS_MAX], const char *text, const char *allowed) {
  size_t length = 0;
  for (; *text != 0; text++) {
    if (*text == '_') continue;
    if (strchr(allowed, *text) == NULL || length + 1 == DIGITS_MAX) return false;
    out[length++] = *text;
  }
  out[length] = 0;
  return length > 0;
}

/* *known: it is written as a whole number. False where it has no place in 64 bits. */
static bool whole_of(bool *known, int64_t *out, const char *text) {
  char digits[DIGITS_MAX];
  const char *at = text + (text[0] == '-' || text[0] == '+');
  int base = 10;
  *known = false;
  if (*at < '0' || *at > '9') return true;
  if (at[0] == '0' && at[1] == 'b') {
    *known = digits_of(digits, at + 2, "01");
    base = 2;
  } else if (at[0] == '0' && at[1] == 'x') {
    *known = digits_of(digits, at + 2, "0123456789abcdefABCDEF");
    base = 16;
  } else if (at[0] == '0' && at[1] != 0) {
    *known = digits_of(digits, at + 1, "01234567");
    base = 8;
  } else {
    *known = digits_of(digits, at, "0123456789");
  }
  if (!*known) return true;
  errno = 0;
  unsigned long long value = strtoull(digits, NULL, base);
  if (errno != 0 || value > INT64_MAX) return false;
  *out = text[0] == '-' ? -(int64_t)value : (int64_t)value;
  return true;
}

/* [-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?, or without digits before the point (and no sign). */
static bool real_of(double *out, const char *text) {
  char plain[DIGITS_MAX];
  size_t length = 0, whole = 0;
  const char *at = text;
  if (*at == '-' || *at == '+') plain[length++] = *at++;
  for (; (*at >= '0' && *at <= '9') || (*at == '_' && whole > 0); at++) {
    if (*at == '_') continue;
    if (length + 2 >= DIGITS_MAX) return false;
    plain[length++] = *at;
    whole++;
  }
  if (*at != '.') return false;
  if (whole == 0 && (at != text || at[1] < '0' || at[1] > '9')) return false;
  plain[length++] = *at++;
  for (; (*at >= '0' && *at <= '9') || *at == '_'; at++) {
    if (*at == '_') continue;
    if (length + 2 >= DIGITS_MAX) return false;
    plain[length++] = *at;
  }
  if (*at == 'e' || *at == 'E') {
    if ((at[1] != '-' && at[1] != '+') || at[2] == 0) return false;
    if (strlen(at) + length + 1 >= DIGITS_MAX || strspn(at + 2, "0123456789") != strlen(at + 2))
      return false;
    memcpy(plain + length, at, strlen(at));
    length += strlen(at);
    at += strlen(at);
  }
  if (*at != 0) return false;
  plain[length] = 0;
  *out = strtod(plain, NULL);
  return true;
}

static zh_status scalar_to_json(json_t **out, const zh_yaml_node *node, zh_error *err) {
  int64_t whole;
  double real;
  bool known;
  if (node->function) {
    *out = json_sprintf("!function %s", node->text);
    return ZH_OK;
  }
  if (!node->plain) {
    *out = json_stringn(node->text, node->length);
    return ZH_OK;
  }
  if (!whole_of(&known, &whole, node->text))
    return zh_yaml_fail(err, node, "the number %.40s is too large", node->text);
  if (is_one_of(node->text, endless))
    return zh_yaml_fail(err, node, "'%s' is not a number that can be used here", node->text);
  if (known) {
    *out = json_integer(whole);
  } else if (is_one_of(node->text, nothing)) {
    *out = json_null();
  } else if (is_one_of(node->text, yes) || is_one_of(node->text, no)) {
    *out = json_boolean(is_one_of(node->text, yes));
  } else if (real_of(&real, node->text) && isfinite(real)) {
    *out = json_real(real);
  } else {
    *out = json_stringn(node->text, node->length);
  }
  return ZH_OK;
}

/* Depth is bounded by the reader. */
zh_status zh_yaml_to_json(json_t **out, const zh_yaml_node *node, zh_error *err) {
  *out = NULL;
  if (node->kind == ZH_YAML_SCALAR) {
    ZH_TRY(scalar_to_json(out, node, err));
  } else {
    *out = node->kind == ZH_YAML_MAP ? json_object() : json_array();
  }
  for (size_t i = 0; *out != NULL && i < node->count; i++) {
    json_t *item;
    zh_status status = zh_yaml_to_json(&item, node->items[i], err);
    if (status != ZH_OK) {
      json_decref(*out);
      *out = NULL;
      return status;
    }
    int failed = node->kind == ZH_YAML_MAP ? json_object_set_new(*out, node->keys[i]->text, item)
                                           : json_array_append_new(*out, item);
    if (failed != 0) {
      json_decref(*out);
      *out = NULL;
    }
  }
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", node->doc->name);
}
