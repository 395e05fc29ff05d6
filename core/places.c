/* Where the product's own files lie: data, modules, sibling programs. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"

/* Cuts the last part of a path off. */
static void cut_last(char *path) {
  char *slash = strrchr(path, '/');
  if (slash != NULL) *slash = 0;
}

/* The folder of the running program, without a slash at the end. */
static zh_status program_folder(char out[PATH_MAX], zh_error *err) {
  ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
  if (length <= 0)
    return zh_fail(err, ZH_ERR_LACKING, "/proc/self/exe cannot be read; is /proc mounted?");
  out[length] = 0;
  cut_last(out);
  return ZH_OK;
}

static zh_status join(char *out, size_t capacity, const char *folder, const char *name,
                      zh_error *err) {
  int length = snprintf(out, capacity, "%s/%s", folder, name);
  if (length < 0 || (size_t)length >= capacity)
    return zh_fail(err, ZH_ERR_INPUT, "%s/%s: the path is too long", folder, name);
  return ZH_OK;
}

/* A program of the build tree reads the source tree; an installed one never looks there, not even
 * where a test has installed it below the build tree. */
static bool in_build_tree(const char *folder) {
  size_t length = strlen(ZH_BUILD_FOLDER);
  if (strncmp(folder, ZH_BUILD_FOLDER, length) != 0) return false;
  return folder[length] == 0 || (folder[length] == '/' && strchr(folder + length + 1, '/') == NULL);
}

static zh_status data_folder(char out[PATH_MAX], zh_error *err) {
  const char *chosen = getenv("ZHIHENG_DATA");
  if (chosen != NULL && chosen[0] != 0) {
    if (!zh_is_dir(chosen))
      return zh_fail(err, ZH_ERR_LACKING, "ZHIHENG_DATA names %s, which is no folder", chosen);
    return snprintf(out, PATH_MAX, "%s", chosen) < PATH_MAX
               ? ZH_OK
               : zh_fail(err, ZH_ERR_INPUT, "ZHIHENG_DATA: the path is too long");
  }
  char folder[PATH_MAX];
  ZH_TRY(program_folder(folder, err));
  bool built_here = in_build_tree(folder);
  cut_last(folder);
  ZH_TRY(join(out, PATH_MAX, folder, "share/zhiheng", err));
  if (!zh_is_dir(out) && built_here) snprintf(out, PATH_MAX, "%s", ZH_SOURCE_FOLDER);
  if (!zh_is_dir(out))
    return zh_fail(
        err, ZH_ERR_LACKING,
        "%s: the folder with suites, policies and templates is missing; install again, or set "
        "ZHIHENG_DATA",
        out);
  return ZH_OK;
}

zh_status zh_data_path(char *out, size_t capacity, const char *relative, zh_error *err) {
  char folder[PATH_MAX];
  ZH_TRY(data_folder(folder, err));
  return join(out, capacity, folder, relative, err);
}

zh_status zh_module_path(char *out, size_t capacity, const char *file, zh_error *err) {
  char folder[PATH_MAX], modules[PATH_MAX];
  const char *chosen = getenv("ZHIHENG_MODULES");
  if (chosen != NULL && chosen[0] != 0) return join(out, capacity, chosen, file, err);
  ZH_TRY(program_folder(folder, err));
  cut_last(folder);
  ZH_TRY(join(modules, sizeof modules, folder, "lib/zhiheng", err));
  return join(out, capacity, modules, file, err);
}

zh_status zh_program_path(char *out, size_t capacity, const char *name, zh_error *err) {
  char folder[PATH_MAX], sibling[PATH_MAX];
  ZH_TRY(program_folder(folder, err));
  ZH_TRY(join(out, capacity, folder, name, err));
  if (access(out, X_OK) == 0 && zh_is_file(out)) return ZH_OK;
  /* Test programs of a build lie in <build>/tests, the product's in <build>/bin. */
  if (in_build_tree(folder) &&
      join(sibling, sizeof sibling, ZH_BUILD_FOLDER "/bin", name, NULL) == ZH_OK &&
      access(sibling, X_OK) == 0)
    return join(out, capacity, ZH_BUILD_FOLDER "/bin", name, err);
  return zh_fail(err, ZH_ERR_LACKING, "%s: the program is missing or cannot be run; install again",
                 out);
}
