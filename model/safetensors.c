/* safetensors: u64 length of a JSON header, the header, the tensors' bytes, without holes. A folder
 * may hold several such files with an index, and config.json. Source: huggingface/safetensors
 * README.md. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/plain_json.h"
#include "model/room.h"

#define HEADER_BYTES_MAX UINT64_C(100000000)
#define INDEX_NAME "model.safetensors.index.json"
enum { CONFIG_BYTES_MAX = 16 * 1024 * 1024 };

static bool is_companion(const char *name) {
  return strcmp(name, INDEX_NAME) == 0 || strcmp(name, "config.json") == 0;
}

static bool is_shard(const char *name) {
  return zh_ends_in(name, ".safetensors");
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

bool zh_safetensors_in_folder(const char *folder) {
  DIR *dir = opendir(folder);
  bool found = false;
  for (const struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;)
    found = is_shard(e->d_name);
  if (dir != NULL) closedir(dir);
  return found;
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
    status =
        zh_fail(err, ZH_ERR_INPUT,
                "%s holds no .safetensors and no GGUF file; a model folder was expected", folder);
  if (status == ZH_OK) qsort(*paths, *count, sizeof **paths, zh_by_text);
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

static zh_status place(zh_tensor *t, const zh_model_file *file, uint64_t data, uint64_t begin,
                       uint64_t end, zh_error *err) {
  if (end > file->mapping.bytes - data)
    return bad_tensor(t, "'data_offsets' reach past the end of the file; it is cut short", err);
  if (!zh_tensor_measure(t)) return bad_tensor(t, "the product of 'shape' overflows", err);
  if (end < begin || t->bytes != end - begin)
    return bad_tensor(t, "'data_offsets' do not span what 'shape' and 'dtype' need", err);
  t->file_offset = data + begin;
  t->data = file->mapping.data + t->file_offset;
  return ZH_OK;
}

static zh_status read_place(zh_tensor *t, const json_t *offsets, const zh_model_file *file,
                            uint64_t data, zh_error *err) {
  const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
      json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
    return bad_tensor(t, "'data_offsets' must be [begin, end] with 0 <= begin <= end", err);
  return place(t, file, data, (uint64_t)json_integer_value(first),
               (uint64_t)json_integer_value(last), err);
}

static zh_status add_tensor(zh_tensor **out, zh_model *model, const zh_model_file *file,
                            const char *name, size_t length, zh_error *err) {
  if (!zh_name_is_clean(name, length))
    return zh_fail(err, ZH_ERR_INPUT, "%s: a tensor's name is empty or holds control characters",
                   file->path);
  zh_tensor *t = *out = zh_model_add_tensor(model);
  if (t == NULL || (t->name = zh_arena_strndup(model->arena, name, length)) == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", file->path);
  t->file = file->path;
  return ZH_OK;
}

static zh_status set_type(zh_tensor *t, const char *dtype, zh_error *err) {
  const zh_dtype_info *info = zh_dtype_by_name(dtype);
  if (info == NULL || info->block_elements != 1)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has element type '%.32s', which this version does not know",
                   t->file, t->name, dtype);
  t->type = info->type;
  return ZH_OK;
}

static zh_status read_tensor(zh_model *model, const zh_model_file *file, const char *name,
                             const json_t *record, uint64_t data, zh_error *err) {
  zh_tensor *t;
  ZH_TRY(add_tensor(&t, model, file, name, strlen(name), err));
  const char *dtype = json_string_value(json_object_get(record, "dtype"));
  if (dtype == NULL) return bad_tensor(t, "'dtype' is missing or no text", err);
  ZH_TRY(set_type(t, dtype, err));
  ZH_TRY(read_shape(t, json_object_get(record, "shape"), err));
  return read_place(t, json_object_get(record, "data_offsets"), file, data, err);
}

/* --- headers as writers give them, in one pass --- */

typedef struct record {
  char dtype[16];
  uint64_t shape[ZH_TENSOR_DIMS], offsets[2];
  int dims;
} record;

