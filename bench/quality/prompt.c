/* What is asked: texts of items by their templates, few-shot examples before them. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "core/text.h"

enum { EXAMPLES_SEED = 1234 };

/* ---- fields ---- */

zh_status zh_field_read(zh_field *out, const zh_task_file *file, const json_t *config,
                        const char *key, json_t *value, zh_error *err) {
  *out = (zh_field){0};
  if (!value || json_is_null(value)) return ZH_OK;
  out->value = value;
  if (!json_is_string(value)) return ZH_OK;
  const char *function = zh_function_word(value);
  if (function)
    return zh_function_find(&out->function, file, config, function, ZH_FUNCTION_FIELD, err);
  zh_status status = zh_template_parse(&out->tpl, json_string_value(value),
                                       json_string_length(value), &zh_template_tasks, err);
  const zh_yaml_node *node = zh_task_file_node(file, key);
  if (status != ZH_OK && node)
    zh_error_prefix(err, "%s:%d: %s", zh_yaml_path(node), zh_yaml_line(node), key);
  if (status != ZH_OK && !node) zh_error_prefix(err, "%s: %s", file->path, key);
  return status;
}

void zh_field_free(zh_field *field) {
  zh_template_free(field->tpl);
  *field = (zh_field){0};
}

static zh_status no_memory(const zh_exam_task *task, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (task %s)", task->name);
}

/* *rendered: a template made it; else it is a column or stands in the file. New reference. */
static zh_status field_value(json_t **out, bool *rendered, const zh_exam_task *task,
                             const zh_field *field, const json_t *doc, zh_error *err) {
  *out = NULL;
  *rendered = false;
  if (!field->value) return ZH_OK;
  if (field->function) {
    zh_function_call call = {.function = field->function, .task = task};
    return field->function->body.field(out, &call, doc, err);
  }
  if (!json_is_string(field->value)) {
    *out = json_incref(field->value);
    return ZH_OK;
  }
  const char *word = json_string_value(field->value);
  if (json_object_get(task->columns, word)) {
    const json_t *value = json_object_get(doc, word);
    if (!value)
      return zh_fail(err, ZH_ERR_INPUT, "task %s: an item has no '%.60s'", task->name, word);
    *out = json_incref((json_t *)(uintptr_t)value);
    return ZH_OK;
  }
  char *text;
  size_t length;
  ZH_TRY(zh_template_render(&text, &length, field->tpl, doc, NULL, err));
  *out = json_stringn(text, length);
  *rendered = true;
  free(text);
  return *out ? ZH_OK : no_memory(task, err);
}

/* A rendered text of digits is a number where there are options to number. */
static zh_status numbered(json_t **value, const zh_exam_task *task, zh_error *err) {
  const char *text = json_string_value(*value);
  size_t length = json_string_length(*value);
  if (!task->choice.value || !zh_python_isdigit(text, length)) return ZH_OK;
  json_t *number = zh_python_literal(text, length);
  if (!number)
    return zh_fail(err, ZH_ERR_INPUT, "task %s: '%.40s' is no number in Python", task->name, text);
  json_decref(*value);
  *value = number;
  return ZH_OK;
}

