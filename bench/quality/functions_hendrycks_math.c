/* MATH (Hendrycks et al. 2021): the text in the last \boxed{…} of a solution, and answers compared
 * after what LaTeX can write in several ways is written in one.
 *
 * In Python some texts end the rewriting by an exception, and the answers are compared as they
 * stand; `odd` says so here. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers of MATH)");
}

/* ---- the boxed answer ---- */

/* Bytes [begin, end) of what the last box holds; false: there is none that is closed. */
static bool find_boxed(const char **begin, const char **end, const char *solution) {
  const char *last = NULL;
  if (strstr(solution, "\\boxed ") != NULL) { /* without braces: up to the end of the formula */
    for (const char *at = solution; (at = strstr(at, "\\boxed ")) != NULL; at++) last = at;
    *begin = last + strlen("\\boxed ");
    *end = *begin + strcspn(*begin, "$");
    return true;
  }
  for (const char *at = solution; (at = strstr(at, "\\boxed")) != NULL; at++) last = at;
  if (!last || strncmp(last, "\\boxed{", 7) != 0) return false;
  *begin = last + 7;
  int open = 1;
  for (*end = *begin; **end; ++*end) {
    open += (**end == '{') - (**end == '}');
    if (open == 0) return true;
  }
  return false;
}

static zh_status boxed_of(json_t **out, const json_t *row, zh_error *err) {
  const char *solution, *begin, *end;
  ZH_TRY(zh_function_text(&solution, row, "solution", err));
  if (!find_boxed(&begin, &end, solution))
    return zh_fail(err, ZH_ERR_INPUT, "the solution ends in no \\boxed{…}");
  *out = json_stringn(begin, (size_t)(end - begin));
  return *out ? ZH_OK : no_memory(err);
}

static zh_status change_row(json_t *row, zh_error *err) {
  json_t *answer;
  const char *problem;
  ZH_TRY(zh_function_text(&problem, row, "problem", err));
  ZH_TRY(boxed_of(&answer, row, err));
  return json_object_set_new(row, "answer", answer) == 0 ? ZH_OK : no_memory(err);
}

static zh_status make_docs(json_t **out, const zh_function_call *call, const json_t *rows,
                           zh_error *err) {
  (void)call;
  return zh_function_map_rows(out, rows, change_row, err);
}

/* ---- one way of writing ---- */

/* Bytes of the character at `at`; 0 at the end. */
static size_t character(const char *at) {
  uint32_t point;
  int size = *at ? zh_utf8_decode(&point, at, strlen(at)) : 0;
  return size > 0 ? (size_t)size : *at != 0;
}

static void take(zh_text *text, zh_text *changed) {
  changed->failed |= text->failed;
  zh_text_free(text);
  *text = *changed;
}

static size_t count_of(const char *text, const char *word) {
  size_t count = 0;
  for (; (text = strstr(text, word)) != NULL; text += strlen(word)) count++;
  return count;
}

/* Units stand behind "\text{ ". */
static void drop_units(zh_text *text, bool *odd) {
  const char *at = strstr(zh_text_string(text), "\\text{ ");
  if (!at) return;
  *odd |= count_of(at, "\\text{ ") > 1;
  text->length = (size_t)(at - text->data);
  text->data[text->length] = 0;
}

/* "k = 5" is 5, where at most two characters stand before the sign. */
static void drop_name(zh_text *text) {
  const char *at = strchr(zh_text_string(text), '=');
  if (!at || count_of(at, "=") > 1) return;
  if (zh_code_points(text->data, (size_t)(at - text->data)) > 2) return;
  zh_text rest = {0};
  zh_text_puts(&rest, at + 1);
  take(text, &rest);
}

/* "\sqrt3" is "\sqrt{3}". */
static void brace_roots(zh_text *text, bool *odd) {
  const char *at = zh_text_string(text), *found;
  zh_text out = {0};
  while ((found = strstr(at, "\\sqrt")) != NULL) {
    zh_text_append(&out, at, (size_t)(found - at) + 5);
    at = found + 5;
    size_t size = character(at);
    bool nothing = size == 0 || strncmp(at, "\\sqrt", 5) == 0;
    *odd |= nothing;
    if (*at == '{' || nothing) continue;
    zh_text_printf(&out, "{%.*s}", (int)size, at);
    at += size;
  }
  zh_text_puts(&out, at);
  take(text, &out);
}

/* One "\frac" at *at, which stands behind it: "12" is "{1}{2}", "1{2}" is "{1}{2}". False: too
 * little stands there for that. */
static bool brace_fraction(zh_text *out, const char **at, bool *odd) {
  size_t first = character(*at);
  *odd |= first == 0 || strncmp(*at, "\\frac", 5) == 0;
  if (**at == '{' || *odd) return true;
  size_t second = character(*at + first);
  if (second == 0 || strncmp(*at + first, "\\frac", 5) == 0) return false;
  if ((*at)[first] == '{') {
    zh_text_printf(out, "{%.*s}", (int)first, *at);
    *at += first;
  } else {
    zh_text_printf(out, "{%.*s}{%.*s}", (int)first, *at, (int)second, *at + first);
    *at += first + second;
  }
  return true;
}

static void brace_fractions(zh_text *text, bool *odd) {
  const char *at = zh_text_string(text), *found;
  zh_text out = {0};
  while ((found = strstr(at, "\\frac")) != NULL) {
    zh_text_append(&out, at, (size_t)(found - at) + 5);
    at = found + 5;
    if (brace_fraction(&out, &at, odd)) continue;
    zh_text_free(&out); /* one that is too short leaves all as they were */
    return;
  }
  zh_text_puts(&out, at);
  take(text, &out);
}

