/* Memory that lives and dies together: one arena a suite, model, bundle or report. */
#ifndef ZH_CORE_ARENA_H
#define ZH_CORE_ARENA_H

#include <stddef.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_arena zh_arena;

/* limit_bytes: total that may be handed out (0 = no limit); readers of hostile files set it from
 * the file's size. */
ZH_MUST_CHECK zh_status zh_arena_create(zh_arena **out, size_t limit_bytes, zh_error *err);
void zh_arena_free(zh_arena *arena); /* NULL is safe */

/* Zeroed, aligned to 16 bytes. NULL when the limit is passed, count * size overflows, or memory is
 * short. */
void *zh_arena_alloc(zh_arena *arena, size_t count, size_t size);
char *zh_arena_strdup(zh_arena *arena, const char *text);
char *zh_arena_strndup(zh_arena *arena, const char *text, size_t length);
char *zh_arena_printf(zh_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
