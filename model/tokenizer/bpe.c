#include "model/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "model/tokenizer/bpe_room.h"
#include "model/tokenizer/characters.h"

#define NONE ZH_NO_TOKEN
enum { PAGES = 0x110000 / 256 };

struct zh_bpe {
  zh_bpe_symbols symbols;
  zh_pair_table pairs;
  zh_joints joints;
  zh_text_table whole;    /* whole_pieces */
  uint32_t *pages[PAGES]; /* symbols of characters, 256 a page; NULL: none */
  uint32_t *lone;         /* characters that stand in tokens but are none themselves: symbol
                             vocab + i is lone[i] */
  uint32_t lone_count, lone_capacity;
  bool leaves_out;            /* characters without a symbol are left out */
  uint32_t (*taken_apart)[2]; /* [vocab], of unused tokens: the pair that made each */
};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
}

static bool grow(void **items, size_t *capacity, size_t wanted, size_t size) {
  if (wanted <= *capacity) return true;
  size_t larger = wanted + wanted / 2 + 64;
  void *grown = realloc(*items, larger * size);
  if (grown == NULL) return false;
  *items = grown;
  *capacity = larger;
  return true;
}

bool zh_merges_add(zh_merges *m, zh_merge merge) {
  if (!grow((void **)&m->items, &m->capacity, m->count + 1, sizeof *m->items)) return false;
  m->items[m->count++] = merge;
  return true;
}

bool zh_ids_reserve(zh_ids *ids, size_t more) {
  return grow((void **)&ids->ids, &ids->capacity, ids->count + more, sizeof *ids->ids);
}

/* --- making one --- */

static bool fill_pairs(zh_pair_table *t, const zh_merges *merges) {
  t->size = merges->count + merges->count / 2 + 16;
  t->seed = (uint64_t)zh_now_ns() ^ (uint64_t)(uintptr_t)t;
  t->slots = malloc(t->size * sizeof *t->slots);
  if (t->slots == NULL) return false;
  memset(t->slots, 0xff, t->size * sizeof *t->slots);
  for (size_t i = 0; i < merges->count; i++) {
    const zh_merge *m = &merges->items[i];
    struct zh_pair_slot *slot =
        (struct zh_pair_slot *)(uintptr_t)zh_pair_find(t, m->left, m->right);
    if (slot == NULL) {
      uint64_t pair = (uint64_t)m->left << 32 | m->right;
      uint64_t hash = (pair ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
      hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
      uint64_t at = (uint64_t)((unsigned __int128)hash * t->size >> 64);
      while (t->slots[at].pair != UINT64_MAX) at = at + 1 == t->size ? 0 : at + 1;
      slot = &t->slots[at];
      slot->pair = pair;
    }
    slot->rank = m->rank;
    slot->merged = m->merged;
  }
  return true;
}

/* The tokens that merges make, each once. */
static zh_status find_joints(zh_bpe *b, const zh_merges *merges, zh_error *err) {
  uint32_t *made = malloc((b->symbols.vocab + 1u) * sizeof *made);
  uint8_t *seen = calloc(b->symbols.vocab + 1u, 1);
  size_t count = 0;
  zh_status status = made != NULL && seen != NULL ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < merges->count; i++) {
    uint32_t token = merges->items[i].merged;
    if (seen[token] || b->symbols.texts[token].bytes == NULL) continue;
    seen[token] = 1;
    made[count++] = token;
  }
  if (status == ZH_OK) status = zh_joints_create(&b->joints, b->symbols.texts, made, count, err);
  free(made);
  free(seen);
  return status;
}

static uint32_t *place_of(zh_bpe *b, uint32_t character) {
  uint32_t **page = &b->pages[character / 256];
  if (*page == NULL) {
    *page = malloc(256 * sizeof **page);
    if (*page == NULL) return NULL;
    memset(*page, 0xff, 256 * sizeof **page);
  }
  return &(*page)[character % 256];
}

