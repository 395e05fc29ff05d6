/* zhiheng verify PATH: recomputes what digests promise. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "core/files.h"
#include "evaluator/evaluator.h"
#include "reports/reports.h"

static const char doc[] =
    "Recomputes every digest of a bundle's or report's folder. For a report or an "
    "evaluation.json "
    "it also compares what is quoted with the bundle, where that lies beside it.\v"
    "Examples:\n  zhiheng verify out/quickstart-20261121T100812Z\n  zhiheng verify report\n\n"
    "Exit status 1 and the first difference, where there is one.";

/* What digests do not tell of a bundle: whether the models that were counted are those that ran. */
static zh_status check_models(const char *path, zh_error *err) {
  char run_json[PATH_MAX];
  if (snprintf(run_json, sizeof run_json, "%s/run.json", path) >= (int)sizeof run_json ||
      !zh_is_file(run_json))
    return ZH_OK;
  return zh_bundle_check(path, err);
}

static int run(int argc, char **argv) {
  zh_cli_word given = {.many = "one bundle, report or evaluation at a time",
                       .missing = "name a bundle, a report or an evaluation.json"};
  zh_cli_parse_word(&given, "PATH", doc, argc, argv);
  zh_error err = ZH_ERROR_INIT;
  char *what = NULL;
  zh_status status = zh_verify(&what, given.word, &err);
  if (status == ZH_OK) status = check_models(given.word, &err);
  if (status != ZH_OK) {
    free(what);
    return zh_cli_fail(&err, given.json);
  }
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
