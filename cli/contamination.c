/* zhiheng contamination: which items a corpus contains, or a model has seen. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/device_word.h"
#include "cli/cli.h"
#include "cli/contamination.h"
#include "evaluator/leading/contamination.h"

enum {
  KEY_CORPUS = 256,
  KEY_FIELD,
  KEY_RUN,
  KEY_SHARE,
  KEY_REFERENCE,
  KEY_SIGNS,
  KEY_ORDERS,
  KEY_WINDOW,
  KEY_ALPHA,
  KEY_THREADS,
  KEY_DEVICE
};

static const struct argp_option options[] = {
    {"corpus", KEY_CORPUS, "PATH", 0,
     "text, JSONL, or a folder of such, in which items are looked for; may be repeated", 0},
    {"field", KEY_FIELD, "NAME", 0, "member of a JSONL line that is the text (text)", 0},
    {"run", KEY_RUN, "N", 0, "words in a row that must agree (11)", 0},
    {"share", KEY_SHARE, "PART", 0, "an item is listed from this share of its words on (0.2)", 0},
    {"reference", KEY_REFERENCE, "NAME,NAME", 0,
     "tasks of the same kind that the model cannot have seen, for Min-K %", 0},
    {"signs", KEY_SIGNS, "WORD,WORD", 0,
     "of the model: order, options, least (all of them unless given)", 0},
    {"orders", KEY_ORDERS, "N", 0, "orders beside the published one (23)", 0},
    {"window", KEY_WINDOW, "N", 0, "tokens of a row of items whose order is tested (1024)", 0},
    {"alpha", KEY_ALPHA, "P", 0, "level of the tests, and false discovery rate of items (0.05)", 0},
    {"threads", KEY_THREADS, "N", 0, "threads (one for each core that this process may use)", 0},
    {"device", KEY_DEVICE, "WORD", 0,
     "where it is computed: " ZH_DEVICE_WORD_HELP " (default: cpu)", 0},
    {"out", 'o', "FILE", 0, "write the listed items as a table, for a protocol's `contaminated`",
     0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static double part_of(const char *name, const char *text, struct argp_state *state) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !(value > 0 && value < 1))
    argp_error(state, "--%s %s: expected a number between 0 and 1", name, text);
  return value;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  zh_search_arguments *given = state->input;
  switch (key) {
  case ARGP_KEY_INIT:
    state->child_inputs[0] = &given->words;
    return 0;
  case 'o':
    given->out = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case KEY_CORPUS:
    if (given->corpus_count == ZH_SEARCH_CORPORA)
      argp_error(state, "--corpus: at most %d of them", ZH_SEARCH_CORPORA);
    given->corpora[given->corpus_count++] = arg;
    return 0;
  case KEY_FIELD:
    given->field = arg;
    return 0;
  case KEY_RUN:
    given->run = zh_cli_whole("run", arg, 2, ZH_OVERLAP_RUN_MAX, state);
    return 0;
  case KEY_SHARE:
    given->share = part_of("share", arg, state);
    return 0;
  case KEY_REFERENCE:
    given->reference = arg;
    return 0;
  case KEY_SIGNS:
    given->signs = arg;
    return 0;
  case KEY_ORDERS:
    given->orders = zh_cli_whole("orders", arg, 1, 1000, state);
    return 0;
  case KEY_WINDOW:
    given->window = zh_cli_whole("window", arg, 32, 1 << 20, state);
    return 0;
  case KEY_ALPHA:
    given->alpha = part_of("alpha", arg, state);
    return 0;
  case KEY_THREADS:
    given->threads = zh_cli_whole("threads", arg, 1, ZH_CLI_CPUS, state);
    return 0;
  case KEY_DEVICE:
    given->device = arg;
    return 0;
  case ARGP_KEY_ARG:
    if (given->model) argp_error(state, "one model at a time, but got '%s' as well", arg);
    given->model = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->model && given->corpus_count == 0)
      argp_error(state, "name a model, or a corpus: --corpus PATH, or both");
    if (given->reference && !given->model)
      argp_error(state, "--reference is read by a model, and none is named");
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
    .args_doc = "[MODEL] --tasks NAME,NAME",
    .doc =
        "Looks for signs that items were seen before the comparison: runs of words that a corpus "
        "has as well; a published order of items or options that the model likes better than "
        "others; items whose least likely tokens are likelier than those of unseen items "
        "(Min-K %).\v"
        "Examples:\n"
        "  zhiheng contamination --tasks ceval-valid --data data --corpus crawl/ --out seen.csv\n"
        "  zhiheng contamination model.gguf --tasks ceval-valid --data data\n"
        "  zhiheng contamination model.gguf --tasks my-task.yaml --signs least --reference "
        "made_en\n\n"
        "The table of --out is what a protocol names as `contaminated`: 'zhiheng rank' then "
        "repeats its decision without those items. No sign proves that items were not seen. "
        "Exit status 1 where items are listed. docs/leading.md, docs/metrics.md."};

static zh_status look(zh_search *s, zh_error *err) {
  const zh_search_arguments *given = s->given;
  ZH_TRY(zh_task_words_open(&s->exam, &given->words, given->words.tasks, err));
  ZH_TRY(zh_search_begin(&s->measured, s->exam, err));
  ZH_TRY(zh_search_corpora(s, err));
  ZH_TRY(zh_search_model(s, err));
  const zh_contamination_options how = {.alpha = given->alpha,
                                        .not_clean = given->share,
                                        .replicates = 9999,
                                        .seed = given->words.options.seed};
  ZH_TRY(zh_contamination_decide(&s->result, s->measured, s->measured_reference, &how, err));
  if (s->model) json_object_set_new(s->result, "model", json_string(zh_model_name(s->model)));
  if (given->corpus_count > 0)
    json_object_set_new(s->result, "corpus",
                        json_pack("{s:I, s:I, s:I}", "documents", (json_int_t)s->corpus.documents,
                                  "words", (json_int_t)s->corpus.words, "bytes",
                                  (json_int_t)s->corpus.bytes));
  return given->out ? zh_search_write(s->result, given->out, err) : ZH_OK;
}

static int say(zh_search *s) {
  bool listed = json_integer_value(json_object_get(s->result, "listed")) > 0;
  if (s->given->json) {
    int code = zh_cli_print_json(json_incref(s->result));
    return code != 0 ? code : listed ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
  }
  zh_error err = ZH_ERROR_INIT;
  if (zh_search_print(s->result, &err) != ZH_OK) return zh_cli_fail(&err, false);
  if (s->given->out) printf("\n%s\n", s->given->out);
  int code = zh_cli_flush();
  return code != 0 ? code : listed ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
}

static int run(int argc, char **argv) {
  zh_search_arguments given = {
      .field = "text", .run = ZH_OVERLAP_RUN, .orders = 23, .share = 0.2, .alpha = 0.05};
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&parser, argc, argv, &given);
  zh_search s = {.given = &given};
  int code = look(&s, &err) == ZH_OK ? say(&s) : zh_cli_fail(&err, given.json);
  json_decref(s.result);
  json_decref(s.measured);
  json_decref(s.measured_reference);
  zh_exam_free(s.exam);
  zh_exam_free(s.reference);
  zh_threads_free(s.threads);
  zh_model_free(s.model);
  return code;
}

const zh_command zh_command_contamination = {"contamination",
                                             "which items a corpus has, or a model has seen", run};
