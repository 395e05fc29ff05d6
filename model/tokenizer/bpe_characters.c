/* Which symbol a character is before anything is merged. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/tokenizer/bpe_parts.h"
#include "model/tokenizer/characters.h"

#define NONE ZH_NO_TOKEN

uint32_t *zh_bpe_place(zh_bpe *b, uint32_t character) {
  uint32_t **page = &b->pages[character / 256];
  if (*page == NULL) {
    *page = malloc(256 * sizeof **page);
    if (*page == NULL) return NULL;
    memset(*page, 0xff, 256 * sizeof **page);
  }
  return &(*page)[character % 256];
}

/* Tokens of one character are its symbol; of a text that stands twice the lowest id. */
bool zh_bpe_find_characters(zh_bpe *b) {
  for (uint32_t id = 0; id < b->symbols.vocab; id++) {
    const zh_slice *text = &b->symbols.texts[id];
    uint32_t character;
    if (text->bytes == NULL || text->length == 0 ||
        zh_character_at(&character, text->bytes) != text->length)
      continue;
    uint32_t *place = zh_bpe_place(b, character);
    if (place == NULL) return false;
    if (*place == NONE) *place = id;
  }
  return true;
}

/* --- byte-level vocabularies --- */

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
bool zh_bpe_find_whole_characters(zh_bpe *b, const zh_merges *merges) {
  uint32_t *within = malloc((b->symbols.vocab + 1u) * sizeof *within);
  if (within == NULL) return false;
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
  bool enough = true;
  for (uint32_t id = 0; enough && id < b->symbols.vocab; id++) {
    uint32_t character;
    if (within[id] == NONE) continue;
    zh_character_at(&character, b->symbols.texts[id].bytes);
    uint32_t *place = zh_bpe_place(b, character);
    enough = place != NULL;
    if (enough) *place = id;
  }
  free(within);
  return enough;
}
