/* What splitters and normalizers ask about characters: Unicode 15's general categories (utf8proc),
 * as one table of bits. Texts handed to these are valid UTF-8. */
#ifndef ZH_MODEL_TOKENIZER_CHARACTERS_H
#define ZH_MODEL_TOKENIZER_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum zh_character_bits {
  ZH_LETTER = 1,
  ZH_NUMBER = 2,
  ZH_SPACE = 4, /* White_Space; U+180E is none */
  ZH_MARK = 8,
  ZH_UPPERISH = 16, /* Lu Lt Lm Lo M, o200k's "upper" */
  ZH_LOWERISH = 32, /* Ll Lm Lo M, its "lower" */
  ZH_PUNCTUATION = 64,
  ZH_SYMBOL = 128,
  ZH_UNSETTLED = 256 /* NFC may change it, or what stands before it */
};
enum { ZH_CHARACTERS_TABLED = 0x40000 }; /* planes 0 to 3; beyond stand variation selectors alone */

/* Made at the first call; any thread may be the first. */
const uint16_t *zh_characters(void);

static inline uint16_t zh_bits_of(const uint16_t *table, uint32_t character) {
  if (character < ZH_CHARACTERS_TABLED) return table[character];
  return character >= 0xe0100 && character <= 0xe01ef ? ZH_MARK | ZH_UPPERISH | ZH_LOWERISH : 0;
}

/* One character of valid UTF-8; returns its bytes. */
static inline unsigned zh_character_at(uint32_t *out, const char *text) {
  const unsigned char *c = (const unsigned char *)text;
  if (c[0] < 0x80) {
    *out = c[0];
    return 1;
  }
  if (c[0] < 0xe0) {
    *out = (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
    return 2;
  }
  if (c[0] < 0xf0) {
    *out = (c[0] & 0x0fu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    return 3;
  }
  *out = (c[0] & 0x07u) << 18 | (c[1] & 0x3fu) << 12 | (c[2] & 0x3fu) << 6 | (c[3] & 0x3fu);
  return 4;
}

static inline bool zh_is_continuation(char byte) {
  return ((unsigned char)byte & 0xc0) == 0x80;
}

#endif
