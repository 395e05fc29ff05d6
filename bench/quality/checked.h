/* Answers that a program checks by what they say, not by their letters: JSON by its structure
 * (same_json.c), text by conditions that it must keep (conditions.c). */
#ifndef ZH_BENCH_QUALITY_CHECKED_H
#define ZH_BENCH_QUALITY_CHECKED_H

#include <stdbool.h>

#include "core/json.h"

/* `said` is JSON, and the same as `right`: keys in any order, lists in theirs, numbers by value. */
ZH_MUST_CHECK zh_status zh_same_json(bool *out, const char *right, const char *said, zh_error *err);

/* conditions: a JSON list of {"kind", "count" or "text"}, all of which `said` must keep; kinds:
 * sentences, at_most (words, and characters of Chinese), include, exclude, start, end, list.
 * docs/metrics.md says how each is counted. */
ZH_MUST_CHECK zh_status zh_conditions_kept(bool *out, const char *conditions, const char *said,
                                           zh_error *err);

/* Words, and each character of Chinese, Japanese and Korean writing, without punctuation. */
size_t zh_words_and_characters(const char *text, size_t length);

#endif
