/* Template source to tokens: where tags begin and end, which blanks around them go, and the words
 * inside them. */
#include <stdlib.h>
#include <string.h>

#include "core/template_parts.h"

typedef struct lexer {
  zh_template *tpl;
  const char *source;
  size_t length, at;
  size_t counted; /* line and column are of this byte */
  uint32_t line, column;
  bool line_begins; /* the last tag ended with a line end, or nothing was read yet */
  tpl_token *tokens;
  size_t count, capacity;
  char open[256]; /* brackets that wait for their end */
  size_t depth;
  zh_error *err;
} lexer;

static void move_to(lexer *x, size_t byte) {
  for (; x->counted < byte; x->counted++) {
    if (x->source[x->counted] == '\n') {
      x->line++;
      x->column = 1;
    } else if ((x->source[x->counted] & 0xC0) != 0x80) {
      x->column++;
    }
  }
}

#define fail_here(x, byte, ...)                                                                    \
  (move_to((x), (byte)), tpl_fail_at((x)->err, (x)->line, (x)->column, __VA_ARGS__))

/* The token begins at byte `from`. */
static zh_status add(lexer *x, tpl_token_kind kind, size_t from, const char *bytes, size_t length) {
  if (x->count == x->capacity) {
    size_t capacity = x->capacity ? x->capacity * 2 : 64;
    tpl_token *grown = realloc(x->tokens, capacity * sizeof *grown);
    if (!grown) return zh_fail(x->err, ZH_ERR_MEMORY, "out of memory (template)");
    x->tokens = grown;
    x->capacity = capacity;
  }
  move_to(x, from);
  x->tokens[x->count++] = (tpl_token){
      .kind = kind, .line = x->line, .column = x->column, .bytes = bytes, .length = length};
  return ZH_OK;
}

static bool starts(const lexer *x, size_t at, const char *with) {
  size_t length = strlen(with);
  return x->length - at >= length && memcmp(x->source + at, with, length) == 0;
}

static size_t skip_space(const lexer *x, size_t at) {
  for (size_t step; (step = tpl_space_at(x->source + at, x->length - at)) > 0;) at += step;
  return at;
}

/* --- data between tags --- */

/* Cuts blanks before a tag: all of them after "-", those of its line where blocks are stripped. */
static size_t cut_before(const lexer *x, size_t from, size_t to, char sign, bool variable) {
  size_t end = to;
  while (end > from) {
    size_t blank = tpl_space_before(x->source, end);
    if (blank == 0 || end - blank < from) break;
    end -= blank;
  }
  if (sign == '-') return end;
  if (sign == '+' || !x->tpl->style.lstrip_blocks || variable) return to;
  size_t line = to;
  while (line > from && x->source[line - 1] != '\n') line--;
  bool begins = line > from || x->line_begins;
  return begins && end <= line ? line : to;
}

static zh_status add_data(lexer *x, size_t from, size_t to) {
  return to > from ? add(x, TPL_DATA, from, x->source + from, to - from) : ZH_OK;
}

/* Past the end of a tag whose sign and closing pair are known; "" for none. Returns SIZE_MAX where
 * none stands at `at`. plus: whether "+" may stand before it. */
static size_t past_end(const lexer *x, size_t at, const char *closing, bool trims, bool plus) {
  if (plus && starts(x, at, "+") && starts(x, at + 1, closing)) return at + 3;
  if (starts(x, at, "-") && starts(x, at + 1, closing)) return skip_space(x, at + 3);
  if (!starts(x, at, closing)) return SIZE_MAX;
  at += 2;
  return trims && x->tpl->style.trim_blocks && starts(x, at, "\n") ? at + 1 : at;
}

static char sign_at(const lexer *x, size_t at) {
  return at < x->length && (x->source[at] == '-' || x->source[at] == '+') ? x->source[at] : 0;
}

static void leave(lexer *x, size_t at) {
  x->line_begins = at > 0 && x->source[at - 1] == '\n';
  x->at = at;
}

static zh_status skip_comment(lexer *x) {
  for (size_t at = x->at + 2; at < x->length; at++) {
    size_t past = past_end(x, at, "#}", true, true);
    if (past == SIZE_MAX) continue;
    leave(x, past);
    return ZH_OK;
  }
  return fail_here(x, x->at, "%s", "the comment that begins here has no end '#}'");
}

