#include "bench/quality/asked_columns.h"

#include <string.h>

/* ---- names in templates ---- */

static bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool goes_on(char c) {
  return begins_name(c) || (c >= '0' && c <= '9');
}

static bool is_listed(const json_t *names, const char *name, size_t length) {
  for (size_t i = 0; i < json_array_size(names); i++) {
    const json_t *known = json_array_get(names, i);
    if (json_string_length(known) == length && memcmp(json_string_value(known), name, length) == 0)
      return true;
  }
  return false;
}

static void note_column(json_t *names, const json_t *columns, const char *name, size_t length) {
  char text[256];
  if (length >= sizeof text || is_listed(names, name, length)) return;
  memcpy(text, name, length);
  text[length] = 0;
  if (json_object_get(columns, text)) json_array_append_new(names, json_string(text));
}

/* Behind the quoted text that begins at `at`. */
static const char *skip_quoted(const char *at) {
  char quote = *at++;
  for (; *at && *at != quote; at++)
    if (*at == '\\' && at[1]) at++;
  return *at ? at + 1 : at;
}

/* Names in one pair of braces; returns what stands behind it. Members of values are no columns. */
static const char *note_names(json_t *names, const json_t *columns, const char *at) {
  char before = 0;
  while (*at && !((*at == '}' || *at == '%') && at[1] == '}')) {
    const char *begin = at;
    if (*at == '\'' || *at == '"') {
      at = skip_quoted(at);
    } else if (goes_on(*at)) {
      while (goes_on(*at)) at++;
      if (begins_name(*begin) && before != '.' && before != '|')
        note_column(names, columns, begin, (size_t)(at - begin));
    } else {
      at++;
    }
    if (*begin != ' ') before = *begin;
  }
  return at;
}

/* Columns that a field is, or that its template names, in their order. New reference. */
static json_t *columns_of(const zh_exam_task *t, const zh_field *field) {
  json_t *names = json_array();
  const char *at = json_string_value(field->value);
  if (!names || !at || field->function) return names;
  if (json_object_get(t->columns, at)) {
    json_array_append(names, field->value);
    return names;
  }
  while (*at) {
    bool opens = at[0] == '{' && (at[1] == '{' || at[1] == '%');
    at = opens ? note_names(names, t->columns, at + 2) : at + 1;
  }
  return names;
}

/* ---- options behind letters ---- */

static bool is_letter(const json_t *option) {
  const char *text = json_string_value(option);
  return json_string_length(option) == 1 &&
         ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'));
}

static bool are_letters(const json_t *options) {
  bool letters = json_array_size(options) > 0;
  for (size_t i = 0; letters && i < json_array_size(options); i++)
    letters = is_letter(json_array_get(options, i));
  return letters;
}

/* {{ A }}, {{ B }} …: a column called by each letter. NULL where one is missing. */
static json_t *lettered_columns(const json_t *named, const json_t *doc, const json_t *letters) {
  json_t *values = json_array();
  for (size_t i = 0; i < json_array_size(letters); i++) {
    const char *letter = json_string_value(json_array_get(letters, i));
    const json_t *value = json_object_get(doc, letter);
    if (!value || !is_listed(named, letter, 1)) {
      json_decref(values);
      return NULL;
    }
    json_array_append(values, (json_t *)(uintptr_t)value);
  }
  return values;
}

/* {{ choices[0] }} …: a list of as many. */
static json_t *listed_options(const json_t *named, const json_t *doc, const json_t *letters) {
  for (size_t i = 0; i < json_array_size(named); i++) {
    json_t *value = json_object_get(doc, json_string_value(json_array_get(named, i)));
    if (json_is_array(value) && json_array_size(value) == json_array_size(letters))
      return json_incref(value);
  }
  return NULL;
}

static bool is_option(const json_t *name, const json_t *doc, const json_t *letters) {
  const char *text = json_string_value(name);
  return is_listed(letters, text, strlen(text)) || json_is_array(json_object_get(doc, text));
}

void zh_asked_find(zh_asked *out, const zh_exam_task *t, const json_t *doc, const json_t *options) {
  json_t *named = columns_of(t, &t->text), *target = columns_of(t, &t->target);
  *out = (zh_asked){.letters = are_letters(options), .question = json_array(), .held = target};
  const json_t *letters = out->letters ? options : NULL;
  if (letters) out->options = lettered_columns(named, doc, letters);
  if (letters && !out->options) out->options = listed_options(named, doc, letters);
  for (size_t i = 0; i < json_array_size(named); i++) {
    json_t *name = json_array_get(named, i);
    if (!is_option(name, doc, letters)) json_array_append(out->question, name);
  }
  if (json_array_size(target) == 1) out->answer = json_array_get(target, 0);
  json_decref(named);
}

void zh_asked_clear(zh_asked *asked) {
  json_decref(asked->options);
  json_decref(asked->question);
  json_decref(asked->held);
}
