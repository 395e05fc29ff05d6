/* MMLU-Pro: a question with up to ten options, reasoned about before it is answered; a task for
 * each subject. */
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"

enum { OPTIONS_MAX = 10 };

/* Options beyond the tenth are not shown. */
static zh_status append_options(zh_text *out, const json_t *options, zh_error *err) {
  for (size_t i = 0; i < json_array_size(options) && i < OPTIONS_MAX; i++) {
    const char *option = json_string_value(json_array_get(options, i));
    size_t length = option ? strlen(option) : 0;
    if (!option) return zh_fail(err, ZH_ERR_INPUT, "an option is no text");
    zh_python_strip(&option, &length);
    zh_text_printf(out, "%c. ", (int)('A' + i));
    zh_text_append(out, option, length);
    zh_text_puts(out, "\n");
  }
  return ZH_OK;
}

static zh_status question(json_t **out, const zh_function_call *call, const json_t *doc,
                          zh_error *err) {
  const char *asked;
  const json_t *options = json_object_get(doc, "options");
  zh_text text = {0};
  (void)call;
  ZH_TRY(zh_function_text(&asked, doc, "question", err));
  if (!json_is_array(options)) return zh_fail(err, ZH_ERR_INPUT, "the item has no list 'options'");
  zh_text_printf(&text, "Question:\n%s\nOptions:\n", asked);
  zh_status status = append_options(&text, options, err);
  zh_text_puts(&text, "Answer: Let's think step by step.");
  *out = zh_rewritten(&text);
  if (status == ZH_OK && !*out) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (question)");
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

/* The reasoning of an example, without the words that the question ends in. */
static zh_status reasoning(json_t **out, const zh_function_call *call, const json_t *doc,
                           zh_error *err) {
  static const zh_rewrite step = {"A: Let's think step by step. ", "", false};
  const char *content;
  zh_text text = {0};
  (void)call;
  ZH_TRY(zh_function_text(&content, doc, "cot_content", err));
  zh_text_puts(&text, content);
  zh_status status = zh_rewrite_text(&text, &step, 1, err);
  *out = zh_rewritten(&text);
  if (status == ZH_OK && !*out) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (example)");
  return status;
}

static zh_status of_subject(json_t **out, const zh_function_call *call, const json_t *rows,
                            zh_error *err) {
  *out = json_array();
  for (size_t i = 0; i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i);
    const char *category = json_string_value(json_object_get(row, "category"));
    if (!category) return zh_fail(err, ZH_ERR_INPUT, "item %zu has no text 'category'", i);
    if (strcmp(category, call->function->argument) != 0) continue;
    if (json_array_append(*out, row) != 0)
      return zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
  }
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
}

#define SUBJECT(word, category)                                                                    \
  {                                                                                                \
    .name = "process_" word, .kind = ZH_FUNCTION_DOCS, .body.docs = of_subject,                    \
    .argument = category                                                                           \
  }

static const zh_function functions[] = {
    {.name = "doc_to_text", .kind = ZH_FUNCTION_FIELD, .body.field = question},
    {.name = "fewshot_to_text", .kind = ZH_FUNCTION_FIELD, .body.field = question},
    {.name = "fewshot_to_target", .kind = ZH_FUNCTION_FIELD, .body.field = reasoning},
    SUBJECT("biology", "biology"),
    SUBJECT("business", "business"),
    SUBJECT("chemistry", "chemistry"),
    SUBJECT("computer_science", "computer science"),
    SUBJECT("economics", "economics"),
    SUBJECT("engineering", "engineering"),
    SUBJECT("health", "health"),
    SUBJECT("history", "history"),
    SUBJECT("law", "law"),
    SUBJECT("math", "math"),
    SUBJECT("other", "other"),
    SUBJECT("philosophy", "philosophy"),
    SUBJECT("physics", "physics"),
    SUBJECT("psychology", "psychology")};
static const char *const datasets[] = {"TIGER-Lab/MMLU-Pro", NULL};
static const char *const digests[] = {
    "d47eae06ecf1e9535b033394de62185327a1dca977cb29049003699adeb92801", NULL};

const zh_function_family zh_functions_mmlu_pro = {.name = "mmlu_pro",
                                                  .module = "utils",
                                                  .datasets = datasets,
                                                  .digests = digests,
                                                  .source = "lm-evaluation-harness 0.4.13",
                                                  .functions = functions,
                                                  .count = sizeof functions / sizeof functions[0]};
