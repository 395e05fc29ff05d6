#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/regex.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN_BYTES = 1 << 16, STEPS_MAX = 10000000, HEAP_KIB = 64 << 10, DEPTH_MAX = 100000 };

struct zh_regex {
  pcre2_code *code;
  pcre2_match_context *bounds;
  uint32_t groups;
};

/* What Python writes otherwise: \Z is the very end, {,n} is {0,n}. */
static void translate(zh_text *out, const char *pattern, size_t length) {
  bool in_class = false;
  for (size_t i = 0; i < length; i++) {
    if (pattern[i] == '\\' && i + 1 < length) {
      char next = pattern[++i] == 'Z' && !in_class ? 'z' : pattern[i];
      zh_text_append(out, "\\", 1);
      zh_text_append(out, &next, 1);
      continue;
    }
    if (pattern[i] == '[' && !in_class) {
      in_class = true;
      /* A bracket that stands first is one of the characters. */
      size_t first = i + 1 + (i + 1 < length && pattern[i + 1] == '^');
      zh_text_append(out, pattern + i, first - i);
      if (first < length && pattern[first] == ']') zh_text_append(out, "\\]", 2), first++;
      i = first - 1;
      continue;
    }
    if (pattern[i] == ']') in_class = false;
    /* Python's sets do not nest. */
    if (in_class && pattern[i] == '[') zh_text_puts(out, "\\");
    zh_text_append(out, pattern + i, 1);
    if (!in_class && pattern[i] == '{' && i + 1 < length && pattern[i + 1] == ',')
      zh_text_puts(out, "0");
  }
}

static zh_status fail_to_compile(const char *pattern, size_t length, int code, size_t at,
                                 zh_error *err) {
  PCRE2_UCHAR why[160];
  pcre2_get_error_message(code, why, sizeof why);
  size_t shown = zh_utf8_valid_prefix(pattern, length < 120 ? length : 120);
  return zh_fail(err, ZH_ERR_INPUT, "the regular expression '%.*s' cannot be read: %s, at byte %zu",
                 (int)shown, pattern, (const char *)why, at);
}

zh_status zh_regex_compile(zh_regex **out, const char *pattern, size_t length, bool ignore_case,
                           zh_error *err) {
  *out = NULL;
  if (length > PATTERN_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "a regular expression of %zu bytes; at most %d are read",
                   length, PATTERN_BYTES);
  zh_text translated = {0};
  translate(&translated, pattern, length);
  zh_regex *regex = calloc(1, sizeof *regex);
  int code = 0;
  size_t at = 0;
  if (regex != NULL && !translated.failed) {
    uint32_t options = PCRE2_UTF | PCRE2_UCP | (ignore_case ? PCRE2_CASELESS : 0);
    pcre2_compile_context *how = pcre2_compile_context_create(NULL);
    if (how != NULL) pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    regex->code = pcre2_compile((PCRE2_SPTR)zh_text_string(&translated), translated.length, options,
                                &code, &at, how);
    pcre2_compile_context_free(how);
    regex->bounds = pcre2_match_context_create(NULL);
  }
  zh_text_free(&translated);
  if (regex != NULL && regex->code == NULL && code != 0) {
    zh_regex_free(regex);
    return fail_to_compile(pattern, length, code, at, err);
  }
  if (regex == NULL || regex->code == NULL || regex->bounds == NULL) {
    zh_regex_free(regex);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (regular expression)");
  }
  pcre2_set_match_limit(regex->bounds, STEPS_MAX);
  pcre2_set_heap_limit(regex->bounds, HEAP_KIB);
  pcre2_set_depth_limit(regex->bounds, DEPTH_MAX);
  pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
  if (regex->groups >= ZH_REGEX_GROUPS) {
    zh_regex_free(regex);
    return zh_fail(err, ZH_ERR_INPUT, "a regular expression with more than %d groups",
                   ZH_REGEX_GROUPS - 1);
  }
  *out = regex;
  return ZH_OK;
}

void zh_regex_free(zh_regex *regex) {
  if (regex == NULL) return;
  pcre2_code_free(regex->code);
  pcre2_match_context_free(regex->bounds);
  free(regex);
}

unsigned zh_regex_group_count(const zh_regex *regex) {
  return regex->groups;
}