static zh_status finish(json_t **out, zh_status status) {
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

zh_status zh_task_text(json_t **out, const zh_exam_task *task, const zh_field *field,
                       const json_t *doc, zh_error *err) {
  bool rendered;
  ZH_TRY(field_value(out, &rendered, task, field, doc, err));
  return rendered ? finish(out, numbered(out, task, err)) : ZH_OK;
}

zh_status zh_task_target(json_t **out, const zh_exam_task *task, const zh_field *field,
                         const json_t *doc, zh_error *err) {
  bool rendered;
  ZH_TRY(field_value(out, &rendered, task, field, doc, err));
  if (!rendered) return ZH_OK;
  zh_status status = numbered(out, task, err);
  if (status != ZH_OK || !json_is_string(*out)) return finish(out, status);
  const char *text = json_string_value(*out);
  size_t length = json_string_length(*out);
  if (length < 2 || text[0] != '[' || text[length - 1] != ']') return ZH_OK;
  json_t *list = zh_python_literal(text, length);
  if (!list) return ZH_OK;
  json_decref(*out);
  *out = list;
  return ZH_OK;
}

zh_status zh_task_choices(json_t **out, const zh_exam_task *task, const zh_field *field,
                          const json_t *doc, zh_error *err) {
  bool rendered;
  ZH_TRY(field_value(out, &rendered, task, field, doc, err));
  if (rendered) {
    json_t *list = zh_python_literal(json_string_value(*out), json_string_length(*out));
    json_decref(*out);
    *out = list;
  } else if (json_is_object(*out)) {
    json_t *list = json_array(), *value;
    const char *key;
    json_object_foreach(*out, key, value) json_array_append(list, value);
    json_decref(*out);
    *out = list;
  }
  if (!*out && !field->value) return ZH_OK;
  bool good = json_is_array(*out) && json_array_size(*out) > 0;
  for (size_t i = 0; good && i < json_array_size(*out); i++)
    good = json_is_string(json_array_get(*out, i));
  if (good) return ZH_OK;
  return finish(out, zh_fail(err, ZH_ERR_INPUT,
                             "task %s: 'doc_to_choice' must give a list of texts", task->name));
}

/* ---- turns ---- */

static void append_json(zh_text *out, const json_t *text) {
  if (json_string_length(text) == 0) return;
  zh_text_append(out, json_string_value(text), json_string_length(text));
}

/* With the delimiter between, unless either has a blank there. */
static void append_delimited(zh_text *out, const json_t *prefix, const json_t *text,
                             const char *delimiter) {
  size_t before = json_string_length(prefix), after = json_string_length(text);
  append_json(out, prefix);
  if (before > 0 && after > 0 && !zh_python_space_last(json_string_value(prefix), before) &&
      !zh_python_space_first(json_string_value(text), after))
    zh_text_puts(out, delimiter);
  append_json(out, text);
}

static bool needs_delimiter(const json_t *question, const json_t *prefix) {
  size_t before = json_string_length(question);
  return before > 0 && !zh_python_space_last(json_string_value(question), before) &&
         !zh_python_space_first(json_string_value(prefix), json_string_length(prefix));
}

/* What stands for an answer: an option by its number, the first of several, or text. Borrowed. */
static zh_status answer_text(const json_t **out, const zh_exam_task *task, const json_t *choices,
                             const json_t *answer, zh_error *err) {
  *out = answer;
  if (choices && json_is_integer(answer)) {
    json_int_t i = json_integer_value(answer), count = (json_int_t)json_array_size(choices);
    if (i < 0) i += count; /* as Python counts */
    *out = i >= 0 && i < count ? json_array_get(choices, (size_t)i) : NULL;
    if (!*out)
      return zh_fail(err, ZH_ERR_INPUT,
                     "task %s: an example's answer is option %lld, and it has %lld options",
                     task->name, (long long)json_integer_value(answer), (long long)count);
  } else if (json_is_array(answer)) {
    *out = json_array_get(answer, 0);
  }
  if (json_is_string(*out)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "task %s: the answer of an example is not text (doc_to_target; without "
                 "doc_to_choice numbers stand for nothing)",
                 task->name);
}

/* An example: question, delimiter, answer, delimiter. */
static zh_status append_example(zh_text *out, const zh_exam_task *t, const json_t *question,
                                const json_t *choices, const json_t *answer, const json_t *prefix,
                                zh_error *err) {
  const json_t *text = NULL;
  bool has_answer = answer && !json_is_null(answer) &&
                    !(json_is_string(answer) && json_string_length(answer) == 0),
       has_prefix = json_string_length(prefix) > 0;
  if (!json_is_string(question))
    return zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_text gives no text for an example", t->name);
  append_json(out, question);
  if (has_prefix ? needs_delimiter(question, prefix) : has_answer)
    zh_text_puts(out, t->shot_target_delimiter);
  if (has_answer) {
    ZH_TRY(answer_text(&text, t, choices, answer, err));
    append_delimited(out, has_prefix ? prefix : NULL, text, " ");
    zh_text_puts(out, t->shot_delimiter);
  } else if (has_prefix) {
    append_json(out, prefix);
  }
  return ZH_OK;
}

static const zh_field *own_or(const zh_field *own, const zh_field *other) {
  return own->value ? own : other;
}

static zh_status add_example(zh_text *out, const zh_exam_task *t, const json_t *example,
                             const json_t *prefix, zh_error *err) {
  json_t *question = NULL, *choices = NULL, *answer = NULL;
  const json_t *asked = NULL, *options = NULL;
  zh_status status = zh_task_text(&question, t, own_or(&t->shot_text, &t->text), example, err);
  const zh_field *choice = own_or(&t->shot_choice, &t->choice);
  if (status == ZH_OK && choice->value) status = zh_task_choices(&choices, t, choice, example, err);
  if (status == ZH_OK)
    status = zh_task_target(&answer, t, own_or(&t->shot_target, &t->target), example, err);
  if (status == ZH_OK) {
    asked = question;
    options = choices;
    if (t->multiple_input) {
      asked = json_array_get(choices, (size_t)json_integer_value(question));
      options = NULL;
    }
    status = append_example(out, t, asked, options, answer, prefix, err);
  }
  json_decref(question);
  json_decref(choices);
  json_decref(answer);
  return status;
}

/* ---- which examples ---- */

static zh_status choose_first(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                              zh_error *err) {
  size_t found = 0;
  for (size_t i = 0; i < json_array_size(t->shot_docs) && found < (size_t)t->shots; i++)
    if (!t->exclude_itself || !json_equal(json_array_get(t->shot_docs, i), doc))
      places[found++] = (uint32_t)i;
  if (found == (size_t)t->shots) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "task %s: %lld examples were asked for, and only %zu are there",
                 t->name, (long long)t->shots, found);
}

