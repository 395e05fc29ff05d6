/* A bundle's documents, run.json and audit.json in one array, up to the evaluation. */
#include <string.h>

#include "evaluator/evaluation.h"
#include "fuzz.h"

static void must(zh_status status, const zh_error *err) {
  if (status == ZH_OK) return;
  fprintf(stderr, "fuzz: %s\n", err->message);
  abort();
}

static void judge(const zh_bundle *bundle) {
  static zh_policy *policy;
  static zh_words *words;
  zh_error err = ZH_ERROR_INIT, refused = ZH_ERROR_INIT;
  if (policy == NULL) must(zh_policy_load(&policy, "songjiang-2025-draft", &err), &err);
  if (words == NULL) must(zh_words_load(&words, &err), &err);
  json_t *evaluation = NULL;
  if (zh_evaluate_read(&evaluation, bundle, 1, policy, NULL, words, &refused) != ZH_OK) {
    if (refused.message[0] == 0 || evaluation != NULL) abort();
    return;
  }
  char *text = NULL;
  must(zh_json_dump(&text, evaluation, &err), &err);
  free(text);
  json_decref(evaluation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  json_t *both = NULL;
  zh_bundle bundle = {.name = "fuzz"};
  if (size > 65536) return 0;
  if (zh_json_load_text(&both, (const char *)data, size, "fuzz.json", &err) != ZH_OK) return 0;
  char *text = strndup((const char *)data, size);
  if (text == NULL) abort();
  zh_status status = zh_bundle_accept(&bundle, json_incref(json_array_get(both, 0)), json_object(),
                                      json_incref(json_array_get(both, 1)), text, 0, &err);
  if (status == ZH_OK)
    judge(&bundle);
  else if (err.message[0] == 0)
    abort();
  zh_bundle_clear(&bundle);
  json_decref(both);
  free(text);
  return 0;
}
