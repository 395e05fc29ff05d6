#include "model/tokenizer/words.h"

#include "model/tokenizer/characters.h"

/* A place in the text, and the character there: `bits` and `step` are 0 at the end. */
typedef struct cursor {
  const uint16_t *table;
  const char *text;
  size_t length, at;
  uint32_t character;
  unsigned bits, step;
} cursor;

static inline void look(cursor *c) {
  if (c->at >= c->length) {
    c->bits = c->step = 0;
    c->character = 0;
    return;
  }
  c->step = zh_character_at(&c->character, c->text + c->at);
  c->bits = zh_bits_of(c->table, c->character);
}

static inline cursor at(const char *text, size_t length, size_t where) {
  cursor c = {.table = zh_characters(), .text = text, .length = length, .at = where};
  look(&c);
  return c;
}

static inline void advance(cursor *c) {
  c->at += c->step;
  look(c);
}

static inline cursor after(cursor c) {
  advance(&c);
  return c;
}

static inline void pass_any(cursor *c, unsigned bits) {
  if (!(c->bits & bits)) return;
  size_t at = c->at + c->step; /* most characters are of one byte or three */
  while (at < c->length) {
    unsigned char byte = (unsigned char)c->text[at];
    if (byte < 0x80) {
      if (!(c->table[byte] & bits)) break;
      at++;
      continue;
    }
    uint32_t character;
    unsigned step = zh_character_at(&character, c->text + at);
    if (!(zh_bits_of(c->table, character) & bits)) break;
    at += step;
  }
  c->at = at;
  look(c);
}
/* Characters that are there and have none of the bits. */
static inline void pass_none(cursor *c, unsigned bits) {
  while (c->step != 0 && !(c->bits & bits)) advance(c);
}
static inline bool is_newline(const cursor *c) {
  return c->step == 1 && (c->character == '\n' || c->character == '\r');
}
static inline void pass_newlines(cursor *c) {
  while (is_newline(c)) advance(c);
}
static inline bool is_other(const cursor *c, unsigned bits) {
  return c->step != 0 && !(c->bits & bits);
}

enum { WORDY = ZH_LETTER | ZH_NUMBER | ZH_SPACE };