static inline uint32_t symbol_of(const zh_bpe *b, uint32_t character) {
  const uint32_t *page = b->pages[character / 256];
  return page != NULL ? page[character % 256] : NONE;
}

/* Tokens of one character are its symbol; of a text that stands twice the lowest id. */
static bool find_characters(zh_bpe *b) {
  for (uint32_t id = 0; id < b->symbols.vocab; id++) {
    const zh_slice *text = &b->symbols.texts[id];
    uint32_t character;
    if (text->bytes == NULL || text->length == 0 ||
        zh_character_at(&character, text->bytes) != text->length)
      continue;
    uint32_t *place = place_of(b, character);
    if (place == NULL) return false;
    if (*place == NONE) *place = id;
  }
  return true;
}

static bool may_leave_out(const zh_bpe_symbols *s) {
  if (s->unknown != NONE) return false;
  if (!s->by_bytes) return !s->byte_fallback;
  for (int byte = 0; byte < 256; byte++)
    if (s->of_byte[byte] == NONE) return true;
  return false;
}

static zh_status create(zh_bpe **out, const zh_bpe_symbols *symbols, zh_error *err) {
  *out = NULL;
  zh_bpe *b = calloc(1, sizeof *b);
  if (b == NULL) return no_memory(err);
  b->symbols = *symbols;
  b->leaves_out = may_leave_out(symbols);
  bool enough = symbols->by_bytes || find_characters(b);
  if (enough && symbols->whole_pieces)
    enough = zh_text_table_create(&b->whole, symbols->texts, symbols->vocab);
  if (enough && symbols->unused != NULL) {
    b->taken_apart = malloc((symbols->vocab + 1u) * sizeof *b->taken_apart);
    enough = b->taken_apart != NULL;
    if (enough) memset(b->taken_apart, 0xff, (symbols->vocab + 1u) * sizeof *b->taken_apart);
  }
  *out = b;
  if (enough) return ZH_OK;
  zh_bpe_free(b);
  *out = NULL;
  return no_memory(err);
}

static void note_unused(zh_bpe *b, const zh_merges *merges) {
  for (size_t i = 0; b->taken_apart != NULL && i < merges->count; i++) {
    const zh_merge *m = &merges->items[i];
    if (!b->symbols.unused[m->merged]) continue;
    b->taken_apart[m->merged][0] = m->left;
    b->taken_apart[m->merged][1] = m->right;
  }
}

/* The highest rank of the merges that make a character of its bytes; NONE where they do not. */
static uint32_t rank_within(const zh_bpe *b, uint32_t id) {
  const zh_slice *text = &b->symbols.texts[id];
  uint32_t tokens[4], highest = 0;
  size_t count = text->length;
  for (size_t i = 0; i < count; i++) {
    tokens[i] = b->symbols.of_byte[(unsigned char)text->bytes[i]];
    if (tokens[i] == NONE) return NONE;
  }
  while (count > 1) {
    const struct zh_pair_slot *best = NULL;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; i++) {
      const struct zh_pair_slot *slot = zh_pair_find(&b->pairs, tokens[i], tokens[i + 1]);
      if (slot != NULL && (best == NULL || slot->rank < best->rank)) {
        best = slot;
        at = i;
      }
    }
    if (best == NULL) return NONE;
    if (best->rank > highest) highest = best->rank;
    tokens[at] = best->merged;
    memmove(&tokens[at + 1], &tokens[at + 2], (count - at - 2) * sizeof *tokens);
    count--;
  }
  return tokens[0] == id ? highest : NONE;
}

/* Characters that can be taken as one token from the beginning. Their bytes are merged before any
 * neighbour is, if every merge with the whole has a higher rank than those within; where a token
 * holds a part of one and of its neighbour, the text is looked at (zh_joints_half). */
