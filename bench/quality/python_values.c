#include "bench/quality/python_values.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/regex.h"
#include "core/template.h"

/* ---- printing: by the interpreter of templates, which prints as Python does ---- */

typedef enum form {
  FORM_STR,
  FORM_DUMPS,
  FORM_INDENTED,
  FORM_UPPER,
  FORM_LOWER,
  FORM_CAPITAL,
  FORMS
} form;
static zh_template *printers[FORMS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_printers(void) {
  static const char *const sources[FORMS] = {
      "{{ value }}",         "{{ value | tojson }}", "{{ value | tojson(indent=2) }}",
      "{{ value | upper }}", "{{ value | lower }}",  "{{ value | capitalize }}"};
  for (int i = 0; i < FORMS; i++) {
    zh_error err = ZH_ERROR_INIT;
    if (zh_template_parse(&printers[i], sources[i], strlen(sources[i]), &zh_template_chat, &err) !=
        ZH_OK)
      printers[i] = NULL;
  }
}

static zh_status print(char **out, size_t *length, const json_t *value, form how, zh_error *err) {
  static const zh_template_limits limits = {
      .steps = UINT64_C(1) << 40, .memory_bytes = (size_t)1 << 31, .output_bytes = (size_t)1 << 30};
  *out = NULL;
  pthread_once(&once, make_printers);
  json_t *variables = json_pack("{s:O}", "value", (json_t *)(uintptr_t)value);
  if (printers[how] == NULL || variables == NULL) {
    json_decref(variables);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (printing a value)");
  }
  zh_status status = zh_template_render(out, length, printers[how], variables, &limits, err);
  json_decref(variables);
  return status;
}

zh_status zh_python_str(char **out, size_t *length, const json_t *value, zh_error *err) {
  return print(out, length, value, FORM_STR, err);
}

zh_status zh_python_dumps(char **out, size_t *length, const json_t *value, bool indented,
                          zh_error *err) {
  return print(out, length, value, indented ? FORM_INDENTED : FORM_DUMPS, err);
}

static zh_status changed_text(json_t **out, const json_t *text, form how, zh_error *err) {
  char *changed;
  size_t length;
  *out = NULL;
  ZH_TRY(print(&changed, &length, text, how, err));
  *out = json_stringn(changed, length);
  free(changed);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (letters)");
}

zh_status zh_python_case(json_t **out, const json_t *text, bool upper, zh_error *err) {
  return changed_text(out, text, upper ? FORM_UPPER : FORM_LOWER, err);
}

zh_status zh_python_capitalize(json_t **out, const json_t *text, zh_error *err) {
  return changed_text(out, text, FORM_CAPITAL, err);
}

/* Letters with case, among them Roman numerals and letters in circles. */
#define CAPITALS "[\\p{Lu}\\x{2160}-\\x{216F}\\x{24B6}-\\x{24CF}]"
#define SMALL "[\\p{Ll}\\x{AA}\\x{BA}\\x{2170}-\\x{217F}\\x{24D0}-\\x{24E9}]"

static zh_status has_match(bool *out, const char *pattern, const json_t *text, zh_error *err) {
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, err));
  zh_status status = zh_regex_next(out, spans, &walk, regex, json_string_value(text),
                                   json_string_length(text), err);
  zh_regex_free(regex);
  return status;
}

zh_status zh_python_is_case(bool *out, const json_t *text, bool upper, zh_error *err) {
  bool other;
  ZH_TRY(has_match(out, upper ? CAPITALS : SMALL, text, err));
  if (!*out) return ZH_OK;
  ZH_TRY(has_match(&other, upper ? SMALL "|\\p{Lt}" : CAPITALS "|\\p{Lt}", text, err));
  *out = !other;
  return ZH_OK;
}

/* ---- characters ---- */

bool zh_python_isdigit(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (text[i] < '0' || text[i] > '9') return false;
  return length > 0;
}

static bool is_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

/* Bytes of the blank at the beginning, or 0. */
static size_t space_at(const char *text, size_t length) {
  uint32_t point = 0;
  int size = zh_utf8_decode(&point, text, length);
  return size > 0 && is_space(point) ? (size_t)size : 0;
}

static size_t space_before(const char *text, size_t end) {
  size_t begin = end;
  while (begin > 0 && end - begin < 4 && (text[--begin] & 0xC0) == 0x80) continue;
  return end > 0 && space_at(text + begin, end - begin) == end - begin ? end - begin : 0;
}

bool zh_python_space_first(const char *text, size_t length) {
  return space_at(text, length) > 0;
}

bool zh_python_space_last(const char *text, size_t length) {
  return space_before(text, length) > 0;
}

