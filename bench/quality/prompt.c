/* What is asked: texts of items by their templates, few-shot examples before them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "bench/quality/turns.h"
#include "core/text.h"

enum { EXAMPLES_SEED = 1234 };

/* ---- fields ---- */

/* "FILE:LINE: KEY" */
static zh_status find_place(zh_field *field, const zh_task_file *file, const char *key,
                            zh_error *err) {
  const zh_yaml_node *node = zh_task_file_node(file, key);
  int length =
      node ? asprintf(&field->where, "%s:%d: %s", zh_yaml_path(node), zh_yaml_line(node), key)
           : asprintf(&field->where, "%s: %s", file->path, key);
  if (length >= 0) return ZH_OK;
  field->where = NULL;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", file->path);
}

zh_status zh_field_read(zh_field *out, const zh_task_file *file, const json_t *config,
                        const char *key, json_t *value, zh_error *err) {
  *out = (zh_field){0};
  if (!value || json_is_null(value)) return ZH_OK;
  out->value = value;
  if (!json_is_string(value)) return ZH_OK;
  const char *function = zh_function_word(value);
  if (function)
    return zh_function_find(&out->function, file, config, function, ZH_FUNCTION_FIELD, err);
  ZH_TRY(find_place(out, file, key, err));
  zh_status status = zh_template_parse(&out->tpl, json_string_value(value),
                                       json_string_length(value), &zh_template_tasks, err);
  if (status != ZH_OK) zh_error_prefix(err, "%s", out->where);
  return status;
}

void zh_field_free(zh_field *field) {
  zh_template_free(field->tpl);
  free(field->where);
  *field = (zh_field){0};
}

static zh_status no_memory(const zh_exam_task *task, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (task %s)", task->name);
}

zh_status zh_field_value(json_t **out, bool *rendered, const zh_exam_task *task,
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
  zh_status status = zh_template_render(&text, &length, field->tpl, doc, NULL, err);
  if (status != ZH_OK) zh_error_prefix(err, "%s", field->where);
  ZH_TRY(status);
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
  ZH_TRY(zh_field_value(out, &rendered, task, field, doc, err));
  return rendered ? finish(out, numbered(out, task, err)) : ZH_OK;
}

zh_status zh_task_target(json_t **out, const zh_exam_task *task, const zh_field *field,
                         const json_t *doc, zh_error *err) {
  bool rendered;
  ZH_TRY(zh_field_value(out, &rendered, task, field, doc, err));
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
  ZH_TRY(zh_field_value(out, &rendered, task, field, doc, err));
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
  if (json_string_length(text) > 0)
    zh_text_append(&out, json_string_value(text), json_string_length(text));
  return zh_rewritten(&out);
}

static bool has_metric(const zh_exam_task *t, const char *name) {
  for (size_t i = 0; i < t->metric_count; i++)
    if (strcmp(t->metrics[i].name, name) == 0) return true;
  return false;
}

/* Between question and option; a chat template has signs of its own there. */
static const char *choice_delimiter(const zh_exam_task *t) {
  const json_t *prefix = t->gen_prefix.value;
  size_t length = json_string_length(prefix);
  if (!t->chat.render) return t->target_delimiter;
  return length > 0 && !zh_python_space_last(json_string_value(prefix), length)
             ? t->target_delimiter
             : "";
}

/* What the item's requests from `first` on ask, whatever a model's template makes of it. */
static zh_status keep_asked(zh_requests *list, size_t first, const zh_exam_task *t,
                            const json_t *turns, zh_error *err) {
  if (!t->chat.render) return ZH_OK;
  json_t *plain = zh_turns_plain(turns);
  for (size_t i = first; plain && i < list->count; i++)
    if (json_string_length(list->at[i].context) > 0) list->at[i].asked = json_incref(plain);
  json_decref(plain);
  return plain ? ZH_OK : no_memory(t, err);
}

static zh_status add_choices(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                             const json_t *context, zh_error *err) {
  json_t *choices = NULL;
  zh_status status = zh_task_choices(&choices, t, &t->choice, doc, err);
  const char *delimiter = choice_delimiter(t);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(choices); i++)
    status = add_request(list, t, n, json_incref((json_t *)(uintptr_t)context),
                         joined(delimiter, json_array_get(choices, i)), err);
  bool unconditional = has_metric(t, "acc_mutual_info");
  for (size_t i = 0; status == ZH_OK && unconditional && i < json_array_size(choices); i++)
    status = add_request(list, t, n, json_string(""), joined(delimiter, json_array_get(choices, i)),
                         err);
  json_decref(choices);
  return status;
}

