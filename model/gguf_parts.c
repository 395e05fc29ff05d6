/* Which files make up a split GGUF model ("…-00002-of-00003.gguf"), and whether they agree: each
 * part says its number (split.no, from 0), how many there are (split.count), and how many tensors
 * they hold together (split.tensors.count). */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

static const char tail[] = "00001-of-00003.gguf";

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

static bool is_part(unsigned long *number, unsigned long *of, const char *path) {
  return zh_ends_in(path, ".gguf") && zh_shard_number(number, of, path);
}

/* --- files --- */

zh_status zh_gguf_list_parts(char ***paths, size_t *count, zh_model *model, zh_error *err) {
  unsigned long number, of, last = 1;
  size_t stem = strlen(model->path);
  bool split = is_part(&number, &of, model->path);
  if (split) last = of;
  *paths = calloc(last, sizeof **paths);
  if (*paths == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", model->path);
  if (split) stem -= strlen(tail);
  for (unsigned long i = 1; i <= last; i++) {
    char *path = NULL;
    int length = split ? asprintf(&path, "%.*s%05lu-of-%05lu.gguf", (int)stem, model->path, i, of)
                       : asprintf(&path, "%s", model->path);
    if (length < 0) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", model->path);
    if (!split || zh_is_file(path)) {
      (*paths)[(*count)++] = path;
      continue;
    }
    model->missing_parts++;
    free(path);
  }
  return ZH_OK;
}

/* Names up to the number are equal: two parts of one model. */
static bool same_model(const char *a, const char *b) {
  size_t length = strlen(a), stem = length - strlen(tail);
  return length == strlen(b) && memcmp(a, b, stem) == 0 &&
         strcmp(a + stem + 5, b + stem + 5) == 0; /* past the number */
}

/* Of the folder's GGUF files the first by name, and of another model than it, where there is one.
 */
static void look_through(char first[NAME_MAX + 1], char other[NAME_MAX + 1], DIR *dir) {
  unsigned long number, of;
  first[0] = other[0] = '\0';
  for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (!zh_ends_in(entry->d_name, ".gguf")) continue;
    if (first[0] != '\0' && strcmp(entry->d_name, first) > 0) continue;
    snprintf(first, NAME_MAX + 1, "%s", entry->d_name);
  }
  bool split = is_part(&number, &of, first);
  rewinddir(dir);
  for (const struct dirent *entry; other[0] == '\0' && (entry = readdir(dir)) != NULL;)
    if (zh_ends_in(entry->d_name, ".gguf") && strcmp(entry->d_name, first) != 0 &&
        !(split && is_part(&number, &of, entry->d_name) && same_model(first, entry->d_name)))
      snprintf(other, NAME_MAX + 1, "%s", entry->d_name);
}

zh_status zh_gguf_in_folder(char **path, const char *folder, zh_error *err) {
  char first[NAME_MAX + 1], other[NAME_MAX + 1];
  *path = NULL;
  DIR *dir = opendir(folder);
  if (dir == NULL) return zh_fail(err, ZH_ERR_INPUT, "%s: %s", folder, strerror(errno));
  look_through(first, other, dir);
  closedir(dir);
  if (other[0] != '\0')
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s holds more than one model: %s and %s; name the file of one", folder, first,
                   other);
  if (first[0] != '\0' && asprintf(path, "%s/%s", folder, first) < 0)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", folder);
  return ZH_OK;
}

/* A part beyond those that the names count. */
static zh_status check_extra(zh_model *model, const char *path, unsigned long of, zh_error *err) {
  unsigned long number, among;
  const char *name = base_name(path);
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
  DIR *dir = opendir(name == path ? "." : folder);
  zh_status status = ZH_OK;
  for (const struct dirent *e; dir != NULL && status == ZH_OK && (e = readdir(dir)) != NULL;) {
    if (!is_part(&number, &among, e->d_name) || !same_model(name, e->d_name) || number <= of)
      continue;
    status = model->lenient
                 ? zh_model_add_defect(model, ZH_DEFECT_SHARD_EXTRA, e->d_name, 0, err)
                 : zh_fail(err, ZH_ERR_INPUT,
                           "%s lies beside %s, whose name counts only %lu parts; remove it",
                           e->d_name, path, of);
  }
  if (dir != NULL) closedir(dir);
  return status;
}

/* --- what the parts say of themselves --- */

static zh_status missing(zh_model *model, const char *path, uint64_t of, uint64_t absent,
                         zh_error *err) {
  char what[64];
  snprintf(what, sizeof what, "%llu of %llu", (unsigned long long)absent, (unsigned long long)of);
  if (model->lenient) return zh_model_add_defect(model, ZH_DEFECT_SHARD_MISSING, what, 0, err);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s is one of %llu parts of a split model; %s are not beside it by their names "
                 "(…-00001-of-%05llu.gguf)",
                 path, (unsigned long long)of, what, (unsigned long long)of);
}

/* split.count of a part whose name counts none, or the parts that lie beside the first. */
static zh_status check_whole(zh_model *model, const char *path, bool split, unsigned long of,
                             zh_error *err) {
  uint64_t parts;
  if (!zh_gguf_uint(&parts, zh_gguf_find(model, "split.count")) || parts < 1) parts = 1;
  if (split) {
    ZH_TRY(check_extra(model, path, of, err));
    return model->missing_parts > 0 ? missing(model, path, of, model->missing_parts, err) : ZH_OK;
  }
  return parts > 1 ? missing(model, path, parts, parts - 1, err) : ZH_OK;
}

zh_status zh_gguf_check_part(zh_model *model, const char *path, bool first, zh_error *err) {
  unsigned long number = 1, of = 1;
  uint64_t stated_number = 0, stated_parts = 1;
  bool split = is_part(&number, &of, path);
  if (first) ZH_TRY(check_whole(model, path, split, of, err));
  if (!split || of == 1 || model->lenient) return ZH_OK;
  (void)zh_gguf_uint(&stated_parts, zh_gguf_find(model, "split.count"));
  if (stated_parts != of)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s is one of %lu parts by its name, but split.count in it is %llu", path, of,
                   (unsigned long long)stated_parts);
  if (!zh_gguf_uint(&stated_number, zh_gguf_find(model, "split.no")) || stated_number + 1 != number)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s is part %lu by its name, but split.no in it (from 0) is %llu; it was "
                   "renamed or is another model's",
                   path, number, (unsigned long long)stated_number);
  return ZH_OK;
}

zh_status zh_gguf_check_parts(const zh_model *model, zh_error *err) {
  uint64_t stated;
  if (model->lenient || model->missing_parts > 0 ||
      !zh_gguf_uint(&stated, zh_gguf_find(model, "split.tensors.count")) ||
      stated == model->tensor_count)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: split.tensors.count is %llu, but the parts hold %zu tensors", model->path,
                 (unsigned long long)stated, model->tensor_count);
}
