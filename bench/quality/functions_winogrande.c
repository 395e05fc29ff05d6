/* Winogrande: a sentence with a gap '_' and two words; what stands before the gap, with either
 * word, is asked for what stands behind it. */
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"

static zh_status find_gap(const char **sentence, const char **gap, const json_t *doc,
                          zh_error *err) {
  ZH_TRY(zh_function_text(sentence, doc, "sentence", err));
  *gap = strchr(*sentence, '_');
  return *gap ? ZH_OK : zh_fail(err, ZH_ERR_INPUT, "the sentence has no gap '_'");
}

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (items)");
}

/* The right word: 0 or 1. */
static zh_status which_word(json_t **out, const zh_function_call *call, const json_t *doc,
                            zh_error *err) {
  const char *answer;
  (void)call;
  ZH_TRY(zh_function_text(&answer, doc, "answer", err));
  if (strcmp(answer, "1") != 0 && strcmp(answer, "2") != 0)
    return zh_fail(err, ZH_ERR_INPUT, "'answer' is '%.20s'; 1 or 2 was expected", answer);
  *out = json_integer(answer[0] - '1');
  return *out ? ZH_OK : no_memory(err);
}

static zh_status behind_gap(json_t **out, const zh_function_call *call, const json_t *doc,
                            zh_error *err) {
  const char *sentence, *gap;
  (void)call;
  ZH_TRY(find_gap(&sentence, &gap, doc, err));
  size_t length = strlen(++gap);
  zh_python_strip(&gap, &length);
  *out = json_stringn(gap, length);
  return *out ? ZH_OK : no_memory(err);
}

static zh_status before_gap(json_t **out, const zh_function_call *call, const json_t *doc,
                            zh_error *err) {
  const char *sentence, *gap, *words[2];
  (void)call;
  ZH_TRY(find_gap(&sentence, &gap, doc, err));
  ZH_TRY(zh_function_text(&words[0], doc, "option1", err));
  ZH_TRY(zh_function_text(&words[1], doc, "option2", err));
  *out = json_array();
  for (int i = 0; i < 2; i++) {
    zh_text text = {0};
    zh_text_append(&text, sentence, (size_t)(gap - sentence));
    zh_text_puts(&text, words[i]);
    json_array_append_new(*out, zh_rewritten(&text));
  }
  return json_array_size(*out) == 2 ? ZH_OK : no_memory(err);
}

static const zh_function functions[] = {
    {.name = "doc_to_text", .kind = ZH_FUNCTION_FIELD, .body.field = which_word},
    {.name = "doc_to_target", .kind = ZH_FUNCTION_FIELD, .body.field = behind_gap},
    {.name = "doc_to_choice", .kind = ZH_FUNCTION_FIELD, .body.field = before_gap}};
static const char *const datasets[] = {"allenai/winogrande", "winogrande", NULL};
static const char *const digests[] = {
    "e55327629264a98f1d383fda24645b6779afb53fa0bce2150042b9416b1ae006", NULL};

const zh_function_family zh_functions_winogrande = {.name = "winogrande",
                                                    .module = "preprocess_winogrande",
                                                    .datasets = datasets,
                                                    .digests = digests,
                                                    .source = "lm-evaluation-harness 0.4.13",
                                                    .functions = functions,
                                                    .count =
                                                        sizeof functions / sizeof functions[0]};
