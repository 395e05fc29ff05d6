/* Shards by their names and the index's size: what is listed for an audit. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

/* Five digits at `at`. */
static bool take_number(unsigned long *out, const char *at) {
  *out = 0;
  for (int i = 0; i < 5; i++) {
    if (at[i] < '0' || at[i] > '9') return false;
    *out = 10 * *out + (unsigned long)(at[i] - '0');
  }
  return true;
}

bool zh_shard_number(unsigned long *number, unsigned long *of, const char *name) {
  const char *dot = strrchr(name, '.');
  size_t tail = strlen("-00002-of-00003");
  if (dot == NULL || (size_t)(dot - name) < tail) return false;
  const char *at = dot - tail;
  return *at == '-' && take_number(number, at + 1) && memcmp(at + 6, "-of-", 4) == 0 &&
         take_number(of, at + 10) && *of > 0 && *number > 0;
}

static bool is_shard(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot != NULL && strcmp(dot, ".safetensors") == 0;
}

/* The names count "of" so many; where they differ the largest holds. */
static zh_status check_numbers(zh_model *model, zh_error *err) {
  unsigned long number, of, most = 0;
  for (size_t i = 0; i < model->file_count; i++)
    if (is_shard(model->files[i].path) && zh_shard_number(&number, &of, model->files[i].path) &&
        of > most)
      most = of;
  if (most == 0) return ZH_OK;
  bool *there = calloc(most + 1, sizeof *there);
  if (there == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (shards)");
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < model->file_count; i++) {
    const char *path = model->files[i].path;
    if (!is_shard(path) || !zh_shard_number(&number, &of, path)) continue;
    if (number <= most)
      there[number] = true;
    else
      status = zh_model_add_defect(model, ZH_DEFECT_SHARD_EXTRA, base_name(path), 0, err);
  }
  for (unsigned long i = 1; status == ZH_OK && i <= most; i++) {
    char *name = zh_arena_printf(model->arena, "%05lu-of-%05lu", i, most);
    bool known = false; /* the index may have named it already */
    for (size_t k = 0; name != NULL && k < model->defect_count; k++)
      known |= strstr(model->defects[k].what, name) != NULL;
    if (there[i] || known) continue;
    status = name == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (shards)")
                          : zh_model_add_defect(model, ZH_DEFECT_SHARD_MISSING, name, 0, err);
  }
  free(there);
  return status;
}

/* "model.safetensors.index.large.json" and the like, but for the one that is followed. */
static bool is_other_index(const char *name) {
  return zh_ends_in(name, ".json") && strstr(name, ".safetensors.index") != NULL &&
         strcmp(name, "model.safetensors.index.json") != 0;
}

static zh_status check_indexes(zh_model *model, const char *folder, zh_error *err) {
  DIR *dir = opendir(folder);
  zh_status status = ZH_OK;
  for (const struct dirent *e; dir != NULL && status == ZH_OK && (e = readdir(dir)) != NULL;)
    if (is_other_index(e->d_name))
      status = zh_model_add_defect(model, ZH_DEFECT_INDEX_AGAIN, e->d_name, 0, err);
  if (dir != NULL) closedir(dir);
  return status;
}

/* total_size of the index; a tied head that is counted twice there is no matter. */
static zh_status check_size(zh_model *model, const json_t *metadata, zh_error *err) {
  const json_t *size = json_object_get(metadata, "total_size");
  uint64_t bytes = 0;
  double stated = json_number_value(size);
  for (size_t i = 0; i < model->tensor_count; i++) bytes += model->tensors[i].bytes;
  if (!(stated > 1.25 * (double)bytes) || stated > 9e18) return ZH_OK;
  ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_SIZE, "model.safetensors.index.json", 0, err));
  zh_defect *defect = &model->defects[model->defect_count - 1];
  defect->stated = (uint64_t)stated;
  defect->counted = bytes;
  return ZH_OK;
}

zh_status zh_shards_check(zh_model *model, const char *folder, const json_t *metadata,
                          zh_error *err) {
  ZH_TRY(check_numbers(model, err));
  ZH_TRY(check_indexes(model, folder, err));
  return metadata != NULL ? check_size(model, metadata, err) : ZH_OK;
}