static zh_status find_whole_characters(zh_bpe *b, const zh_merges *merges, zh_error *err) {
  uint32_t *within = malloc((b->symbols.vocab + 1u) * sizeof *within);
  if (within == NULL) return no_memory(err);
  for (uint32_t id = 0; id < b->symbols.vocab; id++) {
    const zh_slice *text = &b->symbols.texts[id];
    uint32_t character;
    bool one = text->bytes != NULL && text->length > 1 && text->length <= 4 &&
               zh_utf8_decode(&character, text->bytes, text->length) == (int)text->length;
    within[id] = one ? rank_within(b, id) : NONE;
  }
  for (size_t i = 0; i < merges->count; i++) {
    const zh_merge *m = &merges->items[i];
    if (within[m->left] != NONE && m->rank <= within[m->left]) within[m->left] = NONE;
    if (within[m->right] != NONE && m->rank <= within[m->right]) within[m->right] = NONE;
  }
  zh_status status = ZH_OK;
  for (uint32_t id = 0; status == ZH_OK && id < b->symbols.vocab; id++) {
    uint32_t character;
    if (within[id] == NONE) continue;
    zh_character_at(&character, b->symbols.texts[id].bytes);
    uint32_t *place = place_of(b, character);
    if (place == NULL)
      status = no_memory(err);
    else
      *place = id;
  }
  free(within);
  return status;
}

static zh_status finish(zh_bpe **out, zh_bpe *b, const zh_merges *merges, zh_error *err) {
  zh_status status = fill_pairs(&b->pairs, merges) ? ZH_OK : no_memory(err);
  if (status == ZH_OK) status = find_joints(b, merges, err);
  if (status == ZH_OK && b->symbols.by_bytes) status = find_whole_characters(b, merges, err);
  note_unused(b, merges);
  if (status == ZH_OK) {
    *out = b;
    return ZH_OK;
  }
  zh_bpe_free(b);
  return status;
}

zh_status zh_bpe_create(zh_bpe **out, const zh_bpe_symbols *symbols, const zh_merges *merges,
                        zh_error *err) {
  zh_bpe *b = NULL;
  *out = NULL;
  ZH_TRY(create(&b, symbols, err));
  return finish(out, b, merges, err);
}

/* --- merges from the texts themselves --- */

/* The symbol of a part of a token: a token, a byte or a character of its own. */
static bool part(uint32_t *out, zh_bpe *b, const zh_text_table *by_text, const char *bytes,
                 uint32_t length) {
  uint32_t character;
  *out = zh_text_find(by_text, bytes, length);
  if (*out != NONE || b->symbols.by_bytes || zh_character_at(&character, bytes) != length)
    return true;
  uint32_t *place = place_of(b, character);
  size_t capacity = b->lone_capacity;
  if (place == NULL || !grow((void **)&b->lone, &capacity, b->lone_count + 1u, sizeof *b->lone))
    return false;
  b->lone_capacity = (uint32_t)capacity;
  if (*place == NONE) {
    *place = b->symbols.vocab + b->lone_count;
    b->lone[b->lone_count++] = character;
  }
  *out = *place;
  return true;
}

static bool add_parts(zh_merges *merges, zh_bpe *b, const zh_text_table *by_text, uint32_t id,
                      uint32_t rank) {
  const zh_slice *text = &b->symbols.texts[id];
  if (zh_text_find(by_text, text->bytes, text->length) != id) return true; /* stands twice */
  for (uint32_t at = 1; at < text->length; at++) {
    uint32_t left, right;
    if (!b->symbols.by_bytes && zh_is_continuation(text->bytes[at])) continue;
    if (!part(&left, b, by_text, text->bytes, at)) return false;
    if (left == NONE) continue;
    if (!part(&right, b, by_text, text->bytes + at, text->length - at)) return false;
    if (right != NONE && !zh_merges_add(merges, (zh_merge){left, right, rank, id})) return false;
  }
  return true;
}

