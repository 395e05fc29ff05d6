/* Where English sentences end: a '.', '?' or '!' that closing signs or a blank follow, unless the
 * words around it say that the point belongs to an abbreviation, an initial or an ellipsis. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/language.h"
#include "bench/quality/python_values.h"

/* ---- characters ---- */

typedef struct text {
  const char *bytes;
  size_t length;
  const json_t *abbreviations, *beginnings;
  zh_error *err;
} text;

static uint32_t point_at(const text *t, size_t at, size_t *size) {
  uint32_t point = 0;
  int n = zh_utf8_decode(&point, t->bytes + at, t->length - at);
  *size = n > 0 ? (size_t)n : 1;
  return n > 0 ? point : 0xFFFD;
}

/* Bytes of the blanks at `at`. */
static size_t blanks(const text *t, size_t at) {
  return zh_python_lstrip(t->bytes + at, t->length - at);
}

static bool is_end(char c) {
  return c == '.' || c == '?' || c == '!';
}

static bool is_quote(uint32_t point) {
  return point == 0x2018 || point == 0x2019 || point == 0x201C || point == 0x201D ||
         point == 0xAB || point == 0xBB;
}

/* What cannot stand within a word. Bytes of it, or 0. */
static size_t sign_at(const text *t, size_t at) {
  size_t size;
  if (at >= t->length) return 0;
  uint32_t point = point_at(t, at, &size);
  bool sign = point < 0x80 ? point != 0 && strchr(")\";}]*:@'({[?!", (int)point) : is_quote(point);
  return sign ? size : 0;
}

/* "--", "…" as points, "..", ". . ." Bytes of it, or 0. */
static size_t run_at(const text *t, size_t at) {
  const char *b = t->bytes + at;
  size_t left = t->length - at, n = 0;
  while (n < left && b[n] == '-') n++;
  if (n >= 2) return n;
  for (n = 0; n < left && b[n] == '.';) n++;
  if (n >= 2) return n;
  size_t spaced = 0; /* ". " at least twice, then "." */
  for (size_t i = 0, count = 0; i < left && b[i] == '.'; count++) {
    if (count >= 2) spaced = i + 1;
    uint32_t point;
    int size = i + 1 < left ? zh_utf8_decode(&point, b + i + 1, left - i - 1) : 0;
    if (size <= 0 || !zh_python_space_first(b + i + 1, (size_t)size)) break;
    i += 1 + (size_t)size;
  }
  return spaced;
}

static bool starts_word(uint32_t point) {
  return point >= 0x80 || !strchr("(\"`{[:;&#*@)}]-,", (int)point);
}

static bool word_ends(const text *t, size_t at) {
  if (at >= t->length || blanks(t, at) > 0 || sign_at(t, at) > 0 || run_at(t, at) > 0) return true;
  if (t->bytes[at] != ',') return false;
  return at + 1 >= t->length || blanks(t, at + 1) > 0 || sign_at(t, at + 1) > 0 ||
         run_at(t, at + 1) > 0;
}

/* Bytes of the token at `at`, where no blank stands. */
static size_t token_at(const text *t, size_t at) {
  size_t size, run = run_at(t, at);
  if (run > 0) return run;
  uint32_t point = point_at(t, at, &size);
  if (!starts_word(point)) return size;
  size_t end = at + size;
  while (!word_ends(t, end)) {
    point_at(t, end, &size);
    end += size;
  }
  return end - at;
}

/* ---- tokens ---- */

typedef struct token {
  const char *bytes;
  size_t length;
  bool ends, abbreviation, ellipsis; /* ends: a sentence */
} token;

/* token.lower() without the last `cut` bytes; the caller drops it. */
static zh_status lower_of(json_t **out, const token *k, size_t cut, zh_error *err) {
  json_t *plain = json_stringn(k->bytes, k->length - cut);
  *out = NULL;
  zh_status status =
      plain ? zh_python_case(out, plain, false, err) : zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  json_decref(plain);
  return status;
}

