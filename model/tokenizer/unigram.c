#include "model/tokenizer/unigram.h"

#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/characters.h"

#define NONE ZH_NO_TOKEN
/* What an unknown character costs below the lowest score, in sentencepiece and in `tokenizers`. */
static const double unknown_penalty = 10.0;

/* A trie whose children of one node stand side by side, sorted by byte. */
typedef struct node {
  uint32_t first, id;
  uint16_t count;
  uint8_t byte;
} node;

struct zh_unigram {
  zh_unigram_symbols symbols;
  node *nodes;
  uint32_t node_count;
  uint32_t roots[256]; /* NONE: no text begins so */
};

/* --- the trie --- */

typedef struct sorted {
  const zh_slice *texts;
  uint32_t *ids;
  uint32_t count;
} sorted;

static int by_text(const void *a, const void *b, void *texts) {
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  const zh_slice *x = (const zh_slice *)texts + i, *y = (const zh_slice *)texts + j;
  int order = memcmp(x->bytes, y->bytes, x->length < y->length ? x->length : y->length);
  if (order == 0) order = (x->length > y->length) - (x->length < y->length);
  return order != 0 ? order : (i > j) - (i < j);
}

/* Ids low … high share a beginning of `depth` bytes. */
typedef struct range {
  uint32_t node, low, high, depth;
} range;

static bool append(node **nodes, uint32_t *count, size_t *capacity, uint8_t byte) {
  if (*count == *capacity) {
    size_t larger = *capacity * 2 + 512;
    node *grown = realloc(*nodes, larger * sizeof *grown);
    if (grown == NULL) return false;
    *nodes = grown;
    *capacity = larger;
  }
  (*nodes)[(*count)++] = (node){.id = NONE, .byte = byte};
  return true;
}

static uint8_t byte_at(const sorted *s, uint32_t i, uint32_t depth) {
  return (uint8_t)s->texts[s->ids[i]].bytes[depth];
}

/* Gives a node its token and its children; their ranges follow in the queue in their order. */
static bool expand(zh_unigram *u, size_t *capacity, const sorted *s, range *queue, size_t *tail,
                   range r) {
  while (r.low < r.high && s->texts[s->ids[r.low]].length == r.depth) {
    if (u->nodes[r.node].id == NONE) u->nodes[r.node].id = s->ids[r.low];
    r.low++;
  }
  u->nodes[r.node].first = u->node_count;
  while (r.low < r.high) {
    uint8_t byte = byte_at(s, r.low, r.depth);
    uint32_t end = r.low + 1;
    while (end < r.high && byte_at(s, end, r.depth) == byte) end++;
    queue[(*tail)++] = (range){u->node_count, r.low, end, r.depth + 1};
    if (!append(&u->nodes, &u->node_count, capacity, byte)) return false;
    u->nodes[r.node].count++;
    r.low = end;
  }
  return true;
}

static bool build_trie(zh_unigram *u, sorted *s) {
  uint64_t bytes = 1;
  size_t capacity = 0, head = 0, tail = 0;
  for (uint32_t i = 0; i < s->count; i++) bytes += s->texts[s->ids[i]].length;
  range *queue = malloc((bytes + 1) * sizeof *queue);
  bool enough = queue != NULL && append(&u->nodes, &u->node_count, &capacity, 0);
  if (enough) queue[tail++] = (range){0, 0, s->count, 0};
  while (enough && head < tail) {
    range next = queue[head++];
    enough = expand(u, &capacity, s, queue, &tail, next);
  }
  free(queue);
  memset(u->roots, 0xff, sizeof u->roots);
  for (uint32_t i = 0; enough && i < u->nodes[0].count; i++)
    u->roots[u->nodes[u->nodes[0].first + i].byte] = u->nodes[0].first + i;
  return enough;
}

zh_status zh_unigram_create(zh_unigram **out, const zh_unigram_symbols *symbols, zh_error *err) {
  zh_unigram *u = calloc(1, sizeof *u);
  sorted s = {.texts = symbols->texts, .ids = malloc((symbols->vocab + 1u) * sizeof *s.ids)};
  bool enough = u != NULL && s.ids != NULL;
  *out = NULL;
  for (uint32_t id = 0; enough && id < symbols->vocab; id++)
    if (symbols->texts[id].bytes != NULL && symbols->texts[id].length > 0) s.ids[s.count++] = id;
  if (enough) {
    u->symbols = *symbols;
    if (s.count > 1)
      qsort_r(s.ids, s.count, sizeof *s.ids, by_text, (void *)(uintptr_t)symbols->texts);
    enough = build_trie(u, &s);
  }
  free(s.ids);
  if (!enough) {
    zh_unigram_free(u);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
  }
  *out = u;
  return ZH_OK;
}

