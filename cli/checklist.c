/* zhiheng checklist --policy NAME --applicant FILE: the application papers, there and missing. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *policy, *applicant;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'p':
    given->policy = arg;
    return 0;
  case 'a':
    given->applicant = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    argp_error(state, "name the applicant's file with --applicant");
    return 0;
  case ARGP_KEY_END:
    if (given->policy == NULL)
      argp_error(state, "name a policy with --policy ('zhiheng list policies' lists them)");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"policy", 'p', "NAME", 0, "policy: a name, or the path of a YAML file", 0},
    {"applicant", 'a', "FILE", 0, "the applicant's YAML file; the bare list unless given", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp checklist = {
    .options = options,
    .parser = parse,
    .doc = "The application papers that a policy asks for: which are there, which are missing, and "
           "which our own report fills.\v"
           "Example:\n  zhiheng checklist --policy songjiang-2025-draft --applicant "
           "applicant.yaml\n\nExit status 1 means that a paper is missing or too old.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static const char *mark_of(const char *status, bool optional) {
  if (strcmp(status, "pass") == 0) return "[x]";
  if (strcmp(status, "missing") == 0) return "[ ]";
  return optional ? "[-]" : "[?]";
}

static void print_item(const json_t *item) {
  const char *status = text_of(item, "status");
  const json_t *pages = json_object_get(item, "pages"), *checks = json_object_get(item, "checks"),
               *filled = json_object_get(item, "filled_by"), *check;
  size_t i;
  bool optional = json_is_true(json_object_get(item, "optional"));
  printf("%s %s %s\n", mark_of(status, optional), text_of(json_object_get(item, "clause"), "id"),
         text_of(json_object_get(item, "name"), zh_cli_language()));
  if (json_is_string(json_object_get(item, "file"))) {
    printf("      %s  SM3 %.16s…", text_of(item, "file"), text_of(item, "sm3"));
    if (json_is_integer(pages)) printf("  %d p.", (int)json_integer_value(pages));
    printf("\n");
  }
  json_array_foreach(checks, i, check) printf("      %s\n", text_of(check, zh_cli_language()));
  if (json_is_object(filled)) printf("      %s\n", text_of(filled, zh_cli_language()));
}

/* Papers that are asked for and are not there, or are too old. */
static size_t count_missing(const json_t *items) {
  size_t missing = 0, i;
  const json_t *item;
  json_array_foreach(items, i, item) {
    const char *status = text_of(item, "status");
    missing += strcmp(status, "missing") == 0 || strcmp(status, "fail") == 0;
  }
  return missing;
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  json_t *result = NULL;
  zh_cli_parse(&checklist, argc, argv, &given);
  if (zh_checklist(&result, given.policy, given.applicant, &err) != ZH_OK)
    return zh_cli_fail(&err, given.json);
  const json_t *items = json_object_get(result, "items"), *item;
  size_t missing = count_missing(items), i;
  bool complete = missing == 0 || given.applicant == NULL;
  int printed;
  if (given.json) {
    printed = zh_cli_print_json(result);
  } else {
    json_array_foreach(items, i, item) print_item(item);
    json_decref(result);
    printed = zh_cli_flush();
  }
  if (printed != 0) return printed;
  return complete ? 0 : zh_status_exit_code(ZH_ERR_CHECK);
}

const zh_command zh_command_checklist = {"checklist", "application papers, there and missing", run};
