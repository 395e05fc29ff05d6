#include "bench/quality/checked.h"

#include <string.h>

static bool same(const json_t *a, const json_t *b);

static bool same_objects(const json_t *a, const json_t *b) {
  const char *key;
  json_t *value;
  if (json_object_size(a) != json_object_size(b)) return false;
  json_object_foreach((json_t *)(uintptr_t)a, key, value) {
    const json_t *other = json_object_get(b, key);
    if (!other || !same(value, other)) return false;
  }
  return true;
}

/* Depth is bounded by the reader. */
static bool same(const json_t *a, const json_t *b) {
  if (json_is_integer(a) && json_is_integer(b))
    return json_integer_value(a) == json_integer_value(b);
  if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
  if (json_is_object(a) && json_is_object(b)) return same_objects(a, b);
  if (!json_is_array(a) || !json_is_array(b)) return json_equal(a, b) != 0;
  if (json_array_size(a) != json_array_size(b)) return false;
  for (size_t i = 0; i < json_array_size(a); i++)
    if (!same(json_array_get(a, i), json_array_get(b, i))) return false;
  return true;
}

zh_status zh_same_json(bool *out, const char *right, const char *said, zh_error *err) {
  json_t *wanted, *given = NULL;
  zh_error ignored = ZH_ERROR_INIT;
  *out = false;
  ZH_TRY(zh_json_load_text(&wanted, right, strlen(right), "the right answer", err));
  zh_status status = zh_json_load_text(&given, said, strlen(said), "answer", &ignored);
  if (status == ZH_OK) *out = same(wanted, given);
  json_decref(wanted);
  json_decref(given);
  return status == ZH_ERR_MEMORY ? zh_fail(err, status, "%s", ignored.message) : ZH_OK;
}
