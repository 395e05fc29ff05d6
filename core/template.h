/* Templates: the part of the Jinja language that chat templates of published models and task files
 * of evaluation harnesses use, over JSON values. docs/chat-templates.md lists what is known.
 *
 * A template comes with a model or a task, so it is hostile: every rendering is bounded in steps,
 * memory, output and depth. What is not known is refused by name, with line and column, never
 * guessed. The answers are those of Jinja 3.1 in its immutable sandbox: values cannot be changed,
 * only names, namespaces and loops move. */
#ifndef ZH_CORE_TEMPLATE_H
#define ZH_CORE_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How an environment of Jinja is set up; the two that are in use stand below. */
typedef struct zh_template_style {
  bool trim_blocks;           /* the line end after a block tag goes */
  bool lstrip_blocks;         /* blanks before a block tag at the beginning of a line go */
  bool keep_trailing_newline; /* of the whole template */
  bool strict_undefined;      /* an unknown name fails when it is used, not only within it */
  bool html_json;             /* tojson sorts keys and writes ASCII without <, >, & and ' */
} zh_template_style;
extern const zh_template_style zh_template_chat;  /* as chat templates are rendered */
extern const zh_template_style zh_template_tasks; /* as task files are rendered */

typedef struct zh_template_limits {
  uint64_t steps;      /* 0: 50 million; a step is an operation, or 16 bytes that one looks at */
  size_t memory_bytes; /* 0: 256 MiB */
  size_t output_bytes; /* 0: 64 MiB, captured text counted, too */
  time_t now;          /* what strftime_now tells; 0: the clock, local time */
} zh_template_limits;

typedef struct zh_template zh_template;

/* Failures are ZH_ERR_INPUT: "template line 3, column 14: the filter 'xyz' is not known …".
 * source: valid UTF-8, at most 1 MiB. */
ZH_MUST_CHECK zh_status zh_template_parse(zh_template **out, const char *source, size_t length,
                                          const zh_template_style *style, zh_error *err);
/* variables: an object, borrowed, or NULL. limits: NULL for all of the defaults. *out is the
 * caller's (free), NUL-terminated, UTF-8. A template may be rendered by several threads. */
ZH_MUST_CHECK zh_status zh_template_render(char **out, size_t *length, const zh_template *tpl,
                                           const json_t *variables,
                                           const zh_template_limits *limits, zh_error *err);
void zh_template_free(zh_template *tpl); /* NULL is safe */

#ifdef __cplusplus
}
#endif
#endif
