#include "core/manifest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"

enum { HEX = ZH_DIGEST_HEX - 1, PREFIX = HEX + 2, MANIFEST_MAX_BYTES = 64 << 20 };

static zh_status digest_below(char hex[ZH_DIGEST_HEX], const char *dir, const char *name,
                              zh_error *err) {
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s/%s", dir, name);
  if (length < 0 || (size_t)length >= sizeof path)
    return zh_fail(err, ZH_ERR_INPUT, "%s/%s: the path is too long", dir, name);
  return zh_digest_file(hex, ZH_SM3, path, err);
}

/* A line break in a file's name would forge a line of the manifest. */
static bool name_is_plain(const char *name) {
  for (; *name != 0; name++)
    if ((unsigned char)*name < 0x20 || *name == 0x7F || *name == '\\') return false;
  return true;
}

zh_status zh_manifest_write(const char *dir, zh_error *err) {
  zh_file_list files;
  zh_text text = {0};
  char path[PATH_MAX], hex[ZH_DIGEST_HEX];
  ZH_TRY(zh_list_files(&files, dir, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    if (strcmp(files.paths[i], ZH_MANIFEST_NAME) == 0) continue;
    if (!name_is_plain(files.paths[i])) {
      status = zh_fail(err, ZH_ERR_INPUT,
                       "%s: a file's name holds a control character or backslash", dir);
      break;
    }
    status = digest_below(hex, dir, files.paths[i], err);
    zh_text_printf(&text, "%s  %s\n", hex, files.paths[i]);
  }
  if (status == ZH_OK && text.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (manifest)");
  if (status == ZH_OK &&
      (size_t)snprintf(path, sizeof path, "%s/" ZH_MANIFEST_NAME, dir) >= sizeof path)
    status = zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", dir);
  if (status == ZH_OK) status = zh_write_file(path, zh_text_string(&text), text.length, err);
  zh_text_free(&text);
  zh_file_list_free(&files);
  return status;
}

typedef struct entry {
  char hex[ZH_DIGEST_HEX];
  const char *name; /* in the manifest's text */
} entry;

typedef struct manifest {
  char *text;
  size_t length, count;
  entry *entries;
} manifest;

static bool name_is_inside(const char *name) {
  if (name[0] == 0 || name[0] == '/' || !name_is_plain(name)) return false;
  for (const char *part = name; part != NULL; part = strchr(part, '/')) {
    part += *part == '/';
    size_t length = strcspn(part, "/");
    if (length == 0 || (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.'))))
      return false;
  }
  return true;
}

static bool line_is_valid(const char *line, size_t length) {
  return length > PREFIX && strspn(line, "0123456789abcdef") == HEX && line[HEX] == ' ' &&
         line[HEX + 1] == ' ' && strlen(line) == length && name_is_inside(line + PREFIX) &&
         strcmp(line + PREFIX, ZH_MANIFEST_NAME) != 0;
}

/* Cuts the text into lines in place; the entries point into it. */
static zh_status manifest_parse(manifest *out, const char *path, zh_error *err) {
  size_t lines = 0;
  for (size_t i = 0; i < out->length; i++) lines += out->text[i] == '\n';
  if (out->length > 0 && out->text[out->length - 1] != '\n')
    return zh_fail(err, ZH_ERR_INPUT, "%s: the last line is cut off", path);
  out->entries = calloc(lines + 1, sizeof *out->entries);
  if (out->entries == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (manifest)");
  char *line = out->text;
  for (size_t i = 0; i < lines; i++) {
    char *end = memchr(line, '\n', out->length - (size_t)(line - out->text));
    *end = 0;
    if (!line_is_valid(line, (size_t)(end - line)))
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s:%zu: expected 64 lower-case hex digits, two spaces and a relative path",
                     path, i + 1);
    entry *e = &out->entries[out->count++];
    memcpy(e->hex, line, HEX);
    e->name = line + PREFIX;
    if (i > 0 && strcmp(e[-1].name, e->name) >= 0)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s:%zu: '%s' is not in order; paths are sorted and appear once", path, i + 1,
                     e->name);
    line = end + 1;
  }
  return ZH_OK;
}

static void manifest_free(manifest *m) {
  free(m->text);
  free(m->entries);
}

/* Both lists are sorted: one walk finds the first name that only one of them has, or a file that
 * changed. */
static zh_status compare(const manifest *m, const zh_file_list *files, const char *dir,
                         zh_error *err) {
  char hex[ZH_DIGEST_HEX];
  size_t listed = 0, found = 0;
  while (listed < m->count || found < files->count) {
    const char *want = listed < m->count ? m->entries[listed].name : NULL;
    const char *have = found < files->count ? files->paths[found] : NULL;
    if (have != NULL && strcmp(have, ZH_MANIFEST_NAME) == 0) {
      found++;
      continue;
    }
    int order = want == NULL ? 1 : have == NULL ? -1 : strcmp(want, have);
    if (order < 0)
      return zh_fail(err, ZH_ERR_CHECK, "%s/%s: is missing; the manifest lists it", dir, want);
    if (order > 0)
      return zh_fail(err, ZH_ERR_CHECK, "%s/%s: is not in the manifest; it was added later", dir,
                     have);
    ZH_TRY(digest_below(hex, dir, want, err));
    if (strcmp(hex, m->entries[listed].hex) != 0)
      return zh_fail(err, ZH_ERR_CHECK, "%s/%s: has changed; SM3 is %s, the manifest says %s", dir,
                     want, hex, m->entries[listed].hex);
    listed++, found++;
  }
  return ZH_OK;
}

zh_status zh_manifest_verify(const char *dir, char digest[ZH_DIGEST_HEX], zh_error *err) {
  manifest m = {0};
  zh_file_list files = {0};
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/" ZH_MANIFEST_NAME, dir) >= sizeof path)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", dir);
  ZH_TRY(zh_read_file(&m.text, &m.length, path, MANIFEST_MAX_BYTES, err));
  zh_status status = ZH_OK;
  if (digest != NULL) status = zh_digest_bytes(digest, ZH_SM3, m.text, m.length, err);
  if (status == ZH_OK) status = manifest_parse(&m, path, err);
  if (status == ZH_OK) status = zh_list_files(&files, dir, err);
  if (status == ZH_OK) status = compare(&m, &files, dir, err);
  zh_file_list_free(&files);
  manifest_free(&m);
  return status;
}
