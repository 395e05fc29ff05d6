/* Values as text: str() and repr() of Python, json.dumps(). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/template_parts.h"

enum { NESTED_MAX = 80 };

/* One more in the last place of "d.ddde-08"; false where a digit would carry over. */
static bool step_last_digit(char *digits) {
  char *last = strchr(digits, 'e') - 1;
  if (*last < '0' || *last >= '9') return false;
  ++*last;
  return true;
}

/* The fewest digits that read back the same, as "d.ddde-08". Beside a power of two the numbers on
 * its two sides lie unevenly, and the rounded one of so many digits may miss where the next one
 * does not. Returns the digits after the point. */
static int shortest_digits(char digits[40], double value) {
  for (int precision = 0; precision < 16; precision++) {
    snprintf(digits, 40, "%.*e", precision, value);
    if (strtod(digits, NULL) == value) return precision;
    if (step_last_digit(digits) && strtod(digits, NULL) == value) return precision;
  }
  snprintf(digits, 40, "%.16e", value);
  return 16;
}

/* An exponent below 1e-4 and from 1e16 on. */
void tpl_print_float(zh_text *out, double value) {
  char digits[40];
  if (!isfinite(value)) {
    zh_text_puts(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    return;
  }
  int precision = shortest_digits(digits, value);
  int exponent = atoi(strchr(digits, 'e') + 1);
  if (exponent < -4 || exponent >= 16) {
    zh_text_puts(out, digits);
    return;
  }
  int decimals = precision - exponent;
  zh_text_printf(out, "%.*f", decimals > 0 ? decimals : 1, value);
}

static zh_status print(zh_text *out, tpl_run *run, tpl_value value, bool repr, int depth);

static zh_status print_quoted(zh_text *out, tpl_run *run, const tpl_string *s) {
  bool single = memchr(s->bytes, '\'', s->length), twice = memchr(s->bytes, '"', s->length);
  char quote = single && !twice ? '"' : '\'';
  ZH_TRY(tpl_charge(run, s->length));
  zh_text_append(out, &quote, 1);
  for (size_t at = 0; at < s->length;) {
    uint32_t point = 0;
    size_t size = (size_t)zh_utf8_decode(&point, s->bytes + at, s->length - at);
    if (point == (uint32_t)quote || point == '\\') {
      zh_text_printf(out, "\\%c", (char)point);
    } else if (point == '\n' || point == '\r' || point == '\t') {
      zh_text_puts(out, point == '\n' ? "\\n" : point == '\r' ? "\\r" : "\\t");
    } else if (tpl_printable(point)) {
      zh_text_append(out, s->bytes + at, size);
    } else {
      zh_text_printf(out,
                     point < 0x100     ? "\\x%02x"
                     : point < 0x10000 ? "\\u%04x"
                                       : "\\U%08x",
                     (unsigned)point);
    }
    at += size;
  }
  zh_text_append(out, &quote, 1);
  return ZH_OK;
}

static zh_status print_list(zh_text *out, tpl_run *run, tpl_value value, int depth) {
  tpl_form form = value.as.list->form;
  if (form > TPL_TUPLE)
    return tpl_fail(run, "a value of type '%s' cannot be printed; '|list' makes a list of it",
                    tpl_type_name(value));
  tpl_value *items;
  size_t count;
  ZH_TRY(tpl_items(&items, &count, run, value));
  zh_text_puts(out, form == TPL_TUPLE ? "(" : "[");
  for (size_t i = 0; i < count; i++) {
    if (i > 0) zh_text_puts(out, ", ");
    ZH_TRY(print(out, run, items[i], true, depth + 1));
  }
  if (form == TPL_TUPLE && count == 1) zh_text_puts(out, ",");
  zh_text_puts(out, form == TPL_TUPLE ? ")" : "]");
  return ZH_OK;
}

static zh_status print_dict(zh_text *out, tpl_run *run, tpl_dict *dict, int depth) {
  ZH_TRY(tpl_dict_pairs(run, dict));
  zh_text_puts(out, "{");
  for (size_t i = 0; i < dict->count; i++) {
    if (i > 0) zh_text_puts(out, ", ");
    ZH_TRY(print(out, run, dict->keys[i], true, depth + 1));
    zh_text_puts(out, ": ");
    ZH_TRY(print(out, run, dict->values[i], true, depth + 1));
  }
  zh_text_puts(out, "}");
  return ZH_OK;
}

static zh_status print(zh_text *out, tpl_run *run, tpl_value value, bool repr, int depth) {
  if (depth > NESTED_MAX || out->length > run->output)
    return tpl_fail(run, "%s", "a printed value is too large or nested too deeply");
  ZH_TRY(tpl_charge(run, 0));
  switch (value.kind) {
  case TPL_UNDEFINED:
    if (repr) zh_text_puts(out, "Undefined");
    return repr ? ZH_OK : tpl_strict(run, value);
  case TPL_NONE:
    zh_text_puts(out, "None");
    return ZH_OK;
  case TPL_BOOL:
    zh_text_puts(out, value.as.truth ? "True" : "False");
    return ZH_OK;
  case TPL_INT:
    zh_text_printf(out, "%lld", (long long)value.as.integer);
    return ZH_OK;
  case TPL_FLOAT:
    tpl_print_float(out, value.as.real);
    return ZH_OK;
  case TPL_STRING:
    if (repr && value.safe) zh_text_puts(out, "Markup(");
    if (repr) ZH_TRY(print_quoted(out, run, value.as.string));
    if (repr && value.safe) zh_text_puts(out, ")");
    if (repr) return ZH_OK;
    zh_text_append(out, value.as.string->bytes, value.as.string->length);
    return tpl_charge(run, value.as.string->length);
  case TPL_LIST:
    return print_list(out, run, value, depth);
  case TPL_DICT:
    return print_dict(out, run, value.as.dict, depth);
  default:
    return tpl_fail(run, "a value of type '%s' cannot be printed", tpl_type_name(value));
  }
}

zh_status tpl_print(zh_text *out, tpl_run *run, tpl_value value) {
  return print(out, run, value, false, 0);
}

zh_status tpl_print_repr(zh_text *out, tpl_run *run, tpl_value value) {
  return print(out, run, value, true, 0);
}

zh_status tpl_to_string(tpl_value *out, tpl_run *run, tpl_value value) {
  if (value.kind == TPL_STRING) {
    *out = value;
    return ZH_OK;
  }
  zh_text text = {0};
  zh_status status = tpl_print(&text, run, value);
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}

void tpl_escape(zh_text *out, const char *bytes, size_t length, bool json) {
  static const char *const html[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"},
                           *const codes[] = {"\\u0026", "\\u003c", "\\u003e", "\\u0027", "\""};
  for (size_t i = 0; i < length; i++) {
    const char *found = bytes[i] ? strchr("&<>'\"", bytes[i]) : NULL;
    if (found) {
      zh_text_puts(out, (json ? codes : html)[strchr("&<>'\"", bytes[i]) - "&<>'\""]);
    } else {
      zh_text_append(out, bytes + i, 1);
    }
  }
}

/* --- JSON --- */

static void json_escape(zh_text *out, uint32_t point, const char *bytes, size_t size, bool ascii) {
  static const char letters[] = "\b\f\n\r\t\"\\", written[] = "bfnrt\"\\";
  const char *found = point < 0x80 && point > 0 ? strchr(letters, (int)point) : NULL;
  if (found) {
    zh_text_printf(out, "\\%c", written[found - letters]);
  } else if (point < 0x20 || (ascii && point > 0x7E && point < 0x10000)) {
    zh_text_printf(out, "\\u%04x", (unsigned)point);
  } else if (ascii && point >= 0x10000) {
    uint32_t offset = point - 0x10000;
    zh_text_printf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + (offset >> 10)),
                   (unsigned)(0xDC00 + (offset & 0x3FF)));
  } else {
    zh_text_append(out, bytes, size);
  }
}

