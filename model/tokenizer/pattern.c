#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/published.h"

struct zh_pattern {
  zh_find_word find; /* NULL: code */
  pcre2_code *code;
  pcre2_match_context *limits;
};

static const struct {
  const char *regex;
  zh_find_word find;
} known[] = {
    {ZH_GPT2_WORDS, zh_find_gpt2},
    {ZH_GPT4_WORDS("\\p{N}"), zh_find_gpt4_digit},
    {ZH_GPT4_WORDS("\\p{N}{1,3}"), zh_find_gpt4_three},
    {ZH_GPT4_WORDS("\\p{N}+"), zh_find_gpt4_digits},
    {ZH_QWEN35_WORDS, zh_find_qwen35},
    {ZH_O200K_WORDS, zh_find_o200k},
    {ZH_TEKKEN_WORDS, zh_find_tekken},
    {ZH_DEEPSEEK3_WORDS, zh_find_deepseek3},
    {"\\p{N}", zh_find_digit},
    {"\\p{N}{1,3}", zh_find_three_digits},
    {"\\p{N}+", zh_find_digits},
    {ZH_CJK_KANA, zh_find_cjk_kana},
    {ZH_CJK_WIDE, zh_find_cjk_wide},
    {"[\\r\\n]", zh_find_newline},
    {"\\s?\\p{L}+", zh_find_space_letters},
    {"\\s?\\p{P}+", zh_find_space_punctuation},
    {"\\S+", zh_find_no_space},
};
enum { KNOWN = sizeof known / sizeof known[0] };

const char *zh_pattern_known(size_t i) {
  return i < KNOWN ? known[i].regex : NULL;
}

/* Some files write CR and LF as themselves, some escape them. */
static void plain(zh_text *out, const char *regex, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (regex[i] == '\r')
      zh_text_puts(out, "\\r");
    else if (regex[i] == '\n')
      zh_text_puts(out, "\\n");
    else
      zh_text_append(out, regex + i, 1);
  }
}

/* --- PCRE2 for the others --- */

/* Of scripts PCRE2 takes characters that are also used in one ("。" for Han), Oniguruma those that
 * are of it. Returns how many bytes of the pattern were taken. */
static size_t translate_script(zh_text *out, const char *at) {
  static const char *const scripts[] = {"Han",    "Hiragana", "Katakana",  "Hangul",
                                        "Latin",  "Greek",    "Cyrillic",  "Arabic",
                                        "Hebrew", "Thai",     "Devanagari"};
  for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
    size_t length = strlen(scripts[i]);
    bool negated = at[1] == '{' && at[2] == '^';
    const char *name = at + 2 + negated;
    if (at[1] != '{' || strncmp(name, scripts[i], length) != 0 || name[length] != '}') continue;
    zh_text_printf(out, "\\%c{%ssc:%s}", *at, negated ? "^" : "", scripts[i]);
    return (size_t)(name + length - at);
  }
  return 0;
}

/* \s is Unicode's White_Space: PCRE2's would count U+180E too. Letters that mean something else in
 * Oniguruma, or whose meaning differs, are refused. */
static bool translate(zh_text *out, const char *regex, char refused[16]) {
  for (const char *c = regex; *c != '\0'; c++) {
    if (c[0] == '&' && c[1] == '&') {
      strcpy(refused, "&&");
      return false;
    }
    if (*c != '\\' || c[1] == '\0') {
      zh_text_append(out, c, 1);
      continue;
    }
    c++;
    if (*c == 's' || *c == 'S') {
      zh_text_puts(out, *c == 's' ? "\\p{White_Space}" : "\\P{White_Space}");
    } else if ((*c == 'p' || *c == 'P') && translate_script(out, c) != 0) {
      c = strchr(c, '}');
    } else if (strchr("hHwWbBRXkKgGOyY", *c) != NULL) {
      refused[0] = '\\', refused[1] = *c, refused[2] = '\0';
      return false;
    } else {
      zh_text_append(out, c - 1, 2);
    }
  }
  return true;
}

