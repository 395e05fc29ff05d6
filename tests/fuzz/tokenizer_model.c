/* A sentencepiece model or a rank file, and a text for it. */
#include "model/room.h"
#include "model/tokenizer/tokenizer.h"
#include "tokenizer_trip.h"

static void try_as(bool ranks, const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_tokenizer *t = NULL;
  size_t bytes = fuzz_tokenizer_bytes(data, size);
  if (zh_tokenizer_begin(&t, NULL) != ZH_OK) abort();
  zh_status status =
      ranks ? zh_tokenizer_from_ranks(t, (const char *)data, bytes, "\\p{N}{1,3}", NULL, &err)
            : zh_tokenizer_from_sentencepiece(t, data, bytes, NULL, &err);
  if (status == ZH_OK)
    fuzz_round_trip(t, data, size);
  else if (err.message[0] == 0)
    abort();
  zh_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  try_as(false, data, size);
  try_as(true, data, size);
  return 0;
}