static zh_status json_text(zh_text *out, tpl_run *run, const tpl_string *s, bool ascii) {
  ZH_TRY(tpl_charge(run, s->length));
  zh_text_puts(out, "\"");
  for (size_t at = 0; at < s->length;) {
    uint32_t point = 0;
    size_t size = (size_t)zh_utf8_decode(&point, s->bytes + at, s->length - at);
    json_escape(out, point, s->bytes + at, size, ascii);
    at += size;
  }
  zh_text_puts(out, "\"");
  return ZH_OK;
}

static void json_gap(zh_text *out, const tpl_json_style *style, int depth, bool first) {
  if (!first) zh_text_append(out, style->item, style->item_length);
  if (!style->indent) return;
  zh_text_puts(out, "\n");
  for (int i = 0; i < depth; i++) zh_text_append(out, style->indent, style->indent_length);
}

static zh_status json_list(zh_text *out, tpl_run *run, tpl_value value, const tpl_json_style *style,
                           int depth) {
  tpl_value *items;
  size_t count;
  if (value.as.list->form > TPL_TUPLE)
    return tpl_fail(run,
                    "a value of type '%s' cannot be written as JSON; '|list' makes a list of it",
                    tpl_type_name(value));
  ZH_TRY(tpl_items(&items, &count, run, value));
  zh_text_puts(out, "[");
  for (size_t i = 0; i < count; i++) {
    json_gap(out, style, depth + 1, i == 0);
    ZH_TRY(tpl_print_json(out, run, items[i], style, depth + 1));
  }
  if (count > 0) json_gap(out, style, depth, true);
  zh_text_puts(out, "]");
  return ZH_OK;
}

