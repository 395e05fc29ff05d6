#include "bench/quality/data_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/asked_columns.h"
#include "bench/quality/python_values.h"
#include "core/text.h"

enum { SHOWN = 10, OPTIONS_MAX = 64, LEAST_FOR_SKEW = 30 };

typedef enum check {
  UNREADABLE,
  EMPTY_QUESTION,
  EMPTY_OPTION,
  EQUAL_OPTIONS,
  ANSWER_OUTSIDE,
  EMPTY_ANSWER,
  CONTRADICTION,
  DUPLICATE,
  LEAKED,
  LABEL_SKEW,
  CHECKS
} check;

/* What each means stands in reports/templates/glossary.yaml, "data_check". */
static const struct {
  const char *name;
  bool error;
} checks[CHECKS] = {
    [UNREADABLE] = {"unreadable", true},         [EMPTY_QUESTION] = {"empty_question", true},
    [EMPTY_OPTION] = {"empty_option", true},     [EQUAL_OPTIONS] = {"equal_options", true},
    [ANSWER_OUTSIDE] = {"answer_outside", true}, [EMPTY_ANSWER] = {"empty_answer", true},
    [CONTRADICTION] = {"contradiction", true},   [DUPLICATE] = {"duplicate", false},
    [LEAKED] = {"leaked_example", true},         [LABEL_SKEW] = {"label_skew", false}};

typedef struct looking {
  const zh_exam_task *task;
  size_t count[CHECKS];
  json_t *items[CHECKS]; /* the first ones */
  json_t *seen;          /* question and options: {"item", "answer"} */
  json_t *examples;      /* question and options of the few-shot examples */
  double labels[OPTIONS_MAX];
  size_t options, labelled;
  char cause[sizeof(((zh_error *)0)->message)]; /* why the first unreadable item is so */
} looking;

static void found(looking *l, check what, size_t item) {
  if (l->count[what]++ < SHOWN)
    json_array_append_new(l->items[what], json_integer((json_int_t)item));
}

/* Texts with one blank between their words: others make no other question, and no other option. */
static json_t *plain(const json_t *value) {
  const char *text = json_string_value(value), *word;
  size_t length = json_string_length(value), size;
  zh_text words = {0};
  if (json_is_array(value)) {
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(value); i++)
      json_array_append_new(list, plain(json_array_get(value, i)));
    return list;
  }
  if (!text) return value ? json_incref((json_t *)(uintptr_t)value) : json_null();
  while (zh_python_word(&word, &size, &text, &length)) {
    if (words.length > 0) zh_text_puts(&words, " ");
    zh_text_append(&words, word, size);
  }
  json_t *out = json_string(zh_text_string(&words));
  zh_text_free(&words);
  return out;
}

/* What an item asks, in one text. New reference in *options (NULL where there are none). */
static zh_status read_item(char **key, json_t **question, json_t **options, const looking *l,
                           const json_t *doc, zh_error *err) {
  const zh_exam_task *t = l->task;
  size_t length;
  *key = NULL;
  *question = *options = NULL;
  if (t->text.value) ZH_TRY(zh_task_text(question, t, &t->text, doc, err));
  if (t->choice.value) ZH_TRY(zh_task_choices(options, t, &t->choice, doc, err));
  json_t *both = json_pack("[o, o]", plain(*question), plain(*options));
  zh_status status = zh_python_dumps(key, &length, both, false, err);
  json_decref(both);
  return status;
}

/* Nothing, or white space. */
static bool is_blank(const json_t *value) {
  const char *bytes = json_string_value(value);
  size_t length = json_string_length(value);
  if (bytes) return zh_python_lstrip(bytes, length) == length;
  return !value || json_is_null(value);
}

static bool is_question(const char *column) {
  return strcasecmp(column, "question") == 0;
}

/* An empty question stands in a prompt that has words: what the template names tells. Of several
 * columns it is the one called so, else all of them. */
static bool is_question_blank(const looking *l, const json_t *doc, const json_t *question,
                              const zh_asked *asked) {
  size_t named = json_array_size(asked->question), blank = 0;
  if (l->task->output == ZH_OUTPUT_ROLLING) return false;
  for (size_t i = 0; i < named; i++) {
    const char *column = json_string_value(json_array_get(asked->question, i));
    bool empty = is_blank(json_object_get(doc, column));
    if (empty && is_question(column)) return true;
    blank += empty;
  }
  return is_blank(question) || (named > 0 && blank == named);
}

