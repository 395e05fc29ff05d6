/* What families make of a config.json and a list of tensors: input is the JSON object, a zero byte,
 * then a line a tensor, "name BF16 12 48". Every weight of a description that is accepted is read
 * to its last row, out of tensors that end where they say. */
#include <stdio.h>

#include "model/family.h"
#include "model_file.h"

enum { BYTES_MOST = 1 << 20, LINE_MOST = 300 };

static bool add_tensor(zh_model *model, const char *line) {
  char name[LINE_MOST], type[16];
  unsigned long shape[2] = {0};
  int read = sscanf(line, "%255s %15s %lu %lu", name, type, &shape[0], &shape[1]);
  const zh_dtype_info *info = read >= 3 ? zh_dtype_by_name(type) : NULL;
  if (info == NULL) return false;
  zh_tensor *t = zh_model_add_tensor(model);
  if (t == NULL) abort();
  t->name = zh_arena_strdup(model->arena, name);
  t->file = model->files[0].path;
  t->type = info->type;
  t->dims = read - 2;
  for (int i = 0; i < t->dims; i++) t->shape[i] = shape[i];
  if (t->name == NULL) abort();
  if (zh_tensor_measure(t) && t->bytes <= BYTES_MOST) return true;
  model->tensor_count--;
  return false;
}

static void add_tensors(zh_model *model, const char *text, size_t length) {
  while (length > 0) {
    char line[LINE_MOST];
    size_t end = 0;
    while (end < length && text[end] != '\n') end++;
    snprintf(line, sizeof line, "%.*s", (int)(end < LINE_MOST ? end : 0), text);
    (void)add_tensor(model, line);
    end += end < length;
    text += end;
    length -= end;
  }
}

static void read_weight(const zh_model *model, const zh_architecture *a, zh_weight_place place) {
  zh_source s;
  zh_error err = ZH_ERROR_INIT;
  if (!zh_weight_shape_of(a, place).needed) return;
  if (zh_model_source_or_values(&s, model, a, place, &err) != ZH_OK)
    abort(); /* it was found before */
  uint64_t rows = s.tensor.dims == 1 ? 1 : s.tensor.shape[0], bytes = s.tensor.bytes / rows;
  unsigned char *row = malloc(bytes + 1);
  if (row == NULL) abort();
  if (!s.valued) {
    zh_source_rows(row, &s, 0, 1);
    zh_source_rows(row, &s, rows - 1, 1);
  }
  free(row);
}

static void read_all(const zh_model *model, const zh_architecture *a) {
  for (int slot = 0; slot < ZH_MODEL_SLOTS; slot++)
    read_weight(model, a, (zh_weight_place){-1, -1, slot});
  for (int layer = 0; layer < (int)a->layers; layer++) {
    for (int slot = 0; slot < ZH_LAYER_SLOTS; slot++)
      read_weight(model, a, (zh_weight_place){layer, -1, slot});
    bool sparse = zh_layer_is(a, (uint32_t)layer, ZH_LAYER_EXPERTS);
    for (int expert = 0; sparse && expert < (int)a->experts; expert++)
      for (int slot = 0; slot < ZH_EXPERT_SLOTS; slot++)
        read_weight(model, a, (zh_weight_place){layer, expert, slot});
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  size_t length = 0;
  while (length < size && text[length] != '\0') length++;
  if (length == size || size - length > 1 << 16) return 0;
  zh_model *model = fuzz_model(data, size, "safetensors");
  bool object = zh_json_load_text(&model->config, text, length, "fuzz", NULL) == ZH_OK &&
                json_is_object(model->config);
  if (object) add_tensors(model, text + length + 1, size - length - 1);
  for (size_t i = 0; i < model->tensor_count; i++)
    model->tensors[i].data = calloc(1, model->tensors[i].bytes + 1);
  if (object && zh_model_index(model, &err) == ZH_OK) {
    if (zh_model_architecture(&a, model, &err) == ZH_OK)
      read_all(model, &a);
    else if (err.message[0] == 0)
      abort();
  }
  for (size_t i = 0; i < model->tensor_count; i++) free((void *)(uintptr_t)model->tensors[i].data);
  fuzz_model_free(model);
  return 0;
}
