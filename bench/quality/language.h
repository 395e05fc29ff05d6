/* Which language a text is in, and how many sentences it has. Words: bench/quality/languages.yaml;
 * how it is told: docs/metrics.md. */
#ifndef ZH_BENCH_QUALITY_LANGUAGE_H
#define ZH_BENCH_QUALITY_LANGUAGE_H

#include <stddef.h>

#include "core/json.h"

/* "en", "zh", …; "" where no letter tells. By the writing that most letters are of, and by the
 * commonest words where languages share it. Borrowed, for good. */
ZH_MUST_CHECK zh_status zh_language_of(const char **out, const json_t *text, zh_error *err);
/* Sentences of an English text, by the rules of Punkt (Kiss and Strunk 2006, as NLTK has them) over
 * our own abbreviations and first words. */
ZH_MUST_CHECK zh_status zh_sentence_count(size_t *out, const json_t *text, zh_error *err);

/* --- inside --- */

/* {word: true} of languages.yaml: abbreviations, beginnings; or {writing: {language: {word: true}}}
 * of languages. Borrowed, for good. */
ZH_MUST_CHECK zh_status zh_language_words(const json_t **out, const char *key, zh_error *err);

#endif