void zh_unigram_free(zh_unigram *u) {
  if (u == NULL) return;
  free(u->nodes);
  free(u);
}

static uint32_t child(const zh_unigram *u, uint32_t parent, uint8_t byte) {
  uint32_t low = u->nodes[parent].first, high = low + u->nodes[parent].count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (u->nodes[middle].byte < byte)
      low = middle + 1;
    else
      high = middle;
  }
  uint32_t end = u->nodes[parent].first + u->nodes[parent].count;
  return low < end && u->nodes[low].byte == byte ? low : NONE;
}

/* --- the best path --- */

typedef struct step {
  double score;
  uint32_t id, length; /* of the token that ends here; length 0: none does */
} step;

/* Of equal sums the first stays. */
static void offer(const zh_unigram *u, step *ends, size_t from, uint32_t length, uint32_t id,
                  double score) {
  step *target = &ends[from + length];
  double sum = score + ends[from].score;
  if (u->symbols.single_precision) sum = (double)(float)sum;
  if (target->length != 0 && !(sum > target->score)) return;
  *target = (step){sum, id, length};
}

static double score_of(const zh_unigram *u, uint32_t id, uint32_t length) {
  if (u->symbols.preferred != NULL && u->symbols.preferred[id])
    return (double)(float)((double)length * u->symbols.highest - 0.1);
  return u->symbols.scores[id];
}

/* Offers all tokens that begin at `from`; whether one is just the character there. */
static bool offer_tokens(const zh_unigram *u, step *ends, const char *piece, size_t length,
                         size_t from, unsigned character) {
  bool single = false;
  uint32_t at = u->roots[(unsigned char)piece[from]];
  for (uint32_t depth = 1; at != NONE; depth++) {
    uint32_t id = u->nodes[at].id;
    if (id != NONE) {
      offer(u, ends, from, depth, id, score_of(u, id, depth));
      single = single || depth == character;
    }
    if (from + depth >= length) break;
    at = child(u, at, (uint8_t)piece[from + depth]);
  }
  return single;
}

static void add_unknown(zh_ids *out, const zh_unigram *u, const char *text, size_t length,
                        bool follows) {
  if (!u->symbols.byte_fallback) {
    if (!follows) out->ids[out->count++] = u->symbols.unknown;
    return;
  }
  for (size_t i = 0; i < length; i++)
    out->ids[out->count++] = u->symbols.of_byte[(unsigned char)text[i]];
}

/* Follows the links back to front, which stand in ends[].score's place no more. */
static bool walk(zh_ids *out, const zh_unigram *u, step *ends, const char *piece, size_t length) {
  size_t next = 0;
  for (size_t end = length; end > 0; end = end - ends[end].length) {
    size_t begin = end - ends[end].length;
    ends[begin].score = (double)end;
  }
  if (!zh_ids_reserve(out, length)) return false;
  bool unknown = false;
  for (size_t begin = 0; begin < length; begin = next) {
    next = (size_t)ends[begin].score;
    bool known = ends[next].id != u->symbols.unknown;
    if (known)
      out->ids[out->count++] = ends[next].id;
    else
      add_unknown(out, u, piece + begin, next - begin, unknown);
    unknown = !known;
  }
  return true;
}

zh_status zh_unigram_encode(zh_ids *out, const zh_unigram *u, const char *piece, size_t length,
                            zh_error *err) {
  step *ends = calloc(length + 1, sizeof *ends);
  if (ends == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
  double penalty = u->symbols.lowest - unknown_penalty;
  if (u->symbols.single_precision) penalty = (double)(float)penalty;
  zh_status status = ZH_OK;
  for (size_t at = 0; status == ZH_OK && at < length;) {
    uint32_t character;
    unsigned size = zh_character_at(&character, piece + at);
    if (!offer_tokens(u, ends, piece, length, at, size)) {
      if (u->symbols.unknown == NONE)
        status = zh_fail(err, ZH_ERR_INPUT,
                         "the text has U+%04X, which this tokenizer has no token for", character);
      else
        offer(u, ends, at, size, u->symbols.unknown, penalty);
    }
    at += size;
  }
  if (status == ZH_OK && !walk(out, u, ends, piece, length))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
  free(ends);
  return status;
}
