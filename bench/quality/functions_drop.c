/* DROP: numbers, dates and spans out of a passage; exact match and F1 of the words, against the
 * best of several right answers (Dua et al., NAACL 2019, section 5). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "core/regex.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers of DROP)");
}

/* ---- right answers ---- */

/* "day month year", as many as are given. */
static json_t *date_of(const json_t *date) {
  static const char *const parts[] = {"day", "month", "year"};
  zh_text text = {0};
  for (int i = 0; i < 3; i++) {
    const char *part = json_string_value(json_object_get(date, parts[i]));
    zh_text_printf(&text, "%s%s", i > 0 ? " " : "", part ? part : "");
  }
  const char *bytes = zh_text_string(&text);
  size_t length = text.length;
  zh_python_strip(&bytes, &length);
  json_t *list = json_pack("[o]", json_stringn(bytes, length));
  zh_text_free(&text);
  return list;
}

/* [text, …]: the number, else the spans, else the date. */
static zh_status read_answer(json_t **out, const json_t *number, const json_t *date,
                             const json_t *spans, zh_error *err) {
  *out = NULL;
  if (!json_is_string(number) || json_string_length(number) > 0) {
    char *text;
    size_t length;
    ZH_TRY(zh_python_str(&text, &length, number ? number : json_null(), err));
    *out = json_pack("[o]", json_stringn(text, length));
    free(text);
  } else if (json_array_size(spans) > 0) {
    *out = json_incref((json_t *)(uintptr_t)spans);
  } else {
    *out = date_of(date);
  }
  return *out ? ZH_OK : no_memory(err);
}

/* Takes the answer; one that is there already is left out. */
static bool add_answer(json_t *answers, json_t *answer) {
  bool known = false;
  for (size_t i = 0; i < json_array_size(answers); i++)
    known |= json_equal(json_array_get(answers, i), answer) != 0;
  bool good = known || json_array_append(answers, answer) == 0;
  json_decref(answer);
  return good;
}

static zh_status read_answers(json_t *answers, const json_t *row, zh_error *err) {
  const json_t *own = json_object_get(row, "answer"),
               *others = json_object_get(row, "validated_answers"),
               *numbers = json_object_get(others, "number");
  json_t *one;
  if (!json_is_object(own) || !json_is_array(numbers))
    return zh_fail(err, ZH_ERR_INPUT, "the item has no 'answer' and 'validated_answers' of DROP");
  ZH_TRY(read_answer(&one, json_object_get(own, "number"), json_object_get(own, "date"),
                     json_object_get(own, "spans"), err));
  if (!add_answer(answers, one)) return no_memory(err);
  for (size_t i = 0; i < json_array_size(numbers); i++) {
    ZH_TRY(read_answer(&one, json_array_get(numbers, i),
                       json_array_get(json_object_get(others, "date"), i),
                       json_array_get(json_object_get(others, "spans"), i), err));
    if (!add_answer(answers, one)) return no_memory(err);
  }
  return ZH_OK;
}

static zh_status change_row(json_t *row, zh_error *err) {
  json_t *id = json_object_get(row, "query_id"), *answers = json_array();
  zh_status status = answers ? read_answers(answers, row, err) : no_memory(err);
  if (status == ZH_OK && (json_object_set(row, "id", id ? id : json_null()) != 0 ||
                          json_object_set(row, "answers", answers) != 0))
    status = no_memory(err);
  json_decref(answers);
  return status;
}

static zh_status make_docs(json_t **out, const zh_function_call *call, const json_t *rows,
                           zh_error *err) {
  (void)call;
  return zh_function_map_rows(out, rows, change_row, err);
}

/* ---- words that count ---- */

/* float(text) in Python: digits with single '_' between them, a point, an exponent; inf and nan. */
static bool is_number(const char *text, size_t length, double *value) {
  char held[400];
  size_t size = 0;
  zh_python_strip(&text, &length);
  if (length == 0 || length >= sizeof held) return false;
  for (size_t i = 0; i < length; i++) {
    bool between = text[i] == '_' && i > 0 && i + 1 < length && text[i - 1] >= '0' &&
                   text[i - 1] <= '9' && text[i + 1] >= '0' && text[i + 1] <= '9';
    if (between) continue;
    if (text[i] == 0 || strchr("xXpP_(", text[i])) return false; /* strtod knows more than Python */
    held[size++] = text[i];
  }
  held[size] = 0;
  char *end;
  *value = strtod(held, &end);
  return end == held + size && !(held[0] <= ' ');
}

