/* BIG-Bench Hard: answers looked for in what a model says freely. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/english_numbers.h"
#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "core/regex.h"

enum { CHOICES_MAX = 26 };

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (filters of BBH)");
}

static const char *fallback_of(const json_t *options) {
  const char *word = json_string_value(json_object_get(options, "fallback"));
  return word ? word : "[invalid]";
}

/* ---- finding ---- */

/* Match `wanted` (from the end where below 0) of the pattern, without blanks around it: the whole,
 * its group, or the first group that is not empty. Empty: none. New reference. */
static zh_status find_match(json_t **out, const char *pattern, int64_t wanted, const char *text,
                            size_t length, zh_error *err) {
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true;
  int64_t count = 0;
  *out = NULL;
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, err));
  unsigned groups = zh_regex_group_count(regex);
  zh_status status = ZH_OK;
  const char *best = "";
  size_t size = 0;
  for (; status == ZH_OK && found; count++) {
    status = zh_regex_next(&found, spans, &walk, regex, text, length, err);
    if (status != ZH_OK || !found || (wanted >= 0 && count != wanted)) continue;
    size = 0;
    for (unsigned g = groups > 0; g <= groups; g++) {
      if (spans[g].begin == SIZE_MAX || spans[g].end == spans[g].begin) continue;
      best = text + spans[g].begin;
      size = spans[g].end - spans[g].begin;
      break;
    }
  }
  zh_regex_free(regex);
  ZH_TRY(status);
  zh_python_strip(&best, &size);
  *out = json_stringn(best, size);
  return *out ? ZH_OK : no_memory(err);
}

/* The text without what the filter's options say does not count. */
static zh_status plain_text(zh_text *out, const json_t *text, const json_t *options,
                            zh_error *err) {
  static const zh_rewrite punctuation = {"\\p{P}", "", true};
  const json_t *ignored = json_object_get(options, "regexes_to_ignore");
  zh_text_append(out, json_string_value(text), json_string_length(text));
  for (size_t i = 0; i < json_array_size(ignored); i++) {
    zh_rewrite step = {json_string_value(json_array_get(ignored, i)), "", true};
    if (!step.from) return zh_fail(err, ZH_ERR_INPUT, "regexes_to_ignore must be a list of texts");
    ZH_TRY(zh_rewrite_text(out, &step, 1, err));
  }
  if (json_is_true(json_object_get(options, "ignore_case"))) {
    json_t *held = json_stringn(zh_text_string(out), out->length), *lower;
    zh_status status = held ? zh_python_case(&lower, held, false, err) : no_memory(err);
    json_decref(held);
    ZH_TRY(status);
    out->length = 0;
    zh_text_append(out, json_string_value(lower), json_string_length(lower));
    json_decref(lower);
  }
  if (!json_is_true(json_object_get(options, "ignore_punctuation"))) return ZH_OK;
  return zh_rewrite_text(out, &punctuation, 1, err);
}

static void append_escaped(zh_text *out, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (strchr("\\^$.|?*+()[]{}#&~- \t\n\r\v\f", text[i])) zh_text_puts(out, "\\");
    zh_text_append(out, &text[i], 1);
  }
}

/* ---- answers by the letter or the words of an option ---- */

typedef struct choices {
  json_t *texts[CHOICES_MAX]; /* as they are looked for */
  size_t count;
} choices;

static void drop_choices(choices *c) {
  for (size_t i = 0; i < c->count; i++) json_decref(c->texts[i]);
}

/* "(A) …" lines of the question. */
static zh_status read_choices(choices *c, const json_t *doc, const json_t *options, zh_error *err) {
  static const char pattern[] = "\\([A-Z]\\)([^\\n^(]*)";
  const char *input;
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true;
  ZH_TRY(zh_function_text(&input, doc, "input", err));
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, err));
  zh_status status = ZH_OK;
  while (status == ZH_OK && c->count < CHOICES_MAX) {
    status = zh_regex_next(&found, spans, &walk, regex, input, strlen(input), err);
    if (status != ZH_OK || !found) break;
    const char *choice = input + spans[1].begin;
    size_t length = spans[1].end - spans[1].begin;
    zh_text plain = {0};
    zh_python_strip(&choice, &length);
    json_t *text = json_stringn(choice, length);
    status = text ? plain_text(&plain, text, options, err) : no_memory(err);
    json_decref(text);
    c->texts[c->count] = zh_rewritten(&plain);
    if (status == ZH_OK && !c->texts[c->count]) status = no_memory(err);
    c->count += c->texts[c->count] != NULL;
  }
  zh_regex_free(regex);
  return status;
}

