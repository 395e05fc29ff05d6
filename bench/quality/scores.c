/* What an item's answers are worth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/checked.h"
#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "bench/quality/scores.h"
#include "bench/quality/text_scores.h"
#include "core/text.h"

static zh_status no_memory(const zh_exam_task *task, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores of %s)", task->name);
}

static const zh_item_metric *find(const zh_exam_task *t, const char *name) {
  for (size_t i = 0; i < t->metric_count; i++)
    if (strcmp(t->metrics[i].name, name) == 0) return &t->metrics[i];
  return NULL;
}

/* Takes the value; whether it was put there, or nobody asked for it. */
static bool put(json_t *scores, const zh_exam_task *t, const char *name, json_t *value) {
  if (find(t, name)) return json_object_set_new(scores, name, value) == 0;
  json_decref(value);
  return true;
}

/* ---- multiple choice ---- */

typedef struct choice_item {
  const json_t *choices;
  const zh_request *requests;
  size_t count;
  json_t *gold; /* number, or list of numbers; -100 where it is none of the options */
} choice_item;

static json_int_t checked(json_int_t gold, size_t count) {
  return gold < (json_int_t)count ? gold : -100;
}

/* Numbers, or the option's own text. */
zh_status zh_gold_options(json_t **out, const zh_exam_task *t, const json_t *doc,
                          const json_t *choices, zh_error *err) {
  json_t *gold = NULL;
  const zh_field *field = t->multiple_input ? &t->text : &t->target;
  ZH_TRY(t->multiple_input ? zh_task_text(&gold, t, field, doc, err)
                           : zh_task_target(&gold, t, field, doc, err));
  size_t count = json_array_size(choices);
  *out = NULL;
  if (json_is_array(gold)) {
    *out = json_array();
    for (size_t i = 0; i < json_array_size(gold); i++)
      json_array_append_new(
          *out, json_integer(checked(json_integer_value(json_array_get(gold, i)), count)));
  } else if (json_is_integer(gold)) {
    *out = json_integer(checked(json_integer_value(gold), count));
  } else if (json_is_string(gold)) {
    size_t i = 0;
    while (i < count && !json_equal(gold, json_array_get(choices, i))) i++;
    *out = json_integer(i < count ? (json_int_t)i : -100);
  } else {
    *out = json_integer(-100);
  }
  json_decref(gold);
  return *out ? ZH_OK : no_memory(t, err);
}

/* The first of the largest. */
static size_t largest(const double *values, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (values[i] > values[best]) best = i;
  return best;
}

bool zh_is_gold(const json_t *gold, size_t chosen) {
  if (json_is_integer(gold)) return json_integer_value(gold) == (json_int_t)chosen;
  for (size_t i = 0; i < json_array_size(gold); i++)
    if (json_integer_value(json_array_get(gold, i)) == (json_int_t)chosen) return true;
  return false;
}

/* As Python's lists: -1 is the last. */
static bool greedy_at(const choice_item *item, json_int_t i) {
  if (i == -100) return false;
  if (i < 0) i += (json_int_t)item->count;
  return i >= 0 && i < (json_int_t)item->count && item->requests[i].greedy;
}

static bool gold_is_greedy(const choice_item *item) {
  if (json_is_integer(item->gold)) return greedy_at(item, json_integer_value(item->gold));
  for (size_t i = 0; i < json_array_size(item->gold); i++)
    if (greedy_at(item, json_integer_value(json_array_get(item->gold, i)))) return true;
  return false;
}

static json_t *softmax(const double *values, size_t count) {
  double most = values[largest(values, count)], sum = 0;
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) sum += exp(values[i] - most);
  for (size_t i = 0; list && i < count; i++)
    json_array_append_new(list, json_real(exp(values[i] - most) / sum));
  return list;
}

enum { BY_NOTHING, BY_POINTS, BY_BYTES, BY_CHANCE, WAYS };

/* Log-likelihoods as each way of choosing looks at them: [WAYS][count]. */
static void fill_ways(double *values, const choice_item *item, bool with_chance) {
  size_t n = item->count;
  for (size_t i = 0; i < n; i++) {
    const json_t *choice = json_array_get(item->choices, i);
    const char *text = json_string_value(choice);
    size_t bytes = json_string_length(choice);
    double logprob = item->requests[i].logprob;
    values[i] = logprob;
    values[BY_POINTS * n + i] = logprob / (double)zh_code_points(text, bytes);
    values[BY_BYTES * n + i] = logprob / (double)bytes;
    values[BY_CHANCE * n + i] = with_chance ? logprob - item->requests[n + i].logprob : 0;
  }
}

