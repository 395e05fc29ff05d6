#include "bench/quality/rows.h"

#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"

enum { FILE_BYTES = 1 << 30, COLUMNS_MAX = 4096 };

static zh_status no_memory(const char *path, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path);
}

zh_rows_format zh_rows_format_of(const char *path) {
  static const struct {
    const char *end;
    zh_rows_format format;
  } known[] = {{".jsonl", {ZH_ROWS_JSON, 0, NULL}},
               {".json", {ZH_ROWS_JSON, 0, NULL}},
               {".csv", {ZH_ROWS_CSV, ',', NULL}},
               {".tsv", {ZH_ROWS_CSV, '\t', NULL}},
               {".txt", {ZH_ROWS_TEXT, 0, NULL}}};
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
  size_t at = 0;
  while (at < file.bytes && strchr(" \t\r\n", file.data[at]) != NULL && file.data[at] != 0) at++;
  bool list = field != NULL || (at < file.bytes && file.data[at] == '[');
  zh_unmap(&file);
  if (list) return read_json(rows, path, field, err);
  lines l = {rows, path};
  return zh_jsonl_read(path, add_line, &l, err);
}

/* ---- CSV ---- */

typedef struct csv {
  const char *path, *at, *end;
  char separator;
  size_t line;
} csv;

/* One field into *out; *last: it ends its record. RFC 4180: quotes around, doubled within. */
static zh_status read_field(zh_text *out, bool *last, csv *c, zh_error *err) {
  out->length = 0;
  size_t begun = c->line;
  if (c->at < c->end && *c->at == '"') {
    for (c->at++;; c->at++) {
      if (c->at >= c->end)
        return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: the quote that begins here has no end", c->path,
                       begun);
      if (*c->at == '"' && (c->at + 1 >= c->end || c->at[1] != '"')) break;
      if (*c->at == '"') c->at++;
      c->line += *c->at == '\n';
      zh_text_append(out, c->at, 1);
    }
    c->at++;
  }
  while (c->at < c->end && *c->at != c->separator && *c->at != '\n' &&
         !(*c->at == '\r' && (c->at + 1 >= c->end || c->at[1] == '\n')))
    zh_text_append(out, c->at++, 1);
  *last = c->at >= c->end || *c->at != c->separator;
  if (c->at < c->end && *c->at == '\r') c->at++;
  if (c->at < c->end) {
    c->line += *c->at == '\n';
    c->at++;
  }
  return out->failed ? no_memory(c->path, err) : ZH_OK;
}

/* The fields of a record as an array of texts. */
static zh_status read_record(json_t *fields, csv *c, zh_text *held, zh_error *err) {
  bool last = false;
  json_array_clear(fields);
  while (!last) {
    size_t line = c->line;
    ZH_TRY(read_field(held, &last, c, err));
    size_t valid = held->length > 0 ? zh_utf8_valid_prefix(held->data, held->length) : 0;
    if (valid < held->length)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: byte 0x%02X is not valid UTF-8", c->path, line,
                     (unsigned char)held->data[valid]);
    if (json_array_append_new(fields, json_stringn(zh_text_string(held), held->length)) != 0)
      return no_memory(c->path, err);
    if (json_array_size(fields) > COLUMNS_MAX)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: more than %d columns", c->path, line, COLUMNS_MAX);
  }
  return ZH_OK;
}

static zh_status check_header(const json_t *header, const csv *c, zh_error *err) {
  for (size_t i = 0; i < json_array_size(header); i++)
    for (size_t j = 0; j < i; j++)
      if (json_equal(json_array_get(header, i), json_array_get(header, j)))
        return zh_fail(err, ZH_ERR_INPUT, "%s:1: the column '%.80s' is there twice", c->path,
                       json_string_value(json_array_get(header, i)));
  return ZH_OK;
}

static zh_status read_records(json_t *rows, json_t *header, json_t *fields, csv *c, zh_text *held,
                              zh_error *err) {
  ZH_TRY(read_record(header, c, held, err));
  ZH_TRY(check_header(header, c, err));
  while (c->at < c->end) {
    size_t line = c->line, columns = json_array_size(header);
    ZH_TRY(read_record(fields, c, held, err));
    bool blank = json_array_size(fields) == 1 &&
                 json_string_length(json_array_get(fields, 0)) == 0 && columns > 1;
    if (blank) continue;
    if (json_array_size(fields) != columns)
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: %zu fields, and the first line names %zu columns",
                     c->path, line, json_array_size(fields), columns);
    json_t *row = json_object();
    for (size_t i = 0; row && i < columns; i++)
      json_object_set(row, json_string_value(json_array_get(header, i)), json_array_get(fields, i));
    if (!row || json_array_append_new(rows, row) != 0) return no_memory(c->path, err);
  }
  return ZH_OK;
}

/* As short as it can be written: "0", "-7", "42", not "007" or "+1". */
static bool is_plain_whole(const char *text) {
  const char *digits = text + (text[0] == '-');
  size_t length = strlen(digits);
  if (length == 0 || length > 18 || strspn(digits, "0123456789") != length) return false;
  return digits[0] != '0' || (length == 1 && text[0] != '-');
}

/* Columns of whole numbers alone become numbers: nothing is lost by it. */
static void number_columns(json_t *rows, size_t first, const json_t *header) {
  for (size_t column = 0; column < json_array_size(header); column++) {
    const char *name = json_string_value(json_array_get(header, column));
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
  char *text;
  size_t length;
  ZH_TRY(zh_read_file(&text, &length, path, FILE_BYTES, err));
  csv c = {.path = path, .at = text, .end = text + length, .separator = separator, .line = 1};
  if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) c.at += 3;
  json_t *header = json_array(), *fields = json_array();
  zh_text held = {0};
  size_t first = json_array_size(rows);
  zh_status status =
      header && fields ? read_records(rows, header, fields, &c, &held, err) : no_memory(path, err);
  if (status == ZH_OK) number_columns(rows, first, header);
  zh_text_free(&held);
  json_decref(header);
  json_decref(fields);
  free(text);
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
  for (size_t at = 0; status == ZH_OK && at < length;) {
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
  case ZH_ROWS_TEXT:
    ZH_TRY(read_text(rows, path, err));
    break;
  default:
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: its ending says nothing; .jsonl, .json, .csv, .tsv and .txt are read",
                   path);
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