/* {"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}, keys in any order, each once. */
static bool take_record(record *r, zh_plain *p) {
  zh_plain_text key, text;
  int keys = 0, items = 0;
  if (!zh_plain_take(p, '{')) return false;
  do {
    if (!zh_plain_key(&key, p)) return false;
    if (zh_plain_is(&key, "dtype") && (keys & 1) == 0) {
      if (!zh_plain_string(&text, p) || text.length >= sizeof r->dtype) return false;
      memcpy(r->dtype, text.bytes, text.length);
      r->dtype[text.length] = '\0';
      keys |= 1;
    } else if (zh_plain_is(&key, "shape") && (keys & 2) == 0) {
      if (!zh_plain_integers(r->shape, &r->dims, ZH_TENSOR_DIMS, p)) return false;
      keys |= 2;
    } else if (zh_plain_is(&key, "data_offsets") && (keys & 4) == 0) {
      if (!zh_plain_integers(r->offsets, &items, 2, p) || items != 2 ||
          r->offsets[1] < r->offsets[0])
        return false;
      keys |= 4;
    } else {
      return false;
    }
  } while (zh_plain_take(p, ','));
  return keys == 7 && zh_plain_take(p, '}');
}

/* *plain false: the header is not of this form, and nothing was added. */
static zh_status read_plainly(bool *plain, zh_model *model, const zh_model_file *file,
                              uint64_t data, zh_error *err) {
  const size_t first = model->tensor_count;
  const char *text = (const char *)file->mapping.data;
  zh_plain p;
  zh_plain_text name, metadata;
  *plain = zh_plain_begin(&p, text + sizeof(uint64_t), (size_t)data - sizeof(uint64_t)) &&
           zh_plain_take(&p, '{');
  do {
    record r;
    zh_tensor *t;
    *plain = *plain && zh_plain_key(&name, &p);
    if (*plain && zh_plain_is(&name, "__metadata__")) {
      json_t *checked = NULL;
      *plain = zh_plain_object(&metadata, &p);
      if (*plain)
        ZH_TRY(zh_json_load_text(&checked, metadata.bytes, metadata.length, file->path, err));
      json_decref(checked);
      continue;
    }
    *plain = *plain && take_record(&r, &p);
    if (!*plain) break;
    ZH_TRY(add_tensor(&t, model, file, name.bytes, name.length, err));
    ZH_TRY(set_type(t, r.dtype, err));
    t->dims = r.dims;
    memcpy(t->shape, r.shape, (size_t)r.dims * sizeof *r.shape);
    ZH_TRY(place(t, file, data, r.offsets[0], r.offsets[1], err));
  } while (zh_plain_take(&p, ','));
  *plain = *plain && zh_plain_take(&p, '}') && zh_plain_ends(&p);
  if (!*plain) model->tensor_count = first;
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
  bool sorted = true;
  for (size_t i = first + 1; i < model->tensor_count; i++)
    sorted &= by_place(&tensors[i - 1], &tensors[i]) <= 0;
  if (!sorted) qsort(tensors + first, model->tensor_count - first, sizeof *tensors, by_place);
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

/* *data: where the tensors' bytes begin. */
static zh_status measure_header(uint64_t *data, const zh_model_file *file, zh_error *err) {
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
  if (length == 0 || file->mapping.data[sizeof length] != '{')
    return zh_fail(err, ZH_ERR_INPUT, "%s: byte 8: a safetensors header begins with '{'",
                   file->path);
  *data = sizeof length + length;
  return ZH_OK;
}

/* Any JSON, with a message that says where it is none. */
static zh_status read_as_tree(zh_model *model, const zh_model_file *file, uint64_t data,
                              zh_error *err) {
  json_t *header = NULL, *entry;
  const char *name, *text = (const char *)file->mapping.data + sizeof(uint64_t);
  zh_status status =
      zh_json_load_text(&header, text, (size_t)data - sizeof(uint64_t), file->path, err);
  if (status != ZH_OK) return status;
  json_object_foreach(header, name, entry) {
    if (strcmp(name, "__metadata__") == 0) continue;
    status = read_tensor(model, file, name, entry, data, err);
    if (status != ZH_OK) break;
  }
  json_decref(header);
  return status;
}

static zh_status read_shard(zh_model *model, const zh_model_file *file, zh_error *err) {
  uint64_t data;
  size_t first = model->tensor_count;
  bool plain;
  ZH_TRY(measure_header(&data, file, err));
  ZH_TRY(read_plainly(&plain, model, file, data, err));
  if (!plain) ZH_TRY(read_as_tree(model, file, data, err));
  return check_cover(model, first, file, data, err);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

static int name_to_file(const void *name, const void *file) {
  return strcmp(name, base_name(((const zh_model_file *)file)->path));
}

/* Files are sorted by their paths, which are all in one folder. */
static const zh_model_file *file_named(const zh_model *model, const char *name) {
  return bsearch(name, model->files, model->file_count, sizeof *model->files, name_to_file);
}

/* Which tensors the index has named so far. */
typedef struct index_check {
  zh_model *model;
  const char *path;
  unsigned char *named;      /* of each tensor */
  const zh_model_file *file; /* of the shard last named */
  char shard[256];
  bool fit;   /* it is a shard's name */
  bool again; /* a tensor was named twice */
} index_check;

/* The shard must be there, and the tensor in it. */
static zh_status check_entry(index_check *c, zh_plain_text name, zh_plain_text shard,
                             zh_error *err) {
  zh_model *model = c->model;
  if (strncmp(c->shard, shard.bytes, shard.length) != 0 || c->shard[shard.length] != '\0') {
    snprintf(c->shard, sizeof c->shard, "%.*s", (int)shard.length, shard.bytes);
    c->file = file_named(model, c->shard);
    c->fit = is_shard(c->shard) && zh_name_is_clean(shard.bytes, shard.length);
  }
  const zh_tensor *tensor = zh_model_find_exactly(model, name.bytes, name.length);
  bool clean = tensor != NULL || zh_name_is_clean(name.bytes, name.length);
  int shown = clean ? (int)(name.length < 200 ? name.length : 200) : 1;
  const char *words = clean ? name.bytes : "?";
  if (!c->fit)
    return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%.*s' is mapped to no .safetensors file",
                   c->path, shown, words);
  if (tensor != NULL) c->again |= c->named[tensor - model->tensors]++ != 0;
  if (c->file == NULL && model->lenient)
    return zh_model_add_defect(model, ZH_DEFECT_SHARD_MISSING, c->shard, 1, err);
  if (c->file == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s names the shard %.200s, which is not there", c->path,
                   c->shard);
  if (tensor != NULL && tensor->file == c->file->path) return ZH_OK;
  if (model->lenient) return zh_model_add_defect(model, ZH_DEFECT_INDEX_WRONG, c->path, 1, err);
  return zh_fail(err, ZH_ERR_INPUT, "%s says that tensor '%.*s' is in %s; it is not", c->path,
                 shown, words, c->shard);
}

/* And nothing may be there that the index does not name. */
static zh_status check_extra(const index_check *c, zh_error *err) {
  for (size_t i = 0; i < c->model->tensor_count; i++) {
    const zh_tensor *t = &c->model->tensors[i];
    if (c->named[i]) continue;
    if (c->model->lenient)
      ZH_TRY(zh_model_add_defect(c->model, ZH_DEFECT_SHARD_EXTRA, base_name(t->file), 1, err));
    else
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s holds the tensor '%s', which %s does not name; remove the file or mend "
                     "the index",
                     t->file, t->name, c->path);
  }
  return ZH_OK;
}