/* Of `wanted` places in `from`, those whose examples are not the item itself; at most t->shots. */
static uint32_t keep_others(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                            const uint32_t *from, uint32_t wanted) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < wanted && found < (uint32_t)t->shots; i++)
    if (!t->exclude_itself || !json_equal(json_array_get(t->shot_docs, from[i]), doc))
      places[found++] = from[i];
  return found;
}

/* Where an item stands several times among its examples, and too few of those drawn are others. */
static zh_status draw_again(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                            zh_python_random *r, zh_error *err) {
  size_t count = json_array_size(t->shot_docs);
  uint32_t *pool = malloc((count + 1) * sizeof *pool), others = 0;
  if (!pool) return no_memory(t, err);
  for (size_t i = 0; i < count; i++)
    if (!json_equal(json_array_get(t->shot_docs, i), doc)) pool[others++] = (uint32_t)i;
  zh_status status = zh_python_sample(places, r, others, (uint32_t)t->shots, err);
  for (int64_t i = 0; status == ZH_OK && i < t->shots; i++) places[i] = pool[places[i]];
  free(pool);
  return status;
}

/* One more is drawn where the item could be its own example. */
static zh_status draw(uint32_t *places, const zh_exam_task *t, const json_t *doc,
                      zh_python_random *r, zh_error *err) {
  uint32_t wanted = (uint32_t)t->shots + t->exclude_itself,
           count = (uint32_t)json_array_size(t->shot_docs);
  ZH_TRY(zh_python_sample(places, r, count, wanted, err));
  if (keep_others(places, t, doc, places, wanted) == (uint32_t)t->shots) return ZH_OK;
  return draw_again(places, t, doc, r, err);
}

