/* Filters of text and of any value, and JSON. Those of numbers: template_numbers.c, of lists:
 * template_sequences.c. */
#include <string.h>

#include "core/regex.h"
#include "core/template_parts.h"

#define FILTER(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value v, const tpl_value *given,         \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)v

static bool missing(tpl_value v) {
  return v.kind == TPL_MISSING;
}

/* --- text --- */

/* The value as text, then a method of text. */
static zh_status by_method(tpl_value *out, tpl_run *run, tpl_value v, const char *method,
                           const tpl_value *given) {
  tpl_value text;
  ZH_TRY(tpl_to_string(&text, run, v));
  return tpl_find_in(tpl_string_methods, method)->run(out, run, text, given, NULL);
}
FILTER(run_trim) {
  UNUSED;
  return by_method(out, run, v, "strip", given);
}
FILTER(run_upper) {
  UNUSED;
  return by_method(out, run, v, "upper", given);
}
FILTER(run_lower) {
  UNUSED;
  return by_method(out, run, v, "lower", given);
}
FILTER(run_capitalize) {
  UNUSED;
  return by_method(out, run, v, "capitalize", given);
}

FILTER(run_title) {
  UNUSED;
  tpl_string *text;
  ZH_TRY(tpl_text_of(&text, run, v));
  return tpl_change_case(out, run, text, TPL_FILTER_TITLE);
}

FILTER(run_center) {
  UNUSED;
  const tpl_value width[2] = {missing(given[0]) ? tpl_int(80) : given[0], {.kind = TPL_MISSING}};
  return by_method(out, run, v, "center", width);
}

FILTER(run_replace) {
  UNUSED;
  tpl_value texts[3] = {given[0], given[1], given[2]};
  for (int i = 0; i < 2; i++) ZH_TRY(tpl_to_string(&texts[i], run, given[i]));
  if (texts[2].kind == TPL_NONE) texts[2].kind = TPL_MISSING;
  return by_method(out, run, v, "replace", texts);
}

/* Of task files alone: re.sub. */
FILTER(run_regex_replace) {
  UNUSED;
  tpl_string *text, *pattern, *by;
  tpl_value ended;
  int64_t count = 0;
  zh_regex *regex;
  zh_text made = {0};
  if (!run->tpl->style.html_json)
    return tpl_fail(run, "%s", "the filter 'regex_replace' is not known to this version");
  ZH_TRY(tpl_want_string(&text, run, v, "what 'regex_replace' changes"));
  ZH_TRY(tpl_want_string(&pattern, run, given[0], "the pattern of 'regex_replace'"));
  ZH_TRY(tpl_want_string(&by, run, given[1], "the replacement of 'regex_replace'"));
  if (!missing(given[2])) ZH_TRY(tpl_want_int(&count, run, given[2], "the count"));
  if (memchr(by->bytes, 0, by->length) != NULL)
    return tpl_fail(run, "%s", "a replacement of 'regex_replace' holds a NUL character");
  zh_text_append(&made, by->bytes, by->length);
  zh_text_append(&made, "", 1);
  ZH_TRY(tpl_take_text(&ended, run, &made)); /* with its NUL */
  ZH_TRY(tpl_charge(run, text->length * 16));
  ZH_TRY(zh_regex_compile(&regex, pattern->bytes, pattern->length, false, run->err));
  zh_status status =
      zh_regex_replace(&made, regex, text->bytes, text->length, ended.as.string->bytes,
                       count > 0 ? (size_t)count : 0, run->err);
  zh_regex_free(regex);
  if (status == ZH_OK && made.length > run->output)
    status = tpl_fail(run, "%s", "the text that 'regex_replace' makes is too long");
  if (status == ZH_OK) return tpl_take_text(out, run, &made);
  zh_text_free(&made);
  return status;
}

FILTER(run_string) {
  UNUSED;
  return tpl_to_string(out, run, v);
}

FILTER(run_safe) {
  UNUSED;
  ZH_TRY(tpl_to_string(out, run, v));
  out->safe = true;
  return ZH_OK;
}

FILTER(run_escape) {
  UNUSED;
  tpl_string *text;
  zh_text escaped = {0};
  ZH_TRY(tpl_text_of(&text, run, v));
  ZH_TRY(tpl_charge(run, text->length * 2));
  tpl_escape(&escaped, text->bytes, text->length, false);
  ZH_TRY(tpl_take_text(out, run, &escaped));
  out->safe = true;
  return ZH_OK;
}

/* Width: a number of blanks, or the text itself. */
static zh_status indention_of(tpl_string **out, tpl_run *run, tpl_value width) {
  int64_t count = 4;
  tpl_value blanks;
  if (width.kind == TPL_STRING) {
    *out = width.as.string;
    return ZH_OK;
  }
  if (!missing(width)) ZH_TRY(tpl_want_int(&count, run, width, "the width of 'indent'"));
  ZH_TRY(tpl_borrow_string(&blanks, run, " ", 1));
  ZH_TRY(tpl_arithmetic(&blanks, run, "*", blanks, tpl_int(count)));
  *out = blanks.as.string;
  return ZH_OK;
}

