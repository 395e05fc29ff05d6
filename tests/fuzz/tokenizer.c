/* A tokenizer from a GGUF file and a text for it: everything after the last NUL byte. What comes
 * out must be ids of the vocabulary that decode. */
#include "model_file.h"

static void round_trip(const zh_tokenizer *tokenizer, const char *text, size_t length) {
  uint32_t *tokens;
  size_t count, bytes;
  char *back;
  for (int special = 0; special < 2; special++) {
    if (zh_tokenize(&tokens, &count, tokenizer, text, length, true, special, NULL) != ZH_OK) return;
    if (count > length + 1) abort();
    if (zh_detokenize(&back, &bytes, tokenizer, tokens, count, NULL) != ZH_OK) abort();
    free(back);
    free(tokens);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  const zh_tokenizer *tokenizer;
  zh_model *model = fuzz_model(data, size, "gguf");
  const uint8_t *end = size > 0 ? memrchr(data, 0, size) : NULL;
  const char *text = (const char *)(end != NULL ? end + 1 : data);
  size_t length = size - (size_t)((const uint8_t *)text - data);
  if (zh_gguf_read(model, &err) == ZH_OK) {
    if (zh_model_tokenizer(&tokenizer, model, &err) != ZH_OK && err.message[0] == 0) abort();
    if (tokenizer != NULL) round_trip(tokenizer, text, length);
  }
  fuzz_model_free(model);
  return 0;
}
