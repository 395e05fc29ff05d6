#include "core/template.h"

#include <stdlib.h>
#include <string.h>

#include "core/template_parts.h"

enum {
  SOURCE_BYTES = 1 << 20,
  ARENA_LEAST = 1 << 20,
  ARENA_PER_BYTE = 1024,
  ARENA_MOST = 256 << 20,
  NAMES_MAX = 4096 /* they are looked for one by one */
};

const zh_template_style zh_template_chat = {.trim_blocks = true, .lstrip_blocks = true};
const zh_template_style zh_template_tasks = {
    .keep_trailing_newline = true, .strict_undefined = true, .html_json = true};

const char *tpl_intern(zh_template *tpl, const char *bytes, size_t length) {
  for (size_t i = 0; i < tpl->name_count; i++) {
    const char *name = tpl->names[i];
    if (strncmp(name, bytes, length) == 0 && name[length] == 0) return name;
  }
  if (tpl->name_count == NAMES_MAX) return NULL;
  if (tpl->name_count == tpl->name_capacity) {
    size_t capacity = tpl->name_capacity ? tpl->name_capacity * 2 : 32;
    const char **grown = zh_arena_alloc(tpl->arena, capacity, sizeof *grown);
    if (!grown) return NULL;
    if (tpl->name_count > 0) memcpy(grown, tpl->names, tpl->name_count * sizeof *grown);
    tpl->names = grown;
    tpl->name_capacity = capacity;
  }
  const char *copy = zh_arena_strndup(tpl->arena, bytes, length);
  if (copy) tpl->names[tpl->name_count++] = copy;
  return copy;
}

static zh_status read_all(zh_template *tpl, const char *source, size_t length, zh_error *err) {
  tpl_token *tokens;
  ZH_TRY(tpl_read_tokens(&tokens, tpl, source, length, err));
  tpl_reader reader = {.tpl = tpl, .at = tokens, .err = err};
  zh_status status = tpl_read_statements(&reader);
  free(tokens);
  return status;
}

zh_status zh_template_parse(zh_template **out, const char *source, size_t length,
                            const zh_template_style *style, zh_error *err) {
  *out = NULL;
  if (length > SOURCE_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "the template has %zu bytes; at most %d are read", length,
                   SOURCE_BYTES);
  size_t valid = zh_utf8_valid_prefix(source, length);
  if (valid < length)
    return zh_fail(err, ZH_ERR_INPUT, "the template is not valid UTF-8 from byte %zu on", valid);
  zh_template *tpl = calloc(1, sizeof *tpl);
  if (!tpl) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (template)");
  tpl->style = *style;
  size_t wanted = ARENA_LEAST + length * ARENA_PER_BYTE;
  zh_status status = zh_arena_create(&tpl->arena, wanted < ARENA_MOST ? wanted : ARENA_MOST, err);
  if (status == ZH_OK) status = read_all(tpl, source, length, err);
  if (status == ZH_OK) {
    *out = tpl;
  } else {
    zh_template_free(tpl);
  }
  return status;
}

void zh_template_free(zh_template *tpl) {
  if (tpl == NULL) return;
  zh_arena_free(tpl->arena);
  free(tpl);
}