static zh_status flag_of(bool *out, tpl_run *run, tpl_value v) {
  *out = false;
  return missing(v) ? ZH_OK : tpl_truth(out, run, v);
}

FILTER(run_indent) {
  UNUSED;
  tpl_string *text, *by;
  bool first, blank;
  zh_text made = {0};
  ZH_TRY(tpl_want_string(&text, run, v, "what 'indent' moves"));
  ZH_TRY(indention_of(&by, run, given[0]));
  ZH_TRY(flag_of(&first, run, given[1]));
  ZH_TRY(flag_of(&blank, run, given[2]));
  ZH_TRY(tpl_charge(run, text->length * 4));
  if (first) zh_text_append(&made, by->bytes, by->length);
  /* An ended text has one more, empty line after it: Jinja adds a line end before it cuts. */
  bool more = true;
  for (size_t at = 0, line = 0; more; line++) {
    size_t body, end;
    tpl_line(&body, &end, text->bytes + at, text->length - at);
    more = end > 0;
    if (line > 0) zh_text_puts(&made, "\n");
    if (line > 0 && (blank || body > 0)) zh_text_append(&made, by->bytes, by->length);
    zh_text_append(&made, text->bytes + at, body);
    at += body + end;
    if (made.length > run->output) {
      zh_text_free(&made);
      return tpl_fail(run, "%s", "the text that 'indent' makes is too long");
    }
  }
  return tpl_take_text(out, run, &made);
}

FILTER(run_truncate) {
  UNUSED;
  int64_t length = 255, leeway = 5;
  bool kill;
  tpl_value end, text, part;
  size_t points;
  ZH_TRY(tpl_length(&points, run, v));
  ZH_TRY(tpl_borrow_string(&end, run, "...", 3));
  if (!missing(given[0])) ZH_TRY(tpl_want_int(&length, run, given[0], "the length"));
  ZH_TRY(flag_of(&kill, run, given[1]));
  if (!missing(given[2])) ZH_TRY(tpl_to_string(&end, run, given[2]));
  if (!missing(given[3]) && given[3].kind != TPL_NONE)
    ZH_TRY(tpl_want_int(&leeway, run, given[3], "the leeway"));
  int64_t tail = (int64_t)tpl_points(end.as.string);
  if (length < tail || leeway < 0)
    return tpl_fail(run, "%s", "'truncate' needs a length of at least its end's");
  *out = text = v;
  if ((int64_t)points <= length + leeway) return ZH_OK;
  if (v.kind != TPL_STRING)
    return tpl_fail(run, "'truncate' shortens text, not a value of type '%s'", tpl_type_name(v));
  const tpl_value bounds[3] = {tpl_none(), tpl_int(length - tail), tpl_none()};
  ZH_TRY(tpl_slice(&part, run, text, bounds));
  size_t bytes = part.as.string->length;
  while (!kill && bytes > 0 && part.as.string->bytes[bytes - 1] != ' ') bytes--;
  if (!kill && bytes > 0) ZH_TRY(tpl_borrow_string(&part, run, part.as.string->bytes, bytes - 1));
  return tpl_arithmetic(out, run, "+", part, end);
}

FILTER(run_format) {
  UNUSED;
  tpl_string *format;
  tpl_value values;
  ZH_TRY(tpl_text_of(&format, run, v));
  if (args->named_count > 0)
    return tpl_fail(run, "%s", "'format' with names is not known to this version");
  ZH_TRY(tpl_new_list(&values, run, args->count, TPL_TUPLE));
  if (args->count > 0)
    memcpy(values.as.list->items, args->given, args->count * sizeof *args->given);
  return tpl_percent(out, run, format, values);
}

/* --- any value --- */

FILTER(run_default) {
  UNUSED;
  bool also_false, truth = true;
  ZH_TRY(flag_of(&also_false, run, given[1]));
  if (v.kind != TPL_UNDEFINED && also_false) ZH_TRY(tpl_truth(&truth, run, v));
  *out = v;
  if (v.kind != TPL_UNDEFINED && truth) return ZH_OK;
  if (missing(given[0])) return tpl_borrow_string(out, run, "", 0);
  *out = given[0];
  return ZH_OK;
}

FILTER(run_length) {
  UNUSED;
  size_t length;
  ZH_TRY(tpl_length(&length, run, v));
  *out = tpl_int((int64_t)length);
  return ZH_OK;
}

/* --- JSON --- */

