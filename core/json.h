/* JSON by jansson, with the house's limits and messages. Objects keep insertion order when written.
 */
#ifndef ZH_CORE_JSON_H
#define ZH_CORE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Refuses duplicate keys, invalid UTF-8, trailing data, nesting over 64 and files over max_bytes
 * (0: 256 MiB). A byte order mark before the text is passed over. Messages: "path:line:column: …".
 * The caller releases *out with json_decref. */
ZH_MUST_CHECK zh_status zh_json_load_file(json_t **out, const char *path, size_t max_bytes,
                                          zh_error *err);
ZH_MUST_CHECK zh_status zh_json_load_text(json_t **out, const char *text, size_t length,
                                          const char *name, zh_error *err);

/* Calls visit for each non-empty line of a JSONL file; line counts from 1; value is borrowed for
 * the call. */
typedef zh_status (*zh_jsonl_visit)(void *user, size_t line, json_t *value, zh_error *err);
ZH_MUST_CHECK zh_status zh_jsonl_read(const char *path, zh_jsonl_visit visit, void *user,
                                      zh_error *err);

/* Required members, by type; the message names `where` (a path) and the key. Strings are borrowed.
 */
ZH_MUST_CHECK zh_status zh_json_string(const char **out, const json_t *object, const char *key,
                                       const char *where, zh_error *err);
ZH_MUST_CHECK zh_status zh_json_int(int64_t *out, const json_t *object, const char *key,
                                    const char *where, zh_error *err);
ZH_MUST_CHECK zh_status zh_json_real(double *out, const json_t *object, const char *key,
                                     const char *where, zh_error *err);
ZH_MUST_CHECK zh_status zh_json_array(json_t **out, const json_t *object, const char *key,
                                      const char *where, zh_error *err);
ZH_MUST_CHECK zh_status zh_json_object(json_t **out, const json_t *object, const char *key,
                                       const char *where, zh_error *err);

/* Two-space indented with a final newline; doubles with the fewest digits that read back the same;
 * the text is the caller's (free). */
ZH_MUST_CHECK zh_status zh_json_dump(char **out, const json_t *value, zh_error *err);
/* On one line, without spaces or newline. */
ZH_MUST_CHECK zh_status zh_json_dump_line(char **out, const json_t *value, zh_error *err);
/* Temporary name, fsync, rename. */
ZH_MUST_CHECK zh_status zh_json_write_file(const json_t *value, const char *path, zh_error *err);

/* A finite number becomes a JSON real, anything else null. New reference. */
json_t *zh_json_number(double value);

#ifdef __cplusplus
}
#endif
#endif
