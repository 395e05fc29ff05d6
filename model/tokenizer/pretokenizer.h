/* Cuts text into the pieces that merges may not cross: a chain of steps, each of which goes over
 * every piece of the one before. A piece is a text of its own: a step sees neither the character
 * before it nor the one after. */
#ifndef ZH_MODEL_TOKENIZER_PRETOKENIZER_H
#define ZH_MODEL_TOKENIZER_PRETOKENIZER_H

#include <stdint.h>

#include "model/tokenizer/pattern.h"
#include "model/tokenizer/text_table.h"

typedef enum zh_split_kind {
  ZH_SPLIT_PATTERN,
  ZH_SPLIT_TEXT,        /* a literal text */
  ZH_SPLIT_PUNCTUATION, /* each sign by itself: Unicode's P, and ASCII's symbols */
  ZH_SPLIT_WHITE_SPACE, /* each character of it */
  ZH_SPLIT_METASPACE    /* spaces become `replacement`, and words begin with it */
} zh_split_kind;

/* What becomes of a match, as `tokenizers` names it. */
typedef enum zh_split_behaviour {
  ZH_ISOLATED,
  ZH_REMOVED,
  ZH_MERGED_WITH_PREVIOUS,
  ZH_MERGED_WITH_NEXT,
  ZH_CONTIGUOUS
} zh_split_behaviour;

typedef enum zh_prefix { ZH_PREFIX_NEVER, ZH_PREFIX_FIRST, ZH_PREFIX_ALWAYS } zh_prefix;

typedef struct zh_split_step {
  zh_split_kind kind;
  zh_split_behaviour behaviour;
  bool invert;      /* what does not match is what is split off */
  bool whole;       /* METASPACE: no splitting */
  zh_prefix prefix; /* METASPACE, and a space before a pattern's pieces */
  zh_pattern *pattern;
  zh_slice text; /* TEXT, METASPACE's replacement; in the tokenizer's arena */
} zh_split_step;

enum { ZH_SPLIT_STEPS = 16 };
typedef struct zh_pretokenizer {
  zh_split_step steps[ZH_SPLIT_STEPS];
  int count;
} zh_pretokenizer;
void zh_pretokenizer_clear(zh_pretokenizer *pretokenizer); /* frees patterns */

/* Appends a step of a pattern whose matches are pieces. */
ZH_MUST_CHECK zh_status zh_pretokenizer_add(zh_pretokenizer *pretokenizer, const char *regex,
                                            zh_error *err);
/* By the name in `tokenizer.ggml.pre`; an unknown one is refused with the known ones. whole_pieces:
 * a piece that is a token by itself is taken without merging. add_bos: unless the file says. */
typedef struct zh_pretokenizer_facts {
  bool whole_pieces, add_bos;
} zh_pretokenizer_facts;
ZH_MUST_CHECK zh_status zh_pretokenizer_by_name(zh_pretokenizer *out, zh_pretokenizer_facts *facts,
                                                const char *name, zh_error *err);
/* The facts alone; false where the name is unknown. */
bool zh_pretokenizer_known(zh_pretokenizer_facts *facts, const char *name);
/* Its patterns, as many as are not NULL; NULL where the name is unknown. */
const char *const *zh_pretokenizer_patterns(const char *name);
enum { ZH_PRETOKENIZER_PATTERNS = 6 };
/* The first name that stands for these patterns, with whole pieces or without; of the name's
 * letters *length. NULL: none does. */
const char *zh_pretokenizer_called(size_t *length, const char *const *patterns, int count,
                                   bool whole_pieces);

typedef zh_status (*zh_piece_visit)(void *user, const char *piece, size_t length, zh_error *err);
/* text: valid UTF-8. at_start: nothing stands before it. Pieces come in order, none is empty. */
ZH_MUST_CHECK zh_status zh_pretokenize(const zh_pretokenizer *pretokenizer, const char *text,
                                       size_t length, bool at_start, zh_piece_visit visit,
                                       void *user, zh_error *err);

#endif
