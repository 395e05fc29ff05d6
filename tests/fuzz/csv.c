/* Tables: every field of every row of what is accepted. */
#include <string.h>

#include "core/csv.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_csv *csv = NULL;
  bool more = true;
  size_t line = 0, length = 0;
  const zh_csv_form form = {
      .separator = size % 2 ? ',' : '\t', .remarks = size % 4 < 2, .max_bytes = 1 << 20};
  if (zh_csv_open(&csv, fuzz_file(data, size), &form, &err) != ZH_OK) {
    if (err.message[0] == 0 || csv != NULL) abort(); /* refused without a word, or half kept */
    return 0;
  }
  while (zh_csv_next(&more, csv, &err) == ZH_OK && more) {
    if (zh_csv_line(csv) <= line) abort();
    line = zh_csv_line(csv);
    for (size_t i = 0; i < zh_csv_columns(csv); i++) length += strlen(zh_csv_field(csv, i));
  }
  if (length > size || (more && err.message[0] == 0)) abort();
  zh_csv_free(csv);
  return 0;
}
