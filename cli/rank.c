/* zhiheng rank PROTOCOL.yaml SCORES.csv…: leading, tied, not leading, or not enough evidence. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/files.h"
#include "core/text.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *protocol;
  const char **scores; /* argc of them at most */
  size_t count;
  int threads;
  bool json, example;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case 'e':
    given->example = true;
    return 0;
  case 't':
    given->threads = (int)zh_cli_whole("threads", arg, 1, 1024, state);
    return 0;
  case ARGP_KEY_ARG:
    if (given->protocol == NULL)
      given->protocol = arg;
    else
      given->scores[given->count++] = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->example && (given->protocol == NULL || given->count == 0))
      argp_error(state, "name a protocol and the tables of scores, one a model, or bundles");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"threads", 't', "N", 0, "threads; one for each CPU unless given. The result is the same", 0},
    {"example", 'e', NULL, 0, "a protocol on standard output, to be filled in", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp rank = {
    .options = options,
    .parser = parse,
    .args_doc = "PROTOCOL.yaml SCORES.csv|BUNDLE...",
    .doc =
        "Holds a model against its declared peers under a locked protocol and says whether it "
        "leads (领先), is tied for the lead (并列领先), does not lead (不领先), or that the "
        "evidence does not suffice (证据不足).\v"
        "A table has the columns item,cluster,task,modality,score[,run][,prompt] in any order of "
        "rows; its model is the file's name, or a line '# model: NAME' before its header; "
        "'# model_sm3: DIGEST' and '# protocol: DIGEST' stand there, too. A bundle of 'zhiheng "
        "eval' stands for the tables in it. docs/leading.md describes protocol and verdict.\n\n"
        "Examples:\n  zhiheng rank --example > protocol.yaml\n"
        "  zhiheng rank protocol.yaml ours.csv peer-a.csv peer-b.csv --json\n\n"
        "The verdict does not change the exit status.",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static bool chinese(void) {
  return strcmp(zh_cli_language(), "zh") == 0;
}

static const char *verdict_of(const json_t *object) {
  return text_of(object, chinese() ? "verdict" : "verdict_en");
}

static void print_sentence(const char *mark, const json_t *entry) {
  printf("%s ", mark);
  zh_cli_put(text_of(entry, zh_cli_language()));
  printf("\n");
}

static void print_sentences(const json_t *list, const char *mark) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) print_sentence(mark, entry);
}

/* --- the table of modalities and tasks --- */

enum { NAME = 20, VERDICT = 22, RANK = 4, FIGURE = 10, INTERVAL = 21, P = 9, UNIT = 10 };

static void print_head(void) {
  bool zh = chinese();
  zh_cli_put_padded(zh ? "模态、任务" : "modality, task", NAME);
  zh_cli_put_padded(zh ? " 结论" : " verdict", VERDICT + 1);
  printf(" %*s %*s ", RANK, "L", RANK, "U");
  zh_cli_put_padded(zh ? "      差值" : "difference", FIGURE);
  zh_cli_put_padded(zh ? "            95% 区间" : "        95 % interval", INTERVAL + 1);
  zh_cli_put_padded(zh ? " 单位" : " unit", UNIT + 1);
  zh_cli_put_padded(zh ? "单侧 p" : "p", P);
  printf(" %s\n", zh ? "最接近的同类模型" : "closest peer");
}

static void print_figures(const json_t *unit) {
  bool shares = strcmp(text_of(unit, "unit"), "share") == 0;
  double scale = shares ? 100 : 1;
  char figure[32], interval[64];
  snprintf(figure, sizeof figure, "%+.2f",
           scale * json_number_value(json_object_get(unit, "difference")));
  snprintf(interval, sizeof interval, "[%+.2f, %+.2f]",
           scale * json_number_value(json_object_get(unit, "low")),
           scale * json_number_value(json_object_get(unit, "high")));
  printf("%*s %*s ", FIGURE, figure, INTERVAL, interval);
  zh_cli_put_padded(shares ? chinese() ? "百分点" : "points" : chinese() ? "分" : "of score", UNIT);
  printf("%-*.4g ", P, json_number_value(json_object_get(unit, "p")));
  zh_cli_put(text_of(unit, "peer"));
}

