/* zhiheng report EVALUATION: pages for people. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/progress.h"
#include "reports/reports.h"

enum { KEY_NO_PDF = 256 };

typedef struct arguments {
  zh_report_options options;
  bool json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'l':
    given->options.language = arg;
    return 0;
  case 'o':
    given->options.out = arg;
    return 0;
  case KEY_NO_PDF:
    given->options.pdf = false;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->options.evaluation != NULL) argp_error(state, "name one evaluation, not several");
    given->options.evaluation = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "name an evaluation.json, as 'zhiheng evaluate' writes it");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"lang", 'l', "zh|en", 0, "one language instead of both", 0},
    {"out", 'o', "DIR", 0, "folder to make; 'report' beside the evaluation unless given", 0},
    {"no-pdf", KEY_NO_PDF, NULL, 0, "HTML only, even where WeasyPrint is installed", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp report = {
    .options = options,
    .parser = parse,
    .args_doc = "EVALUATION",
    .doc =
        "Writes an evaluation as pages: one HTML file a language that needs nothing else, a PDF of "
        "each where WeasyPrint is installed, the evaluation itself, and the SM3 of every file.\v"
        "Examples:\n  zhiheng report evaluation.json\n  zhiheng report evaluation.json --lang zh "
        "--out songjiang-report --no-pdf\n\nA folder that an earlier report made is replaced in "
        "one "
        "step; any other is left alone. The same evaluation gives the same bytes.",
};

static json_t *result_json(const zh_report_result *result) {
  return json_pack("{s:s, s:b, s:s}", "report", result->folder, "pdf", result->pdf_written,
                   "pdf_reason", result->pdf_reason);
}

static int print_people(const zh_report_result *result, bool pdf_wanted) {
  printf("Report: %s\n", result->folder);
  if (pdf_wanted && result->pdf_reason[0] != '\0')
    zh_warn("%s: %s", result->pdf_written ? "a PDF is missing" : "no PDF, HTML only",
            result->pdf_reason);
  return zh_cli_flush();
}

static int run(int argc, char **argv) {
  arguments given = {.options = {.pdf = true}};
  zh_report_result result;
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&report, argc, argv, &given);
  if (zh_report_write(&result, &given.options, &err) != ZH_OK) return zh_cli_fail(&err, given.json);
  return given.json ? zh_cli_print_json(result_json(&result))
                    : print_people(&result, given.options.pdf);
}

const zh_command zh_command_report = {
    "report", "write an evaluation as HTML and PDF, in Chinese and English", run};
