/* Characters as Python counts, strips, finds and changes them. */
#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <wctype.h>

#include "core/template_parts.h"

bool tpl_is_space(uint32_t point) {
  if (point < 0x80) return (point >= 9 && point <= 13) || (point >= 0x1C && point <= 0x20);
  return point == 0x85 || point == 0xA0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
         point == 0x202F || point == 0x205F || point == 0x3000;
}

size_t tpl_points(tpl_string *string) {
  if (string->points != SIZE_MAX) return string->points;
  size_t points = 0;
  for (size_t i = 0; i < string->length; i++) points += (string->bytes[i] & 0xC0) != 0x80;
  return string->points = points;
}

size_t tpl_byte_of(tpl_string *string, size_t index) {
  if (tpl_points(string) == string->length) return index;
  size_t at = 0;
  for (; at < string->length; at++) {
    if ((string->bytes[at] & 0xC0) == 0x80) continue;
    if (index-- == 0) return at;
  }
  return at;
}

size_t tpl_space_at(const char *bytes, size_t length) {
  uint32_t point;
  int size = zh_utf8_decode(&point, bytes, length);
  return size > 0 && tpl_is_space(point) ? (size_t)size : 0;
}

size_t tpl_space_before(const char *bytes, size_t end) {
  size_t size = 1;
  while (size < 4 && size < end && (bytes[end - size] & 0xC0) == 0x80) size++;
  return end > 0 && tpl_space_at(bytes + end - size, size) == size ? size : 0;
}

/* Bytes of the character at the beginning (or end) of the text if it is one of `chars`. */
static size_t stripped_at(const char *bytes, size_t length, const tpl_string *chars, bool end) {
  if (length == 0) return 0;
  if (!chars) return end ? tpl_space_before(bytes, length) : tpl_space_at(bytes, length);
  size_t size = 1;
  if (end) {
    while (size < 4 && size < length && (bytes[length - size] & 0xC0) == 0x80) size++;
  } else {
    while (size < length && (bytes[size] & 0xC0) == 0x80) size++;
  }
  const char *character = end ? bytes + length - size : bytes;
  return memmem(chars->bytes, chars->length, character, size) ? size : 0;
}

void tpl_strip(const char **bytes, size_t *length, const tpl_string *chars, bool left, bool right) {
  for (size_t size; left && (size = stripped_at(*bytes, *length, chars, false)) > 0;) {
    *bytes += size;
    *length -= size;
  }
  for (size_t size; right && (size = stripped_at(*bytes, *length, chars, true)) > 0;)
    *length -= size;
}

size_t tpl_find(const char *bytes, size_t length, const tpl_string *needle) {
  if (needle->length == 0) return 0;
  if (length < needle->length) return SIZE_MAX;
  const char *found = memmem(bytes, length, needle->bytes, needle->length);
  return found ? (size_t)(found - bytes) : SIZE_MAX;
}

/* A caller charges length × needle for it. */
size_t tpl_find_last(const char *bytes, size_t length, const tpl_string *needle) {
  if (length < needle->length) return SIZE_MAX;
  for (size_t at = length - needle->length + 1; at-- > 0;)
    if (memcmp(bytes + at, needle->bytes, needle->length) == 0) return at;
  return SIZE_MAX;
}

void tpl_line(size_t *body, size_t *end, const char *bytes, size_t length) {
  *end = 0;
  for (*body = 0; *body < length; ++*body) {
    const char *s = bytes + *body;
    size_t left = length - *body;
    if (*s == '\r' && left > 1 && s[1] == '\n') {
      *end = 2;
    } else if ((*s >= '\n' && *s <= '\r') || (*s >= 0x1C && *s <= 0x1E)) {
      *end = 1;
    } else if (left > 1 && memcmp(s, "\xC2\x85", 2) == 0) {
      *end = 2;
    } else if (left > 2 &&
               (memcmp(s, "\xE2\x80\xA8", 3) == 0 || memcmp(s, "\xE2\x80\xA9", 3) == 0)) {
      *end = 3;
    }
    if (*end > 0) return;
  }
}

/* --- letters --- */

