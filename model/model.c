/* Opening a model by name, and what every format has in common. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/text.h"
#include "model/coded.h"
#include "model/room.h"

#define MOST_EXPECTED ((size_t)64 << 20) /* bytes; beyond it a file would only claim so much */

enum { ARENA_SLACK_BYTES = 1 << 20, ARENA_PER_FILE_BYTE = 16 };

static const char *base_name(const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  const char *name = path + length;
  while (name > path && name[-1] != '/') name--;
  return name;
}

bool zh_name_is_clean(const char *bytes, size_t length) {
  uint32_t code_point;
  for (size_t i = 0; i < length;) {
    if (bytes[i] >= 0x20 && bytes[i] < 0x7f) { /* nearly every byte of nearly every name */
      i++;
      continue;
    }
    int step = zh_utf8_decode(&code_point, bytes + i, length - i);
    if (step == 0 || !zh_is_printable(code_point)) return false;
    i += (size_t)step;
  }
  return length > 0;
}

char *zh_model_words(zh_model *model, const char *bytes, size_t length) {
  char *words = zh_arena_strndup(model->arena, bytes, length);
  for (size_t i = 0; words != NULL && i < length;) {
    uint32_t code_point;
    int step = zh_utf8_decode(&code_point, words + i, length - i);
    if (step == 0 || !zh_is_printable(code_point)) {
      step = step > 0 ? step : 1;
      memset(words + i, '?', (size_t)step);
    }
    i += (size_t)step;
  }
  return words;
}

