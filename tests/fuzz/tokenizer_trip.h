/* Text through a tokenizer and back: what comes out must be ids of the vocabulary that decode. */
#ifndef ZH_TESTS_FUZZ_TOKENIZER_TRIP_H
#define ZH_TESTS_FUZZ_TOKENIZER_TRIP_H

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "model/model.h"

/* The text is everything after the last NUL byte; what stands before it is the tokenizer's. */
static inline size_t fuzz_tokenizer_bytes(const uint8_t *data, size_t size) {
  const uint8_t *end = size > 0 ? memrchr(data, 0, size) : NULL;
  return end != NULL ? (size_t)(end - data) : size;
}

static inline void fuzz_round_trip(const zh_tokenizer *tokenizer, const uint8_t *data,
                                   size_t size) {
  size_t at = fuzz_tokenizer_bytes(data, size), length = size - at - (at < size);
  const char *text = (const char *)data + size - length;
  uint32_t *tokens;
  size_t count, bytes;
  char *back;
  for (int special = 0; special < 2; special++) {
    zh_error err = ZH_ERROR_INIT;
    if (zh_tokenize(&tokens, &count, tokenizer, text, length, true, special, &err) != ZH_OK) {
      if (err.message[0] == 0) abort();
      return;
    }
    for (size_t i = 0; i < count; i++)
      if (tokens[i] >= zh_tokenizer_vocab(tokenizer)) abort();
    if (zh_detokenize(&back, &bytes, tokenizer, tokens, count, NULL) != ZH_OK) abort();
    free(back);
    free(tokens);
  }
}

#endif