static zh_status look_at_form(token *k, const text *t) {
  json_t *lower;
  size_t points = 0;
  while (points < k->length && k->bytes[points] == '.') points++;
  k->ends = k->length == 1 && is_end(k->bytes[0]);
  k->ellipsis = points >= 2 && points == k->length;
  if (k->ends || k->ellipsis || k->bytes[k->length - 1] != '.') return ZH_OK;
  if (k->bytes[k->length - 2] == '.') return ZH_OK;
  ZH_TRY(lower_of(&lower, k, 1, t->err));
  const char *word = json_string_value(lower), *last = strrchr(word, '-');
  k->abbreviation = json_object_get(t->abbreviations, word) != NULL ||
                    (last && json_object_get(t->abbreviations, last + 1) != NULL);
  k->ends = !k->abbreviation;
  json_decref(lower);
  return ZH_OK;
}

/* Letters of all writings, and '_'; by leaving out where the signs stand. */
static bool is_letter(uint32_t point) {
  if (point < 0x80)
    return point == '_' || (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
  bool sign = (point <= 0xBF && point != 0xAA && point != 0xB5 && point != 0xBA) || point == 0xD7 ||
              point == 0xF7 || (point >= 0x2000 && point <= 0x206F) ||
              (point >= 0x2190 && point <= 0x2BFF) || (point >= 0x3000 && point <= 0x303F) ||
              (point >= 0xFF00 && point <= 0xFF20) || (point >= 0x1F000 && point <= 0x1FAFF);
  return !sign;
}

/* "J." */
static bool is_initial(const token *k) {
  uint32_t point;
  int size = zh_utf8_decode(&point, k->bytes, k->length);
  return size > 0 && (size_t)size + 1 == k->length && k->bytes[k->length - 1] == '.' &&
         is_letter(point);
}

/* "-3,000." and the like. */
static bool is_number(const token *k) {
  size_t i = 0;
  if (i < k->length && k->bytes[i] == '-') i++;
  if (i < k->length && (k->bytes[i] == '.' || k->bytes[i] == ',')) i++;
  if (i == k->length || k->bytes[i] < '0' || k->bytes[i] > '9') return false;
  for (; i < k->length; i++)
    if (k->bytes[i] == 0 || !strchr("0123456789,.-", k->bytes[i])) return false;
  return true;
}

typedef enum beginning { NO, YES, UNKNOWN } beginning;

/* Whether the token begins a sentence, as far as it shows. */
static zh_status begins(beginning *out, bool *upper, const token *k, const text *t) {
  uint32_t point;
  int size = zh_utf8_decode(&point, k->bytes, k->length);
  json_t *first = json_stringn(k->bytes, size > 0 ? (size_t)size : 0), *word = NULL;
  bool lower = false;
  *out = UNKNOWN;
  *upper = false;
  zh_status status = first ? ZH_OK : zh_fail(t->err, ZH_ERR_MEMORY, "out of memory");
  if (status == ZH_OK) status = zh_python_is_case(upper, first, true, t->err);
  if (status == ZH_OK) status = zh_python_is_case(&lower, first, false, t->err);
  bool point_last = k->ends && k->length > 1 && k->bytes[k->length - 1] == '.';
  if (status == ZH_OK) status = lower_of(&word, k, point_last, t->err);
  if (status == ZH_OK) {
    bool mark = k->length == 1 && strchr(";:,.!?", k->bytes[0]);
    if (mark || lower) *out = NO;
    if (!mark && *upper && json_object_get(t->beginnings, json_string_value(word))) *out = YES;
  }
  json_decref(first);
  json_decref(word);
  return status;
}

/* What the token behind it says of a token that ends in a point. */
static zh_status look_behind(token *k, const token *next, const text *t) {
  beginning next_begins;
  bool upper, initial = is_initial(k);
  if (k->bytes[k->length - 1] != '.') return ZH_OK;
  ZH_TRY(begins(&next_begins, &upper, next, t));
  if ((k->abbreviation || k->ellipsis) && !initial && next_begins == YES) {
    k->ends = true;
    return ZH_OK;
  }
  if (!initial && !is_number(k)) return ZH_OK;
  if (next_begins == NO || (next_begins == UNKNOWN && initial && upper)) k->ends = false;
  return ZH_OK;
}

/* Whether a token within [begin, end), but the last, ends a sentence. */
static zh_status has_break(bool *out, const text *all, size_t begin, size_t end) {
  text t = *all;
  token before = {0};
  t.length = end;
  *out = false;
  for (size_t at = begin; at < end && !*out;) {
    size_t blank = blanks(&t, at);
    at += blank;
    if (blank > 0 || at >= end) continue;
    token k = {.bytes = t.bytes + at, .length = token_at(&t, at)};
    ZH_TRY(look_at_form(&k, &t));
    if (before.bytes) ZH_TRY(look_behind(&before, &k, &t));
    *out = before.ends;
    before = k;
    at += k.length;
  }
  return ZH_OK;
}

/* ---- sentences ---- */

/* A sign that could end a sentence, with the word before it and what follows. */
typedef struct candidate {
  size_t word, at; /* where the word begins, and the sign */
  size_t follows;  /* end of what follows: a sign, or the next word */
  size_t next;     /* where the next word begins; 0: a sign follows */
} candidate;

static bool find_follower(candidate *c, const text *t) {
  size_t sign = sign_at(t, c->at + 1), blank = c->at + 1 < t->length ? blanks(t, c->at + 1) : 0;
  c->next = 0;
  c->follows = c->at + 1 + sign;
  if (sign > 0) return true;
  if (blank == 0 || c->at + 1 + blank >= t->length) return false;
  c->next = c->follows = c->at + 1 + blank;
  while (c->follows < t->length && blanks(t, c->follows) == 0) c->follows++;
  return true;
}

/* Behind the last ASCII blank between the sign before and this one; where there is none, where the
 * word before began. */
static size_t word_before(const text *t, const candidate *before, size_t at) {
  for (size_t i = at; i > before->at + 1; i--)
    if (t->bytes[i - 1] == ' ' || (t->bytes[i - 1] >= '\t' && t->bytes[i - 1] <= '\r')) return i;
  return before->word;
}

typedef struct splitting {
  const text *t;
  size_t begin;   /* of the sentence that is open */
  size_t skipped; /* of its first bytes, those that belong to the one before */
  size_t held_end;
  bool held; /* a sentence [.., held_end) waits for closing signs behind it */
  size_t count;
} splitting;

/* Bytes of closing signs and the blanks behind them at the beginning of [begin, end), 0: none that
 * end there. */
static size_t closing_at(const text *all, size_t begin, size_t end) {
  text t = *all;
  t.length = end;
  for (size_t at = begin, size; at < end; at += size) {
    uint32_t point = point_at(&t, at, &size);
    if (!(point < 0x80 ? point != 0 && strchr("\"')]}", (int)point) != NULL : is_quote(point)))
      return 0;
    size_t next = at + size, blank = next < end ? blanks(&t, next) : 0;
    bool dashes = next + 1 < end && t.bytes[next] == '-' && t.bytes[next + 1] == '-';
    if (next == end || blank > 0 || dashes) return next + blank - begin;
  }
  return 0;
}

/* A sentence [begin, end) follows the held one, which takes the closing signs at its beginning. */
static void add_sentence(splitting *s, size_t begin, size_t end) {
  size_t taken = s->held ? closing_at(s->t, begin, end) : 0;
  if (s->held) s->count += taken > 0 || s->begin + s->skipped < s->held_end;
  s->held = true;
  s->begin = begin;
  s->skipped = taken;
  s->held_end = end;
}

static zh_status split(splitting *s) {
  const text *t = s->t;
  candidate before = {0}, c = {0};
  size_t begin = 0;
  bool any = false, breaks;
  for (size_t at = 0; at <= t->length; at++) {
    bool last = at == t->length;
    c = (candidate){.at = at};
    if (!last && (!is_end(t->bytes[at]) || !find_follower(&c, t))) continue;
    c.word = last ? at : any ? word_before(t, &before, at) : word_before(t, &(candidate){0}, at);
    if (any && (last || before.at <= c.word)) {
      ZH_TRY(has_break(&breaks, t, before.word, before.follows));
      if (breaks) add_sentence(s, begin, before.at + 1);
      if (breaks) begin = before.next > 0 ? before.next : before.at + 1;
    }
    before = c;
    any = !last;
  }
  size_t end = zh_python_rstrip(t->bytes, t->length);
  add_sentence(s, begin, end > begin ? end : begin);
  s->count += s->begin + s->skipped < s->held_end;
  return ZH_OK;
}

zh_status zh_sentence_count(size_t *out, const json_t *value, zh_error *err) {
  text t = {.bytes = json_string_value(value), .length = json_string_length(value), .err = err};
  *out = 0;
  ZH_TRY(zh_language_words(&t.abbreviations, "abbreviations", err));
  ZH_TRY(zh_language_words(&t.beginnings, "beginnings", err));
  splitting s = {.t = &t};
  ZH_TRY(split(&s));
  *out = s.count;
  return ZH_OK;
}