/* a|b|c, the longest first, so that none hides one that it begins. */
static char *any_choice(const choices *c) {
  size_t order[CHOICES_MAX];
  zh_text out = {0};
  for (size_t i = 0; i < c->count; i++) {
    size_t at = i, length = json_string_length(c->texts[i]);
    for (; at > 0 && json_string_length(c->texts[order[at - 1]]) < length; at--)
      order[at] = order[at - 1];
    order[at] = i;
  }
  for (size_t i = 0; i < c->count; i++) {
    const json_t *text = c->texts[order[i]];
    if (i > 0) zh_text_puts(&out, "|");
    append_escaped(&out, json_string_value(text), json_string_length(text));
  }
  if (!out.failed && out.data) return out.data;
  zh_text_free(&out);
  return strdup("");
}

static json_t *letter_of(size_t i) {
  return json_sprintf("(%c)", (int)('A' + i));
}

/* Takes the match; an option's own words become its letter. Of equal ones the last. */
static json_t *by_words(json_t *match, const choices *c) {
  for (size_t i = c->count; i-- > 0;) {
    if (json_string_length(match) == 0 || !json_equal(match, c->texts[i])) continue;
    json_decref(match);
    return letter_of(i);
  }
  return match;
}

static zh_status find_words(json_t **out, const choices *c, int64_t wanted, const json_t *answer,
                            const json_t *options, zh_error *err) {
  zh_text plain = {0};
  char *pattern = any_choice(c);
  zh_status status = pattern ? plain_text(&plain, answer, options, err) : no_memory(err);
  if (status == ZH_OK)
    status = find_match(out, pattern, wanted, zh_text_string(&plain), plain.length, err);
  if (status == ZH_OK) *out = by_words(*out, c);
  free(pattern);
  zh_text_free(&plain);
  return status;
}

/* ": B" */
static zh_status find_letter(json_t **out, const choices *c, int64_t wanted, const json_t *answer,
                             zh_error *err) {
  char pattern[2 * CHOICES_MAX + 16] = ":[\\s]*(";
  size_t length = strlen(pattern);
  for (size_t i = 0; i < c->count; i++) {
    if (i > 0) pattern[length++] = '|';
    pattern[length++] = (char)('A' + i);
  }
  memcpy(pattern + length, ")", 2);
  json_t *letter;
  ZH_TRY(find_match(&letter, pattern, wanted, json_string_value(answer), json_string_length(answer),
                    err));
  *out = json_string_length(letter) == 0 ? json_incref(letter)
                                         : letter_of((size_t)(json_string_value(letter)[0] - 'A'));
  json_decref(letter);
  return *out ? ZH_OK : no_memory(err);
}

/* By the pattern, else by the words of an option, else by a letter behind a colon. */
static zh_status choose(json_t **out, const choices *c, const json_t *answer, const json_t *options,
                        zh_error *err) {
  const char *pattern = json_string_value(json_object_get(options, "regex_pattern"));
  int64_t wanted = json_integer_value(json_object_get(options, "group_select"));
  zh_status status = find_match(out, pattern ? pattern : "#### (\\-?[0-9\\.\\,]+)", wanted,
                                json_string_value(answer), json_string_length(answer), err);
  for (int way = 0; way < 2 && status == ZH_OK && json_string_length(*out) == 0; way++) {
    json_decref(*out);
    *out = NULL;
    status = way == 0 ? find_words(out, c, wanted, answer, options, err)
                      : find_letter(out, c, wanted, answer, err);
  }
  if (status != ZH_OK || json_string_length(*out) > 0) return status;
  json_decref(*out);
  *out = json_string(fallback_of(options));
  return *out ? ZH_OK : no_memory(err);
}