static zh_status compile(zh_pattern *p, const char *regex, zh_error *err) {
  int code;
  PCRE2_SIZE at;
  enum { MATCH_LIMIT = 10 * 1000 * 1000, DEPTH_LIMIT = 10 * 1000 };
  p->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code,
                          &at, NULL);
  if (p->code == NULL) {
    char words[128];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
    return zh_fail(err, ZH_ERR_INPUT,
                   "the tokenizer's pattern '%.60s' is no regular expression that this version "
                   "understands (%s)",
                   regex, words);
  }
  /* Where the system forbids code made at run time, PCRE2 interprets instead. */
  (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
  p->limits = pcre2_match_context_create(NULL);
  if (p->limits == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (pattern)");
  pcre2_set_match_limit(p->limits, MATCH_LIMIT);
  pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
  return ZH_OK;
}

static zh_status compile_other(zh_pattern *p, const char *regex, zh_error *err) {
  zh_text translated = {0};
  char refused[16];
  zh_status status =
      translate(&translated, regex, refused)
          ? compile(p, zh_text_string(&translated), err)
          : zh_fail(err, ZH_ERR_INPUT,
                    "the tokenizer's pattern '%.60s' has '%s', which this version does not support",
                    regex, refused);
  if (translated.failed) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (pattern)");
  zh_text_free(&translated);
  return status;
}

zh_status zh_pattern_create(zh_pattern **out, const char *regex, size_t length, bool by_hand,
                            zh_error *err) {
  enum { LONGEST = 16 * 1024 };
  zh_text text = {0};
  zh_pattern *p = calloc(1, sizeof *p);
  zh_status status = p != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (pattern)");
  *out = NULL;
  if (status == ZH_OK && (length > LONGEST || memchr(regex, '\0', length) != NULL))
    status = zh_fail(err, ZH_ERR_INPUT,
                     "a tokenizer's pattern of %zu bytes is no text of at most %d bytes", length,
                     LONGEST);
  if (status != ZH_OK) goto done;
  plain(&text, regex, length);
  for (size_t i = 0; by_hand && i < KNOWN; i++)
    if (strcmp(known[i].regex, zh_text_string(&text)) == 0) p->find = known[i].find;
  if (p->find == NULL) status = compile_other(p, zh_text_string(&text), err);
done:
  zh_text_free(&text);
  if (status == ZH_OK)
    *out = p;
  else
    zh_pattern_free(p);
  return status;
}

void zh_pattern_free(zh_pattern *p) {
  if (p == NULL) return;
  pcre2_code_free(p->code);
  pcre2_match_context_free(p->limits);
  free(p);
}

zh_find_word zh_pattern_by_hand(const zh_pattern *pattern) {
  return pattern->find;
}

zh_status zh_pattern_begin(zh_pattern_walk *w, const zh_pattern *pattern, const char *text,
                           size_t length, zh_error *err) {
  *w = (zh_pattern_walk){.pattern = pattern, .text = text, .length = length};
  if (pattern->find != NULL) return ZH_OK;
  w->match = pcre2_match_data_create(1, NULL);
  return w->match != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (pattern)");
}

zh_status zh_pattern_next(zh_span *out, bool *more, zh_pattern_walk *w, zh_error *err) {
  if (w->pattern->find != NULL) {
    *more = w->pattern->find(out, w->text, w->length, w->at);
    if (*more) w->at = out->end;
    return ZH_OK;
  }
  int found = pcre2_match(w->pattern->code, (PCRE2_SPTR)w->text, w->length, w->at,
                          PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, w->match, w->pattern->limits);
  *more = found >= 0;
  if (found == PCRE2_ERROR_NOMATCH) return ZH_OK;
  if (found < 0)
    return zh_fail(err, ZH_ERR_INPUT, "the text cannot be split into words (PCRE2 error %d)",
                   found);
  const PCRE2_SIZE *span = pcre2_get_ovector_pointer(w->match);
  *out = (zh_span){span[0], span[1]};
  if (out->end <= out->begin || out->begin < w->at) { /* \K and look-behinds can do that */
    *more = false;
    return ZH_OK;
  }
  w->at = out->end;
  return ZH_OK;
}

void zh_pattern_end(zh_pattern_walk *w) {
  pcre2_match_data_free(w->match);
}
