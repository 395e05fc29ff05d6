/* A piece to tokens. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/bpe_parts.h"
#include "model/tokenizer/characters.h"

#define NONE ZH_NO_TOKEN

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
    uint32_t whole = step > 1 && !b->leaves_out ? zh_bpe_symbol(b, character) : NONE;
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
    uint32_t symbol = zh_bpe_symbol(b, character);
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

/* By the uppermost bits, which every byte has a part in. */
static inline zh_remembered *place_in_memory(const zh_bpe_room *room, const char *bytes,
                                             size_t length) {
  uint64_t hash = length;
  for (size_t i = 0; i + 8 < length; i += 8) hash = mix(hash, word_at(bytes + i));
  hash ^= length < 8 ? short_word(bytes, length) : word_at(bytes + length - 8);
  hash *= UINT64_C(0x9fb21c651e98df25);
  char *place =
      length <= ZH_REMEMBERED_BYTES
          ? room->remembered + (hash >> (64 - ZH_REMEMBERED_LOG)) * ZH_REMEMBERED_LINE
          : room->longer + (hash >> (64 - ZH_REMEMBERED_LONGER_LOG)) * ZH_REMEMBERED_LINES;
  return (zh_remembered *)(void *)place;
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
    symbol = zh_bpe_symbol(b, character);
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
  if (length > ZH_REMEMBERED_LONGER) return encode_joined(out, b, room, text, length);
  zh_remembered *r = place_in_memory(room, text, length);
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
    if (zh_bpe_symbol(b, character) == NONE) return true;
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
    r = place_in_memory(room, piece, length);
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