typedef zh_status (*one_answer)(json_t **out, const void *with, const json_t *answer,
                                const json_t *options, zh_error *err);

/* Each of the answers by itself. */
static zh_status each(json_t **out, const json_t *answers, one_answer filter, const void *with,
                      const json_t *options, zh_error *err) {
  zh_status status = ZH_OK;
  *out = json_array();
  for (size_t i = 0; status == ZH_OK && i < json_array_size(answers); i++) {
    const json_t *answer = json_array_get(answers, i);
    json_t *made = NULL;
    status = json_is_string(answer) ? filter(&made, with, answer, options, err)
                                    : zh_fail(err, ZH_ERR_INPUT, "an answer is no text");
    if (status == ZH_OK && json_array_append_new(*out, made) != 0) status = no_memory(err);
  }
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

static zh_status choose_one(json_t **out, const void *with, const json_t *answer,
                            const json_t *options, zh_error *err) {
  return choose(out, with, answer, options, err);
}

static zh_status by_choice(json_t **out, const zh_function_call *call, const json_t *answers,
                           const json_t *doc, zh_error *err) {
  choices c = {0};
  zh_status status = read_choices(&c, doc, call->options, err);
  if (status == ZH_OK) status = each(out, answers, choose_one, &c, call->options, err);
  drop_choices(&c);
  return status;
}

/* ---- answers by patterns, each of which stands for a value ---- */

/* regex_pattern_to_value: what any of the patterns finds first is given to each in turn. */
static zh_status map_one(json_t **out, const void *with, const json_t *answer,
                         const json_t *options, zh_error *err) {
  const json_t *values = with;
  zh_text plain = {0}, any = {0}, again = {0};
  json_t *whole = NULL, *value;
  const char *pattern;
  int64_t wanted = json_integer_value(json_object_get(options, "group_select"));
  json_object_foreach((json_t *)(uintptr_t)values, pattern, value)
      zh_text_printf(&any, "%s%s", any.length > 0 ? "|" : "", pattern);
  zh_status status = plain_text(&plain, answer, options, err);
  if (status == ZH_OK)
    status =
        find_match(&whole, zh_text_string(&any), wanted, zh_text_string(&plain), plain.length, err);
  if (status == ZH_OK) status = plain_text(&again, whole, options, err);
  json_object_foreach((json_t *)(uintptr_t)values, pattern, value) {
    json_t *match = NULL;
    if (status != ZH_OK || *out || json_string_length(whole) == 0) break;
    status = find_match(&match, pattern, wanted, zh_text_string(&again), again.length, err);
    if (json_string_length(match) > 0) *out = json_incref(value);
    json_decref(match);
  }
  if (status == ZH_OK && !*out) *out = json_string(fallback_of(options));
  json_decref(whole);
  zh_text_free(&plain);
  zh_text_free(&any);
  zh_text_free(&again);
  return status == ZH_OK && !*out ? no_memory(err) : status;
}

static zh_status by_map(json_t **out, const zh_function_call *call, const json_t *answers,
                        const json_t *doc, zh_error *err) {
  const json_t *values = json_object_get(call->options, "regex_pattern_to_value");
  (void)doc;
  if (!json_is_object(values))
    return zh_fail(err, ZH_ERR_INPUT, "MapRegexFilter needs regex_pattern_to_value, a map");
  return each(out, answers, map_one, values, call->options, err);
}

/* ---- numbers ---- */

/* By the pattern, else in English words. */
static zh_status number_one(json_t **out, const void *with, const json_t *answer,
                            const json_t *options, zh_error *err) {
  const char *pattern = json_string_value(json_object_get(options, "regex_pattern"));
  int64_t wanted = json_integer_value(json_object_get(options, "group_select")), number;
  json_t *lower, *words = NULL;
  (void)with;
  ZH_TRY(find_match(out, pattern ? pattern : "#### (\\-?[0-9\\.\\,]+)", wanted,
                    json_string_value(answer), json_string_length(answer), err));
  if (json_string_length(*out) > 0) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  ZH_TRY(zh_python_case(&lower, answer, false, err));
  zh_status status = find_match(&words, zh_english_number_pattern, wanted, json_string_value(lower),
                                json_string_length(lower), err);
  if (status == ZH_OK)
    *out = zh_english_number(&number, json_string_value(words), json_string_length(words))
               ? json_sprintf("%lld", (long long)number)
               : json_string(fallback_of(options));
  json_decref(lower);
  json_decref(words);
  return status == ZH_OK && !*out ? no_memory(err) : status;
}

static zh_status by_number(json_t **out, const zh_function_call *call, const json_t *answers,
                           const json_t *doc, zh_error *err) {
  (void)doc;
  return each(out, answers, number_one, NULL, call->options, err);
}

/* ---- sorted words ---- */

/* The words of the question in the order in which the answer has each for the last time. */
static zh_status sort_one(json_t **out, const void *with, const json_t *answer,
                          const json_t *options, zh_error *err) {
  zh_regex *regex = NULL;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  const char *pattern = with, *text = json_string_value(answer), *word;
  json_t *order = json_object(), *value;
  zh_text list = {0};
  bool found = true;
  (void)options;
  zh_status status = zh_regex_compile(&regex, pattern, strlen(pattern), false, err);
  while (status == ZH_OK && found) {
    char *key = NULL;
    status = zh_regex_next(&found, spans, &walk, regex, text, strlen(text), err);
    if (status != ZH_OK || !found) break;
    key = strndup(text + spans[0].begin, spans[0].end - spans[0].begin);
    if (!key) status = no_memory(err);
    if (key) json_object_del(order, key); /* so that it comes last */
    if (key) json_object_set_new(order, key, json_true());
    free(key);
  }
  json_object_foreach(order, word, value)
      zh_text_printf(&list, "%s%s", list.length > 0 ? " " : "", word);
  zh_regex_free(regex);
  json_decref(order);
  *out = zh_rewritten(&list);
  return status == ZH_OK && !*out ? no_memory(err) : status;
}

static zh_status by_words_sorted(json_t **out, const zh_function_call *call, const json_t *answers,
                                 const json_t *doc, zh_error *err) {
  const char *input, *word;
  size_t size;
  zh_text pattern = {0};
  ZH_TRY(zh_function_text(&input, doc, "input", err));
  const char *at = strstr(input, "List:");
  if (!at) return zh_fail(err, ZH_ERR_INPUT, "'input' has no 'List:'");
  at += strlen("List:");
  const char *next = strstr(at, "List:");
  size_t left = next ? (size_t)(next - at) : strlen(at);
  while (zh_python_word(&word, &size, &at, &left))
    zh_text_printf(&pattern, "%s\\b%.*s\\b", pattern.length > 0 ? "|" : "", (int)size, word);
  zh_status status =
      pattern.failed ? no_memory(err)
                     : each(out, answers, sort_one, zh_text_string(&pattern), call->options, err);
  zh_text_free(&pattern);
  return status;
}

static const zh_function functions[] = {
    {.name = "MultiChoiceRegexFilter", .kind = ZH_FUNCTION_FILTER, .body.filter = by_choice},
    {.name = "MapRegexFilter", .kind = ZH_FUNCTION_FILTER, .body.filter = by_map},
    {.name = "NumberParseRegexFilter", .kind = ZH_FUNCTION_FILTER, .body.filter = by_number},
    {.name = "WordSortFilter", .kind = ZH_FUNCTION_FILTER, .body.filter = by_words_sorted}};
static const char *const datasets[] = {"SaylorTwift/bbh", NULL};
static const char *const digests[] = {
    "ecc017c5c3c0a03757d94072fb74feac74406b63d2f6efa6ec68f73f8db8a9fd", NULL};

const zh_function_family zh_functions_bbh = {.name = "bbh",
                                             .module = "utils",
                                             .datasets = datasets,
                                             .digests = digests,
                                             .source = "lm-evaluation-harness 0.4.13",
                                             .functions = functions,
                                             .count = sizeof functions / sizeof functions[0]};
