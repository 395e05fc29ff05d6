/* zhiheng verify PATH: recomputes what digests promise. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "reports/reports.h"

static const char doc[] =
    "Recomputes every digest of a bundle's or report's folder. For a report or an "
    "evaluation.json "
    "it also compares what is quoted with the bundle, where that lies beside it.\v"
    "Examples:\n  zhiheng verify out/quickstart-20261121T100812Z\n  zhiheng verify report\n\n"
    "Exit status 1 and the first difference, where there is one.";

static int run(int argc, char **argv) {
  zh_cli_word given = {.many = "one bundle, report or evaluation at a time",
                       .missing = "name a bundle, a report or an evaluation.json"};
  zh_cli_parse_word(&given, "PATH", doc, argc, argv);
  zh_error err = ZH_ERROR_INIT;
  char *what = NULL;
  if (zh_verify(&what, given.word, &err) != ZH_OK) return zh_cli_fail(&err, given.json);
  int code = 0;
  if (given.json) {
    code = zh_cli_print_json(
        json_pack("{s:s, s:b, s:s}", "path", given.word, "verified", 1, "what", what));
  } else {
    fputs(what, stdout);
    code = zh_cli_flush();
  }
  free(what);
  return code;
}

const zh_command zh_command_verify = {
    "verify", "recompute every digest of a bundle or report, and name the first difference", run};
