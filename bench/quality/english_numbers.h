/* Whole numbers in English words. */
#ifndef ZH_BENCH_QUALITY_ENGLISH_NUMBERS_H
#define ZH_BENCH_QUALITY_ENGLISH_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "two thousand and forty five" is 2045, as PyPI word2number 1.1 reads it: words that are no
 * numbers are passed over, more than four between two scales count as their first. False where it
 * would give up. */
bool zh_english_number(int64_t *out, const char *text, size_t length);

/* What such a number looks like within a text, in small letters; one group. */
extern const char zh_english_number_pattern[];

#endif
