/* GPT-2's alphabet, which gives each byte a printable character. */
#include "model/tokenizer/tokenizer.h"

static bool is_printable_byte(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Printable bytes are their own code points; the other 68 follow from U+0100 in order. */
int zh_byte_of_character(uint32_t character) {
  if (character < 0x100) return is_printable_byte(character) ? (int)character : -1;
  if (character < 0x121) return (int)(character - 0x100);        /* 0x00 … 0x20 */
  if (character < 0x143) return (int)(character - 0x121 + 0x7f); /* 0x7f … 0xa0 */
  return character == 0x143 ? 0xad : -1;
}

/* The bytes a text in the alphabet stands for; bytes NULL where a character of it is none. */
static bool bytes_of(zh_slice *out, zh_tokenizer *t, const zh_slice *text) {
  char *bytes = zh_arena_alloc(t->arena, text->length + 1u, 1);
  uint32_t length = 0;
  *out = (zh_slice){0};
  if (bytes == NULL) return false;
  for (uint32_t i = 0; i < text->length;) {
    uint32_t character;
    int step = zh_utf8_decode(&character, text->bytes + i, text->length - i);
    int byte = step > 0 ? zh_byte_of_character(character) : -1;
    if (byte < 0) return true;
    bytes[length++] = (char)byte;
    i += (uint32_t)step;
  }
  *out = (zh_slice){bytes, length};
  return true;
}

zh_status zh_tokenizer_read_alphabet(zh_tokenizer *t, zh_error *err) {
  t->byte_level = true;
  t->decoding.alphabet = t->decoding.literal = true;
  for (uint32_t id = 0; id < t->vocab; id++) {
    bool literal = t->kinds[id] == ZH_TOKEN_CONTROL || t->kinds[id] == ZH_TOKEN_USER_DEFINED;
    if (t->texts[id].bytes == NULL || literal) continue;
    if (!bytes_of(&t->pieces[id], t, &t->texts[id])) return zh_tokenizer_no_memory(err);
  }
  return ZH_OK;
}
