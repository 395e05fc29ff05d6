/* Byte-pair merging of pieces of text: by bytes (byte-level vocabularies and rank files) or by
 * characters (SentencePiece's kind), lowest rank first, leftmost among equals. Exact, and fast
 * because a piece is first cut where no token of the vocabulary crosses, and what lies between is
 * remembered. */
#ifndef ZH_MODEL_TOKENIZER_BPE_H
#define ZH_MODEL_TOKENIZER_BPE_H

#include "core/status.h"
#include "model/tokenizer/text_table.h"

/* Which tokens are what, as the readers of formats fill it in. */
typedef struct zh_bpe_symbols {
  bool by_bytes;
  uint32_t vocab;
  const zh_slice *texts; /* [vocab]: bytes of tokens that text may become, else NULL */
  uint32_t of_byte[256]; /* by_bytes: symbol of each byte. Else the fallback ("<0x0A>"), if any */
  bool byte_fallback;    /* all 256 of them are there */
  uint32_t unknown;      /* for characters without a symbol; ZH_NO_TOKEN: they are left out */
  bool fuse_unknown;     /* neighbours become one */
  bool whole_pieces;     /* a piece that is a token by itself is taken without merging */
  const uint8_t *unused; /* [vocab] or NULL: tokens that are taken apart again after merging */
} zh_bpe_symbols;

/* What merges into what. */
typedef struct zh_merge {
  uint32_t left, right, rank, merged;
} zh_merge;
typedef struct zh_merges {
  zh_merge *items;
  size_t count, capacity;
} zh_merges;
bool zh_merges_add(zh_merges *merges, zh_merge merge); /* false: no memory */

typedef struct zh_bpe zh_bpe;
/* Of a pair that stands twice the later one counts. texts must outlive it; merges are not kept. */
ZH_MUST_CHECK zh_status zh_bpe_create(zh_bpe **out, const zh_bpe_symbols *symbols,
                                      const zh_merges *merges, zh_error *err);
/* Merges of a vocabulary that lists none: every pair of tokens (or characters) whose texts make a
 * third one, ranked as `ranks` says. ranks: [vocab], equal ranks allowed. */
ZH_MUST_CHECK zh_status zh_bpe_create_ranked(zh_bpe **out, const zh_bpe_symbols *symbols,
                                             const uint32_t *ranks, zh_error *err);
void zh_bpe_free(zh_bpe *bpe);
/* The merge of two tokens; NULL: they do not merge. */
const struct zh_pair_slot *zh_bpe_pair(const zh_bpe *bpe, uint32_t left, uint32_t right);

/* Ids, growing. */
typedef struct zh_ids {
  uint32_t *ids;
  size_t count, capacity;
} zh_ids;
bool zh_ids_reserve(zh_ids *ids, size_t more);

/* What one thread needs while it tokenizes, and what it remembers: kept for the next call. */
typedef struct zh_bpe_room zh_bpe_room;
zh_bpe_room *zh_bpe_room_create(void); /* NULL: no memory */
void zh_bpe_room_free(zh_bpe_room *room);

/* Appends the tokens of a piece of valid UTF-8. False: no memory. */
bool zh_bpe_encode(zh_ids *out, const zh_bpe *bpe, zh_bpe_room *room, const char *piece,
                   size_t length);

/* --- between the parts of it --- */

typedef struct zh_pair_table {
  struct zh_pair_slot {
    uint64_t pair; /* left << 32 | right; UINT64_MAX is empty */
    uint32_t rank, merged;
  } * slots;
  uint64_t size, seed;
} zh_pair_table;

static inline const struct zh_pair_slot *zh_pair_find(const zh_pair_table *t, uint32_t left,
                                                      uint32_t right) {
  uint64_t pair = (uint64_t)left << 32 | right;
  uint64_t hash = (pair ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
  hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
  uint64_t at = (uint64_t)((unsigned __int128)hash * t->size >> 64);
  for (;;) {
    const struct zh_pair_slot *slot = &t->slots[at];
    if (slot->pair == pair) return slot;
    if (slot->pair == UINT64_MAX) return NULL;
    if (++at == t->size) at = 0;
  }
}

/* Merges tokens[count] in place; returns how many are left, or SIZE_MAX when memory is short. */
size_t zh_bpe_merge(uint32_t *tokens, size_t count, const zh_pair_table *pairs, zh_bpe_room *room);

/* Where tokens can join: no merge crosses a boundary between characters that no token holds. */
typedef struct zh_joints {
  uint64_t ascii[256]; /* a bit for each pair of ASCII characters */
  uint64_t *bits;      /* for the others, by hash: what is set may be so by chance */
  unsigned shift;
  uint64_t half[1024]; /* a bit for each pair of bytes at a boundary beyond which a token holds a
                          part of a character */
  bool half_before, half_after; /* some tokens begin or end inside a character, beyond a boundary */
} zh_joints;
ZH_MUST_CHECK zh_status zh_joints_create(zh_joints *out, const zh_slice *texts,
                                         const uint32_t *tokens, size_t count, zh_error *err);
void zh_joints_free(zh_joints *joints);
/* The end of the longest beginning of [text, end) that no boundary cuts. */
const char *zh_joints_next(const zh_joints *joints, const char *text, const char *end);
/* Whether a token stands across the boundary at text[at] that holds only a part of a character. */
bool zh_joints_half(const zh_joints *joints, const char *text, size_t at, size_t length);

#endif
