/* Items of a task from local files: JSONL, JSON, CSV, TSV, Parquet, plain text. All rows of a file
 * have the same keys in the same order, as in the tables that other harnesses make of it; nothing
 * is rewritten: CSV is text, but for columns whose every value is a whole number in its shortest
 * form.
 */
#ifndef ZH_BENCH_QUALITY_ROWS_H
#define ZH_BENCH_QUALITY_ROWS_H

#include "core/digest.h"
#include "core/json.h"

typedef enum zh_rows_kind {
  ZH_ROWS_JSON, /* a list, an object with the list as `field`, or a value a line */
  ZH_ROWS_CSV,
  ZH_ROWS_TEXT, /* {"text": line} */
  ZH_ROWS_PARQUET,
  ZH_ROWS_UNKNOWN
} zh_rows_kind;

typedef struct zh_rows_format {
  zh_rows_kind kind;
  char separator;    /* of CSV */
  const char *field; /* of JSON; NULL: none */
} zh_rows_format;

/* By the file's ending: .jsonl .json .csv .tsv .parquet .txt */
zh_rows_format zh_rows_format_of(const char *path);

/* Appends the file's rows to *rows, an array; *files gets {"path","bytes","sm3","sha256","rows"}.
 */
ZH_MUST_CHECK zh_status zh_rows_read(json_t *rows, json_t *files, const char *path,
                                     const zh_rows_format *format, zh_error *err);
/* Gives all rows all keys (null where a row has none), in the order in which they first appeared;
 * where one number of a column has a point, all have. */
ZH_MUST_CHECK zh_status zh_rows_unify(json_t *rows, zh_error *err);

#endif
