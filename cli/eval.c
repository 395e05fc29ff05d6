/* zhiheng eval MODEL --tasks NAME,…: how well a model answers. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "bench/quality/answer_journal.h"
#include "bench/quality/sitting.h"
#include "cli/cli.h"
#include "cli/terms.h"
#include "cli/eval_curves.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"

enum { FOLDERS = 16, CPUS = 1024 };
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
  KEY_DEVICE,
  KEY_CACHE
};

typedef struct arguments {
  const char *model, *tasks, *out, *folders[FOLDERS];
  const char *precision, *kv, *device, *cache;
  size_t folder_count;
  zh_task_options task;
  uint64_t threads, batch, context;
  bool json, seeded;
} arguments;

static const struct argp_option options[] = {
    {"tasks", 't', "NAME,NAME", 0, "tasks, groups, tags, or paths of task files", 0},
    {"include", KEY_INCLUDE, "DIR", 0, "folder of task files, searched first; may be repeated", 0},
    {"data", KEY_DATA, "DIR", 0,
     "folder of the data sets that task files name by their names on a hub", 0},
    {"limit", KEY_LIMIT, "N", 0, "ask the first N items of each task, or that part (0.1)", 0},
    {"out", 'o', "DIR", 0, "where results_*.json and samples_*.jsonl are written (out/eval-MODEL)",
     0},
    {"num-fewshot", KEY_SHOTS, "N", 0, "examples before each item, where the task allows it", 0},
    {"seed", KEY_SEED, "N", 0, "seed of made items (drawn unless given)", 0},
    {"batch", KEY_BATCH, "N", 0,
     "items computed beside each other (16 where memory allows); changes no bit", 0},
    {"context", KEY_CONTEXT, "N", 0, "tokens of a question and its answer (the model's context)",
     0},
    {"precision", KEY_PRECISION, "WORD", 0,
     "fast (the default): the timed path, which may round activations; unrounded: fp32 values; "
     "exact: reference kernels",
     0},
    {"kv", KEY_KV, "WORD", 0,
     "how --precision fast keeps keys and values: bf16 (the default), f32 or q8", 0},
    {"threads", KEY_THREADS, "N", 0, "threads (one for each core that this process may use)", 0},
    {"device", KEY_DEVICE, "WORD", 0,
     "where it is computed: " ZH_DEVICE_WORD_HELP " (default: cpu)", 0},
    {"packed-cache", KEY_CACHE, "DIR", 0, "folder where rearranged weights are kept between starts",
     0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static double limit_of(const char *text, struct argp_state *state) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !(value > 0) || !isfinite(value) ||
      (value >= 1 && value != floor(value)))
    argp_error(state, "--limit %s: expected a whole number, or a part below 1", text);
  return value;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 't':
    given->tasks = arg;
    return 0;
  case 'o':
    given->out = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case KEY_INCLUDE:
    if (given->folder_count == FOLDERS) argp_error(state, "--include: at most %d folders", FOLDERS);
    given->folders[given->folder_count++] = arg;
    return 0;
  case KEY_DATA:
    given->task.data = arg;
    return 0;
  case KEY_LIMIT:
    given->task.limit = limit_of(arg, state);
    return 0;
  case KEY_SHOTS:
    given->task.shots = (int64_t)zh_cli_whole("num-fewshot", arg, 0, 10000, state);
    return 0;
  case KEY_SEED:
    given->task.seed = zh_cli_whole("seed", arg, 0, INT64_MAX, state);
    given->seeded = true;
    return 0;
  case KEY_BATCH:
    given->batch = zh_cli_whole("batch", arg, 1, 1024, state);
    return 0;
  case KEY_CONTEXT:
    given->context = zh_cli_whole("context", arg, 2, UINT32_MAX, state);
    return 0;
  case KEY_PRECISION:
    given->precision = arg;
    return 0;
  case KEY_KV:
    given->kv = arg;
    return 0;
  case KEY_THREADS:
    given->threads = zh_cli_whole("threads", arg, 1, CPUS, state);
    return 0;
  case KEY_DEVICE:
    given->device = arg;
    return 0;
  case KEY_CACHE:
    given->cache = arg;
    return 0;
  case ARGP_KEY_ARG:
    if (given->model) argp_error(state, "one model at a time, but got '%s' as well", arg);
    given->model = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->model) argp_error(state, "name a model: a GGUF file or a safetensors folder");
    if (!given->tasks) argp_error(state, "name the tasks: --tasks NAME,NAME");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL --tasks NAME,NAME",
    .doc =
        "Puts the items of tasks to a model and scores its answers. Tasks are files of "
        "lm-evaluation-harness, read as they are; results are written as it writes them. Nothing "
        "is fetched.\v"
        "Examples:\n"
        "  zhiheng eval model.gguf --tasks made_zh --limit 20\n"
        "  zhiheng eval model.gguf --tasks ceval-valid --include tasks --data data --out "
        "out/ceval\n"
        "  zhiheng eval model.gguf --tasks my-task.yaml --precision exact\n\n"
        "Tasks named made_… are the product's own: items made from a seed, nothing to download. "
        "An evaluation that was interrupted goes on where it stood when the same command is given "
        "again. docs/eval.md says what of task files is known, docs/metrics.md what scores mean."};

/* ---- telling ---- */

