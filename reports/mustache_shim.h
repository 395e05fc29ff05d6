/* The template engine (kainjow mustache, C++) behind a C face.
 *
 * Stricter than mustache: a tag or partial that the model lacks is an error, never empty text, and
 * every value is escaped; templates hold no unescaped tags. */
#ifndef ZH_REPORTS_MUSTACHE_SHIM_H
#define ZH_REPORTS_MUSTACHE_SHIM_H

#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_partial {
  const char *name; /* {{> name}} */
  const char *text;
} zh_partial;

typedef enum zh_escape { ZH_ESCAPE_HTML, ZH_ESCAPE_MARKDOWN } zh_escape;

/* model: an object of strings, booleans, objects and arrays; false and empty arrays hide their
 * sections. `name` stands for the template in messages. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_mustache_render(char **out, const char *name, const char *text,
                                           const json_t *model, const zh_partial *partials,
                                           size_t partial_count, zh_error *err);
/* The same with values escaped for a table in Markdown, too. */
ZH_MUST_CHECK zh_status zh_mustache_render_as(char **out, zh_escape escape, const char *name,
                                              const char *text, const json_t *model,
                                              const zh_partial *partials, size_t partial_count,
                                              zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