static bool put_choice_scores(json_t *scores, const zh_exam_task *t, const choice_item *item,
                              const double *values) {
  size_t n = item->count, chosen[WAYS];
  for (size_t way = 0; way < WAYS; way++) chosen[way] = largest(values + way * n, n);
  const json_t *gold = item->gold;
  json_t *own = item->gold;
  bool right[WAYS];
  for (size_t way = 0; way < WAYS; way++) right[way] = zh_is_gold(gold, chosen[way]);
  /* Mutual information knows one right answer alone. */
  bool by_chance = json_is_integer(gold) && right[BY_CHANCE];
  return put(scores, t, "acc", json_real(right[BY_NOTHING])) &&
         put(scores, t, "f1", json_pack("[O, I]", own, (json_int_t)chosen[BY_NOTHING])) &&
         put(scores, t, "mcc", json_pack("[O, I]", own, (json_int_t)chosen[BY_NOTHING])) &&
         put(scores, t, "acc_norm", json_real(right[BY_POINTS])) &&
         put(scores, t, "acc_bytes", json_real(right[BY_BYTES])) &&
         put(scores, t, "exact_match", json_integer(gold_is_greedy(item))) &&
         put(scores, t, "brier_score", json_pack("[O, o]", own, softmax(values, n))) &&
         put(scores, t, "acc_mutual_info", json_real(by_chance));
}

static zh_status score_choices(json_t *scores, const zh_exam_task *t, const json_t *doc,
                               const zh_request *requests, size_t count, zh_error *err) {
  json_t *choices = NULL;
  bool with_chance = find(t, "acc_mutual_info") != NULL;
  ZH_TRY(zh_task_choices(&choices, t, &t->choice, doc, err));
  choice_item item = {.choices = choices, .requests = requests, .count = json_array_size(choices)};
  zh_status status = ZH_OK;
  double *values = NULL;
  if (count != item.count * (with_chance ? 2 : 1))
    status = zh_fail(err, ZH_ERR_INPUT, "task %s: %zu answers to %zu options", t->name, count,
                     item.count);
  if (status == ZH_OK) status = zh_gold_options(&item.gold, t, doc, choices, err);
  if (status == ZH_OK) {
    values = malloc(WAYS * item.count * sizeof *values);
    if (values) fill_ways(values, &item, with_chance);
    if (!values || !put_choice_scores(scores, t, &item, values)) status = no_memory(t, err);
  }
  free(values);
  json_decref(item.gold);
  json_decref(choices);
  return status;
}

/* ---- one continuation ---- */

static zh_status score_continuation(json_t *scores, const zh_exam_task *t, const zh_request *r,
                                    zh_error *err) {
  bool good = put(scores, t, "perplexity", json_real(r->logprob)) &&
              put(scores, t, "acc", json_integer(r->greedy));
  return good ? ZH_OK : no_memory(t, err);
}

static zh_status score_rolling(json_t *scores, const zh_exam_task *t, const zh_request *r,
                               zh_error *err) {
  const char *text = json_string_value(r->context);
  size_t bytes = json_string_length(r->context);
  json_int_t words = (json_int_t)zh_python_pieces(text, bytes);
  bool good =
      put(scores, t, "word_perplexity", json_pack("[f, I]", r->logprob, words)) &&
      put(scores, t, "byte_perplexity", json_pack("[f, I]", r->logprob, (json_int_t)bytes)) &&
      put(scores, t, "bits_per_byte", json_pack("[f, I]", r->logprob, (json_int_t)bytes));
  return good ? ZH_OK : no_memory(t, err);
}

/* ---- generated text ---- */

/* Without what a metric's options say does not count. New reference. */
static zh_status plain_text(json_t **out, const json_t *text, const json_t *options,
                            zh_error *err) {
  const json_t *patterns = json_object_get(options, "regexes_to_ignore");
  zh_text held = {0};
  zh_text_append(&held, json_string_value(text), json_string_length(text));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < json_array_size(patterns); i++) {
    const char *pattern = json_string_value(json_array_get(patterns, i));
    zh_regex *regex = NULL;
    zh_text less = {0};
    if (!pattern) status = zh_fail(err, ZH_ERR_INPUT, "regexes_to_ignore must be a list of texts");
    if (status == ZH_OK) status = zh_regex_compile(&regex, pattern, strlen(pattern), false, err);
    if (status == ZH_OK)
      status = zh_regex_replace(&less, regex, zh_text_string(&held), held.length, "", 0, err);
    zh_regex_free(regex);
    zh_text_free(&held);
    held = less;
  }
  *out = json_stringn(zh_text_string(&held), held.length);
  if (status == ZH_OK && json_is_true(json_object_get(options, "ignore_case"))) {
    json_t *lower;
    status = zh_python_case(&lower, *out, false, err);
    json_decref(*out);
    *out = status == ZH_OK ? lower : NULL;
  }
  zh_text_free(&held);
  if (status != ZH_OK) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}

