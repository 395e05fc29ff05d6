#include "model/tokenizer/normalizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/tokenizer/characters.h"

void zh_normalizer_clear(zh_normalizer *n) {
  for (int i = 0; i < n->count; i++) zh_pattern_free(n->steps[i].pattern);
  n->count = 0;
}

static bool is_ascii(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (text[i] & 0x80) return false;
  return true;
}

/* Nearly all text is in NFC already. */
static bool is_composed(const char *text, size_t length) {
  const uint16_t *table = zh_characters();
  for (size_t i = 0; i < length;) {
    uint32_t character;
    i += zh_character_at(&character, text + i);
    if (character >= 0x300 && (zh_bits_of(table, character) & ZH_UNSETTLED)) return false;
  }
  return true;
}

/* Control characters of utf8proc_map are none of the options: nothing is stripped. */
static zh_status normal_form(zh_text *out, zh_normal_kind kind, const char *text, size_t length,
                             zh_error *err) {
  static const utf8proc_option_t options[] = {
      [ZH_NORMAL_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
      [ZH_NORMAL_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
      [ZH_NORMAL_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
      [ZH_NORMAL_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
  };
  utf8proc_uint8_t *made = NULL;
  utf8proc_ssize_t count =
      utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &made, options[kind]);
  if (count < 0)
    return zh_fail(err, count == UTF8PROC_ERROR_NOMEM ? ZH_ERR_MEMORY : ZH_ERR_INPUT,
                   "the text cannot be normalized: %s", utf8proc_errmsg(count));
  zh_text_append(out, (const char *)made, (size_t)count);
  free(made);
  return ZH_OK;
}

/* Unicode's full lower case of one character; only U+0130 becomes two. */
static void lowercase(zh_text *out, const char *text, size_t length) {
  for (size_t i = 0; i < length;) {
    uint32_t character;
    char bytes[4];
    i += zh_character_at(&character, text + i);
    if (character == 0x130) {
      zh_text_append(out, "i\xcc\x87", 3);
      continue;
    }
    uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)character);
    zh_text_append(out, bytes, (size_t)zh_utf8_encode(bytes, lower));
  }
}

/* A byte by a short text, as spaces are by U+2581: there are so many that each must cost little. */
void zh_replace_byte(zh_text *out, char wanted, const zh_slice *replacement, const char *text,
                     size_t length) {
  char room[4096];
  size_t filled = 0;
  for (size_t i = 0; i < length; i++) {
    if (filled + replacement->length >= sizeof room) {
      zh_text_append(out, room, filled);
      filled = 0;
    }
    if (text[i] != wanted) {
      room[filled++] = text[i];
      continue;
    }
    for (uint32_t k = 0; k < replacement->length; k++) room[filled++] = replacement->bytes[k];
  }
  zh_text_append(out, room, filled);
}

static void replace(zh_text *out, const zh_slice *wanted, const zh_slice *replacement,
                    const char *text, size_t length) {
  enum { SHORT = 64 };
  if (wanted->length == 1 && replacement->length <= SHORT) {
    zh_replace_byte(out, wanted->bytes[0], replacement, text, length);
    return;
  }
  while (wanted->length > 0) {
    const char *found = memmem(text, length, wanted->bytes, wanted->length);
    if (found == NULL) break;
    size_t before = (size_t)(found - text);
    zh_text_append(out, text, before);
    zh_text_append(out, replacement->bytes, replacement->length);
    text += before + wanted->length;
    length -= before + wanted->length;
  }
  zh_text_append(out, text, length);
}

static zh_status replace_pattern(zh_text *out, const zh_normal_step *step, const char *text,
                                 size_t length, zh_error *err) {
  zh_pattern_walk walk;
  zh_span span;
  bool more = true;
  size_t done = 0;
  ZH_TRY(zh_pattern_begin(&walk, step->pattern, text, length, err));
  zh_status status = zh_pattern_next(&span, &more, &walk, err);
  while (status == ZH_OK && more) {
    zh_text_append(out, text + done, span.begin - done);
    zh_text_append(out, step->replacement.bytes, step->replacement.length);
    done = span.end;
    status = zh_pattern_next(&span, &more, &walk, err);
  }
  zh_pattern_end(&walk);
  zh_text_append(out, text + done, length - done);
  return status;
}

static void strip(const char **text, size_t *length, bool left, bool right) {
  const uint16_t *table = zh_characters();
  uint32_t character;
  while (left && *length > 0) {
    unsigned step = zh_character_at(&character, *text);
    if (!(zh_bits_of(table, character) & ZH_SPACE)) break;
    *text += step;
    *length -= step;
  }
  while (right && *length > 0) {
    size_t last = *length - 1;
    while (last > 0 && zh_is_continuation((*text)[last])) last--;
    zh_character_at(&character, *text + last);
    if (!(zh_bits_of(table, character) & ZH_SPACE)) break;
    *length = last;
  }
}

/* Bytes of the grapheme cluster that text begins with. */
static size_t cluster(const char *text, size_t length) {
  uint32_t character, next;
  utf8proc_int32_t state = 0;
  size_t end = zh_character_at(&character, text);
  while (end < length) {
    unsigned step = zh_character_at(&next, text + end);
    if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)character, (utf8proc_int32_t)next,
                                         &state))
      break;
    character = next;
    end += step;
  }
  return end;
}