zh_status zh_regex_next(bool *found, zh_regex_span spans[ZH_REGEX_GROUPS], zh_regex_walk *walk,
                        const zh_regex *regex, const char *text, size_t length, zh_error *err) {
  *found = false;
  if (walk->from > length) return ZH_OK;
  pcre2_match_data *data = pcre2_match_data_create(regex->groups + 1, NULL);
  if (data == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (regular expression)");
  uint32_t options = walk->must_advance ? PCRE2_NOTEMPTY_ATSTART : 0;
  int count = pcre2_match(regex->code, (PCRE2_SPTR)(text != NULL ? text : ""), length, walk->from,
                          options, data, regex->bounds);
  const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
  for (uint32_t i = 0; count > 0 && i <= regex->groups; i++) {
    bool took_part = (int)i < count && at[2 * i] != PCRE2_UNSET;
    spans[i].begin = took_part ? at[2 * i] : SIZE_MAX;
    spans[i].end = took_part ? at[2 * i + 1] : SIZE_MAX;
  }
  pcre2_match_data_free(data);
  if (count == PCRE2_ERROR_NOMATCH) {
    walk->from = SIZE_MAX;
    return ZH_OK;
  }
  if (count <= 0)
    return zh_fail(err, ZH_ERR_INPUT, "a regular expression takes too long on a text of %zu bytes",
                   length);
  *found = true;
  walk->must_advance = spans[0].end <= spans[0].begin;
  walk->from = spans[0].end;
  return ZH_OK;
}

/* Number of the group that "1" or a name means; -1: none. */
static int group_named(const zh_regex *regex, const char *name, size_t length) {
  char held[64];
  if (length == 0 || length >= sizeof held) return -1;
  memcpy(held, name, length);
  held[length] = 0;
  if (strspn(held, "0123456789") < length)
    return pcre2_substring_number_from_name(regex->code, (PCRE2_SPTR)held);
  long number = strtol(held, NULL, 10);
  return number >= 0 && number <= (long)regex->groups ? (int)number : -1;
}

/* One escape at replacement[*at], a backslash: a group, or the character it stands for. */
static zh_status append_escape(zh_text *out, size_t *at, const char *replacement,
                               const zh_regex *regex, const char *text, const zh_regex_span *spans,
                               zh_error *err) {
  const char *next = replacement + *at + 1, *end = NULL;
  int group = -1;
  if (*next == 'g' && next[1] == '<' && (end = strchr(next, '>')) != NULL) {
    group = group_named(regex, next + 2, (size_t)(end - next) - 2);
  } else if (*next >= '1' && *next <= '9') {
    end = next + (next[1] >= '0' && next[1] <= '9');
    group = group_named(regex, next, (size_t)(end - next) + 1);
  }
  if (end != NULL) {
    if (group < 0)
      return zh_fail(err, ZH_ERR_INPUT, "the replacement '%.80s' names a group that is not there",
                     replacement);
    if (spans[group].begin != SIZE_MAX)
      zh_text_append(out, text + spans[group].begin, spans[group].end - spans[group].begin);
    *at = (size_t)(end - replacement);
    return ZH_OK;
  }
  static const char letters[] = "nrtafv\\", meant[] = "\n\r\t\a\f\v\\";
  const char *letter = *next != 0 ? strchr(letters, *next) : NULL;
  if (letter == NULL && ((*next >= 'a' && *next <= 'z') || (*next >= 'A' && *next <= 'Z')))
    return zh_fail(err, ZH_ERR_INPUT, "the replacement '%.80s' has the unknown escape \\%c",
                   replacement, *next);
  if (letter != NULL) {
    zh_text_append(out, &meant[letter - letters], 1);
    ++*at;
  } else {
    zh_text_puts(out, "\\"); /* what follows is written as it stands */
  }
  return ZH_OK;
}

zh_status zh_regex_replace(zh_text *out, const zh_regex *regex, const char *text, size_t length,
                           const char *replacement, size_t count, zh_error *err) {
  zh_regex_walk walk = {0};
  zh_regex_span spans[ZH_REGEX_GROUPS];
  size_t done = 0;
  bool found = true;
  for (size_t made = 0; count == 0 || made < count; made++) {
    ZH_TRY(zh_regex_next(&found, spans, &walk, regex, text, length, err));
    if (!found) break;
    zh_text_append(out, text + done, spans[0].begin - done);
    for (size_t at = 0; replacement[at] != 0; at++) {
      if (replacement[at] == '\\') {
        ZH_TRY(append_escape(out, &at, replacement, regex, text, spans, err));
      } else {
        zh_text_append(out, replacement + at, 1);
      }
    }
    done = spans[0].end;
  }
  zh_text_append(out, text + done, length - done);
  return out->failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (regular expression)") : ZH_OK;
}