size_t zh_python_rstrip(const char *text, size_t length) {
  for (size_t size; (size = space_before(text, length)) > 0;) length -= size;
  return length;
}

size_t zh_python_lstrip(const char *text, size_t length) {
  size_t at = 0;
  for (size_t size; (size = space_at(text + at, length - at)) > 0;) at += size;
  return at;
}

void zh_python_strip(const char **text, size_t *length) {
  size_t left = zh_python_lstrip(*text, *length);
  *text += left;
  *length = zh_python_rstrip(*text, *length - left);
}

size_t zh_python_pieces(const char *text, size_t length) {
  size_t pieces = 1;
  for (size_t at = 0; at < length;) {
    size_t blank = zh_python_lstrip(text + at, length - at);
    uint32_t point;
    pieces += blank > 0;
    int size = zh_utf8_decode(&point, text + at, length - at);
    at += blank > 0 ? blank : size > 0 ? (size_t)size : 1;
  }
  return pieces;
}

bool zh_python_word(const char **word, size_t *size, const char **text, size_t *length) {
  size_t left = zh_python_lstrip(*text, *length), end = left;
  while (end < *length && space_at(*text + end, *length - end) == 0) end++;
  *word = *text + left;
  *size = end - left;
  *text += end;
  *length -= end;
  return *size > 0;
}

size_t zh_code_points(const char *text, size_t length) {
  size_t count = 0;
  for (size_t i = 0; i < length; i++) count += (text[i] & 0xC0) != 0x80;
  return count;
}

/* ---- literals ---- */

enum { LITERAL_DEPTH = 40 };

typedef struct reader {
  const char *at, *end;
  int depth;
} reader;

static void skip(reader *r) {
  while (r->at < r->end && strchr(" \t\n\r\f", *r->at) != NULL && *r->at != 0) r->at++;
}

