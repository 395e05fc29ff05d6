/* The safetensors reader, and what it makes of the architecture. */
#include "model_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = fuzz_model(data, size, "safetensors");
  if (zh_safetensors_read(model, NULL, &err) == ZH_OK)
    fuzz_model_check(model, size);
  else if (err.message[0] == 0)
    abort();
  fuzz_model_free(model);
  return 0;
}
