/* zhiheng registry: published scores, their conflicts and sources. */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"
#include "core/files.h"
#include "evaluator/evaluator.h"
#include "reports/reports.h"

enum { KEY_SVG = 256, KEY_BY, KEY_LANG };

typedef struct arguments {
  zh_registry_query query;
  const char *action;
  const char *svg, *by, *language;
  bool plot, json;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  static const char *const actions[] = {"scores", "models", "benchmarks", "check", NULL};
  char guess[ZH_GUESS_BYTES];
  switch (key) {
  case 'm':
    given->query.model = arg;
    return 0;
  case 'b':
    given->query.benchmark = arg;
    return 0;
  case 'c':
    given->query.country = arg;
    return 0;
  case 'k':
    given->query.kind = arg;
    return 0;
  case 'f':
    given->query.file = arg;
    return 0;
  case KEY_SVG:
    given->svg = arg;
    return 0;
  case KEY_BY:
    given->by = arg;
    if (strcmp(arg, "time") != 0 && strcmp(arg, "model") != 0)
      argp_error(state, "--by %s: expected time or model", arg);
    return 0;
  case KEY_LANG:
    given->language = arg;
    if (strcmp(arg, "zh") != 0 && strcmp(arg, "en") != 0)
      argp_error(state, "--lang %s: expected zh or en", arg);
    return 0;
  case 'p':
    given->plot = true;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->action != NULL) argp_error(state, "one action at a time");
    given->action = arg;
    for (int i = 0; actions[i] != NULL; i++)
      if (strcmp(actions[i], arg) == 0) return 0;
    argp_error(state, "expected scores, models, benchmarks or check, not '%s'%s", arg,
               zh_did_you_mean(guess, arg, actions));
    return EINVAL;
  case ARGP_KEY_END:
    if (given->action == NULL) given->action = "scores";
    if (strcmp(given->action, "scores") == 0 && given->query.model == NULL &&
        given->query.benchmark == NULL)
      argp_error(state, "name a model with --model or a benchmark with --benchmark ('zhiheng "
                        "registry models' and 'benchmarks' list them)");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"model", 'm', "NAME", 0, "rows of this model", 0},
    {"benchmark", 'b', "NAME", 0, "rows of this benchmark", 0},
    {"country", 'c', "CODE", 0, "rows of models of this country, such as CN", 0},
    {"kind", 'k', "WORD", 0, "base, chat, reasoning or multimodal", 0},
    {"file", 'f', "CSV", 0, "another registry than the one that comes with the program", 0},
    {"plot", 'p', NULL, 0, "scores as bars", 0},
    {"svg", KEY_SVG, "FILE", 0,
     "also draw the scores into an SVG; figures that contradict each other are joined and listed",
     0},
    {"by", KEY_BY, "WORD", 0,
     "of --svg: time (over dates of release, the default for a benchmark) or model", 0},
    {"lang", KEY_LANG, "WORD", 0, "of --svg: zh or en (as the terminal's)", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp registry = {
    .options = options,
    .parser = parse,
    .args_doc = "[scores|models|benchmarks|check]",
    .doc = "Published scores of named models with their sources. They can defeat a claim of "
           "leadership, never establish one: prompts, shots and judges differ, and there are no "
           "answers to pair with. Where sources disagree, all figures are shown.\v"
           "Examples:\n"
           "  zhiheng registry --benchmark C-Eval --country CN --kind base --plot\n"
           "  zhiheng registry --benchmark MMLU --svg mmlu.svg --by time\n"
           "  zhiheng registry --model Qwen2.5-72B --json\n"
           "  zhiheng registry check\n\n"
           "Exit status 1 means that 'check' found a fault.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static double score_of(const json_t *row) {
  return json_number_value(json_object_get(row, "score"));
}

/* A row whose score is no number is shown as it is: not as 0. */
static void print_score(const json_t *row) {
  const json_t *score = json_object_get(row, "score");
  if (json_is_number(score))
    printf("%8.2f ", json_number_value(score));
  else
    printf("%8s ", "nan");
}

/* A bar of up to 40 columns, the largest of the shown scores being the whole. */
static void print_bar(double score, double largest) {
  int length = largest > 0 ? (int)lround(40 * score / largest) : 0;
  for (int i = 0; i < 40; i++) fputs(i < length ? "█" : " ", stdout);
  printf(" ");
}

static void print_row(const json_t *row, bool plot, double largest) {
  print_score(row);
  zh_cli_put_padded(text_of(row, "unit"), 14);
  zh_cli_put_padded(text_of(row, "model"), 30);
  printf(" ");
  if (plot) {
    print_bar(score_of(row), largest);
    printf("\n");
    return;
  }
  zh_cli_put_padded(text_of(row, "kind"), 11);
  printf("%s%s%s%s%s  %s:%s\n", text_of(row, "metric"), text_of(row, "shots")[0] ? " shots " : "",
         text_of(row, "shots"), text_of(row, "setting")[0] ? " " : "", text_of(row, "setting"),
         text_of(row, "source_repo"), text_of(row, "source_path"));
}

/* Rows come by benchmark and unit; each is a scale of its own. */
static void print_rows(const json_t *rows, bool plot) {
  const json_t *row;
  const char *benchmark = "", *unit = "";
  double largest = 0;
  size_t i;
  json_array_foreach(rows, i, row) {
    bool fresh = strcmp(benchmark, text_of(row, "benchmark")) != 0;
    if (fresh || strcmp(unit, text_of(row, "unit")) != 0) largest = score_of(row);
    benchmark = text_of(row, "benchmark");
    unit = text_of(row, "unit");
    if (fresh) printf("%s%s\n", i > 0 ? "\n" : "", benchmark);
    print_row(row, plot, largest);
  }
}

/* Which figures contradict each other: all that makes two of them comparable. */
static void print_conflict(const json_t *conflict) {
  static const char *const parts[] = {"kind", "metric", "shots", "setting"};
  const json_t *row;
  size_t i;
  zh_cli_put(text_of(conflict, "model"));
  printf(", ");
  zh_cli_put(text_of(conflict, "benchmark"));
  printf(" (");
  for (size_t k = 0, said = 0; k < sizeof parts / sizeof *parts; k++) {
    const char *text = text_of(conflict, parts[k]);
    if (text[0] == '\0') continue;
    printf("%s", said++ > 0 ? ", " : "");
    zh_cli_put(text);
    if (strcmp(parts[k], "shots") == 0) printf(" shots");
  }
  printf(")\n");
  json_array_foreach(json_object_get(conflict, "rows"), i, row) {
    printf("  ");
    print_score(row);
    zh_cli_put(text_of(row, "unit"));
    printf("  ");
    zh_cli_put(text_of(row, "source_repo"));
    printf(":");
    zh_cli_put(text_of(row, "source_path"));
    printf("  ");
    zh_cli_put(text_of(row, "note"));
    printf("\n");
  }
}

static void print_conflicts(const json_t *conflicts) {
  const json_t *conflict;
  size_t i;
  if (json_array_size(conflicts) > 0)
    printf("\n%s\n", strcmp(zh_cli_language(), "zh") == 0 ? "来源不一致：" : "Sources disagree:");
  json_array_foreach(conflicts, i, conflict) print_conflict(conflict);
}

static void print_names(const json_t *names) {
  const json_t *name;
  size_t i;
  json_array_foreach(names, i, name) printf(
      "%5d  %s\n", (int)json_integer_value(json_object_get(name, "rows")), text_of(name, "name"));
}

static void print_check(const json_t *result) {
  const json_t *fault;
  size_t i;
  json_array_foreach(json_object_get(result, "faults"), i, fault)
      printf("%s:%d: %s, %s: %s\n", text_of(result, "file"),
             (int)json_integer_value(json_object_get(fault, "line")), text_of(fault, "model"),
             text_of(fault, "benchmark"), text_of(fault, "fault"));
  printf("%d rows, %zu faults\n", (int)json_integer_value(json_object_get(result, "rows")),
         json_array_size(json_object_get(result, "faults")));
}

static zh_status ask(json_t **out, const arguments *given, zh_error *err) {
  if (strcmp(given->action, "check") == 0) return zh_registry_check(out, given->query.file, err);
  if (strcmp(given->action, "scores") == 0) return zh_registry_scores(out, &given->query, err);
  return zh_registry_names(out, &given->query, strcmp(given->action, "models") == 0, err);
}

static int print_people(const json_t *result, const arguments *given) {
  if (strcmp(given->action, "check") == 0) {
    print_check(result);
  } else if (strcmp(given->action, "scores") == 0) {
    if (json_array_size(json_object_get(result, "rows")) == 0)
      printf("%s\n", strcmp(zh_cli_language(), "zh") == 0 ? "没有符合条件的成绩。"
                                                          : "No score has all of these.");
    print_rows(json_object_get(result, "rows"), given->plot);
    print_conflicts(json_object_get(result, "conflicts"));
  } else {
    print_names(result);
  }
  return zh_cli_flush();
}

/* Of one model there is one date: its benchmarks are rows unless time is asked for. */
static zh_status draw(const arguments *given, const json_t *result, zh_error *err) {
  const char *by = given->by != NULL                ? given->by
                   : given->query.benchmark != NULL ? "time"
                                                    : "model";
  char *svg = NULL;
  if (given->svg == NULL) return ZH_OK;
  if (strcmp(given->action, "scores") != 0)
    return zh_fail(err, ZH_ERR_USAGE, "--svg draws scores; leave out '%s'", given->action);
  ZH_TRY(zh_registry_svg(&svg, result, strcmp(by, "time") == 0,
                         given->language != NULL ? given->language : zh_cli_language(), err));
  zh_status status = zh_write_file(given->svg, svg, strlen(svg), err);
  free(svg);
  return status;
}

static int run(int argc, char **argv) {
  arguments given = {.action = NULL};
  zh_error err = ZH_ERROR_INIT;
  json_t *result = NULL;
  zh_cli_parse(&registry, argc, argv, &given);
  if (ask(&result, &given, &err) != ZH_OK || draw(&given, result, &err) != ZH_OK) {
    json_decref(result);
    return zh_cli_fail(&err, given.json);
  }
  bool faults =
      strcmp(given.action, "check") == 0 && json_array_size(json_object_get(result, "faults")) > 0;
  int printed;
  if (given.json) {
    printed = zh_cli_print_json(result);
  } else {
    printed = print_people(result, &given);
    json_decref(result);
  }
  if (printed != 0) return printed;
  return faults ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
}

const zh_command zh_command_registry = {"registry", "published scores and their sources", run};