static bool take(reader *r, char c) {
  skip(r);
  if (r->at >= r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static bool append_point(zh_text *out, uint32_t point) {
  char bytes[4];
  int size = zh_utf8_encode(bytes, point);
  zh_text_append(out, bytes, (size_t)size);
  return size > 0;
}

/* The number of `digits` hexadecimal digits. */
static bool read_hex(uint32_t *out, reader *r, int digits) {
  *out = 0;
  for (int i = 0; i < digits; i++, r->at++) {
    const char *all = "0123456789abcdef";
    const char *found = r->at < r->end && *r->at != 0
                            ? strchr(all, *r->at >= 'A' && *r->at <= 'F' ? *r->at | 32 : *r->at)
                            : NULL;
    if (found == NULL) return false;
    *out = *out * 16 + (uint32_t)(found - all);
  }
  return true;
}

/* After the backslash. */
static bool read_escape(zh_text *out, reader *r) {
  static const char letters[] = "\\'\"abfnrtv", meant[] = "\\'\"\a\b\f\n\r\t\v";
  if (r->at >= r->end) return false;
  char c = *r->at++;
  const char *letter = c != 0 ? strchr(letters, c) : NULL;
  uint32_t point = 0;
  if (c == '\n') return true;
  if (letter != NULL) {
    zh_text_append(out, &meant[letter - letters], 1);
    return true;
  }
  if (c == 'x' || c == 'u' || c == 'U')
    return read_hex(&point, r, c == 'x' ? 2 : c == 'u' ? 4 : 8) && append_point(out, point);
  if (c >= '0' && c <= '7') {
    point = (uint32_t)(c - '0');
    for (int i = 0; i < 2 && r->at < r->end && *r->at >= '0' && *r->at <= '7'; i++)
      point = point * 8 + (uint32_t)(*r->at++ - '0');
    return append_point(out, point);
  }
  if (c == 'N') return false; /* names of characters */
  zh_text_append(out, "\\", 1);
  zh_text_append(out, &c, 1);
  return true;
}

/* One quoted piece; the quote stands at r. */
static bool read_quoted(zh_text *out, reader *r, bool raw) {
  char quote = *r->at;
  bool three = r->end - r->at >= 3 && r->at[1] == quote && r->at[2] == quote;
  r->at += three ? 3 : 1;
  while (r->at < r->end) {
    bool ends = *r->at == quote &&
                (!three || (r->end - r->at >= 3 && r->at[1] == quote && r->at[2] == quote));
    if (ends) {
      r->at += three ? 3 : 1;
      return true;
    }
    if (*r->at == '\n' && !three) return false;
    if (*r->at == '\\' && !raw) {
      r->at++;
      if (!read_escape(out, r)) return false;
    } else {
      if (*r->at == '\\' && r->at + 1 < r->end) zh_text_append(out, r->at++, 1);
      zh_text_append(out, r->at++, 1);
    }
  }
  return false;
}

static bool at_quote(const reader *r, size_t skip_bytes) {
  return r->at + skip_bytes < r->end && (r->at[skip_bytes] == '\'' || r->at[skip_bytes] == '"');
}

/* Pieces beside each other are one text. NULL: not a text. */
static json_t *read_text(reader *r) {
  zh_text text = {0};
  bool good = true, any = false;
  for (;;) {
    skip(r);
    bool prefix = r->at < r->end && strchr("rRuU", *r->at) != NULL && at_quote(r, 1);
    if (!prefix && !at_quote(r, 0)) break;
    bool raw = prefix && (*r->at | 32) == 'r';
    r->at += prefix;
    good = read_quoted(&text, r, raw);
    if (!good) break;
    any = true;
  }
  json_t *value =
      good && any && !text.failed ? json_stringn(zh_text_string(&text), text.length) : NULL;
  zh_text_free(&text);
  return value;
}

static json_t *read_number(reader *r) {
  char held[64];
  size_t length = 0;
  bool real = false;
  for (const char *at = r->at; at < r->end; at++) {
    bool sign = (*at == '-' || *at == '+') && (length == 0 || (held[length - 1] | 32) == 'e');
    if (!sign && !(*at >= '0' && *at <= '9') && strchr(".eE_", *at) == NULL) break;
    if (*at == 0 || length + 1 == sizeof held) return NULL;
    if (*at == '_') return NULL;
    real |= strchr(".eE", *at) != NULL;
    held[length++] = *at;
  }
  held[length] = 0;
  char *end = NULL;
  errno = 0;
  const char *digits = held + (held[0] == '-' || held[0] == '+');
  json_t *value = NULL;
  if (digits[0] == 0) return NULL;
  if (real) {
    double number = strtod(held, &end);
    if (*end == 0 && isfinite(number)) value = json_real(number);
  } else if (digits[0] != '0' || strspn(digits, "0") == strlen(digits)) {
    long long number = strtoll(held, &end, 10);
    if (*end == 0 && errno == 0) value = json_integer(number);
  }
  r->at += length;
  return value;
}

static bool take_word(reader *r, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return false;
  r->at += length;
  return true;
}

static json_t *read_value(reader *r);

/* Items up to `close`; of a tuple *single says that it was one value in brackets. */
static json_t *read_items(reader *r, char close, bool *single) {
  json_t *list = json_array();
  bool comma = false;
  while (list != NULL && !take(r, close)) {
    if (json_array_size(list) > 0 && !comma) goto bad;
    json_t *item = read_value(r);
    if (item == NULL || json_array_append_new(list, item) != 0) goto bad;
    comma = take(r, ',');
  }
  *single = list != NULL && json_array_size(list) == 1 && !comma;
  return list;
bad:
  json_decref(list);
  return NULL;
}

static json_t *read_map(reader *r) {
  json_t *map = json_object();
  bool comma = true;
  while (map != NULL && !take(r, '}')) {
    json_t *key = comma ? read_value(r) : NULL, *value = NULL;
    if (json_is_string(key) && take(r, ':')) value = read_value(r);
    bool good = value != NULL && json_object_set_new(map, json_string_value(key), value) == 0;
    json_decref(key);
    if (!good) {
      json_decref(map);
      return NULL;
    }
    comma = take(r, ',');
  }
  return map;
}

static json_t *read_value(reader *r) {
  bool single;
  json_t *value = NULL;
  skip(r);
  if (r->at >= r->end || ++r->depth > LITERAL_DEPTH) return NULL;
  if (take(r, '[')) {
    value = read_items(r, ']', &single);
  } else if (take(r, '(')) {
    value = read_items(r, ')', &single);
    if (value != NULL && single) { /* brackets around a value */
      json_t *inner = json_incref(json_array_get(value, 0));
      json_decref(value);
      value = inner;
    }
  } else if (take(r, '{')) {
    value = read_map(r);
  } else if (take_word(r, "True")) {
    value = json_true();
  } else if (take_word(r, "False")) {
    value = json_false();
  } else if (take_word(r, "None")) {
    value = json_null();
  } else if (at_quote(r, 0) || at_quote(r, 1)) {
    value = read_text(r);
  } else {
    value = read_number(r);
  }
  r->depth--;
  return value;
}

json_t *zh_python_literal(const char *text, size_t length) {
  reader r = {.at = text, .end = text + length};
  json_t *value = read_value(&r);
  skip(&r);
  if (r.at == r.end) return value;
  json_decref(value);
  return NULL;
}
