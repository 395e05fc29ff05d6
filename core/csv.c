#include "core/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"

enum { MAX_COLUMNS = 4096 };
static const zh_csv_form USUAL = {
    .separator = ',', .remarks = true, .max_bytes = (size_t)256 << 20};

struct zh_csv {
  char *path, *text, *end;
  char *at; /* what is not read yet */
  char *remarks;
  zh_csv_form form;
  size_t line, next_line; /* of the current row, of what follows it */
  size_t columns;
  char *names[MAX_COLUMNS], *fields[MAX_COLUMNS];
};

const char *zh_csv_path(const zh_csv *csv) {
  return csv->path;
}

const char *zh_csv_remarks(const zh_csv *csv) {
  return csv->remarks;
}

size_t zh_csv_columns(const zh_csv *csv) {
  return csv->columns;
}

const char *zh_csv_name(const zh_csv *csv, size_t column) {
  return csv->names[column];
}

size_t zh_csv_line(const zh_csv *csv) {
  return csv->line;
}

const char *zh_csv_field(const zh_csv *csv, size_t column) {
  return csv->fields[column];
}

bool zh_csv_find(size_t *column, const zh_csv *csv, const char *name) {
  for (size_t i = 0; i < csv->columns; i++) {
    if (strcmp(csv->names[i], name) != 0) continue;
    *column = i;
    return true;
  }
  return false;
}

zh_status zh_csv_require(size_t *column, const zh_csv *csv, const char *name, zh_error *err) {
  if (zh_csv_find(column, csv, name)) return ZH_OK;
  const char *names[MAX_COLUMNS + 1] = {NULL};
  char guess[ZH_GUESS_BYTES];
  for (size_t i = 0; i < csv->columns; i++) names[i] = csv->names[i];
  return zh_fail(err, ZH_ERR_INPUT, "%s: the header has no column '%s'%s", csv->path, name,
                 zh_did_you_mean(guess, name, names));
}

/* "a ""b""" → a "b", in place. The opening quote stands before `at`; *out is behind the closing
 * one, NULL where there is none. */
static char *unquote(char **out, char *at, const char *end, size_t *lines) {
  char *to = at;
  for (; at < end; at++) {
    if (*at == '\n') (*lines)++;
    if (*at == '"') {
      if (at + 1 == end || at[1] != '"') {
        *out = at + 1;
        return to;
      }
      at++;
    }
    *to++ = *at;
  }
  *out = NULL;
  return to;
}

/* Where a row's end stands at `at`: how many bytes it takes; 0 elsewhere. */
static size_t line_end(const char *at, const char *end) {
  if (at == end || *at == '\n') return 1; /* the NUL behind the text, or LF */
  return at[0] == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 0;
}

/* Cuts one field off; *last says that the row ends behind it. */
static zh_status cut_field(char **field, bool *last, zh_csv *csv, zh_error *err) {
  char *at = csv->at, *stop = at;
  size_t taken;
  if (*at == '"') {
    char *behind;
    *field = at + 1;
    stop = unquote(&behind, at + 1, csv->end, &csv->next_line);
    if (behind == NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: a quote opens in this row and does not close",
                     csv->path, csv->line);
    at = behind;
    taken = line_end(at, csv->end);
    if (taken == 0 && *at != csv->form.separator)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: a %s must follow the closing quote", csv->path,
                     csv->line, csv->form.separator == '\t' ? "tab" : "comma");
  } else {
    *field = at;
    while (at < csv->end && *at != csv->form.separator && line_end(at, csv->end) == 0) at++;
    stop = at;
    taken = line_end(at, csv->end);
  }
  *last = taken > 0;
  csv->next_line += taken > 0;
  csv->at = at == csv->end ? at : at + (taken > 0 ? taken : 1);
  *stop = '\0';
  return ZH_OK;
}

static void skip_empty_lines(zh_csv *csv) {
  size_t taken;
  while (csv->at < csv->end && (taken = line_end(csv->at, csv->end)) > 0) {
    csv->at += taken;
    csv->next_line++;
  }
}

