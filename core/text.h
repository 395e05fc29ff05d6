/* Strings: a growing buffer, UTF-8, and the nearest known word. */
#ifndef ZH_CORE_TEXT_H
#define ZH_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A growing, NUL-terminated byte string. Zero-initialise; zh_text_free when done. A failed
 * allocation sets `failed` and later appends do nothing, so one check at the end is enough. */
typedef struct zh_text {
  char *data; /* NULL while empty; else data[length] == 0 */
  size_t length, capacity;
  bool failed;
} zh_text;

void zh_text_free(zh_text *text);
void zh_text_append(zh_text *text, const char *bytes, size_t length);
void zh_text_puts(zh_text *text, const char *string);
void zh_text_printf(zh_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *zh_text_string(const zh_text *text); /* "" while empty; borrowed */

/* Length of the longest valid UTF-8 prefix; equal to length when all is valid (no surrogates, no
 * overlong forms, at most U+10FFFF). */
size_t zh_utf8_valid_prefix(const char *bytes, size_t length);
/* Bytes of the byte order mark that a text begins with: 3, or 0 where it has none. */
size_t zh_utf8_mark(const char *bytes, size_t length);
/* Decodes one code point at bytes[0]; returns its length 1–4, or 0 when invalid or length is 0. */
int zh_utf8_decode(uint32_t *out, const char *bytes, size_t length);
int zh_utf8_encode(char out[4], uint32_t code_point); /* bytes written, 0 when not a scalar value */
/* Columns a terminal needs (wide East Asian characters count two). */
int zh_utf8_columns(const char *bytes, size_t length);

bool zh_ends_in(const char *text, const char *end);
int zh_by_text(const void *a, const void *b); /* of qsort: two char *, by their bytes */

/* The nearest of `words` (NULL-terminated) by edit distance, or NULL when none is near enough to
 * suggest (distance > max(1, length / 3), transpositions count one). Borrowed from words. */
const char *zh_nearest_word(const char *word, const char *const *words);

/* "; did you mean 'x'?" into out, or "" where nothing is near; returns out. */
enum { ZH_GUESS_BYTES = 96 };
const char *zh_did_you_mean(char out[ZH_GUESS_BYTES], const char *word, const char *const *words);

/* "134,515,008" into out; returns out. */
char *zh_group_digits(char *out, size_t capacity, uint64_t value);
/* "1.05 GB" (decimal) into out; returns out. */
char *zh_human_bytes(char *out, size_t capacity, double bytes);

#ifdef __cplusplus
}
#endif
#endif
