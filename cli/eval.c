/* zhiheng eval MODEL --tasks NAME,…: how well a model answers. It runs the suite `quality` with the
 * tasks that it is given, and shows the scores of the bundle. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "cli/audit_live.h"
#include "cli/cli.h"
#include "core/files.h"
#include "core/text.h"

enum { SETTINGS = 20 };
enum {
  KEY_INCLUDE = 256,
  KEY_DATA,
  KEY_LIMIT,
  KEY_SHOTS,
  KEY_SEED,
  KEY_BATCH,
  KEY_CONTEXT,
  KEY_PRECISION,
  KEY_KV,
  KEY_THREADS,
  KEY_RANKS,
  KEY_LAUNCHER,
  KEY_DEVICE,
  KEY_CACHE,
  KEY_PROTOCOL,
  KEY_CHAT,
  KEY_SYSTEM,
  KEY_MULTITURN,
  KEY_DEFINITIONS
};

typedef struct arguments {
  const char *model, *tasks;
  zh_run_options run;
  zh_text settings[SETTINGS]; /* "tasks.limit=20" */
  size_t setting_count;
  zh_text folders; /* of task files, ':' between them */
  bool json;
} arguments;

static const struct argp_option options[] = {
    {"tasks", 't', "NAME,NAME", 0, "tasks, groups, tags, or paths of task files", 0},
    {"include", KEY_INCLUDE, "DIR", 0, "folder of task files, searched first; may be repeated", 0},
    {"data", KEY_DATA, "DIR", 0,
     "folder of the data sets that task files name by their names on a hub", 0},
    {"limit", KEY_LIMIT, "N", 0, "ask the first N items of each task, or that part (0.1)", 0},
    {"out", 'o', "DIR", 0, "bundle folder to make (default: out/quality-TIME)", 0},
    {"num-fewshot", KEY_SHOTS, "N", 0, "examples before each item, where the task allows it", 0},
    {"apply-chat-template", KEY_CHAT, NULL, 0,
     "prompts as conversations, by the chat template of the model", 0},
    {"system-instruction", KEY_SYSTEM, "TEXT", 0,
     "what the system says before the description of each task", 0},
    {"fewshot-as-multiturn", KEY_MULTITURN, "WORD", 0,
     "of conversations: examples as turns of their own (true, the default), or all in one message "
     "(false)",
     0},
    {"definitions", KEY_DEFINITIONS, "WORD", 0,
     "whose definitions score the answers: lm-eval (the default) or opencompass", 0},
    {"seed", KEY_SEED, "N", 0, "seed of made items and of drawn answers (drawn unless given)", 0},
    {"protocol", KEY_PROTOCOL, "FILE", 0,
     "protocol of a comparison that the bundle is for (docs/leading.md)", 0},
    {"batch", KEY_BATCH, "N", 0,
     "items computed beside each other (as memory allows); changes no bit", 0},
    {"context", KEY_CONTEXT, "N", 0, "tokens of a question and its answer (the model's context)",
     0},
    {"precision", KEY_PRECISION, "WORD", 0,
     "fast (the default): the timed path, which may round activations; unrounded: fp32 values; "
     "exact: reference kernels",
     0},
    {"kv", KEY_KV, "WORD", 0,
     "how --precision fast keeps keys and values: bf16 (the default), f32 or q8", 0},
    {"threads", KEY_THREADS, "N", 0, "threads of each rank (default: one for each of its cores)",
     0},
    {"ranks", KEY_RANKS, "N", 0, "ranks that share out the items, each with the whole model (1)",
     0},
    {"launcher", KEY_LAUNCHER, "WORD", 0, "direct, mpirun or srun (default: what fits)", 0},
    {"device", KEY_DEVICE, "WORD", 0,
     "where it is computed: " ZH_DEVICE_WORD_HELP " (default: cpu)", 0},
    {"packed-cache", KEY_CACHE, "DIR", 0, "folder where rearranged weights are kept between starts",
     0},
    {"json", 'j', NULL, 0, "the results as one JSON document on standard output", 0},
    {0}};

/* ---- options as settings of the suite's step ---- */

static zh_text *new_setting(arguments *given, const char *parameter) {
  zh_text *out = &given->settings[given->setting_count++];
  zh_text_printf(out, "tasks.%s=", parameter);
  return out;
}

static void set_number(arguments *given, const char *parameter, uint64_t value) {
  zh_text_printf(new_setting(given, parameter), "%" PRIu64, value);
}

/* As YAML reads it, whatever is in it. */
static void append_quoted(zh_text *out, const char *text) {
  json_t *value = json_string(text);
  char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
  if (quoted)
    zh_text_puts(out, quoted);
  else
    zh_text_puts(out, "''");
  free(quoted);
  json_decref(value);
}

