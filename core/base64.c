#include "core/base64.h"

#include <openssl/evp.h>
#include <string.h>

enum { PIECE = 3 << 10 }; /* a multiple of 3: pieces join without padding */

void zh_base64_append(zh_text *out, const void *bytes, size_t length) {
  unsigned char letters[PIECE / 3 * 4 + 1];
  const unsigned char *at = bytes;
  for (size_t left = length; left > 0;) {
    size_t take = left < PIECE ? left : PIECE;
    int put = EVP_EncodeBlock(letters, at, (int)take);
    zh_text_append(out, (const char *)letters, (size_t)put);
    at += take;
    left -= take;
  }
}

/* EVP_DecodeBlock would also take white space and counts padding as zero bytes. */
static bool is_plain(const char *text, size_t letters, size_t padding) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return strspn(text, alphabet) == letters - padding &&
         strspn(text + letters - padding, "=") == padding && text[letters] == '\0';
}

bool zh_base64_decode(void *out, size_t length, const char *text) {
  unsigned char bytes[PIECE];
  size_t padding = (3 - length % 3) % 3, letters = (length + 2) / 3 * 4, left = length;
  if (strlen(text) != letters || !is_plain(text, letters, padding)) return false;
  unsigned char *at = out;
  while (left > 0) {
    size_t take = left < PIECE ? left : PIECE, block = (take + 2) / 3 * 4;
    if (EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)block) < 0) return false;
    memcpy(at, bytes, take);
    text += block;
    at += take;
    left -= take;
  }
  return true;
}
