/* Weights as makers pack them: a line with what config.json says, then a safetensors file. Every
 * weight that is accepted is made, into memory that ends where its rows end. */
#include "model/coded.h"
#include "model/conversion.h"
#include "model_file.h"

static void make_rows(const zh_coded *w, uint64_t first, uint64_t count) {
  const zh_tensor *t = &w->tensor;
  uint64_t columns = t->dims > 1 ? t->shape[t->dims - 1] : 1;
  uint64_t rows = t->elements / columns;
  unsigned char *out = malloc(count * (t->bytes / rows));
  if (out == NULL || first + count > rows) abort();
  zh_coded_rows(out, w, first, count);
  free(out);
}

/* The weight that a tensor holds the codes of, by each ending that its name may lose. */
static void make_weight(const zh_model *model, const char *name) {
  static const char *const ends[][2] = {{"", ""}, {"qweight", "weight"}, {"_packed", ""}};
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    char other[600];
    const zh_coded *w = NULL;
    size_t length = strlen(name), end = strlen(ends[i][0]);
    if (length < end || length > 512 || strcmp(name + length - end, ends[i][0]) != 0) continue;
    snprintf(other, sizeof other, "%.*s%s", (int)(length - end), name, ends[i][1]);
    if (zh_coded_find(&w, model, other, NULL) != ZH_OK) abort(); /* the first time was well */
    if (w == NULL || w->tensor.elements == 0) continue;
    uint64_t columns = w->tensor.dims > 1 ? w->tensor.shape[w->tensor.dims - 1] : 1;
    uint64_t rows = w->tensor.elements / columns, all = rows < 70 ? rows : 70;
    make_rows(w, 0, all);
    make_rows(w, rows - 1, 1);
    make_rows(w, rows / 3, rows - rows / 3 < 5 ? rows - rows / 3 : 5);
  }
}

/* Rows of a tensor as a conversion would make them. */
static void convert_rows(const zh_converted *t) {
  const uint64_t rows[] = {0, t->rows / 3, t->rows - 1};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    unsigned char *out = malloc(t->row_bytes);
    uint64_t at = 0;
    if (out == NULL || rows[i] >= t->rows) abort();
    if (zh_converted_across(t, rows[i], 7) == 0)
      (void)zh_converted_row(out, t, rows[i]);
    else
      (void)zh_converted_column(out, &at, t, rows[i], t->columns - 1);
    free(out);
  }
}

static void convert(const zh_model *model, zh_container container, const zh_dtype_info *type) {
  zh_error err = ZH_ERROR_INIT;
  zh_conversion *conversion = NULL;
  zh_status status = zh_conversion_create(&conversion, model, container, type, &err);
  if (status != ZH_OK && err.message[0] == 0) abort();
  for (size_t i = 0; status == ZH_OK && i < zh_conversion_count(conversion); i++)
    convert_rows(zh_conversion_tensor(conversion, i));
  zh_conversion_free(conversion);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
  const zh_coded *w;
  if (end == NULL) return 0;
  size_t line = (size_t)(end - data) + 1;
  uint8_t *file = malloc(size > line ? size - line : 1); /* reads past its end are seen */
  if (file == NULL) abort();
  memcpy(file, data + line, size - line);
  zh_model *model = fuzz_model(file, size - line, "safetensors");
  if (zh_json_load_text(&model->config, (const char *)data, line, "config.json", &err) == ZH_OK &&
      zh_safetensors_read(model, NULL, &err) == ZH_OK) {
    if (zh_coded_find(&w, model, "m.weight", &err) == ZH_OK) {
      for (size_t i = 0; i < zh_model_tensor_count(model); i++)
        make_weight(model, zh_model_tensor(model, i)->name);
      convert(model, ZH_CONTAINER_SAFETENSORS, zh_dtype_by_name("F32"));
      convert(model, ZH_CONTAINER_SAFETENSORS, zh_dtype_by_name("MXFP4"));
      convert(model, ZH_CONTAINER_SAFETENSORS, NULL);
      convert(model, ZH_CONTAINER_GGUF, zh_dtype_by_name("Q8_0"));
    } else if (err.message[0] == 0) {
      abort();
    }
  }
  fuzz_model_free(model);
  free(file);
  return 0;
}