/* {"metadata": {…}, "weight_map": {"tensor": "shard", …}}: where the map begins, and the metadata.
 */
static bool find_map(zh_plain *map, zh_plain_text *metadata, zh_plain p) {
  zh_plain_text key, object;
  bool found = false;
  *metadata = (zh_plain_text){"{}", 2};
  if (!zh_plain_take(&p, '{')) return false;
  do {
    if (!zh_plain_key(&key, &p) || !zh_plain_object(&object, &p)) return false;
    bool is_map = zh_plain_is(&key, "weight_map");
    if (is_map ? found : !zh_plain_is(&key, "metadata")) return false;
    found |= is_map;
    if (is_map)
      *map = (zh_plain){object.bytes, object.bytes + object.length};
    else
      *metadata = object;
  } while (zh_plain_take(&p, ','));
  return found && zh_plain_take(&p, '}') && zh_plain_ends(&p);
}

/* *plain false: the map is not one of plain pairs, each name once; what was listed is undone. */
static zh_status walk_plain_map(bool *plain, index_check *c, zh_plain p, zh_error *err) {
  zh_plain_text name, shard;
  size_t defects = c->model->defect_count;
  bool more = *plain = zh_plain_take(&p, '{');
  if (zh_plain_take(&p, '}')) return ZH_OK;
  while (more) {
    *plain = zh_plain_key(&name, &p) && zh_plain_string(&shard, &p) && shard.length <= 255;
    if (!*plain) break;
    ZH_TRY(check_entry(c, name, shard, err));
    more = zh_plain_take(&p, ',');
  }
  *plain = *plain && zh_plain_take(&p, '}') && !c->again;
  if (*plain) return ZH_OK;
  c->model->defect_count = defects;
  memset(c->named, 0, c->model->tensor_count);
  return ZH_OK;
}

