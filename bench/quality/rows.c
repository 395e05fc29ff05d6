#include "bench/quality/rows.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/parquet.h"
#include "core/csv.h"
#include "core/files.h"
#include "core/text.h"

enum { FILE_BYTES = 1 << 30 };

static zh_status no_memory(const char *path, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path);
}

zh_rows_format zh_rows_format_of(const char *path) {
  static const struct {
    const char *end;
    zh_rows_format format;
  } known[] = {{".jsonl", {ZH_ROWS_JSON, 0, NULL}},      {".json", {ZH_ROWS_JSON, 0, NULL}},
               {".csv", {ZH_ROWS_CSV, ',', NULL}},       {".tsv", {ZH_ROWS_CSV, '\t', NULL}},
               {".parquet", {ZH_ROWS_PARQUET, 0, NULL}}, {".txt", {ZH_ROWS_TEXT, 0, NULL}}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (zh_ends_in(path, known[i].end)) return known[i].format;
  return (zh_rows_format){.kind = ZH_ROWS_UNKNOWN};
}

/* ---- JSON ---- */

typedef struct lines {
  json_t *rows;
  const char *path;
} lines;

static zh_status add_line(void *user, size_t line, json_t *value, zh_error *err) {
  lines *l = user;
  if (!json_is_object(value))
    return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: a line must be an object, {\"key\": …}", l->path,
                   line);
  return json_array_append(l->rows, value) == 0 ? ZH_OK : no_memory(l->path, err);
}

static zh_status read_json(json_t *rows, const char *path, const char *field, zh_error *err) {
  json_t *whole;
  ZH_TRY(zh_json_load_file(&whole, path, FILE_BYTES, err));
  const json_t *list = json_is_object(whole) && field ? json_object_get(whole, field) : whole;
  zh_status status = ZH_OK;
  if (!json_is_array(list))
    status = zh_fail(err, ZH_ERR_INPUT, "%s: a list of objects was expected%s%s%s", path,
                     field ? " as '" : "", field ? field : "", field ? "'" : "");
  for (size_t i = 0; status == ZH_OK && i < json_array_size(list); i++) {
    json_t *row = json_array_get(list, i);
    if (!json_is_object(row))
      status = zh_fail(err, ZH_ERR_INPUT, "%s: item %zu of the list is not an object", path, i);
    else if (json_array_append(rows, row) != 0)
      status = no_memory(path, err);
  }
  json_decref(whole);
  return status;
}

/* A list begins with '[' or stands in a field; else each line is a row. */
static zh_status read_json_or_lines(json_t *rows, const char *path, const char *field,
                                    zh_error *err) {
  zh_mapping file;
  ZH_TRY(zh_map_file(&file, path, err));
  size_t at = zh_utf8_mark((const char *)file.data, file.bytes);
  while (at < file.bytes && strchr(" \t\r\n", file.data[at]) != NULL && file.data[at] != 0) at++;
  bool list = field != NULL || (at < file.bytes && file.data[at] == '[');
  zh_unmap(&file);
  if (list) return read_json(rows, path, field, err);
  lines l = {rows, path};
  return zh_jsonl_read(path, add_line, &l, err);
}

/* ---- CSV ---- */

static zh_status add_record(json_t *rows, const zh_csv *csv, zh_error *err) {
  json_t *row = json_object();
  for (size_t i = 0; row && i < zh_csv_columns(csv); i++)
    json_object_set_new(row, zh_csv_name(csv, i), json_string(zh_csv_field(csv, i)));
  return row && json_array_append_new(rows, row) == 0 ? ZH_OK : no_memory(zh_csv_path(csv), err);
}

/* As short as it can be written: "0", "-7", "42", not "007" or "+1". */
static bool is_plain_whole(const char *text) {
  const char *digits = text + (text[0] == '-');
  size_t length = strlen(digits);
  if (length == 0 || length > 18 || strspn(digits, "0123456789") != length) return false;
  return digits[0] != '0' || (length == 1 && text[0] != '-');
}

/* Columns of whole numbers alone become numbers: nothing is lost by it. */
static void number_columns(json_t *rows, size_t first, const zh_csv *csv) {
  for (size_t column = 0; column < zh_csv_columns(csv); column++) {
    const char *name = zh_csv_name(csv, column);
    bool whole = first < json_array_size(rows);
    for (size_t i = first; whole && i < json_array_size(rows); i++)
      whole = is_plain_whole(json_string_value(json_object_get(json_array_get(rows, i), name)));
    for (size_t i = first; whole && i < json_array_size(rows); i++) {
      json_t *row = json_array_get(rows, i);
      const char *text = json_string_value(json_object_get(row, name));
      json_object_set_new(row, name, json_integer(strtoll(text, NULL, 10)));
    }
  }
}

static zh_status read_csv(json_t *rows, const char *path, char separator, zh_error *err) {
  const zh_csv_form form = {.separator = separator, .max_bytes = FILE_BYTES};
  zh_csv *csv;
  ZH_TRY(zh_csv_open(&csv, path, &form, err));
  size_t first = json_array_size(rows);
  bool more = true;
  zh_status status = ZH_OK;
  while (status == ZH_OK && more) {
    status = zh_csv_next(&more, csv, err);
    if (status == ZH_OK && more) status = add_record(rows, csv, err);
  }
  if (status == ZH_OK) number_columns(rows, first, csv);
  zh_csv_free(csv);
  return status;
}

static zh_status read_text(json_t *rows, const char *path, zh_error *err) {
  char *text;
  size_t length;
  ZH_TRY(zh_read_file(&text, &length, path, FILE_BYTES, err));
  size_t valid = zh_utf8_valid_prefix(text, length);
  zh_status status =
      valid == length ? ZH_OK
                      : zh_fail(err, ZH_ERR_INPUT, "%s: byte %zu is not valid UTF-8", path, valid);
  for (size_t at = zh_utf8_mark(text, length); status == ZH_OK && at < length;) {
    const char *end = memchr(text + at, '\n', length - at);
    size_t size = end ? (size_t)(end - text) - at : length - at;
    size_t kept = size > 0 && text[at + size - 1] == '\r' ? size - 1 : size;
    json_t *row = json_pack("{s:s%}", "text", text + at, kept);
    if (!row || json_array_append_new(rows, row) != 0) status = no_memory(path, err);
    at += size + 1;
  }
  free(text);
  return status;
}

zh_status zh_rows_read(json_t *rows, json_t *files, const char *path, const zh_rows_format *format,
                       zh_error *err) {
  char sm3[ZH_DIGEST_HEX], sha256[ZH_DIGEST_HEX];
  size_t first = json_array_size(rows);
  switch (format->kind) {
  case ZH_ROWS_JSON:
    ZH_TRY(read_json_or_lines(rows, path, format->field, err));
    break;
  case ZH_ROWS_CSV:
    ZH_TRY(read_csv(rows, path, format->separator, err));
    break;
  case ZH_ROWS_PARQUET:
    ZH_TRY(zh_parquet_read(rows, path, err));
    break;
  case ZH_ROWS_TEXT:
    ZH_TRY(read_text(rows, path, err));
    break;
  default:
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: its ending says nothing; .jsonl, .json, .csv, .tsv, .parquet and .txt are read", path);
  }
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, path, err));
  ZH_TRY(zh_digest_file(sha256, ZH_SHA256, path, err));
  json_t *file =
      json_pack("{s:s, s:I, s:s, s:s, s:I}", "path", path, "bytes", (json_int_t)zh_file_bytes(path),
                "sm3", sm3, "sha256", sha256, "rows", (json_int_t)(json_array_size(rows) - first));
  return file && json_array_append_new(files, file) == 0 ? ZH_OK : no_memory(path, err);
}