static void set_text(arguments *given, const char *parameter, const char *value) {
  append_quoted(new_setting(given, parameter), value);
}

/* "a,b" as a list. */
static void set_tasks(arguments *given, struct argp_state *state) {
  zh_text *out = new_setting(given, "tasks");
  char *names = strdup(given->tasks);
  bool any = false;
  zh_text_puts(out, "[");
  for (char *at = names ? strtok(names, ",") : NULL; at; at = strtok(NULL, ",")) {
    zh_text_puts(out, any ? ", " : "");
    append_quoted(out, at);
    any = true;
  }
  zh_text_puts(out, "]");
  free(names);
  if (!any) argp_error(state, "name the tasks: --tasks NAME,NAME");
}

static void check_limit(const char *text, struct argp_state *state) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !(value > 0) || !isfinite(value) ||
      (value >= 1 && value != floor(value)))
    argp_error(state, "--limit %s: expected a whole number, or a part below 1", text);
}

static error_t parse_text(int key, char *arg, arguments *given) {
  switch (key) {
  case KEY_DATA:
    set_text(given, "data", arg);
    return 0;
  case KEY_PROTOCOL:
    set_text(given, "protocol", arg);
    return 0;
  case KEY_PRECISION:
    set_text(given, "precision", arg);
    return 0;
  case KEY_KV:
    set_text(given, "kv", arg);
    return 0;
  case KEY_CHAT:
    set_text(given, "apply_chat_template", "yes");
    return 0;
  case KEY_SYSTEM:
    set_text(given, "system_instruction", arg);
    return 0;
  case KEY_MULTITURN:
    set_text(given, "fewshot_as_multiturn",
             strcmp(arg, "true") == 0    ? "yes"
             : strcmp(arg, "false") == 0 ? "no"
                                         : arg);
    return 0;
  case KEY_DEFINITIONS:
    set_text(given, "definitions", arg);
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static error_t parse_run(int key, char *arg, arguments *given, struct argp_state *state) {
  switch (key) {
  case 'o':
    given->run.out = arg;
    return 0;
  case KEY_THREADS:
    given->run.threads = (int)zh_cli_whole("threads", arg, 1, 1024, state);
    return 0;
  case KEY_RANKS:
    given->run.ranks = (int)zh_cli_whole("ranks", arg, 1, 1000000, state);
    return 0;
  case KEY_LAUNCHER:
    given->run.launcher = arg;
    return 0;
  case KEY_DEVICE:
    given->run.device = arg;
    return 0;
  case KEY_CACHE:
    given->run.packed_cache = arg;
    return 0;
  default:
    return parse_text(key, arg, given);
  }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 't':
    given->tasks = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case KEY_INCLUDE:
    zh_text_printf(&given->folders, "%s%s", given->folders.length ? ":" : "", arg);
    return 0;
  case KEY_LIMIT:
    check_limit(arg, state);
    set_text(given, "limit", arg);
    return 0;
  case KEY_SHOTS:
    set_number(given, "num_fewshot", zh_cli_whole("num-fewshot", arg, 0, 10000, state));
    return 0;
  case KEY_SEED:
    set_number(given, "seed", zh_cli_whole("seed", arg, 0, INT64_MAX, state));
    return 0;
  case KEY_BATCH:
    set_number(given, "batch", zh_cli_whole("batch", arg, 1, 1024, state));
    return 0;
  case KEY_CONTEXT:
    set_number(given, "context", zh_cli_whole("context", arg, 2, UINT32_MAX, state));
    return 0;
  case ARGP_KEY_ARG:
    if (given->model) argp_error(state, "one model at a time, but got '%s' as well", arg);
    given->model = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->model) argp_error(state, "name a model: a GGUF file or a safetensors folder");
    if (!given->tasks) argp_error(state, "name the tasks: --tasks NAME,NAME");
    set_tasks(given, state);
    if (given->folders.length) set_text(given, "include", zh_text_string(&given->folders));
    return 0;
  default:
    return parse_run(key, arg, given, state);
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL --tasks NAME,NAME",
    .doc =
        "Puts the items of tasks to a model and scores its answers. Tasks are files of "
        "lm-evaluation-harness, read as they are; the bundle holds its results and samples, and a "
        "table for 'zhiheng rank'. Nothing is fetched.\v"
        "Examples:\n"
        "  zhiheng eval model.gguf --tasks made_zh --limit 20\n"
        "  zhiheng eval model.gguf --tasks ceval-valid --include tasks --data data --out "
        "out/ceval\n"
        "  zhiheng eval model.gguf --tasks my-task.yaml --precision exact\n\n"
        "Tasks named made_… are the product's own: items made from a seed, nothing to download. "
        "An evaluation that was interrupted goes on where it stood when the same command, with the "
        "same --out, is given again, with any number of ranks. Answers that are programs "
        "(humaneval, mbpp) are run in a sandbox, without asking; where the kernel refuses a wall of "
        "it, the task is refused before anything is asked (zhiheng doctor). docs/eval.md says what "
        "of task files is known and what the bundle holds, docs/metrics.md what scores mean."};

/* ---- what came of it ---- */

/* facts.quality of the step; NULL where it did not get so far. Borrowed. */
static json_t *quality_of(const json_t *document) {
  size_t i;
  json_t *step;
  json_array_foreach(json_object_get(json_object_get(document, "run"), "steps"), i, step) {
    json_t *quality = json_object_get(json_object_get(step, "facts"), "quality");
    if (quality) return quality;
  }
  return NULL;
}

static zh_status load_results(json_t **out, const char *bundle, const json_t *quality,
                              zh_error *err) {
  char path[8192];
  const char *file = json_string_value(json_object_get(quality, "results"));
  if (!file) return zh_fail(err, ZH_ERR_CHECK, "the bundle %s has no results of the tasks", bundle);
  snprintf(path, sizeof path, "%.4000s/%.4000s", bundle, file);
  ZH_TRY(zh_json_load_file(out, path, 0, err));
  json_object_set_new(*out, "file", json_string(path));
  json_object_set_new(*out, "bundle", json_string(bundle));
  return ZH_OK;
}

static int show(const arguments *given, const char *bundle) {
  zh_error err = ZH_ERROR_INIT;
  json_t *document = NULL, *results = NULL;
  zh_status status = zh_bundle_json(&document, bundle, &err);
  if (status == ZH_OK && given->json)
    status = load_results(&results, bundle, quality_of(document), &err);
  int code = status != ZH_OK ? zh_cli_fail(&err, given->json) : 0;
  if (status == ZH_OK && given->json) {
    code = zh_cli_print_json(results);
  } else if (status == ZH_OK) {
    zh_bundle_scores(stdout, json_object_get(document, "run"), zh_cli_language());
    printf("%s\n", bundle);
    code = zh_cli_flush();
  }
  json_decref(document);
  return code;
}

/* ---- running ---- */

/* The folder of an interrupted evaluation of this name: it is gone on with. */
static void find_unfinished(arguments *given, char *folder, size_t capacity) {
  if (!given->run.out) return;
  size_t length = strlen(given->run.out);
  while (length > 1 && given->run.out[length - 1] == '/') length--;
  snprintf(folder, capacity, "%.*s.partial", (int)length, given->run.out);
  if (zh_is_dir(folder)) given->run.resume = folder;
}

static int evaluate(arguments *given, const char *const *command, int words) {
  const char *settings[SETTINGS];
  char unfinished[4096];
  zh_error err = ZH_ERROR_INIT;
  zh_run_result result;
  zh_audit_live live = {0};
  for (size_t i = 0; i < given->setting_count; i++) {
    if (given->settings[i].failed)
      return zh_cli_fail((zh_fail(&err, ZH_ERR_MEMORY, "out of memory"), &err), given->json);
    settings[i] = zh_text_string(&given->settings[i]);
  }
  given->run.suite = "quality";
  given->run.models = &given->model;
  given->run.model_count = 1;
  given->run.settings = settings;
  given->run.setting_count = given->setting_count;
  given->run.command = command;
  given->run.command_count = words;
  given->run.audit = zh_audit_for_run;
  given->run.audit_user = &live;
  find_unfinished(given, unfinished, sizeof unfinished);
  signal(SIGXFSZ, SIG_IGN); /* a full quota is an error of write(), told in words */
  zh_status status = zh_run(&result, &given->run, &err);
  if (status != ZH_OK) return zh_cli_fail(&err, given->json);
  return show(given, result.bundle);
}

static int run(int argc, char **argv) {
  arguments given = {0};
  /* As it was typed: argp reorders argv, and argv[0] holds two words. */
  const char **command = calloc((size_t)argc + 1, sizeof *command);
  if (!command) return zh_status_exit_code(ZH_ERR_MEMORY);
  command[0] = "zhiheng";
  command[1] = "eval";
  for (int i = 1; i < argc; i++) command[i + 1] = argv[i];
  zh_cli_parse(&parser, argc, argv, &given);
  int code = evaluate(&given, command, argc + 1);
  for (size_t i = 0; i < given.setting_count; i++) zh_text_free(&given.settings[i]);
  zh_text_free(&given.folders);
  free(command);
  return code;
}

const zh_command zh_command_eval = {"eval", "how well a model answers: tasks, scores, samples",
                                    run};