typedef struct telling {
  int64_t began;
  size_t task; /* last told of, from 1 */
} telling;

static void tell(void *user, const zh_sitting_news *news) {
  telling *t = user;
  if (t->task != news->task + 1) {
    t->task = news->task + 1;
    zh_progress_step((int)t->task, (int)news->tasks, "%s", news->of->name);
  }
  double seconds = (double)(zh_now_ns() - t->began) * 1e-9,
         part = news->tokens_all > 0 ? (double)news->tokens / (double)news->tokens_all : 1;
  char score[64] = "", left[48] = "";
  if (news->metric) snprintf(score, sizeof score, "  %.20s %.4f", news->metric, news->figure);
  if (part > 0.01 && part < 1)
    snprintf(left, sizeof left, "  about %.0f s left", seconds * (1 - part) / part);
  zh_progress_detail("%zu of %zu items%s%s", news->items, news->items_all, score, left);
  if (news->items == news->items_all) zh_progress_done("%zu items%s", news->items, score);
}

/* ---- results ---- */

static void write_time(char out[40]) {
  struct timeval now;
  struct tm local;
  char day[32];
  gettimeofday(&now, NULL);
  localtime_r(&now.tv_sec, &local);
  strftime(day, sizeof day, "%Y-%m-%dT%H-%M-%S", &local);
  snprintf(out, 40, "%s.%06ld", day, (long)now.tv_usec);
}

static json_t *config_json(const arguments *given, const zh_model *model,
                           const zh_sitting_facts *facts) {
  double limit = given->task.limit;
  return json_pack(
      "{s:s, s:{s:s, s:s, s:s}, s:I, s:o, s:I, s:I, s:I}", "model", "zhiheng", "model_args",
      "pretrained", zh_model_path(model), "precision", given->precision ? given->precision : "fast",
      "kv", given->kv ? given->kv : "bf16", "batch_size", (json_int_t)facts->sequences, "limit",
      limit > 0 ? json_real(limit) : json_null(), "bootstrap_iters", (json_int_t)100000,
      "fewshot_seed", (json_int_t)1234, "made_seed", (json_int_t)given->task.seed);
}

static zh_status write_samples(const char *folder, const char *time, const zh_exam *exam,
                               const zh_marks *marks, zh_error *err) {
  for (size_t i = 0; i < exam->task_count; i++) {
    zh_text path = {0};
    zh_text_printf(&path, "%s/samples_%s_%s.jsonl", folder, exam->tasks[i]->name, time);
    zh_status status = path.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (results)")
                                   : zh_write_file(path.data, zh_text_string(&marks[i].samples),
                                                   marks[i].samples.length, err);
    zh_text_free(&path);
    if (status != ZH_OK) return status;
  }
  return ZH_OK;
}

typedef struct evaluation {
  arguments *given;
  zh_model *model;
  zh_threads *threads;
  zh_exam *exam;
  zh_marks *marks;
  zh_sitting_facts facts;
  json_t *document;
  char folder[4096], journal[4200], results[4200];
} evaluation;

