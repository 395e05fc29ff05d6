/* safetensors: u64 length of a JSON header, the header, the tensors' bytes, without holes. A folder
 * may hold several such files with an index, and config.json. Source: huggingface/safetensors
 * README.md. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

#define HEADER_BYTES_MAX UINT64_C(100000000)
#define INDEX_NAME "model.safetensors.index.json"
enum { CONFIG_BYTES_MAX = 16 * 1024 * 1024 };

static bool is_companion(const char *name) {
  return strcmp(name, INDEX_NAME) == 0 || strcmp(name, "config.json") == 0;
}

static bool is_shard(const char *name) {
  size_t length = strlen(name);
  return length > 12 && strcmp(name + length - 12, ".safetensors") == 0;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static zh_status add_path(char ***paths, size_t *count, const char *folder, const char *name,
                          zh_error *err) {
  char **grown = realloc(*paths, (*count + 1) * sizeof *grown);
  if (grown != NULL) *paths = grown;
  if (grown == NULL || asprintf(&grown[*count], "%s/%s", folder, name) < 0)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", folder);
  (*count)++;
  return ZH_OK;
}

zh_status zh_safetensors_list(char ***paths, size_t *count, const char *folder, zh_error *err) {
  DIR *dir = opendir(folder);
  if (dir == NULL) return zh_fail(err, ZH_ERR_INPUT, "%s: %s", folder, strerror(errno));
  zh_status status = ZH_OK;
  size_t shards = 0;
  for (const struct dirent *entry; status == ZH_OK && (entry = readdir(dir)) != NULL;) {
    bool shard = is_shard(entry->d_name);
    if (!shard && !is_companion(entry->d_name)) continue;
    shards += shard;
    status = add_path(paths, count, folder, entry->d_name, err);
  }
  closedir(dir);
  if (status == ZH_OK && shards == 0)
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s holds no .safetensors file; a model folder or a GGUF file was expected",
                     folder);
  if (status == ZH_OK) qsort(*paths, *count, sizeof **paths, by_text);
  if (status != ZH_OK) {
    for (size_t i = 0; i < *count; i++) free((*paths)[i]);
    free(*paths);
    *paths = NULL;
    *count = 0;
  }
  return status;
}

static zh_status bad_tensor(const zh_tensor *t, const char *what, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s': %s", t->file, t->name, what);
}

static zh_status read_shape(zh_tensor *t, const json_t *shape, zh_error *err) {
  if (!json_is_array(shape) || json_array_size(shape) > ZH_TENSOR_DIMS)
    return bad_tensor(t, "'shape' must be a list of at most 8 lengths", err);
  t->dims = (int)json_array_size(shape);
  for (int i = 0; i < t->dims; i++) {
    const json_t *length = json_array_get(shape, (size_t)i);
    if (!json_is_integer(length) || json_integer_value(length) < 0)
      return bad_tensor(t, "a length in 'shape' is no integer from 0", err);
    t->shape[i] = (uint64_t)json_integer_value(length);
  }
  return ZH_OK;
}

static zh_status read_place(zh_tensor *t, const json_t *offsets, uint64_t data, uint64_t data_bytes,
                            zh_error *err) {
  const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
      json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
    return bad_tensor(t, "'data_offsets' must be [begin, end] with 0 <= begin <= end", err);
  uint64_t begin = (uint64_t)json_integer_value(first), end = (uint64_t)json_integer_value(last);
  if (end > data_bytes)
    return bad_tensor(t, "'data_offsets' reach past the end of the file; it is cut short", err);
  if (!zh_tensor_measure(t)) return bad_tensor(t, "the product of 'shape' overflows", err);
  if (t->bytes != end - begin)
    return bad_tensor(t, "'data_offsets' do not span what 'shape' and 'dtype' need", err);
  t->file_offset = data + begin;
  return ZH_OK;
}

static zh_status read_tensor(zh_model *model, const zh_model_file *file, const char *name,
                             const json_t *record, uint64_t data, zh_error *err) {
  if (!zh_name_is_clean(name, strlen(name)))
    return zh_fail(err, ZH_ERR_INPUT, "%s: a tensor's name is empty or holds control characters",
                   file->path);
  zh_tensor *t = zh_model_add_tensor(model);
  if (t == NULL || (t->name = zh_arena_strdup(model->arena, name)) == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", file->path);
  t->file = file->path;
  const char *dtype = json_string_value(json_object_get(record, "dtype"));
  if (dtype == NULL) return bad_tensor(t, "'dtype' is missing or no text", err);
  const zh_dtype_info *info = zh_dtype_by_name(dtype);
  if (info == NULL || info->block_elements != 1)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has element type '%.32s', which this version does not know",
                   t->file, t->name, dtype);
  t->type = info->type;
  ZH_TRY(read_shape(t, json_object_get(record, "shape"), err));
  ZH_TRY(read_place(t, json_object_get(record, "data_offsets"), data, file->mapping.bytes - data,
                    err));
  t->data = file->mapping.data + t->file_offset;
  return ZH_OK;
}

/* By place in the file; of two at one place the one without bytes comes first. */
static int by_place(const void *a, const void *b) {
  const zh_tensor *x = a, *y = b;
  if (x->file_offset != y->file_offset) return x->file_offset < y->file_offset ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Sorted, the tensors from `first` must cover the data from end to end. */
static zh_status check_cover(zh_model *model, size_t first, const zh_model_file *file,
                             uint64_t data, zh_error *err) {
  zh_tensor *tensors = model->tensors;
  if (first < model->tensor_count)
    qsort(tensors + first, model->tensor_count - first, sizeof *tensors, by_place);
  for (size_t i = first; i < model->tensor_count; i++) {
    if (tensors[i].file_offset != data)
      return bad_tensor(&tensors[i],
                        tensors[i].file_offset < data ? "it overlaps the tensor before it"
                                                      : "there is a hole before it",
                        err);
    data += tensors[i].bytes;
  }
  if (data == file->mapping.bytes) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: %llu bytes after the last tensor belong to none",
                 file->path, (unsigned long long)(file->mapping.bytes - data));
}