zh_status zh_bpe_create_ranked(zh_bpe **out, const zh_bpe_symbols *symbols, const uint32_t *ranks,
                               zh_error *err) {
  zh_bpe *b = NULL;
  zh_merges merges = {0};
  zh_text_table by_text = {0};
  *out = NULL;
  ZH_TRY(create(&b, symbols, err));
  bool enough = zh_text_table_create(&by_text, symbols->texts, symbols->vocab);
  for (uint32_t id = 0; enough && id < symbols->vocab; id++)
    if (symbols->texts[id].bytes != NULL) enough = add_parts(&merges, b, &by_text, id, ranks[id]);
  zh_status status = ZH_OK;
  if (enough) {
    status = finish(out, b, &merges, err);
  } else {
    zh_bpe_free(b);
    status = no_memory(err);
  }
  zh_text_table_free(&by_text);
  free(merges.items);
  return status;
}

void zh_bpe_free(zh_bpe *b) {
  if (b == NULL) return;
  for (size_t i = 0; i < PAGES; i++) free(b->pages[i]);
  free(b->pairs.slots);
  free(b->lone);
  free(b->taken_apart);
  zh_joints_free(&b->joints);
  zh_text_table_free(&b->whole);
  free(b);
}

/* --- a piece to tokens --- */

static void add_bytes(zh_ids *out, const zh_bpe *b, const char *bytes, size_t length) {
  if (!b->symbols.byte_fallback) {
    if (b->symbols.unknown != NONE) out->ids[out->count++] = b->symbols.unknown;
    return;
  }
  for (size_t i = 0; i < length; i++)
    out->ids[out->count++] = b->symbols.of_byte[(unsigned char)bytes[i]];
}

/* Bytes that the vocabulary lacks become the unknown token, or are left out where there is none. */
static void add_byte_symbol(zh_ids *out, const zh_bpe *b, char byte) {
  uint32_t token = b->symbols.of_byte[(unsigned char)byte];
  if (token == NONE) token = b->symbols.unknown;
  if (token != NONE) out->ids[out->count++] = token;
}

/* A character that always becomes one token before anything is merged with it is that token. */
static void add_byte_symbols(zh_ids *out, const zh_bpe *b, const char *text, size_t length) {
  for (size_t i = 0; i < length;) {
    uint32_t character;
    unsigned step = zh_character_at(&character, text + i);
    uint32_t whole = step > 1 && !b->leaves_out ? symbol_of(b, character) : NONE;
    if (whole != NONE && !zh_joints_half(&b->joints, text, i, length) &&
        !zh_joints_half(&b->joints, text, i + step, length)) {
      out->ids[out->count++] = whole;
      i += step;
    } else {
      for (unsigned end = step; end > 0; end--) add_byte_symbol(out, b, text[i++]);
    }
  }
}

static void add_character_symbols(zh_ids *out, const zh_bpe *b, const char *text, size_t length) {
  for (size_t i = 0; i < length;) {
    uint32_t character;
    unsigned step = zh_character_at(&character, text + i);
    uint32_t symbol = symbol_of(b, character);
    if (symbol != NONE)
      out->ids[out->count++] = symbol;
    else
      add_bytes(out, b, text + i, step);
    i += step;
  }
}

static void take_apart(zh_ids *out, const zh_bpe *b, uint32_t token, int depth) {
  char text[4];
  if (token >= b->symbols.vocab) {
    uint32_t c = b->lone[token - b->symbols.vocab];
    unsigned length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (unsigned i = length - 1; i > 0; i--, c >>= 6) text[i] = (char)(0x80 | (c & 0x3f));
    text[0] = (char)(lead[length] | c);
    add_bytes(out, b, text, length);
  } else if (b->taken_apart != NULL && b->symbols.unused[token] && depth > 0 &&
             b->taken_apart[token][0] != NONE) {
    take_apart(out, b, b->taken_apart[token][0], depth - 1);
    take_apart(out, b, b->taken_apart[token][1], depth - 1);
  } else {
    out->ids[out->count++] = token;
  }
}

