/* A tokenizer from a GGUF file and a text for it. */
#include "model_file.h"
#include "tokenizer_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *tokenizer;
  zh_model *model = fuzz_model(data, size, "gguf");
  if (zh_gguf_read(model, &err) == ZH_OK) {
    if (zh_model_tokenizer(&tokenizer, model, &err) != ZH_OK && err.message[0] == 0) abort();
    if (tokenizer != NULL) fuzz_round_trip(tokenizer, data, size);
  }
  fuzz_model_free(model);
  return 0;
}
