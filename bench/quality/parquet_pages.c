/* Columns of Parquet: pages, levels, values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/parquet_parts.h"
#include "core/text.h"

enum { DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, DATA_PAGE_2 };
enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE = 3, RLE_DICTIONARY = 8 };
enum { PAGE_BYTES_MAX = 1 << 28, INDEX_BITS_MAX = 32 };

/* What a page's header says. */
typedef struct page {
  int64_t kind, bytes, packed, values, encoding, levels; /* bytes: unpacked; packed: as they lie */
  int64_t definition_bytes, repeat_bytes;                /* of version 2 */
  int64_t definition_encoding, repeat_encoding;          /* of version 1 */
  bool is_packed;
} page;

typedef struct decoding {
  zh_parquet_column *out;
  const zh_parquet_file *file;
  size_t capacity; /* entries that the chunk states */
  json_t **dictionary;
  size_t dictionary_count;
  int codec;
  zh_error *err;
} decoding;

/* Bytes that are taken from the front. */
typedef struct bytes {
  const unsigned char *at;
  size_t left;
} bytes;

static zh_status broken(const decoding *d, const char *what) {
  return zh_fail(d->err, ZH_ERR_INPUT, "%s: the column '%s' is broken: %s", d->file->name,
                 d->out->leaf->path, what);
}

static zh_status no_memory(const decoding *d) {
  return zh_fail(d->err, ZH_ERR_MEMORY, "out of memory (%s)", d->file->name);
}

static zh_status not_read(const decoding *d, int64_t encoding) {
  static const char *const names[] = {[4] = "BIT_PACKED",
                                      [5] = "DELTA_BINARY_PACKED",
                                      [6] = "DELTA_LENGTH_BYTE_ARRAY",
                                      [7] = "DELTA_BYTE_ARRAY",
                                      [9] = "BYTE_STREAM_SPLIT"};
  bool known = encoding >= 4 && encoding <= 9 && names[encoding];
  return zh_fail(d->err, ZH_ERR_INPUT,
                 "%s: the column '%s' is encoded as %s, which is not read; write it as PLAIN or "
                 "with a dictionary",
                 d->file->name, d->out->leaf->path, known ? names[encoding] : "something unknown");
}

/* ---- numbers packed into bits, and runs of them ---- */

/* RLE and bit-packed runs: github.com/apache/parquet-format/blob/master/Encodings.md */
typedef struct runs {
  bytes from;
  unsigned width;
  uint64_t left;  /* of the run at hand */
  uint32_t value; /* of a run of equal ones */
  bool packed;    /* the run is of bit-packed values */
  uint64_t bits;  /* read and not yet used */
  unsigned bit_count;
} runs;

