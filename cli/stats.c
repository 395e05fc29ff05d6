/* zhiheng stats NAME key=value…: one test or interval by itself, for outside checks. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *name;
  const char **words; /* argc of them at most */
  size_t count;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->name == NULL)
      given->name = arg;
    else
      given->words[given->count++] = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "name a test ('zhiheng stats help' lists them)");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0}, {0}};
static const struct argp stats = {
    .options = options,
    .parser = parse,
    .args_doc = "NAME [KEY=VALUE...]",
    .doc =
        "One statistical test or interval by itself. 'zhiheng stats help [NAME...]' lists them "
        "with "
        "their sources.\v"
        "Lists stand between commas, or in a file: values=1,0,1 or values=@FILE. Rows of a table "
        "end with ';', in a file with the line.\n\n"
        "Examples:\n"
        "  zhiheng stats mcnemar b=5 c=12\n"
        "  zhiheng stats wilson k=40 n=50 --json\n"
        "  zhiheng stats round value=0.35 digits=1\n"
        "  zhiheng stats paired a=1,1,0,1 b=1,0,0,0 cluster=1,1,2,2\n"
        "  zhiheng stats items-paired difference=0.01 discordance=0.1 sides=1",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* "b c ?alpha" → "b= c= [alpha=]" */
static void print_parameters(const char *parameters) {
  for (const char *at = parameters; *at != '\0';) {
    size_t length = strcspn(at, " ");
    if (*at == '?')
      printf(" [%.*s=]", (int)length - 1, at + 1);
    else
      printf(" %.*s=", (int)length, at);
    at += length;
    at += strspn(at, " ");
  }
}

static int print_list(const json_t *list) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) {
    printf("%s", text_of(entry, "name"));
    print_parameters(text_of(entry, "parameters"));
    printf("\n    %s\n    %s\n", text_of(entry, zh_cli_language()), text_of(entry, "source"));
  }
  return zh_cli_flush();
}

/* The named tests alone, where some are named. */
static zh_status choose(json_t **list, const arguments *given, zh_error *err) {
  json_t *all;
  *list = json_array();
  ZH_TRY(zh_statistics_list(&all, err));
  for (size_t i = 0; i < json_array_size(all); i++) {
    json_t *entry = json_array_get(all, i);
    bool wanted = given->count == 0;
    for (size_t k = 0; k < given->count; k++)
      wanted |= strcmp(given->words[k], text_of(entry, "name")) == 0;
    if (wanted) json_array_append(*list, entry);
  }
  json_decref(all);
  return ZH_OK;
}

static int help(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *list;
  for (size_t k = 0; k < given->count; k++)
    if (zh_statistic_known(given->words[k], &err) != ZH_OK) return zh_cli_fail(&err, given->json);
  if (choose(&list, given, &err) != ZH_OK) return zh_cli_fail(&err, given->json);
  if (given->json) return zh_cli_print_json(list);
  int code = print_list(list);
  json_decref(list);
  return code;
}

/* One line a member, with as many digits as the number has. */
static int print_result(const json_t *result) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)result, key, value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    bool string = json_is_string(value);
    printf("%-20s %s\n", key, string ? json_string_value(value) : text != NULL ? text : "");
    free(text);
  }
  return zh_cli_flush();
}

static int run_given(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *result;
  if (strcmp(given->name, "help") == 0) return help(given);
  if (zh_statistic(&result, given->name, given->words, given->count, &err) != ZH_OK)
    return zh_cli_fail(&err, given->json);
  if (given->json) return zh_cli_print_json(result);
  int code = print_result(result);
  json_decref(result);
  return code;
}

static int run(int argc, char **argv) {
  arguments given = {.words = calloc((size_t)argc + 1, sizeof *given.words)};
  zh_error err = ZH_ERROR_INIT;
  if (given.words == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&stats, argc, argv, &given);
  int code = run_given(&given);
  free(given.words);
  return code;
}

const zh_command zh_command_stats = {"stats", "one statistical test or interval by itself", run};
