/* sentencepiece's normalizer: characters replaced by its table, white space squeezed and written as
 * U+2581, a first word that looks like the others. */
#include <string.h>

#include "model/tokenizer/characters.h"
#include "model/tokenizer/normalizer.h"

#define BLOCK "\xe2\x96\x81"

/* What the next bytes of the text become; returns how many they are. */
static size_t next_piece(zh_slice *out, const zh_sentencepiece_rules *r, const char *text,
                         size_t length) {
  zh_match match;
  uint32_t character;
  if (zh_match_at(&match, r->user_defined, text, length, 0)) {
    *out = (zh_slice){text, (uint32_t)match.length};
    return match.length;
  }
  size_t replaced =
      r->charsmap.units > 0 ? zh_charsmap_find(out, &r->charsmap, text, length, true) : 0;
  if (replaced != 0) return replaced;
  unsigned step = zh_character_at(&character, text);
  *out = (zh_slice){text, step};
  return step;
}

static const char *space_of(const zh_sentencepiece_rules *r) {
  return r->escape_whitespaces ? BLOCK : " ";
}

static void append_escaped(zh_text *out, const zh_sentencepiece_rules *r, const char *text,
                           size_t length) {
  static const zh_slice block = {BLOCK, 3};
  if (r->escape_whitespaces && memchr(text, ' ', length) != NULL)
    zh_replace_byte(out, ' ', &block, text, length);
  else
    zh_text_append(out, text, length);
}

static size_t pass_spaces(const zh_sentencepiece_rules *r, const char *text, size_t length) {
  size_t at = 0;
  zh_slice piece;
  while (at < length) {
    size_t step = next_piece(&piece, r, text + at, length - at);
    if (piece.length != 1 || piece.bytes[0] != ' ') break;
    at += step;
  }
  return at;
}

static void append_pieces(zh_text *out, const zh_sentencepiece_rules *r, const char *text,
                          size_t length) {
  bool after_space = r->remove_extra_whitespaces;
  for (size_t at = 0; at < length;) {
    zh_slice piece;
    at += next_piece(&piece, r, text + at, length - at);
    while (after_space && piece.length > 0 && piece.bytes[0] == ' ') piece.bytes++, piece.length--;
    if (piece.length > 0) {
      append_escaped(out, r, piece.bytes, piece.length);
      after_space = r->remove_extra_whitespaces && piece.bytes[piece.length - 1] == ' ';
    }
  }
}

void zh_sentencepiece_normalize(zh_text *out, const zh_sentencepiece_rules *r, const char *text,
                                size_t length) {
  const char *space = space_of(r);
  size_t width = strlen(space), first = out->length;
  size_t passed = r->remove_extra_whitespaces ? pass_spaces(r, text, length) : 0;
  if (passed == length) return;
  if (r->dummy_prefix && !r->whitespace_as_suffix) zh_text_append(out, space, width);
  if (r->charsmap.units == 0 && !r->remove_extra_whitespaces) /* user-defined or not */
    append_escaped(out, r, text, length);
  else
    append_pieces(out, r, text + passed, length - passed);
  while (r->remove_extra_whitespaces && !out->failed && out->length >= first + width &&
         memcmp(out->data + out->length - width, space, width) == 0)
    out->length -= width;
  if (r->dummy_prefix && r->whitespace_as_suffix) zh_text_append(out, space, width);
}
