/* What one thread merges with. */
#ifndef ZH_MODEL_TOKENIZER_BPE_ROOM_H
#define ZH_MODEL_TOKENIZER_BPE_ROOM_H

#include "model/tokenizer/bpe.h"

typedef struct zh_link {
  uint32_t token, previous, next; /* token ZH_NO_TOKEN: merged into the one before */
} zh_link;

typedef struct zh_candidate {
  uint32_t rank, at;    /* place of the left token */
  uint32_t left, right; /* as they were when it was found; stale if they changed */
  uint32_t merged;
} zh_candidate;

/* One cache line, so that a remembered piece costs one miss. */
enum { ZH_REMEMBERED_BYTES = 32, ZH_REMEMBERED_IDS = 7, ZH_REMEMBERED_PIECES = 1 << 15 };
enum { ZH_PART, ZH_WHOLE }; /* what holds of whole pieces need not hold of their parts */
typedef struct zh_remembered {
  uint8_t length, count; /* length 0: empty */
  uint16_t kind;
  uint32_t ids[ZH_REMEMBERED_IDS];
  char bytes[ZH_REMEMBERED_BYTES];
} zh_remembered;
_Static_assert(sizeof(zh_remembered) == 64, "one cache line");

struct zh_bpe_room {
  zh_link *links;
  zh_candidate *heap;
  size_t capacity, heap_count;
  zh_remembered *remembered; /* [ZH_REMEMBERED_PIECES] */
};

#endif