static zh_status json_separators(tpl_json_style *style, tpl_run *run, tpl_value pair) {
  if (missing(pair) || pair.kind == TPL_NONE) return ZH_OK;
  tpl_value *items;
  tpl_string *item, *key;
  size_t count = 0;
  if (pair.kind == TPL_LIST) ZH_TRY(tpl_items(&items, &count, run, pair));
  if (count != 2) return tpl_fail(run, "%s", "the separators of 'tojson' are a pair of texts");
  ZH_TRY(tpl_want_string(&item, run, items[0], "a separator of 'tojson'"));
  ZH_TRY(tpl_want_string(&key, run, items[1], "a separator of 'tojson'"));
  style->item = item->bytes;
  style->item_length = item->length;
  style->key = key->bytes;
  style->key_length = key->length;
  return ZH_OK;
}

enum { JSON_INDENT_MAX = 64 };

static zh_status json_indent(tpl_json_style *style, tpl_run *run, tpl_value indent) {
  if (missing(indent) || indent.kind == TPL_NONE) return ZH_OK;
  tpl_string *by;
  if (indent.kind == TPL_INT && indent.as.integer < 0) indent = tpl_int(0);
  ZH_TRY(indention_of(&by, run, indent));
  if (by->length > JSON_INDENT_MAX)
    return tpl_fail(run, "'tojson' indents by %d columns at most", JSON_INDENT_MAX);
  style->indent = by->bytes;
  style->indent_length = by->length;
  style->item_length = 1; /* the line end takes the blank's place */
  return ZH_OK;
}

/* Parameters differ: chat templates' is json.dumps, Jinja's own knows only the indent. */
FILTER(run_tojson) {
  UNUSED;
  bool html = run->tpl->style.html_json;
  tpl_json_style style = {.item = ", ", .item_length = 2, .key = ": ", .key_length = 2};
  zh_text text = {0}, escaped = {0};
  style.ascii = style.sorted = html;
  for (size_t i = 0; html && i < args->named_count; i++)
    if (strcmp(args->names[i], "indent") != 0)
      return tpl_fail(run, "'tojson' of task files does not take '%s'", args->names[i]);
  ZH_TRY(json_indent(&style, run, html && args->count > 0 ? given[0] : given[1]));
  ZH_TRY(json_separators(&style, run, given[2]));
  if (!html) ZH_TRY(flag_of(&style.ascii, run, given[0]));
  if (!html) ZH_TRY(flag_of(&style.sorted, run, given[3]));
  zh_status status = tpl_print_json(&text, run, v, &style, 0);
  if (status != ZH_OK || !html) {
    if (status == ZH_OK) return tpl_take_text(out, run, &text);
    zh_text_free(&text);
    return status;
  }
  tpl_escape(&escaped, zh_text_string(&text), text.length, true);
  zh_text_free(&text);
  ZH_TRY(tpl_take_text(out, run, &escaped));
  out->safe = true;
  return ZH_OK;
}

static const tpl_builtin filters[] = {
    {"trim", run_trim, "?chars"},
    {"upper", run_upper, ""},
    {"lower", run_lower, ""},
    {"capitalize", run_capitalize, ""},
    {"title", run_title, ""},
    {"center", run_center, "?width"},
    {"replace", run_replace, "old new ?count"},
    {"regex_replace", run_regex_replace, "pattern repl ?count"},
    {"string", run_string, ""},
    {"safe", run_safe, ""},
    {"escape", run_escape, ""},
    {"e", run_escape, ""},
    {"indent", run_indent, "?width ?first ?blank"},
    {"truncate", run_truncate, "?length ?killwords ?end ?leeway"},
    {"format", run_format, "*"},
    {"default", run_default, "?default_value ?boolean"},
    {"d", run_default, "?default_value ?boolean"},
    {"length", run_length, ""},
    {"count", run_length, ""},
    {"tojson", run_tojson, "?ensure_ascii ?indent ?separators ?sort_keys"},
    {NULL, NULL, NULL}};

const tpl_builtin *tpl_find_filter(const char *name) {
  const tpl_builtin *found = tpl_find_in(filters, name);
  if (!found) found = tpl_find_in(tpl_number_filters, name);
  return found ? found : tpl_find_in(tpl_sequence_filters, name);
}

const char *tpl_guess(char out[ZH_GUESS_BYTES], const char *name, bool tests) {
  const char *names[64] = {NULL};
  size_t count = 0;
  if (tests) {
    out[0] = 0;
    return out;
  }
  for (const tpl_builtin *at = filters; at->name && count < 62; at++) names[count++] = at->name;
  for (const tpl_builtin *at = tpl_number_filters; at->name && count < 62; at++)
    names[count++] = at->name;
  for (const tpl_builtin *at = tpl_sequence_filters; at->name && count < 62; at++)
    names[count++] = at->name;
  return zh_did_you_mean(out, name, names);
}
