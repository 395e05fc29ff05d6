/* Before hours of writing: whether what would be written describes the same model. The file's
 * beginning is read as it will be, with memory behind it that nobody fills in. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/conversion_room.h"

/* Lists that no tensor held are part of the description. */
static void put_values(unsigned char *tensors, const zh_conversion *c, uint64_t alignment) {
  for (size_t i = 0; i < c->count; i++) {
    const zh_converted *t = &c->tensors[i];
    if (t->values != NULL) memcpy(tensors, t->values, (size_t)t->as.bytes);
    tensors += (t->as.bytes + alignment - 1) / alignment * alignment;
  }
}

static zh_status read_config(zh_model *model, const zh_conversion *c, zh_error *err) {
  for (size_t i = 0; i < c->side_count; i++)
    if (strcmp(c->side[i].name, "config.json") == 0)
      return zh_json_load_text(&model->config, zh_text_string(&c->side[i].bytes),
                               c->side[i].bytes.length, "config.json", err);
  return ZH_OK;
}

/* A model of one file, which is this memory. */
static zh_status make_model(zh_model **out, const zh_conversion *c, zh_mapping memory,
                            zh_error *err) {
  zh_model *model = *out = calloc(1, sizeof *model);
  if (model == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  model->cache = calloc(1, sizeof *model->cache);
  model->files = calloc(1, sizeof *model->files);
  model->name = strdup(c->model->name);
  model->path = strdup(c->model->path);
  if (model->cache != NULL) pthread_mutex_init(&model->cache->lock, NULL);
  if (model->cache == NULL || model->files == NULL || model->name == NULL || model->path == NULL ||
      (model->files[0].path = strdup(c->model->path)) == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  model->files[0].mapping = memory;
  model->file_count = 1;
  ZH_TRY(zh_arena_create(&model->arena, 0, err));
  if (c->container == ZH_CONTAINER_GGUF) {
    model->format = "gguf";
    return zh_gguf_read(model, err);
  }
  model->format = "safetensors";
  ZH_TRY(read_config(model, c, err));
  return zh_safetensors_read(model, NULL, err);
}

static zh_status rehearse(const zh_conversion *c, const zh_text *head, zh_error *err) {
  uint64_t alignment = c->container == ZH_CONTAINER_GGUF ? ZH_GGUF_ALIGNMENT : 1,
           bytes = head->length;
  zh_model *model = NULL;
  for (size_t i = 0; i < c->count; i++)
    bytes += (c->tensors[i].as.bytes + alignment - 1) / alignment * alignment;
  unsigned char *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return ZH_OK; /* what is written will be looked at, too */
  memcpy(memory, head->data, head->length);
  put_values(memory + head->length, c, alignment);
  zh_status status = make_model(&model, c, (zh_mapping){.data = memory, .bytes = bytes}, err);
  if (status == ZH_OK) status = zh_conversion_compare(c, model, err);
  if (model == NULL || model->file_count == 0) (void)munmap(memory, (size_t)bytes);
  zh_model_free(model);
  return status;
}

zh_status zh_conversion_rehearse(const zh_conversion *c, zh_error *err) {
  zh_text head = {0};
  if (!zh_conversion_is_compared(c)) return ZH_OK;
  zh_status status = c->container == ZH_CONTAINER_GGUF ? zh_gguf_head(&head, c, err)
                                                       : zh_safetensors_head(&head, c, err);
  if (status == ZH_OK) status = rehearse(c, &head, err);
  zh_text_free(&head);
  return status;
}
