#include "bench/quality/instructions.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/language.h"
#include "bench/quality/python_values.h"
#include "core/regex.h"
#include "core/text.h"

static zh_status no_memory(const zh_instruction *i) {
  return zh_fail(i->err, ZH_ERR_MEMORY, "out of memory (instructions)");
}

/* ---- what an item says of its instruction ---- */

zh_status zh_instruction_word(const char **out, const zh_instruction *i, const char *key) {
  const json_t *value = json_object_get(i->kwargs, key);
  *out = json_string_value(value);
  if (*out && **out) return ZH_OK;
  return zh_fail(i->err, ZH_ERR_INPUT, "its '%s' must be a text", key);
}

zh_status zh_instruction_number(size_t *out, const zh_instruction *i, const char *key) {
  const json_t *value = json_object_get(i->kwargs, key);
  double number = json_number_value(value);
  *out = (size_t)(number > 0 && number < 1e9 ? number : 0);
  if (json_is_number(value) && *out > 0 && (double)*out == number) return ZH_OK;
  return zh_fail(i->err, ZH_ERR_INPUT, "its '%s' must be a whole number above 0", key);
}

zh_status zh_instruction_compare(bool *out, const zh_instruction *i, size_t count,
                                 const char *number, const char *relation) {
  size_t bound;
  const char *word;
  ZH_TRY(zh_instruction_number(&bound, i, number));
  ZH_TRY(zh_instruction_word(&word, i, relation));
  bool less = strcmp(word, "less than") == 0;
  if (!less && strcmp(word, "at least") != 0)
    return zh_fail(i->err, ZH_ERR_INPUT,
                   "its '%s' is '%.40s'; 'less than' or 'at least' was "
                   "expected",
                   relation, word);
  *out = less ? count < bound : count >= bound;
  return ZH_OK;
}

zh_status zh_instruction_matches(size_t *out, const zh_instruction *i, const char *pattern,
                                 bool ignore_case) {
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true;
  *out = 0;
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), ignore_case, i->err));
  zh_status status = ZH_OK;
  while (status == ZH_OK && found) {
    status = zh_regex_next(&found, spans, &walk, regex, i->text, i->length, i->err);
    *out += status == ZH_OK && found;
  }
  zh_regex_free(regex);
  return status;
}

/* ---- words ---- */

/* How many of the words of a list, as patterns between `edges`, occur at all. */
static zh_status count_present(size_t *present, size_t *count, const zh_instruction *i,
                               const char *key, const char *edges) {
  const json_t *list = json_object_get(i->kwargs, key);
  *present = 0;
  *count = json_array_size(list);
  if (*count == 0) return zh_fail(i->err, ZH_ERR_INPUT, "its '%s' must be a list of texts", key);
  for (size_t k = 0; k < *count; k++) {
    const char *word = json_string_value(json_array_get(list, k));
    zh_text pattern = {0};
    size_t matches = 0;
    if (!word) return zh_fail(i->err, ZH_ERR_INPUT, "its '%s' must be a list of texts", key);
    zh_text_printf(&pattern, "%s%s%s", edges, word, edges);
    zh_status status = pattern.failed
                           ? no_memory(i)
                           : zh_instruction_matches(&matches, i, zh_text_string(&pattern), true);
    zh_text_free(&pattern);
    ZH_TRY(status);
    *present += matches > 0;
  }
  return ZH_OK;
}

static zh_status has_keywords(bool *out, const zh_instruction *i) {
  size_t present, count;
  ZH_TRY(count_present(&present, &count, i, "keywords", ""));
  *out = present == count;
  return ZH_OK;
}

static zh_status has_no_forbidden(bool *out, const zh_instruction *i) {
  size_t present, count;
  ZH_TRY(count_present(&present, &count, i, "forbidden_words", "\\b"));
  *out = present == 0;
  return ZH_OK;
}

static zh_status keyword_frequency(bool *out, const zh_instruction *i) {
  const char *word;
  size_t count;
  ZH_TRY(zh_instruction_word(&word, i, "keyword"));
  size_t length = strlen(word);
  zh_python_strip(&word, &length);
  char *pattern = strndup(word, length);
  zh_status status = pattern ? zh_instruction_matches(&count, i, pattern, true) : no_memory(i);
  free(pattern);
  ZH_TRY(status);
  return zh_instruction_compare(out, i, count, "frequency", "relation");
}

