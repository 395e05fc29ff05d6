/* Tables as RFC 4180 has them: separated by commas or another character, quotes doubled, LF or CRLF,
 * UTF-8 with or without a byte order mark, one header line.
 *
 * The file is read whole and cut in place, so that fields stay where they are until the table is
 * freed. Every row must have as many fields as the header. */
#ifndef ZH_CORE_CSV_H
#define ZH_CORE_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_csv zh_csv;

typedef struct zh_csv_form {
  char separator;
  bool remarks; /* lines before the header that begin with '#' are none of the table */
  size_t max_bytes;
} zh_csv_form;

/* form NULL: commas, remarks, 256 MiB. Refuses NUL bytes, invalid UTF-8, quotes that do not close, a
 * repeated column name, and larger files. Messages: "path:line: …". */
ZH_MUST_CHECK zh_status zh_csv_open(zh_csv **out, const char *path, const zh_csv_form *form,
                                    zh_error *err);
void zh_csv_free(zh_csv *csv); /* NULL is safe */

const char *zh_csv_path(const zh_csv *csv);
const char *zh_csv_remarks(const zh_csv *csv); /* the lines before the header; "" where none */
size_t zh_csv_columns(const zh_csv *csv);
const char *zh_csv_name(const zh_csv *csv, size_t column);
/* False where the header has no such name. */
bool zh_csv_find(size_t *column, const zh_csv *csv, const char *name);
/* The same, where the column must be there. */
ZH_MUST_CHECK zh_status zh_csv_require(size_t *column, const zh_csv *csv, const char *name,
                                       zh_error *err);

/* Goes to the next row; *more is false at the end. Empty lines are passed over. */
ZH_MUST_CHECK zh_status zh_csv_next(bool *more, zh_csv *csv, zh_error *err);
size_t zh_csv_line(const zh_csv *csv); /* where the row begins, from 1 */
/* Of the current row; borrowed until the table is freed. */
const char *zh_csv_field(const zh_csv *csv, size_t column);

/* Appends a field: in quotes where it needs them. */
void zh_csv_put(zh_text *out, const char *field);

#ifdef __cplusplus
}
#endif
#endif
