/* A model over the fuzzer's own bytes: no mapping, whose last page would hide reads past the end.
 */
#ifndef ZH_TESTS_FUZZ_MODEL_FILE_H
#define ZH_TESTS_FUZZ_MODEL_FILE_H

#include <string.h>

#include "fuzz.h"
#include "model/room.h"

static inline zh_model *fuzz_model(const uint8_t *data, size_t size, const char *format) {
  zh_model *model = calloc(1, sizeof *model);
  if (model == NULL || (model->files = calloc(1, sizeof *model->files)) == NULL ||
      (model->cache = calloc(1, sizeof *model->cache)) == NULL ||
      zh_arena_create(&model->arena, (1 << 20) + 16 * size, NULL) != ZH_OK)
    abort();
  pthread_mutex_init(&model->cache->lock, NULL);
  model->format = format;
  model->name = strdup("fuzz");
  model->path = strdup("fuzz");
  model->file_count = 1;
  model->files[0].path = strdup("fuzz");
  model->files[0].mapping = (zh_mapping){.data = data, .bytes = size};
  return model;
}

static inline void fuzz_model_free(zh_model *model) {
  for (size_t i = 0; i < model->file_count; i++)
    model->files[i].mapping = (zh_mapping){0}; /* the fuzzer's, not ours to unmap */
  zh_model_free(model);
}

/* Tensors must lie inside the file, and whatever is refused must be refused in words. */
static inline void fuzz_model_check(const zh_model *model, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture architecture;
  for (size_t i = 0; i < zh_model_tensor_count(model); i++) {
    const zh_tensor *t = zh_model_tensor(model, i);
    if (t->file_offset > size || t->bytes > size - t->file_offset) abort();
    if (zh_model_find(model, t->name) != t) abort();
    (void)zh_tensor_role_name(zh_tensor_role_of(t));
  }
  if (zh_model_architecture(&architecture, model, &err) != ZH_OK && err.message[0] == 0) abort();
}

#endif