/* After "{%": where the word raw or endraw and the end of the tag follow, the byte past it. */
static size_t past_raw(const lexer *x, size_t at, const char *word, bool trims) {
  if (sign_at(x, at)) at++;
  at = skip_space(x, at);
  if (!starts(x, at, word)) return SIZE_MAX;
  return past_end(x, skip_space(x, at + strlen(word)), "%}", trims, trims);
}

static zh_status read_raw(lexer *x, size_t body) {
  for (size_t at = body; at < x->length; at++) {
    size_t past = starts(x, at, "{%") ? past_raw(x, at + 2, "endraw", true) : SIZE_MAX;
    if (past == SIZE_MAX) continue;
    leave(x, body);
    ZH_TRY(add_data(x, body, cut_before(x, body, at, sign_at(x, at + 2), false)));
    leave(x, past);
    return ZH_OK;
  }
  return fail_here(x, x->at, "%s", "the raw block that begins here has no end");
}

/* --- inside a tag --- */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

/* Bytes of "1_000": digits, with single underscores between them. */
static size_t digits_at(const lexer *x, size_t at) {
  size_t end = at;
  while (end < x->length &&
         (is_digit(x->source[end]) || (x->source[end] == '_' && end > at && end + 1 < x->length &&
                                       is_digit(x->source[end + 1]))))
    end++;
  return end - at;
}

/* Bytes of a float at `at`, 0 where the number is an integer. */
static size_t float_at(const lexer *x, size_t at) {
  size_t end = at + digits_at(x, at), fraction = 0, exponent = 0;
  if (starts(x, end, ".")) fraction = digits_at(x, end + 1);
  if (fraction > 0) end += 1 + fraction;
  if (end < x->length && (x->source[end] == 'e' || x->source[end] == 'E')) {
    size_t digits = end + 1 + (sign_at(x, end + 1) != 0);
    exponent = digits_at(x, digits);
    if (exponent > 0) end = digits + exponent;
  }
  return fraction > 0 || exponent > 0 ? end - at : 0;
}

static zh_status read_number(lexer *x) {
  size_t from = x->at, length = float_at(x, from), kept = 0;
  bool real = length > 0 && !(from > 0 && x->source[from - 1] == '.');
  if (!real) length = digits_at(x, from);
  char digits[64];
  for (size_t i = 0; i < length && kept < sizeof digits; i++)
    if (x->source[from + i] != '_') digits[kept++] = x->source[from + i];
  if (kept == sizeof digits || (!real && kept > 19))
    return fail_here(x, from, "the number is too long: %.24s…", digits);
  digits[kept] = 0;
  bool zeros = strspn(digits, "0") == kept;
  if (from + length < x->length && is_word(x->source[from + length]))
    return fail_here(x, from, "'%.24s' is followed by a letter or digit; numbers are decimal here",
                     digits);
  if (!real && digits[0] == '0' && !zeros)
    return fail_here(x, from, "'%.24s': a whole number does not begin with 0", digits);
  ZH_TRY(add(x, real ? TPL_REAL : TPL_INTEGER, from, x->source + from, length));
  tpl_token *token = &x->tokens[x->count - 1];
  if (real) token->real = strtod(digits, NULL);
  if (!real && (strlen(digits) > 18 && strcmp(digits, "9223372036854775807") > 0))
    return fail_here(x, from, "the whole number %s is beyond 64 bits", digits);
  if (!real) token->integer = strtoll(digits, NULL, 10);
  leave(x, from + length);
  return ZH_OK;
}

/* Bytes of the character at `at` if it may stand in a name; fields of data sets have names in
 * Chinese and with accents, too. */
static size_t name_character(const lexer *x, size_t at) {
  uint32_t point;
  if (at >= x->length) return 0;
  if (is_word(x->source[at])) return 1;
  int size = zh_utf8_decode(&point, x->source + at, x->length - at);
  return size > 1 && tpl_is_letter(point) ? (size_t)size : 0;
}

static zh_status read_name(lexer *x) {
  size_t from = x->at, end = from;
  for (size_t size; (size = name_character(x, end)) > 0;) end += size;
  const char *name = tpl_intern(x->tpl, x->source + from, end - from);
  if (!name) return fail_here(x, from, "%s", "the template has too many different names");
  leave(x, end);
  return add(x, TPL_NAME, from, name, end - from);
}