zh_status zh_model_add_defect(zh_model *model, zh_defect_kind kind, const char *what,
                              uint64_t tensors, zh_error *err) {
  for (size_t i = 0; i < model->defect_count; i++)
    if (model->defects[i].kind == kind && strcmp(model->defects[i].what, what) == 0) {
      model->defects[i].tensors += tensors;
      return ZH_OK;
    }
  zh_defect *grown = realloc(model->defects, (model->defect_count + 1) * sizeof *grown);
  if (grown != NULL) model->defects = grown;
  char *words = zh_model_words(model, what, strlen(what));
  if (grown == NULL || words == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (defects)");
  grown[model->defect_count++] = (zh_defect){.kind = kind, .what = words, .tensors = tensors};
  return ZH_OK;
}

size_t zh_model_defect_count(const zh_model *model) {
  return model->defect_count;
}

const zh_defect *zh_model_defect(const zh_model *model, size_t i) {
  return i < model->defect_count ? &model->defects[i] : NULL;
}

void zh_model_expect_tensors(zh_model *model, size_t count) {
  const size_t huge = (size_t)1 << 21;
  size_t bytes = count <= SIZE_MAX / 2 / sizeof *model->tensors
                     ? (count * sizeof *model->tensors + huge - 1) / huge * huge
                     : 0;
  if (bytes <= huge || bytes > MOST_EXPECTED || count <= model->tensor_capacity) return;
  zh_tensor *tensors = aligned_alloc(huge, bytes);
  if (tensors == NULL) return;
  (void)madvise(tensors, bytes, MADV_HUGEPAGE);
  memcpy(tensors, model->tensors, model->tensor_count * sizeof *tensors);
  free(model->tensors);
  model->tensors = tensors;
  model->tensor_capacity = bytes / sizeof *tensors;
}

zh_tensor *zh_model_add_tensor(zh_model *model) {
  if (model->tensor_count == model->tensor_capacity) {
    size_t capacity = model->tensor_capacity == 0 ? 256 : model->tensor_capacity * 2;
    zh_tensor *grown = realloc(model->tensors, capacity * sizeof *grown);
    if (grown == NULL) return NULL;
    model->tensors = grown;
    model->tensor_capacity = capacity;
  }
  zh_tensor *tensor = &model->tensors[model->tensor_count++];
  memset(tensor, 0, sizeof *tensor);
  return tensor;
}

bool zh_tensor_measure(zh_tensor *tensor) {
  uint64_t rows = 1, columns = tensor->dims > 0 ? tensor->shape[tensor->dims - 1] : 1, row_bytes;
  for (int i = 0; i + 1 < tensor->dims; i++)
    if (__builtin_mul_overflow(rows, tensor->shape[i], &rows)) return false;
  if (__builtin_mul_overflow(rows, columns, &tensor->elements)) return false;
  if (!zh_dtype_bytes(&row_bytes, tensor->type, columns)) return false;
  return !__builtin_mul_overflow(rows, row_bytes, &tensor->bytes) && tensor->bytes <= INT64_MAX &&
         tensor->elements <= INT64_MAX;
}

static zh_status create(zh_model **out, const char *name_or_path, zh_error *err) {
  zh_model *model = calloc(1, sizeof *model);
  if (model == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (model)");
  *out = model;
  model->cache = calloc(1, sizeof *model->cache);
  model->name = strdup(base_name(name_or_path));
  model->path = strdup(name_or_path);
  if (model->cache == NULL || model->name == NULL || model->path == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (model)");
  size_t length = strlen(model->name);
  while (length > 1 && model->name[length - 1] == '/') model->name[--length] = '\0';
  pthread_mutex_init(&model->cache->lock, NULL);
  return ZH_OK;
}

/* Maps the files and makes the arena, whose limit their size sets. */
static zh_status map_files(zh_model *model, char *const *paths, size_t count, zh_error *err) {
  model->files = calloc(count + 1, sizeof *model->files);
  if (model->files == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (model)");
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    zh_model_file *file = &model->files[model->file_count];
    ZH_TRY(zh_map_file(&file->mapping, paths[i], err));
    model->file_count++;
    file->path = strdup(paths[i]);
    if (file->path == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (model)");
    bytes += file->mapping.bytes;
  }
  return zh_arena_create(&model->arena, ARENA_SLACK_BYTES + ARENA_PER_FILE_BYTE * bytes, err);
}

/* By what the file begins with; its name decides only how a damaged one is spoken of. */
static zh_status open_file(zh_model *model, zh_error *err) {
  char **paths = NULL;
  const char *path = model->path;
  size_t count = 0;
  zh_status status = zh_gguf_list_parts(&paths, &count, model, err);
  if (status == ZH_OK) status = map_files(model, paths, count, err);
  for (size_t i = 0; i < count; i++) free(paths[i]);
  free(paths);
  ZH_TRY(status);
  const zh_mapping *mapping = &model->files[0].mapping;
  bool gguf = mapping->bytes >= 4 && memcmp(mapping->data, "GGUF", 4) == 0;
  bool safetensors = !gguf && mapping->bytes > 8 && mapping->data[8] == '{';
  if (safetensors || (!gguf && zh_ends_in(path, ".safetensors"))) {
    model->format = "safetensors";
    return zh_safetensors_read(model, NULL, err);
  }
  model->format = "gguf";
  if (gguf || zh_ends_in(path, ".gguf")) return zh_gguf_read(model, err);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s is no model file: a GGUF file, a .safetensors file or a folder of them was "
                 "expected",
                 path);
}

/* A folder without safetensors may hold a GGUF file, or its parts. */
static zh_status open_folder(zh_model *model, zh_error *err) {
  char **paths = NULL, *gguf = NULL;
  size_t count = 0;
  if (!zh_safetensors_in_folder(model->path)) ZH_TRY(zh_gguf_in_folder(&gguf, model->path, err));
  if (gguf != NULL) {
    free(model->path);
    model->path = gguf;
    return open_file(model, err);
  }
  model->format = "safetensors";
  ZH_TRY(zh_safetensors_list(&paths, &count, model->path, err));
  zh_status status = map_files(model, paths, count, err);
  for (size_t i = 0; i < count; i++) free(paths[i]);
  free(paths);
  ZH_TRY(status);
  return zh_safetensors_read(model, model->path, err);
}

/* The nearest class, where one is near, and all of them. */
static zh_status unknown_name(const char *name, zh_error *err) {
  const zh_standard_class *classes;
  size_t count;
  ZH_TRY(zh_standard_classes(&classes, &count, err));
  const char **names = calloc(count + 1, sizeof *names);
  zh_text all = {0};
  for (size_t i = 0; names != NULL && i < count; i++) {
    names[i] = classes[i].name;
    zh_text_printf(&all, "%s%s", i == 0 ? "" : ", ", classes[i].name);
  }
  const char *near = names != NULL ? zh_nearest_word(name, names) : NULL;
  zh_status status =
      near != NULL
          ? zh_fail(err, ZH_ERR_INPUT,
                    "'%s' is neither a file nor a standard model; did you mean '%s'?", name, near)
          : zh_fail(err, ZH_ERR_INPUT,
                    "'%s' is neither a file nor a folder nor a standard model (%s)", name,
                    zh_text_string(&all));
  free(names);
  zh_text_free(&all);
  return status;
}

static zh_status open_standard(zh_model *model, zh_error *err) {
  bool known = false;
  const char *name = model->path;
  model->format = "standard";
  if (strchr(name, '/') != NULL || zh_ends_in(name, ".gguf") || zh_ends_in(name, ".safetensors"))
    return zh_fail(err, ZH_ERR_INPUT, "%s: no such file", name);
  ZH_TRY(zh_arena_create(&model->arena, 0, err));
  ZH_TRY(zh_standard_read(model, name, &known, err));
  if (!known) return unknown_name(name, err);
  model->path[0] = '\0';
  return ZH_OK;
}

static zh_status open_model(zh_model **out, const char *name_or_path, bool lenient, zh_error *err) {
  zh_model *model = NULL;
  struct stat about;
  *out = NULL;
  zh_status status = create(&model, name_or_path, err);
  if (status != ZH_OK) goto done;
  model->lenient = lenient;
  if (stat(name_or_path, &about) != 0)
    status = errno == ENOENT || errno == ENOTDIR
                 ? open_standard(model, err)
                 : zh_fail(err, ZH_ERR_INPUT, "%s: %s", name_or_path, strerror(errno));
  else
    status = S_ISDIR(about.st_mode) ? open_folder(model, err) : open_file(model, err);
  if (status == ZH_OK) *out = model;
done:
  if (status != ZH_OK) zh_model_free(model);
  return status;
}

zh_status zh_model_open(zh_model **out, const char *name_or_path, zh_error *err) {
  return open_model(out, name_or_path, false, err);
}

zh_status zh_model_open_for_audit(zh_model **out, const char *name_or_path, zh_error *err) {
  return open_model(out, name_or_path, true, err);
}

void zh_model_free(zh_model *model) {
  if (model == NULL) return;
  if (model->cache != NULL) {
    zh_tokenizer_free(model->cache->tokenizer);
    zh_coded_free(model->cache->coded);
    pthread_mutex_destroy(&model->cache->lock);
    free(model->cache);
  }
  for (size_t i = 0; i < model->file_count; i++) {
    zh_unmap(&model->files[i].mapping);
    free(model->files[i].path);
  }
  free(model->files);
  free(model->defects);
  free(model->tensors);
  free(model->name_slots);
  json_decref(model->config);
  zh_arena_free(model->arena);
  free(model->name);
  free(model->path);
  free(model);
}

const char *zh_model_name(const zh_model *model) {
  return model->name;
}
const char *zh_model_path(const zh_model *model) {
  return model->path;
}
const char *zh_model_format(const zh_model *model) {
  return model->format;
}
size_t zh_model_tensor_count(const zh_model *model) {
  return model->tensor_count;
}
const char *zh_model_declared_size(const zh_model *model) {
  return model->declared_size;
}

const json_t *zh_model_config(const zh_model *model) {
  return model->config;
}

uint64_t zh_model_file_bytes(const zh_model *model) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < model->file_count; i++) bytes += model->files[i].mapping.bytes;
  return bytes;
}

const zh_tensor *zh_model_tensor(const zh_model *model, size_t i) {
  return i < model->tensor_count ? &model->tensors[i] : NULL;
}

const zh_tensor *zh_model_find(const zh_model *model, const char *name) {
  return zh_model_find_exactly(model, name, strlen(name));
}

const zh_tensor *zh_model_sibling(const zh_model *model, const char *name, const char *old_end,
                                  const char *new_end) {
  char other[512];
  size_t kept = strlen(name) - strlen(old_end);
  if (kept + strlen(new_end) >= sizeof other) return NULL;
  memcpy(other, name, kept);
  strcpy(other + kept, new_end);
  return zh_model_find(model, other);
}

zh_status zh_model_tokenizer(const zh_tokenizer **out, const zh_model *model, zh_error *err) {
  *out = NULL;
  bool folder = strcmp(model->format, "safetensors") == 0;
  if (!folder && !zh_gguf_names_tokenizer(model)) return ZH_OK;
  zh_status status = ZH_OK;
  pthread_mutex_lock(&model->cache->lock);
  if (model->cache->tokenizer == NULL)
    status = zh_tokenizer_create(&model->cache->tokenizer, model, err);
  *out = model->cache->tokenizer;
  pthread_mutex_unlock(&model->cache->lock);
  return status;
}

static zh_status digest_files(char out[ZH_DIGEST_HEX], const zh_model *model, zh_digest_kind kind,
                              zh_error *err) {
  zh_digest *digest = NULL;
  zh_status status = zh_digest_create(&digest, kind, err);
  for (size_t i = 0; status == ZH_OK && i < model->file_count; i++)
    status =
        zh_digest_update(digest, model->files[i].mapping.data, model->files[i].mapping.bytes, err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

zh_status zh_model_digest(char out[ZH_DIGEST_HEX], zh_model *model, zh_digest_kind kind,
                          zh_error *err) {
  char *kept = model->digest[kind];
  if (kept[0] == '\0' && model->description != NULL)
    ZH_TRY(zh_digest_bytes(kept, kind, model->description, strlen(model->description), err));
  else if (kept[0] == '\0')
    ZH_TRY(digest_files(kept, model, kind, err));
  memcpy(out, kept, ZH_DIGEST_HEX);
  return ZH_OK;
}

bool zh_model_file_at(const unsigned char **data, size_t *bytes, const zh_model *model, size_t i) {
  if (i >= model->file_count) return false;
  *data = model->files[i].mapping.data;
  *bytes = model->files[i].mapping.bytes;
  return true;
}

zh_status zh_model_unchanged(const zh_model *model, zh_error *err) {
  for (size_t i = 0; i < model->file_count; i++)
    ZH_TRY(zh_mapping_unchanged(&model->files[i].mapping, model->files[i].path, err));
  return ZH_OK;
}
