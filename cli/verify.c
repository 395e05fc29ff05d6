/* zhiheng verify PATH: recomputes what digests promise. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "reports/reports.h"

typedef struct arguments {
  const char *path;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->path != NULL)
      argp_error(state, "name one bundle, report or evaluation, not several");
    given->path = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "name a bundle, a report or an evaluation.json");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0}, {0}};
static const struct argp verify = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH",
    .doc =
        "Recomputes every digest of a bundle's or report's folder. For a report or an "
        "evaluation.json "
        "it also compares what is quoted with the bundle, where that lies beside it.\v"
        "Examples:\n  zhiheng verify out/quickstart-20261121T100812Z\n  zhiheng verify report\n\n"
        "Exit status 1 and the first difference, where there is one.",
};

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  char *what = NULL;
  argp_err_exit_status = zh_status_exit_code(ZH_ERR_USAGE);
  if (argp_parse(&verify, argc, argv, 0, NULL, &given) != 0)
    return zh_status_exit_code(ZH_ERR_USAGE);
  if (zh_verify(&what, given.path, &err) != ZH_OK) return zh_cli_fail(&err, given.json);
  int code = 0;
  if (given.json) {
    code = zh_cli_print_json(
        json_pack("{s:s, s:b, s:s}", "path", given.path, "verified", 1, "what", what));
  } else {
    fputs(what, stdout);
    code = zh_cli_flush();
  }
  free(what);
  return code;
}

const zh_command zh_command_verify = {
    "verify", "recompute every digest of a bundle or report, and name the first difference", run};
