/* HellaSwag: the beginning of a story and its endings, without the marks of where they came from.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
}

/* Takes the text. New reference. */
static zh_status cleaned(json_t **out, zh_text *text, zh_error *err) {
  static const zh_rewrite steps[] = {
      {" [title]", ". ", false}, {"\\[.*?\\]", "", true}, {"  ", " ", false}};
  const char *bytes = zh_text_string(text);
  size_t length = text->length;
  zh_text stripped = {0};
  zh_python_strip(&bytes, &length);
  zh_text_append(&stripped, bytes, length);
  stripped.failed |= text->failed;
  zh_text_free(text);
  zh_status status = zh_rewrite_text(&stripped, steps, sizeof steps / sizeof steps[0], err);
  *out = zh_rewritten(&stripped);
  return status != ZH_OK || *out ? status : no_memory(err);
}

/* "activity: first sentence Second sentence" */
static zh_status make_query(json_t **out, const json_t *row, zh_error *err) {
  const char *label, *first, *second;
  json_t *capital;
  zh_text text = {0};
  ZH_TRY(zh_function_text(&label, row, "activity_label", err));
  ZH_TRY(zh_function_text(&first, row, "ctx_a", err));
  ZH_TRY(zh_function_text(&second, row, "ctx_b", err));
  ZH_TRY(zh_python_capitalize(&capital, json_object_get(row, "ctx_b"), err));
  zh_text_printf(&text, "%s: %s ", label, first);
  zh_text_append(&text, json_string_value(capital), json_string_length(capital));
  json_decref(capital);
  return cleaned(out, &text, err);
}

static zh_status make_choices(json_t **out, const json_t *row, zh_error *err) {
  const json_t *endings = json_object_get(row, "endings");
  zh_status status = ZH_OK;
  *out = json_array();
  if (!json_is_array(endings)) return zh_fail(err, ZH_ERR_INPUT, "the item has no list 'endings'");
  for (size_t i = 0; status == ZH_OK && i < json_array_size(endings); i++) {
    const json_t *ending = json_array_get(endings, i);
    zh_text text = {0};
    json_t *choice = NULL;
    if (!json_is_string(ending)) return zh_fail(err, ZH_ERR_INPUT, "an ending is no text");
    zh_text_append(&text, json_string_value(ending), json_string_length(ending));
    status = cleaned(&choice, &text, err);
    if (status == ZH_OK && json_array_append_new(*out, choice) != 0) status = no_memory(err);
  }
  return status;
}

/* A number, or a text of digits. */
static zh_status make_gold(json_t **out, const json_t *row, zh_error *err) {
  const json_t *label = json_object_get(row, "label");
  const char *digits = json_string_value(label);
  if (json_is_integer(label)) {
    *out = json_integer(json_integer_value(label));
  } else if (digits && strlen(digits) < 10 && zh_python_isdigit(digits, strlen(digits))) {
    *out = json_integer(strtoll(digits, NULL, 10));
  } else {
    return zh_fail(err, ZH_ERR_INPUT,
                   "'label' is no number (the test split of HellaSwag has none)");
  }
  return *out ? ZH_OK : no_memory(err);
}

static zh_status change_row(json_t *row, zh_error *err) {
  json_t *query = NULL, *choices = NULL, *gold = NULL;
  zh_status status = make_query(&query, row, err);
  if (status == ZH_OK) status = make_choices(&choices, row, err);
  if (status == ZH_OK) status = make_gold(&gold, row, err);
  if (status == ZH_OK &&
      (json_object_set(row, "query", query) != 0 || json_object_set(row, "choices", choices) != 0 ||
       json_object_set(row, "gold", gold) != 0))
    status = no_memory(err);
  json_decref(query);
  json_decref(choices);
  json_decref(gold);
  return status;
}

static zh_status make_docs(json_t **out, const zh_function_call *call, const json_t *rows,
                           zh_error *err) {
  (void)call;
  return zh_function_map_rows(out, rows, change_row, err);
}

static const zh_function functions[] = {
    {.name = "process_docs", .kind = ZH_FUNCTION_DOCS, .body.docs = make_docs}};
static const char *const datasets[] = {"Rowan/hellaswag", "hellaswag", NULL};
static const char *const digests[] = {
    "07d23b60b28f2a4f658dcf8440623a63fe6644854ce9b846a114dde980dc1214", NULL};

const zh_function_family zh_functions_hellaswag = {.name = "hellaswag",
                                                   .module = "utils",
                                                   .datasets = datasets,
                                                   .digests = digests,
                                                   .source = "lm-evaluation-harness 0.4.13",
                                                   .functions = functions,
                                                   .count = sizeof functions / sizeof functions[0]};