/* ---- the same keys everywhere ---- */

/* What stands at a place of all rows: {"keys": {name: shape}, "items": shape, "real": true}. */
static bool learn(json_t *shape, const json_t *value) {
  const char *key;
  json_t *item;
  bool good = true;
  if (json_is_real(value)) return json_object_set_new(shape, "real", json_true()) == 0;
  if (json_is_object(value)) {
    json_t *keys = json_object_get(shape, "keys");
    if (!keys) json_object_set_new(shape, "keys", keys = json_object());
    json_object_foreach((json_t *)(uintptr_t)value, key, item) {
      json_t *inner = json_object_get(keys, key);
      if (!inner) good &= json_object_set_new(keys, key, inner = json_object()) == 0;
      good = good && learn(inner, item);
    }
  }
  if (json_is_array(value)) {
    json_t *inner = json_object_get(shape, "items");
    if (!inner) good &= json_object_set_new(shape, "items", inner = json_object()) == 0;
    for (size_t i = 0; good && i < json_array_size(value); i++)
      good = learn(inner, json_array_get(value, i));
  }
  return good;
}

/* New reference; NULL when memory is short. */
static json_t *fitted(json_t *value, const json_t *shape) {
  const char *key;
  json_t *inner;
  if (json_is_integer(value) && json_object_get(shape, "real"))
    return json_real((double)json_integer_value(value));
  if (json_is_object(value)) {
    json_t *out = json_object();
    json_object_foreach(json_object_get(shape, "keys"), key, inner) {
      json_t *item = json_object_get(value, key);
      json_t *made = item ? fitted(item, inner) : json_null();
      if (!out || json_object_set_new(out, key, made) != 0) {
        json_decref(out);
        return NULL;
      }
    }
    return out;
  }
  if (json_is_array(value)) {
    json_t *out = json_array();
    for (size_t i = 0; out && i < json_array_size(value); i++) {
      json_t *made = fitted(json_array_get(value, i), json_object_get(shape, "items"));
      if (json_array_append_new(out, made) != 0) {
        json_decref(out);
        return NULL;
      }
    }
    return out;
  }
  return json_incref(value);
}

zh_status zh_rows_unify(json_t *rows, zh_error *err) {
  json_t *shape = json_object();
  bool good = shape != NULL;
  for (size_t i = 0; good && i < json_array_size(rows); i++)
    good = learn(shape, json_array_get(rows, i));
  for (size_t i = 0; good && i < json_array_size(rows); i++) {
    json_t *row = fitted(json_array_get(rows, i), shape);
    good = row && json_array_set_new(rows, i, row) == 0;
  }
  json_decref(shape);
  return good ? ZH_OK
              : zh_fail(err, ZH_ERR_MEMORY, "out of memory (%zu rows)", json_array_size(rows));
}