/* Options stand in the question, the answer is the same behind each. */
static zh_status add_inputs(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                            const json_t *before, const json_t *prefix, zh_error *err) {
  json_t *choices = NULL, *target = NULL;
  char *answer = NULL;
  size_t length = 0;
  zh_status status = zh_task_choices(&choices, t, &t->choice, doc, err);
  if (status == ZH_OK) status = zh_task_target(&target, t, &t->target, doc, err);
  if (status == ZH_OK) status = zh_python_str(&answer, &length, target, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(choices); i++) {
    json_t *turns = json_copy((json_t *)(uintptr_t)before), *context = NULL,
           *said = json_stringn(answer, length);
    status = turns && said ? ZH_OK : no_memory(t, err);
    if (status == ZH_OK)
      status = zh_turns_ask(turns, t, json_array_get(choices, i), prefix, "", err);
    if (status == ZH_OK) status = zh_turns_text(&context, turns, t, err);
    if (status == ZH_OK)
      status = add_request(list, t, n, context, joined(choice_delimiter(t), said), err);
    if (status == ZH_OK) status = keep_asked(list, list->count - 1, t, turns, err);
    json_decref(turns);
    json_decref(said);
  }
  json_decref(choices);
  json_decref(target);
  free(answer);
  return status;
}

static zh_status add_target(zh_requests *list, const zh_exam_task *t, size_t n, const json_t *doc,
                            const json_t *context, zh_error *err) {
  json_t *target = NULL;
  ZH_TRY(zh_task_target(&target, t, &t->target, doc, err));
  if (!json_is_string(target)) {
    json_decref(target);
    return zh_fail(err, ZH_ERR_INPUT, "task %s: doc_to_target gives no text", t->name);
  }
  if (t->output == ZH_OUTPUT_ROLLING) return add_request(list, t, n, target, NULL, err);
  return add_request(list, t, n, json_incref((json_t *)(uintptr_t)context), target, err);
}

static zh_status add_generations(zh_requests *list, const zh_exam_task *t, size_t n,
                                 const json_t *context, zh_error *err) {
  for (uint32_t k = 0; k < (uint32_t)t->repeats; k++) {
    ZH_TRY(add_request(list, t, n, json_incref((json_t *)(uintptr_t)context), NULL, err));
    list->at[list->count - 1].repeat = k;
  }
  return ZH_OK;
}

/* The item's question behind what stands before it, as one text. */
static zh_status make_context(json_t **out, json_t *turns, const zh_exam_task *t, const json_t *doc,
                              const json_t *prefix, zh_error *err) {
  json_t *question = NULL;
  ZH_TRY(zh_task_text(&question, t, &t->text, doc, err));
  zh_status status = zh_turns_ask(turns, t, question, prefix, t->target_delimiter, err);
  json_decref(question);
  return status == ZH_OK ? zh_turns_text(out, turns, t, err) : status;
}

static zh_status add_of_item(zh_requests *list, const zh_exam_task *t, size_t n,
                             zh_python_random *r, zh_error *err) {
  const json_t *doc = json_array_get(t->docs, n);
  json_t *turns = NULL, *prefix = NULL, *context = NULL;
  size_t first = list->count;
  bool rendered;
  if (t->output == ZH_OUTPUT_ROLLING) return add_target(list, t, n, doc, NULL, err);
  zh_status status = zh_turns_before(&turns, t, doc, r, err);
  if (status == ZH_OK) status = zh_field_value(&prefix, &rendered, t, &t->gen_prefix, doc, err);
  if (status == ZH_OK && t->multiple_input) {
    status = add_inputs(list, t, n, doc, turns, prefix, err);
  } else if (status == ZH_OK) {
    status = make_context(&context, turns, t, doc, prefix, err);
    if (status == ZH_OK && t->output == ZH_OUTPUT_CHOICE)
      status = add_choices(list, t, n, doc, context, err);
    else if (status == ZH_OK && t->output == ZH_OUTPUT_LOGLIKELIHOOD)
      status = add_target(list, t, n, doc, context, err);
    else if (status == ZH_OK)
      status = add_generations(list, t, n, context, err);
    if (status == ZH_OK) status = keep_asked(list, first, t, turns, err);
  }
  json_decref(turns);
  json_decref(prefix);
  json_decref(context);
  return status;
}

zh_status zh_task_requests(zh_requests *out, zh_exam_task *t, zh_error *err) {
  zh_python_random random;
  zh_status status = ZH_OK;
  *out = (zh_requests){0};
  zh_python_seed(&random, EXAMPLES_SEED);
  for (size_t n = 0; status == ZH_OK && n < t->taken; n++) {
    status = add_of_item(out, t, n, &random, err);
    if (status != ZH_OK) zh_error_prefix(err, "item %zu", n);
  }
  if (status != ZH_OK) zh_requests_free(out);
  return status;
}

void zh_requests_free(zh_requests *requests) {
  for (size_t i = 0; i < requests->count; i++) {
    json_decref(requests->at[i].context);
    json_decref(requests->at[i].continuation);
    json_decref(requests->at[i].asked);
    json_decref(requests->at[i].text);
  }
  free(requests->at);
  *requests = (zh_requests){0};
}