static bool is_ignored(char c, bool punctuation, bool numbers) {
  bool is_number = c >= '0' && c <= '9';
  bool is_sign =
      (c > ' ' && c < 127) && !is_number && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z');
  return (numbers && is_number) || (punctuation && is_sign);
}

/* The same text but for characters that do not count. */
static bool same_text(const json_t *a, const json_t *b, const json_t *options) {
  bool punctuation = json_is_true(json_object_get(options, "ignore_punctuation")),
       numbers = json_is_true(json_object_get(options, "ignore_numbers"));
  const char *x = json_string_value(a), *y = json_string_value(b);
  for (;; x++, y++) {
    while (*x && is_ignored(*x, punctuation, numbers)) x++;
    while (*y && is_ignored(*y, punctuation, numbers)) y++;
    if (*x != *y) return false;
    if (*x == 0) return true;
  }
}

/* Our own tasks: JSON by its structure, conditions that a text must keep. */
static zh_status compare_by(bool *out, const char *way, const char *gold, const char *said,
                            zh_error *err) {
  if (strcmp(way, "json") == 0) return zh_same_json(out, gold, said, err);
  if (strcmp(way, "conditions") == 0) return zh_conditions_kept(out, gold, said, err);
  return zh_fail(err, ZH_ERR_INPUT, "compare: '%.40s' is neither json nor conditions", way);
}

static zh_status exact_match(bool *out, const json_t *gold, const json_t *said,
                             const json_t *options, zh_error *err) {
  json_t *texts[2] = {NULL, NULL};
  const char *compare = json_string_value(json_object_get(options, "compare"));
  *out = false;
  if (compare)
    return compare_by(out, compare, json_string_value(gold), json_string_value(said), err);
  zh_status status = plain_text(&texts[0], gold, options, err);
  if (status == ZH_OK) status = plain_text(&texts[1], said, options, err);
  if (status == ZH_OK && texts[0] && texts[1]) *out = same_text(texts[0], texts[1], options);
  json_decref(texts[0]);
  json_decref(texts[1]);
  return status;
}

typedef zh_status (*pair_score)(double *out, const char *reference, const char *said,
                                zh_error *err);

/* The best over the right answers. */
static zh_status best_of(double *out, const json_t *gold, const json_t *said, pair_score score,
                         zh_error *err) {
  *out = 0;
  for (size_t i = 0; i < json_array_size(gold); i++) {
    double one;
    ZH_TRY(score(&one, json_string_value(json_array_get(gold, i)), json_string_value(said), err));
    if (one > *out) *out = one;
  }
  return ZH_OK;
}

/* gold: a list of texts. */
static zh_status score_by(json_t **out, const zh_item_metric *m, const json_t *gold,
                          const json_t *said, bool several, zh_error *err) {
  double value = 0;
  bool any = false, one;
  *out = NULL;
  if (strcmp(m->name, "exact_match") == 0) {
    for (size_t i = 0; i < json_array_size(gold); i++) {
      ZH_TRY(exact_match(&one, json_array_get(gold, i), said, m->options, err));
      any |= one;
    }
    *out = json_real(any);
  } else if (strcmp(m->name, "rouge_l") == 0 || strcmp(m->name, "token_f1") == 0) {
    ZH_TRY(best_of(&value, gold, said, m->name[0] == 'r' ? zh_rouge_l : zh_token_f1, err));
    *out = json_real(value);
  } else if (strcmp(m->name, "bleu") == 0 || strcmp(m->name, "chrf") == 0) {
    json_t *references = several ? (json_t *)(uintptr_t)gold : json_array_get(gold, 0);
    *out = json_pack("[O, O]", references, (json_t *)(uintptr_t)said);
  } else if (strcmp(m->name, "bypass") == 0) {
    *out = json_null();
  } else {
    return zh_fail(err, ZH_ERR_INPUT, "the metric '%s' does not score generated text", m->name);
  }
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores)");
}

/* The right answers as a list of texts; *several: the item has a list of them. */
zh_status zh_right_answers(json_t **out, bool *several, const zh_exam_task *t, const json_t *doc,
                           zh_error *err) {
  json_t *gold = NULL, *choices = NULL, *list = json_array();
  zh_status status = list ? zh_task_target(&gold, t, &t->target, doc, err) : no_memory(t, err);
  if (status == ZH_OK && t->choice.value)
    status = zh_task_choices(&choices, t, &t->choice, doc, err);
  if (status == ZH_OK && choices) {
    json_int_t i = json_is_integer(gold) ? json_integer_value(gold) : -1;
    json_t *chosen = i >= 0 ? json_array_get(choices, (size_t)i) : NULL;
    if (!chosen)
      status = zh_fail(err, ZH_ERR_INPUT, "task %s: the answer is none of the options", t->name);
    json_decref(gold);
    gold = json_incref(chosen);
  }
  *several = t->multiple_target && json_is_array(gold);
  size_t count = *several ? json_array_size(gold) : 1;
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    json_t *one = *several ? json_array_get(gold, i) : gold;
    char *text;
    size_t length;
    status = zh_python_str(&text, &length, one, err); /* numbers as Python writes them */
    if (status != ZH_OK) break;
    if (json_array_append_new(list, json_stringn(text, length)) != 0) status = no_memory(t, err);
    free(text);
  }
  json_decref(gold);
  json_decref(choices);
  *out = list;
  if (status == ZH_OK) return ZH_OK;
  json_decref(list);
  *out = NULL;
  return status;
}

