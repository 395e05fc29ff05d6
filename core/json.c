#include "core/json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"

enum { DEPTH_MAX = 64, DEFAULT_MAX_BYTES = 256 << 20 };

/* jansson recurses as deep as 2048; this is found before it starts. 0 when all is well, else byte
 * + 1. */
static size_t too_deep_at(const char *text, size_t length) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (quoted) {
      if (c == '\\') i++;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > DEPTH_MAX) return i + 1;
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return 0;
}

/* Line and column, both from 1, of a byte; columns in code points, as jansson counts. */
static void position_of(size_t *line, size_t *column, const char *text, size_t at) {
  *line = *column = 1;
  for (size_t i = 0; i < at; i++) {
    *column += (text[i] & 0xC0) != 0x80;
    if (text[i] == '\n') ++*line, *column = 1;
  }
}

/* first_line: number of the text's first line in its file, so that a line of a JSONL file is named
 * right. */
static zh_status parse(json_t **out, const char *text, size_t length, const char *name,
                       size_t first_line, zh_error *err) {
  json_error_t problem;
  size_t line, column;
  *out = NULL;
  size_t bad = zh_utf8_valid_prefix(text, length), deep = too_deep_at(text, length);
  if (bad < length || deep > 0) {
    position_of(&line, &column, text, bad < length ? bad : deep - 1);
    return bad < length ? zh_fail(err, ZH_ERR_INPUT, "%s:%zu:%zu: byte 0x%02X is not valid UTF-8",
                                  name, line + first_line - 1, column, (unsigned char)text[bad])
                        : zh_fail(err, ZH_ERR_INPUT, "%s:%zu:%zu: nested deeper than %d levels",
                                  name, line + first_line - 1, column, DEPTH_MAX);
  }
  *out = json_loadb(text != NULL ? text : "", length, JSON_REJECT_DUPLICATES, &problem);
  if (*out != NULL) return ZH_OK;
  for (char *c = problem.text; *c != 0; c++)
    if (*c == '\n' || *c == '\t') *c = ' ';
  return zh_fail(err, ZH_ERR_INPUT, "%s:%zu:%d: not valid JSON: %s", name,
                 (size_t)(problem.line > 0 ? problem.line : 1) + first_line - 1,
                 problem.column > 0 ? problem.column : 1, problem.text);
}

zh_status zh_json_load_text(json_t **out, const char *text, size_t length, const char *name,
                            zh_error *err) {
  return parse(out, text, length, name, 1, err);
}

zh_status zh_json_load_file(json_t **out, const char *path, size_t max_bytes, zh_error *err) {
  char *text;
  size_t length;
  *out = NULL;
  ZH_TRY(zh_read_file(&text, &length, path, max_bytes > 0 ? max_bytes : DEFAULT_MAX_BYTES, err));
  size_t mark = zh_utf8_mark(text, length);
  zh_status status = parse(out, text + mark, length - mark, path, 1, err);
  free(text);
  return status;
}

zh_status zh_jsonl_read(const char *path, zh_jsonl_visit visit, void *user, zh_error *err) {
  char *text;
  size_t length, line = 0;
  ZH_TRY(zh_read_file(&text, &length, path, DEFAULT_MAX_BYTES, err));
  zh_status status = ZH_OK;
  for (size_t at = zh_utf8_mark(text, length), size; status == ZH_OK && at < length;
       at += size + 1) {
    const char *end = memchr(text + at, '\n', length - at);
    size = end != NULL ? (size_t)(end - (text + at)) : length - at;
    line++;
    if (strspn(text + at, " \t\r") >= size) continue;
    json_t *value;
    status = parse(&value, text + at, size, path, line, err);
    if (status == ZH_OK) status = visit(user, line, value, err);
    json_decref(value);
  }
  free(text);
  return status;
}

static zh_status member(json_t **out, const json_t *object, const char *key,
                        bool right_type(const json_t *), const char *what, const char *where,
                        zh_error *err) {
  *out = NULL;
  if (!json_is_object(object))
    return zh_fail(err, ZH_ERR_INPUT, "%s: an object with the key '%s' was expected", where, key);
  json_t *value = json_object_get(object, key);
  if (value == NULL) return zh_fail(err, ZH_ERR_INPUT, "%s: the key '%s' is missing", where, key);
  if (!right_type(value))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' must be %s", where, key, what);
  *out = value;
  return ZH_OK;
}

static bool is_string(const json_t *value) {
  return json_is_string(value);
}
static bool is_integer(const json_t *value) {
  return json_is_integer(value);
}
static bool is_number(const json_t *value) {
  return json_is_number(value);
}
static bool is_array(const json_t *value) {
  return json_is_array(value);
}
static bool is_object(const json_t *value) {
  return json_is_object(value);
}

