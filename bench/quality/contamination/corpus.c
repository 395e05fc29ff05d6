/* Files of a corpus. A search that read nothing finds nothing, and that looks like a clean item: so
 * what cannot be text is refused by name, and so is what holds no words. */
#include <stdio.h>
#include <string.h>

#include "bench/quality/contamination/overlap.h"
#include "core/files.h"
#include "core/json.h"
#include "core/text.h"

enum { LINE_BYTES = 256 << 20 };

static const char decompress[] = "decompress it first",
                  utf16[] = "convert it: iconv -f UTF-16 -t UTF-8";

/* How files begin that are no text, though they may hold some. */
static const struct {
  const char *bytes;
  size_t at, length;
  const char *name, *mend;
} forms[] = {{"\x1F\x8B", 0, 2, "gzip", decompress},
             {"\x28\xB5\x2F\xFD", 0, 4, "zstd", decompress},
             {"\xFD\x37zXZ\x00", 0, 6, "xz", decompress},
             {"1AY&SY", 4, 6, "bzip2", decompress}, /* behind "BZh" and the size of blocks */
             {"PK\x03\x04", 0, 4, "zip", "unpack it first"},
             {"PAR1", 0, 4, "Parquet", "write its texts as JSONL first"},
             {"\xFF\xFE", 0, 2, "UTF-16", utf16},
             {"\xFE\xFF", 0, 2, "UTF-16", utf16}};

static zh_status check_form(const char *path, const zh_mapping *file, zh_error *err) {
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    size_t end = forms[i].at + forms[i].length;
    if (file->bytes < end || memcmp(file->data + forms[i].at, forms[i].bytes, forms[i].length) != 0)
      continue;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: bytes %zu to %zu are the signature of %s, and a corpus is plain text or "
                   "JSONL in UTF-8; %s",
                   path, forms[i].at, end - 1, forms[i].name, forms[i].mend);
  }
  return ZH_OK;
}

static zh_status no_text(const char *path, const char *text, size_t at, zh_error *err) {
  if (text[at] == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: byte %zu is 0, which no text holds; a corpus is plain text or JSONL in "
                   "UTF-8 (of UTF-16: iconv -f UTF-16 -t UTF-8)",
                   path, at);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: byte %zu (0x%02X) is not valid UTF-8; convert the file first (of Chinese in "
                 "GBK: iconv -f GBK -t UTF-8)",
                 path, at, (unsigned char)text[at]);
}

/* ---- JSONL ---- */

typedef struct reading {
  zh_overlap *overlap;
  const char *path, *field;
  const zh_mapping *file;
} reading;

static zh_status look_at_line(const reading *r, size_t line, const char *text, size_t length,
                              zh_error *err) {
  json_t *value;
  char name[4200];
  snprintf(name, sizeof name, "%s, line %zu", r->path, line);
  if (length > LINE_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "%s has more than %d MB", name, LINE_BYTES >> 20);
  const char *nul = memchr(text, 0, length);
  size_t valid = nul ? (size_t)(nul - text) : zh_utf8_valid_prefix(text, length);
  if (valid < length)
    return no_text(r->path, (const char *)r->file->data,
                   (size_t)(text - (const char *)r->file->data) + valid, err);
  ZH_TRY(zh_json_load_text(&value, text, length, name, err));
  const json_t *document = json_object_get(value, r->field);
  size_t all;
  zh_status status =
      json_is_string(document)
          ? zh_overlap_look(&all, r->overlap, json_string_value(document),
                            json_string_length(document), err)
          : zh_fail(err, ZH_ERR_INPUT, "%s: there is no text '%s'; --field names the member", name,
                    r->field);
  json_decref(value);
  return status;
}

static zh_status look_at_lines(const reading *r, zh_error *err) {
  const char *at = (const char *)r->file->data, *end = at + r->file->bytes;
  at += zh_utf8_mark(at, r->file->bytes);
  for (size_t line = 1; at < end; line++) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    while (at < stop && (*at == ' ' || *at == '\t' || *at == '\r')) at++;
    if (at < stop) ZH_TRY(look_at_line(r, line, at, (size_t)(stop - at), err));
    at = stop + 1;
  }
  return ZH_OK;
}

/* ---- files and folders ---- */

static zh_status look_at_text(const reading *r, zh_error *err) {
  size_t read;
  const char *text = (const char *)r->file->data;
  ZH_TRY(zh_overlap_look(&read, r->overlap, text, r->file->bytes, err));
  return read == r->file->bytes ? ZH_OK : no_text(r->path, text, read, err);
}

static zh_status read_file(zh_overlap *o, const char *path, const char *field, zh_overlap_tell tell,
                           void *user, zh_error *err) {
  zh_mapping file;
  uint64_t before = zh_overlap_seen(o).words;
  ZH_TRY(zh_map_file(&file, path, err));
  const reading r = {.overlap = o, .path = path, .field = field, .file = &file};
  if (tell) tell(user, path, file.bytes);
  zh_status status = check_form(path, &file, err);
  if (status == ZH_OK && file.bytes > 0)
    status = zh_ends_in(path, ".jsonl") ? look_at_lines(&r, err) : look_at_text(&r, err);
  if (status == ZH_OK && zh_overlap_seen(o).words == before)
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s: there is no word in its %zu bytes, so that nothing could be found in it; "
                     "name files that hold text, or take this one out of the corpus",
                     path, file.bytes);
  zh_unmap(&file);
  return status;
}

zh_status zh_overlap_read(zh_overlap *o, const char *path, const char *field, zh_overlap_tell tell,
                          void *user, zh_error *err) {
  zh_file_list list;
  if (!zh_is_dir(path)) return read_file(o, path, field, tell, user, err);
  ZH_TRY(zh_list_files(&list, path, err));
  zh_status status =
      list.count > 0 ? ZH_OK
                     : zh_fail(err, ZH_ERR_INPUT,
                               "%s: the folder holds no file; a corpus has text or JSONL", path);
  for (size_t i = 0; status == ZH_OK && i < list.count; i++) {
    zh_text name = {0};
    zh_text_printf(&name, "%s/%s", path, list.paths[i]);
    status = name.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path)
                         : read_file(o, name.data, field, tell, user, err);
    zh_text_free(&name);
  }
  zh_file_list_free(&list);
  return status;
}