enum { NAME_BYTES = 60 }; /* of a longer name the beginning */

static void print_unit(const char *name, const json_t *unit) {
  char shown[NAME_BYTES + 8];
  size_t length = strlen(name);
  if (length > NAME_BYTES) length = zh_utf8_valid_prefix(name, NAME_BYTES);
  snprintf(shown, sizeof shown, "%.*s%s", (int)length, name, name[length] != '\0' ? "…" : "");
  zh_cli_put_padded(shown, NAME);
  printf(" ");
  zh_cli_put_padded(verdict_of(unit), VERDICT);
  printf(" %*d %*d ", RANK, (int)json_integer_value(json_object_get(unit, "L")), RANK,
         (int)json_integer_value(json_object_get(unit, "U")));
  if (json_is_number(json_object_get(unit, "p"))) print_figures(unit);
  printf("\n");
}

static void print_units(const json_t *units) {
  const char *name;
  json_t *unit;
  json_object_foreach((json_t *)units, name, unit) print_unit(name, unit);
}

/* --- what it rests on --- */

/* Whether a table says under which protocol it was made, and which model file it is of. */
static void print_model(const json_t *model) {
  bool protocol = json_is_string(json_object_get(model, "protocol_sm3")),
       file = json_is_string(json_object_get(model, "model_sm3")), zh = chinese();
  zh_cli_put_padded(text_of(model, "model"), NAME);
  if (zh)
    printf(" 得分表%s协议摘要，%s模型文件摘要\n", protocol ? "写明" : "未写明",
           file ? "写明" : "未写明");
  else
    printf(" its table states %s\n", protocol && file ? "protocol and model file"
                                     : protocol       ? "its protocol, no model file"
                                     : file           ? "its model file, no protocol"
                                                      : "neither protocol nor model file");
}

static void print_models(const json_t *models) {
  const json_t *model;
  size_t i;
  json_array_foreach(models, i, model) print_model(model);
}

static int print_people(const json_t *result) {
  const json_t *protocol = json_object_get(result, "protocol"),
               *clean = json_object_get(result, "clean"),
               *endpoints = json_object_get(result, "endpoints");
  zh_cli_put(text_of(protocol, "claimant"));
  printf(": %s\n", verdict_of(result));
  print_sentences(json_object_get(result, "decided_by"), "  -");
  print_sentences(json_object_get(result, "would_change"), "  +");
  print_sentences(json_object_get(result, "notes"), "  *");
  if (json_is_object(clean)) print_sentence("  *", clean);
  print_sentences(json_object_get(result, "published"), "  *");
  printf("\n");
  if (json_object_size(endpoints) > 0) print_head();
  print_units(endpoints);
  print_units(json_object_get(result, "tasks"));
  print_models(json_object_get(result, "models"));
  printf("SM3 %s\n", text_of(protocol, "sm3"));
  return zh_cli_flush();
}

static int print_example(void) {
  zh_error err = ZH_ERROR_INIT;
  char path[4096], *text = NULL;
  size_t length;
  zh_status status = zh_data_path(path, sizeof path, "evaluator/leading/example.yaml", &err);
  if (status == ZH_OK) status = zh_read_file(&text, &length, path, 1 << 20, &err);
  if (status != ZH_OK) return zh_cli_fail(&err, false);
  fputs(text, stdout);
  free(text);
  return zh_cli_flush();
}

static int run_given(const arguments *given) {
  zh_error err = ZH_ERROR_INIT;
  json_t *result;
  if (given->example) return print_example();
  if (zh_rank(&result, given->protocol, given->scores, given->count, given->threads, &err) != ZH_OK)
    return zh_cli_fail(&err, given->json);
  if (given->json) return zh_cli_print_json(result);
  int code = print_people(result);
  json_decref(result);
  return code;
}

static int run(int argc, char **argv) {
  arguments given = {.scores = calloc((size_t)argc + 1, sizeof *given.scores)};
  zh_error err = ZH_ERROR_INIT;
  if (given.scores == NULL)
    return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), false);
  zh_cli_parse(&rank, argc, argv, &given);
  int code = run_given(&given);
  free(given.scores);
  return code;
}

const zh_command zh_command_rank = {"rank", "whether a model leads its peers", run};
