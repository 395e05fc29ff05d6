#include <string.h>

#include "model/tokenizer/normalizer.h"

bool zh_charsmap_read(zh_charsmap *out, const char *data, size_t length) {
  uint32_t bytes;
  *out = (zh_charsmap){0};
  if (length <= sizeof bytes) return false;
  memcpy(&bytes, data, sizeof bytes);
  if (bytes % 4 != 0 || bytes < 4 || bytes >= length - sizeof bytes) return false;
  *out = (zh_charsmap){data + sizeof bytes, bytes / 4, data + sizeof bytes + bytes,
                       length - sizeof bytes - bytes};
  return out->replacements[out->bytes - 1] == '\0';
}

/* A unit: bit 31 marks a value; else bits 10 … 30 are an offset (times 256 with bit 9), bit 8 says
 * that a value follows, and the low byte is the label. */
static bool unit_at(uint32_t *out, const zh_charsmap *map, size_t at) {
  if (at >= map->units) return false;
  memcpy(out, map->trie + 4 * at, 4);
  return true;
}
static uint32_t offset_of(uint32_t unit) {
  return unit >> 10 << ((unit & 1u << 9) >> 6);
}

size_t zh_charsmap_find(zh_slice *out, const zh_charsmap *map, const char *text, size_t length,
                        bool longest) {
  size_t found = 0;
  uint32_t unit, at, value = 0;
  if (!unit_at(&unit, map, 0)) return 0;
  at = offset_of(unit);
  for (size_t i = 0; i < length && (found == 0 || longest); i++) {
    unsigned char byte = (unsigned char)text[i];
    at ^= byte;
    if (!unit_at(&unit, map, at) || (unit & (1u << 31 | 0xffu)) != byte) break;
    at ^= offset_of(unit);
    if ((unit >> 8 & 1) == 0) continue;
    uint32_t leaf;
    if (!unit_at(&leaf, map, at)) break;
    value = leaf & 0x7fffffffu;
    found = i + 1;
  }
  if (found == 0 || value >= map->bytes) return 0;
  const char *replacement = map->replacements + value;
  *out = (zh_slice){replacement, (uint32_t)strlen(replacement)}; /* the last byte is NUL */
  return found;
}