static zh_status cut_row(size_t *count, char **fields, zh_csv *csv, zh_error *err) {
  bool last = false;
  csv->line = csv->next_line;
  for (*count = 0; !last; ++*count) {
    if (*count == MAX_COLUMNS)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: a row has at most %d fields", csv->path, csv->line,
                     MAX_COLUMNS);
    ZH_TRY(cut_field(&fields[*count], &last, csv, err));
  }
  return ZH_OK;
}

zh_status zh_csv_next(bool *more, zh_csv *csv, zh_error *err) {
  size_t count;
  skip_empty_lines(csv);
  *more = csv->at < csv->end;
  if (!*more) return ZH_OK;
  ZH_TRY(cut_row(&count, csv->fields, csv, err));
  if (count == csv->columns) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: %zu fields, where the header has %zu", csv->path,
                 csv->line, count, csv->columns);
}

/* Remarks and the header. */
static zh_status read_head(zh_csv *csv, zh_error *err) {
  csv->at += zh_utf8_mark(csv->at, (size_t)(csv->end - csv->at));
  char *begin = csv->at;
  skip_empty_lines(csv);
  while (csv->form.remarks && csv->at < csv->end && *csv->at == '#') {
    while (csv->at < csv->end && *csv->at != '\n') csv->at++;
    skip_empty_lines(csv);
  }
  csv->remarks = strndup(begin, (size_t)(csv->at - begin));
  if (csv->remarks == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %s", csv->path);
  if (csv->at == csv->end)
    return zh_fail(err, ZH_ERR_INPUT, "%s: there is no header line", csv->path);
  ZH_TRY(cut_row(&csv->columns, csv->names, csv, err));
  for (size_t i = 0; i < csv->columns; i++) {
    size_t first;
    if (zh_csv_find(&first, csv, csv->names[i]) && first != i)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: the column '%s' is named twice", csv->path,
                     csv->line, csv->names[i]);
  }
  return ZH_OK;
}

static zh_status check_text(const char *path, const char *text, size_t length, zh_error *err) {
  const char *nul = memchr(text, '\0', length);
  if (nul != NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: byte %zu is NUL; a table is text", path,
                   (size_t)(nul - text));
  size_t valid = zh_utf8_valid_prefix(text, length);
  if (valid == length) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: byte %zu is not UTF-8; save the table as UTF-8", path,
                 valid);
}

zh_status zh_csv_open(zh_csv **out, const char *path, const zh_csv_form *form, zh_error *err) {
  *out = NULL;
  zh_csv *csv = calloc(1, sizeof *csv);
  size_t length = 0;
  zh_status status = csv == NULL || (csv->path = strdup(path)) == NULL
                         ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for %s", path)
                         : ZH_OK;
  if (status == ZH_OK) {
    csv->form = form ? *form : USUAL;
    status = zh_read_file(&csv->text, &length, path, csv->form.max_bytes, err);
  }
  if (status == ZH_OK) status = check_text(path, csv->text, length, err);
  if (status == ZH_OK) {
    csv->at = csv->text;
    csv->end = csv->text + length;
    csv->next_line = 1;
    status = read_head(csv, err);
  }
  if (status == ZH_OK)
    *out = csv;
  else
    zh_csv_free(csv);
  return status;
}

void zh_csv_free(zh_csv *csv) {
  if (csv == NULL) return;
  free(csv->path);
  free(csv->text);
  free(csv->remarks);
  free(csv);
}

void zh_csv_put(zh_text *out, const char *field) {
  if (!strpbrk(field, ",\"\r\n")) {
    zh_text_puts(out, field);
    return;
  }
  zh_text_puts(out, "\"");
  for (; *field; field++) {
    if (*field == '"') zh_text_puts(out, "\"");
    zh_text_append(out, field, 1);
  }
  zh_text_puts(out, "\"");
}
