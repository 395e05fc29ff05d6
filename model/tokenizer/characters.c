#include "model/tokenizer/characters.h"

#include <pthread.h>
#include <stdlib.h>
#include <utf8proc.h>

static uint16_t table[ZH_CHARACTERS_TABLED];

static bool is_white_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

static uint16_t bits_of_category(utf8proc_propval_t category) {
  switch (category) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LT:
    return ZH_LETTER | ZH_UPPERISH;
  case UTF8PROC_CATEGORY_LL:
    return ZH_LETTER | ZH_LOWERISH;
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
    return ZH_LETTER | ZH_UPPERISH | ZH_LOWERISH;
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
    return ZH_MARK | ZH_UPPERISH | ZH_LOWERISH;
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_NO:
    return ZH_NUMBER;
  case UTF8PROC_CATEGORY_PC:
  case UTF8PROC_CATEGORY_PD:
  case UTF8PROC_CATEGORY_PS:
  case UTF8PROC_CATEGORY_PE:
  case UTF8PROC_CATEGORY_PI:
  case UTF8PROC_CATEGORY_PF:
  case UTF8PROC_CATEGORY_PO:
    return ZH_PUNCTUATION;
  case UTF8PROC_CATEGORY_SM:
  case UTF8PROC_CATEGORY_SC:
  case UTF8PROC_CATEGORY_SK:
  case UTF8PROC_CATEGORY_SO:
    return ZH_SYMBOL;
  default:
    return 0;
  }
}

/* Settled by itself: one that NFC leaves alone and that never joins the one before it. */
static bool is_unsettled(uint32_t c, const utf8proc_property_t *about) {
  bool joins_before = (about->comb_index >= 0x8000 && about->comb_index != UINT16_MAX) ||
                      (c >= 0x1161 && c <= 0x1175) || (c >= 0x11a8 && c <= 0x11c2);
  if (about->combining_class != 0 || joins_before) return true;
  if (about->decomp_seqindex == UINT16_MAX || about->decomp_type != 0) return false;
  utf8proc_int32_t room[16];
  const utf8proc_option_t nfc = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)c, room, 16, nfc, NULL);
  if (count < 0 || count > 16) return true;
  count = utf8proc_normalize_utf32(room, count, nfc);
  return count != 1 || room[0] != (utf8proc_int32_t)c;
}

static void fill(void) {
  for (uint32_t c = 0; c < ZH_CHARACTERS_TABLED; c++) {
    const utf8proc_property_t *about = utf8proc_get_property((utf8proc_int32_t)c);
    table[c] = bits_of_category(about->category);
    if (is_white_space(c)) table[c] |= ZH_SPACE;
    if (c >= 0x80 && is_unsettled(c, about)) table[c] |= ZH_UNSETTLED;
  }
}

const uint16_t *zh_characters(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill);
  return table;
}
