/* What happens to a text before it is cut: Unicode's normal forms, replacements, sentencepiece's
 * rules. */
#ifndef ZH_MODEL_TOKENIZER_NORMALIZER_H
#define ZH_MODEL_TOKENIZER_NORMALIZER_H

#include "core/arena.h"
#include "core/text.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/text_table.h"

/* sentencepiece's table of replacements: a double array (darts-clone) of what is replaced, and the
 * replacements, each ended by NUL. All of it from outside. */
typedef struct zh_charsmap {
  const char *trie; /* units of four bytes, little-endian, wherever they lie */
  size_t units;
  const char *replacements;
  size_t bytes;
} zh_charsmap;
/* data must outlive it. False where it is no such table. */
bool zh_charsmap_read(zh_charsmap *out, const char *data, size_t length);
/* A replacement for what text begins with: of the longest, or the shortest, that the table knows.
 * Returns how many bytes it replaces, 0 for none. */
size_t zh_charsmap_find(zh_slice *out, const zh_charsmap *map, const char *text, size_t length,
                        bool longest);

typedef struct zh_sentencepiece_rules {
  zh_charsmap charsmap; /* units 0: none */
  bool dummy_prefix, remove_extra_whitespaces, escape_whitespaces, whitespace_as_suffix;
  const zh_matcher *user_defined; /* left as they are; NULL: none */
} zh_sentencepiece_rules;
/* Appends the text as sentencepiece would cut it. */
void zh_sentencepiece_normalize(zh_text *out, const zh_sentencepiece_rules *rules, const char *text,
                                size_t length);

/* Appends the text with one byte replaced by a text of at most 64. */
void zh_replace_byte(zh_text *out, char wanted, const zh_slice *replacement, const char *text,
                     size_t length);

typedef enum zh_normal_kind {
  ZH_NORMAL_NFC,
  ZH_NORMAL_NFD,
  ZH_NORMAL_NFKC,
  ZH_NORMAL_NFKD,
  ZH_NORMAL_LOWERCASE,
  ZH_NORMAL_PREPEND, /* replacement, before a text that is not empty */
  ZH_NORMAL_REPLACE, /* literal */
  ZH_NORMAL_REPLACE_PATTERN,
  ZH_NORMAL_STRIP,
  ZH_NORMAL_CHARSMAP, /* as `tokenizers` applies it: a short cluster as a whole, else characters */
  ZH_NORMAL_SENTENCEPIECE
} zh_normal_kind;

typedef struct zh_normal_step {
  zh_normal_kind kind;
  zh_slice wanted, replacement; /* in the tokenizer's arena */
  zh_pattern *pattern;
  bool left, right; /* STRIP */
  zh_charsmap charsmap;
  zh_sentencepiece_rules rules;
} zh_normal_step;

enum { ZH_NORMAL_STEPS = 32 };
typedef struct zh_normalizer {
  zh_normal_step steps[ZH_NORMAL_STEPS];
  int count;
} zh_normalizer;
void zh_normalizer_clear(zh_normalizer *normalizer); /* frees patterns */

/* *text and *length become the normalized text, which is the given one or stands in a room. */
ZH_MUST_CHECK zh_status zh_normalize(const char **text, size_t *length,
                                     const zh_normalizer *normalizer, zh_text rooms[2],
                                     zh_error *err);

#endif