static zh_status add_facts(evaluation *e, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  json_t *d = e->document;
  ZH_TRY(zh_model_digest(sm3, e->model, ZH_SM3, err));
  json_object_set_new(d, "config", config_json(e->given, e->model, &e->facts));
  json_object_set_new(d, "model_source", json_string("zhiheng " ZH_VERSION));
  json_object_set_new(d, "model_name", json_string(zh_model_name(e->model)));
  json_object_set_new(d, "model_sm3", json_string(sm3));
  json_object_set_new(d, "plan_sm3", json_string(e->facts.plan));
  json_object_set_new(d, "chat_template", json_null());
  json_object_set_new(d, "total_evaluation_time_seconds", json_sprintf("%.6f", e->facts.seconds));
  json_object_set_new(d, "tokens",
                      json_pack("{s:I, s:I}", "computed", (json_int_t)e->facts.fed, "asked",
                                (json_int_t)e->facts.asked));
  return ZH_OK;
}

static zh_status write_results(evaluation *e, zh_error *err) {
  char time[40];
  write_time(time);
  ZH_TRY(zh_exam_results(&e->document, e->exam, e->marks, err));
  ZH_TRY(add_facts(e, err));
  ZH_TRY(write_samples(e->folder, time, e->exam, e->marks, err));
  snprintf(e->results, sizeof e->results, "%s/results_%s.json", e->folder, time);
  ZH_TRY(zh_json_write_file(e->document, e->results, err));
  unlink(e->journal); /* what it had is in the results */
  return ZH_OK;
}

/* ---- the table ---- */

static void print_figures(const char *name, const json_t *result, int depth) {
  const char *key;
  json_t *value;
  bool first = true;
  json_object_foreach((json_t *)(uintptr_t)result, key, value) {
    size_t length = strcspn(key, ",");
    if (key[length] != ',' || strstr(key, "_stderr,")) continue;
    char error_key[256], shown[160];
    snprintf(error_key, sizeof error_key, "%.*s_stderr%s", (int)length, key, key + length);
    const json_t *error = json_object_get(result, error_key);
    snprintf(shown, sizeof shown, "%*s%s", 2 * depth, "", first ? name : "");
    printf("%-34s %-10.40s %-20.*s %10.4f", shown, key + length + 1, (int)length, key,
           json_number_value(value));
    if (json_is_number(error) && json_number_value(error) > 0)
      printf(" ± %.4f", json_number_value(error));
    else if (json_is_number(error))
      printf("   all items alike: no error can be told");
    putchar('\n');
    first = false;
  }
  if (first) printf("%*s%s\n", 2 * depth, "", name);
}

static void print_entry(const json_t *results, const zh_entry *entry, int depth) {
  print_figures(entry->alias, json_object_get(results, entry->name), depth);
  for (size_t i = 0; i < entry->child_count; i++)
    print_entry(results, entry->children[i], depth + 1);
}

static void print_table(const evaluation *e) {
  const json_t *results = json_object_get(e->document, "results");
  printf("%-34s %-10s %-20s %10s\n", "task", "filter", "metric", "value");
  for (size_t i = 0; i < e->exam->entry_count; i++) print_entry(results, e->exam->entries[i], 0);
  zh_cli_print_terms(json_object_get(e->document, "datasets"));
  zh_eval_curves_print(json_object_get(e->document, "curves"));
  printf("\n%" PRIu64 " tokens computed for %" PRIu64 " asked, in %.1f s\n%s\n", e->facts.fed,
         e->facts.asked, e->facts.seconds, e->results);
}

/* ---- running ---- */

