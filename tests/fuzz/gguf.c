/* The GGUF reader, of one file and of two parts; what it makes of the architecture; rows of
 * whatever the blocks hold, by plain code and by vectors; and what a conversion would make of it.
 */
#include <math.h>

#include "kernels/kernels.h"
#include "model/conversion.h"
#include "model_file.h"

enum { VALUES = 1024 };

/* "PART", the bytes of the first part, both parts. */
static bool cut_in_two(zh_model *model, const uint8_t *data, size_t size) {
  uint32_t first;
  if (size < 8 || memcmp(data, "PART", 4) != 0) return false;
  memcpy(&first, data + 4, sizeof first);
  if (first > size - 8) return false;
  zh_model_file *files = realloc(model->files, 2 * sizeof *files);
  if (files == NULL) abort();
  free(files[0].path);
  files[0].path = strdup("fuzz-00001-of-00002.gguf");
  files[1].path = strdup("fuzz-00002-of-00002.gguf");
  files[0].mapping = (zh_mapping){.data = data + 8, .bytes = first};
  files[1].mapping = (zh_mapping){.data = data + 8 + first, .bytes = size - 8 - first};
  model->files = files;
  model->file_count = 2;
  return true;
}

/* The first elements of a tensor: the same bits from both, any NaN for any other. */
static void read_row(const zh_tensor *t) {
  static float plain[VALUES], fast[VALUES];
  uint64_t columns = t->dims > 0 ? t->shape[t->dims - 1] : 1;
  const zh_dtype_info *info = zh_dtype_find((uint32_t)t->type);
  if (!zh_dtype_is_weight(t->type) || t->elements == 0) return;
  size_t count = columns < VALUES ? (size_t)columns : VALUES;
  count -= count % info->block_elements;
  zh_dequantize_row(plain, t->data, t->type, count);
  zh_dequantize_row_fast(fast, t->data, t->type, count);
  for (size_t i = 0; i < count; i++)
    if (memcmp(&plain[i], &fast[i], sizeof *plain) != 0 && !(isnan(plain[i]) && isnan(fast[i])))
      abort();
}

static void convert(const zh_model *model, zh_container container, const zh_dtype_info *type) {
  zh_error err = ZH_ERROR_INIT;
  zh_conversion *conversion = NULL;
  if (zh_conversion_create(&conversion, model, container, type, &err) != ZH_OK &&
      err.message[0] == 0)
    abort();
  zh_conversion_free(conversion);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = fuzz_model(data, size, "gguf");
  (void)cut_in_two(model, data, size);
  if (zh_gguf_read(model, &err) == ZH_OK) {
    fuzz_model_check(model, size);
    for (size_t i = 0; i < zh_model_tensor_count(model); i++) read_row(zh_model_tensor(model, i));
    convert(model, ZH_CONTAINER_GGUF, zh_dtype_find(ZH_Q8_0));
    convert(model, ZH_CONTAINER_SAFETENSORS, zh_dtype_find(ZH_BF16));
  } else if (err.message[0] == 0) {
    abort();
  }
  fuzz_model_free(model);
  return 0;
}