static void json_number(zh_text *out, tpl_value value) {
  if (value.kind == TPL_INT) {
    zh_text_printf(out, "%lld", (long long)value.as.integer);
  } else if (isfinite(value.as.real)) {
    tpl_print_float(out, value.as.real);
  } else {
    zh_text_puts(out, isnan(value.as.real) ? "NaN" : value.as.real < 0 ? "-Infinity" : "Infinity");
  }
}

static const char *json_word(tpl_value value) {
  return value.kind == TPL_NONE ? "null" : value.as.truth ? "true" : "false";
}

/* Keys that are no text become text. */
static zh_status json_key(zh_text *out, tpl_run *run, tpl_value key, const tpl_json_style *style) {
  if (key.kind == TPL_STRING) return json_text(out, run, key.as.string, style->ascii);
  if (key.kind != TPL_NONE && key.kind != TPL_BOOL && key.kind != TPL_INT && key.kind != TPL_FLOAT)
    return tpl_fail(run, "a key of type '%s' cannot be written as JSON", tpl_type_name(key));
  zh_text_puts(out, "\"");
  if (key.kind == TPL_NONE || key.kind == TPL_BOOL) {
    zh_text_puts(out, json_word(key));
  } else {
    json_number(out, key);
  }
  zh_text_puts(out, "\"");
  return ZH_OK;
}

static zh_status json_dict(zh_text *out, tpl_run *run, tpl_dict *dict, const tpl_json_style *style,
                           int depth) {
  ZH_TRY(tpl_dict_pairs(run, dict));
  size_t count = dict->count;
  tpl_value *keys = dict->keys, *values = dict->values;
  if (style->sorted && count > 1) {
    ZH_TRY(tpl_alloc(&keys, run, count, sizeof *keys));
    ZH_TRY(tpl_alloc(&values, run, count, sizeof *values));
    memcpy(keys, dict->keys, count * sizeof *keys);
    memcpy(values, dict->values, count * sizeof *values);
    ZH_TRY(tpl_sort(run, keys, values, count, false));
  }
  zh_text_puts(out, "{");
  for (size_t i = 0; i < count; i++) {
    json_gap(out, style, depth + 1, i == 0);
    ZH_TRY(json_key(out, run, keys[i], style));
    zh_text_append(out, style->key, style->key_length);
    ZH_TRY(tpl_print_json(out, run, values[i], style, depth + 1));
  }
  if (count > 0) json_gap(out, style, depth, true);
  zh_text_puts(out, "}");
  return ZH_OK;
}

zh_status tpl_print_json(zh_text *out, tpl_run *run, tpl_value value, const tpl_json_style *style,
                         int depth) {
  if (depth > NESTED_MAX || out->length > run->output)
    return tpl_fail(run, "%s", "a value is too large or nested too deeply for JSON");
  ZH_TRY(tpl_charge(run, 0));
  ZH_TRY(tpl_need_defined(run, value));
  switch (value.kind) {
  case TPL_NONE:
  case TPL_BOOL:
    zh_text_puts(out, json_word(value));
    return ZH_OK;
  case TPL_INT:
  case TPL_FLOAT:
    json_number(out, value);
    return ZH_OK;
  case TPL_STRING:
    return json_text(out, run, value.as.string, style->ascii);
  case TPL_LIST:
    return json_list(out, run, value, style, depth);
  case TPL_DICT:
    return json_dict(out, run, value.as.dict, style, depth);
  default:
    return tpl_fail(run, "a value of type '%s' cannot be written as JSON", tpl_type_name(value));
  }
}
