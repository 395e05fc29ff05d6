/* zhiheng evaluate BUNDLE…: findings of a policy, with their evidence. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char **bundles; /* argc of them at most */
  size_t bundle_count;
  const char *policy, *applicant, *out;
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
  case 'o':
    given->out = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    given->bundles[given->bundle_count++] = arg;
    return 0;
  case ARGP_KEY_END:
    if (given->policy == NULL)
      argp_error(state, "name a policy with --policy ('zhiheng list policies' lists them)");
    if (given->bundle_count == 0 && given->applicant == NULL)
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
        "Example:\n  zhiheng evaluate out/first --policy "
        "songjiang-2025-draft --applicant "
        "applicant.yaml\n\nThe verdict does not change the exit status: 0 means that the "
        "evaluation was written, 1 that a "
        "bundle or paper is not what its digest says.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* Verdicts as people read them on a terminal. */
static const char *verdict_word(const char *verdict, const char *language) {
  static const char *const words[][3] = {{"pass", "符合", "pass"},
                                         {"fail", "不符合", "FAIL"},
                                         {"undetermined", "不能判定", "undetermined"},
                                         {"not_applicable", "不适用", "not applicable"}};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp(words[i][0], verdict) == 0) return words[i][strcmp(language, "zh") == 0 ? 1 : 2];
  }
  return verdict;
}

static void print_padded(const char *text, int columns) {
  int used = zh_utf8_columns(text, strlen(text));
  printf("%s%*s", text, used < columns ? columns - used : 0, "");
}

static void print_finding(const json_t *finding, const char *language) {
  const json_t *clause = json_object_get(finding, "clause"),
               *value = json_object_get(finding, "value");
  printf("  ");
  print_padded(verdict_word(text_of(finding, "verdict"), language), 14);
  print_padded(text_of(clause, "id"), 14);
  printf("%s", text_of(json_object_get(finding, "statement"), language));
  if (json_is_integer(value)) {
    char digits[32];
    printf("  %s", zh_group_digits(digits, sizeof digits, (uint64_t)json_integer_value(value)));
  }
  printf("\n");
}

static void print_people(const json_t *evaluation, const char *out) {
  const char *language = zh_cli_language();
  const json_t *policy = json_object_get(evaluation, "policy"),
               *summary = json_object_get(evaluation, "summary");
  const json_t *grant = json_object_get(evaluation, "grant"), *entry;
  size_t i;
  printf("%s\n%s\n\n", text_of(json_object_get(policy, "title"), language),
         text_of(json_object_get(evaluation, "subject"), "model"));
  json_array_foreach(json_object_get(evaluation, "marks"), i, entry)
      printf("! %s\n", text_of(entry, language));
  printf("\n");
  json_array_foreach(json_object_get(evaluation, "findings"), i, entry)
      print_finding(entry, language);
  printf("\n%s\n%s%s%s\n\n%s\n", text_of(summary, language),
         text_of(json_object_get(grant, "title"), language),
         strcmp(language, "zh") == 0 ? "：" : ": ",
         text_of(json_object_get(grant, "statement"), language), out);
}

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
  print_people(evaluation, out);
  json_decref(evaluation);
  return zh_cli_flush();
}

static int run(int argc, char **argv) {
  arguments given = {.bundles = calloc((size_t)argc + 1, sizeof *given.bundles)};
  zh_error err = ZH_ERROR_INIT;
  if (given.bundles == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&evaluate, argc, argv, &given);
  int code = evaluate_given(&given);
  free(given.bundles);
  return code;
}

const zh_command zh_command_evaluate = {"evaluate", "bundles held against a policy", run};
