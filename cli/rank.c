/* zhiheng rank PROTOCOL.yaml SCORES.csv…: leading, tied, not leading, or not enough evidence. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/files.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *protocol;
  const char **scores; /* argc of them at most */
  size_t count;
  int threads;
  bool json, example;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case 'e':
    given->example = true;
    return 0;
  case 't':
    given->threads = (int)zh_cli_whole("threads", arg, 1, 1024, state);
    return 0;
  case ARGP_KEY_ARG:
    if (given->protocol == NULL)
      given->protocol = arg;
    else
      given->scores[given->count++] = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->example && (given->protocol == NULL || given->count == 0))
      argp_error(state, "name a protocol and the tables of scores, one a model, or bundles");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"threads", 't', "N", 0, "threads; one for each CPU unless given. The result is the same", 0},
    {"example", 'e', NULL, 0, "a protocol on standard output, to be filled in", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp rank = {
    .options = options,
    .parser = parse,
    .args_doc = "PROTOCOL.yaml SCORES.csv|BUNDLE...",
    .doc =
        "Holds a model against its declared peers under a locked protocol and says whether it "
        "leads (领先), is tied for the lead (并列领先), does not lead (不领先), or that the "
        "evidence does not suffice (证据不足).\v"
        "A table has the columns item,cluster,task,modality,score[,run] in any order of rows; its "
        "model is the file's name, or its first line '# model: NAME'. A bundle of 'zhiheng eval' "
        "stands "
        "for the tables in it. docs/leading.md describes "
        "protocol and verdict.\n\n"
        "Examples:\n  zhiheng rank --example > protocol.yaml\n"
        "  zhiheng rank protocol.yaml ours.csv peer-a.csv peer-b.csv --json\n\n"
        "The verdict does not change the exit status.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static const char *verdict_of(const json_t *object) {
  return text_of(object, strcmp(zh_cli_language(), "zh") == 0 ? "verdict" : "verdict_en");
}

static void print_sentences(const json_t *list, const char *mark) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) printf("%s %s\n", mark, text_of(entry, zh_cli_language()));
}

static void print_unit(const char *name, const json_t *unit) {
  const json_t *p = json_object_get(unit, "p");
  printf("%-20s %-22s L %-3d U %-3d", name, verdict_of(unit),
         (int)json_integer_value(json_object_get(unit, "L")),
         (int)json_integer_value(json_object_get(unit, "U")));
  if (json_is_number(p))
    printf(" %+.4f [%+.4f, %+.4f] p %.4g  %s",
           json_number_value(json_object_get(unit, "difference")),
           json_number_value(json_object_get(unit, "low")),
           json_number_value(json_object_get(unit, "high")), json_number_value(p),
           text_of(unit, "peer"));
  printf("\n");
}

static void print_units(const json_t *units) {
  const char *name;
  json_t *unit;
  json_object_foreach((json_t *)units, name, unit) print_unit(name, unit);
}

static int print_people(const json_t *result) {
  printf("%s: %s\n", text_of(json_object_get(result, "protocol"), "claimant"), verdict_of(result));
  print_sentences(json_object_get(result, "decided_by"), "  -");
  print_sentences(json_object_get(result, "would_change"), "  +");
  printf("\n");
  print_units(json_object_get(result, "endpoints"));
  print_units(json_object_get(result, "tasks"));
  printf("SM3 %s\n", text_of(json_object_get(result, "protocol"), "sm3"));
  return zh_cli_flush();
}

static int print_example(void) {
  zh_error err = ZH_ERROR_INIT;
  char path[4096], *text = NULL;
  size_t length;
  zh_status status = zh_data_path(path, sizeof path, "evaluator/leading/example.yaml", &err);
  if (status == ZH_OK) status = zh_read_file(&text, &length, path, 1 << 20, &err);
  if (status != ZH_OK) return zh_cli_fail(&err, false);
  fputs(text, stdout);
  free(text);
  return zh_cli_flush();
}

static int run_given(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *result;
  if (given->example) return print_example();
  if (zh_rank(&result, given->protocol, given->scores, given->count, given->threads, &err) != ZH_OK)
    return zh_cli_fail(&err, given->json);
  if (given->json) return zh_cli_print_json(result);
  int code = print_people(result);
  json_decref(result);
  return code;
}

static int run(int argc, char **argv) {
  arguments given = {.scores = calloc((size_t)argc + 1, sizeof *given.scores)};
  zh_error err = ZH_ERROR_INIT;
  if (given.scores == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&rank, argc, argv, &given);
  int code = run_given(&given);
  free(given.scores);
  return code;
}

const zh_command zh_command_rank = {"rank", "whether a model leads its peers", run};
