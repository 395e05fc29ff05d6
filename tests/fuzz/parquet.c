/* Parquet: what is accepted are objects, all with the same keys, whose text is UTF-8. */
#include <string.h>

#include "bench/quality/parquet.h"
#include "core/text.h"
#include "fuzz.h"

static void inspect(const json_t *value) {
  const char *key;
  json_t *inner;
  if (json_is_string(value) &&
      zh_utf8_valid_prefix(json_string_value(value), json_string_length(value)) !=
          json_string_length(value))
    abort();
  for (size_t i = 0; i < json_array_size(value); i++) inspect(json_array_get(value, i));
  json_object_foreach((json_t *)(uintptr_t)value, key, inner) inspect(inner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  json_t *rows = json_array();
  zh_status status = zh_parquet_parse(rows, data, size, "fuzz.parquet", &err);
  if ((status == ZH_OK) != (err.message[0] == 0)) abort();
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i), *first = json_array_get(rows, 0);
    if (!json_is_object(row) || json_object_size(row) != json_object_size(first)) abort();
    inspect(row);
  }
  json_decref(rows);
  return 0;
}