static zh_status read_header(json_t **out, uint64_t *data, const zh_model_file *file,
                             zh_error *err) {
  uint64_t length = 0;
  size_t bytes = file->mapping.bytes;
  if (bytes == 0) return zh_fail(err, ZH_ERR_INPUT, "%s is empty", file->path);
  if (bytes < sizeof length)
    return zh_fail(err, ZH_ERR_INPUT, "%s ends inside the length of its header", file->path);
  memcpy(&length, file->mapping.data, sizeof length);
  if (length > HEADER_BYTES_MAX || length > bytes - sizeof length)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s claims a header of %llu bytes; it is no safetensors file or cut short (at "
                   "most %llu are allowed, %zu are there)",
                   file->path, (unsigned long long)length, (unsigned long long)HEADER_BYTES_MAX,
                   bytes - sizeof length);
  const char *text = (const char *)file->mapping.data + sizeof length;
  if (length == 0 || text[0] != '{')
    return zh_fail(err, ZH_ERR_INPUT, "%s: byte 8: a safetensors header begins with '{'",
                   file->path);
  *data = sizeof length + length;
  return zh_json_load_text(out, text, (size_t)length, file->path, err);
}

static zh_status read_shard(zh_model *model, const zh_model_file *file, zh_error *err) {
  json_t *header = NULL, *record;
  uint64_t data;
  size_t first = model->tensor_count;
  const char *name;
  zh_status status = read_header(&header, &data, file, err);
  if (status != ZH_OK) goto done;
  json_object_foreach(header, name, record) {
    if (strcmp(name, "__metadata__") == 0) continue;
    status = read_tensor(model, file, name, record, data, err);
    if (status != ZH_OK) goto done;
  }
  status = check_cover(model, first, file, data, err);
done:
  json_decref(header);
  return status;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

static const zh_model_file *file_named(const zh_model *model, const char *name) {
  for (size_t i = 0; i < model->file_count; i++)
    if (strcmp(base_name(model->files[i].path), name) == 0) return &model->files[i];
  return NULL;
}

/* The shards that the index names must be there, each tensor where the index says. */
static zh_status check_weight_map(zh_model *model, const json_t *map, const char *path,
                                  zh_error *err) {
  const char *name;
  const json_t *value;
  json_object_foreach((json_t *)map, name, value) {
    const char *shard = json_string_value(value);
    if (shard == NULL || !is_shard(shard) || !zh_name_is_clean(shard, strlen(shard)))
      return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%.200s' is mapped to no .safetensors file",
                     path, zh_name_is_clean(name, strlen(name)) ? name : "?");
    const zh_model_file *file = file_named(model, shard);
    if (file == NULL && model->lenient) {
      ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_SHARD_MISSING, shard, 1, err));
      continue;
    }
    if (file == NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s names the shard %.200s, which is not there", path,
                     shard);
    const zh_tensor *tensor = zh_model_find(model, name);
    bool there = tensor != NULL && tensor->file == file->path;
    if (!there && model->lenient)
      ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_INDEX_WRONG, path, 1, err));
    else if (!there)
      return zh_fail(err, ZH_ERR_INPUT, "%s says that tensor '%.200s' is in %s; it is not", path,
                     zh_name_is_clean(name, strlen(name)) ? name : "?", shard);
  }
  return ZH_OK;
}

