/* A walk over JSON as writers of model files give it: flat, strings without escapes, integers
 * without sign. It reads in one pass what a general reader would build a tree of; each call is
 * false where the text is anything else, and a general reader then takes over, with its messages.
 */
#ifndef ZH_MODEL_PLAIN_JSON_H
#define ZH_MODEL_PLAIN_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zh_plain {
  const char *at, *end;
} zh_plain;
/* False where there is a backslash anywhere: then strings would not be what they look like. */
bool zh_plain_begin(zh_plain *p, const char *text, size_t length);

typedef struct zh_plain_text {
  const char *bytes;
  size_t length;
} zh_plain_text;

/* Takes one character, white space before it passed over. */
bool zh_plain_take(zh_plain *p, char c);
/* Control characters in it are for the caller to refuse. */
bool zh_plain_string(zh_plain_text *out, zh_plain *p);
/* "key": */
bool zh_plain_key(zh_plain_text *out, zh_plain *p);
bool zh_plain_integer(uint64_t *out, zh_plain *p);
/* [1, 2, 3]: at most `most` items. */
bool zh_plain_integers(uint64_t *out, int *count, int most, zh_plain *p);
/* An object, passed over: its text, braces and all. */
bool zh_plain_object(zh_plain_text *out, zh_plain *p);
/* Nothing but white space is left. */
bool zh_plain_ends(zh_plain *p);
bool zh_plain_is(const zh_plain_text *text, const char *word);

#endif
