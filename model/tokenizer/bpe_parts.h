/* What merging is made of, for its own files: the tables, and what one thread works with. */
#ifndef ZH_MODEL_TOKENIZER_BPE_PARTS_H
#define ZH_MODEL_TOKENIZER_BPE_PARTS_H

#include "model/tokenizer/bpe.h"

typedef struct zh_link {
  uint32_t token, previous, next; /* token ZH_NO_TOKEN: merged into the one before */
} zh_link;

typedef struct zh_candidate {
  uint32_t rank, at;    /* place of the left token */
  uint32_t left, right; /* as they were when it was found; stale if they changed */
  uint32_t merged;
} zh_candidate;

/* In one cache line, so that a remembered piece costs one miss, or in two: indented words in the
 * kind of vocabularies that write spaces as three bytes. */
enum { ZH_REMEMBERED_BYTES = 32, ZH_REMEMBERED_LOG = 16, ZH_REMEMBERED_IDS = 7 };
enum { ZH_REMEMBERED_LONGER = 96, ZH_REMEMBERED_LONGER_LOG = 13 };
enum { ZH_PART, ZH_WHOLE }; /* what holds of whole pieces need not hold of their parts */
typedef struct zh_remembered {
  uint8_t length, count; /* length 0: empty */
  uint16_t kind;
  uint32_t ids[ZH_REMEMBERED_IDS];
  char bytes[];
} zh_remembered;
enum { ZH_REMEMBERED_LINE = 64, ZH_REMEMBERED_LINES = 128 };
_Static_assert(sizeof(zh_remembered) + ZH_REMEMBERED_BYTES == ZH_REMEMBERED_LINE, "a cache line");
_Static_assert(sizeof(zh_remembered) + ZH_REMEMBERED_LONGER == ZH_REMEMBERED_LINES, "two of them");

struct zh_bpe_room {
  zh_link *links;
  zh_candidate *heap;
  size_t capacity, heap_count;
  char *remembered; /* 1 << ZH_REMEMBERED_LOG lines */
  char *longer;     /* 1 << ZH_REMEMBERED_LONGER_LOG pairs of lines */
};

enum { ZH_BPE_PAGES = 0x110000 / 256 };

struct zh_bpe {
  zh_bpe_symbols symbols;
  zh_pair_table pairs;
  zh_joints joints;
  zh_text_table whole;           /* whole_pieces */
  uint32_t *pages[ZH_BPE_PAGES]; /* symbols of characters, 256 a page; NULL: none */
  uint32_t *lone;                /* characters that stand in tokens but are none themselves: symbol
                                    vocab + i is lone[i] */
  uint32_t lone_count, lone_capacity;
  bool leaves_out;            /* characters without a symbol are left out */
  uint32_t (*taken_apart)[2]; /* [vocab], of unused tokens: the pair that made each */
};

/* A new page where there is none; NULL: no memory. */
uint32_t *zh_bpe_place(zh_bpe *b, uint32_t character);
static inline uint32_t zh_bpe_symbol(const zh_bpe *b, uint32_t character) {
  const uint32_t *page = b->pages[character / 256];
  return page != NULL ? page[character % 256] : ZH_NO_TOKEN;
}

/* Fill in the pages, for merging by characters and by bytes. False: no memory. */
bool zh_bpe_find_characters(zh_bpe *b);
bool zh_bpe_find_whole_characters(zh_bpe *b, const zh_merges *merges);

#endif