/* And nothing may be there that the index does not name. */
static zh_status check_extra(zh_model *model, const json_t *map, const char *path, zh_error *err) {
  for (size_t i = 0; i < model->tensor_count; i++) {
    const zh_tensor *t = &model->tensors[i];
    if (json_object_get(map, t->name) != NULL) continue;
    if (model->lenient)
      ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_SHARD_EXTRA, base_name(t->file), 1, err));
    else
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s holds the tensor '%s', which %s does not name; remove the file or mend "
                     "the index",
                     t->file, t->name, path);
  }
  return ZH_OK;
}

static zh_status check_index(zh_model *model, const char *folder, zh_error *err) {
  const zh_model_file *index = file_named(model, INDEX_NAME);
  size_t shards = 0;
  for (size_t i = 0; i < model->file_count; i++) shards += is_shard(model->files[i].path);
  if (index == NULL && model->lenient) {
    if (shards > 1) ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_INDEX_MISSING, INDEX_NAME, 0, err));
    return zh_shards_check(model, folder, NULL, err);
  }
  if (index == NULL && shards == 1) return ZH_OK;
  if (index == NULL)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s holds %zu .safetensors files but no " INDEX_NAME " to say how they belong "
                   "together",
                   folder, shards);
  json_t *root = NULL, *map;
  zh_status status = zh_json_load_text(&root, (const char *)index->mapping.data,
                                       index->mapping.bytes, index->path, err);
  if (status == ZH_OK) status = zh_json_object(&map, root, "weight_map", index->path, err);
  if (status == ZH_OK) status = check_weight_map(model, map, index->path, err);
  if (status == ZH_OK) status = check_extra(model, map, index->path, err);
  if (status == ZH_OK && model->lenient) status = zh_shards_check(model, folder, root, err);
  json_decref(root);
  return status;
}

static zh_status read_config(zh_model *model, zh_error *err) {
  const zh_model_file *file = file_named(model, "config.json");
  if (file == NULL) return ZH_OK;
  if (file->mapping.bytes > CONFIG_BYTES_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "%s is larger than 16 MiB; a config.json was expected",
                   file->path);
  ZH_TRY(zh_json_load_text(&model->config, (const char *)file->mapping.data, file->mapping.bytes,
                           file->path, err));
  model->config_path = file->path;
  if (!json_is_object(model->config))
    return zh_fail(err, ZH_ERR_INPUT, "%s: an object was expected", file->path);
  const json_t *size = json_object_get(model->config, "num_parameters");
  if (json_is_integer(size))
    model->declared_size =
        zh_arena_printf(model->arena, "%lld", (long long)json_integer_value(size));
  else if (json_is_string(size))
    model->declared_size = zh_model_words(model, json_string_value(size), json_string_length(size));
  return ZH_OK;
}

zh_status zh_safetensors_read(zh_model *model, const char *folder, zh_error *err) {
  for (size_t i = 0; i < model->file_count; i++)
    if (folder == NULL || is_shard(model->files[i].path))
      ZH_TRY(read_shard(model, &model->files[i], err));
  ZH_TRY(zh_model_index(model, err));
  if (folder == NULL) return ZH_OK;
  ZH_TRY(read_config(model, err));
  return check_index(model, folder, err);
}
