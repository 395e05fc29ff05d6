#include <stdbool.h>
#include <string.h>

#include "bench/quality/checked.h"
#include "bench/quality/python_values.h"
#include "core/text.h"

/* Text within an answer; not terminated. */
typedef struct span {
  const char *at;
  size_t length;
} span;

static bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
}

/* ---- words ---- */

static bool stands_at(const span *s, size_t at, const char *word, size_t length, bool whole) {
  for (size_t i = 0; i < length; i++)
    if (whole ? lower(s->at[at + i]) != lower(word[i]) : s->at[at + i] != word[i]) return false;
  if (!whole) return true;
  bool joined = at > 0 && is_letter_or_digit(s->at[at - 1]);
  return !joined && (at + length == s->length || !is_letter_or_digit(s->at[at + length]));
}

/* A word of Latin letters stands by itself, in whatever case; other text stands anywhere. */
static bool has_word(const span *s, const char *word) {
  size_t length = strlen(word);
  bool whole = is_letter_or_digit(word[0]);
  for (size_t at = 0; length > 0 && at + length <= s->length; at++)
    if (stands_at(s, at, word, length, whole)) return true;
  return false;
}

static bool begins(const span *s, const char *text) {
  size_t length = strlen(text);
  return length <= s->length && memcmp(s->at, text, length) == 0;
}

static bool ends(const span *s, const char *text) {
  size_t length = strlen(text);
  return length <= s->length && memcmp(s->at + s->length - length, text, length) == 0;
}

/* ---- sentences ---- */

static bool is_end(uint32_t c) {
  return c == '!' || c == '?' || c == 0x3002 || c == 0xFF01 || c == 0xFF1F; /* 。！？ */
}

/* Quotes and brackets that may stand between a sentence and the next. */
static bool is_cover(uint32_t c) {
  return c == '"' || c == '\'' || c == '(' || c == ')' || c == '[' || c == ']' ||
         (c >= 0x2018 && c <= 0x201F) || (c >= 0x3008 && c <= 0x3011) || c == 0xFF08 || c == 0xFF09;
}

/* A point ends a sentence unless something else follows at once, as in 3.5. */
static bool point_ends(const span *s, size_t behind) {
  uint32_t c = 0;
  if (behind >= s->length || zh_python_lstrip(s->at + behind, s->length - behind) > 0) return true;
  (void)zh_utf8_decode(&c, s->at + behind, s->length - behind);
  return c == '.' || is_end(c) || is_cover(c);
}

/* What stands behind the last mark counts as one, too. */
static json_int_t sentences_of(const span *s) {
  json_int_t count = 0;
  bool open = false;
  for (size_t at = 0; at < s->length;) {
    uint32_t c = 0;
    size_t blank = zh_python_lstrip(s->at + at, s->length - at);
    int size = zh_utf8_decode(&c, s->at + at, s->length - at);
    size_t behind = at + (blank > 0 ? blank : size > 0 ? (size_t)size : 1);
    if (is_end(c) || (c == '.' && point_ends(s, behind))) {
      count += open;
      open = false;
    } else if (blank == 0 && !is_cover(c) && c != '.') {
      open = true;
    }
    at = behind;
  }
  return count + open;
}

/* ---- how long ---- */

static bool is_character(uint32_t c) {
  return (c >= 0x3040 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF);
}

/* Apostrophes and hyphens join: Xi'an and well-known are a word each. */
static bool is_punctuation(uint32_t c) {
  if (c < 128) return !is_letter_or_digit((char)c) && c != '\'' && c != '-';
  return (c >= 0x2010 && c <= 0x205E) || (c >= 0x3000 && c <= 0x303F) ||
         (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF20) ||
         (c >= 0xFF3B && c <= 0xFF40) || (c >= 0xFF5B && c <= 0xFF65);
}

size_t zh_words_and_characters(const char *text, size_t length) {
  size_t count = 0;
  bool within = false;
  for (size_t at = 0; at < length;) {
    uint32_t c = 0;
    int size = zh_utf8_decode(&c, text + at, length - at);
    bool gap = zh_python_lstrip(text + at, length - at) > 0 || is_punctuation(c);
    count += is_character(c) || (!gap && !within);
    within = !gap && !is_character(c);
    at += size > 0 ? (size_t)size : 1;
  }
  return count;
}

/* ---- lists ---- */

/* A JSON list of so many texts, none empty, no two the same. */
static bool is_list_of(const span *s, json_int_t count) {
  zh_error ignored = ZH_ERROR_INIT;
  json_t *list;
  if (zh_json_load_text(&list, s->at, s->length, "answer", &ignored) != ZH_OK) return false;
  bool good = json_is_array(list) && (json_int_t)json_array_size(list) == count;
  for (size_t i = 0; good && i < json_array_size(list); i++) {
    const json_t *item = json_array_get(list, i);
    good = json_is_string(item) && json_string_length(item) > 0;
    for (size_t k = 0; good && k < i; k++) good = !json_equal(item, json_array_get(list, k));
  }
  json_decref(list);
  return good;
}

/* ---- all of them ---- */

static zh_status is_kept(bool *out, const json_t *condition, const span *s, zh_error *err) {
  const char *kind = json_string_value(json_object_get(condition, "kind")),
             *text = json_string_value(json_object_get(condition, "text"));
  const json_t *count = json_object_get(condition, "count");
  json_int_t number = json_integer_value(count);
  bool counted = kind && json_is_integer(count), told = kind && text;
  if (counted && strcmp(kind, "sentences") == 0)
    *out = sentences_of(s) == number;
  else if (counted && strcmp(kind, "at_most") == 0)
    *out = (json_int_t)zh_words_and_characters(s->at, s->length) <= number;
  else if (counted && strcmp(kind, "list") == 0)
    *out = is_list_of(s, number);
  else if (told && strcmp(kind, "include") == 0)
    *out = has_word(s, text);
  else if (told && strcmp(kind, "exclude") == 0)
    *out = !has_word(s, text);
  else if (told && strcmp(kind, "start") == 0)
    *out = begins(s, text);
  else if (told && strcmp(kind, "end") == 0)
    *out = ends(s, text);
  else
    return zh_fail(err, ZH_ERR_INPUT, "the condition '%.40s' of an answer is not known",
                   kind ? kind : "");
  return ZH_OK;
}

zh_status zh_conditions_kept(bool *out, const char *conditions, const char *said, zh_error *err) {
  json_t *list;
  size_t length = strlen(said), left = zh_python_lstrip(said, length);
  span s = {said + left, zh_python_rstrip(said + left, length - left)};
  bool kept = s.length > 0; /* an empty answer avoids every word */
  *out = false;
  ZH_TRY(zh_json_load_text(&list, conditions, strlen(conditions), "conditions", err));
  zh_status status = json_is_array(list)
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_INPUT, "conditions of an answer must be a list");
  for (size_t i = 0; status == ZH_OK && kept && i < json_array_size(list); i++)
    status = is_kept(&kept, json_array_get(list, i), &s, err);
  json_decref(list);
  *out = status == ZH_OK && kept;
  return status;
}