/* Value of `count` hexadecimal digits at s, or UINT32_MAX. */
static uint32_t hex_of(const char *s, size_t left, size_t count) {
  uint32_t value = 0;
  if (left < count) return UINT32_MAX;
  for (size_t i = 0; i < count; i++) {
    char c = s[i];
    int digit = is_digit(c)              ? c - '0'
                : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                         : -1;
    if (digit < 0) return UINT32_MAX;
    value = value << 4 | (uint32_t)digit;
  }
  return value;
}

static void put_point(zh_text *out, uint32_t point) {
  char bytes[4];
  zh_text_append(out, bytes, (size_t)zh_utf8_encode(bytes, point));
}

/* \x41, \u4f60, \U0001f600 and \101: bytes read past the backslash, 0 where it is none of them. */
static size_t numeric_escape(zh_text *out, const char *s, size_t left) {
  size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
  uint32_t point = digits ? hex_of(s + 1, left - 1, digits) : 0;
  size_t used = digits + 1;
  if (digits == 0) {
    for (used = 0; used < 3 && used < left && s[used] >= '0' && s[used] < '8'; used++)
      point = point * 8 + (uint32_t)(s[used] - '0');
    if (used == 0) return 0;
  }
  char bytes[4];
  if (point == UINT32_MAX || zh_utf8_encode(bytes, point) == 0) return 0;
  put_point(out, point);
  return used;
}

/* A backslash before a character beyond ASCII stays, and the character becomes digits: so Jinja. */
static size_t foreign_escape(zh_text *out, const char *s, size_t left) {
  uint32_t point = 0;
  int size = zh_utf8_decode(&point, s, left);
  const char *format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
  if (size == 0) return 0;
  zh_text_puts(out, "\\");
  zh_text_printf(out, format, (unsigned)point);
  return (size_t)size;
}

/* Bytes read past the backslash, 0 where the escape is not known. */
static size_t read_escape(zh_text *out, const char *s, size_t left) {
  static const char letters[] = "\\'\"nrtabfv", meant[] = "\\'\"\n\r\t\a\b\f\v";
  const char *simple = memchr(letters, s[0], sizeof letters - 1);
  if (simple) {
    zh_text_append(out, &meant[simple - letters], 1);
    return 1;
  }
  if (s[0] == '\n') return 1; /* a line that goes on */
  if (is_digit(s[0]) && s[0] < '8') return numeric_escape(out, s, left);
  if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U') return numeric_escape(out, s, left);
  if (s[0] == 'N') return 0;
  if ((unsigned char)s[0] >= 0x80) return foreign_escape(out, s, left);
  zh_text_puts(out, "\\");
  zh_text_append(out, s, 1);
  return 1;
}

static zh_status read_string(lexer *x) {
  size_t from = x->at, end = from + 1;
  char quote = x->source[from];
  while (end < x->length && x->source[end] != quote) end += x->source[end] == '\\' ? 2 : 1;
  if (end >= x->length) return fail_here(x, from, "%s", "the text that begins here has no end");
  zh_text text = {0};
  zh_status status = ZH_OK;
  for (size_t at = from + 1; at < end && status == ZH_OK;) {
    if (x->source[at] != '\\') {
      zh_text_append(&text, x->source + at++, 1);
      continue;
    }
    size_t used = read_escape(&text, x->source + at + 1, end - at - 1);
    if (used == 0)
      status = fail_here(x, at, "the escape '\\%c' is not complete or not known to this version",
                         x->source[at + 1]);
    at += 1 + used;
  }
  char *copy =
      text.failed ? NULL : zh_arena_strndup(x->tpl->arena, zh_text_string(&text), text.length);
  size_t length = text.length;
  zh_text_free(&text);
  if (status != ZH_OK) return status;
  if (!copy) return zh_fail(x->err, ZH_ERR_MEMORY, "out of memory (template)");
  leave(x, end + 1);
  return add(x, TPL_TEXT, from, copy, length);
}

/* Brackets must match; a tag ends only where all are closed. */
static zh_status balance(lexer *x, char c) {
  const char *open = "([{", *close = ")]}", *found;
  if ((found = strchr(open, c)) != NULL) {
    if (x->depth == sizeof x->open)
      return fail_here(x, x->at, "brackets are nested deeper than %zu", sizeof x->open);
    x->open[x->depth++] = close[found - open];
  } else if (strchr(close, c) != NULL) {
    if (x->depth == 0) return fail_here(x, x->at, "unexpected '%c'", c);
    char expected = x->open[--x->depth];
    if (expected != c) return fail_here(x, x->at, "unexpected '%c', expected '%c'", c, expected);
  }
  return ZH_OK;
}