/* str(float(text)) */
static zh_status append_number(zh_text *out, double value, zh_error *err) {
  if (!isfinite(value)) {
    zh_text_puts(out, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    return ZH_OK;
  }
  char *text;
  size_t length;
  json_t *number = json_real(value);
  zh_status status = number ? zh_python_str(&text, &length, number, err) : no_memory(err);
  json_decref(number);
  if (status != ZH_OK) return status;
  zh_text_append(out, text, length);
  free(text);
  return ZH_OK;
}

/* One piece, in lower case: without punctuation and articles, numbers all written one way, blanks
 * single. */
static zh_status append_piece(zh_text *out, const char *piece, size_t length, zh_error *err) {
  static const zh_rewrite articles = {"\\b(a|an|the)\\b", " ", true};
  zh_text text = {0};
  double value;
  zh_status status = ZH_OK;
  bool number = is_number(piece, length, &value);
  for (size_t i = 0; i < length && !number; i++)
    if (!(piece[i] > ' ' && piece[i] < 127) || (piece[i] >= '0' && piece[i] <= '9') ||
        (piece[i] >= 'a' && piece[i] <= 'z') || (piece[i] >= 'A' && piece[i] <= 'Z'))
      zh_text_append(&text, &piece[i], 1);
  if (!number) number = is_number(zh_text_string(&text), text.length, &value);
  if (number) {
    text.length = 0;
    status = append_number(&text, value, err);
  }
  if (status == ZH_OK) status = zh_rewrite_text(&text, &articles, 1, err);
  const char *at = zh_text_string(&text), *word;
  size_t left = text.length, size;
  while (status == ZH_OK && zh_python_word(&word, &size, &at, &left)) {
    if (out->length > 0) zh_text_puts(out, " ");
    zh_text_append(out, word, size);
  }
  zh_text_free(&text);
  return status;
}

/* A span as it is compared: pieces between blanks and hyphens. */
static zh_status normalized(zh_text *out, const json_t *span, zh_error *err) {
  json_t *lower;
  if (!json_is_string(span)) return zh_fail(err, ZH_ERR_INPUT, "an answer is no text");
  ZH_TRY(zh_python_case(&lower, span, false, err));
  const char *text = json_string_value(lower), *end = text + json_string_length(lower);
  zh_status status = ZH_OK;
  while (status == ZH_OK && text <= end) {
    size_t length = 0;
    while (text + length < end && text[length] != ' ' && text[length] != '-') length++;
    status = append_piece(out, text, length, err);
    text += length + 1;
  }
  json_decref(lower);
  if (status == ZH_OK && out->failed) status = no_memory(err);
  return status;
}

/* ---- F1 ---- */

/* {word: true} of text.split() */
static json_t *bag_of(const zh_text *text) {
  json_t *bag = json_object();
  const char *at = zh_text_string(text), *word;
  size_t left = text->length, size;
  while (zh_python_word(&word, &size, &at, &left))
    json_object_setn_new(bag, word, size, json_true());
  return bag;
}

static bool has(const json_t *bag, const char *word) {
  return json_object_get(bag, word) != NULL;
}

/* Where the right answer has numbers, one of them must have been said. */
static bool numbers_agree(const json_t *gold, const json_t *said) {
  bool any = false;
  const char *word;
  json_t *value;
  double number;
  json_object_foreach((json_t *)(uintptr_t)gold, word, value) {
    if (!is_number(word, strlen(word), &number)) continue;
    if (has(said, word)) return true;
    any = true;
  }
  return !any;
}

static double f1_of(const json_t *gold, const json_t *said) {
  double both = 0, right = (double)json_object_size(gold), given = (double)json_object_size(said);
  const char *word;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)gold, word, value) both += has(said, word);
  double precision = given > 0 ? both / given : 1, recall = right > 0 ? both / right : 1;
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

/* One answer against the spans of one right answer: it is paired with the span that it is nearest
 * to, the others count nothing. */
static zh_status compare(double *exact, double *f1, const zh_text *said, const json_t *gold,
                         zh_error *err) {
  size_t count = json_array_size(gold);
  double best = 0;
  json_t *words = bag_of(said);
  zh_status status = words && count > 0 ? ZH_OK : no_memory(err);
  *exact = 0;
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    zh_text span = {0};
    status = normalized(&span, json_array_get(gold, i), err);
    json_t *bag = bag_of(&span);
    if (status == ZH_OK && numbers_agree(bag, words)) best = fmax(best, f1_of(bag, words));
    if (status == ZH_OK && count == 1)
      *exact = strcmp(zh_text_string(&span), zh_text_string(said)) == 0;
    json_decref(bag);
    zh_text_free(&span);
  }
  json_decref(words);
  *f1 = rint(best / (double)(count > 0 ? count : 1) * 100) / 100;
  return status;
}

static zh_status score(json_t **out, const zh_function_call *call, const json_t *doc,
                       const json_t *results, zh_error *err) {
  const json_t *answers = json_object_get(doc, "answers");
  double exact = 0, f1 = 0;
  zh_text said = {0};
  (void)call;
  zh_status status = normalized(&said, json_array_get(results, 0), err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(answers); i++) {
    const json_t *gold = json_array_get(answers, i);
    const char *first = json_string_value(json_array_get(gold, 0));
    double same, like;
    if (!first || zh_python_lstrip(first, strlen(first)) == strlen(first)) continue;
    status = compare(&same, &like, &said, gold, err);
    if (status == ZH_OK) exact = fmax(exact, same), f1 = fmax(f1, like);
  }
  zh_text_free(&said);
  if (status != ZH_OK) return status;
  *out = json_pack("{s:f, s:f}", "em", exact, "f1", f1);
  return *out ? ZH_OK : no_memory(err);
}

static const zh_function functions[] = {
    {.name = "process_docs", .kind = ZH_FUNCTION_DOCS, .body.docs = make_docs},
    {.name = "process_results", .kind = ZH_FUNCTION_RESULTS, .body.results = score}};
static const char *const datasets[] = {"EleutherAI/drop", NULL};
static const char *const digests[] = {
    "a5782ee7d2e537968a5b83976195ae2b9b6e2a565a0bfb5c24d221b4d61a04f5", NULL};

const zh_function_family zh_functions_drop = {.name = "drop",
                                              .module = "utils",
                                              .datasets = datasets,
                                              .digests = digests,
                                              .source = "lm-evaluation-harness 0.4.13",
                                              .functions = functions,
                                              .count = sizeof functions / sizeof functions[0]};