/* 's 't 'm 'd 're 've 'll: bytes, or 0. `fold`: capitals too, and the long s, which folds to s. */
static size_t contraction(const char *text, size_t length, size_t where, bool fold) {
  const unsigned char *p = (const unsigned char *)text + where;
  size_t left = length - where;
  if (left < 2 || p[0] != '\'') return 0;
  if (fold && left >= 3 && p[1] == 0xc5 && p[2] == 0xbf) return 3;
  unsigned char a = p[1], b = left > 2 ? p[2] : 0;
  if (fold && a < 0x80) a |= 0x20;
  if (fold && b < 0x80) b |= 0x20;
  if (fold && !((p[1] | 0x20) >= 'a' && (p[1] | 0x20) <= 'z')) return 0;
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (fold && left > 2 && !((p[2] | 0x20) >= 'a' && (p[2] | 0x20) <= 'z')) return 0;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s*[\r\n]+ where asked, else \s+(?!\S), else \s+: the end of white space that begins here. */
static size_t space_end(cursor c, bool newlines) {
  size_t last = c.at, newline = 0;
  while (c.bits & ZH_SPACE) {
    last = c.at;
    if (is_newline(&c)) newline = c.at + 1;
    advance(&c);
  }
  if (newlines && newline != 0) return newline;
  return c.step == 0 ? c.at : last;
}

/* The last character of a run stays with the word behind it, unless it is all there is. */
static size_t white(cursor c, bool newlines) {
  size_t begin = c.at, end = space_end(c, newlines);
  return end > begin ? end : begin + c.step;
}

static inline bool found(zh_span *out, size_t begin, size_t end) {
  *out = (zh_span){begin, end};
  return true;
}

bool zh_find_gpt2(zh_span *out, const char *text, size_t length, size_t from) {
  if (from >= length) return false;
  size_t short_form = contraction(text, length, from, false);
  if (short_form != 0) return found(out, from, from + short_form);
  cursor c = at(text, length, from), first = c;
  if (c.character == ' ') advance(&c);
  if (c.bits & ZH_LETTER)
    pass_any(&c, ZH_LETTER);
  else if (c.bits & ZH_NUMBER)
    pass_any(&c, ZH_NUMBER);
  else if (is_other(&c, WORDY))
    pass_none(&c, WORDY);
  else
    return found(out, from, white(first, false));
  return found(out, from, c.at);
}

static size_t number_end(cursor c, unsigned most) {
  for (unsigned i = 0; i < most && (c.bits & ZH_NUMBER); i++) advance(&c);
  return c.at;
}

/* GPT-4's kind, of which the makers vary how many digits stay together and whether marks belong to
 * words. */
static inline bool gpt4(zh_span *out, const char *text, size_t length, size_t from, unsigned digits,
                        unsigned letters) {
  if (from >= length) return false;
  size_t short_form = contraction(text, length, from, true);
  if (short_form != 0) return found(out, from, from + short_form);
  cursor c = at(text, length, from);
  if (c.bits & letters) {
    pass_any(&c, letters);
    return found(out, from, c.at);
  }
  if (c.bits & ZH_NUMBER) return found(out, from, number_end(c, digits));
  cursor next = after(c);
  if ((next.bits & letters) && !is_newline(&c)) {
    pass_any(&next, letters);
    return found(out, from, next.at);
  }
  unsigned not_other = letters | ZH_NUMBER | ZH_SPACE;
  if (c.character == ' ' && is_other(&next, not_other)) c = next;
  if (!is_other(&c, not_other)) return found(out, from, white(c, true));
  pass_none(&c, not_other);
  pass_newlines(&c);
  return found(out, from, c.at);
}

bool zh_find_gpt4_digit(zh_span *out, const char *text, size_t length, size_t from) {
  return gpt4(out, text, length, from, 1, ZH_LETTER);
}
bool zh_find_gpt4_three(zh_span *out, const char *text, size_t length, size_t from) {
  return gpt4(out, text, length, from, 3, ZH_LETTER);
}
bool zh_find_gpt4_digits(zh_span *out, const char *text, size_t length, size_t from) {
  return gpt4(out, text, length, from, ~0u, ZH_LETTER);
}
bool zh_find_qwen35(zh_span *out, const char *text, size_t length, size_t from) {
  return gpt4(out, text, length, from, 1, ZH_LETTER | ZH_MARK);
}

/* [upper]*[lower]+ from c; 0 where that does not match. Letters without case and marks are both: of
 * a run of upper ones that no lower one follows, the last that is lower too is given back. */
static size_t cased_word(cursor c) {
  size_t lower_end = 0;
  while (c.bits & ZH_UPPERISH) {
    if (c.bits & ZH_LOWERISH) lower_end = c.at + c.step;
    advance(&c);
  }
  if (!(c.bits & ZH_LOWERISH)) return lower_end;
  pass_any(&c, ZH_LOWERISH);
  return c.at;
}

/* [upper]+[lower]*, tried where the first did not match: no lower one follows. */
static size_t upper_word(cursor c) {
  size_t begin = c.at;
  pass_any(&c, ZH_UPPERISH);
  return c.at > begin ? c.at : 0;
}

static size_t o200k_word(cursor c) {
  bool leads = c.step != 0 && !(c.bits & (ZH_LETTER | ZH_NUMBER)) && !is_newline(&c);
  cursor next = leads ? after(c) : c;
  size_t end = leads ? cased_word(next) : 0;
  if (end == 0) end = cased_word(c);
  if (end == 0 && leads) end = upper_word(next);
  return end != 0 ? end : upper_word(c);
}

static inline bool o200k(zh_span *out, const char *text, size_t length, size_t from,
                         unsigned digits, bool short_forms) {
  if (from >= length) return false;
  cursor c = at(text, length, from);
  size_t end = o200k_word(c);
  if (end != 0)
    return found(out, from, end + (short_forms ? contraction(text, length, end, true) : 0));
  if (c.bits & ZH_NUMBER) return found(out, from, number_end(c, digits));
  cursor next = after(c);
  if (c.character == ' ' && is_other(&next, WORDY)) c = next;
  if (!is_other(&c, WORDY)) return found(out, from, white(c, true));
  pass_none(&c, WORDY);
  while (is_newline(&c) || c.character == '/') advance(&c);
  return found(out, from, c.at);
}

bool zh_find_o200k(zh_span *out, const char *text, size_t length, size_t from) {
  return o200k(out, text, length, from, 3, true);
}
bool zh_find_tekken(zh_span *out, const char *text, size_t length, size_t from) {
  return o200k(out, text, length, from, 1, false);
}

/* --- DeepSeek-V3's, which leaves control characters and numbers unmatched --- */

static bool is_ascii_letter(const cursor *c) {
  return c->step == 1 && (c->character | 0x20) >= 'a' && (c->character | 0x20) <= 'z';
}

/* 0: nothing matches here. */
static size_t deepseek3_end(cursor c) {
  enum { JOINED = ZH_LETTER | ZH_MARK, SIGNS = ZH_PUNCTUATION | ZH_SYMBOL };
  cursor next = after(c);
  if (c.step == 1 && (c.bits & SIGNS) && is_ascii_letter(&next)) {
    while (is_ascii_letter(&next)) advance(&next);
    return next.at;
  }
  if (c.bits & JOINED) {
    pass_any(&c, JOINED);
    return c.at;
  }
  if (!is_newline(&c) && !(c.bits & SIGNS) && (next.bits & JOINED)) {
    pass_any(&next, JOINED);
    return next.at;
  }
  if (c.character == ' ' && (next.bits & SIGNS)) c = next;
  if (c.bits & SIGNS) {
    pass_any(&c, SIGNS);
    pass_newlines(&c);
    return c.at;
  }
  return c.bits & ZH_SPACE ? white(c, true) : 0;
}

bool zh_find_deepseek3(zh_span *out, const char *text, size_t length, size_t from) {
  for (cursor c = at(text, length, from); c.step != 0; advance(&c)) {
    size_t end = deepseek3_end(c);
    if (end != 0) return found(out, c.at, end);
  }
  return false;
}

/* --- runs of one class --- */

static bool digits(zh_span *out, const char *text, size_t length, size_t from, unsigned most) {
  cursor c = at(text, length, from);
  pass_none(&c, ZH_NUMBER);
  return c.step != 0 && found(out, c.at, number_end(c, most));
}
bool zh_find_digit(zh_span *out, const char *text, size_t length, size_t from) {
  return digits(out, text, length, from, 1);
}
bool zh_find_three_digits(zh_span *out, const char *text, size_t length, size_t from) {
  return digits(out, text, length, from, 3);
}
bool zh_find_digits(zh_span *out, const char *text, size_t length, size_t from) {
  return digits(out, text, length, from, ~0u);
}

static bool is_cjk_kana(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fa5) || (c >= 0x3040 && c <= 0x30ff);
}
static bool is_cjk_wide(uint32_t c) {
  return (c >= 0x800 && c <= 0x9fa5) || (c >= 0xac00 && c <= 0xd7ff);
}
static inline bool run_of(zh_span *out, const char *text, size_t length, size_t from,
                          bool (*has)(uint32_t)) {
  cursor c = at(text, length, from);
  while (c.step != 0 && !has(c.character)) advance(&c);
  size_t begin = c.at;
  while (c.step != 0 && has(c.character)) advance(&c);
  return c.at > begin && found(out, begin, c.at);
}
bool zh_find_cjk_kana(zh_span *out, const char *text, size_t length, size_t from) {
  return run_of(out, text, length, from, is_cjk_kana);
}
bool zh_find_cjk_wide(zh_span *out, const char *text, size_t length, size_t from) {
  return run_of(out, text, length, from, is_cjk_wide);
}

