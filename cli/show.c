/* zhiheng show BUNDLE: the table of a run, again. */
#include <argp.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/cli.h"
#include "core/progress.h"

typedef struct arguments {
  const char *bundle;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->bundle != NULL) argp_error(state, "one bundle at a time, but got '%s' as well", arg);
    given->bundle = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "name the folder of a bundle");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0}, {0}};
static const struct argp show = {
    .options = options,
    .parser = parse,
    .args_doc = "BUNDLE",
    .doc = "Shows the figures of a bundle: median, 95 % interval, number of samples, unit, and the "
           "fraction of the peak that the same run measured.\v"
           "Example:\n  zhiheng show out/quickstart-20261121T100812Z\n\n"
           "A run that is invalid or whose peaks drifted says so above the table."};

static int run(int argc, char **argv) {
  arguments given = {0};
  argp_parse(&show, argc, argv, 0, NULL, &given);
  zh_error err = ZH_ERROR_INIT;
  if (given.json) {
    json_t *document = NULL;
    if (zh_bundle_json(&document, given.bundle, &err) != ZH_OK) return zh_cli_fail(&err, true);
    return zh_cli_print_json(document);
  }
  if (zh_bundle_table(stdout, given.bundle, zh_colour_allowed(STDOUT_FILENO), &err) != ZH_OK) {
    return zh_cli_fail(&err, false);
  }
  return zh_cli_flush();
}

const zh_command zh_command_show = {"show", "the table of a bundle", run};