static void look_at_options(looking *l, size_t item, const json_t *options) {
  bool empty = false, equal = false;
  json_t *words = plain(options);
  size_t count = json_array_size(options);
  for (size_t i = 0; i < count; i++) {
    empty |= is_blank(json_array_get(options, i));
    for (size_t k = 0; k < i; k++)
      equal |= json_equal(json_array_get(words, i), json_array_get(words, k)) != 0;
  }
  json_decref(words);
  if (empty) found(l, EMPTY_OPTION, item);
  if (equal) found(l, EQUAL_OPTIONS, item);
}

/* Number of the right option; -1: none. */
static int64_t label_of(const json_t *answer, const json_t *options) {
  size_t count = json_array_size(options);
  if (json_is_integer(answer)) {
    json_int_t i = json_integer_value(answer);
    return i >= 0 && i < (json_int_t)count ? i : -1;
  }
  for (size_t i = 0; i < count; i++)
    if (json_equal(answer, json_array_get(options, i))) return (int64_t)i;
  return -1;
}

static void look_at_answer(looking *l, size_t item, const json_t *answer, const json_t *options) {
  if (is_blank(answer) && label_of(answer, options) < 0) {
    found(l, EMPTY_ANSWER, item);
    return;
  }
  if (!options) return;
  bool outside = json_is_array(answer) && json_array_size(answer) == 0;
  for (size_t i = 0; i < json_array_size(answer); i++)
    outside |= label_of(json_array_get(answer, i), options) < 0;
  int64_t label = json_is_array(answer) ? -1 : label_of(answer, options);
  if (json_is_array(answer) ? outside : label < 0) found(l, ANSWER_OUTSIDE, item);
  if (label < 0 || label >= OPTIONS_MAX) return;
  l->labels[label]++;
  l->labelled++;
  if (json_array_size(options) > l->options) l->options = json_array_size(options);
}

/* A template that makes a number of a letter fails on what is none: then the column that it names
 * tells what the answer is. */
static check judge_failed_answer(const json_t *doc, const json_t *options, const zh_asked *asked) {
  const json_t *value = json_object_get(doc, json_string_value(asked->answer));
  if (!options || !asked->answer) return UNREADABLE;
  if (is_blank(value)) return EMPTY_ANSWER;
  return label_of(value, asked->letters ? options : NULL) < 0 ? ANSWER_OUTSIDE : UNREADABLE;
}

static void compare_with_others(looking *l, size_t item, const char *key, json_t *answer) {
  const json_t *before = json_object_get(l->seen, key);
  if (json_object_get(l->examples, key)) found(l, LEAKED, item);
  if (!before) {
    json_object_set_new(l->seen, key, json_pack("{s:O}", "answer", answer ? answer : json_null()));
  } else {
    bool same = json_equal(json_object_get(before, "answer"), answer ? answer : json_null()) != 0;
    found(l, same ? DUPLICATE : CONTRADICTION, item);
  }
}

static void cannot_read(looking *l, size_t item, const zh_error *why) {
  if (l->count[UNREADABLE] == 0) {
    size_t valid = zh_utf8_valid_prefix(why->message, strlen(why->message));
    snprintf(l->cause, sizeof l->cause, "%.*s", (int)valid, why->message);
  }
  found(l, UNREADABLE, item);
}

static zh_status read_answer(json_t **answer, const zh_exam_task *t, const json_t *doc,
                             zh_error *err) {
  return t->multiple_input ? zh_task_text(answer, t, &t->text, doc, err)
                           : zh_task_target(answer, t, &t->target, doc, err);
}

/* The answer is an option of those that the model is asked for (letters); what they stand for is
 * looked at where the prompt has it. */
