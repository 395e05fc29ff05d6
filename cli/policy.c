/* zhiheng policy check FILE --source TEXT: whether each quote stands in the published text. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *action, *policy, *source;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 's':
    given->source = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (state->arg_num > 1) argp_error(state, "name one policy");
    if (state->arg_num == 0)
      given->action = arg;
    else
      given->policy = arg;
    return 0;
  case ARGP_KEY_END:
    if (given->action == NULL || strcmp(given->action, "check") != 0)
      argp_error(state, "expected 'check' ('zhiheng list policies' lists them)");
    if (given->policy == NULL || given->source == NULL)
      argp_error(state, "name the policy, and the published text with --source");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"source", 's', "TEXT", 0, "the text as it was published", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp policy = {
    .options = options,
    .parser = parse,
    .args_doc = "check POLICY",
    .doc = "Reads a policy file and looks for the quote of each clause in the published text.\v"
           "Example:\n  zhiheng policy check evaluator/policies/songjiang-2025-draft.yaml --source "
           "published.txt\n\nExit status 1 means that a quote does not stand in the text.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static int print_people(const json_t *result) {
  const json_t *missing = json_object_get(result, "missing"), *entry;
  size_t i;
  printf("%s: %d of %d quotes found\n", text_of(result, "policy"),
         (int)json_integer_value(json_object_get(result, "found")),
         (int)json_integer_value(json_object_get(result, "clauses")));
  json_array_foreach(missing, i, entry) printf("%s\n", text_of(entry, "text"));
  return zh_cli_flush();
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  json_t *result = NULL;
  zh_cli_parse(&policy, argc, argv, &given);
  if (zh_policy_check(&result, given.policy, given.source, &err) != ZH_OK)
    return zh_cli_fail(&err, given.json);
  bool fine = json_array_size(json_object_get(result, "missing")) == 0;
  int printed;
  if (given.json) {
    printed = zh_cli_print_json(result);
  } else {
    printed = print_people(result);
    json_decref(result);
  }
  if (printed != 0) return printed;
  return fine ? 0 : zh_status_exit_code(ZH_ERR_CHECK);
}

const zh_command zh_command_policy = {"policy", "quotes of a policy held against its text", run};