static locale_t unicode;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_unicode(void) {
  unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static locale_t unicode_locale(void) {
  pthread_once(&once, open_unicode);
  return unicode;
}

/* Letters whose other case is more than one letter, or depends on their neighbours. */
static bool has_special_case(uint32_t point) {
  static const uint32_t ranges[][2] = {
      {0xDF, 0xDF},     {0x130, 0x130},   {0x149, 0x149},   {0x1F0, 0x1F0},   {0x390, 0x390},
      {0x3A3, 0x3A3},   {0x3B0, 0x3B0},   {0x587, 0x587},   {0x1C4, 0x1CC},   {0x1F1, 0x1F3},
      {0x1E96, 0x1E9E}, {0x1F50, 0x1F56}, {0x1F80, 0x1FFF}, {0xFB00, 0xFB17}, {0x10D0, 0x10FF}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (point >= ranges[i][0] && point <= ranges[i][1]) return true;
  return false;
}

static uint32_t other_case(uint32_t point, bool upper) {
  if (point < 0x80) {
    bool changes = upper ? point >= 'a' && point <= 'z' : point >= 'A' && point <= 'Z';
    return changes ? point ^ 0x20 : point;
  }
  if (unicode_locale() == (locale_t)0) return point;
  return (uint32_t)(upper ? towupper_l((wint_t)point, unicode)
                          : towlower_l((wint_t)point, unicode));
}

static bool is_cased(uint32_t point) {
  return other_case(point, true) != point || other_case(point, false) != point;
}

/* The next letter is written in upper case. For titles this depends on the letter before. */
static bool wants_upper(tpl_case how, bool first, uint32_t before) {
  switch (how) {
  case TPL_UPPER:
    return true;
  case TPL_LOWER:
    return false;
  case TPL_CAPITALIZE:
    return first;
  case TPL_TITLE:
    return first || !is_cased(before);
  default:
    return first || tpl_is_space(before) ||
           (before < 0x80 && before && strchr("-({[<", (int)before));
  }
}

zh_status tpl_change_case(tpl_value *out, tpl_run *run, const tpl_string *string, tpl_case how) {
  zh_text text = {0};
  uint32_t before = 0;
  ZH_TRY(tpl_charge(run, string->length * 8));
  for (size_t at = 0; at < string->length;) {
    uint32_t point = 0;
    size_t size = (size_t)zh_utf8_decode(&point, string->bytes + at, string->length - at);
    char bytes[4];
    if (has_special_case(point) || (point >= 0x80 && unicode_locale() == (locale_t)0)) {
      zh_text_free(&text);
      return tpl_fail(run, "the other case of '%.*s' is not known to this version", (int)size,
                      string->bytes + at);
    }
    uint32_t changed = other_case(point, wants_upper(how, at == 0, before));
    zh_text_append(&text, bytes, (size_t)zh_utf8_encode(bytes, changed));
    before = point;
    at += size;
  }
  return tpl_take_text(out, run, &text);
}

/* Letters that need no table: CJK, kana, hangul, Latin with accents. */
bool tpl_is_letter(uint32_t point) {
  return (point >= 0x4E00 && point <= 0x9FFC) || (point >= 0x3400 && point <= 0x4DBF) ||
         (point >= 0x3041 && point <= 0x3096) || (point >= 0x30A1 && point <= 0x30FA) ||
         (point >= 0xAC00 && point <= 0xD7A3) ||
         (point >= 0xC0 && point <= 0x24F && point != 0xD7 && point != 0xF7);
}

static bool is_known_sign(uint32_t point) {
  return tpl_is_space(point) || (point >= 0x2010 && point <= 0x2027) ||
         (point >= 0x3001 && point <= 0x3004) || (point >= 0x3008 && point <= 0x3020) ||
         (point >= 0xFF01 && point <= 0xFF0F) || (point >= 0x1F300 && point <= 0x1F64F);
}

static bool belongs(uint32_t point, tpl_class what) {
  bool digit = point >= '0' && point <= '9';
  bool letter = point < 0x80 ? is_cased(point) : tpl_is_letter(point);
  switch (what) {
  case TPL_DIGITS:
    return digit;
  case TPL_ALPHA:
    return letter;
  case TPL_ALNUM:
    return digit || letter;
  default:
    return tpl_is_space(point);
  }
}

zh_status tpl_all_of(bool *out, tpl_run *run, const tpl_string *string, tpl_class what) {
  bool cased = false, all = string->length > 0;
  bool about_case = what == TPL_ALL_UPPER || what == TPL_ALL_LOWER;
  ZH_TRY(tpl_charge(run, string->length * 4));
  for (size_t at = 0; at < string->length;) {
    uint32_t point = 0;
    size_t size = (size_t)zh_utf8_decode(&point, string->bytes + at, string->length - at);
    bool known = point < 0x80 || tpl_is_space(point) || what == TPL_SPACES ||
                 tpl_is_letter(point) || is_known_sign(point);
    if (!known || (about_case && has_special_case(point)))
      return tpl_fail(run, "whether '%.*s' is such a character is not known to this version",
                      (int)size, string->bytes + at);
    bool is_upper = other_case(point, false) != point, is_lower = other_case(point, true) != point;
    if (about_case) {
      cased = cased || is_upper || is_lower;
      all = all && !(what == TPL_ALL_UPPER ? is_lower : is_upper);
    } else {
      all = all && belongs(point, what);
    }
    at += size;
  }
  *out = all && (!about_case || cased);
  return ZH_OK;
}

bool tpl_printable(uint32_t point) {
  static const uint32_t formats[][2] = {
      {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},
      {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},
      {0x200B, 0x200F},   {0x202A, 0x202E},   {0x2060, 0x206F},   {0xE000, 0xF8FF},
      {0xFEFF, 0xFEFF},   {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},   {0x110BD, 0x110BD},
      {0x110CD, 0x110CD}, {0x13430, 0x1345F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
      {0xE0000, 0xE00FF}, {0xE01F0, 0x10FFFF}};
  if (point < 0x7F) return point >= 0x20;
  if (point < 0xA1 || tpl_is_space(point)) return false;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (point >= formats[i][0] && point <= formats[i][1]) return false;
  return unicode_locale() == (locale_t)0 || iswprint_l((wint_t)point, unicode);
}
