/* zhiheng compare BUNDLE…: submitted models side by side. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/compare_csv.h"
#include "core/files.h"
#include "evaluator/compare/compare.h"
#include "reports/reports.h"

enum {
  KEY_AGAINST = 256,
  KEY_METRIC,
  KEY_DAMAGE,
  KEY_EXPLORATORY,
  KEY_LANG,
  KEY_CSV,
  KEY_MARKDOWN,
  KEY_HTML
};
enum { DAMAGES = 64 };

typedef struct arguments {
  zh_compare_options options;
  const char **inputs; /* argc of them at most */
  const char *damage[DAMAGES];
  const char *language, *html;
  bool json, csv, markdown;
} arguments;

static const struct argp_option options[] = {
    {"against", KEY_AGAINST, "NAME", 0, "pairs with this model alone, instead of every pair", 0},
    {"metric", KEY_METRIC, "NAME", 0, "this score of the tasks that have it (each task's own)", 0},
    {"damage", KEY_DAMAGE, "REF=NAME,NAME", 0,
     "these models are REF quantised: what that cost, answer by answer; may be repeated", 0},
    {"exploratory", KEY_EXPLORATORY, NULL, 0,
     "p adjusted by Benjamini and Hochberg instead of Holm", 0},
    {"lang", KEY_LANG, "WORD", 0, "zh or en (as the terminal's)", 0},
    {"html", KEY_HTML, "FILE", 0, "also write a page, one file with its drawings in it", 0},
    {"markdown", KEY_MARKDOWN, NULL, 0, "the page as Markdown on standard output", 0},
    {"csv", KEY_CSV, NULL, 0, "every figure as a row of CSV on standard output", 0},
    {"threads", 't', "N", 0, "threads; one for each CPU unless given. The result is the same", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static void check(const arguments *given, struct argp_state *state) {
  if (given->options.input_count == 0)
    argp_error(state, "name the bundles, folders of evaluations or tables of scores to compare");
  if (given->json + given->csv + given->markdown > 1)
    argp_error(state, "one of --json, --csv and --markdown at a time");
  if (given->language != NULL && strcmp(given->language, "zh") != 0 &&
      strcmp(given->language, "en") != 0)
    argp_error(state, "--lang %s: expected zh or en", given->language);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  zh_compare_options *o = &given->options;
  switch (key) {
  case KEY_AGAINST:
    o->against = arg;
    return 0;
  case KEY_METRIC:
    o->metric = arg;
    return 0;
  case KEY_DAMAGE:
    if (o->damage_count == DAMAGES) argp_error(state, "--damage: at most %d times", DAMAGES);
    given->damage[o->damage_count++] = arg;
    return 0;
  case KEY_EXPLORATORY:
    o->exploratory = true;
    return 0;
  case KEY_LANG:
    given->language = arg;
    return 0;
  case KEY_HTML:
    given->html = arg;
    return 0;
  case KEY_MARKDOWN:
    given->markdown = true;
    return 0;
  case KEY_CSV:
    given->csv = true;
    return 0;
  case 't':
    o->threads = (int)zh_cli_whole("threads", arg, 1, 1024, state);
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    given->inputs[o->input_count++] = arg;
    return 0;
  case ARGP_KEY_END:
    check(given, state);
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "[NAME=]BUNDLE[,BUNDLE...]...",
    .doc =
        "Puts two to 50 models side by side: speeds with their ratios, scores with paired tests of "
        "every two models that answered the same items, sets of ranks, who is dominated in speed "
        "and quality, and what quantisation cost. Conditions that differ are named; what cannot be "
        "compared is 证据不足 (insufficient evidence) and has no figure.\v"
        "A BUNDLE is a folder of 'zhiheng run' or of 'zhiheng eval --out', or a table of scores as "
        "'zhiheng rank' reads it. NAME= gives a model's label and joins its bundles; without it, "
        "speeds and scores of one model file are joined by its digest.\n\n"
        "Examples:\n"
        "  zhiheng compare out/a out/b --html compare.html\n"
        "  zhiheng compare ours=out/speed,out/eval peer=peer.csv --against peer --json\n"
        "  zhiheng compare BF16=out/bf16 Q4=out/q4 --damage BF16=Q4\n\n"
        "docs/compare.md says how figures are made. What differs does not change the exit status.",
};

static zh_status write_page(const arguments *given, const json_t *result, const char *language,
                            zh_error *err) {
  char *page = NULL;
  if (given->html == NULL) return ZH_OK;
  ZH_TRY(zh_comparison_page(&page, result, language, ZH_PAGE_HTML, err));
  zh_status status = zh_write_file(given->html, page, strlen(page), err);
  free(page);
  return status;
}

static int print(const arguments *given, const json_t *result, const char *language) {
  zh_error err = ZH_ERROR_INIT;
  char *text = NULL;
  zh_status status =
      given->csv ? zh_compare_csv(&text, result, language, &err)
                 : zh_comparison_page(&text, result, language,
                                      given->markdown ? ZH_PAGE_MARKDOWN : ZH_PAGE_TERMINAL, &err);
  if (status != ZH_OK) return zh_cli_fail(&err, false);
  fputs(text, stdout);
  free(text);
  return zh_cli_flush();
}

static int compare(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *result = NULL;
  const char *language = given->language != NULL ? given->language : zh_cli_language();
  zh_status status = zh_compare(&result, &given->options, &err);
  if (status == ZH_OK) status = write_page(given, result, language, &err);
  if (status != ZH_OK) {
    json_decref(result);
    return zh_cli_fail(&err, given->json);
  }
  if (given->json) return zh_cli_print_json(result);
  int code = print(given, result, language);
  json_decref(result);
  return code;
}

static int run(int argc, char **argv) {
  arguments given = {.inputs = calloc((size_t)argc + 1, sizeof *given.inputs)};
  zh_error err = ZH_ERROR_INIT;
  if (given.inputs == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&parser, argc, argv, &given);
  given.options.inputs = given.inputs;
  given.options.damage = given.damage;
  int code = compare(&given);
  free(given.inputs);
  return code;
}

const zh_command zh_command_compare = {"compare", "models side by side: speeds, scores, tests",
                                       run};
