/* zhiheng evaluate BUNDLE…: findings of a policy, with their evidence. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char **bundles; /* argc of them at most */
  size_t bundle_count;
  const char *policy, *applicant, *out;
  bool json, example;
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
  case 'o':
    given->out = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case 'e':
    given->example = true;
    return 0;
  case ARGP_KEY_ARG:
    given->bundles[given->bundle_count++] = arg;
    return 0;
  case ARGP_KEY_END:
    if (given->policy == NULL)
      argp_error(state, "name a policy with --policy ('zhiheng list policies' lists them)");
    if (given->bundle_count == 0 && given->applicant == NULL && !given->example)
      argp_error(state, "name the folder of a bundle, or an applicant's file with --applicant");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"policy", 'p', "NAME", 0, "policy to evaluate against: a name, or the path of a YAML file", 0},
    {"applicant", 'a', "FILE", 0, "the applicant's YAML file with its papers beside it", 0},
    {"out", 'o', "FILE", 0, "where to write; evaluation.json in the current folder unless given",
     0},
    {"example", 'e', NULL, 0,
     "an applicant's file for the policy on standard output, to be filled in; nothing is evaluated",
     0},
    {"json", 'j', NULL, 0, "also one JSON document on standard output", 0},
    {0}};
static const struct argp evaluate = {
    .options = options,
    .parser = parse,
    .args_doc = "[BUNDLE...]",
    .doc =
        "Verifies the bundles and holds them, and the applicant's papers, against a policy. "
        "Every submitted model of "
        "the bundles is evaluated; where there is none, the first standard model. Without a bundle "
        "the applicant's papers alone are looked at.\v"
        "Examples:\n"
        "  zhiheng evaluate --policy songjiang-2025-draft --example > applicant.yaml\n"
        "  zhiheng evaluate out/first --policy songjiang-2025-draft --applicant applicant.yaml\n\n"
        "docs/applicant.md describes the applicant's file. The verdict does not change the exit "
        "status: 0 means that the "
        "evaluation was written, 1 that a "
        "bundle or paper is not what its digest says.",
};

static int evaluate_given(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *evaluation = NULL;
  const char *out = given->out != NULL ? given->out : "evaluation.json";
  zh_status status = zh_evaluate(&evaluation, given->bundles, given->bundle_count, given->policy,
                                 given->applicant, &err);
  if (status == ZH_OK) status = zh_json_write_file(evaluation, out, &err);
  if (status != ZH_OK) {
    json_decref(evaluation);
    return zh_cli_fail(&err, given->json);
  }
  if (given->json) return zh_cli_print_json(evaluation);
  zh_cli_print_evaluation(evaluation, out);
  json_decref(evaluation);
  return zh_cli_flush();
}

static int print_example(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  char *text = NULL;
  if (zh_applicant_example(&text, given->policy, zh_cli_language(), &err) != ZH_OK)
    return zh_cli_fail(&err, given->json);
  fputs(text, stdout);
  free(text);
  return zh_cli_flush();
}

static int run(int argc, char **argv) {
  arguments given = {.bundles = calloc((size_t)argc + 1, sizeof *given.bundles)};
  zh_error err = ZH_ERROR_INIT;
  if (given.bundles == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&evaluate, argc, argv, &given);
  int code = given.example ? print_example(&given) : evaluate_given(&given);
  free(given.bundles);
  return code;
}

const zh_command zh_command_evaluate = {"evaluate", "bundles held against a policy", run};