/* int(text) in Python, for what can stand beside a '/'; *canonical: as str() would write it. */
static bool is_whole(const char *text, size_t length, bool *canonical) {
  size_t sign = length > 0 && (text[0] == '-' || text[0] == '+'), zeros = 0;
  if (length == sign) return false;
  for (size_t i = sign; i < length; i++) {
    bool joins = text[i] == '_' && i > sign && i + 1 < length && text[i - 1] != '_';
    if (!joins && (text[i] < '0' || text[i] > '9')) return false;
    if (joins) *canonical = false;
  }
  while (sign + zeros < length && text[sign + zeros] == '0') zeros++;
  bool zero = sign + zeros == length;
  if (text[0] == '+' || (zero ? length > 1 : zeros > 0)) *canonical = false;
  return true;
}

/* "1/2" is "\frac{1}{2}". */
static void slash_to_fraction(zh_text *text, bool *odd) {
  const char *all = zh_text_string(text), *slash = strchr(all, '/');
  if (!slash || strchr(slash + 1, '/')) return;
  size_t before = (size_t)(slash - all);
  bool canonical = true;
  if (!is_whole(all, before, &canonical) || !is_whole(slash + 1, strlen(slash + 1), &canonical)) {
    *odd = true;
    return;
  }
  if (!canonical) return;
  zh_text out = {0};
  zh_text_printf(&out, "\\frac{%.*s}{%s}", (int)before, all, slash + 1);
  take(text, &out);
}

static zh_status strip(zh_text *text, bool *odd, zh_error *err) {
  static const zh_rewrite before[] = {{"\n", "", false},        {"\\!", "", false},
                                      {"\\\\", "\\", false},    {"tfrac", "frac", false},
                                      {"dfrac", "frac", false}, {"\\left", "", false},
                                      {"\\right", "", false},   {"^{\\circ}", "", false},
                                      {"^\\circ", "", false},   {"\\$", "", false}};
  static const zh_rewrite after[] = {
      {"\\%", "", false}, {" .", " 0.", false}, {"{.", "{0.", false}};
  static const zh_rewrite blanks = {" ", "", false}, half = {"0.5", "\\frac{1}{2}", false};
  ZH_TRY(zh_rewrite_text(text, before, sizeof before / sizeof before[0], err));
  drop_units(text, odd);
  ZH_TRY(zh_rewrite_text(text, after, sizeof after / sizeof after[0], err));
  if (text->length == 0) return ZH_OK;
  if (text->data[0] == '.') {
    zh_text out = {0};
    zh_text_printf(&out, "0%s", text->data);
    take(text, &out);
  }
  drop_name(text);
  brace_roots(text, odd);
  ZH_TRY(zh_rewrite_text(text, &blanks, 1, err));
  brace_fractions(text, odd);
  if (strcmp(zh_text_string(text), "0.5") == 0) ZH_TRY(zh_rewrite_text(text, &half, 1, err));
  slash_to_fraction(text, odd);
  return text->failed ? no_memory(err) : ZH_OK;
}

static zh_status are_equal(bool *out, const char *said, size_t length, const json_t *gold,
                           zh_error *err) {
  zh_text a = {0}, b = {0};
  bool odd = false;
  zh_text_append(&a, said, length);
  zh_text_puts(&b, json_string_value(gold));
  *out = strcmp(zh_text_string(&a), zh_text_string(&b)) == 0;
  zh_status status = strip(&a, &odd, err);
  if (status == ZH_OK && !odd) status = strip(&b, &odd, err);
  if (status == ZH_OK && !odd) *out = strcmp(zh_text_string(&a), zh_text_string(&b)) == 0;
  zh_text_free(&a);
  zh_text_free(&b);
  return status;
}

/* An answer with formulas is what stands from the first to the last '$'. */
static zh_status score(json_t **out, const zh_function_call *call, const json_t *doc,
                       const json_t *results, zh_error *err) {
  const char *said = json_string_value(json_array_get(results, 0)), *first, *last;
  json_t *gold;
  bool right;
  (void)call;
  if (!said) return zh_fail(err, ZH_ERR_INPUT, "the filters made no text of the answer");
  first = strchr(said, '$');
  last = strrchr(said, '$');
  size_t length = strlen(said);
  if (first != last) {
    said = first + 1;
    length = (size_t)(last - said);
  }
  ZH_TRY(boxed_of(&gold, doc, err));
  zh_status status = are_equal(&right, said, length, gold, err);
  json_decref(gold);
  if (status != ZH_OK) return status;
  *out = json_pack("{s:i}", "exact_match", (int)right);
  return *out ? ZH_OK : no_memory(err);
}

static const zh_function functions[] = {
    {.name = "process_docs", .kind = ZH_FUNCTION_DOCS, .body.docs = make_docs},
    {.name = "process_results", .kind = ZH_FUNCTION_RESULTS, .body.results = score}};
/* By their module alone: other tasks score the same items in other ways. */
static const char *const datasets[] = {NULL};
static const char *const digests[] = {
    "8332e42f23c62043b23d74ee6d3934f997b209cd60a1ad45b7882d6b00929d5c", NULL};

const zh_function_family zh_functions_hendrycks_math = {.name = "hendrycks_math",
                                                        .module = "utils",
                                                        .datasets = datasets,
                                                        .digests = digests,
                                                        .source = "lm-evaluation-harness 0.4.13",
                                                        .functions = functions,
                                                        .count =
                                                            sizeof functions / sizeof functions[0]};
