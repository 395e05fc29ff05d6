/* A tokenizer.json and a text for it. */
#include "core/json.h"
#include "model/room.h"
#include "model/tokenizer/tokenizer.h"
#include "tokenizer_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_tokenizer *t = NULL;
  json_t *root = NULL;
  size_t bytes = fuzz_tokenizer_bytes(data, size);
  if (zh_json_load_text(&root, (const char *)data, bytes, "fuzz", NULL) != ZH_OK) return 0;
  if (zh_tokenizer_begin(&t, NULL) != ZH_OK) abort();
  zh_status status = zh_tokenizer_from_json(t, root, &err);
  json_decref(root); /* nothing of it is kept */
  if (status == ZH_OK)
    fuzz_round_trip(t, data, size);
  else if (err.message[0] == 0)
    abort();
  zh_tokenizer_free(t);
  return 0;
}