static void map_characters(zh_text *out, const zh_charsmap *map, const char *text, size_t length) {
  enum { WHOLE_BELOW = 6 };
  zh_slice made;
  for (size_t i = 0; i < length;) {
    size_t end = i + cluster(text + i, length - i);
    if (end - i < WHOLE_BELOW && zh_charsmap_find(&made, map, text + i, end - i, false) != 0) {
      zh_text_append(out, made.bytes, made.length);
      i = end;
    }
    while (i < end) {
      uint32_t character;
      unsigned step = zh_character_at(&character, text + i);
      if (zh_charsmap_find(&made, map, text + i, step, false) != 0)
        zh_text_append(out, made.bytes, made.length);
      else
        zh_text_append(out, text + i, step);
      i += step;
    }
  }
}

static bool changes_nothing(const zh_normal_step *step, const char *text, size_t length) {
  switch (step->kind) {
  case ZH_NORMAL_NFC:
    return is_composed(text, length);
  case ZH_NORMAL_NFD:
  case ZH_NORMAL_NFKC:
  case ZH_NORMAL_NFKD:
    return is_ascii(text, length);
  case ZH_NORMAL_PREPEND:
    return length == 0;
  default:
    return false;
  }
}

static zh_status apply(zh_text *out, const zh_normal_step *step, const char *text, size_t length,
                       zh_error *err) {
  switch (step->kind) {
  case ZH_NORMAL_NFC:
  case ZH_NORMAL_NFD:
  case ZH_NORMAL_NFKC:
  case ZH_NORMAL_NFKD:
    return normal_form(out, step->kind, text, length, err);
  case ZH_NORMAL_LOWERCASE:
    lowercase(out, text, length);
    return ZH_OK;
  case ZH_NORMAL_PREPEND:
    zh_text_append(out, step->replacement.bytes, step->replacement.length);
    zh_text_append(out, text, length);
    return ZH_OK;
  case ZH_NORMAL_REPLACE:
    replace(out, &step->wanted, &step->replacement, text, length);
    return ZH_OK;
  case ZH_NORMAL_REPLACE_PATTERN:
    return replace_pattern(out, step, text, length, err);
  case ZH_NORMAL_STRIP:
    strip(&text, &length, step->left, step->right);
    zh_text_append(out, text, length);
    return ZH_OK;
  case ZH_NORMAL_CHARSMAP:
    map_characters(out, &step->charsmap, text, length);
    return ZH_OK;
  case ZH_NORMAL_SENTENCEPIECE:
    zh_sentencepiece_normalize(out, &step->rules, text, length);
    return ZH_OK;
  }
  return ZH_OK;
}

zh_status zh_normalize(const char **text, size_t *length, const zh_normalizer *n, zh_text rooms[2],
                       zh_error *err) {
  int next = 0;
  for (int i = 0; i < n->count; i++) {
    if (changes_nothing(&n->steps[i], *text, *length)) continue;
    zh_text *room = &rooms[next];
    room->length = 0;
    ZH_TRY(apply(room, &n->steps[i], *text, *length, err));
    if (room->failed) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (normalizer)");
    *text = zh_text_string(room);
    *length = room->length;
    next = 1 - next;
  }
  return ZH_OK;
}
