/* How much of each item stands word for word in a corpus (docs/metrics.md, "Contamination").
 *
 * A word is a run of letters, marks and digits, without regard to case and width; each Han or Kana
 * character is a word by itself. A word of an item is covered when it lies in a run of so many
 * words that the corpus has as well. */
#ifndef ZH_BENCH_QUALITY_CONTAMINATION_OVERLAP_H
#define ZH_BENCH_QUALITY_CONTAMINATION_OVERLAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { ZH_OVERLAP_RUN = 11, ZH_OVERLAP_RUN_MAX = 64 };

typedef struct zh_overlap zh_overlap;

/* run: words that must agree, 2 to ZH_OVERLAP_RUN_MAX. */
ZH_MUST_CHECK zh_status zh_overlap_create(zh_overlap **out, unsigned run, zh_error *err);
void zh_overlap_free(zh_overlap *overlap); /* NULL is safe */
/* Items are numbered from 0 as they are added; all of them before the first text of the corpus. */
ZH_MUST_CHECK zh_status zh_overlap_add(zh_overlap *overlap, const char *text, size_t length,
                                       zh_error *err);

/* A document of the corpus. *valid: the bytes before the first that is 0 or no UTF-8, which stand
 * between words; length where there are none. */
ZH_MUST_CHECK zh_status zh_overlap_look(size_t *valid, zh_overlap *overlap, const char *text,
                                        size_t length, zh_error *err);
/* A file, or all files of a folder (corpus.c): of *.jsonl the member `field` of each line is a
 * document, any other file is one. Refused by name: a folder without files, a file without words,
 * what is no text in UTF-8, a line that lacks the member. tell may be NULL. */
typedef void (*zh_overlap_tell)(void *user, const char *path, uint64_t bytes);
ZH_MUST_CHECK zh_status zh_overlap_read(zh_overlap *overlap, const char *path, const char *field,
                                        zh_overlap_tell tell, void *user, zh_error *err);

typedef struct zh_overlap_item {
  size_t words, covered; /* words < run: too short to be found */
} zh_overlap_item;
zh_overlap_item zh_overlap_of(const zh_overlap *overlap, size_t item);

typedef struct zh_overlap_corpus {
  uint64_t documents, words, bytes;
} zh_overlap_corpus;
zh_overlap_corpus zh_overlap_seen(const zh_overlap *overlap);

#endif
