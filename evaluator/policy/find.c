/* Policies by name: evaluator/policies/NAME.yaml, or a path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/policy/policy.h"

static const char folder[] = "evaluator/policies";
static const char suffix[] = ".yaml";
enum { PATH_BYTES = 4096, POLICY_BYTES_MAX = 1 << 20 };

/* "songjiang-2025-draft.yaml" → length of the name; 0 for files in subfolders and of other kinds.
 */
static size_t policy_stem(const char *file) {
  size_t length = strlen(file), tail = sizeof suffix - 1;
  if (strchr(file, '/') != NULL || length <= tail || strcmp(file + length - tail, suffix) != 0)
    return 0;
  return length - tail;
}

static zh_status list_files(zh_file_list *out, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_data_path(path, sizeof path, folder, err));
  return zh_list_files(out, path, err);
}

static zh_status fail_unknown(const char *name, zh_error *err) {
  zh_file_list files = {0};
  ZH_TRY(list_files(&files, err));
  char(*stems)[64] = calloc(files.count + 1, sizeof *stems);
  const char **words = calloc(files.count + 1, sizeof *words);
  size_t count = 0;
  for (size_t i = 0; stems != NULL && words != NULL && i < files.count; i++) {
    size_t stem = policy_stem(files.paths[i]);
    if (stem == 0 || stem >= sizeof stems[0]) continue;
    memcpy(stems[count], files.paths[i], stem);
    words[count] = stems[count];
    count++;
  }
  const char *near = words == NULL ? NULL : zh_nearest_word(name, words);
  zh_status status = zh_fail(
      err, ZH_ERR_INPUT, "there is no policy '%s'%s%s%s; 'zhiheng list policies' names them", name,
      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  free(words);
  free(stems);
  zh_file_list_free(&files);
  return status;
}

static zh_status load_path(zh_policy **out, const char *path, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_read_file(&text, &length, path, POLICY_BYTES_MAX, err));
  zh_status status = zh_policy_load_text(out, text, length, path, err);
  free(text);
  if (status != ZH_OK) return status;
  const char *slash = strrchr(path, '/'), *file = slash == NULL ? path : slash + 1;
  size_t stem = policy_stem(file);
  if (strlen((*out)->name) == stem && memcmp((*out)->name, file, stem) == 0) return ZH_OK;
  status = zh_fail(err, ZH_ERR_INPUT,
                   "%s: the policy calls itself '%s'; name the file %s.yaml, or mend 'policy:'",
                   path, (*out)->name, (*out)->name);
  zh_policy_free(*out);
  *out = NULL;
  return status;
}

zh_status zh_policy_path(char *out, size_t capacity, const char *name_or_path, zh_error *err) {
  char relative[PATH_BYTES];
  if (strchr(name_or_path, '/') != NULL || policy_stem(name_or_path) > 0) {
    int length = snprintf(out, capacity, "%s", name_or_path);
    return length < (int)capacity ? ZH_OK : zh_fail(err, ZH_ERR_INPUT, "the path is too long");
  }
  if (strlen(name_or_path) > 200)
    return zh_fail(err, ZH_ERR_INPUT, "a policy's name has at most 200 bytes");
  snprintf(relative, sizeof relative, "%s/%s%s", folder, name_or_path, suffix);
  ZH_TRY(zh_data_path(out, capacity, relative, err));
  return zh_is_file(out) ? ZH_OK : fail_unknown(name_or_path, err);
}

zh_status zh_policy_load(zh_policy **out, const char *name_or_path, zh_error *err) {
  char path[PATH_BYTES];
  *out = NULL;
  ZH_TRY(zh_policy_path(path, sizeof path, name_or_path, err));
  return load_path(out, path, err);
}

static zh_status describe(zh_policy_entry *entry, const char *file, zh_error *err) {
  char relative[PATH_BYTES], path[PATH_BYTES];
  zh_policy *policy = NULL;
  snprintf(relative, sizeof relative, "%s/%s", folder, file);
  ZH_TRY(zh_data_path(path, sizeof path, relative, err));
  ZH_TRY(load_path(&policy, path, err));
  snprintf(entry->name, sizeof entry->name, "%s", policy->name);
  snprintf(entry->title_zh, sizeof entry->title_zh, "%s", policy->title.zh);
  snprintf(entry->title_en, sizeof entry->title_en, "%s", policy->title.en);
  snprintf(entry->status, sizeof entry->status, "%s", policy->status);
  zh_policy_free(policy);
  return ZH_OK;
}

zh_status zh_policy_list(zh_policy_entry **out, size_t *count, zh_error *err) {
  zh_file_list files = {0};
  *out = NULL;
  *count = 0;
  ZH_TRY(list_files(&files, err));
  zh_status status = ZH_OK;
  zh_policy_entry *entries = calloc(files.count + 1, sizeof *entries);
  if (entries == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the list of policies");
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    if (policy_stem(files.paths[i]) > 0)
      status = describe(&entries[(*count)++], files.paths[i], err);
  }
  zh_file_list_free(&files);
  if (status == ZH_OK)
    *out = entries;
  else
    free(entries);
  return status;
}
