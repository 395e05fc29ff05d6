/* 'text %s' % value and 'text {}'.format(value): the simple forms, the others refused by name. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/template_parts.h"

enum { WIDTH_MAX = 1000 };

/* What stands between the sign of a format and its letter. */
typedef struct field {
  char flags[8];
  int width, precision; /* -1: none */
} field;

static const char *read_number(int *out, const char *at, const char *end) {
  *out = 0;
  while (at < end && *at >= '0' && *at <= '9' && *out <= WIDTH_MAX)
    *out = *out * 10 + (*at++ - '0');
  return at;
}

static zh_status read_field(field *out, const char **at, const char *end, tpl_run *run) {
  size_t flags = 0;
  *out = (field){.precision = -1};
  while (*at < end && strchr("-+ 0", **at) && flags < sizeof out->flags - 1)
    out->flags[flags++] = *(*at)++;
  *at = read_number(&out->width, *at, end);
  if (*at < end && **at == '.') *at = read_number(&out->precision, *at + 1, end);
  if (out->width > WIDTH_MAX || out->precision > WIDTH_MAX)
    return tpl_fail(run, "a format is at most %d wide", WIDTH_MAX);
  return ZH_OK;
}

static void pad(zh_text *out, const field *how, const tpl_string *text) {
  bool left = strchr(how->flags, '-') != NULL;
  tpl_string copy = *text;
  int blanks = how->width - (int)(tpl_points(&copy) < WIDTH_MAX ? tpl_points(&copy) : WIDTH_MAX);
  if (!left && blanks > 0) zh_text_printf(out, "%*s", blanks, "");
  zh_text_append(out, text->bytes, text->length);
  if (left && blanks > 0) zh_text_printf(out, "%*s", blanks, "");
}

static zh_status put_text(zh_text *out, tpl_run *run, const field *how, tpl_value value,
                          bool repr) {
  zh_text made = {0};
  zh_status status = repr ? tpl_print_repr(&made, run, value) : tpl_print(&made, run, value);
  tpl_value text;
  if (status != ZH_OK) {
    zh_text_free(&made);
    return status;
  }
  ZH_TRY(tpl_take_text(&text, run, &made));
  if (how->precision >= 0 && (size_t)how->precision < tpl_points(text.as.string))
    text.as.string->length = tpl_byte_of(text.as.string, (size_t)how->precision);
  text.as.string->points = SIZE_MAX;
  pad(out, how, text.as.string);
  return ZH_OK;
}

/* %d %i %f %e %g by the C library, whose answers are Python's. */
static zh_status put_number(zh_text *out, tpl_run *run, const field *how, char letter,
                            tpl_value value) {
  char format[32], made[2600];
  bool whole = letter == 'd' || letter == 'i';
  ZH_TRY(tpl_need_defined(run, value));
  if (value.kind != TPL_INT && value.kind != TPL_BOOL && value.kind != TPL_FLOAT)
    return tpl_fail(run, "'%%%c' needs a number, not a value of type '%s'", letter,
                    tpl_type_name(value));
  double real = value.kind == TPL_FLOAT  ? value.as.real
                : value.kind == TPL_BOOL ? value.as.truth
                                         : (double)value.as.integer;
  int64_t integer = value.kind == TPL_BOOL ? value.as.truth : value.as.integer;
  if (whole && value.kind == TPL_FLOAT) {
    if (!(fabs(real) < 9e18)) return tpl_fail(run, "'%%%c' of a number beyond 64 bits", letter);
    integer = (int64_t)real;
  }
  snprintf(format, sizeof format, "%%%s*.*%s%c", how->flags, whole ? "l" : "",
           whole ? 'd' : letter);
  int precision = how->precision >= 0 ? how->precision : whole ? 1 : 6;
  if (whole && how->precision < 0) {
    snprintf(format, sizeof format, "%%%s*ld", how->flags);
    snprintf(made, sizeof made, format, how->width, (long)integer);
  } else if (whole) {
    snprintf(made, sizeof made, format, how->width, precision, (long)integer);
  } else {
    snprintf(made, sizeof made, format, how->width, precision, real);
  }
  zh_text_puts(out, made);
  return ZH_OK;
}

static zh_status put_value(zh_text *out, tpl_run *run, const field *how, char letter,
                           tpl_value value) {
  if (letter == 's' || letter == 'r') return put_text(out, run, how, value, letter == 'r');
  if (strchr("difeg", letter) && letter) return put_number(out, run, how, letter, value);
  return tpl_fail(run, "the format '%%%c' is not known to this version", letter ? letter : '?');
}