/* What merging left may hold symbols that are no tokens, and tokens that must not be given. */
static bool replace_symbols(zh_ids *out, const zh_bpe *b, size_t first, size_t count,
                            size_t length) {
  bool plain = b->taken_apart == NULL;
  for (size_t i = 0; plain && i < count; i++) plain = out->ids[first + i] < b->symbols.vocab;
  if (plain) return true;
  uint32_t *kept = malloc((count + 1) * sizeof *kept);
  if (kept == NULL) return false;
  memcpy(kept, out->ids + first, count * sizeof *kept);
  out->count = first;
  bool enough = zh_ids_reserve(out, 4 * length + 4);
  for (size_t i = 0; enough && i < count; i++) take_apart(out, b, kept[i], 64);
  free(kept);
  return enough;
}

/* Merges what no boundary cuts. */
static bool encode_joined(zh_ids *out, const zh_bpe *b, zh_bpe_room *room, const char *text,
                          size_t length) {
  if (!zh_ids_reserve(out, length)) return false;
  size_t first = out->count;
  if (b->symbols.by_bytes)
    add_byte_symbols(out, b, text, length);
  else
    add_character_symbols(out, b, text, length);
  size_t count = zh_bpe_merge(out->ids + first, out->count - first, &b->pairs, room);
  if (count == SIZE_MAX) return false;
  out->count = first + count;
  return b->symbols.by_bytes || replace_symbols(out, b, first, count, length);
}

/* --- remembering --- */

static inline uint64_t word_at(const char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

/* Fewer than eight bytes as one word. */
static inline uint64_t short_word(const char *bytes, size_t length) {
  const unsigned char *b = (const unsigned char *)bytes;
  if (length >= 4) {
    uint32_t head, tail;
    memcpy(&head, b, 4);
    memcpy(&tail, b + length - 4, 4);
    return (uint64_t)tail << 32 | head;
  }
  return (uint64_t)b[0] | (uint64_t)b[length / 2] << 8 | (uint64_t)b[length - 1] << 16;
}

static inline uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
  return hash ^ hash >> 32;
}

static inline size_t place_in_memory(const char *bytes, size_t length) {
  uint64_t hash = length;
  if (length < 8) return mix(hash, short_word(bytes, length)) % ZH_REMEMBERED_PIECES;
  for (size_t i = 0; i + 8 < length; i += 8) hash = mix(hash, word_at(bytes + i));
  return mix(hash, word_at(bytes + length - 8)) % ZH_REMEMBERED_PIECES;
}

static inline bool is_remembered(const zh_remembered *r, uint16_t kind, const char *bytes,
                                 size_t length) {
  if (r->length != length || r->kind != kind) return false;
  if (length < 8) return short_word(r->bytes, length) == short_word(bytes, length);
  for (size_t i = 0; i + 8 < length; i += 8)
    if (word_at(r->bytes + i) != word_at(bytes + i)) return false;
  return word_at(r->bytes + length - 8) == word_at(bytes + length - 8);
}

static inline void copy_ids(zh_ids *out, const zh_remembered *r) {
  memcpy(out->ids + out->count, r->ids, sizeof r->ids);
  out->count += r->count;
}

static void remember(zh_remembered *r, uint16_t kind, const char *bytes, size_t length,
                     const zh_ids *ids, size_t first) {
  size_t count = ids->count - first;
  if (count > ZH_REMEMBERED_IDS) return;
  r->kind = kind;
  r->length = (uint8_t)length;
  r->count = (uint8_t)count;
  memcpy(r->ids, ids->ids + first, count * sizeof *r->ids);
  memcpy(r->bytes, bytes, length);
}