static bool take_varint(uint64_t *out, bytes *from) {
  *out = 0;
  for (int shift = 0; shift < 35 && from->left > 0; shift += 7) {
    unsigned byte = *from->at++;
    from->left--;
    *out |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

static bool begin_run(runs *r) {
  uint64_t head;
  unsigned size = (r->width + 7) / 8;
  if (!take_varint(&head, &r->from)) return false;
  r->packed = head & 1;
  r->left = r->packed ? (head >> 1) * 8 : head >> 1;
  r->bits = r->bit_count = 0;
  r->value = 0;
  if (r->packed) return true;
  if (r->from.left < size) return false;
  for (unsigned i = 0; i < size; i++) r->value |= (uint32_t)r->from.at[i] << (8 * i);
  r->from.at += size;
  r->from.left -= size;
  return r->width >= 32 || r->value >> r->width == 0;
}

/* Runs of nothing are passed over: each takes a byte at least. */
static bool next_number(uint32_t *out, runs *r) {
  while (r->left == 0)
    if (!begin_run(r)) return false;
  r->left--;
  if (!r->packed) {
    *out = r->value;
    return true;
  }
  while (r->bit_count < r->width) {
    if (r->from.left == 0) return false;
    r->bits |= (uint64_t)*r->from.at++ << r->bit_count;
    r->from.left--;
    r->bit_count += 8;
  }
  *out = (uint32_t)(r->bits & ((UINT64_C(1) << r->width) - 1));
  r->bits >>= r->width;
  r->bit_count -= r->width;
  return true;
}

static unsigned bits_for(int most) {
  unsigned bits = 0;
  while (most >> bits) bits++;
  return bits;
}

/* Appends levels of a page's entries behind the column's. */
static zh_status read_levels(uint8_t *out, bytes from, int most, size_t count, const decoding *d) {
  runs r = {.from = from, .width = bits_for(most)};
  for (size_t i = 0; i < count; i++) {
    uint32_t level = 0;
    if (most > 0 && (!next_number(&level, &r) || level > (uint32_t)most))
      return broken(d, "levels are wrong, or too few");
    out[i] = (uint8_t)level;
  }
  return ZH_OK;
}

/* ---- values ---- */

static const unsigned char *take(bytes *from, size_t count) {
  const unsigned char *at = from->at;
  if (count > from->left) return NULL;
  from->at += count;
  from->left -= count;
  return at;
}

static uint64_t little(const unsigned char *at, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value |= (uint64_t)at[i] << (8 * i);
  return value;
}

static zh_status real_value(json_t **out, double value, const decoding *d) {
  if (!isfinite(value))
    return zh_fail(d->err, ZH_ERR_INPUT,
                   "%s: the column '%s' has a value that is no number (NaN or infinite)",
                   d->file->name, d->out->leaf->path);
  *out = json_real(value);
  return *out ? ZH_OK : no_memory(d);
}

static zh_status whole_value(json_t **out, uint64_t raw, int size, const decoding *d) {
  bool is_unsigned = d->out->leaf->is_unsigned;
  if (is_unsigned && raw > INT64_MAX)
    return zh_fail(d->err, ZH_ERR_INPUT, "%s: the column '%s' has numbers above 2^63 - 1",
                   d->file->name, d->out->leaf->path);
  int64_t value = size == 4 && !is_unsigned ? (int32_t)(uint32_t)raw : (int64_t)raw;
  *out = json_integer(value);
  return *out ? ZH_OK : no_memory(d);
}

static zh_status text_value(json_t **out, bytes *from, const decoding *d) {
  const unsigned char *size = take(from, 4);
  size_t length = size ? (size_t)little(size, 4) : 0;
  const char *text = size ? (const char *)take(from, length) : NULL;
  if (!text) return broken(d, "a text is longer than its page");
  if (zh_utf8_valid_prefix(text, length) != length || memchr(text, 0, length))
    return broken(d, "a text is not valid UTF-8, or has a NUL byte");
  *out = json_stringn_nocheck(text, length);
  return *out ? ZH_OK : no_memory(d);
}

static zh_status plain_value(json_t **out, bytes *from, const decoding *d) {
  zh_parquet_type type = d->out->leaf->type;
  if (type == ZH_PARQUET_BYTES) return text_value(out, from, d);
  bool wide = type == ZH_PARQUET_INT64 || type == ZH_PARQUET_DOUBLE;
  const unsigned char *at = take(from, wide ? 8 : 4);
  if (!at) return broken(d, "values are too few");
  uint64_t raw = little(at, wide ? 8 : 4);
  uint32_t half = (uint32_t)raw;
  float single;
  double real;
  memcpy(&single, &half, sizeof single);
  memcpy(&real, &raw, sizeof real);
  if (type == ZH_PARQUET_FLOAT) return real_value(out, (double)single, d);
  if (type == ZH_PARQUET_DOUBLE) return real_value(out, real, d);
  return whole_value(out, raw, wide ? 8 : 4, d);
}

static zh_status keep(decoding *d, json_t *value) {
  d->out->values[d->out->value_count++] = value;
  return ZH_OK;
}

/* Truth values: a bit each, or runs of them with their length before. */
static zh_status read_truths(decoding *d, bytes from, size_t count, bool as_runs) {
  const unsigned char *size = as_runs ? take(&from, 4) : NULL;
  if (as_runs && (!size || little(size, 4) > from.left)) return broken(d, "values are too few");
  runs r = {.from = from, .width = 1, .packed = true, .left = as_runs ? 0 : UINT64_MAX};
  for (size_t i = 0; i < count; i++) {
    uint32_t bit;
    if (!next_number(&bit, &r)) return broken(d, "values are too few");
    ZH_TRY(keep(d, json_boolean(bit)));
  }
  return ZH_OK;
}

static zh_status read_indices(decoding *d, bytes from, size_t count) {
  const unsigned char *width = count > 0 ? take(&from, 1) : NULL;
  if (count == 0) return ZH_OK;
  if (!width || *width > INDEX_BITS_MAX) return broken(d, "its dictionary's numbers are too wide");
  runs r = {.from = from, .width = *width};
  for (size_t i = 0; i < count; i++) {
    uint32_t index = 0;
    if (!next_number(&index, &r) || index >= d->dictionary_count)
      return broken(d, "a value is not in its dictionary");
    ZH_TRY(keep(d, json_incref(d->dictionary[index])));
  }
  return ZH_OK;
}

static zh_status read_values(decoding *d, bytes from, size_t count, int64_t encoding) {
  if (encoding == PLAIN_DICTIONARY || encoding == RLE_DICTIONARY)
    return read_indices(d, from, count);
  bool truths = d->out->leaf->type == ZH_PARQUET_BOOLEAN;
  if (encoding != PLAIN && !(truths && encoding == RLE)) return not_read(d, encoding);
  if (truths) return read_truths(d, from, count, encoding == RLE);
  for (size_t i = 0; i < count; i++) {
    json_t *value = NULL;
    ZH_TRY(plain_value(&value, &from, d));
    ZH_TRY(keep(d, value));
  }
  return ZH_OK;
}

/* ---- pages ---- */

/* Of a page of version 1, a dictionary or version 2, as numbered in the header of all. */
static void read_data_header(zh_thrift *t, const zh_thrift_field *of, page *p) {
  bool first = of->id == 5, second = of->id == 8;
  zh_thrift_field field = {0, 0};
  if (!zh_thrift_enter(t, of)) return;
  while (zh_thrift_next(t, &field)) {
    if (field.id == 1)
      p->values = zh_thrift_whole(t, &field);
    else if (field.id == (second ? 4 : 2))
      p->encoding = zh_thrift_whole(t, &field);
    else if (field.id == 3 && first)
      p->definition_encoding = zh_thrift_whole(t, &field);
    else if (field.id == 4 && first)
      p->repeat_encoding = zh_thrift_whole(t, &field);
    else if (field.id == 5 && second)
      p->definition_bytes = zh_thrift_whole(t, &field);
    else if (field.id == 6 && second)
      p->repeat_bytes = zh_thrift_whole(t, &field);
    else if (field.id == 7 && second)
      p->is_packed = zh_thrift_truth(t, &field);
    else
      zh_thrift_skip(t, &field);
  }
  zh_thrift_leave(t);
}

/* The header, taken from the front. */
static zh_status read_header(page *out, bytes *from, const decoding *d) {
  zh_thrift t = {.at = from->at, .end = from->at + from->left};
  zh_thrift_field field = {0, 0};
  *out = (page){.kind = -1,
                .values = -1,
                .encoding = -1,
                .is_packed = true,
                .definition_encoding = RLE,
                .repeat_encoding = RLE};
  while (zh_thrift_next(&t, &field)) {
    if (field.id == 1)
      out->kind = zh_thrift_whole(&t, &field);
    else if (field.id == 2)
      out->bytes = zh_thrift_whole(&t, &field);
    else if (field.id == 3)
      out->packed = zh_thrift_whole(&t, &field);
    else if (field.id == 5 || field.id == 7 || field.id == 8)
      read_data_header(&t, &field, out);
    else
      zh_thrift_skip(&t, &field);
  }
  from->left = (size_t)(t.end - t.at);
  from->at = t.at;
  if (t.failed || out->packed < 0 || (uint64_t)out->packed > from->left || out->bytes < 0)
    return broken(d, "a page's header is wrong");
  if (out->bytes > PAGE_BYTES_MAX)
    return zh_fail(d->err, ZH_ERR_INPUT, "%s: a page of the column '%s' is larger than %d MiB",
                   d->file->name, d->out->leaf->path, PAGE_BYTES_MAX >> 20);
  return ZH_OK;
}

/* *held: memory of the unpacked page, the caller's; NULL where it lies plain in the file. */
static zh_status unpack(bytes *out, unsigned char **held, const page *p, bytes packed,
                        const decoding *d) {
  *held = NULL;
  *out = packed;
  if (p->bytes == 0) { /* nothing, however it was packed */
    out->left = 0;
    return ZH_OK;
  }
  if (d->codec == 0 || !p->is_packed) {
    if ((uint64_t)p->bytes != packed.left) return broken(d, "a page's length is wrong");
    return ZH_OK;
  }
  *held = malloc((size_t)p->bytes + 1);
  if (!*held) return no_memory(d);
  zh_text where = {0};
  zh_text_printf(&where, "%s: the column '%s'", d->file->name, d->out->leaf->path);
  zh_status status = zh_parquet_decompress(*held, (size_t)p->bytes, d->codec, packed.at,
                                           packed.left, zh_text_string(&where), d->err);
  zh_text_free(&where);
  *out = (bytes){*held, (size_t)p->bytes};
  return status;
}

static zh_status read_dictionary(decoding *d, const page *p, bytes from) {
  if (d->dictionary || d->out->count > 0) return broken(d, "its dictionary comes late");
  if (p->encoding != PLAIN && p->encoding != PLAIN_DICTIONARY) return not_read(d, p->encoding);
  if (p->values < 0 || (uint64_t)p->values > from.left) /* each takes a byte at least */
    return broken(d, "its dictionary is longer than its page");
  if (d->out->leaf->type == ZH_PARQUET_BOOLEAN) return broken(d, "a dictionary of truth values");
  d->dictionary = calloc((size_t)p->values + 1, sizeof(json_t *));
  if (!d->dictionary) return no_memory(d);
  for (; d->dictionary_count < (size_t)p->values; d->dictionary_count++)
    ZH_TRY(plain_value(&d->dictionary[d->dictionary_count], &from, d));
  return ZH_OK;
}

/* The levels of version 1, with their length before them. */
static zh_status take_levels(bytes *out, bytes *from, int most, int64_t encoding,
                             const decoding *d) {
  *out = (bytes){from->at, 0};
  if (most == 0) return ZH_OK;
  if (encoding != RLE) return not_read(d, encoding);
  const unsigned char *size = take(from, 4);
  size_t length = size ? (size_t)little(size, 4) : 0;
  out->at = size ? take(from, length) : NULL;
  out->left = length;
  return out->at ? ZH_OK : broken(d, "levels are longer than their page");
}

static zh_status read_entries(decoding *d, const page *p, bytes repeats, bytes definitions,
                              bytes values) {
  zh_parquet_column *c = d->out;
  size_t count = (size_t)p->values, present = 0;
  if (p->values < 0 || count > d->capacity - c->count) return broken(d, "it has too many values");
  ZH_TRY(read_levels(c->repeats + c->count, repeats, c->leaf->repeats, count, d));
  ZH_TRY(read_levels(c->definitions + c->count, definitions, c->leaf->definition, count, d));
  for (size_t i = 0; i < count; i++) present += c->definitions[c->count + i] == c->leaf->definition;
  c->count += count;
  return read_values(d, values, present, p->encoding);
}

static zh_status read_data(decoding *d, const page *p, bytes from) {
  bytes repeats, definitions;
  ZH_TRY(take_levels(&repeats, &from, d->out->leaf->repeats, p->repeat_encoding, d));
  ZH_TRY(take_levels(&definitions, &from, d->out->leaf->definition, p->definition_encoding, d));
  return read_entries(d, p, repeats, definitions, from);
}

/* Version 2: levels lie plain before the values, which alone may be packed. */
static zh_status read_data_2(decoding *d, page *p, bytes from) {
  bytes repeats = {from.at, 0}, definitions, values;
  unsigned char *held = NULL;
  uint64_t room = from.left < (uint64_t)p->bytes ? from.left : (uint64_t)p->bytes;
  if (p->repeat_bytes < 0 || p->definition_bytes < 0 || (uint64_t)p->repeat_bytes > room ||
      (uint64_t)p->definition_bytes > room - (uint64_t)p->repeat_bytes)
    return broken(d, "levels are longer than their page");
  repeats.left = (size_t)p->repeat_bytes;
  (void)take(&from, repeats.left);
  definitions = (bytes){from.at, (size_t)p->definition_bytes};
  (void)take(&from, definitions.left);
  p->bytes -= p->repeat_bytes + p->definition_bytes;
  zh_status status = unpack(&values, &held, p, from, d);
  if (status == ZH_OK) status = read_entries(d, p, repeats, definitions, values);
  free(held);
  return status;
}

static zh_status read_page(decoding *d, page *p, bytes packed) {
  bytes plain;
  unsigned char *held;
  if (p->kind == INDEX_PAGE) return ZH_OK;
  if (p->kind == DATA_PAGE_2) return read_data_2(d, p, packed);
  if (p->kind != DATA_PAGE && p->kind != DICTIONARY_PAGE)
    return broken(d, "a page is of no known kind");
  zh_status status = unpack(&plain, &held, p, packed, d);
  if (status == ZH_OK)
    status = p->kind == DATA_PAGE ? read_data(d, p, plain) : read_dictionary(d, p, plain);
  free(held);
  return status;
}

static zh_status read_pages(decoding *d, bytes chunk) {
  while (d->out->count < d->capacity) {
    page p;
    if (chunk.left == 0) return broken(d, "it ends early");
    ZH_TRY(read_header(&p, &chunk, d));
    bytes packed = {chunk.at, (size_t)p.packed};
    (void)take(&chunk, packed.left);
    ZH_TRY(read_page(d, &p, packed));
  }
  return ZH_OK;
}

zh_status zh_parquet_column_read(zh_parquet_column *out, const zh_parquet_file *file,
                                 const zh_parquet_node *leaf, const zh_parquet_chunk *chunk,
                                 zh_error *err) {
  decoding d = {.out = out, .file = file, .codec = chunk->codec, .err = err};
  *out = (zh_parquet_column){.leaf = leaf};
  d.capacity = (size_t)chunk->values;
  out->repeats = malloc(d.capacity + 1);
  out->definitions = malloc(d.capacity + 1);
  out->values = malloc((d.capacity + 1) * sizeof(json_t *));
  bytes all = {file->bytes + chunk->begin, (size_t)chunk->bytes};
  zh_status status =
      out->repeats && out->definitions && out->values ? read_pages(&d, all) : no_memory(&d);
  for (size_t i = 0; i < d.dictionary_count; i++) json_decref(d.dictionary[i]);
  free(d.dictionary);
  return status;
}

void zh_parquet_column_free(zh_parquet_column *column) {
  for (size_t i = 0; i < column->value_count; i++) json_decref(column->values[i]);
  free(column->repeats);
  free(column->definitions);
  free(column->values);
  *column = (zh_parquet_column){0};
}
