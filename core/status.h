/* Status codes and the error that a caller owns.
 *
 * Every call that can fail returns zh_status, takes its results first and a nullable `zh_error
 * *err` last. The innermost message wins: zh_fail writes only into an error that is still ZH_OK, so
 * callers up the stack pass it on untouched. */
#ifndef ZH_CORE_STATUS_H
#define ZH_CORE_STATUS_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, text, exit status of the program (0 done, 1 a check failed, 2 bad usage or input, 3
 * lacking) */
#define ZH_STATUS_LIST(ENTRY)                                                                      \
  ENTRY(ZH_OK, "done", 0)                                                                          \
  ENTRY(ZH_ERR_CHECK, "a check failed", 1)                                                         \
  ENTRY(ZH_ERR_INPUT, "bad input", 2)                                                              \
  ENTRY(ZH_ERR_USAGE, "bad usage", 2)                                                              \
  ENTRY(ZH_ERR_ARG, "argument out of range", 2)                                                    \
  ENTRY(ZH_ERR_IO, "input or output failed", 3)                                                    \
  ENTRY(ZH_ERR_MEMORY, "out of memory", 3)                                                         \
  ENTRY(ZH_ERR_LACKING, "this machine lacks something", 3)                                         \
  ENTRY(ZH_ERR_INTERRUPTED, "interrupted", 3)

typedef enum zh_status {
#define ZH_STATUS_ENTRY(name, text, code) name,
  ZH_STATUS_LIST(ZH_STATUS_ENTRY)
#undef ZH_STATUS_ENTRY
} zh_status;

/* Fixed size, no pointers: ranks gather it as bytes. */
typedef struct zh_error {
  zh_status status;
  int rank;          /* rank that failed, -1 where there are no ranks */
  int source_line;   /* where in our code */
  char source[64];   /* basename of the C file */
  char message[928]; /* one sentence for people: what, where, what was expected, how to mend it */
} zh_error;

#define ZH_ERROR_INIT                                                                              \
  {                                                                                                \
    ZH_OK, -1, 0, {0}, {                                                                           \
      0                                                                                            \
    }                                                                                              \
  }
#define ZH_MUST_CHECK __attribute__((warn_unused_result))

const char *zh_status_name(zh_status status); /* "ZH_ERR_INPUT" */
const char *zh_status_text(zh_status status); /* "bad input" */
int zh_status_exit_code(zh_status status);    /* 0, 1, 2 or 3 */

/* Writes the message unless err already holds one; returns status, so `return zh_fail(err, …)`. */
#define zh_fail(err, status, ...)                                                                  \
  zh_status_of((status), zh_error_set((err), (status), __FILE__, __LINE__, __VA_ARGS__))
zh_status zh_error_set(zh_error *err, zh_status status, const char *file, int line,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Lets the compiler see which status a failure returns, so that it knows what was not set after it.
 */
static inline zh_status zh_status_of(zh_status status, zh_status set) {
  (void)set;
  return status;
}

/* Puts "prefix: " before the message that err holds (to name the file a nested reader did not
 * know). */
void zh_error_prefix(zh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ZH_TRY(call)                                                                               \
  do {                                                                                             \
    zh_status zh_try_status_ = (call);                                                             \
    if (zh_try_status_ != ZH_OK) return zh_try_status_;                                            \
  } while (0)

#ifdef __cplusplus
}
#endif
#endif
