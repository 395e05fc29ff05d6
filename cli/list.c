/* zhiheng list suites|workloads|backends|models|policies|tasks */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/quality/quality.h"
#include "bench/workload.h"
#include "cli/cli.h"
#include "core/text.h"
#include "evaluator/evaluator.h"
#include "kernels/device.h"
#include "kernels/kernels.h"
#include "model/model.h"

static const char doc[] =
    "Lists what zhiheng knows, with one line each.\v"
    "Example:\n  zhiheng list suites\n  zhiheng list workloads --json | jq "
    "'.workloads[].name'\n\n"
    "'list models' shows the standard models, whose weights are computed; a model file is "
    "named by its path.";

/* Each lister fills an array of {"name", "summary", …}; people see name and summary. */

static zh_status list_suites(json_t *items, zh_error *err) {
  zh_suite_entry *entries = NULL;
  size_t count = 0;
  ZH_TRY(zh_suite_list(&entries, &count, err));
  for (size_t i = 0; i < count; i++) {
    json_array_append_new(items,
                          json_pack("{s:s, s:s, s:s}", "name", entries[i].name, "summary",
                                    entries[i].summary_en, "summary_zh", entries[i].summary_zh));
  }
  free(entries);
  return ZH_OK;
}

static json_t *describe_parameters(const zh_parameter *parameters) {
  json_t *described = json_array();
  for (const zh_parameter *at = parameters; at != NULL && at->name != NULL; at++) {
    json_array_append_new(described, json_pack("{s:s, s:s*, s:s*}", "name", at->name, "default",
                                               at->fallback, "help", at->help));
  }
  return described;
}

static zh_status list_workloads(json_t *items, zh_error *err) {
  (void)err;
  for (const zh_workload *const *at = zh_workloads(); *at != NULL; at++) {
    json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:b, s:i, s:o}", "name", (*at)->name,
                                           "summary", (*at)->summary_en, "summary_zh",
                                           (*at)->summary_zh, "needs_model", (*at)->needs_model,
                                           "ranks_min", (*at)->ranks_min, "parameters",
                                           describe_parameters((*at)->parameters)));
  }
  return ZH_OK;
}

static json_t *describe_accelerators(void) {
  const zh_device_api *api = NULL;
  zh_device_facts facts = {0};
  zh_error why = ZH_ERROR_INIT;
  char summary[sizeof why.message + 64];
  int count = 0;
  zh_status status = zh_device_open_module(&api, &why);
  if (status == ZH_OK) status = api->count(&count, &why);
  if (status == ZH_OK) status = api->facts(&facts, 0, &why);
  if (status == ZH_OK)
    snprintf(summary, sizeof summary, "%d GPU%s, the first: %s", count, count == 1 ? "" : "s",
             facts.name);
  else
    snprintf(summary, sizeof summary, "not here: %s", why.message);
  return json_pack("{s:s, s:b, s:s}", "name", "cuda", "present", status == ZH_OK, "summary",
                   summary);
}

static zh_status list_backends(json_t *items, zh_error *err) {
  char summary[256];
  zh_text variants = {0};
  (void)err;
  for (const zh_kernels *const *at = zh_kernels_all(); *at != NULL; at++) {
    zh_text_printf(&variants, "%s%s", variants.length > 0 ? ", " : "", (*at)->name);
  }
  snprintf(summary, sizeof summary, "this processor, with the kernels '%s' (it can run: %s)",
           zh_kernels_best()->name, zh_text_string(&variants));
  zh_text_free(&variants);
  json_array_append_new(items, json_pack("{s:s, s:b, s:s, s:s}", "name", "cpu", "present", true,
                                         "summary", summary, "kernels", zh_kernels_best()->name));
  json_array_append_new(items, describe_accelerators());
  return ZH_OK;
}

static zh_status list_models(json_t *items, zh_error *err) {
  const zh_standard_class *classes = NULL;
  size_t count = 0;
  ZH_TRY(zh_standard_classes(&classes, &count, err));
  for (size_t i = 0; i < count; i++) {
    json_array_append_new(items, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", classes[i].name,
                                           "summary", classes[i].summary, "parameters",
                                           (json_int_t)classes[i].parameters, "active",
                                           (json_int_t)classes[i].active, "bytes",
                                           (json_int_t)classes[i].bytes));
  }
  return ZH_OK;
}

static zh_status list_policies(json_t *items, zh_error *err) {
  zh_policy_entry *entries = NULL;
  size_t count = 0;
  ZH_TRY(zh_policy_list(&entries, &count, err));
  for (size_t i = 0; i < count; i++) {
    char summary[320];
    snprintf(summary, sizeof summary, "[%s] %s", entries[i].status, entries[i].title_en);
    json_array_append_new(items,
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", entries[i].name, "summary",
                                    summary, "status", entries[i].status, "title_en",
                                    entries[i].title_en, "title_zh", entries[i].title_zh));
  }
  free(entries);
  return ZH_OK;
}

static zh_status list_tasks(json_t *items, zh_error *err) {
  return zh_exam_list(items, err);
}

static const struct {
  const char *name;
  zh_status (*fill)(json_t *items, zh_error *err);
} kinds[] = {{"suites", list_suites}, {"workloads", list_workloads}, {"backends", list_backends},
             {"models", list_models}, {"policies", list_policies},   {"tasks", list_tasks}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static zh_status fill(json_t *items, const char *kind, zh_error *err) {
  const char *words[KINDS + 1] = {NULL};
  for (int i = 0; i < KINDS; i++) {
    if (strcmp(kind, kinds[i].name) == 0) return kinds[i].fill(items, err);
    words[i] = kinds[i].name;
  }
  char guess[ZH_GUESS_BYTES];
  return zh_fail(err, ZH_ERR_USAGE,
                 "'%s' is not suites, workloads, backends, models, policies or tasks%s", kind,
                 zh_did_you_mean(guess, kind, words));
}

static void print_items(const json_t *items) {
  size_t i;
  json_t *item;
  int width = 0;
  json_array_foreach(items, i, item) {
    int length = (int)json_string_length(json_object_get(item, "name"));
    if (length > width) width = length;
  }
  json_array_foreach(items, i, item) {
    printf("%-*s  %s\n", width, json_string_value(json_object_get(item, "name")),
           json_string_value(json_object_get(item, "summary")));
  }
}

static int run(int argc, char **argv) {
  zh_cli_word given = {
      .many = "one kind at a time",
      .missing = "say what to list: suites, workloads, backends, models, policies or tasks"};
  zh_cli_parse_word(&given, "suites|workloads|backends|models|policies|tasks", doc, argc, argv);
  zh_error err = ZH_ERROR_INIT;
  json_t *items = json_array();
  int code = 0;
  if (fill(items, given.word, &err) != ZH_OK) {
    code = zh_cli_fail(&err, given.json);
  } else if (given.json) {
    code = zh_cli_print_json(json_pack("{s:O}", given.word, items));
  } else {
    print_items(items);
    code = zh_cli_flush();
  }
  json_decref(items);
  return code;
}

const zh_command zh_command_list = {"list", "suites, workloads, backends, models, policies, tasks",
                                    run};