static zh_status add_examples(zh_text *out, const zh_exam_task *t, const json_t *doc,
                              zh_python_random *r, zh_error *err) {
  json_t *prefix = NULL;
  bool rendered;
  if (t->shots == 0) return ZH_OK;
  uint32_t *places = malloc(((size_t)t->shots + 1) * sizeof *places);
  if (!places) return no_memory(t, err);
  zh_status status = t->first_n ? choose_first(places, t, doc, err) : draw(places, t, doc, r, err);
  if (status == ZH_OK)
    status =
        field_value(&prefix, &rendered, t, own_or(&t->shot_gen_prefix, &t->gen_prefix), doc, err);
  for (size_t i = 0; status == ZH_OK && i < (size_t)t->shots; i++)
    status = add_example(out, t, json_array_get(t->shot_docs, places[i]), prefix, err);
  json_decref(prefix);
  free(places);
  return status;
}

/* ---- requests ---- */

static zh_status add_request(zh_requests *list, const zh_exam_task *t, size_t doc, json_t *context,
                             json_t *continuation, zh_error *err) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity * 2 + 64;
    zh_request *grown = realloc(list->at, capacity * sizeof *grown);
    if (grown) {
      list->at = grown;
      list->capacity = capacity;
    }
  }
  if (list->count == list->capacity || !context) {
    json_decref(context);
    json_decref(continuation);
    return no_memory(t, err);
  }
  list->at[list->count++] =
      (zh_request){.doc = doc, .context = context, .continuation = continuation};
  return ZH_OK;
}

/* delimiter + text */
static json_t *joined(const char *delimiter, const json_t *text) {
  zh_text out = {0};
  zh_text_puts(&out, delimiter);
  append_json(&out, text);
  json_t *value = out.failed ? NULL : json_stringn(zh_text_string(&out), out.length);
  zh_text_free(&out);
  return value;
}

static json_t *text_json(const zh_text *text) {
  return text->failed ? NULL : json_stringn(zh_text_string(text), text->length);
}

static bool has_metric(const zh_exam_task *t, const char *name) {
  for (size_t i = 0; i < t->metric_count; i++)
    if (strcmp(t->metrics[i].name, name) == 0) return true;
  return false;
}

static zh_status add_choices(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                             const zh_text *context, zh_error *err) {
  json_t *choices = NULL;
  zh_status status = zh_task_choices(&choices, t, &t->choice, doc, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(choices); i++)
    status = add_request(list, t, n, text_json(context),
                         joined(t->target_delimiter, json_array_get(choices, i)), err);
  bool unconditional = has_metric(t, "acc_mutual_info");
  for (size_t i = 0; status == ZH_OK && unconditional && i < json_array_size(choices); i++)
    status = add_request(list, t, n, json_string(""),
                         joined(t->target_delimiter, json_array_get(choices, i)), err);
  json_decref(choices);
  return status;
}

/* Options stand in the question, the answer is the same behind each. before: all but the item. */
static zh_status add_inputs(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                            const zh_text *before, const json_t *prefix, zh_error *err) {
  json_t *choices = NULL, *target = NULL;
  char *answer = NULL;
  size_t length = 0;
  zh_status status = zh_task_choices(&choices, t, &t->choice, doc, err);
  if (status == ZH_OK) status = zh_task_target(&target, t, &t->target, doc, err);
  if (status == ZH_OK) status = zh_python_str(&answer, &length, target, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(choices); i++) {
    zh_text context = {0}, continuation = {0};
    zh_text_append(&context, zh_text_string(before), before->length);
    append_json(&context, json_array_get(choices, i));
    if (json_string_length(prefix) > 0) append_json(&context, prefix);
    zh_text_puts(&continuation, t->target_delimiter);
    zh_text_append(&continuation, answer, length);
    status = add_request(list, t, n, text_json(&context), text_json(&continuation), err);
    zh_text_free(&context);
    zh_text_free(&continuation);
  }
  json_decref(choices);
  json_decref(target);
  free(answer);
  return status;
}

