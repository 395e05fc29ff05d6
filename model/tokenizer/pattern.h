/* A regular expression of a tokenizer: cut by hand where it is a known one, else by PCRE2. */
#ifndef ZH_MODEL_TOKENIZER_PATTERN_H
#define ZH_MODEL_TOKENIZER_PATTERN_H

#include "core/status.h"
#include "model/tokenizer/words.h"

typedef struct zh_pattern zh_pattern;
/* regex: as tokenizer.json writes it (Oniguruma's language). What PCRE2 would understand
 * differently, or not at all, is refused by name. by_hand false: PCRE2 even for known ones. */
ZH_MUST_CHECK zh_status zh_pattern_create(zh_pattern **out, const char *regex, size_t length,
                                          bool by_hand, zh_error *err);
void zh_pattern_free(zh_pattern *pattern);
zh_find_word zh_pattern_by_hand(const zh_pattern *pattern); /* NULL: by PCRE2 */

/* Goes over a text; one for each text. */
typedef struct zh_pattern_walk {
  const zh_pattern *pattern;
  const char *text;
  size_t length, at;
  void *match; /* PCRE2's */
} zh_pattern_walk;
ZH_MUST_CHECK zh_status zh_pattern_begin(zh_pattern_walk *walk, const zh_pattern *pattern,
                                         const char *text, size_t length, zh_error *err);
/* The next match that is not empty; *more is false after the last. */
ZH_MUST_CHECK zh_status zh_pattern_next(zh_span *out, bool *more, zh_pattern_walk *walk,
                                        zh_error *err);
void zh_pattern_end(zh_pattern_walk *walk);

/* The i-th regular expression that is cut by hand; NULL past the last. */
const char *zh_pattern_known(size_t i);

#endif