zh_status zh_json_string(const char **out, const json_t *object, const char *key, const char *where,
                         zh_error *err) {
  json_t *value;
  *out = NULL;
  ZH_TRY(member(&value, object, key, is_string, "a string", where, err));
  *out = json_string_value(value);
  return ZH_OK;
}

zh_status zh_json_int(int64_t *out, const json_t *object, const char *key, const char *where,
                      zh_error *err) {
  json_t *value;
  *out = 0;
  ZH_TRY(member(&value, object, key, is_integer, "a whole number", where, err));
  *out = json_integer_value(value);
  return ZH_OK;
}

zh_status zh_json_real(double *out, const json_t *object, const char *key, const char *where,
                       zh_error *err) {
  json_t *value;
  *out = 0;
  ZH_TRY(member(&value, object, key, is_number, "a number", where, err));
  *out = json_number_value(value);
  return ZH_OK;
}

zh_status zh_json_array(json_t **out, const json_t *object, const char *key, const char *where,
                        zh_error *err) {
  return member(out, object, key, is_array, "a list", where, err);
}

zh_status zh_json_object(json_t **out, const json_t *object, const char *key, const char *where,
                         zh_error *err) {
  return member(out, object, key, is_object, "an object", where, err);
}

static int append(const char *bytes, size_t length, void *text) {
  zh_text_append(text, bytes, length);
  return 0;
}

/* 17 digits always round-trip, but show 7.6 as 7.5999999999999996: the fewest digits that read back
 * the same. */
static size_t digits_needed(double value) {
  char digits[40];
  for (int precision = 15; precision < 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value) return (size_t)precision;
  }
  return 17;
}

static void write_scalar(zh_text *text, const json_t *value) {
  size_t flags = JSON_ENCODE_ANY;
  if (json_is_real(value)) flags |= JSON_REAL_PRECISION(digits_needed(json_real_value(value)));
  if (json_dump_callback(value, append, text, flags) != 0) text->failed = true;
}

/* Between items: nothing or a comma, then a new line where indented. */
static void write_gap(zh_text *text, bool first, int indent) {
  if (!first) zh_text_puts(text, ",");
  if (indent >= 0) zh_text_printf(text, "\n%*s", indent, "");
}

static void write_string(zh_text *text, const char *bytes, size_t length) {
  json_t *string = json_stringn(bytes, length);
  if (string == NULL) text->failed = true;
  if (string != NULL) write_scalar(text, string);
  json_decref(string);
}

/* indent: columns of this value's own items' parent, or -1 for one line. */
static void write_value(zh_text *text, json_t *value, int indent, int depth) {
  if (!json_is_object(value) && !json_is_array(value)) {
    write_scalar(text, value);
    return;
  }
  if (depth > DEPTH_MAX) {
    text->failed = true;
    return;
  }
  bool map = json_is_object(value), first = true;
  int inner = indent < 0 ? -1 : indent + 2;
  zh_text_puts(text, map ? "{" : "[");
  if (map) {
    const char *key;
    json_t *item;
    json_object_foreach(value, key, item) {
      write_gap(text, first, inner);
      write_string(text, key, strlen(key));
      zh_text_puts(text, indent < 0 ? ":" : ": ");
      write_value(text, item, inner, depth + 1);
      first = false;
    }
  } else {
    for (size_t i = 0; i < json_array_size(value); i++, first = false) {
      write_gap(text, first, inner);
      write_value(text, json_array_get(value, i), inner, depth + 1);
    }
  }
  if (!first && indent >= 0) zh_text_printf(text, "\n%*s", indent, "");
  zh_text_puts(text, map ? "}" : "]");
}

static zh_status dump(char **out, const json_t *value, int indent, zh_error *err) {
  zh_text text = {0};
  *out = NULL;
  if (value == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (JSON)");
  write_value(&text, (json_t *)(uintptr_t)value, indent, 1);
  if (indent >= 0) zh_text_puts(&text, "\n");
  if (text.failed) {
    zh_text_free(&text);
    return zh_fail(err, ZH_ERR_MEMORY,
                   "JSON cannot be written: out of memory, nested deeper than %d levels, or "
                   "text that is not UTF-8",
                   DEPTH_MAX);
  }
  *out = text.data;
  return ZH_OK;
}

zh_status zh_json_dump(char **out, const json_t *value, zh_error *err) {
  return dump(out, value, 0, err);
}

zh_status zh_json_dump_line(char **out, const json_t *value, zh_error *err) {
  return dump(out, value, -1, err);
}

zh_status zh_json_write_file(const json_t *value, const char *path, zh_error *err) {
  char *text;
  ZH_TRY(zh_json_dump(&text, value, err));
  zh_status status = zh_write_file(path, text, strlen(text), err);
  free(text);
  return status;
}

json_t *zh_json_number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}