static zh_status engine_options(zh_examinee_options *out, const arguments *given, zh_error *err) {
  *out = (zh_examinee_options){.precision = ZH_PRECISION_FAST,
                               .kv = ZH_KV_BF16,
                               .batch = (uint32_t)given->batch,
                               .longest = (uint32_t)given->context,
                               .packed_cache = given->cache};
  if (given->precision && strcmp(given->precision, "exact") == 0)
    out->precision = ZH_PRECISION_EXACT;
  else if (given->precision && strcmp(given->precision, "unrounded") == 0)
    out->unrounded = true;
  else if (given->precision && strcmp(given->precision, "fast") != 0)
    return zh_fail(err, ZH_ERR_USAGE, "--precision %s: expected fast, unrounded or exact",
                   given->precision);
  if (given->kv && !zh_kv_find(&out->kv, given->kv))
    return zh_fail(err, ZH_ERR_USAGE, "--kv %s: expected bf16, f32 or q8", given->kv);
  return zh_device_word(&out->device, given->device, err);
}

static zh_status start_threads(zh_threads **out, uint64_t asked, zh_error *err) {
  int cpus[CPUS], found = zh_machine_allowed_cpus(cpus, CPUS), cores = zh_machine_allowed_cores();
  int count = asked > 0 ? (int)asked : cores > 0 ? cores : 1;
  return zh_threads_create(out, count, count <= found ? cpus : NULL, err);
}

static zh_status prepare_folder(evaluation *e, zh_error *err) {
  if (e->given->out)
    snprintf(e->folder, sizeof e->folder, "%s", e->given->out);
  else
    snprintf(e->folder, sizeof e->folder, "out/eval-%s", zh_model_name(e->model));
  snprintf(e->journal, sizeof e->journal, "%s/answers.partial.jsonl", e->folder);
  return zh_make_dirs(e->folder, err);
}

/* A fresh seed, so that made items are nobody's training data. */
static uint64_t fresh_seed(void) {
  uint64_t seed = 0;
  FILE *file = fopen("/dev/urandom", "rb");
  size_t got = file ? fread(&seed, sizeof seed, 1, file) : 0;
  if (file) fclose(file);
  return got == 1 ? seed >> 1 : (uint64_t)time(NULL);
}

/* An evaluation that goes on keeps its items. */
static void choose_seed(const evaluation *e) {
  arguments *given = e->given;
  if (given->seeded || zh_answer_journal_seed(&given->task.seed, e->journal)) return;
  given->task.seed = fresh_seed();
}

static zh_status evaluate(evaluation *e, zh_error *err) {
  zh_sitting_options how = {0};
  telling t = {0};
  ZH_TRY(engine_options(&how.examinee, e->given, err));
  ZH_TRY(zh_model_open(&e->model, e->given->model, err));
  ZH_TRY(prepare_folder(e, err));
  choose_seed(e);
  ZH_TRY(zh_exam_open(&e->exam, e->given->tasks, e->given->folders, e->given->folder_count,
                      &e->given->task, err));
  e->marks = calloc(e->exam->task_count, sizeof *e->marks);
  if (!e->marks) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (evaluation)");
  ZH_TRY(start_threads(&e->threads, e->given->threads, err));
  how.journal = e->journal;
  how.seed = e->given->task.seed;
  t.began = zh_now_ns();
  ZH_TRY(zh_sitting_hold(e->marks, &e->facts, e->exam, e->model, e->threads, &how, tell, &t, err));
  return write_results(e, err);
}

static void release(evaluation *e) {
  for (size_t i = 0; e->marks && i < e->exam->task_count; i++) zh_marks_free(&e->marks[i]);
  free(e->marks);
  zh_exam_free(e->exam);
  zh_threads_free(e->threads);
  zh_model_free(e->model);
}

static int run(int argc, char **argv) {
  arguments given = {.task = {.shots = -1}};
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&parser, argc, argv, &given);
  evaluation e = {.given = &given};
  zh_status status = evaluate(&e, &err);
  int code = 0;
  if (status != ZH_OK) {
    code = zh_cli_fail(&err, given.json);
  } else if (given.json) {
    json_object_set_new(e.document, "file", json_string(e.results));
    code = zh_cli_print_json(json_incref(e.document));
  } else {
    print_table(&e);
    code = zh_cli_flush();
  }
  json_decref(e.document);
  release(&e);
  return code;
}

const zh_command zh_command_eval = {"eval", "how well a model answers: tasks, scores, samples",
                                    run};
