/* Ids by text (a hash table seeded anew, because texts come from outside), and the longest of a set
 * of texts that stands at a place. */
#ifndef ZH_MODEL_TOKENIZER_TEXT_TABLE_H
#define ZH_MODEL_TOKENIZER_TEXT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZH_NO_TOKEN UINT32_MAX

typedef struct zh_slice {
  const char *bytes; /* borrowed */
  uint32_t length;
} zh_slice;

typedef struct zh_text_table {
  const zh_slice *texts; /* by id; bytes NULL: none */
  uint32_t *slots;       /* id + 1; 0 is empty */
  uint64_t mask, seed;
} zh_text_table;

/* Of a text that stands twice the lowest id is found. `texts` must outlive the table. */
bool zh_text_table_create(zh_text_table *out, const zh_slice *texts, uint32_t count);
void zh_text_table_free(zh_text_table *table);
uint32_t zh_text_find(const zh_text_table *table, const char *bytes, size_t length);

typedef struct zh_matcher_text {
  zh_slice text;
  uint32_t id;
} zh_matcher_text;
typedef struct zh_matcher {
  zh_matcher_text *texts; /* sorted */
  size_t count;
  uint8_t first[256];   /* bytes that texts begin with */
  uint64_t pairs[1024]; /* pairs of bytes that texts of fewer than four begin with */
  uint64_t fours[1024]; /* four bytes, by hash, that the others begin with */
} zh_matcher;
typedef struct zh_match {
  size_t begin, length;
  uint32_t id;
} zh_match;

/* Copies the list; empty texts are left out. Of equal texts the first id in the list counts. */
bool zh_matcher_create(zh_matcher **out, const zh_matcher_text *texts, size_t count);
void zh_matcher_free(zh_matcher *matcher);
/* The longest text that stands at text[at]. matcher may be NULL. */
bool zh_match_at(zh_match *out, const zh_matcher *matcher, const char *text, size_t length,
                 size_t at);
/* The first place at or after `from` where one stands, and the longest there. */
bool zh_match_next(zh_match *out, const zh_matcher *matcher, const char *text, size_t length,
                   size_t from);

#endif
