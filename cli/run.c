/* zhiheng run SUITE: measures, and leaves a bundle. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "cli/audit_live.h"
#include "cli/cli.h"
#include "core/progress.h"

enum {
  WORDS_MAX = 64,
  COUNT_MAX = 1000000,
  OPTION_NONCE = 256,
  OPTION_LIVE,
  OPTION_CACHE,
  OPTION_DEVICE
};

typedef struct arguments {
  zh_run_options options;
  const char *models[WORDS_MAX], *settings[WORDS_MAX];
  bool json;
  zh_audit_live live;
} arguments;

/* "fault=weight", or the bare word. */
static const char *parse_fault(const char *text) {
  return strncmp(text, "fault=", 6) == 0 ? text + 6 : text;
}

static void keep(const char **list, size_t *count, const char *word, struct argp_state *state) {
  if (*count == WORDS_MAX) argp_error(state, "at most %d of one option", WORDS_MAX);
  list[(*count)++] = word;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  zh_run_options *o = &given->options;
  switch (key) {
  case 'm':
    keep(given->models, &o->model_count, arg, state);
    return 0;
  case 's':
    keep(given->settings, &o->setting_count, arg, state);
    return 0;
  case 'o':
    o->out = arg;
    return 0;
  case 'r':
    o->ranks = (int)zh_cli_whole("ranks", arg, 1, COUNT_MAX, state);
    return 0;
  case 't':
    o->threads = (int)zh_cli_whole("threads", arg, 1, COUNT_MAX, state);
    return 0;
  case 'R':
    o->resume = arg;
    return 0;
  case 'l':
    o->launcher = arg;
    return 0;
  case 'i':
    o->inject = parse_fault(arg);
    return 0;
  case OPTION_NONCE:
    o->nonce = arg;
    return 0;
  case OPTION_CACHE:
    o->packed_cache = arg;
    return 0;
  case OPTION_DEVICE:
    o->device = arg;
    return 0;
  case OPTION_LIVE:
    given->live.wanted = true;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (o->suite) argp_error(state, "one suite at a time, but got '%s' as well", arg);
    o->suite = arg;
    return 0;
  case ARGP_KEY_END:
    if (!o->suite && !o->resume)
      argp_error(state, "name a suite ('zhiheng list suites' shows them)");
    if (o->out && o->resume)
      argp_error(state, "--resume goes on in its own folder; leave --out out");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"model", 'm', "FILE|NAME", 0, "model to run, instead of the suite's own; may be repeated", 0},
    {"out", 'o', "DIR", 0, "bundle folder to make (default: out/SUITE-TIME)", 0},
    {"ranks", 'r', "N", 0, "number of ranks (default: the suite's, else 1)", 0},
    {"threads", 't', "N", 0, "threads of each rank (default: one for each of its cores)", 0},
    {"set", 's', "KEY=VALUE", 0,
     "changes a parameter: step.parameter=value, or parameter=value for every step that has it; "
     "also repeats, warmup and deadline",
     0},
    {"resume", 'R', "DIR", 0, "goes on with an unfinished run, redoing only what is missing", 0},
    {"launcher", 'l', "WORD", 0, "direct, mpirun or srun (default: what fits)", 0},
    {"device", OPTION_DEVICE, "WORD", 0,
     "where models are computed: " ZH_DEVICE_WORD_HELP " (default: the suite's, else cpu)", 0},
    {"inject", 'i', "fault=WORD", 0,
     "puts a fault in, to see it caught: weight, token, activation, clock, cache, stale, layer, "
     "layers, swap, precision, expert, experts or tile",
     0},
    {"nonce", OPTION_NONCE, "WORDS", 0,
     "asks for a certificate of each decode step; which tokens it shows follows from these words "
     "of "
     "the laboratory and from the timed answers (docs/certificate.md)",
     0},
    {"packed-cache", OPTION_CACHE, "DIR", 0,
     "keeps weights as they are rearranged for the kernels in this folder, and maps them at the "
     "next start, every byte compared with the model",
     0},
    {"live", OPTION_LIVE, NULL, 0,
     "audits with proof by perturbation: which share of the parameters changes the output", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "SUITE",
    .doc = "Runs a suite and leaves a bundle: every figure with its samples, the machine, the "
           "models' audit, and a manifest of digests.\v"
           "Examples:\n"
           "  zhiheng run quickstart --model models/SmolLM2-135M-Instruct.Q4_1.gguf\n"
           "  zhiheng run llm --model zh-0.1b --set decode.tokens=64\n"
           "  zhiheng run --resume out/quickstart-20261121T100812Z.partial\n\n"
           "Exit status: 0 all checks and criteria held; 1 one did not (the bundle says which); 2 "
           "bad usage or input; 3 something is lacking, or the run was interrupted."};

static int show_json(const zh_run_result *result, const zh_error *err) {
  json_t *document = NULL;
  zh_error reading = ZH_ERROR_INIT;
  if (zh_bundle_json(&document, result->bundle, &reading) != ZH_OK)
    return zh_cli_fail(&reading, true);
  json_object_set_new(document, "bundle", json_string(result->bundle));
  if (err->status != ZH_OK) {
    fprintf(stderr, "zhiheng: %s\n", err->message);
    json_object_set_new(
        document, "error",
        json_pack("{s:s,s:s}", "status", zh_status_name(err->status), "message", err->message));
  }
  int printed = zh_cli_print_json(document);
  return printed ? printed : zh_status_exit_code(err->status);
}

static int show_table(const zh_run_result *result, const zh_error *err) {
  zh_error reading = ZH_ERROR_INIT;
  if (zh_bundle_table(stdout, result->bundle, zh_colour_allowed(STDOUT_FILENO), zh_cli_language(),
                      &reading) != ZH_OK)
    return zh_cli_fail(&reading, false);
  int printed = zh_cli_flush();
  if (err->status != ZH_OK) return zh_cli_fail(err, false);
  fprintf(stderr, "bundle: %s\n", result->bundle);
  return printed;
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  zh_run_result result;
  /* As it was typed: argp reorders argv, and argv[0] holds two words. */
  const char **command = calloc((size_t)argc + 1, sizeof *command);
  if (!command) return zh_status_exit_code(ZH_ERR_MEMORY);
  command[0] = "zhiheng";
  command[1] = "run";
  for (int i = 1; i < argc; i++) command[i + 1] = argv[i];
  zh_cli_parse(&parser, argc, argv, &given);
  given.options.models = given.models;
  given.options.settings = given.settings;
  given.options.command = command;
  given.options.command_count = argc + 1;
  given.options.audit = zh_audit_for_run;
  given.options.audit_user = &given.live;
  signal(SIGXFSZ, SIG_IGN); /* a full quota is an error of write(), told in words */
  zh_status status = zh_run(&result, &given.options, &err);
  free(command);
  if (status != ZH_OK && !result.complete) return zh_cli_fail(&err, given.json);
  return given.json ? show_json(&result, &err) : show_table(&result, &err);
}

const zh_command zh_command_run = {"run", "runs a suite and leaves a bundle", run};
