/* A template and values for it: JSON after the last NUL byte. What is written must be UTF-8. */
#include "fuzz.h"

#include <string.h>

#include "core/json.h"
#include "core/template.h"
#include "core/text.h"

static void render(const zh_template_style *style, const char *source, size_t length,
                   const json_t *values) {
  const zh_template_limits limits = {
      .steps = 200000, .memory_bytes = 8 << 20, .output_bytes = 1 << 20, .now = 1700000000};
  zh_error err = ZH_ERROR_INIT;
  zh_template *tpl;
  char *text;
  size_t written;
  if (zh_template_parse(&tpl, source, length, style, &err) != ZH_OK) {
    if (err.message[0] == 0 || tpl != NULL) abort();
    return;
  }
  if (zh_template_render(&text, &written, tpl, values, &limits, &err) == ZH_OK) {
    if (zh_utf8_valid_prefix(text, written) != written || text[written] != 0) abort();
  } else if (text != NULL || err.message[0] == 0) {
    abort();
  }
  free(text);
  zh_template_free(tpl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = size > 0 ? memrchr(data, 0, size) : NULL;
  size_t length = end ? (size_t)(end - data) : size;
  const char *source = length > 0 ? (const char *)data : "";
  const char *rest = end ? (const char *)end + 1 : "{}";
  json_t *values = NULL;
  zh_error err = ZH_ERROR_INIT;
  if (zh_json_load_text(&values, rest, end ? size - length - 1 : 2, "values", &err) != ZH_OK ||
      !json_is_object(values)) {
    json_decref(values);
    values = json_pack("{s:[{s:s,s:s}], s:s, s:i, s:n, s:b}", "messages", "role", "user", "content",
                       "你好 a", "s", "Text", "n", 3, "none", "b", 1);
  }
  render(&zh_template_chat, source, length, values);
  render(&zh_template_tasks, source, length, values);
  json_decref(values);
  return 0;
}
