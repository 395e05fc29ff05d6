/* Regular expressions as Python's `re` reads them, on PCRE2: text is UTF-8, \d and \w know all
 * scripts, \Z is the end. Patterns come from task files: every search is bounded. */
#ifndef ZH_CORE_REGEX_H
#define ZH_CORE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_REGEX_GROUPS = 32 }; /* with the whole match */

typedef struct zh_regex zh_regex;
typedef struct zh_regex_span {
  size_t begin, end; /* bytes; SIZE_MAX: the group took no part */
} zh_regex_span;

/* Where a walk through a text stands; zero-initialise. As re.finditer goes: after an empty match
 * the next one is not empty at the same place. */
typedef struct zh_regex_walk {
  size_t from;
  bool must_advance;
} zh_regex_walk;

/* ignore_case: re.IGNORECASE. ZH_ERR_INPUT: "the regular expression '…' … at character 12". */
ZH_MUST_CHECK zh_status zh_regex_compile(zh_regex **out, const char *pattern, size_t length,
                                         bool ignore_case, zh_error *err);
void zh_regex_free(zh_regex *regex); /* NULL is safe */
/* Groups beside the whole match. */
unsigned zh_regex_group_count(const zh_regex *regex);
/* The next match; *found false at the end. */
ZH_MUST_CHECK zh_status zh_regex_next(bool *found, zh_regex_span spans[ZH_REGEX_GROUPS],
                                      zh_regex_walk *walk, const zh_regex *regex, const char *text,
                                      size_t length, zh_error *err);
/* re.sub(pattern, replacement, text, count): count 0 is all; \1, \g<1> and \g<name> are groups. */
ZH_MUST_CHECK zh_status zh_regex_replace(zh_text *out, const zh_regex *regex, const char *text,
                                         size_t length, const char *replacement, size_t count,
                                         zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