static zh_status put_percent(zh_text *out, tpl_run *run, const tpl_string *format,
                             tpl_value value) {
  const char *at = format->bytes, *end = at + format->length;
  bool tuple = value.kind == TPL_LIST && value.as.list->form == TPL_TUPLE;
  size_t used = 0, count = tuple ? value.as.list->count : 1;
  while (at < end) {
    const char *sign = memchr(at, '%', (size_t)(end - at));
    zh_text_append(out, at, (size_t)((sign ? sign : end) - at));
    if (!sign) break;
    at = sign + 1;
    if (at < end && *at == '(')
      return tpl_fail(run, "%s", "formats with names are not known to this version");
    field how;
    ZH_TRY(read_field(&how, &at, end, run));
    if (at >= end) return tpl_fail(run, "%s", "the format ends within '%'");
    if (*at == '%') {
      zh_text_puts(out, "%");
      at++;
      continue;
    }
    if (used >= count) return tpl_fail(run, "the format needs more than %zu values", count);
    ZH_TRY(put_value(out, run, &how, *at++, tuple ? value.as.list->items[used] : value));
    used++;
    if (out->length > run->output) return tpl_fail(run, "%s", "the formatted text is too long");
  }
  /* A dictionary or list may stay unused, as in Python. */
  bool loose = !tuple && (value.kind == TPL_DICT || value.kind == TPL_LIST);
  if (used < count && !loose)
    return tpl_fail(run, "the format uses %zu of %zu values", used, count);
  return ZH_OK;
}

zh_status tpl_percent(tpl_value *out, tpl_run *run, const tpl_string *format, tpl_value value) {
  zh_text text = {0};
  ZH_TRY(tpl_charge(run, format->length));
  zh_status status = put_percent(&text, run, format, value);
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}

/* --- braces --- */

/* The value that "", "0" or "name" in braces means. */
static zh_status find_value(tpl_value *out, tpl_run *run, const char *name, size_t length,
                            const tpl_arguments *args, size_t *next) {
  bool digits = length > 0 && length < 6;
  size_t index = 0;
  for (size_t i = 0; i < length && digits; i++) {
    digits = name[i] >= '0' && name[i] <= '9';
    index = index * 10 + (size_t)(name[i] - '0');
  }
  if (length == 0) index = (*next)++;
  if (length == 0 || digits) {
    if (index >= args->count) return tpl_fail(run, "'format' is given no value %zu", index);
    *out = args->given[index];
    return ZH_OK;
  }
  for (size_t i = 0; i < args->named_count; i++) {
    if (strlen(args->names[i]) != length || memcmp(args->names[i], name, length) != 0) continue;
    *out = args->named[i];
    return ZH_OK;
  }
  return tpl_fail(run,
                  "'format' is given no value '%.*s', or it asks for more of it than this "
                  "version knows",
                  (int)(length < 40 ? length : 40), name);
}

/* ":d", ":.2f", ":>8" and the like would follow the name; only numbers' simplest are known. */
static zh_status put_braced(zh_text *out, tpl_run *run, tpl_value value, const char *spec,
                            size_t length) {
  field how = {.precision = -1};
  const char *at = spec, *end = spec + length;
  if (length == 0) return put_text(out, run, &how, value, false);
  bool number = value.kind == TPL_INT || value.kind == TPL_FLOAT;
  ZH_TRY(read_field(&how, &at, end, run));
  bool letter = at + 1 == end && strchr("dfeg", *at) && !strchr(how.flags, '-');
  if (number && letter && !(*at == 'd' && (value.kind == TPL_FLOAT || how.precision >= 0)))
    return put_number(out, run, &how, *at, value);
  return tpl_fail(run, "the format ':%.*s' is not known to this version",
                  (int)(length < 40 ? length : 40), spec);
}

static zh_status put_braces(zh_text *out, tpl_run *run, const tpl_string *format,
                            const tpl_arguments *args) {
  const char *at = format->bytes, *end = at + format->length;
  size_t next = 0;
  while (at < end) {
    char c = *at++;
    if ((c == '{' || c == '}') && at < end && *at == c) {
      zh_text_append(out, at++, 1);
    } else if (c == '}') {
      return tpl_fail(run, "%s", "a '}' alone in the text of 'format'");
    } else if (c != '{') {
      zh_text_append(out, &c, 1);
    } else {
      const char *close = memchr(at, '}', (size_t)(end - at));
      if (!close) return tpl_fail(run, "%s", "a '{' alone in the text of 'format'");
      const char *colon = memchr(at, ':', (size_t)(close - at)), *stop = colon ? colon : close;
      tpl_value value;
      ZH_TRY(find_value(&value, run, at, (size_t)(stop - at), args, &next));
      ZH_TRY(put_braced(out, run, value, colon ? colon + 1 : close,
                        colon ? (size_t)(close - colon - 1) : 0));
      at = close + 1;
    }
    if (out->length > run->output) return tpl_fail(run, "%s", "the formatted text is too long");
  }
  return ZH_OK;
}

zh_status tpl_braces(tpl_value *out, tpl_run *run, const tpl_string *format,
                     const tpl_arguments *args) {
  zh_text text = {0};
  ZH_TRY(tpl_charge(run, format->length));
  zh_status status = put_braces(&text, run, format, args);
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}