/* The item's own question behind what stands before it. */
static zh_status append_question(zh_text *out, const zh_exam_task *t, const json_t *doc,
                                 const json_t *prefix, zh_error *err) {
  json_t *question = NULL;
  if (!t->text.value) return ZH_OK;
  ZH_TRY(zh_task_text(&question, t, &t->text, doc, err));
  zh_status status = ZH_OK;
  if (!json_is_string(question)) {
    status = zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_text gives no text", t->name);
  } else {
    append_json(out, question);
    if (json_string_length(prefix) > 0) {
      if (needs_delimiter(question, prefix)) zh_text_puts(out, t->target_delimiter);
      append_json(out, prefix);
    }
  }
  json_decref(question);
  return status;
}

static zh_status add_target(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                            const zh_text *context, zh_error *err) {
  json_t *target = NULL;
  ZH_TRY(zh_task_target(&target, t, &t->target, doc, err));
  if (!json_is_string(target)) {
    json_decref(target);
    return zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_target gives no text", t->name);
  }
  if (t->output == ZH_OUTPUT_ROLLING) return add_request(list, t, n, target, NULL, err);
  return add_request(list, t, n, text_json(context), target, err);
}

static zh_status add_generations(zh_requests *list, const zh_exam_task *t, size_t n,
                                 const zh_text *context, zh_error *err) {
  for (uint32_t k = 0; k < (uint32_t)t->repeats; k++) {
    ZH_TRY(add_request(list, t, n, text_json(context), NULL, err));
    list->at[list->count - 1].repeat = k;
  }
  return ZH_OK;
}

static zh_status add_of_item(zh_requests *list, const zh_exam_task *t, size_t n, zh_text *context,
                             json_t **prefix, json_t **description, zh_python_random *r,
                             zh_error *err) {
  const json_t *doc = json_array_get(t->docs, n);
  bool rendered;
  context->length = 0;
  if (t->output == ZH_OUTPUT_ROLLING) return add_target(list, t, n, doc, context, err);
  if (json_string_length(t->description.value) > 0) {
    ZH_TRY(field_value(description, &rendered, t, &t->description, doc, err));
    append_json(context, *description);
  }
  ZH_TRY(add_examples(context, t, doc, r, err));
  ZH_TRY(field_value(prefix, &rendered, t, &t->gen_prefix, doc, err));
  if (t->multiple_input) return add_inputs(list, t, n, doc, context, *prefix, err);
  ZH_TRY(append_question(context, t, doc, *prefix, err));
  if (context->failed) return no_memory(t, err);
  if (t->output == ZH_OUTPUT_CHOICE) return add_choices(list, t, n, doc, context, err);
  if (t->output == ZH_OUTPUT_LOGLIKELIHOOD) return add_target(list, t, n, doc, context, err);
  return add_generations(list, t, n, context, err);
}

zh_status zh_task_requests(zh_requests *out, zh_exam_task *t, zh_error *err) {
  zh_python_random random;
  zh_text context = {0};
  zh_status status = ZH_OK;
  *out = (zh_requests){0};
  zh_python_seed(&random, EXAMPLES_SEED);
  for (size_t n = 0; status == ZH_OK && n < t->taken; n++) {
    json_t *prefix = NULL, *description = NULL;
    status = add_of_item(out, t, n, &context, &prefix, &description, &random, err);
    if (status != ZH_OK) zh_error_prefix(err, "item %zu", n);
    json_decref(prefix);
    json_decref(description);
  }
  zh_text_free(&context);
  if (status != ZH_OK) zh_requests_free(out);
  return status;
}

void zh_requests_free(zh_requests *requests) {
  for (size_t i = 0; i < requests->count; i++) {
    json_decref(requests->at[i].context);
    json_decref(requests->at[i].continuation);
    json_decref(requests->at[i].text);
  }
  free(requests->at);
  *requests = (zh_requests){0};
}