bool zh_find_newline(zh_span *out, const char *text, size_t length, size_t from) {
  for (size_t i = from; i < length; i++)
    if (text[i] == '\n' || text[i] == '\r') return found(out, i, i + 1);
  return false;
}

/* \s?x+ */
static bool spaced_run(zh_span *out, const char *text, size_t length, size_t from, unsigned bits) {
  for (cursor c = at(text, length, from); c.step != 0; advance(&c)) {
    cursor run = c.bits & ZH_SPACE ? after(c) : c;
    size_t begin = run.at;
    pass_any(&run, bits);
    if (run.at > begin) return found(out, c.at, run.at);
  }
  return false;
}
bool zh_find_space_letters(zh_span *out, const char *text, size_t length, size_t from) {
  return spaced_run(out, text, length, from, ZH_LETTER);
}
bool zh_find_space_punctuation(zh_span *out, const char *text, size_t length, size_t from) {
  return spaced_run(out, text, length, from, ZH_PUNCTUATION);
}

bool zh_find_no_space(zh_span *out, const char *text, size_t length, size_t from) {
  cursor c = at(text, length, from);
  pass_any(&c, ZH_SPACE);
  size_t begin = c.at;
  pass_none(&c, ZH_SPACE);
  return c.at > begin && found(out, begin, c.at);
}