static zh_status read_sign(lexer *x) {
  static const char *const signs[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    if (!starts(x, x->at, signs[i])) continue;
    size_t length = strlen(signs[i]);
    if (length == 1) ZH_TRY(balance(x, signs[i][0]));
    ZH_TRY(add(x, TPL_SIGN, x->at, signs[i], length));
    leave(x, x->at + length);
    return ZH_OK;
  }
  uint32_t point = 0;
  int size = zh_utf8_decode(&point, x->source + x->at, x->length - x->at);
  return fail_here(x, x->at, "unexpected character '%.*s'", size > 0 ? size : 1, x->source + x->at);
}

/* From behind the opening of a tag to behind its end. */
static zh_status read_tag(lexer *x, bool variable, size_t began) {
  const char *closing = variable ? "}}" : "%}";
  tpl_token_kind end = variable ? TPL_VARIABLE_END : TPL_BLOCK_END;
  x->depth = 0;
  for (;;) {
    size_t past = x->depth == 0 ? past_end(x, x->at, closing, !variable, !variable) : SIZE_MAX;
    if (past != SIZE_MAX) {
      ZH_TRY(add(x, end, x->at, closing, 2));
      leave(x, past);
      return ZH_OK;
    }
    size_t inside = skip_space(x, x->at);
    if (inside > x->at) {
      x->at = inside;
      continue;
    }
    if (x->at >= x->length)
      return fail_here(x, x->length, "the tag that begins at byte %zu has no end '%s'", began,
                       closing);
    char c = x->source[x->at];
    if (is_digit(c)) {
      ZH_TRY(read_number(x));
    } else if (name_character(x, x->at) > 0) {
      ZH_TRY(read_name(x));
    } else if (c == '\'' || c == '"') {
      ZH_TRY(read_string(x));
    } else {
      ZH_TRY(read_sign(x));
    }
  }
}

/* --- the whole --- */

static size_t next_tag(const lexer *x) {
  for (size_t at = x->at; at + 1 < x->length; at++)
    if (x->source[at] == '{' && memchr("{%#", x->source[at + 1], 3) != NULL) return at;
  return x->length;
}

static zh_status read_next(lexer *x) {
  size_t tag = next_tag(x);
  if (tag == x->length) {
    ZH_TRY(add_data(x, x->at, x->length));
    x->at = x->length;
    return ZH_OK;
  }
  char kind = x->source[tag + 1], sign = sign_at(x, tag + 2);
  ZH_TRY(add_data(x, x->at, cut_before(x, x->at, tag, sign, kind == '{')));
  x->at = tag;
  if (kind == '#') return skip_comment(x);
  size_t raw = kind == '%' ? past_raw(x, tag + 2, "raw", false) : SIZE_MAX;
  if (raw != SIZE_MAX) return read_raw(x, raw);
  bool variable = kind == '{';
  ZH_TRY(add(x, variable ? TPL_VARIABLE_BEGIN : TPL_BLOCK_BEGIN, tag, variable ? "{{" : "{%", 2));
  leave(x, tag + 2 + (sign != 0));
  return read_tag(x, variable, tag);
}

/* Line ends of every kind become \n, and a last one goes unless the style keeps it. */
static char *normalise(zh_template *tpl, const char *source, size_t *length) {
  char *text = zh_arena_alloc(tpl->arena, *length + 1, 1);
  size_t kept = 0;
  if (!text) return NULL;
  for (size_t i = 0; i < *length; i++) {
    if (source[i] == '\r' && i + 1 < *length && source[i + 1] == '\n') continue;
    text[kept++] = source[i] == '\r' ? '\n' : source[i];
  }
  if (kept > 0 && text[kept - 1] == '\n' && !tpl->style.keep_trailing_newline) kept--;
  *length = kept;
  return text;
}

zh_status tpl_read_tokens(tpl_token **out, zh_template *tpl, const char *source, size_t length,
                          zh_error *err) {
  lexer x = {.tpl = tpl, .length = length, .line = 1, .column = 1, .line_begins = true, .err = err};
  x.source = normalise(tpl, source, &x.length);
  *out = NULL;
  if (!x.source) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (template)");
  zh_status status = ZH_OK;
  while (status == ZH_OK && x.at < x.length) status = read_next(&x);
  if (status == ZH_OK) status = add(&x, TPL_END, x.length, "", 0);
  if (status == ZH_OK) {
    *out = x.tokens;
  } else {
    free(x.tokens);
  }
  return status;
}