static zh_status walk_tree_map(index_check *c, json_t *root, zh_error *err) {
  const char *name;
  json_t *map, *value;
  ZH_TRY(zh_json_object(&map, root, "weight_map", c->path, err));
  json_object_foreach(map, name, value) {
    zh_plain_text key = {name, strlen(name)};
    zh_plain_text shard = {json_string_value(value), json_string_length(value)};
    if (shard.bytes == NULL || shard.length > 255) shard = (zh_plain_text){"", 0};
    ZH_TRY(check_entry(c, key, shard, err));
  }
  return ZH_OK;
}

static zh_status follow_tree(index_check *c, json_t *root, const char *folder, zh_error *err) {
  ZH_TRY(walk_tree_map(c, root, err));
  ZH_TRY(check_extra(c, err));
  if (!c->model->lenient) return ZH_OK;
  return zh_shards_check(c->model, folder, json_object_get(root, "metadata"), err);
}

static zh_status follow_plain(bool *plain, index_check *c, const char *text, size_t bytes,
                              const char *folder, zh_error *err) {
  zh_plain p, map = {0};
  zh_plain_text metadata;
  json_t *stated = NULL;
  *plain = zh_plain_begin(&p, text, bytes) && find_map(&map, &metadata, p);
  if (*plain) ZH_TRY(walk_plain_map(plain, c, map, err));
  if (!*plain) return ZH_OK;
  ZH_TRY(check_extra(c, err));
  if (!c->model->lenient) return ZH_OK;
  ZH_TRY(zh_json_load_text(&stated, metadata.bytes, metadata.length, c->path, err));
  zh_status status = zh_shards_check(c->model, folder, stated, err);
  json_decref(stated);
  return status;
}

static zh_status follow_index(zh_model *model, const char *folder, const zh_model_file *index,
                              zh_error *err) {
  const char *text = (const char *)index->mapping.data;
  json_t *root = NULL;
  bool plain = false;
  index_check c = {.model = model, .path = index->path};
  c.named = calloc(model->tensor_count + 1, 1);
  if (c.named == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (index)");
  zh_status status = ZH_OK;
  if (index->mapping.bytes > 0)
    status = follow_plain(&plain, &c, text, index->mapping.bytes, folder, err);
  if (status == ZH_OK && !plain)
    status = zh_json_load_text(&root, text, index->mapping.bytes, index->path, err);
  if (status == ZH_OK && !plain) status = follow_tree(&c, root, folder, err);
  json_decref(root);
  free(c.named);
  return status;
}

static zh_status check_index(zh_model *model, const char *folder, zh_error *err) {
  const zh_model_file *index = file_named(model, INDEX_NAME);
  size_t shards = 0;
  for (size_t i = 0; i < model->file_count; i++) shards += is_shard(model->files[i].path);
  if (index != NULL) return follow_index(model, folder, index, err);
  if (model->lenient) {
    if (shards > 1) ZH_TRY(zh_model_add_defect(model, ZH_DEFECT_INDEX_MISSING, INDEX_NAME, 0, err));
    return zh_shards_check(model, folder, NULL, err);
  }
  if (shards == 1) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s holds %zu .safetensors files but no " INDEX_NAME " to say how they belong "
                 "together",
                 folder, shards);
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
  for (size_t i = 0; i < model->file_count; i++) {
    if (folder != NULL && !is_shard(model->files[i].path)) continue;
    bool first = model->tensor_count == 0;
    ZH_TRY(read_shard(model, &model->files[i], err));
    if (first) zh_model_expect_tensors(model, model->tensor_count * model->file_count);
  }
  ZH_TRY(zh_model_index(model, err));
  if (folder == NULL) return ZH_OK;
  ZH_TRY(read_config(model, err));
  return check_index(model, folder, err);
}