/* 1 where it is above zero for one of several right answers, else its value; or {name: value}. */
static zh_status score_by_function(json_t *scores, const zh_exam_task *t, const zh_item_metric *m,
                                   const json_t *gold, const json_t *said, bool several,
                                   zh_error *err) {
  zh_function_call call = {.function = m->function, .task = t, .options = m->options};
  bool any = false;
  for (size_t i = 0; i < json_array_size(gold); i++) {
    json_t *references = json_pack("[O]", json_array_get(gold, i)),
           *predictions = json_pack("[O]", (json_t *)(uintptr_t)said), *value = NULL;
    zh_status status = references && predictions
                           ? m->function->body.metric(&value, &call, references, predictions, err)
                           : no_memory(t, err);
    json_decref(references);
    json_decref(predictions);
    ZH_TRY(status);
    any |= json_number_value(value) > 0;
    if (json_is_object(value) && !several)
      json_object_update(scores, value);
    else
      json_object_set_new(scores, m->name, several ? json_real(any) : json_incref(value));
    json_decref(value);
  }
  return ZH_OK;
}

/* made: what the filters left: a text, or several where none took one. */
static zh_status score_generated(json_t *scores, const zh_exam_task *t, const json_t *doc,
                                 const json_t *made, zh_error *err) {
  json_t *gold = NULL;
  bool several, alone = json_is_array(made) && json_array_size(made) == 1;
  const json_t *said = alone ? json_array_get(made, 0) : made;
  ZH_TRY(zh_right_answers(&gold, &several, t, doc, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < t->metric_count; i++) {
    const zh_item_metric *m = &t->metrics[i];
    json_t *value = NULL;
    if (m->function) {
      status = score_by_function(scores, t, m, gold, made, several, err);
      continue;
    }
    if (!json_is_string(said))
      status = zh_fail(err, ZH_ERR_INPUT,
                       json_is_array(said) ? "task %s: an item has several answers, and no filter "
                                             "takes one of them (take_first, majority_vote)"
                                           : "task %s: a filter made no text of an answer",
                       t->name);
    if (status == ZH_OK) status = score_by(&value, m, gold, said, several, err);
    if (status == ZH_OK && json_object_set_new(scores, m->name, value) != 0)
      status = no_memory(t, err);
  }
  json_decref(gold);
  return status;
}

/* {metric: value} by the task's own function. */
static zh_status score_by_task(json_t *scores, const zh_exam_task *t, const json_t *doc,
                               const json_t *filtered, zh_error *err) {
  zh_function_call call = {.function = t->process_results, .task = t};
  json_t *made = NULL;
  ZH_TRY(t->process_results->body.results(&made, &call, doc, filtered, err));
  bool good = json_is_object(made) && json_object_update(scores, made) == 0;
  json_decref(made);
  return good ? ZH_OK : no_memory(t, err);
}

static zh_status score(json_t *scores, const zh_exam_task *t, const json_t *doc,
                       const zh_request *requests, size_t count, const json_t *filtered,
                       zh_error *err) {
  if (t->process_results) return score_by_task(scores, t, doc, filtered, err);
  if (t->opencompass) return zh_score_opencompass(scores, t, doc, requests, count, filtered, err);
  switch (t->output) {
  case ZH_OUTPUT_CHOICE:
    return score_choices(scores, t, doc, requests, count, err);
  case ZH_OUTPUT_LOGLIKELIHOOD:
    return score_continuation(scores, t, requests, err);
  case ZH_OUTPUT_ROLLING:
    return score_rolling(scores, t, requests, err);
  default:
    return score_generated(scores, t, doc, json_array_get(filtered, 0), err);
  }
}

zh_status zh_score_item(json_t **out, const zh_exam_task *t, const json_t *doc,
                        const zh_request *requests, size_t count, const json_t *filtered,
                        zh_error *err) {
  *out = json_object();
  zh_status status = *out ? score(*out, t, doc, requests, count, filtered, err) : no_memory(t, err);
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}
