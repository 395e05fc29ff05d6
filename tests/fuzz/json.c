/* The JSON reader; what it accepts must survive writing and reading again unchanged. */
#include <string.h>

#include "core/json.h"
#include "fuzz.h"

static void round_trip(const json_t *value) {
  zh_error err = ZH_ERROR_INIT;
  char *text;
  json_t *again;
  if (zh_json_dump(&text, value, &err) != ZH_OK) abort();
  if (zh_json_load_text(&again, text, strlen(text), "again", &err) != ZH_OK) abort();
  if (!json_equal(value, again)) abort();
  json_decref(again);
  free(text);
}

static zh_status no_visit(void *user, size_t line, json_t *value, zh_error *err) {
  (void)user, (void)err;
  if (line == 0 || value == NULL) abort();
  return ZH_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT, lines_err = ZH_ERROR_INIT;
  json_t *value;
  if (zh_json_load_text(&value, (const char *)data, size, "fuzz.json", &err) == ZH_OK)
    round_trip(value);
  if ((value == NULL) != (err.message[0] != 0)) abort();
  json_decref(value);
  zh_status status = zh_jsonl_read(fuzz_file(data, size), no_visit, NULL, &lines_err);
  if ((status == ZH_OK) != (lines_err.message[0] == 0)) abort();
  return 0;
}