/* One letter, whatever its case. Other signs that items name are counted as well. */
static zh_status letter_frequency(bool *out, const zh_instruction *i) {
  const char *letter;
  json_t *small = NULL, *text = NULL;
  size_t count = 0;
  ZH_TRY(zh_instruction_word(&letter, i, "letter"));
  if (zh_code_points(letter, strlen(letter)) != 1)
    return zh_fail(i->err, ZH_ERR_INPUT, "its 'letter' is '%.20s'; one letter was expected",
                   letter);
  zh_status status = zh_python_case(&small, json_object_get(i->kwargs, "letter"), false, i->err);
  if (status == ZH_OK) status = zh_python_case(&text, i->answer, false, i->err);
  const char *at = json_string_value(text), *wanted = json_string_value(small);
  for (; status == ZH_OK && (at = strstr(at, wanted)) != NULL; at += strlen(wanted)) count++;
  json_decref(small);
  json_decref(text);
  ZH_TRY(status);
  return zh_instruction_compare(out, i, count, "let_frequency", "let_relation");
}

/* As NLTK cuts words since 3.10: vowel signs belong to them. */
static zh_status number_words(bool *out, const zh_instruction *i) {
  size_t count;
  ZH_TRY(zh_instruction_matches(&count, i, "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]+", false));
  return zh_instruction_compare(out, i, count, "num_words", "relation");
}

static zh_status number_sentences(bool *out, const zh_instruction *i) {
  size_t count;
  ZH_TRY(zh_sentence_count(&count, i->answer, i->err));
  return zh_instruction_compare(out, i, count, "num_sentences", "relation");
}

/* ---- languages and letters ---- */

/* A text without letters of any language follows. */
static zh_status response_language(bool *out, const zh_instruction *i) {
  const char *wanted, *found;
  ZH_TRY(zh_instruction_word(&wanted, i, "language"));
  ZH_TRY(zh_language_of(&found, i->answer, i->err));
  *out = !*found || strncmp(wanted, found, strlen(found)) == 0; /* zh-cn is zh */
  return ZH_OK;
}

static zh_status english_case(bool *out, const zh_instruction *i, bool upper) {
  const char *found = "";
  ZH_TRY(zh_python_is_case(out, i->answer, upper, i->err));
  if (*out) ZH_TRY(zh_language_of(&found, i->answer, i->err));
  *out = *out && (!*found || strcmp(found, "en") == 0);
  return ZH_OK;
}

static zh_status english_capital(bool *out, const zh_instruction *i) {
  return english_case(out, i, true);
}

static zh_status english_lowercase(bool *out, const zh_instruction *i) {
  return english_case(out, i, false);
}

/* Words as the Penn Treebank cuts them: signs by themselves, and "'s", "n't" and the like. */
static zh_status capital_words(bool *out, const zh_instruction *i) {
  static const char pattern[] =
      "(?i)n't(?!\\w)|'(?:s|m|d|ll|re|ve)(?!\\w)|"
      "(?:(?!n't(?!\\w)|'(?:s|m|d|ll|re|ve)(?!\\w)|--|\\.\\.)"
      "[^\\s\\[\\](){}<>;@#$%&?!*,:\"`\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u2012-\u2015]|"
      "[:,](?=\\d))+";
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true, upper;
  size_t count = 0;
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, i->err));
  zh_status status = ZH_OK;
  while (status == ZH_OK) {
    status = zh_regex_next(&found, spans, &walk, regex, i->text, i->length, i->err);
    if (status != ZH_OK || !found) break;
    json_t *word = json_stringn(i->text + spans[0].begin, spans[0].end - spans[0].begin);
    status = word ? zh_python_is_case(&upper, word, true, i->err) : no_memory(i);
    count += status == ZH_OK && upper;
    json_decref(word);
  }
  zh_regex_free(regex);
  ZH_TRY(status);
  return zh_instruction_compare(out, i, count, "capital_frequency", "capital_relation");
}

static const struct {
  const char *id;
  zh_instruction_check check;
} checks[] = {{"keywords:existence", has_keywords},
              {"keywords:frequency", keyword_frequency},
              {"keywords:forbidden_words", has_no_forbidden},
              {"keywords:letter_frequency", letter_frequency},
              {"language:response_language", response_language},
              {"length_constraints:number_words", number_words},
              {"length_constraints:number_sentences", number_sentences},
              {"change_case:capital_word_frequency", capital_words},
              {"change_case:english_capital", english_capital},
              {"change_case:english_lowercase", english_lowercase}};

zh_status zh_instruction_followed(bool *out, const char *id, const json_t *kwargs,
                                  const json_t *answer, zh_error *err) {
  zh_instruction i = {.kwargs = kwargs,
                      .answer = answer,
                      .text = json_string_value(answer),
                      .length = json_string_length(answer),
                      .err = err};
  zh_instruction_check check = zh_instruction_form(id);
  for (size_t k = 0; k < sizeof checks / sizeof checks[0]; k++)
    if (strcmp(checks[k].id, id) == 0) check = checks[k].check;
  *out = false;
  if (!check) return zh_fail(err, ZH_ERR_INPUT, "the instruction '%.80s' is not known", id);
  zh_status status = check(out, &i);
  if (status != ZH_OK) zh_error_prefix(err, "instruction %s", id);
  return status;
}