static void look_at_parts(looking *l, size_t item, const char *key, const json_t *question,
                          const json_t *options) {
  const json_t *doc = json_array_get(l->task->docs, item);
  json_t *answer = NULL;
  zh_asked asked;
  zh_error why = ZH_ERROR_INIT;
  zh_asked_find(&asked, l->task, doc, options);
  if (is_question_blank(l, doc, question, &asked)) found(l, EMPTY_QUESTION, item);
  if (options) look_at_options(l, item, asked.options ? asked.options : options);
  if (read_answer(&answer, l->task, doc, &why) == ZH_OK) {
    look_at_answer(l, item, answer, options);
    compare_with_others(l, item, key, answer);
  } else {
    check what = judge_failed_answer(doc, options, &asked);
    if (what == UNREADABLE)
      cannot_read(l, item, &why);
    else
      found(l, what, item);
  }
  json_decref(answer);
  zh_asked_clear(&asked);
}

static void look_at_item(looking *l, size_t item) {
  char *key = NULL;
  json_t *question = NULL, *options = NULL;
  zh_error why = ZH_ERROR_INIT;
  if (read_item(&key, &question, &options, l, json_array_get(l->task->docs, item), &why) == ZH_OK)
    look_at_parts(l, item, key, question, options);
  else
    cannot_read(l, item, &why);
  free(key);
  json_decref(question);
  json_decref(options);
}

/* P(X² > x) with k degrees of freedom, by the series of the lower incomplete gamma function. */
static double chi_square_tail(double x, double k) {
  double a = k / 2, half = x / 2, term = 1 / a, sum = term;
  if (x <= 0) return 1;
  for (int n = 1; n < 1000 && term > sum * 1e-16; n++) {
    term *= half / (a + n);
    sum += term;
  }
  double lower = sum * exp(a * log(half) - half - lgamma(a));
  return lower < 1 ? 1 - lower : 0;
}

static void look_at_labels(looking *l) {
  if (l->labelled < LEAST_FOR_SKEW || l->options < 2) return;
  double expected = (double)l->labelled / (double)l->options, x = 0;
  for (size_t i = 0; i < l->options && i < OPTIONS_MAX; i++)
    x += (l->labels[i] - expected) * (l->labels[i] - expected) / expected;
  if (chi_square_tail(x, (double)l->options - 1) < 0.001) l->count[LABEL_SKEW] = l->labelled;
}

static void read_examples(looking *l) {
  for (size_t i = 0; i < json_array_size(l->task->shot_docs); i++) {
    char *key;
    json_t *question, *options;
    zh_error ignored = ZH_ERROR_INIT;
    if (read_item(&key, &question, &options, l, json_array_get(l->task->shot_docs, i), &ignored) ==
        ZH_OK)
      json_object_set_new(l->examples, key, json_true());
    free(key);
    json_decref(question);
    json_decref(options);
  }
}

static json_t *findings_json(const looking *l) {
  json_t *list = json_array();
  for (int i = 0; i < CHECKS; i++) {
    if (l->count[i] == 0) continue;
    json_t *finding = json_pack("{s:s, s:s, s:I, s:O}", "check", checks[i].name, "severity",
                                checks[i].error ? "error" : "warning", "count",
                                (json_int_t)l->count[i], "items", l->items[i]);
    if (i == UNREADABLE) json_object_set_new(finding, "cause", json_string(l->cause));
    json_array_append_new(list, finding);
  }
  return list;
}

static json_t *labels_json(const looking *l) {
  json_t *labels = json_array();
  for (size_t i = 0; i < l->options && i < OPTIONS_MAX; i++)
    json_array_append_new(labels, json_integer((json_int_t)l->labels[i]));
  return labels;
}

zh_status zh_data_check(json_t **out, const zh_exam_task *task, zh_error *err) {
  looking l = {.task = task, .seen = json_object(), .examples = json_object()};
  bool whole = l.seen && l.examples;
  for (int i = 0; i < CHECKS; i++) whole = (l.items[i] = json_array()) != NULL && whole;
  /* Where an item is kept out of its own examples, standing among them is no leak. */
  if (whole && !task->exclude_itself) read_examples(&l);
  for (size_t i = 0; whole && i < json_array_size(task->docs); i++) look_at_item(&l, i);
  if (whole) look_at_labels(&l);
  *out = whole ? json_pack("{s:s, s:I, s:o, s:o, s:O}", "task", task->name, "items",
                           (json_int_t)json_array_size(task->docs), "findings", findings_json(&l),
                           "labels", labels_json(&l), "files", task->files)
               : NULL;
  for (int i = 0; i < CHECKS; i++) json_decref(l.items[i]);
  json_decref(l.seen);
  json_decref(l.examples);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (check of items)");
}