/* One character by itself: most of what Chinese and runs of spaces are cut into. */
static inline uint32_t lone_token(const zh_bpe *b, const char *text, size_t length) {
  uint32_t character, symbol;
  if (length > 4 || zh_character_at(&character, text) != length) return NONE;
  if (b->symbols.by_bytes && length == 1)
    symbol = b->symbols.of_byte[(unsigned char)*text];
  else
    symbol = symbol_of(b, character);
  return symbol < b->symbols.vocab && b->taken_apart == NULL ? symbol : NONE;
}

static inline bool encode_cut(zh_ids *out, const zh_bpe *b, zh_bpe_room *room, const char *text,
                              size_t length) {
  uint32_t lone = lone_token(b, text, length);
  if (lone != NONE) {
    if (!zh_ids_reserve(out, 1)) return false;
    out->ids[out->count++] = lone;
    return true;
  }
  if (length > ZH_REMEMBERED_BYTES) return encode_joined(out, b, room, text, length);
  zh_remembered *r = &room->remembered[place_in_memory(text, length)];
  if (!zh_ids_reserve(out, ZH_REMEMBERED_IDS)) return false;
  if (is_remembered(r, ZH_PART, text, length)) {
    copy_ids(out, r);
    return true;
  }
  size_t first = out->count;
  if (!encode_joined(out, b, room, text, length)) return false;
  remember(r, ZH_PART, text, length, out, first);
  return true;
}

/* What is left out brings its neighbours together, which cutting must not keep apart. */
static bool lacks_symbols(const zh_bpe *b, const char *piece, size_t length) {
  for (size_t i = 0; b->symbols.by_bytes && i < length; i++)
    if (b->symbols.of_byte[(unsigned char)piece[i]] == NONE) return true;
  for (size_t i = 0; !b->symbols.by_bytes && i < length;) {
    uint32_t character;
    i += zh_character_at(&character, piece + i);
    if (symbol_of(b, character) == NONE) return true;
  }
  return false;
}

static bool encode_piece(zh_ids *out, const zh_bpe *b, zh_bpe_room *room, const char *piece,
                         size_t length) {
  uint32_t whole = b->symbols.whole_pieces ? zh_text_find(&b->whole, piece, length) : NONE;
  if (whole != NONE) {
    if (!zh_ids_reserve(out, 1)) return false;
    out->ids[out->count++] = whole;
    return true;
  }
  if (b->leaves_out && lacks_symbols(b, piece, length))
    return encode_joined(out, b, room, piece, length);
  const char *end = piece + length;
  while (piece < end) {
    const char *cut = zh_joints_next(&b->joints, piece, end);
    if (!encode_cut(out, b, room, piece, (size_t)(cut - piece))) return false;
    piece = cut;
  }
  return true;
}

static void fuse(zh_ids *out, size_t first, uint32_t unknown) {
  size_t kept = first;
  for (size_t i = first; i < out->count; i++)
    if (out->ids[i] != unknown || kept == first || out->ids[kept - 1] != unknown)
      out->ids[kept++] = out->ids[i];
  out->count = kept;
}

/* Longer ones are seldom seen twice; their parts are. */
enum { WORD_BYTES = 16 };

bool zh_bpe_encode(zh_ids *out, const zh_bpe *b, zh_bpe_room *room, const char *piece,
                   size_t length) {
  if (length == 0) return true;
  size_t first = out->count;
  uint16_t kind = b->symbols.whole_pieces || b->symbols.fuse_unknown ? ZH_WHOLE : ZH_PART;
  zh_remembered *r = NULL;
  if (length <= WORD_BYTES) {
    if (!zh_ids_reserve(out, ZH_REMEMBERED_IDS)) return false;
    r = &room->remembered[place_in_memory(piece, length)];
    if (is_remembered(r, kind, piece, length)) {
      copy_ids(out, r);
      return true;
    }
  }
  if (!encode_piece(out, b, room, piece, length)) return false;
  if (b->symbols.fuse_unknown && b->symbols.unknown != NONE) fuse(out, first, b->symbols.unknown);
  if (r != NULL) remember(r, kind, piece, length, out, first);
  return true;
}
