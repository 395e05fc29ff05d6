#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/manifest.h"
#include "core/text.h"
#include "evaluator/leading/scores.h"

static zh_status add(zh_table_paths *out, const char *folder, const char *name, zh_error *err) {
  zh_text path = {0};
  char **grown = realloc(out->at, (out->count + 1) * sizeof *grown);
  if (grown != NULL) out->at = grown;
  zh_text_printf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name);
  if (grown == NULL || path.failed) {
    zh_text_free(&path);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the names of tables");
  }
  out->at[out->count++] = path.data;
  return ZH_OK;
}

static zh_status add_bundle(zh_table_paths *out, const char *bundle, zh_error *err) {
  char folder[4096];
  zh_file_list files = {0};
  size_t before = out->count;
  ZH_TRY(zh_manifest_verify(bundle, NULL, err));
  snprintf(folder, sizeof folder, "%.4000s/scores", bundle);
  if (zh_is_dir(folder)) ZH_TRY(zh_list_files(&files, folder, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++)
    if (zh_ends_in(files.paths[i], ".csv")) status = add(out, folder, files.paths[i], err);
  zh_file_list_free(&files);
  if (status == ZH_OK && out->count == before)
    status =
        zh_fail(err, ZH_ERR_INPUT,
                "%s: the bundle has no scores of items; 'zhiheng eval' makes one that has", bundle);
  return status;
}

zh_status zh_table_paths_find(zh_table_paths *out, const char *const *given, size_t count,
                              zh_error *err) {
  zh_status status = ZH_OK;
  *out = (zh_table_paths){0};
  for (size_t i = 0; status == ZH_OK && i < count; i++)
    status = zh_is_dir(given[i]) ? add_bundle(out, given[i], err) : add(out, "", given[i], err);
  if (status != ZH_OK) zh_table_paths_free(out);
  return status;
}

void zh_table_paths_free(zh_table_paths *paths) {
  for (size_t i = 0; i < paths->count; i++) free(paths->at[i]);
  free(paths->at);
  *paths = (zh_table_paths){0};
}
