/* Texts rewritten step by step, as task files of other harnesses have Python do it. */
#include <string.h>

#include "bench/quality/functions.h"
#include "core/regex.h"

static void replace_plain(zh_text *out, const zh_text *text, const zh_rewrite *step) {
  const char *at = zh_text_string(text), *end = at + text->length, *found;
  size_t size = strlen(step->from);
  while ((found = memmem(at, (size_t)(end - at), step->from, size)) != NULL) {
    zh_text_append(out, at, (size_t)(found - at));
    zh_text_puts(out, step->to);
    at = found + size;
  }
  zh_text_append(out, at, (size_t)(end - at));
}

static zh_status replace_pattern(zh_text *out, const zh_text *text, const zh_rewrite *step,
                                 zh_error *err) {
  zh_regex *regex;
  ZH_TRY(zh_regex_compile(&regex, step->from, strlen(step->from), false, err));
  zh_status status =
      zh_regex_replace(out, regex, zh_text_string(text), text->length, step->to, 0, err);
  zh_regex_free(regex);
  return status;
}

zh_status zh_rewrite_text(zh_text *text, const zh_rewrite *steps, size_t count, zh_error *err) {
  for (size_t i = 0; i < count; i++) {
    zh_text changed = {0};
    zh_status status = ZH_OK;
    if (steps[i].pattern)
      status = replace_pattern(&changed, text, &steps[i], err);
    else
      replace_plain(&changed, text, &steps[i]);
    bool failed = text->failed || changed.failed;
    zh_text_free(text);
    *text = changed;
    if (status == ZH_OK && failed)
      status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (rewriting a text)");
    if (status != ZH_OK) return status;
  }
  return ZH_OK;
}

json_t *zh_rewritten(zh_text *text) {
  json_t *value = text->failed ? NULL : json_stringn(zh_text_string(text), text->length);
  zh_text_free(text);
  return value;
}
